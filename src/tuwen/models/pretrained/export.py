"""Pretrained encoders as ONNX files, in float32 or int8, made once a folder."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError, DataError, MissingExtra
from tuwen.files import room_on_disk, whole
from tuwen.models.pretrained.bert import Bert
from tuwen.models.pretrained.blockwise import Bits, rewrite
from tuwen.models.pretrained.efficientnet import SIZE, efficientnet_lite0
from tuwen.models.pretrained.load import e5_small, minilm
from tuwen.preprocess.weights import WEIGHTS
from tuwen.private import scratch

Precision = Literal["int8", "float32"]

VERSION = 1  # change it when the same weights would give other files
OPSET = 17
STAND_IN = 7  # words of the table that tracing sees
BITS: dict[str, Bits] = {"e5-small": 4, "minilm": 8}  # e5-small is published in 4 bits: nothing is lost


def export_onnx(
    name: str,
    folder: str | Path,
    *,
    precision: Precision = "int8",
    calibration: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """The ONNX file of a pretrained encoder, written into ``folder`` unless it is there already.

    Pictures: input ``pixels`` uint8 [rows, height, width, 3], the normalisation inside. int8 is static, 8-bit weights
    with a scale per channel (u8s8). Texts: input ``ids`` int64 [1, length] without padding. int8 takes most matrices
    with a scale per channel and scales its input on the fly; the second matrix of each block and the word table keep a
    scale per 32 weights (see :mod:`tuwen.models.pretrained.blockwise`). Output: ``vector`` f32 [rows, width].

    Args:
        name: one of efficientnet-lite0, e5-small, minilm.
        folder: where exports are kept.
        precision: int8 is several times faster; float32 is the network as published.
        calibration: uint8 [pictures, height, width, 3], needed for int8 pictures; some 64 of the shop's own.
        size: height and width of the pictures; default 224 × 224.

    Raises:
        MissingExtra: the weights or ``onnx`` are not installed.
        ConfigError: no such encoder. DataError: no pictures to calibrate with.
    """
    builders: dict[str, Callable[..., bytes]] = {"efficientnet-lite0": _picture, "e5-small": _text, "minilm": _text}
    if name not in builders:
        raise ConfigError(f"there is no pretrained encoder called '{name}'", allowed=builders)
    if not (name == "efficientnet-lite0" and precision == "int8"):
        calibration = None
    elif calibration is None or len(calibration) == 0:
        raise DataError(
            "there is no readable picture to choose the int8 scales by", todo="set precision: float32 for this encoder"
        )
    told = f"{VERSION} {WEIGHTS[name].sha256} {precision}"
    if size not in (None, SIZE):
        told += f" {size}"
    key = hashlib.sha256(told.encode())
    if calibration is not None:
        key.update(np.ascontiguousarray(calibration).tobytes())
    make = partial(builders[name], name, precision, calibration, size or SIZE)
    return written_once(Path(folder) / f"{name}-{precision}-{key.hexdigest()[:16]}.onnx", make)


def written_once(path: Path, make: Callable[[], bytes]) -> Path:
    """``path``, which holds what ``make`` gives unless it was there already.

    Raises:
        MissingExtra: ``onnx`` is not installed.
    """
    if path.is_file():
        return path
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise MissingExtra("train", f"exporting '{path.stem}'") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with room_on_disk(path.parent):
        data = make()
        with whole(path) as file:
            file.write(data)
    return path


# --- Pictures -----------------------------------------------------------------------------------------------------


def _picture(name: str, precision: Precision, calibration: np.ndarray | None, size: tuple[int, int]) -> bytes:
    sample = torch.zeros((1, *size, 3), dtype=torch.uint8)
    raw = traced(efficientnet_lite0(size), sample, "pixels", {"pixels": {0: "rows"}, "vector": {0: "rows"}})
    if precision == "float32" or calibration is None:
        return raw
    with scratch("onnx") as folder:
        return _quantised_picture(_folded(raw, folder), calibration, folder)


def _folded(raw: bytes, folder: Path) -> Any:
    """Constants folded, padding and clipping merged into their neighbours: what the quantiser wants to see."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    model = onnx.load(folder / "folded.onnx")
    add_pre_process_metadata(model)
    return model


def _quantised_picture(model: Any, calibration: np.ndarray, folder: Path) -> bytes:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows: Iterator[np.ndarray] = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {"pixels": row[None]}

    quantize_static(
        model,
        folder / "int8.onnx",
        Pictures(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add", "Clip"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    model = onnx.load(folder / "int8.onnx")
    _take_bytes(model)
    return bytes(model.SerializeToString())


def _take_bytes(model: Any) -> None:
    """Let the pixels be the first int8 values as they are: scale 1/128 and zero point 127 *are* ``(x − 127) / 128``."""
    from onnx import numpy_helper

    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    first = next(n for n in graph.node if n.op_type == "QuantizeLinear" and maker[n.input[0]].op_type == "Div")
    chain, source = [first], first.input[0]
    while maker[source].op_type in ("Div", "Sub", "Cast"):
        chain.append(maker[source])
        source = maker[source].input[0]
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == first.output[0]:
            node.input[0], node.input[1], node.input[2] = source, "pixels.scale", "pixels.zero"
    for node in chain:
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept.append(numpy_helper.from_array(np.array(1 / 128, np.float32), "pixels.scale"))
    kept.append(numpy_helper.from_array(np.array(127, np.uint8), "pixels.zero"))
    del graph.initializer[:]
    graph.initializer.extend(kept)


# --- Texts --------------------------------------------------------------------------------------------------------


class _Row(nn.Module):
    """One text without padding: no mask to carry along."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: Tensor) -> Tensor:  # int64 [1, length]
        return self.bert.states(ids, None).mean(dim=1)


def _text(name: str, precision: Precision, *_: object) -> bytes:
    bert = e5_small() if name == "e5-small" else minilm()
    words = bert.word.weight.detach()
    if precision == "int8":  # a stand-in while tracing: the table itself is most of the file
        bert.word = nn.Embedding.from_pretrained(words[:STAND_IN])
    raw = traced(_Row(bert).eval(), torch.full((1, 6), 1), "ids", {"ids": {1: "length"}})
    return raw if precision == "float32" else _quantised_text(raw, words.numpy(), BITS[name])


def _quantised_text(raw: bytes, words: np.ndarray, bits: Bits) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_model_from_string(raw)
    add_pre_process_metadata(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    products = {n.name: shapes[n.input[1]] for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in shapes}
    # the input of the second matrix of a block (after GELU) has outliers; it is the one with more rows than columns
    second = {name for name, (rows, columns) in products.items() if rows > columns}
    stand_in = (STAND_IN, words.shape[1])
    tables = {n.name: words for n in model.graph.node if n.op_type == "Gather" and shapes.get(n.input[0]) == stand_in}
    with scratch("onnx") as folder:
        path = folder / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=sorted(products.keys() - second),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(path)
    rewrite(model, second, tables, bits)
    return bytes(model.SerializeToString())


def traced(module: nn.Module, sample: Tensor, name: str, axes: dict[str, dict[int, str]]) -> bytes:
    """A network with one input and the output ``vector``."""
    with scratch("onnx") as folder:
        path = folder / "float32.onnx"
        export_to(path, module, {name: sample}, "vector", axes)
        return path.read_bytes()


def export_to(
    path: Path, module: nn.Module, samples: dict[str, Tensor], output: str, axes: dict[str, dict[int, str]]
) -> None:
    """Any network with one output, by the TorchScript exporter: a second, and no package beside ``onnx``.

    Raises:
        RuntimeError: the exporter has no words for something in it (its own errors are of this kind).
    """
    fused, log = torch.backends.mha.get_fastpath_enabled(), torch._C._jit_onnx_log
    # where it fails, the exporter writes its whole graph to stdout, and its switch for that (torch 2.13) does nothing
    torch._C._jit_onnx_log = lambda *_: None
    torch.backends.mha.set_fastpath_enabled(False)  # torch's fused attention has no name in ONNX
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(samples.values()),
                path,
                input_names=list(samples),
                output_names=[output],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        torch._C._jit_onnx_log = log
