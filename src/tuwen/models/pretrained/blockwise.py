"""Weights in blocks of 32 with one scale each, inside ONNX graphs (operators of ONNX Runtime's ``com.microsoft`` set).

multilingual-e5-small arrives in such blocks, so writing them back loses nothing; and a matrix product in this form
scales its input block by block and token by token, which spares the outliers that one scale for all would crush.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

BLOCK = 32
ROWS = 512  # at once: what stands in the processor's cache takes half of the time
Bits = Literal[4, 8]


def quantised(weight: np.ndarray, bits: Bits) -> tuple[np.ndarray, np.ndarray]:
    """f32 [rows, columns] → (uint8 [rows, blocks, 4 × bits], f32 [rows, blocks] scales); zero stands at 2^(bits − 1).

    The largest weight of a block, with its sign, becomes −8 (or −128): the rule of Q4_0, whose own blocks it gives back
    exactly.
    """
    parts = [_quantised(weight[start : start + ROWS], bits) for start in range(0, len(weight), ROWS)]
    packed, scales = (np.concatenate(part) for part in zip(*parts, strict=True))
    return packed, scales


def _quantised(weight: np.ndarray, bits: Bits) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    at = np.abs(blocks).argmax(axis=-1)[..., None]
    half = 2 ** (bits - 1)
    scales = np.take_along_axis(blocks, at, axis=-1) / -half
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales != 0)
    whole = np.clip(np.rint(steps) + half, 0, 2 * half - 1).astype(np.uint8)
    packed = whole if bits == 8 else whole[..., 0::2] | (whole[..., 1::2] << 4)
    return packed, scales[..., 0].astype(np.float32)


def restored(packed: np.ndarray, scales: np.ndarray, bits: Bits) -> np.ndarray:
    """The other way: f32 [rows, columns]."""
    whole = packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], BLOCK)
    return ((whole.astype(np.float32) - 2 ** (bits - 1)) * scales[..., None]).reshape(len(packed), -1)


def rewrite(model: Any, matrices: set[str], tables: dict[str, np.ndarray], bits: Bits) -> None:
    """Change an ONNX model in place: the MatMul nodes named in ``matrices``, and the Gather nodes named in ``tables``,
    which get the f32 [words, width] given there.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    done: set[str] = set()
    for node in graph.node:
        if node.name in matrices:
            name = node.input[1]
            weight = np.ascontiguousarray(numpy_helper.to_array(constants[name]).T)  # [out, in]
            packed, scales = quantised(weight, bits)
            attributes = {"K": weight.shape[1], "N": weight.shape[0], "accuracy_level": 4}  # 4: int8 arithmetic
            inputs, kind, scales = (
                [node.input[0], f"{name}.blocks", f"{name}.scales"],
                "MatMulNBits",
                scales.reshape(-1),
            )
        elif node.name in tables:
            name = node.input[0]
            packed, scales = quantised(tables[node.name], bits)
            packed = packed.reshape(len(packed), -1)
            attributes = {"gather_axis": 0, "quantize_axis": 1}
            inputs, kind = [f"{name}.blocks", node.input[1], f"{name}.scales"], "GatherBlockQuantized"
        else:
            continue
        done.add(name)
        for suffix, array in (("blocks", packed), ("scales", scales)):
            graph.initializer.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
        node.CopyFrom(
            helper.make_node(
                kind,
                inputs,
                list(node.output),
                name=node.name,
                domain="com.microsoft",
                block_size=BLOCK,
                bits=bits,
                **attributes,
            )
        )
    kept = [tensor for tensor in graph.initializer if tensor.name not in done]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if "com.microsoft" not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
