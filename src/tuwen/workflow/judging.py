"""One bundle's answers on the test part of its fold, as tables of predictions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_medium, joined_text
from tuwen.data.kinds import medium_of
from tuwen.data.language import languages
from tuwen.data.splits import Column
from tuwen.errors import DataError
from tuwen.evaluation.comparison import half_without
from tuwen.evaluation.metrics import primary_of
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.unlearned import unlearned
from tuwen.preprocess.target import Target
from tuwen.progress import Progress
from tuwen.training.batches import Network, outputs_of
from tuwen.training.inputs import EncodedInput, Input
from tuwen.workflow.gathering import Gathered, gather
from tuwen.workflow.knock_out import inputs_of
from tuwen.workflow.preparing import make_input, raw_values


@dataclass(frozen=True)
class Judged:
    """One bundle's answers on the test part of its fold."""

    gathered: Gathered
    rows: np.ndarray
    predictions: Predictions
    knocked: dict[str, dict[str, Predictions]]
    members: dict[str, Predictions] = field(default_factory=dict)  # of raters, each alone


def judge(run: Run, bundle: Bundle, dataset: Dataset, progress: Progress, *, knock_out: bool = True) -> Judged:
    """Answer the test part of the bundle's fold, whole and with each of its inputs taken away or swapped.

    Raises:
        DataError: the dataset is not the bundle's own, and the split would give rows it was trained on to the test.
    """
    gathered = gather(run, dataset, bundle.manifest["data"]["fold"], learn=False)
    refuse_other_data(bundle, gathered, dataset)
    rows = gathered.rows("test")
    frame = gathered.frame[rows]
    inputs: dict[str, Input] = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, frame, dataset)
        inputs[name] = make_input(name, bundle.modalities[name], raw, dataset, progress)
        if bundle.train_part.never(name):
            inputs[name] = absent(inputs[name])  # as the bundle itself does it
    outputs = outputs_of(bundle.network, inputs, progress=progress)
    base = base_of(run, gathered, rows, bundle.target)
    whole = predictions_of(bundle.target, base, outputs)
    knocked = {}
    for label, together in inputs_of(run).items() if knock_out else ():
        changed = knocked_out(bundle.network, inputs, together.of(run), swapped(base["row"]))
        gone, another = (predictions_of(bundle.target, base, found) for found in changed)
        knocked[label] = {"absent": gone, "half": half_without(whole, gone, label), "swapped": another}
    members: dict[str, Predictions] = {}
    if bundle.members is not None and len(bundle.architecture["raters"]["members"]) > 1:
        alone = outputs_of(bundle.members, inputs)
        for m, name in enumerate(bundle.architecture["raters"]["members"]):
            members[name] = predictions_of(bundle.target, base, alone[:, m : m + 1])
    return Judged(gathered, rows, whole, knocked, members)


def knocked_out(
    network: Network, inputs: Mapping[str, Input], names: Collection[str], other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs f32 [rows, outputs] with some modalities absent everywhere, and with those of the rows ``other``."""
    without = without_inputs(network, inputs, names)
    return without, outputs_of(network, {**inputs, **{name: inputs[name].take(other) for name in names}})


def without_inputs(network: Network, inputs: Mapping[str, Input], names: Collection[str]) -> np.ndarray:
    """Outputs f32 [rows, outputs] with some modalities absent; where nothing else is there, one answer for all rows."""
    gone = {name: absent(inputs[name]) for name in names}
    if set(gone) != set(inputs):
        return outputs_of(network, {**inputs, **gone})
    one = outputs_of(network, {name: source.take(np.zeros(1, np.int64)) for name, source in gone.items()})
    return np.repeat(one, len(next(iter(gone.values()))), axis=0)


def swapped(rows: pl.Series) -> np.ndarray:
    """For each row the position of another one: the next in the order of their hashes, so that none keeps its own."""
    key = [hashlib.blake2b(row.encode(), digest_size=8).digest() for row in rows.to_list()]
    order = np.array(sorted(range(len(key)), key=key.__getitem__), dtype=np.int64)
    other = np.empty_like(order)
    other[order] = np.roll(order, -1)
    return other


def refuse_other_data(bundle: Bundle, gathered: Gathered, dataset: Dataset) -> None:
    """A split that depends on all rows gives training rows to the test part as soon as the data changes."""
    if bundle.manifest["data"]["hash"] != dataset.hash and not gathered.split.stable:
        raise DataError(
            "the dataset is not the one that the bundle was trained on, and this split would test it on rows it knows",
            where=str(dataset.folder),
            seen=f"data {dataset.hash[:12]}, trained on {bundle.manifest['data']['hash'][:12]}; {gathered.split.label}",
            allowed="the same dataset; or a split by hash, by column, or by time with a named cut",
            todo="train again on this dataset, then evaluate",
        )


def absent(source: Input) -> Input:
    """The same modality with nothing there."""
    arrays, _ = source.batch(np.zeros(1, np.int64))
    nothing = {name: np.zeros_like(array) for name, array in arrays.items()}
    return EncodedInput(nothing, np.zeros(1, bool), np.zeros(len(source), np.int64))


def base_of(run: Run, gathered: Gathered, rows: np.ndarray, target: Target) -> pl.DataFrame:
    """``row``, ``target`` and the slices of the test rows."""
    frame = gathered.frame[rows]
    truth = gathered.truth[rows]
    told = pl.Series("target", target.encode(truth) if run.task.use == "binary" else truth)
    base = pl.DataFrame({"row": frame["row"], "target": told})
    texts: dict[tuple[str, ...], str] = {}  # two views of the same columns have one language
    for name, spec in run.modalities.items():
        if (medium := medium_of(spec.use)) is not None:
            there = pl.Series([key is not None for key in first_medium(frame, spec.columns, medium)])
            base = base.with_columns(
                pl.when(there).then(pl.lit("with")).otherwise(pl.lit("without")).alias(f"slice_{name}")
            )
        if spec.use == "text" and texts.setdefault(tuple(spec.columns), name) == name:
            joined = pl.Series(joined_text(frame, spec.columns), dtype=pl.String)
            base = base.with_columns(languages(joined).alias(f"slice_{name}_language"))
    if isinstance(gathered.split, Column) and gathered.split.each:
        base = base.with_columns(frame[gathered.split.column].cast(pl.String).alias("slice_fold"))
    for key in ("reviews.item", "reviews.user"):
        if key in frame.columns:
            seen = gathered.frame[key][gathered.rows("train")].unique()
            known = frame[key].is_in(seen.implode())
            name = f"slice_{key.partition('.')[2]}"
            base = base.with_columns(pl.when(known).then(pl.lit("seen")).otherwise(pl.lit("new")).alias(name))
    return base


def predictions_of(target: Target, base: pl.DataFrame, outputs: np.ndarray) -> Predictions:
    """Outputs of the network f32 [rows, outputs] as a table of predictions beside ``base``."""
    decoded = target.decode(outputs)
    task: Literal["rate", "binary", "classify"] = target.task  # type: ignore[assignment]
    frame = base.with_columns(pl.Series("prediction", decoded["prediction"]))
    if task == "binary":
        return Predictions(task, frame.with_columns(pl.Series("probability", decoded["probability"])))
    if task == "rate":
        return Predictions(task, frame.with_columns(pl.col("target").cast(pl.Float64)))
    probabilities = pl.Series(
        "probabilities", decoded["probabilities"], dtype=pl.Array(pl.Float64, len(target.classes))
    )
    return Predictions(task, frame.with_columns(pl.col("target").cast(pl.String), probabilities), target.classes)


def primary_metric(run: Run) -> str:
    """The metric that decides between runs: that of the task and its scale."""
    return primary_of(run.task.use, run.task.options.get("scale", "linear"))  # type: ignore[arg-type]


def pooled(parts: list[Predictions]) -> Predictions:
    """The rows of several folds as one table, over all their classes."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].task != "classify":
        return Predictions(parts[0].task, pl.concat([p.frame for p in parts]), parts[0].classes)
    every = {name for p in parts for name in p.classes}
    wide = [widened(part, every) for part in parts]
    return Predictions("classify", pl.concat([part.frame for part in wide]), wide[0].classes)


def widened(predictions: Predictions, classes: Iterable[str]) -> Predictions:
    """The same answers over all these classes beside their own, sorted; what a system does not know has probability 0.

    Those of other tasks stay as they are.
    """
    own = predictions.classes
    every = tuple(sorted({*own, *classes}))
    if predictions.task != "classify" or every == own:
        return predictions
    wide = np.zeros((len(predictions), len(every)))
    wide[:, [every.index(name) for name in own]] = predictions.frame["probabilities"].to_numpy()
    column = pl.Series("probabilities", wide, dtype=pl.Array(pl.Float64, len(every)))
    return Predictions("classify", predictions.frame.with_columns(column), every)


def refuse_other_classes(bundles: Sequence[Bundle], judged: Sequence[Judged], dataset: Dataset) -> None:
    """Other data without a single row of a class that a bundle knows: nothing of it can be judged there."""
    same = all(bundle.manifest["data"]["hash"] == dataset.hash for bundle in bundles)
    rows = sum(len(one.predictions) for one in judged)
    unknown = sum((unlearned(one.predictions) for one in judged), Counter[str]())
    if same or unknown.total() < rows:
        return
    raise DataError(
        "the bundle knows none of the classes in the test part of this dataset, so there is nothing to judge",
        where=str(dataset.folder),
        seen=f"{rows:,} rows of {_some(unknown)}",
        allowed=f"rows of {_some(bundles[0].target.classes)}",
        todo="train again on this dataset, then evaluate; or name the dataset that the bundle was trained on",
    )


def _some(names: Collection[str]) -> str:
    listed = ", ".join(repr(name) for name in list(names)[:10])
    return listed + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
