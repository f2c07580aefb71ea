"""Compare: every combination of some settings, each trained a few times, judged on the same rows."""

from __future__ import annotations

import shutil
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuwen import __version__
from tuwen.config import Comparison, Evaluation, Run, Shop
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, TuwenError
from tuwen.evaluation import samples
from tuwen.evaluation.comparison import Bootstrap, Cell
from tuwen.evaluation.comparison import compare as judge
from tuwen.evaluation.comparison_page import render_comparison
from tuwen.evaluation.comparison_words import noted
from tuwen.evaluation.report import plain
from tuwen.evaluation.unlearned import counted, unlearned
from tuwen.files import DiskFull, json_bytes, room_on_disk
from tuwen.masking import write_log
from tuwen.outputs import finish, held, sweep, write_files
from tuwen.progress import Progress, Silent, Within
from tuwen.workflow.contents import refuse_contrast
from tuwen.workflow.evaluation import commit
from tuwen.workflow.judging import pooled, primary_metric
from tuwen.workflow.memory import out_of_memory
from tuwen.workflow.places import refuse_occupied, refuse_strange
from tuwen.workflow.planning import Plan, plan_of, refuse_another
from tuwen.workflow.rules import split_of
from tuwen.workflow.sharing import Shared, groups_of
from tuwen.workflow.steps import collected
from tuwen.workflow.trainings import Training, carry_out, failure, mean_cost, read
from tuwen.workflow.variants import parse

FORMAT = 1
RESULT, TRAININGS = "compare.json", "trainings"
OWN = (RESULT, "compare.html", TRAININGS, "work", "dataset", "failures")  # what a comparison writes into its folder


def compare_as_written(
    comparison_yaml: str | Path,
    out: str | Path,
    dataset: str | Path | Dataset | None = None,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
    *,
    seeds: int | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """:func:`compare` with what stands in a comparison's file; ``seeds`` instead of those of the file."""
    asked = Comparison.read(comparison_yaml)
    plan = plan_of(
        asked.run,
        [parse(text, where=asked.where("vary", i)) for i, text in enumerate(asked.vary)],
        asked.seeds if seeds is None else seeds,
        [parse(text, "--reference", asked.where("reference", i)) for i, text in enumerate(asked.reference)],
        [*asked.set, *overrides],
    )
    return _compare(plan, asked.run, Path(out), dataset, replace, progress or Silent())


def compare(
    run_yaml: str | Path,
    out: str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    vary: Iterable[str] = (),
    seeds: int = 5,
    reference: Iterable[str] = (),
    overrides: Iterable[str] = (),
    replace: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train every combination of the varied values with every seed (and fold) and write ``compare.json`` and
    ``compare.html`` into ``out``.

    A training that is finished is a small folder in ``out/trainings`` and is not done again; one that was stopped goes
    on from its checkpoint. A cell that fails is told in ``failures`` and tried again by the next call. Nothing is
    chosen here: the test part only reports.

    Args:
        dataset: without one, the run's shop is collected into ``out/dataset``.
        vary: ``KEY=VALUE,VALUE``; without any the run as it is is trained with every seed.
        seeds: how many trainings a cell; the first has the run's own seed.
        reference: ``KEY=VALUE`` of the cell the others are compared with; a key that is not named takes its first
            value.
        replace: also write over another comparison in ``out``, or one of other data.

    Returns:
        the content of compare.json.

    Raises:
        ConfigError: a key that may not be varied, two cells that are the same, a reference that is no cell or whose
            settings are wrong, or another comparison in ``out``, or one of other data, whose numbers would be lost.
        DataError: ``out`` holds something else than a comparison.
        TuwenError: every cell failed; tells why the first did.
        InUse: another process compares in the same folder.
    """
    varied, chosen = [parse(text) for text in vary], [parse(text, "--reference") for text in reference]
    plan = plan_of(run_yaml, varied, seeds, chosen, list(overrides))
    return _compare(plan, run_yaml, Path(out), dataset, replace, progress or Silent())


def _compare(
    plan: Plan,
    run_yaml: str | Path,
    out: Path,
    dataset: str | Path | Dataset | None,
    replace: bool,
    progress: Progress,
) -> dict[str, Any]:
    refuse_contrast(plan.run)
    refuse_occupied(out)
    refuse_strange(out, "a comparison", OWN, (RESULT, TRAININGS))
    with room_on_disk(out), held(out):
        finish(out)
        sweep(out)
        if not replace:
            refuse_another(plan, out / RESULT)
        for number, one in enumerate(plan.failures):
            with progress.task(f"cannot be trained: {one['cell']}: {one['what']}"):
                if (fault := plan.faults.get(one["cell"])) is not None:
                    one["todo"] = _logged(fault, out / "failures", number)
        notes = plan.notes()
        for note in noted(notes, len(plan.living())):
            with progress.task(note):
                pass
        opened = dataset_of(plan.run, run_yaml, dataset, out, progress)
        if not replace:
            refuse_another(plan, out / RESULT, opened.hash)
        done = _train(plan, opened, out / TRAININGS, progress)
        with progress.task("bootstrap", None):
            result = _result(plan, opened, done) | {"notes": notes}
        page = render_comparison(result).encode()
        write_files(out, {RESULT: json_bytes(result), "compare.html": page})
        shutil.rmtree(out / "work", ignore_errors=True)  # of trainings under other settings
    return result


def dataset_of(
    run: Run, run_yaml: str | Path, dataset: str | Path | Dataset | None, out: Path, progress: Progress | None
) -> Dataset:
    """The dataset that was named, or the run's shop collected into ``out/dataset``."""
    if isinstance(dataset, Dataset):
        return dataset
    if dataset is not None:
        return Dataset.open(dataset)
    if run.shop is None:
        raise ConfigError(
            "the run names no shop to collect from",
            where=str(run_yaml),
            allowed="shop: PATH/TO/SHOP.yaml",
            todo="name a dataset behind RUN.yaml",
        )
    collected(Shop.read((Path(run_yaml).parent / run.shop).resolve()), out / "dataset", progress)
    return Dataset.open(out / "dataset")


# --- Training -----------------------------------------------------------------------------------------------------


def _train(plan: Plan, dataset: Dataset, place: Path, progress: Progress) -> dict[str, list[list[Path]]]:
    """Carry out what is not done; returns cell → seed → fold → folder, of the cells that did not fail."""
    place.mkdir(parents=True, exist_ok=True)
    for half in place.glob(".*.half"):  # of a process that was killed
        shutil.rmtree(half, ignore_errors=True)
    done: dict[tuple[str, int, int], Path] = {}
    with progress.task("trainings", len(plan.cells) * len(plan.seeds) * plan.folds) as bar:
        for fold in range(plan.folds):
            shared = Shared(dataset, fold, progress)  # one fold at a time: each holds its own arrays
            for seed in plan.seeds:
                living = plan.living()
                bar.advance(len(plan.cells) - len(living))
                for name, run in living:
                    found = _one(plan, (name, seed, fold), run, shared, dataset, place, progress)
                    if found is not None:
                        done[name, seed, fold] = found
                    bar.advance(1)
    return {
        name: [[done[name, seed, fold] for fold in range(plan.folds)] for seed in plan.seeds]
        for name, _ in plan.living()
    }


def _one(
    plan: Plan,
    key: tuple[str, int, int],
    run: Run,
    shared: Shared,
    dataset: Dataset,
    place: Path,
    progress: Progress,
) -> Path | None:
    """The folder of a cell's training, now or earlier; None where it failed, which is noted in the plan."""
    name, seed, fold = key
    shown = Within(progress, f"{name}, seed {seed}" + (f", fold {fold + 1} of {plan.folds}" if plan.folds > 1 else ""))
    try:
        training = Training.of(name, run, seed, fold, dataset)
        return training.find(place, plan.inputs) or carry_out(
            training,
            shared.prepared(training.run),
            dataset,
            place,
            inputs=plan.inputs,
            weigh=seed == plan.seeds[0] and fold == 0,
            progress=shown,
        )
    except (OSError, DiskFull):  # the disk or the machine, not the cell
        raise
    except Exception as error:
        told = failure(out_of_memory(error) or error, name, seed, fold)
        if not isinstance(error, TuwenError):
            told["todo"] = _logged(error, place.with_name("failures"), len(plan.failures))
        plan.failures.append(told)
        return None


def _logged(error: Exception, folder: Path, number: int) -> str:
    """Keep the traceback of a fault of tuwen's own, or of a plug-in; says where."""
    folder.mkdir(exist_ok=True)
    log = folder / f"{number + 1}.log"
    log.unlink(missing_ok=True)  # of an earlier comparison
    write_log(log, "".join(traceback.format_exception(error)))
    return f"the details are in {log}"


# --- The result ---------------------------------------------------------------------------------------------------


def _result(plan: Plan, dataset: Dataset, done: Mapping[str, list[list[Path]]]) -> dict[str, Any]:
    if not done:
        first = plan.failures[0]
        raise TuwenError(
            f"none of the {len(plan.cells)} cells could be trained; the first: {first['what']}",
            where=first.get("where") or first["cell"],
            seen=first.get("seen"),
            allowed=first.get("allowed"),
            todo=first.get("todo"),
        )
    told: dict[str, list[dict[str, Any]]] = {}
    cells: dict[str, Cell] = {}
    unseen: dict[str, dict[str, Any]] = {}
    for name, seeds in done.items():
        read_ = [[read(folder, plan.inputs) for folder in folds] for folds in seeds]
        told[name] = [training for folds in read_ for training, *_ in folds]
        cells[name] = Cell(
            [pooled([answers for _, answers, _ in folds]) for folds in read_],
            {label: [pooled([without[label] for *_, without in folds]) for folds in read_] for label in plan.inputs},
        )
        unseen[name] = counted(sum((unlearned(answers) for _, answers, _ in read_[0]), Counter[str]()))
    groups = groups_of(plan.run, dataset, plan.folds)
    settings: Evaluation = plan.run.evaluation
    primary = primary_metric(plan.run)
    drawn = None if groups is None else groups.to_list()
    bootstrap = Bootstrap(settings.samples, settings.confidence, plan.run.seed, drawn, primary)
    judged = judge(cells, plan.reference, bootstrap)
    any_cell = next(iter(cells.values())).seeds[0]
    return dict(
        plain(
            {
                "format": FORMAT,
                "name": plan.run.name,
                "task": any_cell.task,
                "rows": len(any_cell),
                "primary": primary,
                "reference": plan.reference,
                "varied": {one.key: [value.text for value in one.values] for one in plan.varied},
                "seeds": plan.seeds,
                "folds": plan.folds,
                "split": plan.run.split.use,
                "bootstrap": {
                    "samples": settings.samples,
                    "confidence": settings.confidence,
                    "seed": plan.run.seed,
                    "groups": None if groups is None else groups.n_unique(),
                },
                "kinds": list(plan.inputs),
                "cells": [
                    {
                        "name": cell.name,
                        "settings": {key: value.text for key, value in cell.values.items()},
                        "kept": cell.kept,
                        **judged[cell.name],
                        "unseen": unseen[cell.name],
                        **_generator(told[cell.name], len(plan.seeds)),
                        "cost": mean_cost(told[cell.name], len(plan.seeds)),
                    }
                    for cell in plan.cells
                    if cell.name in judged
                ],
                "failures": plan.failures,
                "provenance": _provenance(plan, dataset),
                "run": plan.run.plain(),
            }
        )
    )


def _generator(told: list[dict[str, Any]], seeds: int) -> dict[str, Any]:
    """``generator``: what those of all seeds and folds say of themselves; nothing where a training has none, or was
    kept by an earlier tuwen that did not note it.
    """
    accounts = [one["generator"] for one in told if "generator" in one]
    return {"generator": samples.over_trainings(accounts, len(told) // seeds)} if len(accounts) == len(told) else {}


def _provenance(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    return {
        "tuwen": __version__,
        "commit": commit(),
        "data_hash": dataset.hash,
        "shop": dataset.manifest.get("shop"),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": split_of(plan.run).label,
        "folds": plan.folds,
    }
