"""What the stacks of one or several folds tell in the report: members, and what each modality is worth."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.data.dataset import Dataset
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.sets import of_each
from tuwen.workflow.preparing import raw_values

CLEAR = 2.0  # standard errors
ROWS = 20  # that are read to time a modality


def stack_account(bundles: Sequence[Bundle], frame: pl.DataFrame, dataset: Dataset) -> dict[str, Any] | None:
    """The mean over the folds; None where the bundles have no stack.

    Args:
        frame: rows that the bundles read, to time what a modality costs.

    Returns:
        ``loss_name`` (``rmse`` of numbers, else ``log_loss``); ``members``: ``name``, ``weight``, ``loss``; ``worth``
        of each modality: ``loss`` (how much larger it is without it, out of fold), ``error``, ``clear``,
        and where it is not clear ``mb`` and ``ms`` a row that leaving it out would save; ``single``, ``drift``,
        ``loss``.
    """
    accounts = [bundle.manifest["stack"] for bundle in bundles if "stack" in bundle.manifest]
    if not accounts:
        return None
    names = [member["name"] for member in accounts[0]["members"]]
    squared = bundles[0].target.task == "rate"
    loss = float(np.mean([account["loss"] for account in accounts]))
    worth = {name: _worth(accounts, name, loss, squared) for name in accounts[0]["worth"]}
    idle = [name for name in worth if not worth[name]["clear"]]
    worth |= {name: worth[name] | _saving(bundles[0], name, frame, dataset) for name in idle}
    losses = [_mean(accounts, i, "loss") for i in range(len(names))]
    return {
        "loss_name": "rmse" if squared else "log_loss",
        "members": [
            {"name": name, "weight": _mean(accounts, i, "weight"), "loss": _rooted(losses[i], squared)}
            for i, name in enumerate(names)
        ],
        "loss": _rooted(loss, squared),
        "single": all(account["single"] for account in accounts),
        "worth": worth,
        "drift": accounts[0].get("drift"),
    }


def _mean(accounts: Sequence[dict[str, Any]], member: int, key: str) -> float:
    return float(np.mean([account["members"][member][key] for account in accounts]))


def _rooted(loss: float, squared: bool) -> float:
    return math.sqrt(max(loss, 0.0)) if squared else loss


def _worth(accounts: Sequence[dict[str, Any]], name: str, whole: float, squared: bool) -> dict[str, Any]:
    more = float(np.mean([account["worth"][name]["loss"] for account in accounts]))
    # the folds share most of their rows, so their errors do not average out
    error = math.sqrt(float(np.mean([account["worth"][name]["error"] ** 2 for account in accounts])))
    clear = more > CLEAR * error
    if squared:
        root = _rooted(whole + more, squared)
        more, error = root - _rooted(whole, squared), error / max(2 * root, 1e-12)
    return {"loss": more, "error": error, "clear": clear}


def _saving(bundle: Bundle, name: str, frame: pl.DataFrame, dataset: Dataset) -> dict[str, float]:
    """Megabytes of the modality in the bundle that no other shares, and milliseconds to read one row of it."""
    modality, spec = bundle.modalities[name], bundle.architecture["modalities"][name]
    folder = bundle.folder / "modalities" / name
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    frozen = of_each(modality)
    others = [of_each(other) for key, other in bundle.modalities.items() if key != name]
    if isinstance(frozen, Frozen) and not any(
        isinstance(other, Frozen) and other.onnx_path == frozen.onnx_path for other in others
    ):
        size += frozen.onnx_path.stat().st_size
    some = frame[:ROWS]
    raw = raw_values(spec["use"], list(spec["columns"]), some, dataset)
    began = time.perf_counter()
    modality.encode(raw.at(np.arange(len(some))))
    each = 1000 * (time.perf_counter() - began) / max(len(some), 1)
    return {"mb": round(size / 1e6, 2), "ms": round(each, 2)}
