"""Encoders by name: any model of four libraries, from a folder here or, where one can be reached, from a hub.

They need the extra ``hub``. Frozen, the network becomes an ONNX file (float32) like any other, and neither the library
nor the folder is needed to serve the bundle; trained on, both are. No pickle is opened and no code that a model brings
is run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from tuwen.models.pretrained import hub
from tuwen.models.pretrained.hub import Pool
from tuwen.models.transfer import Layers, OfPictures, OfTexts, Pretrained, Size
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Share


class FromHub(Pretrained):
    """What they share: how the network is found.

    Attributes:
        load: (model, spec) → the library's network in tuwen's dress.
    """

    pretrained: ClassVar[str | None] = "hub"
    load: ClassVar[Callable[..., nn.Module]]

    @classmethod
    def export(cls, options: dict[str, Any], spec: ArraySpec, folder: Path, pictures: Callable[[], np.ndarray]) -> Path:
        model = options["model"]
        told = {"pool": options["pool"]} if "pool" in options else {}
        return hub.export(model, [cls.__name__, told], spec, folder, lambda: cls.load(model, spec, **told))


class HubTexts(FromHub, OfTexts):
    """Of texts: the modality takes the model's own tokeniser."""

    @classmethod
    def demanded(cls, options: dict[str, Any]) -> dict[str, Any]:
        return super().demanded(options) | {"tokens": "hub", "model": options["model"]}


class Transformers(HubTexts):
    """Any encoder of texts that ``transformers`` can load (BERT, XLM-R, E5, BGE, …): a vector from its last states.

    Args:
        model: a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``, or ``owner/name`` on the hub
            (``owner/name@revision``).
        pool: mean of the real tokens' states, or the first one's; the model's authors say which.
    """

    load = staticmethod(hub.transformers_text)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        model: str,
        pool: Pool = "mean",
        frozen: bool = True,
        train_layers: Layers | None = None,
        lora: Size = 0,
        adapter: Size = 0,
        size: float = 1.0,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(
            spec,
            lambda: hub.transformers_text(model, spec, pool),
            frozen=frozen,
            train_layers=train_layers,
            lora=lora,
            adapter=adapter,
            size=size,
            dropout=dropout,
        )


class SentenceTransformers(HubTexts):
    """Any model of ``sentence-transformers`` (Reimers and Gurevych, 2019), with the pooling and layers it brings.

    Args:
        model: a folder with ``modules.json``, or ``owner/name`` on the hub (``owner/name@revision``).
    """

    load = staticmethod(hub.sentence_transformers)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        model: str,
        frozen: bool = True,
        train_layers: Layers | None = None,
        lora: Size = 0,
        adapter: Size = 0,
        size: float = 1.0,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(
            spec,
            lambda: hub.sentence_transformers(model, spec),
            frozen=frozen,
            train_layers=train_layers,
            lora=lora,
            adapter=adapter,
            size=size,
            dropout=dropout,
        )


class HubPictures(FromHub, OfPictures):
    """Of pictures: the modality's ``size`` must be the one that the network was trained with."""

    def __init__(
        self,
        spec: ArraySpec,
        *,
        model: str,
        frozen: bool = True,
        lora: Size = 0,
        adapter: Size = 0,
        size: float = 0.1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(
            spec,
            lambda: self.load(model, spec),
            frozen=frozen,
            train_layers=None,
            lora=lora,
            adapter=adapter,
            size=size,
            dropout=dropout,
        )


class TransformersPicture(HubPictures):
    """Any encoder of pictures that ``transformers`` can load (ViT, DINOv2, SigLIP and CLIP's picture half, ResNet, …).

    The vector is the first token's last state, or the mean of a map.

    Args:
        model: a folder with ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, or ``owner/name``
            on the hub (``owner/name@revision``).
    """

    load = staticmethod(hub.transformers_picture)


class Timm(HubPictures):
    """Any model of ``timm``, without its classes. The library needs a torchvision of this torch's generation.

    Args:
        model: a folder with ``config.json`` and ``model.safetensors``, or ``owner/name`` on the hub
            (``owner/name@revision``).
    """

    load = staticmethod(hub.timm)


class OpenClip(HubPictures):
    """The picture half of any model of ``open_clip``. The library needs a torchvision of this torch's generation.

    Args:
        model: a folder with ``open_clip_config.json`` and ``open_clip_model.safetensors``, or ``owner/name`` on the hub
            (``owner/name@revision``).
    """

    load = staticmethod(hub.open_clip)
