"""Check a run without training it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.config import RankRun, Run, SearchRun, Shop
from tuwen.data import SPLITS
from tuwen.data.dataset import Dataset
from tuwen.data.spellings import spelling_warnings
from tuwen.errors import ConfigError
from tuwen.evaluation.leaks import merged
from tuwen.models import FUSIONS
from tuwen.preprocess import MODALITIES
from tuwen.workflow.contents import is_contrast, own_options
from tuwen.workflow.estimating import estimate
from tuwen.workflow.gathering import gather
from tuwen.workflow.generating import generator_part
from tuwen.workflow.kinds import is_comparison, own_task, part_of
from tuwen.workflow.leaks import few_groups, leaks_of
from tuwen.workflow.preparing import encoder_options, modality_options
from tuwen.workflow.rating import raters_options
from tuwen.workflow.rules import check_settings, need_condition, split_of, task_options
from tuwen.workflow.starting import start_of


def check(
    run_yaml: str | Path, overrides: Iterable[str] = (), dataset: str | Path | Dataset | None = None
) -> dict[str, Any]:
    """Every name and option of the run, checked against its component and completed with the defaults.

    With a dataset also what only the data can tell: columns, their kinds, the target, ``rows.where``, the parts of
    every fold. ``data`` of the answer then holds ``rows`` (one count a fold), ``rows_without_truth``, ``leaks`` (see
    :mod:`tuwen.evaluation.leaks`), ``warnings``, the leaks in words among them, and ``estimate``
    (:func:`tuwen.workflow.estimating.estimate`).

    Raises:
        ConfigError: with file and line, what is allowed, and what was probably meant.
        BundleError: the run starts from a bundle that is not there.
        DataError: the dataset is not one, or the run cannot be trained on it.
    """
    overrides = list(overrides)
    if is_comparison(run_yaml):
        raise ConfigError(
            "this file says what is compared, and is no run",
            where=str(run_yaml),
            todo=f"tuwen compare {run_yaml} --out DIR checks every cell before it trains one; tuwen check its 'run'",
        )
    if task := own_task(run_yaml, overrides):
        return _check_own(task, Path(run_yaml), overrides, dataset)
    run = Run.read(run_yaml, overrides)
    if run.shop is not None:
        Shop.read((Path(run_yaml).parent / run.shop).resolve())
    found = complete(run)
    start_of(run)
    return found if dataset is None else found | {"data": _on(run, dataset, split_of(run).folds)}


def complete(run: Run) -> dict[str, Any]:
    """The run as plain data with every default of its components; raises what :func:`check` raises without data."""
    check_settings(run)
    modalities = {}
    for name, spec in run.modalities.items():
        options = MODALITIES.options(spec.use, modality_options(run, name), run.where("modalities", name))
        encoder = {"use": spec.encoder.use, **encoder_options(run, name)}
        modalities[name] = {"use": spec.use, "columns": spec.columns, **options, "encoder": encoder}
    split = split_of(run)
    return run.plain() | {
        "modalities": modalities,
        "fusion": {"use": run.fusion.use, **FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))},
        "gan": {"use": part.use, **part.options} if (part := generator_part(run)) else "off",
        "task": {"use": run.task.use, **own_options(run, task_options(run))},
        "raters": {
            name: {"use": (run.raters or {})[name].use, **options} for name, options in raters_options(run).items()
        }
        or None,
        "split": {
            "use": run.split.use,
            **SPLITS.options(run.split.use, run.split.options, run.where("split")),
            "label": split.label,
            "folds": split.folds,
        },
    }


def _on(run: Run, dataset: str | Path | Dataset, folds: int) -> dict[str, Any]:
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    gathered = [gather(run, dataset, fold) for fold in range(folds)]
    truth = None if is_contrast(run) else gathered[0].truth
    names = truth.drop_nulls().unique().to_list() if truth is not None and truth.dtype == pl.String else []
    warnings = [] if truth is None else spelling_warnings(truth.name, names)
    tested = sum(len(table.rows("test")) for table in gathered)
    leaks = merged((leaks_of(run, dataset, table) for table in gathered), tested)
    leaks += few_groups(run, dataset, gathered[0])
    return {
        "rows": [table.counts() for table in gathered],
        "rows_without_truth": gathered[0].without_truth,
        "warnings": [english for english, _ in warnings] + [leak.text[0] for leak in leaks],
        "leaks": [leak.plain() for leak in leaks],
        "estimate": estimate(run, dataset, gathered[0]),
    }


def _check_own(task: str, run_yaml: Path, overrides: list[str], dataset: str | Path | Dataset | None) -> dict[str, Any]:
    run = (RankRun if task == "rank" else SearchRun).read(run_yaml, overrides)
    if run.shop is not None:
        Shop.read((run_yaml.parent / run.shop).resolve())
    if isinstance(run, RankRun):
        need_condition(run.events.where, run.where("events", "where"))
    found: dict[str, Any] = part_of(task, "completed")(run)
    if dataset is None:
        return found
    opened = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    return found | {"data": part_of(task, "rows_of")(run, opened)}
