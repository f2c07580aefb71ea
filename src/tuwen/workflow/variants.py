"""Variants of a run: ``KEY=VALUE,VALUE`` as ``compare`` and ``tune`` take it, and the runs that it makes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import product
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from tuwen.config import Component, Lines, Run, measure, plain_value, put
from tuwen.errors import ConfigError, did_you_mean
from tuwen.models import ENCODERS, FUSIONS, GENERATORS
from tuwen.preprocess import MODALITIES
from tuwen.registry import Registry, signature_model
from tuwen.workflow.checking import complete
from tuwen.workflow.gathering import content_columns
from tuwen.workflow.starting import start_of

# keys that decide which rows are answered, or how they are judged: answers to other rows cannot be compared
MOST_VALUES = 1_000  # of one key
FIXED = {
    "name": "it names the whole comparison",
    "shop": "all cells are trained on one dataset",
    "content": "it decides which rows are tested",
    "split": "it decides which rows are tested",
    "rows.table": "it decides which rows are tested",
    "rows.where": "it decides which rows are tested",
    "rows.balance": "it decides which rows are tested",
    "task.use": "answers to different questions cannot be compared",
    "task.target": "answers to different questions cannot be compared",
    "task.pairs": "answers to different questions cannot be compared",
    "task.at_least": "answers to different questions cannot be compared",
    "task.equals": "answers to different questions cannot be compared",
    "evaluation": "all cells are judged in one way: change it with --set",
    "seed": "every cell is trained with several seeds: --seeds, and --set seed=N for the first",
}


@dataclass(frozen=True)
class Value:
    """One value of a varied key: as it was typed, what YAML makes of it, and its place where it has one."""

    text: str
    value: Any
    where: str = field(default="", repr=False, compare=False)

    @property
    def bare(self) -> Any:
        """The same for ``sum`` and ``{use: sum}``."""
        return self.value["use"] if isinstance(self.value, dict) and set(self.value) == {"use"} else self.value


@dataclass(frozen=True)
class Varied:
    """A dotted key of the run and the values that it takes; ``where`` is told as its place."""

    key: str
    values: tuple[Value, ...]
    where: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Base:
    """The run that is varied, as it is written.

    Attributes:
        data, lines, path: as :func:`tuwen.config.written` gave them.
    """

    data: dict[str, Any]
    lines: Lines
    path: str

    @property
    def run(self) -> Run:
        """What that says."""
        return Run.from_written(copy.deepcopy(self.data), self.lines, self.path)


@dataclass(frozen=True)
class Variant:
    """One combination of values.

    Attributes:
        data, lines: the run as it would be written, and the places of its keys.
        kept: dotted key → options of the component that was there, kept because the new one knows them too.
    """

    data: dict[str, Any]
    lines: Lines
    kept: Mapping[str, Mapping[str, Any]]


def name_of(values: Mapping[str, Value]) -> str:
    """Short, and different for each combination: ``attention · gan=off``; nothing where nothing varies."""
    return " · ".join(_short(key, value) for key, value in values.items())


def parse(text: str, flag: str = "--vary", where: str | None = None) -> Varied:
    """``fusion=sum,concat`` → the key and its values; what stands in brackets or quotes is one value, as in YAML.

    Args:
        where: its place, where that is no command line.

    Raises:
        ConfigError: no key, no value, bad YAML, or a value twice.
    """
    key, equals, values = text.partition("=")
    key, where = key.strip(), where or f"{flag} {text}"
    if not equals or not key or not values.strip():
        what = f"{flag.removeprefix('--')} takes KEY=VALUE,VALUE"
        raise ConfigError(what, where=where, seen=text, allowed="as in fusion=sum,concat")
    listed = f"[{values}]"
    try:
        measure(listed, lambda _: where)
        node = yaml.compose(listed, Loader=yaml.SafeLoader)
        assert isinstance(node, yaml.SequenceNode)
        texts = [listed[one.start_mark.index : one.end_mark.index].strip() for one in node.value]
        parsed = tuple(Value(text, plain_value(text, where), where) for text in texts)
    except (yaml.YAMLError, AssertionError):
        raise ConfigError("the values are not valid YAML", where=where, seen=values, todo="put quotes around") from None
    if not parsed:
        raise ConfigError("there is no value", where=where)
    if len(parsed) > MOST_VALUES:
        raise ConfigError("there are too many values", where=where, seen=len(parsed), allowed=f"up to {MOST_VALUES:,}")
    for i, one in enumerate(parsed):
        twin = next((other for other in parsed[:i] if other.bare == one.bare), None)
        if twin is not None:
            seen = None if twin.text == one.text else f"{twin.text} and {one.text}"
            raise ConfigError(f"'{one.text}' stands twice", where=where, seen=seen, todo="take one of them out")
    return Varied(key, parsed, where)


def refuse_fixed(varied: Sequence[Varied]) -> None:
    """Keys that must be the same in all variants, and keys given twice.

    Raises:
        ConfigError: such a key; says why.
    """
    seen: set[str] = set()
    for one in varied:
        parts = one.key.split(".")
        why = next((FIXED[p] for i in range(len(parts)) if (p := ".".join(parts[: i + 1])) in FIXED), None)
        if why is None and one.key in ("rows", "task", "training"):
            why = "it is a whole section: vary the keys in it"
        if why:
            raise ConfigError(f"'{one.key}' cannot be varied: {why}", where=one.where)
        if one.key in seen:
            raise ConfigError(f"'{one.key}' is varied twice", where=one.where, todo="name all values at once")
        seen.add(one.key)


def combinations(varied: Sequence[Varied]) -> list[dict[str, Value]]:
    """Every combination of the values, the last key changing fastest; without varied keys one empty combination."""
    keys = [one.key for one in varied]
    return [dict(zip(keys, values, strict=True)) for values in product(*(one.values for one in varied))]


def variant(base: Base, values: Mapping[str, Value]) -> Variant:
    """The run with these values; outer keys are set first, so that ``fusion=…`` does not undo ``fusion.width=…``.

    Raises:
        ConfigError: a key that leads nowhere, or a modality that the run has not.
    """
    data, lines = copy.deepcopy(base.data), dict(base.lines)
    kept: dict[str, Mapping[str, Any]] = {}
    for key, value in sorted(values.items(), key=lambda item: item[0].count(".")):
        settled, found = _settled(data, key, value)
        if key == "init" and isinstance(settled, str):
            settled = str(Path(settled).absolute())  # a path of the command line starts where the person is
        put(data, lines, key, settled, _place(key, value))
        lines |= _own_places(base.lines, key, settled if _picks(key, value) else found)
        if found:
            kept[key] = found
    return Variant(data, lines, kept)


def run_of(base: Base, made: Variant) -> Run:
    """The run of a variant, checked; rows and split are the base's, whatever modalities it has.

    Raises:
        ConfigError: a setting that cannot be.
        BundleError: it starts from a bundle that is not there.
    """
    run = Run.from_written(copy.deepcopy(made.data), made.lines, base.path)
    complete(run)
    start_of(run)
    return run.model_copy(update={"content": content_columns(base.run)})


def spelt_out(run: Run) -> str:
    """The same for two runs that differ only in how they are written."""
    return json.dumps(complete(run), sort_keys=True, default=str)


# --- One value in its place ---------------------------------------------------------------------------------------


def _picks(key: str, value: Value) -> bool:
    """Whether the value names some of the run's own modalities."""
    return key == "modalities" and not isinstance(value.value, dict)


def _own_places(lines: Lines, key: str, names: Iterable[str]) -> Lines:
    """The places of what below ``key`` stays as the run has it."""
    inner = [(*key.split("."), name) for name in names]
    return {loc: place for loc, place in lines.items() if any(loc[: len(one)] == one for one in inner)}


def _place(key: str, value: Value) -> str:
    return value.where or f"{key}={value.text}"


def _settled(data: dict[str, Any], key: str, asked: Value) -> tuple[Any, dict[str, Any]]:
    """(what is put at ``key``, which options of the old component it keeps)."""
    value = asked.value
    if value == "none" and _may_be_empty(key):
        return None, {}
    if _picks(key, asked):
        return _some(data.get("modalities", {}), value, _place(key, asked)), {}
    registry = _registry(key)
    if registry is None or not (isinstance(value, str) or (isinstance(value, dict) and "use" in value)):
        return value, {}
    fresh = {"use": value} if isinstance(value, str) else dict(value)
    old = reduce(lambda inner, part: inner.get(part, {}) if isinstance(inner, dict) else {}, key.split("."), data)
    options = {name: option for name, option in old.items() if name != "use"} if isinstance(old, dict) else {}
    known = set(signature_model(registry.load(fresh["use"], _place(key, asked))).model_fields)
    if registry is MODALITIES:
        known |= {"columns", "encoder"}
    kept = {name: option for name, option in options.items() if name in known and name not in fresh}
    return fresh | kept, {} if old == fresh | kept else kept


def _some(modalities: dict[str, Any], value: Any, where: str) -> dict[str, Any]:
    """``modalities=[text]``: the run's own modalities of these names."""
    names = [value] if isinstance(value, str) else value
    for name in names if isinstance(names, list) else [names]:
        if name not in modalities:
            raise ConfigError(
                f"the run has no modality '{name}'",
                where=where,
                allowed=modalities,
                todo=did_you_mean(str(name), modalities) or "modalities=[text],[text, picture]",
            )
    return {name: modalities[name] for name in names}


def _registry(key: str) -> Registry | None:
    """What the component at ``key`` is chosen from; None where it is no component with a registry of its own."""
    match key.split("."):
        case ["fusion"]:
            return FUSIONS
        case ["gan"]:
            return GENERATORS
        case ["modalities", _]:
            return MODALITIES
        case ["modalities", _, "encoder"]:
            return ENCODERS
    return None


def _may_be_empty(key: str) -> bool:
    """Whether the run's own key ``key`` may hold nothing; options of components know best what ``none`` means."""
    kind: Any = Run
    annotation: Any = None
    for part in key.split("."):
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None or kind is Component:
            return False
        annotation = field.annotation
        kind = next((a for a in (annotation, *get_args(annotation)) if _is_model(a)), None)
    return NoneType in get_args(annotation)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _short(key: str, value: Value) -> str:
    parts = key.split(".")
    if key == "modalities":
        names = value.value if isinstance(value.value, list | dict) else [value.value]
        return " + ".join(map(str, names))
    text = value.text
    if isinstance(value.value, dict) and "use" in value.value:
        rest = [f"{name}={option}" for name, option in value.value.items() if name != "use"]
        text = " ".join([str(value.value["use"]), *rest])
    if key == "fusion":
        return text
    if parts[0] == "modalities":
        return f"{parts[1]}: {text}" if parts[-1] == "encoder" else f"{parts[1]} {parts[-1]}={text}"
    return f"{parts[-1]}={text}"
