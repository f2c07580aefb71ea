"""What a contrast run pairs: the sides of a row, and which rows hold the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data.examples import first_medium, joined_text, normalised
from tuwen.data.kinds import medium_of
from tuwen.errors import ConfigError, DataError
from tuwen.models import TASKS
from tuwen.preprocess.target import ContrastTarget

CONTENTS = "contents"  # the column that stands where other tasks have their truth
KINDS = {
    "image": "picture",
    "picture-text": "picture_text",
}  # what a report calls a kind of modality, where it is not its own name


def modalities_by_kind(run: Run) -> dict[str, list[str]]:
    """``picture``, ``text``, ``table`` → the run's modalities of that kind: two views of one text are one kind."""
    kinds: dict[str, list[str]] = {}
    for name, spec in run.modalities.items():
        kinds.setdefault(kind_of(spec.use), []).append(name)
    return kinds


def kind_of(use: str) -> str:
    """What a report calls a kind of modality."""
    return KINDS.get(use, use)


def is_contrast(run: Run) -> bool:
    """Whether the run needs no target: its rows are their own truth."""
    return run.task.use == "contrast"


def contrast_target(run: Run) -> ContrastTarget:
    """The sides and pairs of a contrast run."""
    options = contrast_options(run)
    return ContrastTarget.fit(options["sides"], options["pairs"], options["width"])


def refuse_contrast(run: Run) -> None:
    """For what judges answers, or needs them.

    Raises:
        ConfigError: the run gives embeddings.
    """
    if is_contrast(run):
        raise ConfigError(
            "compare is about answers, and a contrast run gives embeddings",
            where=run.where("task"),
            todo="vary a run that starts from its bundle: --vary init=none,BUNDLE; to choose settings of this run, "
            "tuwen tune, which goes by Recall@10 on the validation part",
        )


def contrast_options(run: Run) -> dict[str, Any]:
    """The complete options of the task contrast, with ``target`` (the column of contents) and ``sides``.

    Raises:
        ConfigError: a pair that the modalities do not make, a modality in no pair, or a setting that is about labels.
    """
    where = run.where("task")
    options: dict[str, Any] = TASKS.options(run.task.use, run.task.options, where)
    sides = {kind: tuple(names) for kind, names in modalities_by_kind(run).items()}
    try:
        target = ContrastTarget.fit(sides, options["pairs"], options["width"])
    except ConfigError as error:
        raise ConfigError(
            error.what, where=run.where("task", "pairs"), seen=error.seen, allowed=error.allowed, todo=error.todo
        ) from None
    for kind in sides.keys() - target.sides.keys():
        raise ConfigError(
            f"the modality '{sides[kind][0]}' is in no pair",
            where=run.where("modalities", sides[kind][0]),
            seen=f"pairs: {', '.join(options['pairs'])}",
            todo=f"take it out, or add a pair with {kind}",
        )
    if run.gan is not None:
        raise ConfigError("a generator has no place in the task contrast", where=run.where("gan"), todo="gan: off")
    for name, asked in (("balance", run.rows.balance), ("labels", run.rows.labels < 1)):
        if asked:
            raise ConfigError(
                f"'rows.{name}' is about labels, and the task contrast has none", where=run.where("rows", name)
            )
    return options | {"target": CONTENTS, "sides": sides}


def own_options(run: Run, options: dict[str, Any]) -> dict[str, Any]:
    """Of complete task options those that the run could have written."""
    return {k: v for k, v in options.items() if k not in ("target", "sides")} if is_contrast(run) else options


def with_contents(run: Run, frame: pl.DataFrame, options: dict[str, Any]) -> pl.DataFrame:
    """``frame`` with the column ``contents``: list[i64] of one id a side, equal where the content is.

    A row whose sides do not make a pair has null there, and is left out like a row without truth.

    Raises:
        DataError: no row makes a pair.
    """
    target = ContrastTarget.fit(options["sides"], options["pairs"], options["width"])
    ids, there = [], {}
    for side, names in target.sides.items():
        values = list(zip(*(_values(run, name, frame) for name in names), strict=True))
        there[side] = np.array([any(value is not None for value in row) for row in values])
        ids.append(pl.Series(side, [repr(row) for row in values]).rank("dense").cast(pl.Int64).to_numpy())
    usable = np.any([there[a] & there[b] for a, b in target.pairs], axis=0)
    rows = np.stack(ids, axis=1).tolist()
    contents = [row if kept else None for row, kept in zip(rows, usable.tolist(), strict=True)]
    if not usable.any():
        raise DataError(
            "no row has both sides of a pair",
            where=run.where("task", "pairs"),
            seen=", ".join(f"{side}: {int(found.sum()):,} of {len(frame):,} rows" for side, found in there.items()),
            todo="name columns that belong to the same rows",
        )
    return frame.with_columns(pl.Series(CONTENTS, contents, dtype=pl.List(pl.Int64)))


def _values(run: Run, name: str, frame: pl.DataFrame) -> list[Any]:
    """What a modality reads of each row, spelling aside; None where there is nothing."""
    spec = run.modalities[name]
    if spec.use == "text":
        return [None if text is None else normalised(text) or text for text in joined_text(frame, spec.columns)]
    if (medium := medium_of(spec.use)) is not None:
        return list(first_medium(frame, spec.columns, medium))
    return [row if any(v is not None for v in row) else None for row in frame.select(spec.columns).rows()]
