"""YAML as it is written: plain data, the place of every key, and changes from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tuwen.errors import ConfigError

Lines = dict[tuple[str | int, ...], int | str]  # a line of the file; or the flag that gave the key its value


def written(path: str | Path, overrides: Iterable[str] = ()) -> tuple[dict[str, Any], Lines]:
    """What stands in the file, changed by ``overrides``, and the place of every key."""
    data, lines = load_yaml(path)
    for text in overrides:
        _override(data, lines, text)
    return data, lines


def load_yaml(path: str | Path) -> tuple[dict[str, Any], Lines]:
    """Plain data and the line of every key.

    Raises:
        ConfigError: unreadable, not YAML, a repeated key, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError("cannot read the file", where=str(path), seen=error.strerror) from None
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8", where=str(path), seen=str(error), todo="save it as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError("the file holds no settings", where=f"{path}:1", allowed="key: value lines")
        lines: Lines = {}
        _walk(node, (), lines, str(path))
        return yaml.safe_load(text), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(
            "not valid YAML", where=place, seen=getattr(error, "problem", str(error)), todo=_YAML
        ) from None


_YAML = "check the indentation, and put quotes around text that holds ': ', '#' or brackets"


def _walk(node: yaml.Node, loc: tuple[str | int, ...], lines: Lines, path: str) -> None:
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*loc, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                raise ConfigError(
                    f"the key '{key.value}' stands twice", where=f"{path}:{line}", todo="keep one of them"
                )
            lines[here] = line
            _walk(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(value, (*loc, i), lines, path)


def _override(data: dict[str, Any], lines: Lines, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("an override must be KEY=VALUE", where=f"--set {text}", allowed="--set training.epochs=3")
    try:
        plain = yaml.safe_load(value)
        if key.strip() == "init" and isinstance(plain, str):  # a path of the command line starts where the person is
            plain = str(Path(plain).absolute())
        put(data, lines, key.strip(), plain, f"--set {text}")
    except yaml.YAMLError:
        raise ConfigError("the value is not valid YAML", where=f"--set {text}", seen=value) from None


def put(data: dict[str, Any], lines: Lines, key: str, value: Any, where: str) -> None:
    """Set ``dotted.key`` in settings as they are written; a bare component name on the way becomes ``{use: NAME}``.
    ``where`` is from then on the place of the key and of all below it.

    Raises:
        ConfigError: a key on the way holds no keys; ``where`` is told as the place.
    """
    *parents, last = key.split(".")
    for i, parent in enumerate(parents):
        inner = data.setdefault(parent, {})
        if isinstance(inner, str):  # a bare component name
            inner = data[parent] = {"use": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"'{'.'.join(parents[: i + 1])}' has no keys below it", where=where)
        data = inner
    data[last] = value
    loc = (*parents, last)
    for below in [known for known in lines if known[: len(loc)] == loc]:
        del lines[below]
    lines[loc] = where


def place_of(path: str, lines: Lines, loc: tuple[str | int, ...]) -> str:
    """``file:line`` of a key or of the nearest one above it, or the flag that set it; a section of the file is told
    with the flags that changed something in it.
    """
    flags = [where for key, where in lines.items() if loc and key[: len(loc)] == loc != key and isinstance(where, str)]
    if flags and loc not in lines:  # the file has nothing there
        return ", ".join(flags)
    while loc and loc not in lines:
        loc = loc[:-1]
    where = lines.get(loc)
    if isinstance(where, str):
        return ", ".join([where, *flags])
    place = path if where is None else f"{path}:{where}"
    return f"{place} with {', '.join(flags)}" if flags else place


def one_line(value: Any) -> str:
    """A value as it stands in a YAML file, in one line; a text as it is."""
    if isinstance(value, str):
        return value
    return str(yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)).split("\n")[0]
