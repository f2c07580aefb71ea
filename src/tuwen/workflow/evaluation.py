"""Evaluate: a bundle (or one a fold) and a dataset in, a report out."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tuwen import __version__
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.card import card
from tuwen.bundle.files import write_card
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture, joined_text
from tuwen.data.language import languages
from tuwen.errors import DataError
from tuwen.evaluation.baselines import trivial
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.render import render
from tuwen.evaluation.report import build_report, write_report
from tuwen.files import held, room_on_disk
from tuwen.progress import Progress, Silent, Within
from tuwen.training.batches import outputs_of
from tuwen.training.inputs import EncodedInput, Input
from tuwen.workflow.gathering import Gathered, content_columns, gather
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.preparing import make_input, raw_values
from tuwen.workflow.training import train_once

LATENCY_ROWS = 30
KINDS = {"image": "picture"}  # what a report calls a kind of modality, where it is not its own name


@dataclass(frozen=True)
class Judged:
    """One bundle's answers on the test part of its fold."""

    gathered: Gathered
    rows: np.ndarray
    predictions: Predictions
    knocked: dict[str, Predictions]


def evaluate(
    bundle: str | Path, dataset: str | Path | Dataset, out: str | Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Judge a bundle on the test part; train the one-modality baselines it is compared with.

    Writes ``report.json``, ``report.html``, ``predictions.parquet`` and ``baselines/`` (bundles, kept for the next
    time) into ``out``.

    Returns:
        the content of report.json.
    """
    return evaluate_folds([Path(bundle)], dataset, out, progress)


def evaluate_folds(
    bundles: Iterable[Path], dataset: str | Path | Dataset, out: str | Path, progress: Progress | None = None
) -> dict[str, Any]:
    """The same for one bundle a fold, their test parts pooled into one table."""
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    out = Path(out)
    with room_on_disk(out), room_in_memory(), held(out):
        return _evaluate(list(bundles), dataset, out, progress or Silent())


def _evaluate(bundles: list[Path], dataset: Dataset, out: Path, progress: Progress) -> dict[str, Any]:
    opened = [Bundle.open(folder) for folder in bundles]
    run = Run.model_validate(opened[0].run)
    judged = [_judge(run, bundle, dataset, progress) for bundle in opened]
    model = pooled([one.predictions for one in judged])
    baselines = _baselines(run, opened, judged, model, dataset, out, progress)
    knock_out = {m: pooled([one.knocked[m] for one in judged]) for m in judged[0].knocked}
    with progress.task("bootstrap", None):
        report = build_report(
            model,
            baselines,
            knock_out=knock_out,
            history=json.loads((opened[0].folder / "history.json").read_text(encoding="utf-8")),
            cost=_cost(opened, judged, dataset),
            run=run.plain(),
            provenance=_provenance(run, opened, judged, dataset),
            name=run.name,
            split=run.split.use,
            groups=_groups(run, judged),
            samples=run.evaluation.samples,
            confidence=run.evaluation.confidence,
            seed=run.seed,
        )
    model.write(out / "predictions.parquet")
    write_report(out, report, render(report, *_shown(run, report, judged, dataset)))
    for bundle in opened:
        write_card(bundle.folder, card(bundle.manifest, report))
    return report


def _judge(run: Run, bundle: Bundle, dataset: Dataset, progress: Progress) -> Judged:
    gathered = gather(run, dataset, bundle.manifest["data"]["fold"])
    _refuse_other_data(bundle, gathered, dataset)
    rows = gathered.rows("test")
    frame = gathered.frame[rows]
    inputs: dict[str, Input] = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, frame, dataset)
        inputs[name] = make_input(name, bundle.modalities[name], raw, dataset, progress)
    outputs = outputs_of(bundle.network, inputs, progress=progress)
    base = _base(run, gathered, rows, bundle)
    knocked = {}
    kinds = modalities_by_kind(run)
    if len(kinds) > 1:
        for kind, names in kinds.items():
            without = outputs_of(bundle.network, inputs | {name: _absent(inputs[name]) for name in names})
            knocked[kind] = _predictions(bundle, base, without)
    return Judged(gathered, rows, _predictions(bundle, base, outputs), knocked)


def _refuse_other_data(bundle: Bundle, gathered: Gathered, dataset: Dataset) -> None:
    """A split that depends on all rows gives training rows to the test part as soon as the data changes."""
    if bundle.manifest["data"]["hash"] != dataset.hash and not gathered.split.stable:
        raise DataError(
            "the dataset is not the one that the bundle was trained on, and this split would test it on rows it knows",
            where=str(dataset.folder),
            seen=f"data {dataset.hash[:12]}, trained on {bundle.manifest['data']['hash'][:12]}; {gathered.split.label}",
            allowed="the same dataset; or a split by hash, by column, or by time with a named cut",
            todo="train again on this dataset, then evaluate",
        )


def _absent(source: Input) -> Input:
    """The same modality with nothing there."""
    arrays, _ = source.batch(np.zeros(1, np.int64))
    nothing = {name: np.zeros_like(array) for name, array in arrays.items()}
    return EncodedInput(nothing, np.zeros(1, bool), np.zeros(len(source), np.int64))


def _base(run: Run, gathered: Gathered, rows: np.ndarray, bundle: Bundle) -> pl.DataFrame:
    """``row``, ``target`` and the slices of the test rows."""
    frame = gathered.frame[rows]
    truth = gathered.truth[rows]
    target = pl.Series("target", bundle.target.encode(truth) if run.task.use == "binary" else truth)
    base = pl.DataFrame({"row": frame["row"], "target": target})
    texts: dict[tuple[str, ...], str] = {}  # two views of the same columns have one language
    for name, spec in run.modalities.items():
        if spec.use == "image":
            pictures = pl.Series([key is not None for key in first_picture(frame, spec.columns)])
            base = base.with_columns(
                pl.when(pictures).then(pl.lit("with")).otherwise(pl.lit("without")).alias(f"slice_{name}")
            )
        if spec.use == "text" and texts.setdefault(tuple(spec.columns), name) == name:
            joined = pl.Series(joined_text(frame, spec.columns), dtype=pl.String)
            base = base.with_columns(languages(joined).alias(f"slice_{name}_language"))
    for key in ("reviews.item", "reviews.user"):
        if key in frame.columns:
            seen = gathered.frame[key][gathered.rows("train")].unique()
            known = frame[key].is_in(seen.implode())
            name = f"slice_{key.partition('.')[2]}"
            base = base.with_columns(pl.when(known).then(pl.lit("seen")).otherwise(pl.lit("new")).alias(name))
    return base


def _predictions(bundle: Bundle, base: pl.DataFrame, outputs: np.ndarray) -> Predictions:
    decoded = bundle.target.decode(outputs)
    task: Literal["rate", "binary", "classify"] = bundle.target.task  # type: ignore[assignment]
    frame = base.with_columns(pl.Series("prediction", decoded["prediction"]))
    if task == "binary":
        return Predictions(task, frame.with_columns(pl.Series("probability", decoded["probability"])))
    if task == "rate":
        return Predictions(task, frame.with_columns(pl.col("target").cast(pl.Float64)))
    probabilities = pl.Series(
        "probabilities", decoded["probabilities"], dtype=pl.Array(pl.Float64, len(bundle.target.classes))
    )
    return Predictions(task, frame.with_columns(pl.col("target").cast(pl.String), probabilities), bundle.target.classes)


def _groups(run: Run, judged: list[Judged]) -> list[object] | None:
    column = run.evaluation.groups
    return [v for one in judged for v in one.gathered.frame[column][one.rows].to_list()] if column else None


def pooled(parts: list[Predictions]) -> Predictions:
    """The rows of several folds as one table, over all their classes."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].task != "classify":
        return Predictions(parts[0].task, pl.concat([p.frame for p in parts]), parts[0].classes)
    every = tuple(sorted({name for p in parts for name in p.classes}))
    frames = []
    for part in parts:
        wide = np.zeros((len(part), len(every)))
        wide[:, [every.index(name) for name in part.classes]] = part.frame["probabilities"].to_numpy()
        frames.append(part.frame.with_columns(pl.Series("probabilities", wide, dtype=pl.Array(pl.Float64, len(every)))))
    return Predictions("classify", pl.concat(frames), every)


def _baselines(
    run: Run,
    bundles: list[Bundle],
    judged: list[Judged],
    model: Predictions,
    dataset: Dataset,
    out: Path,
    progress: Progress,
) -> dict[str, Predictions]:
    found: dict[str, Predictions] = {}
    if "trivial" in run.evaluation.baselines:
        parts: dict[str, list[Predictions]] = {}
        for bundle, one in zip(bundles, judged, strict=True):
            truth = one.gathered.truth[one.gathered.rows("train")]
            truth = pl.Series("target", bundle.target.encode(truth)) if run.task.use == "binary" else truth
            for name, predictions in trivial(truth, one.predictions).items():
                parts.setdefault(name, []).append(predictions)
        found |= {name: pooled(predictions) for name, predictions in parts.items()}
    kinds = modalities_by_kind(run)
    if "unimodal" in run.evaluation.baselines and len(kinds) > 1:
        for kind, names in kinds.items():
            alone = _only(run, names)
            answers = []
            for bundle in bundles:
                fold = bundle.manifest["data"]["fold"]
                shown = Within(progress, f"{kind} only" + (f", fold {fold + 1}" if len(bundles) > 1 else ""))
                folder = out / "baselines" / f"{kind}_only" / f"fold-{fold}"
                trained = Bundle.open(train_once(alone, dataset, folder, fold, shown))
                answers.append(_judge(alone, trained, dataset, shown).predictions)
            found[f"{kind}_only"] = _same_rows(pooled(answers), model)
    return found


def modalities_by_kind(run: Run) -> dict[str, list[str]]:
    """``picture``, ``text``, ``table`` → the run's modalities of that kind: two views of one text are one kind."""
    kinds: dict[str, list[str]] = {}
    for name, spec in run.modalities.items():
        kinds.setdefault(KINDS.get(spec.use, spec.use), []).append(name)
    return kinds


def _only(run: Run, names: list[str]) -> Run:
    """The run with some of its modalities; the rows and the split stay those of the whole run."""
    kept = {name: run.modalities[name] for name in names}
    return run.model_copy(update={"modalities": kept, "content": content_columns(run)})


def _same_rows(other: Predictions, model: Predictions) -> Predictions:
    order = model.frame.select("row").join(other.frame, on="row", how="left", maintain_order="left")
    return Predictions(other.task, order.select(other.frame.columns), other.classes)


def _cost(bundles: list[Bundle], judged: list[Judged], dataset: Dataset) -> dict[str, float]:
    """Training cost summed over the folds; size and latency of the first bundle."""
    costs = [bundle.manifest["cost"] for bundle in bundles]
    size = sum(f.stat().st_size for f in bundles[0].folder.rglob("*") if f.is_file())
    p50, p95 = _latency(bundles[0], judged[0], dataset)
    return {
        "prepare_seconds": round(sum(c["prepare_seconds"] for c in costs), 2),
        "train_seconds": round(sum(c["train_seconds"] for c in costs), 2),
        "peak_memory_mb": max(c["peak_memory_mb"] for c in costs),
        "parameters": costs[0]["parameters"],
        "trained_parameters": costs[0]["trained_parameters"],
        "bundle_mb": round(size / 1e6, 2),
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
    }


def _latency(bundle: Bundle, one: Judged, dataset: Dataset) -> tuple[float, float]:
    """Milliseconds to answer one row, raw value to answer, as the service does it."""
    frame = one.gathered.frame[one.rows[:LATENCY_ROWS]]
    seconds = []
    for row in bundle_rows(bundle, frame, dataset):
        began = time.perf_counter()
        bundle.answer(bundle.read([row]))
        seconds.append(time.perf_counter() - began)
    warm = np.array(seconds[1:] or seconds) * 1000
    return round(float(np.quantile(warm, 0.5)), 2), round(float(np.quantile(warm, 0.95)), 2)


def bundle_rows(bundle: Bundle, frame: pl.DataFrame, dataset: Dataset) -> list[dict[str, Any]]:
    """The rows of a frame as :meth:`Bundle.predict` takes them, pictures as bytes."""
    pictures = {entry["column"] for entry in bundle.inputs if entry["kind"] == "image"}
    rows = frame.select(list(dict.fromkeys(entry["column"] for entry in bundle.inputs))).to_dicts()
    for row in rows:
        for column in pictures:
            row[column] = dataset.media.read(row[column][0]) if row[column] else None
    return rows


def _provenance(run: Run, bundles: list[Bundle], judged: list[Judged], dataset: Dataset) -> dict[str, Any]:
    first = bundles[0].manifest
    return {
        "tuwen": __version__,
        "commit": _commit(),
        "data_hash": dataset.hash,
        "trained_on": first["data"]["hash"],
        "seed": run.seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": first["data"]["split"],
        "folds": len(bundles),
        "rows": {part: sum(one.gathered.counts()[part] for one in judged) for part in ("train", "validation", "test")},
        "rows_without_truth": judged[0].gathered.without_truth,
        "best_epochs": [bundle.manifest["best_epoch"] for bundle in bundles],
    }


def _commit() -> str | None:
    """The commit of tuwen itself, where it runs from a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _shown(
    run: Run, report: Mapping[str, Any], judged: list[Judged], dataset: Dataset
) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """Pictures and texts of the most wrong rows."""
    wanted = {entry["row"] for entry in report["worst"]}
    frame = pl.concat([one.gathered.frame[one.rows] for one in judged]).filter(pl.col("row").is_in(list(wanted)))
    pictures: dict[str, list[bytes]] = {}
    texts: dict[str, str] = {}
    for spec in run.modalities.values():
        if spec.use == "image":
            for row, key in zip(frame["row"], first_picture(frame, spec.columns), strict=True):
                if key:
                    pictures.setdefault(row, []).append(dataset.media.read(key))
        if spec.use == "text":
            for row, text in zip(frame["row"], joined_text(frame, spec.columns), strict=True):
                if text:
                    texts[row] = f"{texts[row]}\n{text}" if row in texts else text
    return pictures, texts
