"""The network of a bundle written as ONNX, and the proof that the graph answers as the network does."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuwen.bundle.graph import GRAPH, load_graph
from tuwen.bundle.int8 import quantised
from tuwen.models import lora
from tuwen.models.graph import write
from tuwen.models.pretrained.export import OPSET
from tuwen.preprocess.spec import ArraySpec
from tuwen.training.batches import Batch, Examples, Network, batch_of
from tuwen.training.inputs import Input
from tuwen.training.loop import network_of

TOLERANCE = 1e-4  # of the largest answer, or of 1 where that is more
ROWS = 16  # that are compared side by side
ALONE = 4  # of these, also each by itself


def write_graph(
    model: nn.Module, specs: dict[str, ArraySpec], inputs: Mapping[str, Input], folder: Path
) -> dict[str, Any]:
    """``network.onnx`` in ``folder``, if the model can be written as one graph that answers alike.

    Args:
        model: trained; it stays as it is.
        specs: of each modality's arrays.
        inputs: real rows, of which a sample is answered by both.

    Returns:
        what bundle.json tells of it: ``file``, ``opset``, ``rows`` compared (of which ``rows_with_absent`` lack a
        modality), ``batch_sizes``, ``difference`` (the largest, between any two answers), ``tolerance``, ``bytes``,
        ``seconds``; or ``file`` None and ``why``.
    """
    began, file = time.perf_counter(), folder / GRAPH
    plain = _as_answering(model)
    try:
        write(plain, specs, file)
        found = compared(network_of(plain, torch.device("cpu")), load_graph(file), sample(inputs))
    except (MemoryError, OSError):
        raise
    except Exception as error:  # a plug-in or a library's network may raise whatever it likes while it is traced
        file.unlink(missing_ok=True)
        return {"file": None, "why": f"the network cannot be written as ONNX: {_line(error)}"}
    if not found["difference"] <= found["tolerance"]:  # NaN too
        file.unlink()
        told = f"differs by {found['difference']:.2g}, allowed is {found['tolerance']:.2g}"
        return {"file": None, "why": f"the ONNX graph answers otherwise than the network: it {told}"}
    size, seconds = file.stat().st_size, round(time.perf_counter() - began, 2)
    return {"file": GRAPH, "opset": OPSET, **found, "bytes": size, "seconds": seconds}


def shrink(
    folder: Path, calibration: Batch, score: Callable[[Network], float], margin: float, shown: Batch
) -> dict[str, Any]:
    """``network.onnx`` in 8 bits, if its score is hardly worse; else it stays as it is.

    Args:
        calibration: real rows that the score does not look at.
        score: of a network; larger is better.
        margin: share of the score that may be lost.
        shown: rows whose answers are compared.

    Returns:
        ``kept``; ``score`` and ``bytes`` in float32 and in int8, ``margin``, and ``difference``, the largest between
        their answers; or ``why`` there is no int8.
    """
    file, small = folder / GRAPH, folder / "int8.onnx"
    try:
        if not quantised(file, small, calibration):
            return {"kept": False, "why": "no part of the network is large"}
        plain, quick = load_graph(file), load_graph(small)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # the quantiser's errors share no base class but this
        small.unlink(missing_ok=True)
        return {"kept": False, "why": _line(error)}
    scores = {"float32": score(plain), "int8": score(quick)}
    kept = scores["float32"] - scores["int8"] <= margin * abs(scores["float32"])
    told = {
        "kept": kept,
        "score": scores,
        "margin": margin,
        "bytes": {"float32": file.stat().st_size, "int8": small.stat().st_size},
        "difference": compared(plain, quick, shown)["difference"],
    }
    if kept:
        small.replace(file)
    small.unlink(missing_ok=True)
    return told


def sample(inputs: Mapping[str, Input]) -> Batch:
    """Rows spread over all of them, in turn as they are, without one of their modalities, and without any."""
    rows = len(next(iter(inputs.values())))
    chosen = np.unique(np.linspace(0, rows - 1, ROWS).astype(np.int64))
    chosen = np.resize(chosen, ROWS)  # of a few rows each comes in more than one way
    batch = batch_of(Examples(inputs, np.zeros(rows, np.float32)), chosen)
    ways = np.arange(ROWS) % (len(inputs) + 2)
    arrays, present = {}, {}
    for i, name in enumerate(sorted(inputs), start=1):
        gone = (ways == i) | (ways == len(inputs) + 1)
        present[name] = batch.present[name] & ~gone
        arrays[name] = {
            n: np.where(gone.reshape(-1, *[1] * (a.ndim - 1)), np.zeros_like(a), a)
            for n, a in batch.arrays[name].items()
        }
    return Batch(arrays, present, batch.targets)


def compared(network: Network, graph: Network, batch: Batch) -> dict[str, Any]:
    """How far the answers to the rows of a batch are apart, side by side and alone."""
    parts = [slice(0, ROWS), *(slice(i, i + 1) for i in range(ALONE))]
    difference = largest = 0.0
    for part in parts:
        arrays = {m: {n: a[part] for n, a in some.items()} for m, some in batch.arrays.items()}
        present = {m: p[part] for m, p in batch.present.items()}
        expected, found = network(arrays, present), graph(arrays, present)
        difference = max(difference, float(np.abs(found - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    lacking = ~np.all(list(batch.present.values()), axis=0)
    return {
        "rows": len(batch.targets),
        "rows_with_absent": int(lacking.sum()),
        "batch_sizes": [1, len(batch.targets)],
        "difference": difference,
        "tolerance": TOLERANCE * max(1.0, largest),
    }


def _as_answering(model: nn.Module) -> nn.Module:
    """The model on the CPU with low-rank updates merged; a copy where that changes anything."""
    here = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if here and not any(isinstance(module, lora.LowRankUpdate) for module in model.modules()):
        return model.eval()
    plain: nn.Module = copy.deepcopy(model).cpu().eval()
    lora.merge(plain)
    return plain


def _line(error: BaseException) -> str:
    """What went wrong, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
