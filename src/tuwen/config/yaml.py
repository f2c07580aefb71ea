"""YAML as it is written: plain data, the place of every key, and changes from the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tuwen.errors import ConfigError

BYTES, NODES, SCALAR = 1_000_000, 20_000, 100_000  # of a file; of its keys and values; characters of one of them
DEPTH = 32  # sections and lists within one another
Place = Callable[[int | None], str]  # line → the words for where it is
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
        ConfigError: unreadable, not YAML, a repeated key, not a mapping, or more than a settings file may hold.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(BYTES + 1)
        if len(data) > BYTES:
            raise ConfigError("the file is too large", where=str(path), allowed=f"up to {BYTES:,} bytes")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError("cannot read the file", where=str(path), seen=error.strerror) from None
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8", where=str(path), seen=str(error), todo="save it as UTF-8") from None
    lines: Lines = {}
    with _yaml_errors(lambda line: f"{path}:{line}" if line else str(path)) as locate:
        measure(text, locate)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError("the file holds no settings", where=f"{path}:1", allowed="key: value lines")
        _walk(node, (), lines, str(path))
        return _plain(node, locate), lines


def plain_value(text: str, where: str) -> Any:
    """The plain data of a value as the command line has it.

    Raises:
        ConfigError: it is not YAML, or more than a settings file may hold.
    """
    with _yaml_errors(lambda _: where) as locate:
        measure(text, locate)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _plain(node, locate)


@contextmanager
def _yaml_errors(locate: Place) -> Iterator[Place]:
    """Turn errors of the YAML parser into ``ConfigError``. ``locate`` names a line, or the whole text."""
    try:
        yield locate
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        seen = getattr(error, "problem", None) or str(error)
        where = locate(mark.line + 1 if mark else None)
        raise ConfigError("not valid YAML", where=where, seen=seen, todo=_YAML) from None


class _Loader(yaml.SafeLoader):
    """Without whole numbers that no setting takes: to write one of them out takes the square of its length."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = int(super().construct_yaml_int(node))
        if value.bit_length() > 64:
            raise ValueError(f"a whole number of {value.bit_length():,} bits")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _plain(node: yaml.Node, locate: Place) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except (ValueError, OverflowError) as error:  # it looks like a number or a date, and is none: 2024-13-01
        raise ConfigError("a value is no number and no date", where=locate(None), seen=error, todo=_YAML) from None
    finally:
        loader.dispose()


def measure(text: str, locate: Place) -> None:
    """Refuse a document that is deep, or large with its aliases written out, before anything is made of it.

    Raises:
        ConfigError: names the line.
        yaml.YAMLError: it is not YAML.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []  # anchor and size so far of each section or list that is open
    size = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = locate(event.start_mark.line + 1 if event.start_mark else None)
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in opened):
                raise ConfigError(f"the alias '*{event.anchor}' stands in what it repeats", where=where)
            size += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, size))
            size += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes |= {anchor: size - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            size += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
            if len(event.value) > SCALAR:
                raise ConfigError("this value is too long", where=where, allowed=f"up to {SCALAR:,} characters")
        if len(opened) > DEPTH:
            raise ConfigError("this is nested too deeply", where=where, allowed=f"up to {DEPTH} levels")
        if size > NODES:
            what = "there are too many keys and values, those that aliases repeat counted too"
            raise ConfigError(what, where=where, allowed=f"up to {NODES:,}")


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
    plain = plain_value(value, f"--set {text}")
    if key.strip() == "init" and isinstance(plain, str):  # a path of the command line starts where the person is
        plain = str(Path(plain).absolute())
    put(data, lines, key.strip(), plain, f"--set {text}")


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
