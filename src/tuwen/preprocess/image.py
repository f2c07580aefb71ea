"""Pictures → upright, resized RGB pixels.

The pixels stay uint8 until they are inside the encoder, which does ``(x − 127) / 128`` itself: a quarter of the
memory, and one place where the normalisation can be wrong. Turning upright is done once, by the media store.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import PIL.Image
import simplejpeg
from PIL import ImageFilter
from pydantic import Field

from tuwen.errors import ConfigError
from tuwen.preprocess.augment import Augmentation
from tuwen.preprocess.modality import Arrays, read_state, write_state
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.registry import Share

Fit = Literal["crop", "stretch", "pad"]
Pictures = Annotated[int, Field(ge=1, le=64)]
GREY = 127  # what the encoders' normalisation turns into zero
MAX_PIXELS = 80_000_000  # more is no photo; the media store allows less
UNREADABLE = (OSError, ValueError, SyntaxError, MemoryError, PIL.Image.DecompressionBombError)


def read(data: bytes, height: int, width: int) -> PIL.Image.Image:
    """Decode a picture; a JPEG at the smallest scale that still covers ``height`` × ``width``.

    Raises:
        OSError, ValueError, SyntaxError, MemoryError: not a whole picture, or an absurdly large one.
    """
    if data[:2] == b"\xff\xd8":
        try:
            _small_enough(*simplejpeg.decode_jpeg_header(data, min_height=height, min_width=width)[:2])
            pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=True, min_height=height, min_width=width)
            return PIL.Image.fromarray(pixels)
        except ValueError:
            pass  # CMYK and other rarities: Pillow knows more kinds of JPEG
    with PIL.Image.open(io.BytesIO(data)) as picture:
        _small_enough(picture.height, picture.width)
        return picture.convert("RGB")


def _small_enough(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise OSError("the picture is too large")


def resized(picture: PIL.Image.Image, height: int, width: int, fit: Fit) -> PIL.Image.Image:
    """Bilinear, antialiased, to exactly ``height`` × ``width``.

    ``stretch`` keeps everything and bends the proportions; ``pad`` keeps both and fills with grey; ``crop`` keeps
    the proportions and cuts the longer side at both ends. Products fill their pictures: on frozen EfficientNet-lite0
    vectors of the Flipkart sample a linear probe loses five points by cropping, and nowhere gains any.
    """
    bilinear = PIL.Image.Resampling.BILINEAR
    w, h = picture.size
    if fit == "stretch" or w * height == h * width:
        return picture if (w, h) == (width, height) else picture.resize((width, height), bilinear)
    if fit == "crop":
        scale = min(w / width, h / height)
        left, top = (w - scale * width) / 2, (h - scale * height) / 2
        return picture.resize((width, height), bilinear, box=(left, top, w - left, h - top))
    scale = max(w / width, h / height)
    inner = picture.resize((max(1, round(w / scale)), max(1, round(h / scale))), bilinear)
    canvas = PIL.Image.new("RGB", (width, height), (GREY, GREY, GREY))
    canvas.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return canvas


class Image:
    """JPEG bytes → ``pixels``.

    Args:
        size: side, or (height, width), in pixels.
        fit: how a picture of other proportions is made to fit; see :func:`resized`.
        denoise: 3 × 3 median filter after resizing.
        flip, shift, brightness, contrast: random changes while training; see :class:`Augmentation`.
        pictures: how many of a row's pictures are used, in their order over all its columns; the vectors of more than
            one become one by attention, so their order does not count.
    """

    def __init__(
        self,
        *,
        size: int | tuple[int, int] = 224,
        fit: Fit = "stretch",
        denoise: bool = False,
        flip: bool = False,
        shift: Share = 0.0,
        brightness: Share = 0.0,
        contrast: Share = 0.0,
        pictures: Pictures = 1,
    ) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        if not (1 <= self.height <= 4096 and 1 <= self.width <= 4096):
            raise ConfigError("'size' is out of range", seen=size, allowed="1 to 4096 pixels a side")
        self.policy: Fit = fit
        self.denoise = denoise
        self.augmentation = Augmentation(flip, *(_share(v) for v in (shift, brightness, contrast)))
        self.pictures = pictures  # of a row; here each is read alone, see :class:`tuwen.preprocess.sets.PictureSet`

    @property
    def options(self) -> dict[str, Any]:
        """What decides how one picture is read."""
        drawn = self.augmentation
        return {
            "size": [self.height, self.width],
            "fit": self.policy,
            "denoise": self.denoise,
            "flip": drawn.flip,
            "shift": drawn.shift,
            "brightness": drawn.brightness,
            "contrast": drawn.contrast,
        }

    @property
    def spec(self) -> ArraySpec:
        return ArraySpec("pixels", (self.height, self.width, 3))

    def fit(self, values: Sequence[bytes | None], progress: Progress | None = None) -> None:
        """Nothing is learned from pictures."""

    def encode(self, values: Sequence[bytes | None], *, workers: int = 1) -> tuple[Arrays, np.ndarray]:
        """``pixels`` uint8 [rows, height, width, 3]; decoding releases the interpreter, so ``workers`` threads help."""
        pixels = np.zeros((len(values), self.height, self.width, 3), np.uint8)
        present = np.zeros(len(values), bool)

        def one(row: int) -> None:
            data = values[row]
            if data is not None:
                present[row] = self._into(data, pixels[row])

        if workers == 1:
            for row in range(len(values)):
                one(row)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(one, range(len(values))))
        return {"pixels": pixels}, present

    def _into(self, data: bytes, out: np.ndarray) -> bool:
        try:
            picture = resized(read(data, self.height, self.width), self.height, self.width, self.policy)
        except UNREADABLE:
            return False
        if self.denoise:
            picture = picture.filter(ImageFilter.MedianFilter(3))
        out[:] = np.asarray(picture)
        return True

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Other ``pixels``, or the same where no change was asked for."""
        if self.augmentation == Augmentation():
            return arrays
        return arrays | {"pixels": self.augmentation(arrays["pixels"], rng)}

    def save(self, folder: Path) -> None:
        write_state(folder, self, self.options, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        options = read_state(folder)["options"]
        return cls(**options | {"size": tuple(options["size"])})


def _share(value: float) -> float:
    if not 0 <= value < 1:
        raise ConfigError("a random change must be a share", seen=value, allowed="0 or more, below 1")
    return float(value)
