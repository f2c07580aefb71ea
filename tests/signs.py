"""Pictures with words on them, drawn with fonts of the system."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

LATIN = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
HAN = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
SIMPLIFIED = 2  # of the faces of HAN
PLACES = [(12, 40 + 72 * i) for i in range(4)]


def need_reader() -> None:
    try:
        distribution("rapidocr")
    except PackageNotFoundError:
        pytest.skip("needs the wheel rapidocr")


def need_fonts() -> None:
    for font in (LATIN, HAN):
        if not font.exists():
            pytest.skip(f"needs the font {font.name}")


def sign(
    lines: Sequence[str],
    *,
    size: int = 320,
    height: int = 24,
    paper: str | tuple[int, int, int] = "white",
    ink: str | tuple[int, int, int] = "black",
    down: bool = False,
    turn: int = 0,
) -> bytes:
    """A square JPEG with ``lines`` below one another.

    Args:
        height: of the letters, in pixels of a picture of side 320; as ``size`` in pixels.
        down: each line from top to bottom, the first one on the right.
        turn: degrees against the clock.
    """
    picture = PIL.Image.new("RGB", (size, size), paper)
    draw, scale = PIL.ImageDraw.Draw(picture), size / 320
    for at, line in enumerate(lines):
        chinese = any(ord(letter) > 0x2E7F for letter in line)
        path, face = (HAN, SIMPLIFIED) if chinese else (LATIN, 0)
        font = PIL.ImageFont.truetype(path, round(height * scale), index=face)
        if not down:
            draw.text((12 * scale, (24 + 72 * at) * scale), line, fill=ink, font=font)
            continue
        for row, letter in enumerate(line):
            draw.text(((260 - 72 * at) * scale, (16 + 1.2 * height * row) * scale), letter, fill=ink, font=font)
    if turn:
        picture = picture.transpose({90: 2, 180: 3, 270: 4}[turn])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def errors(read: str, written: str) -> int:
    """Levenshtein distance of characters."""
    row = list(range(len(written) + 1))
    for i, letter in enumerate(read, 1):
        above, row = row, [i]
        for j, other in enumerate(written, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    return row[-1]
