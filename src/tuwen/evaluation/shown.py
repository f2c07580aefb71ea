"""Examples of retrieval on the page: a query, and the first things it finds."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tuwen.evaluation import verdict
from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.page import words_of
from tuwen.evaluation.words import thing

Plain = Mapping[str, Any]

THUMBNAIL_SIDE = 280
MOST_TEXT = 300  # characters of a text in a list of answers


def examples(report: Plain, pictures: Mapping[str, Sequence[bytes]], texts: Mapping[str, str]) -> dict[str, Any] | None:
    """What the section of examples shows; None where the report is not of retrieval."""
    found = report.get("retrieval")
    if not found:
        return None
    return {
        "twins": _twins(report),
        "cards": [_card(one, found["answers"][0], pictures, texts) for one in found["examples"]],
    }


def _card(
    one: Plain, answers: int, pictures: Mapping[str, Sequence[bytes]], texts: Mapping[str, str]
) -> dict[str, Any]:
    rank = verdict.number(one["rank"]).removesuffix(".000")
    return {
        "asked": words_of("asked_with", what=thing(one["query"])),
        "rank": words_of("own_rank", rank=rank, answers=f"{answers:,}"),
        "query": _thing(one["query"], one["row"], pictures, texts),
        "found": [
            _thing(one["answer"], hit["row"], pictures, texts)
            | {"own": hit["own"], "twin": hit["twin"], "score": f"{hit['score']:.2f}"}
            for hit in one["found"]
        ],
    }


def _thing(kind: str, row: str, pictures: Mapping[str, Sequence[bytes]], texts: Mapping[str, str]) -> dict[str, Any]:
    """One side of a row: its picture, or its text; where it is neither, the row's name."""
    shown = [thumbnail(data) for data in list(pictures.get(row, ()))[:1]] if kind == "picture" else []
    text = texts.get(row, row)[:MOST_TEXT] if kind == "text" else row
    return {"row": row, "picture": shown[0] if shown and shown[0] else None, "text": text}


def _twins(report: Plain) -> Any:
    """What the lenient figures are; None where every text and picture is the only one of its kind."""
    found = report["retrieval"]
    if not found["twin_rows"]:
        return None
    names = [metric for metric in report["metrics"] if metric.endswith("recall@10")]
    told = []
    for side, joint in ((0, ", "), (1, "，")):
        parts = [f"{METRIC_NAMES[m][side]} {verdict.measured(found['twins'][m]['value'], True)[side]}" for m in names]
        told.append(joint.join(parts))
    return words_of("twins_note", rows=f"{found['twin_rows']:,}", measured=(told[0], told[1]))


def thumbnail(data: bytes) -> str | None:
    """JPEG bytes → a small picture as a ``data:`` address; None for bytes that are no picture."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            picture.draft("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
