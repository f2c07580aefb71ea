"""What the manifest says about tables and media."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import polars as pl

from tuwen.data.gather import Sheet
from tuwen.data.intake import Intake
from tuwen.data.kinds import MEDIA
from tuwen.data.language import LANGUAGES, languages
from tuwen.data.schema import SPOKEN


def of_table(name: str, frame: pl.DataFrame, sheet: Sheet) -> dict[str, Any]:
    """Counts, reasons of rejection, languages seen (rows each), shares of rows without text, picture, sound, shape."""
    reasons = Counter(sheet.rejected["reason"].to_list())
    about: dict[str, Any] = {
        "rows": frame.height,
        "read": sheet.read,
        "rejected": sheet.rejected.height,
        "merged": sheet.merged,
        "reasons": dict(sorted(reasons.items())),
        "columns": {column: str(dtype) for column, dtype in frame.schema.items()},
        "notes": sheet.notes,
    }
    spoken = [column for column in SPOKEN.get(name, ()) if column in frame.columns]
    if spoken:
        texts = frame.select(pl.concat_str(spoken, separator=" ", ignore_nulls=True).alias("text")).to_series()
        seen = Counter(languages(texts).to_list())
        about["languages"] = {language: seen[language] for language in LANGUAGES if seen[language]}
        about["without_text"] = _share(int((texts.str.strip_chars().str.len_bytes() == 0).sum()), frame.height)
    for medium in MEDIA.values():
        if medium.column in frame.columns:
            none = int((frame[medium.column].list.len() == 0).sum())
            about[f"without_{medium.word}"] = _share(none, frame.height)
    return about


def of_media(
    media: Iterable[Intake], frames: list[pl.DataFrame], quarantine: pl.DataFrame
) -> dict[str, dict[str, Any]]:
    """``pictures`` and, where a table lists them, ``sounds`` and ``shapes``: how many the rows speak of, what became of
    them, and why some are in quarantine.
    """
    about = {}
    for intake in media:
        column, word = intake.medium.column, intake.medium.word
        parts = [frame[column].explode().drop_nulls() for frame in frames if column in frame.columns]
        if not parts and column != "images":
            continue
        references = [reference for part in parts for reference in part]
        keys = [intake.keys[reference] for reference in references if reference in intake.keys]
        mine = quarantine.filter(pl.col("reference").is_in([intake.medium.named(r) for r in references]))
        about[f"{word}s"] = {
            "references": len(references),
            "stored": len(set(keys)),
            "duplicates": len(keys) - len(set(keys)),
            "read_now": intake.read,
            "quarantined": dict(sorted(Counter(mine["reason"].to_list()).items())),
        }
    return about


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
