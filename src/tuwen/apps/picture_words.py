"""Words in the pictures of an index's items: its two columns of them, and where in a picture the asked words stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tuwen.apps.query import held_by
from tuwen.index.words import Slot
from tuwen.preprocess.ocr import Line

PICTURE_TEXT = "picture_text"  # the column of the words, where settings["derived"] names it
BOXES = "_picture_boxes"  # the column that says where each line of them stands
MOST_BOXES = 20  # of one item in an answer


def columns_of(pictures: Sequence[Sequence[Line]]) -> tuple[str | None, str | None]:
    """``picture_text`` and ``_picture_boxes`` of one item.

    Args:
        pictures: the lines of each of its pictures.
    """
    lines_of_item = [(at, line.text, list(line.box)) for at, lines in enumerate(pictures) for line in lines]
    if not lines_of_item:
        return None, None
    return "\n".join(text for _, text, _ in lines_of_item), json.dumps(lines_of_item, ensure_ascii=False)


def boxes_holding(boxes: str | None, slots: Sequence[Slot]) -> list[dict[str, Any]]:
    """The lines that hold a word of a query: ``picture`` (which of the item's, from 0), ``text``, and ``box`` (left,
    top, right, bottom, as shares of the picture's width and height).

    Args:
        boxes: a cell of ``_picture_boxes``.
    """
    matches: list[dict[str, Any]] = []
    for picture, text, box in json.loads(boxes) if boxes else ():
        if len(matches) == MOST_BOXES:
            break
        if held_by({"line": text}, slots):
            matches.append({"picture": picture, "text": text, "box": box})
    return matches
