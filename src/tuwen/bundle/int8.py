"""A smaller graph: the large matrices of a bundle's network in 8 bits.

No row may change another's answer, so no scale comes from a whole batch: convolutions have scales chosen on rows of the
shop (static, u8s8, one scale a channel), matrices one scale per 32 weights and inputs
(:mod:`tuwen.models.pretrained.blockwise`), and so have the tables of words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.models.pretrained.blockwise import BLOCK, rewrite
from tuwen.preprocess.spec import PRESENT
from tuwen.private import scratch
from tuwen.training.batches import Batch

LARGE = 16_384  # numbers of a matrix from which on 8 bits are worth it
BETWEEN = ("Add", "Clip", "Relu")  # what stands between convolutions
LARGE_TABLE = 262_144  # numbers of a table of words


def quantised(graph: Path, out: Path, batch: Batch) -> int:
    """The graph with its large parts in 8 bits, as ``out``; how many numbers that are (0: nothing was written).

    Args:
        batch: real rows, to choose the scales of convolutions by.
    """
    import onnx

    with scratch("int8") as folder:
        model = _folded(graph, folder)
        shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        convolutions = [n for n in model.graph.node if n.op_type == "Conv" and len(shapes.get(n.input[1], ())) == 4]
        numbers = sum(math.prod(shapes[n.input[1]]) for n in convolutions)
        if numbers >= LARGE:
            _static(model, folder / "int8.onnx", batch)
            model = onnx.load(folder / "int8.onnx")
        else:
            numbers = 0
        numbers += _blockwise(model)
        if numbers:
            onnx.save(model, out)
        return numbers


def _folded(graph: Path, folder: Path) -> Any:
    """Constants folded, padding and clipping merged into their neighbours: what the quantiser wants to see."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    model = onnx.load(folder / "folded.onnx")
    add_pre_process_metadata(model)
    return model


def _static(model: Any, out: Path, batch: Batch) -> None:
    """Convolutions, and the additions and clips between maps of places."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    inputs = [entry.name for entry in model.graph.input]

    class Rows(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[int] = iter(range(len(batch.targets)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.left, None)
            return None if row is None else {name: _array(batch, name)[row : row + 1] for name in inputs}

    with np.errstate(invalid="ignore"):  # it works out scales for other nodes too, −∞ included, and drops them
        quantize_static(
            model,
            out,
            Rows(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *BETWEEN],
            nodes_to_quantize=_of_maps(model),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _of_maps(model: Any) -> list[str]:
    """The nodes between maps of places: those of texts add −∞ where nobody may look, which has no scale."""
    maps: set[str] = set()
    chosen = []
    for node in model.graph.node:  # each behind those that it reads
        if node.op_type == "Conv" or (node.op_type in BETWEEN and maps & set(node.input)):
            maps.add(node.output[0])
            chosen.append(node.name)
    return chosen


def _array(batch: Batch, name: str) -> np.ndarray:
    modality, _, array = name.rpartition(".")
    return np.ascontiguousarray(batch.present[modality] if array == PRESENT else batch.arrays[modality][array])


def _blockwise(model: Any) -> int:
    """Matrices and tables that are large, in place; how many numbers they have."""
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    shapes = {name: tuple(tensor.dims) for name, tensor in constants.items()}
    numbers, matrices, tables = 0, set(), {}
    for node in model.graph.node:
        name = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        shape = () if name is None else shapes.get(node.input[name], ())
        if len(shape) != 2:
            continue
        if node.op_type == "MatMul" and shape[0] % BLOCK == 0 and math.prod(shape) >= LARGE:
            matrices.add(node.name)
        elif node.op_type == "Gather" and shape[1] % BLOCK == 0 and math.prod(shape) >= LARGE_TABLE:
            tables[node.name] = numpy_helper.to_array(constants[node.input[0]])
        else:
            continue
        numbers += math.prod(shape)
    rewrite(model, matrices, tables, 8)
    return numbers
