"""The graph of a bundle: written, compared with the network on real rows, and made smaller where that costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuwen.bundle.export import sample, shrink, write_graph
from tuwen.config import Run
from tuwen.training.batches import Examples, Network, batch_of, outputs_of
from tuwen.workflow.fitting import Fitted, Prepared, examples_of, score_function
from tuwen.workflow.kept_train_part import kept_train_part

CALIBRATED_ON = 64  # rows of the train part


def export(run: Run, prepared: Prepared, fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write ``network.onnx`` and ``train_part.json`` into ``folder``; returns what bundle.json says under ``export``.

    Rows that were not trained on show whether it answers alike; without a validation part the train part does.
    """
    kept_train_part(run, prepared.gathered, prepared.inputs).write(folder)
    specs = {name: modality.spec for name, modality in prepared.modalities.items()}
    parts = {part: prepared.gathered.rows(part) for part in ("train", "validation")}
    unseen = parts["validation"] if len(parts["validation"]) else parts["train"]
    shown = {name: source.take(unseen) for name, source in prepared.inputs.items()}
    told = write_graph(fitted.model, specs, shown, folder)
    if not run.export.int8 or told["file"] is None:
        return told
    if not len(parts["validation"]):
        return told | {"int8": {"kept": False, "why": "there is no validation part to measure it on"}}
    seen = {name: source.take(parts["train"]) for name, source in prepared.inputs.items()}
    rows = len(parts["train"])
    chosen = np.unique(np.linspace(0, rows - 1, CALIBRATED_ON).astype(np.int64))
    calibration = batch_of(Examples(seen, np.zeros(rows, np.float32)), chosen)
    validation = examples_of(run, prepared.inputs, fitted.target, prepared.gathered, "validation")

    def score(network: Network) -> float:
        outputs = outputs_of(network, validation.inputs)
        return float(score_function(fitted.target)(outputs, validation.targets)["score"])

    found = shrink(folder, calibration, score, run.export.margin, sample(shown))
    size = (folder / str(told["file"])).stat().st_size
    return told | {"bytes": size, "int8": found | {"rows": len(validation)}}
