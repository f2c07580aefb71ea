"""Small random changes to pictures while training: what does not change the answer should not change the vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Augmentation:
    """How much may change; every picture draws its own.

    Attributes:
        flip: mirror half of the pictures, left to right.
        shift: move by up to this share of height and width, edges repeated.
        brightness: multiply by 1 ± up to this.
        contrast: stretch about the picture's mean by 1 ± up to this.
    """

    flip: bool = False
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __call__(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 [rows, height, width, 3] → the same, new. An all-zero (absent) picture stays all zero."""
        rows, height, width, _ = pixels.shape
        # always the same draws in the same order: one option does not change the luck of another
        flips = np.less(rng.random(rows), 0.5)
        shifts = rng.uniform(-1, 1, (rows, 2)) * self.shift * (height, width)
        factors = 1 + rng.uniform(-1, 1, (rows, 2)) * (self.brightness, self.contrast)
        out = np.empty_like(pixels)
        for row, (dy, dx) in enumerate(np.rint(shifts).astype(int).tolist()):
            picture = pixels[row, :, ::-1] if self.flip and flips[row] else pixels[row]
            _moved(picture, dy, dx, out[row])
            if self.brightness or self.contrast:
                bright, stretch = factors[row]
                mean = bright * out[row].mean()
                levels = (LEVELS * bright - mean) * stretch + mean
                np.take(np.clip(np.rint(levels), 0, 255).astype(np.uint8), out[row], out=out[row], mode="clip")
        return out


def _moved(picture: np.ndarray, dy: int, dx: int, out: np.ndarray) -> None:
    """Down by ``dy`` and right by ``dx`` pixels; what comes in is the edge, repeated."""
    height, width = picture.shape[:2]
    top, bottom, left, right = max(dy, 0), height + min(dy, 0), max(dx, 0), width + min(dx, 0)
    out[top:bottom, left:right] = picture[top - dy : bottom - dy, left - dx : right - dx]
    out[top:bottom, :left] = out[top:bottom, left : left + 1]
    out[top:bottom, right:] = out[top:bottom, right - 1 : right]
    out[:top] = out[top : top + 1]
    out[bottom:] = out[bottom - 1 : bottom]
