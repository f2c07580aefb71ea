"""What every encoder is: arrays in, one vector a row out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.preprocess.spec import ArraySpec

COMES_FROM = {
    "pixels": "a modality with use: image",
    "tokens": "a modality with use: text or picture-text and tokens: word, character or subword",
    "bag": "a modality with use: text or picture-text and tokens: ngram, word-ngram or character-ngram",
    "table": "a modality with use: table",
    "spectrogram": "a modality with use: audio",
    "points": "a modality with use: shape",
}


class Encoder(nn.Module):
    """Arrays of one modality → one vector.

    A concrete encoder takes ``(spec, *, options)``, sets :attr:`width` and defines ``forward(**arrays) -> f32 [batch,
    width]``,
    whose keyword arguments are the array names of its spec's kind. A row of the answer depends on that row alone.

    Attributes:
        accepts: the spec kinds it can read.
        pretrained: name of the weights it starts from, if any.
        modality_options: what the modality must be told so that the arrays fit the weights.
        modality_defaults: what it is told where the run says nothing.
        brought: whether all its weights come from the bundle that the run starts from (``init``).
    """

    accepts: ClassVar[tuple[str, ...]] = ()
    pretrained: ClassVar[str | None] = None
    modality_options: ClassVar[dict[str, Any]] = {}
    modality_defaults: ClassVar[dict[str, Any]] = {}
    brought: bool = False
    width: int

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        if spec.kind not in self.accepts:
            raise ConfigError(
                f"this encoder cannot read {spec.kind}",
                allowed=self.accepts,
                todo="; or ".join(COMES_FROM[kind] for kind in self.accepts if kind in COMES_FROM),
            )

    @classmethod
    def demanded(cls, options: dict[str, Any]) -> dict[str, Any]:
        """What the modality must be told so that its arrays fit an encoder with these (complete) options.

        Raises:
            ConfigError: the options contradict each other.
        """
        return cls.modality_options

    @classmethod
    def is_frozen(cls, options: dict[str, Any]) -> bool:
        """Whether the vectors are made once, before training, by the network that :meth:`export` writes."""
        return False

    @classmethod
    def export(cls, options: dict[str, Any], spec: ArraySpec, folder: Path, pictures: Callable[[], np.ndarray]) -> Path:
        """The ONNX file of a frozen encoder, written into ``folder`` unless it is there: see
        :class:`tuwen.preprocess.frozen.Frozen`.

        Args:
            spec: the arrays that it reads.
            pictures: gives some of the shop's own, uint8 [≤ 64, height, width, 3], to choose int8 scales by.
        """
        raise NotImplementedError

    def prepare(self, arrays: dict[str, np.ndarray]) -> None:
        """Look at the training arrays once before training (means, scales). Most encoders need nothing."""

    def tops(self) -> Iterable[nn.Module]:
        """Its layers, the top one first; what stands in none of them is the lowest. Without any it is one layer."""
        return ()

    def pretrained_layers(self) -> list[list[nn.Parameter]]:
        """What is trained on rather than learned from scratch, by layer, the top one first: where ``init`` brought the
        encoder all that learns in it, else :meth:`pretrained_parameters`.
        """
        learn = [p for p in self.parameters() if p.requires_grad] if self.brought else self.pretrained_parameters()
        tops = list(self.tops())
        depth: dict[int, int] = {}
        for i, top in enumerate(tops):
            for parameter in top.parameters():
                depth.setdefault(id(parameter), i)
        layers: list[list[nn.Parameter]] = [[] for _ in range(len(tops) + 1)]
        for parameter in learn:
            layers[depth.get(id(parameter), len(tops))].append(parameter)
        return [layer for layer in layers if layer]

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Parameters that came with the encoder's own weights and move with their own, smaller learning rate."""
        return []


def stages(modules: Iterable[nn.Module], kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """Modules in a row as layers, the top one first: one of ``kinds`` begins each, what follows it belongs to it."""
    found: list[list[nn.Module]] = []
    for module in modules:
        if isinstance(module, kinds):
            found.append([])
        if found:
            found[-1].append(module)
    return [nn.ModuleList(stage) for stage in reversed(found)]


class Standardise(nn.Module):
    """Centre and scale each feature by the train part's mean and deviation: frozen vectors are narrow cones otherwise.

    ``size`` multiplies the result. With Adam every weight moves alike, so a modality with many features of size 1
    learns faster than one with few, and a fusion then overfits the wide one: make the wide one small.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, size: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def prepare(self, vectors: np.ndarray) -> None:
        """Args: vectors: f32 [rows, width], present rows only."""
        if len(vectors) == 0:
            return
        deviation = vectors.std(axis=0)
        # a feature that hardly varies would be blown up to noise
        floor = max(float(np.median(deviation)) * 0.1, 1e-6)
        self.mean.copy_(torch.from_numpy(vectors.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(self.size / np.maximum(deviation, floor)))

    def forward(self, vector: Tensor) -> Tensor:  # [batch, width]
        return (vector - self.mean) * self.scale
