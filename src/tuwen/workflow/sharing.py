"""Many trainings on the same rows: what they read alike is fitted and encoded once."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.models import ENCODERS
from tuwen.preprocess.modality import Modality
from tuwen.progress import Progress
from tuwen.training.inputs import Input
from tuwen.workflow.fitting import Prepared
from tuwen.workflow.gathering import PARTS, UNLABELLED, Gathered, gather
from tuwen.workflow.preparing import encoder_options, make_input, modality_options, raw_values
from tuwen.workflow.starting import init_fingerprint, modality_for

EVERY = (*PARTS, UNLABELLED)


class Shared:
    """Rows, modalities and inputs of one fold, each made when a run first asks for it.

    Args:
        parts: the parts whose rows are kept; of the others nothing is fitted, encoded or answered.
    """

    def __init__(self, dataset: Dataset, fold: int, progress: Progress, parts: Collection[str] = EVERY) -> None:
        self._dataset, self._fold, self._progress, self._parts = dataset, fold, progress, list(parts)
        self._gathered: dict[str, Gathered] = {}
        self._read: dict[str, tuple[Modality, Input, float]] = {}

    def prepared(self, run: Run) -> Prepared:
        """What :func:`tuwen.workflow.fitting.prepare` gives. ``seconds`` counts what was made for others too."""
        gathered = self.gathered(run)
        found = {name: self._modality(run, name, gathered) for name in run.modalities}
        return Prepared(
            gathered,
            {name: modality for name, (modality, _, _) in found.items()},
            {name: source for name, (_, source, _) in found.items()},
            sum(seconds for _, _, seconds in found.values()),
        )

    def gathered(self, run: Run) -> Gathered:
        """The run's rows, less the parts that nobody may see."""
        columns = {name: spec.columns for name, spec in run.modalities.items()}
        key = _key(_rows(run), run.rows.labels, columns, run.evaluation.groups)
        if key not in self._gathered:
            whole = gather(run, self._dataset, self._fold)
            keep = whole.parts.is_in(self._parts)
            kept = {name: getattr(whole, name).filter(keep) for name in ("frame", "parts", "content")}
            self._gathered[key] = replace(whole, **kept)
        return self._gathered[key]

    def _modality(self, run: Run, name: str, gathered: Gathered) -> tuple[Modality, Input, float]:
        spec, options = run.modalities[name], encoder_options(run, name)
        frozen = {"use": spec.encoder.use, **options} if ENCODERS.load(spec.encoder.use).is_frozen(options) else None
        # fitted on rows with labels and without, so the share of labels makes no other modality
        own = (name, spec.use, spec.columns, modality_options(run, name), frozen)
        key = _key(_rows(run), own, init_fingerprint(run))
        if key not in self._read:
            began = time.perf_counter()
            raw = raw_values(spec.use, spec.columns, gathered.frame, self._dataset)
            modality = modality_for(run, name, raw, gathered.fitting, self._dataset, self._progress)
            source = make_input(name, modality, raw, self._dataset, self._progress)
            self._read[key] = modality, source, time.perf_counter() - began
        return self._read[key]


def _rows(run: Run) -> list[Any]:
    """What decides which rows there are, and on which side each stands."""
    plain = run.plain()
    return [plain["rows"] | {"labels": None}, run.content, plain["task"], plain["split"]]


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def groups_of(run: Run, dataset: Dataset, folds: int) -> pl.Series | None:
    """The column of ``evaluation.groups`` for the test rows of all folds, in the order of the pooled answers."""
    if run.evaluation.groups is None:
        return None
    found = []
    for fold in range(folds):
        gathered = gather(run, dataset, fold)
        found.append(gathered.frame[run.evaluation.groups][np.sort(gathered.rows("test"))])
    return pl.concat(found)
