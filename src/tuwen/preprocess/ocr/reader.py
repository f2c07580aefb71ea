"""A picture → the lines of text in it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import PIL.Image

from tuwen.errors import BundleError, MissingExtra
from tuwen.preprocess.image import UNREADABLE, read
from tuwen.preprocess.ocr.line import Line, in_reading_order
from tuwen.preprocess.ocr.networks import Detector, Recogniser, width_of
from tuwen.preprocess.weights import find

STATE = "reader.json"
VERSION = 1  # change it when the same networks would read other words
SIDE = 320
MOST_LINES = 64
SHARPER = 2  # lines are cut out of a picture so many times as large as the one they were found in
SURE = 0.9  # a line that is read less surely is turned
LEAST_SURE = 0.5  # less sure lines are no text
MOST_WIDTH = 8192  # pixels that the recogniser reads of a picture, all its lines and turns together
TALL, VERY_TALL = 1.5, 2.5  # height : width of a box that may be, or must be, a line from top to bottom
TURNS = {
    0: None,
    90: PIL.Image.Transpose.ROTATE_90,
    180: PIL.Image.Transpose.ROTATE_180,
    270: PIL.Image.Transpose.ROTATE_270,
}


class Reader:
    """Reads pictures.

    Args:
        side: the longest side, in pixels, of a picture in which lines are looked for.
        most_lines: lines read of one picture, the largest first.
        networks: files of the detector and of the recogniser; default: those of the wheel.

    Raises:
        MissingExtra: the wheel is not installed. DataError: it holds other files than those that were tested.
    """

    def __init__(
        self, *, side: int = SIDE, most_lines: int = MOST_LINES, networks: tuple[Path, Path] | None = None
    ) -> None:
        self.side, self.most_lines = side, most_lines
        self.networks = networks or _of_the_wheel()

    @cached_property
    def fingerprint(self) -> str:
        """Hex name of everything that the lines depend on beside the picture."""
        digests = [_sha256(path) for path in self.networks]
        settings = f"{VERSION} {self.side} {self.most_lines} {' '.join(digests)}"
        return hashlib.sha256(settings.encode()).hexdigest()[:24]

    def read(self, data: bytes) -> list[Line]:
        """The lines of a picture, in reading order; none where nothing can be read or the bytes are no picture.

        Upside down and sideways lines are turned, lines from top to bottom are read as such. A picture takes bounded
        work: at most ``most_lines`` lines and ``MOST_WIDTH`` pixels of them.
        """
        try:
            picture = read(data, SHARPER * self.side, SHARPER * self.side)
        except UNREADABLE:
            return []
        largest = SHARPER * self.side
        if max(picture.size) > largest:
            picture.thumbnail((largest, largest), PIL.Image.Resampling.BILINEAR, reducing_gap=2.0)
        boxes = self._detector(picture)
        sides = (boxes[:, 2:] - boxes[:, :2]) * picture.size
        order = np.argsort(-sides.prod(axis=1), kind="stable")[: self.most_lines]
        budget, lines = MOST_WIDTH, list[Line]()
        for box in boxes[order].tolist():
            line, width = self._line(picture, box, budget)
            budget -= width
            lines += [] if line is None else [line]
        return in_reading_order(lines, picture.size)

    def _line(self, picture: PIL.Image.Image, box: list[float], most: int) -> tuple[Line | None, int]:
        """(what stands in ``box``, how many pixels were read for it); at most about ``most`` pixels are."""
        width, height = picture.size
        left, top = int(box[0] * width), int(box[1] * height)
        crop = picture.crop((left, top, max(left + 1, round(box[2] * width)), max(top + 1, round(box[3] * height))))
        candidate, pixels = ("", 0.0, 0), 0
        for turn in _turns(*crop.size):
            way = TURNS[turn]
            upright = crop if way is None else crop.transpose(way)
            if pixels + width_of(upright.size) > most:
                break
            pixels += width_of(upright.size)
            text, sure = self._recogniser(upright)
            if text.strip() and sure > candidate[1]:
                candidate = (text.strip(), sure, turn)
            if candidate[1] >= SURE:
                break
        text, sure, turn = candidate
        if sure < LEAST_SURE:
            return None, pixels
        return Line(text, round(sure, 4), tuple(round(share, 4) for share in box), turn), pixels

    @cached_property
    def _detector(self) -> Detector:
        return Detector(self.networks[0], self.side)

    @cached_property
    def _recogniser(self) -> Recogniser:
        return Recogniser(self.networks[1])

    def save(self, folder: Path) -> None:
        """``reader.json`` and the networks, each under its sha256."""
        digests = [_sha256(path) for path in self.networks]
        state = {"side": self.side, "most_lines": self.most_lines, "networks": digests}
        (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
        for path, digest in zip(self.networks, digests, strict=True):
            if not (folder / f"{digest}.onnx").exists():
                shutil.copyfile(path, folder / f"{digest}.onnx")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What :meth:`save` wrote.

        Raises:
            BundleError: a file is missing or damaged.
        """
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            side, most_lines = int(state["side"]), int(state["most_lines"])
            detector, recogniser = (folder / f"{digest}.onnx" for digest in state["networks"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError("how pictures are read cannot be read", where=str(folder / STATE), seen=error) from None
        missing = [path for path in (detector, recogniser) if not path.is_file()]
        if missing:
            todo = "copy the folder again from where it is whole, or make it again"
            raise BundleError("a network that reads pictures is missing", where=str(missing[0]), todo=todo)
        return cls(side=side, most_lines=most_lines, networks=(detector, recogniser))


def _of_the_wheel() -> tuple[Path, Path]:
    try:
        return find("ppocr-detection"), find("ppocr-recognition")
    except MissingExtra as error:
        raise MissingExtra(error.extra, "reading the words in pictures") from None


def _turns(width: int, height: int) -> tuple[int, ...]:
    """How a line of this box may have to be turned, the likeliest first."""
    if height < TALL * width:
        return (0, 180)
    return (90, 270, 0) if height >= VERY_TALL * width else (0, 90, 270)


def text_of(lines: Iterable[Line]) -> str:
    """The lines as one text."""
    return "\n".join(line.text for line in lines)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
