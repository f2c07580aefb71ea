"""What a peer is given of one fold, as plain arrays in a folder: the test rows without their truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture, joined_text
from tuwen.evaluation.predictions import Predictions
from tuwen.files import write_json
from tuwen.preprocess.target import Target
from tuwen.progress import Silent
from tuwen.training.inputs import EncodedInput, Input, SetInput
from tuwen.workflow.fitting import Prepared, prepare
from tuwen.workflow.gathering import gather
from tuwen.workflow.judging import pooled, predictions_of, widened
from tuwen.workflow.rules import fitted_target

Array = np.ndarray[Any, Any]
DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Fold:
    """One fold of a run: its test rows, and what turns the answers of a peer into predictions.

    Attributes:
        folder: with ``given.npz``, ``given.json`` and ``pictures/``.
        base: ``row`` and ``target`` of the test rows.
    """

    folder: Path
    base: pl.DataFrame
    target: Target

    def predictions(self, outputs: Array) -> Predictions:
        """Answers of a peer f64 [test rows, outputs] (encoded numbers, or probabilities) as a table."""
        if self.target.task == "classify":
            outputs = np.log(np.clip(outputs, 1e-12, None))
        if self.target.task == "binary":
            share = np.clip(outputs, 1e-12, 1 - 1e-12)
            outputs = np.log(share / (1 - share))
        return predictions_of(self.target, self.base, outputs)


def write_fold(run: Any, dataset: Dataset, fold: int, folder: Path) -> Fold:
    """Write ``given.npz`` (``numbers`` f64 [rows, n], ``vectors`` f32 [rows, width], ``train`` bool, ``target`` f64,
    NaN in the test rows) and ``given.json`` (``task``, ``classes``, names of the numbers, categories, text, pictures).

    Peers learn from the rows that ``fusion: auto`` learns from: train and validation.
    """
    gathered = gather(run, dataset, fold)
    prepared = prepare(run, gathered, dataset, Silent())
    target = fitted_target(run, gathered.truth[gathered.rows("train")], gathered.options)
    learned, test = (
        np.concatenate([gathered.rows(p) for p in parts]) for parts in (("train", "validation"), ("test",))
    )
    encoded = target.encode(gathered.truth[learned]).astype(np.float64)
    learned, encoded = learned[encoded >= 0], encoded[encoded >= 0] if target.task == "classify" else encoded
    rows = np.concatenate([learned, test])
    frame = gathered.frame[rows]
    table = _table(prepared, frame)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "given.json",
        {
            "task": target.task,
            "classes": len(target.classes),
            "numbers": list(table[0]),
            "categories": table[1],
            "text": _text(run, frame),
            "pictures": _pictures(run, frame, dataset, folder / "pictures"),
        },
    )
    np.savez(
        folder / "given.npz",
        numbers=np.stack([*table[0].values()], axis=1) if table[0] else np.zeros((len(rows), 0)),
        vectors=_vectors(prepared, rows),
        train=np.arange(len(rows)) < len(learned),
        target=np.concatenate([encoded, np.full(len(test), np.nan)]),
    )
    return read_fold(run, dataset, fold, folder)


def read_fold(run: Any, dataset: Dataset, fold: int, folder: Path) -> Fold:
    """The fold without what is written in its folder."""
    gathered = gather(run, dataset, fold)
    target = fitted_target(run, gathered.truth[gathered.rows("train")], gathered.options)
    test = gathered.rows("test")
    truth = gathered.truth[test]
    column = pl.Series("target", target.encode(truth) if target.task == "binary" else truth)
    return Fold(folder, pl.DataFrame({"row": gathered.frame["row"][test], "target": column}), target)


def pool(folds: Sequence[Fold], answers: Sequence[Array], model: Predictions) -> Predictions:
    """The answers of all folds in the order, and over the classes, of ``model``."""
    each = [fold.predictions(outputs) for fold, outputs in zip(folds, answers, strict=True)]
    whole = widened(pooled(each), model.classes)
    order = model.frame.select("row").join(whole.frame, on="row", how="left", maintain_order="left")
    return Predictions(whole.task, order.select(whole.frame.columns), whole.classes)


def _table(prepared: Prepared, frame: pl.DataFrame) -> tuple[dict[str, Array], dict[str, list[str | None]]]:
    """Numbers (dates as days, and the days between every two) and categories of all tables, by column."""
    numbers: dict[str, Array] = {}
    categories: dict[str, list[str | None]] = {}
    dates: dict[str, Array] = {}
    for modality in prepared.modalities.values():
        for column, kind in getattr(modality, "kinds", {}).items():
            if kind == "number":
                numbers[column] = frame[column].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
            elif kind == "date" and frame[column].dtype.is_temporal():
                micros = frame[column].cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64)
                dates[column] = micros.fill_null(np.nan).to_numpy() / DAY
            else:
                categories[column] = frame[column].cast(pl.String, strict=False).to_list()
    between = {f"{b} - {a}": dates[b] - dates[a] for a, b in combinations(dates, 2)}
    return numbers | dates | between, categories


def _text(run: Any, frame: pl.DataFrame) -> list[str | None]:
    columns = [column for spec in run.modalities.values() if spec.use == "text" for column in spec.columns]
    return joined_text(frame, list(dict.fromkeys(columns))) if columns else [None] * len(frame)


def _pictures(run: Any, frame: pl.DataFrame, dataset: Dataset, folder: Path) -> list[str | None]:
    """The path of each row's first picture; files are written where they are not there."""
    columns = [column for spec in run.modalities.values() if spec.use == "image" for column in spec.columns]
    if not columns:
        return [None] * len(frame)
    folder.mkdir(exist_ok=True)
    paths: list[str | None] = []
    for key in first_picture(frame, list(dict.fromkeys(columns))):
        path = None if key is None else folder / f"{key}.jpg"
        if path is not None and key is not None and not path.is_file():
            path.write_bytes(dataset.media.read(key))
        paths.append(None if path is None else str(path))
    return paths


def _vectors(prepared: Prepared, rows: Array) -> Array:
    """The frozen vectors of all modalities side by side, f32 [rows, width]; the mean where a row has several."""
    found = [np.zeros((len(rows), 0), np.float32)]
    for source in prepared.inputs.values():
        mean: Input | None = source.mean() if isinstance(source, SetInput) else source
        if isinstance(mean, EncodedInput) and "vector" in mean.arrays:
            found.append(mean.take(rows).batch(np.arange(len(rows)))[0]["vector"])
    return np.concatenate(found, axis=1)


def read_answers(file: Path) -> tuple[Array | None, dict[str, Any]]:
    """What a peer answered, and its account (``error``, ``seconds``); None and an empty one where it has not ended."""
    if not file.with_suffix(".json").is_file():
        return None, {}
    account = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    if account["error"]:
        return None, account
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
        return arrays["outputs"], account
