"""Linear maps of one modality's arrays, whatever kind they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.preprocess.spec import ArraySpec

STATIC = ("vector", "bag", "table")  # kinds of arrays that can be read without learning an encoder


class Projection(nn.Module):
    """Arrays of one modality → f32 [batch, width], linear in its features.

    The features are the numbers of a vector (of a set of vectors their mean), the weights of a bag of n-grams, or the
    numbers and categories of a table. Where the modality is absent the answer is ``absent``.

    Args:
        spec: of the modality's arrays; its kind is one of :data:`STATIC`.
        width: numbers in the answer.
    """

    def __init__(self, spec: ArraySpec, width: int) -> None:
        super().__init__()
        self.spec, self.width = spec, width
        if spec.kind == "bag":
            shapes = {"grams": (spec.sizes[0], width)}
        elif spec.kind == "table":
            shapes = {"numbers": (spec.shape[0], width)}
            shapes |= {f"category{i}": (size, width) for i, size in enumerate(spec.sizes)}
        else:
            shapes = {"vector": (spec.shape[0], width)}
        for name, shape in {**shapes, "bias": (width,), "absent": (width,)}.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, arrays: dict[str, Tensor], present: Tensor) -> Tensor:
        mapped = self._mapped(arrays) + self.get_buffer("bias")
        return torch.where(present.unsqueeze(1), mapped, self.get_buffer("absent"))  # [batch, width]

    def _mapped(self, arrays: dict[str, Tensor]) -> Tensor:
        if self.spec.kind == "bag":
            return self._of_bag(arrays["ids"].long(), arrays["weights"].float())
        if self.spec.kind == "table":
            total = arrays["numbers"].float() @ self.get_buffer("numbers")
            for i in range(len(self.spec.sizes)):
                total = total + nn.functional.embedding(
                    arrays["categories"][:, i].long(), self.get_buffer(f"category{i}")
                )
            return total
        return self._of_vector(arrays) @ self.get_buffer("vector")

    def _of_bag(self, ids: Tensor, weights: Tensor) -> Tensor:
        grams = self.get_buffer("grams")
        if torch.jit.is_tracing():  # ONNX has no bags: the same sum as a product
            return (weights.unsqueeze(1) @ nn.functional.embedding(ids, grams)).squeeze(1)
        return nn.functional.embedding_bag(ids, grams, per_sample_weights=weights, mode="sum")

    def _of_vector(self, arrays: dict[str, Tensor]) -> Tensor:
        vector = arrays["vector"].float()
        if not self.spec.set_size:
            return vector
        mask = arrays["mask"].unsqueeze(2).to(vector.dtype)
        return (vector * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
