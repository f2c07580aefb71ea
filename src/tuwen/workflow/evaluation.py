"""Evaluate: a bundle (or one a fold) and a dataset in, a report out."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen import __version__
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.card import card
from tuwen.bundle.files import write_card
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture, joined_text
from tuwen.data.kinds import MEDIA, input_kind
from tuwen.data.spellings import spelling_warnings
from tuwen.evaluation import samples
from tuwen.evaluation.leaks import merged, scored
from tuwen.evaluation.metrics import PRIMARY
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.render import render
from tuwen.evaluation.report import build_report, write_report
from tuwen.evaluation.retrieval import retrieval_report
from tuwen.evaluation.unlearned import unlearned
from tuwen.files import room_on_disk
from tuwen.outputs import finish, held, sweep
from tuwen.progress import Progress, Silent
from tuwen.workflow.baselines import baselines
from tuwen.workflow.contents import is_contrast
from tuwen.workflow.groups import clusters_of
from tuwen.workflow.judging import Judged, judge, pooled, primary_metric, refuse_other_classes, widened
from tuwen.workflow.leaks import leaks_of
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.places import refuse_occupied
from tuwen.workflow.retrieval import Sought, seek
from tuwen.workflow.stack_accounts import stack_account
from tuwen.workflow.starting import origins

LATENCY_ROWS = 30
PREDICTIONS = "predictions.parquet"


def evaluate(
    bundle: str | Path, dataset: str | Path | Dataset, out: str | Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Judge a bundle on the test part; train the one-modality baselines it is compared with.

    Writes ``report.json``, ``report.html``, ``predictions.parquet`` and ``baselines/`` (their answers, so that the
    next time they need no training) into ``out``.

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
    refuse_occupied(out)
    with room_on_disk(out), room_in_memory(), held(out):
        finish(out)
        sweep(out)
        return _evaluate(list(bundles), dataset, out, progress or Silent())


def _evaluate(bundles: list[Path], dataset: Dataset, out: Path, progress: Progress) -> dict[str, Any]:
    opened = [Bundle.open(folder) for folder in bundles]
    run = Run.from_plain(opened[0].run, str(opened[0].folder / "run.json"))
    if is_contrast(run):
        return _evaluate_retrieval(run, opened, dataset, out, progress)
    judged = [judge(run, bundle, dataset, progress) for bundle in opened]
    refuse_other_classes(opened, judged, dataset)
    model = pooled([one.predictions for one in judged])
    compared = baselines(run, opened, judged, model, dataset, out, progress)
    knock_out = {
        m: {way: pooled([one.knocked[m][way] for one in judged]) for way in ways}
        for m, ways in judged[0].knocked.items()
    }
    groups, clusters = _groups(run, judged, model, dataset)
    leaks = _leaks(run, judged, model, dataset)
    classes = {name for system in (model, *compared.values()) for name in system.classes}  # other data, other classes
    with progress.task("bootstrap", None):
        report = build_report(
            widened(model, classes),
            {name: widened(system, classes) for name, system in compared.items()},
            knock_out={m: {way: widened(one, classes) for way, one in ways.items()} for m, ways in knock_out.items()},
            unknown=sum((unlearned(one.predictions) for one in judged), Counter[str]()),
            history=json.loads((opened[0].folder / "history.json").read_text(encoding="utf-8")),
            cost=_cost(opened, judged, dataset),
            run=run.plain(),
            provenance=_provenance(run, opened, judged, dataset) | _spellings(judged, classes),
            raters=_blend(opened),
            stack=stack_account(opened, judged[0].gathered.frame[judged[0].rows], dataset),
            generator=samples.pooled(made) if (made := _accounts(opened)) else None,
            name=run.name,
            split=run.split.use,
            groups=groups,
            clusters=clusters,
            leaks=leaks,
            primary=primary_metric(run),
            samples=run.evaluation.samples,
            confidence=run.evaluation.confidence,
            seed=run.seed,
        )
    wrong = {entry["row"] for entry in report["worst"]}
    page = render(report, *_shown(run, wrong, judged, dataset))
    write_report(out, report, page, {PREDICTIONS: model.write})
    for bundle in opened:
        write_card(bundle.folder, card(bundle.manifest, report))
    return report


def _evaluate_retrieval(
    run: Run, opened: list[Bundle], dataset: Dataset, out: Path, progress: Progress
) -> dict[str, Any]:
    sought = [seek(run, bundle, dataset, progress) for bundle in opened]
    with progress.task("bootstrap", None):
        report = retrieval_report(
            [one.found for one in sought],
            history=json.loads((opened[0].folder / "history.json").read_text(encoding="utf-8")),
            cost=_cost(opened, sought, dataset),
            run=run.plain(),
            provenance=_provenance(run, opened, sought, dataset),
            name=run.name,
            split=run.split.use,
            samples=run.evaluation.samples,
            confidence=run.evaluation.confidence,
            seed=run.seed,
        )
    wanted = {row for one in report["retrieval"]["examples"] for row in (one["row"], *(h["row"] for h in one["found"]))}
    write_report(out, report, render(report, *_shown(run, wanted, sought, dataset)))
    for bundle in opened:
        write_card(bundle.folder, card(bundle.manifest, report))
    return report


def _accounts(bundles: list[Bundle]) -> list[dict[str, Any]]:
    """What the generators of the bundles say of themselves."""
    return [bundle.manifest["generator"] for bundle in bundles if "generator" in bundle.manifest]


def _blend(bundles: list[Bundle]) -> dict[str, Any] | None:
    """How the raters of the bundles are blended, in the mean over the folds; None where there are none."""
    told = [bundle.manifest["raters"]["members"] for bundle in bundles if "raters" in bundle.manifest]
    if not told:
        return None
    found: dict[str, Any] = {}
    for name in told[0]:
        weights, rmse = ([one[name][key] for one in told] for key in ("weight", "rmse"))
        found[name] = {
            "weight": sum(weights) / len(told),
            "rmse": None if None in rmse else sum(rmse) / len(told),
        }
    return found


def _groups(
    run: Run, judged: list[Judged], model: Predictions, dataset: Dataset
) -> tuple[list[object] | None, dict[str, Any] | None]:
    """The group of every test row, as the run says it or as the errors show it; and how they show it."""
    if column := run.evaluation.groups:
        return [v for one in judged for v in one.gathered.frame[column][one.rows].to_list()], None
    found = clusters_of(run, dataset, [(one.gathered, one.rows) for one in judged], model)
    return (None, None) if found is None else (found[1], found[0]._asdict())


def _leaks(run: Run, judged: list[Judged], model: Predictions, dataset: Dataset) -> list[dict[str, Any]]:
    """The leaks of all folds, with the score on the rows that each touches."""
    found = merged((leaks_of(run, dataset, one.gathered) for one in judged), len(model))
    with_scores = [scored(leak, model, PRIMARY[model.task]) for leak in found]
    return [leak.plain() for leak in sorted(with_scores, key=lambda leak: not leak.severe)]


def _cost(bundles: list[Bundle], judged: Sequence[Judged | Sought], dataset: Dataset) -> dict[str, float]:
    """Training cost summed over the folds; size and latency of the first bundle."""
    costs = [bundle.manifest["cost"] for bundle in bundles]
    size = sum(f.stat().st_size for f in bundles[0].folder.rglob("*") if f.is_file())
    p50, p95 = latency(bundles[0], judged[0].gathered.frame[judged[0].rows], dataset)
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


def latency(bundle: Bundle, frame: pl.DataFrame, dataset: Dataset) -> tuple[float, float]:
    """Milliseconds to answer one row of ``frame``, raw value to answer, as the service does it: median and 95th
    percentile of a few.
    """
    seconds = []
    for row in bundle_rows(bundle, frame[:LATENCY_ROWS], dataset):
        began = time.perf_counter()
        bundle.answer(bundle.read([row]))
        seconds.append(time.perf_counter() - began)
    warm = np.array(seconds[1:] or seconds) * 1000
    return round(float(np.quantile(warm, 0.5)), 2), round(float(np.quantile(warm, 0.95)), 2)


def bundle_rows(bundle: Bundle, frame: pl.DataFrame, dataset: Dataset) -> list[dict[str, Any]]:
    """The rows of a frame as :meth:`Bundle.predict` takes them, media as the bytes of all files of a cell."""
    media = {entry["column"] for entry in bundle.inputs if entry["kind"] in MEDIA}
    rows = frame.select(list(dict.fromkeys(entry["column"] for entry in bundle.inputs))).to_dicts()
    for row in rows:
        for column in media:
            row[column] = [dataset.media.read(key) for key in row[column]] if row[column] else None
    return rows


def _spellings(judged: Sequence[Judged], classes: Collection[str]) -> dict[str, Any]:
    """For the provenance: classes that are one class to a person."""
    warnings = spelling_warnings(str(judged[0].gathered.options["target"]), classes)
    return {"data_warnings": [list(texts) for texts in warnings]} if warnings else {}


def _provenance(run: Run, bundles: list[Bundle], judged: Sequence[Judged | Sought], dataset: Dataset) -> dict[str, Any]:
    first = bundles[0].manifest
    return (
        {
            "tuwen": __version__,
            "commit": commit(),
            "data_hash": dataset.hash,
            "trained_on": first["data"]["hash"],
            "shop": dataset.manifest.get("shop"),
            "trained_on_shop": first["data"].get("shop"),  # a bundle of an earlier tuwen does not know
            "seed": run.seed,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "split": first["data"]["split"],
            "folds": len(bundles),
            "rows": {
                part: sum(one.gathered.counts()[part] for one in judged) for part in ("train", "validation", "test")
            },
            "rows_without_truth": judged[0].gathered.without_truth,
        }
        | (
            {}
            if run.raters or "stack" in first
            else {"best_epochs": [bundle.manifest["best_epoch"] for bundle in bundles]}
        )
        | ({"starts_from": origins(run, bundles)} if run.init else {})
    )


def commit() -> str | None:
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
    run: Run, wanted: Collection[str], judged: Sequence[Judged | Sought], dataset: Dataset
) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """Pictures and texts of the rows that the page shows; two views of the same columns are shown once."""
    frame = pl.concat([one.gathered.frame[one.rows] for one in judged]).filter(pl.col("row").is_in(list(wanted)))
    pictures: dict[str, list[bytes]] = {}
    texts: dict[str, str] = {}
    columns_of_pictures: set[tuple[str, ...]] = set()
    for use, columns in dict.fromkeys((spec.use, tuple(spec.columns)) for spec in run.modalities.values()):
        if input_kind(use) == "image" and columns not in columns_of_pictures:
            columns_of_pictures.add(columns)
            for row, key in zip(frame["row"], first_picture(frame, columns), strict=True):
                if key:
                    pictures.setdefault(row, []).append(dataset.media.read(key))
        if use == "text":
            for row, text in zip(frame["row"], joined_text(frame, columns), strict=True):
                if text:
                    texts[row] = f"{texts[row]}\n{text}" if row in texts else text
    return pictures, texts
