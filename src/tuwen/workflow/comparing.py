"""Compare: every combination of some settings, each trained a few times, judged on the same rows."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuwen import __version__
from tuwen.config import Comparison, Evaluation, Run, Shop, load_yaml, written
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, TuwenError
from tuwen.evaluation.comparison import Bootstrap, Cell
from tuwen.evaluation.comparison import compare as judge
from tuwen.evaluation.comparison_page import render_comparison
from tuwen.evaluation.metrics import PRIMARY
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.report import plain
from tuwen.files import held, room_on_disk, whole, write_json
from tuwen.progress import Progress, Silent, Within
from tuwen.workflow.contents import modalities_by_kind, refuse_contrast
from tuwen.workflow.evaluation import commit
from tuwen.workflow.judging import pooled
from tuwen.workflow.memory import out_of_memory
from tuwen.workflow.places import refuse_occupied
from tuwen.workflow.rules import split_of
from tuwen.workflow.sharing import Shared, groups_of
from tuwen.workflow.trainings import ANSWERS, Training, carry_out, failure, mean_cost, read
from tuwen.workflow.variants import Base, Value, Varied, combinations, name_of, parse, refuse_fixed, run_of, variant

FORMAT = 1


@dataclass(frozen=True)
class Planned:
    """One combination of values, before it is trained; ``run`` is None where its settings are wrong."""

    name: str
    values: Mapping[str, Value]
    kept: Mapping[str, Mapping[str, Any]]
    run: Run | None


@dataclass
class Plan:
    """What is to be trained.

    Attributes:
        run: the run as it is written.
        seeds: of the trainings of each cell.
        failures: why cells have no numbers; grows while training.
    """

    run: Run
    varied: Sequence[Varied]
    cells: list[Planned]
    reference: str
    seeds: list[int]
    folds: int
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """Every kind of input that a cell reads."""
        runs = [cell.run for cell in self.cells if cell.run is not None]
        return list(dict.fromkeys(kind for run in runs for kind in modalities_by_kind(run)))

    def living(self) -> list[tuple[str, Run]]:
        """The cells that have not failed."""
        failed = {one["cell"] for one in self.failures}
        return [(cell.name, cell.run) for cell in self.cells if cell.run is not None and cell.name not in failed]


def is_comparison(path: str | Path) -> bool:
    """Whether the file is a comparison, not a run."""
    return Path(path).is_file() and bool({"run", "vary"} & load_yaml(path)[0].keys())


def compare_as_written(
    comparison_yaml: str | Path,
    out: str | Path,
    dataset: str | Path | Dataset | None = None,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """:func:`compare` with what stands in a comparison's file."""
    asked = Comparison.read(comparison_yaml)
    return compare(
        asked.run,
        out,
        dataset,
        vary=asked.vary,
        seeds=asked.seeds,
        reference=asked.reference,
        overrides=[*asked.set, *overrides],
        progress=progress,
    )


def compare(
    run_yaml: str | Path,
    out: str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    vary: Iterable[str] = (),
    seeds: int = 5,
    reference: Iterable[str] = (),
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train every combination of the varied values with every seed (and fold) and write ``compare.json`` and
    ``compare.html`` into ``out``.

    A training that is finished is a small folder in ``out/trainings`` and is not done again; one that was stopped goes
    on from its checkpoint. A cell that fails is told in ``failures`` and tried again by the next call. Nothing is
    chosen here: the test part only reports.

    Args:
        dataset: without one, the run's shop is collected into ``out/dataset``.
        vary: ``KEY=VALUE,VALUE``.
        seeds: how many trainings a cell; the first has the run's own seed.
        reference: ``KEY=VALUE`` of the cell the others are compared with; a key that is not named takes its first
            value.

    Returns:
        the content of compare.json.

    Raises:
        ConfigError: a key that may not be varied, or a reference that is no cell or whose settings are wrong.
        TuwenError: every cell failed; tells why the first did.
        InUse: another process compares in the same folder.
    """
    plan = plan_of(run_yaml, vary, seeds, reference, overrides)
    refuse_contrast(plan.run)
    out = Path(out)
    refuse_occupied(out)
    with room_on_disk(out), held(out):
        opened = dataset_of(plan.run, run_yaml, dataset, out, progress)
        done = _train(plan, opened, out / "trainings", progress or Silent())
        with (progress or Silent()).task("bootstrap", None):
            result = _result(plan, opened, done)
        write_json(out / "compare.json", result)
        with whole(out / "compare.html") as file:
            file.write(render_comparison(result).encode())
        shutil.rmtree(out / "work", ignore_errors=True)  # of trainings under other settings
    return result


def plan_of(
    run_yaml: str | Path,
    vary: Iterable[str] = (),
    seeds: int = 5,
    reference: Iterable[str] = (),
    overrides: Iterable[str] = (),
) -> Plan:
    """All that can be told before any data is read."""
    if not 1 <= seeds <= 1000:
        raise ConfigError("that is no number of seeds", where="--seeds", seen=seeds, allowed="1 to 1000")
    base = Base(*written(run_yaml, overrides), str(run_yaml))
    varied = [parse(text) for text in vary]
    refuse_fixed(varied)
    run = base.run
    chosen = _reference(varied, list(reference))
    plan = Plan(run, varied, [], name_of(chosen), [run.seed + i for i in range(seeds)], split_of(run).folds)
    for values in combinations(varied):
        name = name_of(values)
        try:
            made = variant(base, values)
            plan.cells.append(Planned(name, values, made.kept, run_of(base, made)))
        except TuwenError as error:
            if name == plan.reference:
                raise
            plan.cells.append(Planned(name, values, {}, None))
            plan.failures.append(failure(error, name))
    return plan


def _reference(varied: Sequence[Varied], asked: Sequence[str]) -> dict[str, Value]:
    """The first combination, with the values that were asked for."""
    chosen = {one.key: one.values[0] for one in varied}
    for text in asked:
        (wanted,) = parse(text, "--reference").values[:1]
        key = text.partition("=")[0].strip()
        known = {one.key: one.values for one in varied}
        found = next((value for value in known.get(key, ()) if value.value == wanted.value), None)
        if found is None:
            allowed = [f"{name}={value.text}" for name, values in known.items() for value in values]
            raise ConfigError("the reference is none of the cells", where=f"--reference {text}", allowed=allowed)
        chosen[key] = found
    return chosen


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
    collect(Shop.read((Path(run_yaml).parent / run.shop).resolve()), out / "dataset", progress=progress)
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
        return training.find(place) or carry_out(
            training,
            shared.prepared(training.run),
            dataset,
            place,
            kinds=plan.kinds,
            weigh=seed == plan.seeds[0] and fold == 0,
            progress=shown,
        )
    except OSError:  # the disk or the machine, not the cell
        raise
    except Exception as error:
        told = failure(out_of_memory(error) or error, name, seed, fold)
        if not isinstance(error, TuwenError):
            told["todo"] = f"the details are in {_logged(error, place.with_name('failures'), len(plan.failures))}"
        plan.failures.append(told)
        return None


def _logged(error: Exception, folder: Path, number: int) -> Path:
    """The traceback of a fault of tuwen's own, or of a plug-in."""
    folder.mkdir(exist_ok=True)
    log = folder / f"{number + 1}.log"
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return log


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
    for name, seeds in done.items():
        read_ = [[read(folder) for folder in folds] for folds in seeds]
        told[name] = [training for folds in read_ for training, _ in folds]
        cells[name] = _cell([[answers for _, answers in folds] for folds in read_])
    groups = groups_of(plan.run, dataset, plan.folds)
    settings: Evaluation = plan.run.evaluation
    bootstrap = Bootstrap(
        settings.samples, settings.confidence, plan.run.seed, None if groups is None else groups.to_list()
    )
    judged = judge(cells, plan.reference, bootstrap)
    any_cell = next(iter(cells.values())).seeds[0]
    return dict(
        plain(
            {
                "format": FORMAT,
                "name": plan.run.name,
                "task": any_cell.task,
                "rows": len(any_cell),
                "primary": PRIMARY[any_cell.task],
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
                "kinds": plan.kinds,
                "cells": [
                    {
                        "name": cell.name,
                        "settings": {key: value.text for key, value in cell.values.items()},
                        "kept": cell.kept,
                        **judged[cell.name],
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


def _cell(answers: list[list[dict[str, Predictions]]]) -> Cell:
    """seed → fold → tables, the folds pooled."""
    names = list(answers[0][0])
    tables = {name: [pooled([fold[name] for fold in folds]) for folds in answers] for name in names}
    return Cell(tables[ANSWERS], {n.removeprefix("without-"): t for n, t in tables.items() if n != ANSWERS})


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
