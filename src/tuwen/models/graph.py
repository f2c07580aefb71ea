"""A whole model as one ONNX graph: encoders, generator's filling, fusion, answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tuwen.models.pretrained.export import export_to
from tuwen.preprocess.sets import MASK
from tuwen.preprocess.spec import PRESENT, ArraySpec

ANSWERS = "answers"
ROWS = 2  # that the exporter sees; with one row it could take the number for a constant


def write(model: nn.Module, specs: dict[str, ArraySpec], path: Path) -> None:
    """The model as the ONNX file ``path``.

    Inputs: ``MODALITY.ARRAY`` as the table of ``ArraySpec`` kinds in docs/architecture.md has them, and
    ``MODALITY.present`` bool [rows]. Output: ``answers`` f32 [rows, outputs]. The number of rows is free.

    Args:
        model: a :class:`tuwen.models.model.Model`, or what takes and gives the same; on the CPU, low-rank updates
            merged; it is put into evaluation mode.
        specs: of each modality's arrays.

    Raises:
        RuntimeError: the exporter has no words for something in it (its own errors are of this kind).
    """
    samples: dict[str, Tensor] = {}
    for name, spec in sorted(specs.items()):
        samples |= {f"{name}.{array}": sample for array, sample in sample_of(spec).items()}
        samples[f"{name}.{PRESENT}"] = torch.ones(ROWS, dtype=torch.bool)
    axes = {name: {0: "rows"} for name in (*samples, ANSWERS)}
    export_to(path, Flat(model, list(samples)).eval(), samples, ANSWERS, axes)


class Flat(nn.Module):
    """The model with its arrays side by side instead of in dictionaries."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: Tensor) -> Tensor:
        arrays: dict[str, dict[str, Tensor]] = {}
        present: dict[str, Tensor] = {}
        for name, tensor in zip(self.names, tensors, strict=True):
            modality, _, array = name.rpartition(".")
            if array == PRESENT:
                present[modality] = tensor
            else:
                arrays.setdefault(modality, {})[array] = tensor
        found: Tensor = self.model(arrays, present)
        return found.float()


def sample_of(spec: ArraySpec) -> dict[str, Tensor]:
    """Arrays of two rows, as the exporter must see them."""
    if spec.set_size:
        one = sample_of(replace(spec, set_size=0))
        several = {n: torch.stack([t] * spec.set_size, dim=1) for n, t in one.items()}
        return several | {MASK: torch.ones(ROWS, spec.set_size, dtype=torch.bool)}
    shape = (ROWS, *spec.shape)
    if spec.kind == "pixels":
        return {"pixels": torch.zeros(shape, dtype=torch.uint8)}
    if spec.kind == "tokens":
        return {"ids": torch.ones(shape, dtype=torch.int32)}
    if spec.kind == "bag":
        return {"ids": torch.ones(shape, dtype=torch.int32), "weights": torch.ones(shape)}
    if spec.kind == "table":
        numbers, categories = spec.shape
        return {
            "numbers": torch.zeros(ROWS, numbers),
            "categories": torch.zeros(ROWS, categories, dtype=torch.int32),
        }
    if spec.kind == "spectrogram":
        return {"spectrogram": torch.zeros(shape), "mask": torch.ones(shape[:2], dtype=torch.bool)}
    return {spec.kind: torch.zeros(shape)}
