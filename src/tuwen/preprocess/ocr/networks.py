"""The two networks: where lines of text are, and what a line says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tuwen.errors import BundleError
from tuwen.preprocess.ocr.regions import regions
from tuwen.preprocess.session import run

STEP = 32  # sides of what a network reads are multiples of it: few sizes, so memory stays flat
THRESHOLD = 0.3  # probability of a pixel that belongs to a line
LEAST_SCORE = 0.5  # mean probability of a line
LEAST_SIDE = 3  # pixels of the map
UNCLIP = 1.6  # the network learned shrunken lines: each grows by area · UNCLIP / perimeter on all sides
HEIGHT = 48  # pixels of a line as the recogniser reads it
SQUEEZE = 0.85  # of a line's width: a seventh less work, and no more errors
WIDEST = 1280  # pixels of a line as the recogniser reads it; longer ones are squeezed more
BILINEAR = PIL.Image.Resampling.BILINEAR


def session(path: Path) -> Any:
    """An ONNX Runtime session on one thread, whose memory does not grow with the number of sizes it has seen.

    Raises:
        BundleError: the network cannot be read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no base class but this
        raise BundleError("a network that reads pictures cannot be read", where=str(path), seen=error) from None


class Detector:
    """Finds the lines of text in a picture (DB: Liao et al., 2020).

    Args:
        path: its ONNX file.
        side: the longest side of a picture as the network sees it, in pixels.
    """

    def __init__(self, path: Path, side: int) -> None:
        self._session, self.side = session(path), side

    def __call__(self, picture: PIL.Image.Image) -> np.ndarray:
        """f64 [lines, 4]: left, top, right, bottom, as shares of the picture's width and height."""
        longest = max(picture.size)
        scale = min(1.0, self.side / longest)
        width, height = (max(STEP, round(length * scale / STEP) * STEP) for length in picture.size)
        pixels = _pixels(picture.resize((width, height), BILINEAR))
        bright = regions(run(self._session, {"x": pixels[None]})[0, 0], THRESHOLD)
        boxes = bright.boxes.astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        good = (bright.scores >= LEAST_SCORE) & (sides.min(axis=1, initial=np.inf) >= LEAST_SIDE)
        boxes, sides = boxes[good], sides[good]
        margins = (sides.prod(axis=1) * UNCLIP / (2 * sides.sum(axis=1)))[:, None] * [-1.0, -1.0, 1.0, 1.0]
        shares: np.ndarray = np.clip((boxes + margins) / [width, height, width, height], 0.0, 1.0)
        return shares


class Recogniser:
    """Reads a line of text (PP-OCR's SVTR with CTC: Du et al., 2022).

    Args:
        path: its ONNX file, which also lists its characters.
    """

    def __init__(self, path: Path) -> None:
        self._session = session(path)
        characters = self._session.get_modelmeta().custom_metadata_map.get("character")
        if characters is None:
            raise BundleError("the network that reads lines does not list its characters", where=str(path))
        self._characters = ["", *characters.split("\n"), " "]

    def __call__(self, line: PIL.Image.Image) -> tuple[str, float]:
        """(what it says, how sure the network is from 0 to 1); the text is empty where it says nothing."""
        width = width_of(line.size)
        canvas = np.zeros((3, HEIGHT, -(-width // STEP) * STEP), np.float32)
        canvas[:, :, :width] = _pixels(line.resize((width, HEIGHT), BILINEAR))
        steps = run(self._session, {"x": canvas[None]})[0]  # f32 [steps, characters], 0 is between two characters
        classes, sure = steps.argmax(axis=1), steps.max(axis=1)
        new = (classes != 0) & np.append(True, classes[1:] != classes[:-1])
        text = "".join(self._characters[i] for i in classes[new].tolist() if i < len(self._characters))
        return text, float(sure[new].mean()) if new.any() else 0.0


def width_of(size: tuple[int, int]) -> int:
    """Pixels of a line of this width and height as the recogniser reads it."""
    return min(WIDEST, max(STEP // 2, math.ceil(SQUEEZE * HEIGHT * size[0] / size[1])))


def _pixels(picture: PIL.Image.Image) -> np.ndarray:
    """f32 [3, height, width] from −1 to 1, blue first, as the networks learned."""
    pixels = np.asarray(picture, np.float32)[..., ::-1] / 127.5 - 1.0
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
