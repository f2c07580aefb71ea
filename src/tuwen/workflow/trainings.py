"""The single trainings of a comparison: each a small folder with what it answered and what it cost."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.bundle.bundle import Bundle
from tuwen.config import Evaluation, Run
from tuwen.data.dataset import Dataset
from tuwen.errors import TuwenError
from tuwen.evaluation.predictions import Predictions
from tuwen.files import publish, write_json
from tuwen.progress import Progress
from tuwen.training.batches import outputs_of
from tuwen.training.loop import network_of
from tuwen.workflow.evaluation import latency
from tuwen.workflow.fitting import Fitted, Prepared, fit_network
from tuwen.workflow.judging import base_of, predictions_of, without_inputs
from tuwen.workflow.knock_out import Together
from tuwen.workflow.training import fingerprint, write_bundle

DONE = "training.json"
ANSWERS = "predictions"
WITHOUT = "without-"


@dataclass(frozen=True)
class Training:
    """One cell, seed and fold."""

    cell: str
    run: Run
    seed: int
    fold: int
    fingerprint: str

    @classmethod
    def of(cls, cell: str, run: Run, seed: int, fold: int, dataset: Dataset) -> Training:
        """The training of a cell's run with another seed; neither its name nor how it is judged changes it."""
        seeded = run.model_copy(update={"seed": seed})
        judged_alike = seeded.model_copy(update={"name": "cell", "evaluation": Evaluation()})
        return cls(cell, seeded, seed, fold, fingerprint(judged_alike, dataset, fold))

    @property
    def folder(self) -> str:
        """The name of its folder: readable, and its own whatever the cell is called."""
        words = re.sub(r"[^\w.=+-]+", "-", self.cell).strip("-.")[:60]
        return f"{words}-seed-{self.seed}-fold-{self.fold}-{self.fingerprint[:12]}"

    def find(self, place: Path, inputs: Mapping[str, Together]) -> Path | None:
        """Its folder below ``place``, if it is finished; an earlier comparison may have called the cell otherwise.

        One that was not asked without each of the ``inputs`` that the run reads is as good as none.
        """
        for folder in place.glob(f"*-{self.fingerprint[:12]}"):
            try:
                told = json.loads((folder / DONE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if told.get("fingerprint") == self.fingerprint and all(
                (folder / f"{WITHOUT}{label}.parquet").is_file() for label, one in inputs.items() if one.of(self.run)
            ):
                return folder
        return None


def carry_out(
    training: Training,
    prepared: Prepared,
    dataset: Dataset,
    place: Path,
    *,
    inputs: Mapping[str, Together],
    weigh: bool,
    progress: Progress,
) -> Path:
    """Train, answer the test part (whole, and without each input), and put it all into its folder.

    Args:
        inputs: what is taken away; one that the run does not read changes nothing.
        weigh: also write the bundle, to know its size and how fast it answers one row; it is not kept.

    Raises:
        TuwenError: the training failed.
        KeyboardInterrupt: a checkpoint was written, the same training goes on from there.
    """
    work = place.with_name("work") / training.fingerprint[:12]
    began = time.perf_counter()
    fitted = fit_network(training.run, prepared, work=work, fingerprint=training.fingerprint, progress=progress)
    took = time.perf_counter() - began
    answers = answered(training.run, prepared, fitted, inputs, progress)
    cost = dict(fitted.cost)
    cost.pop("peak_memory_mb", None)  # of the whole process, with everything that others left in it
    cost["train_seconds"] = round(max(cost["train_seconds"], took), 2)  # with what comes before the last training
    if weigh:
        cost |= _weighed(training, prepared, fitted, dataset, work)
    half = place / f".{training.folder}.half"
    shutil.rmtree(half, ignore_errors=True)
    for name, predictions in answers.items():
        predictions.write(half / f"{name}.parquet", single=True)
    told = {"cell": training.cell, "seed": training.seed, "fold": training.fold, "fingerprint": training.fingerprint}
    made = {} if fitted.generated is None else {"generator": fitted.generated.account}
    write_json(half / DONE, told | {"best_epoch": fitted.trained.best_epoch, "cost": cost} | made)
    done = place / training.folder
    publish(half, done)  # in place of one that was damaged
    shutil.rmtree(work, ignore_errors=True)
    return done


def answered(
    run: Run, prepared: Prepared, fitted: Fitted, inputs: Mapping[str, Together], progress: Progress
) -> dict[str, Predictions]:
    """``predictions`` and ``without-INPUT`` for the test rows, of the inputs that the run reads."""
    rows = prepared.gathered.rows("test")
    sources = {name: source.take(rows) for name, source in prepared.inputs.items()}
    network = network_of(fitted.model)
    base = base_of(run, prepared.gathered, rows, fitted.target).select("row", "target")
    found = {ANSWERS: predictions_of(fitted.target, base, outputs_of(network, sources, progress=progress))}
    for label, together in inputs.items():
        if gone := together.of(run):
            outputs = without_inputs(network, sources, gone)
            found[f"{WITHOUT}{label}"] = predictions_of(fitted.target, base, outputs)
    return found


def read(folder: Path, inputs: Iterable[str]) -> tuple[dict[str, Any], Predictions, dict[str, Predictions]]:
    """What :func:`carry_out` left: (training.json, the answers, INPUT → the answers without it). An input that the run
    does not read changes no answer.

    Raises:
        DataError: a table is missing or damaged.
    """
    told: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
    answers = Predictions.read(folder / f"{ANSWERS}.parquet")
    files = {label: folder / f"{WITHOUT}{label}.parquet" for label in inputs}
    return told, answers, {n: Predictions.read(file) if file.is_file() else answers for n, file in files.items()}


def mean_cost(told: Iterable[Mapping[str, Any]], seeds: int) -> dict[str, float]:
    """The cost of one seed: seconds over all folds, the rest as it is."""
    costs = [one["cost"] for one in told]
    found: dict[str, float] = {}
    for key in dict.fromkeys(key for cost in costs for key in cost):
        values = [cost[key] for cost in costs if key in cost]
        added = key.endswith("_seconds") or key == "steps"
        found[key] = round(sum(values) / seeds, 2) if added else values[0]
    return found


def failure(error: Exception, cell: str, seed: int | None = None, fold: int | None = None) -> dict[str, Any]:
    """Why a cell has no numbers, as plain data."""
    fields = error.fields() if isinstance(error, TuwenError) else {"what": f"{type(error).__name__}: {error}"[:500]}
    return {"cell": cell, "seed": seed, "fold": fold, **fields}


def _weighed(training: Training, prepared: Prepared, fitted: Fitted, dataset: Dataset, work: Path) -> dict[str, float]:
    folder = work / "bundle"
    write_bundle(folder, training.run, dataset, training.fold, prepared, fitted)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    frame = prepared.gathered.frame[np.sort(prepared.gathered.rows("test"))]
    p50, p95 = latency(Bundle.open(folder), frame, dataset)
    shutil.rmtree(folder)
    return {"bundle_mb": round(size / 1e6, 2), "latency_p50_ms": p50, "latency_p95_ms": p95}
