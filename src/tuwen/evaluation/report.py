"""report.json: everything that was measured, as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tuwen.errors import DataError
from tuwen.evaluation.calibration import calibration
from tuwen.evaluation.confusion import confusion
from tuwen.evaluation.intervals import Resampled, differences, intervals, resample
from tuwen.evaluation.metrics import METRICS, PRIMARY, metrics_of, with_primary
from tuwen.evaluation.origin import origin_warnings
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.regression import regression
from tuwen.evaluation.slices import slices, worst
from tuwen.evaluation.unlearned import counted, unlearned, unlearned_warning
from tuwen.files import make_folder, room_on_disk
from tuwen.outputs import Ready, finish

FORMAT = 1

# what a report holds of answers row by row, and one of ranked lists has not
NOT_OF_LISTS: dict[str, Any] = {
    "unseen": {"classes": 0, "rows": 0, "names": []},
    "calibration": None,
    "confusion": None,
    "regression": None,
    "worst": [],
}


def build_report(
    model: Predictions,
    baselines: Mapping[str, Predictions],
    *,
    knock_out: Mapping[str, Mapping[str, Predictions]] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    cost: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    generator: Mapping[str, Any] | None = None,
    raters: Mapping[str, Mapping[str, float | None]] | None = None,
    stack: Mapping[str, Any] | None = None,
    unknown: Mapping[str, int] | None = None,
    leaks: Sequence[Mapping[str, Any]] = (),
    name: str = "",
    split: str = "hash",
    groups: Sequence[object] | None = None,
    clusters: Mapping[str, Any] | None = None,
    primary: str | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    worst_rows: int = 12,
) -> dict[str, Any]:
    """Judge a model against its baselines, on the same rows and the same resamples.

    Args:
        model: predictions of the system in question.
        baselines: NAME → predictions for the same rows. ``mean``, ``median``, ``majority`` and ``MODALITY_only``
            (``text_only``) are put in words on the page, other names stand as they are.
        knock_out: MODALITY → way → the model's predictions with that modality ``absent``, absent in a fixed ``half`` of
            the rows, or ``swapped`` for another row's.
        history: one mapping for each epoch: ``epoch``, ``train_loss``, ``validation_loss``, ``validation_METRIC``, …
        cost: numbers that name their unit: ``train_seconds``, ``peak_memory_mb``, ``bundle_mb``, ``latency_p50_ms``, …
        run: the run as plain data.
        provenance: ``commit``, ``data_hash``, ``seed``, ``tuwen``, ``time``, …; :mod:`~tuwen.evaluation.origin`
            says what of it makes ``warnings``.
        generator: the account of one that filled or made vectors; see :func:`tuwen.evaluation.samples.pooled`.
        raters: rater → its ``weight`` in the blend and its ``rmse`` on ratings of the train part that it had not seen.
        stack: members of ``fusion: auto`` and what each modality is worth, as
            :func:`tuwen.workflow.stack_accounts.stack_account` tells it.
        unknown: class → test rows, of classes that the model cannot know; default: those that are not in ``classes``
            of its predictions (which hold more where folds are pooled, or baselines know others).
        leaks: of the data, as plain data: :mod:`tuwen.evaluation.leaks`.
        name: of the run.
        split: how the test part was chosen: hash, time, column, folds, random.
        groups: one value for each row; intervals by whole groups (users) instead of rows.
        clusters: of groups that nobody named, the ``column`` that makes them and the design ``effect`` that chose it.
        primary: the metric that decides, which the report then has; default: rmse for rate, else accuracy.
        samples, confidence, seed: of the bootstrap.
        worst_rows: how many of the most wrong rows to list.

    Returns:
        The content of report.json: strict JSON, numbers finite or None. ``metrics`` and each of ``baselines``:
        metric → ``value``, ``low``, ``high``; ``comparisons``: NAME → metric → model minus NAME as ``difference``,
        ``low``, ``high``, ``p``; ``knock_out``: MODALITY → way → ``metrics`` and ``comparison`` (model minus knocked
        out).

    Raises:
        DataError: the systems do not hold the same rows, or ``primary`` is not a metric of the task.
    """
    primary = metrics_of(model.task, [primary or PRIMARY[model.task]])[0].name
    knocked = knock_out or {}
    bootstrap = {"samples": samples, "confidence": confidence, "seed": seed, "clusters": clusters}
    report: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "task": model.task,
        "rows": len(model),
        "split": split,
        "primary": primary,
        "bootstrap": {**bootstrap, "groups": None if groups is None else len(set(groups))},
        **_judged(model, baselines, knocked, with_primary(model.task, primary), bootstrap, groups),
        "unseen": counted(unlearned(model) if unknown is None else unknown),
        "calibration": calibration(model),
        "confusion": confusion(model),
        "regression": regression(model, seed),
        "history": [dict(epoch) for epoch in history or []],
        "worst": worst(model, worst_rows),
        "cost": dict(cost or {}),
        "run": dict(run or {}),
        "provenance": {"seed": seed, **(provenance or {})},
        "warnings": [{"en": english, "zh": chinese} for english, chinese in origin_warnings(provenance or {})],
    }
    lost = unlearned_warning(report["unseen"], len(model), report["metrics"].get("accuracy", {}).get("value"))
    report["warnings"] += [] if lost is None else [{"en": lost[0], "zh": lost[1]}]
    report["leaks"] = [dict(leak) for leak in leaks]
    report["warnings"] += [{"en": leak["en"], "zh": leak["zh"]} for leak in leaks if leak["severe"]]
    if generator is not None:
        report["generator"] = dict(generator)
        report["warnings"] += generator["warnings"]
    if raters is not None:
        report["raters"] = {name: dict(found) for name, found in raters.items()}
    if stack is not None:
        report["stack"] = dict(stack)
    reference = best_baseline(report)
    report["slices"] = slices(
        model,
        baselines[reference] if reference else None,
        samples=samples,
        confidence=confidence,
        seed=seed,
        groups=None if groups is None else np.array(groups, dtype=object),
        primary=primary,
    )
    return dict(plain(report))


def _judged(
    model: Predictions,
    baselines: Mapping[str, Predictions],
    knock_out: Mapping[str, Mapping[str, Predictions]],
    metrics: Sequence[str],
    bootstrap: Mapping[str, Any],
    groups: Sequence[object] | None,
) -> dict[str, Any]:
    """``metrics``, ``baselines``, ``comparisons`` and ``knock_out``: every system on the same resamples."""
    systems: dict[tuple[str, ...], Predictions] = {("model",): model}
    systems |= {("baseline", name): system for name, system in baselines.items()}
    systems |= {(way, name): system for name, ways in knock_out.items() for way, system in ways.items()}
    names = {" ".join(key): key for key in systems}  # for messages: "baseline text_only"
    confidence, how = bootstrap["confidence"], {"samples": bootstrap["samples"], "seed": bootstrap["seed"]}
    drawn = resample({n: systems[key] for n, key in names.items()}, groups=groups, names=metrics, **how)
    found = {key: drawn[n] for n, key in names.items()}
    of_model = found["model",]

    def measured(system: Resampled) -> dict[str, Any]:
        return {metric: i.plain() for metric, i in intervals(system, confidence).items()}

    def compared(system: Resampled) -> dict[str, Any]:
        return {metric: d.plain() for metric, d in differences(of_model, system, confidence).items()}

    return {
        "metrics": measured(of_model),
        "baselines": {name: measured(found["baseline", name]) for name in baselines},
        "comparisons": {name: compared(found["baseline", name]) for name in baselines},
        "knock_out": {
            name: {w: {"metrics": measured(found[w, name]), "comparison": compared(found[w, name])} for w in ways}
            for name, ways in knock_out.items()
        },
    }


def best_baselines(report: Mapping[str, Any], metric: str | None = None) -> list[str]:
    """The names of the baselines that are best in ``metric`` (default: the primary one): several where they tie."""
    metric = metric or report["primary"]
    values = {name: b.get(metric, {}).get("value") for name, b in report["baselines"].items()}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return []
    best = (max if METRICS[metric].greater_is_better else min)(known.values())
    return [name for name, value in known.items() if math.isclose(value, best, rel_tol=1e-12)]


def best_baseline(report: Mapping[str, Any], metric: str | None = None) -> str | None:
    """The first of :func:`best_baselines`, for what is compared with one alone; None where there is none."""
    return next(iter(best_baselines(report, metric)), None)


def of_all(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is true of all of some intervals or differences with the same value: the first, with the widest range."""
    lows, highs = ([one[side] for one in found if one.get(side) is not None] for side in ("low", "high"))
    return dict(found[0]) | {"low": min(lows, default=None), "high": max(highs, default=None)}


class SummaryRow(NamedTuple):
    """One line of the table that the command line prints; ``best_baseline`` names all that tie."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    best_baseline: str | None
    baseline_value: float | None


def summary(report: Mapping[str, Any]) -> list[SummaryRow]:
    """The model's metrics, each beside the baseline that is best in it; the primary metric stands first."""
    rows = []
    for metric, found in report["metrics"].items():
        best = best_baselines(report, metric)
        value = report["baselines"][best[0]][metric]["value"] if best else None
        rows.append(SummaryRow(metric, found["value"], found["low"], found["high"], ", ".join(best) or None, value))
    return sorted(rows, key=lambda row: row.metric != report["primary"])


def write_report(
    folder: str | Path,
    report: Mapping[str, Any],
    html: str,
    tables: Mapping[str, Callable[[Path], object]] | None = None,
) -> tuple[Path, Path]:
    """Write ``report.json``, ``report.html`` and the tables that belong to them in one step.

    Args:
        folder: the caller holds it where others may write into it.
        tables: name of a file → function that writes it to a path.

    Raises:
        DataError: the folder cannot be written to; the report is not strict JSON.
    """
    folder = Path(folder)
    try:
        text = json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1)
    except (TypeError, ValueError) as error:
        raise DataError("the report is not strict JSON", seen=error, todo="build it with build_report") from None
    as_json, as_html = folder / "report.json", folder / "report.html"
    with room_on_disk(folder):
        make_folder(folder)
        finish(folder)
        with Ready(folder) as ready:
            for name, write in (tables or {}).items():
                write(ready.path(name))
            ready.add(as_json.name, text.encode() + b"\n")
            ready.add(as_html.name, html.encode())
            ready.place()
    return as_json, as_html


def plain(value: Any) -> Any:
    """Strict JSON: NumPy scalars and arrays as Python's own, NaN and infinity as None, anything else as its text."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
