"""Warnings about a whole dataset, one sentence each, for a person to judge."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tuwen.data import joins
from tuwen.data.behaviour import behaviour_warnings
from tuwen.data.placeholders import placeholder_note
from tuwen.data.spellings import spelling_warnings

NAMED = ("category", "brand")  # columns of items whose values are names


def doubts(
    frames: Mapping[str, pl.DataFrame], placeholders: Mapping[str, int], pictures: Mapping[str, str]
) -> list[str]:
    """Unknown keys, returns and programs among the events, names in several spellings, placeholders.

    Args:
        frames: the tables, by name.
        placeholders: media key → how many items show it.
        pictures: reference → media key.
    """
    notes = joins.strangers(frames)
    if "events" in frames:
        notes += [english for english, _ in behaviour_warnings(frames["events"])]
    items = frames.get("items", pl.DataFrame())
    for column in NAMED:
        if column in items.columns:
            names = items[column].drop_nulls().unique()
            notes += [english for english, _ in spelling_warnings(f"items.{column}", names)]
    if placeholders:
        notes.append(placeholder_note(placeholders, pictures, items.height))
    return notes
