"""One line of text in a picture, and the order in which lines are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

Box = tuple[float, ...]


class Line(NamedTuple):
    """A line.

    Attributes:
        text: what it says.
        sure: how sure the recogniser is, from 0 to 1.
        box: left, top, right, bottom, as shares of the picture's width and height.
        turn: degrees, against the clock, by which it had to be turned: 0, 90, 180 or 270.
    """

    text: str
    sure: float
    box: Box
    turn: int = 0

    def plain(self) -> list[Any]:
        return [self.text, self.sure, list(self.box), self.turn]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Self:
        text, sure, box, turn = plain
        return cls(str(text), float(sure), tuple(map(float, box)), int(turn))


def in_reading_order(lines: Sequence[Line], size: tuple[int, int]) -> list[Line]:
    """Lines from left to right by rows, then lines from top to bottom, the right one first, as Chinese is written.

    Where most lines stand upside down, the whole order is.
    """
    across = [line for line in lines if line.turn in (0, 180)]
    down = [line for line in lines if line.turn in (90, 270)]
    ordered = _by_rows(across) + sorted(down, key=lambda line: (-round(line.box[2] * size[0]), line.box[1]))
    reversals = sum(line.turn in (180, 270) for line in lines)
    return ordered[::-1] if 2 * reversals > len(lines) else ordered


def _by_rows(lines: Sequence[Line]) -> list[Line]:
    """A line whose middle lies above the lower end of a row's first line belongs to that row."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and (line.box[1] + line.box[3]) / 2 < rows[-1][0].box[3]:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]
