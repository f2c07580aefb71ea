"""Whether an experiment may begin in a home."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuwen.errors import DataError

LONGEST_NAME = 100  # characters: it stands in tables and in the store beside every shopper
NO_CHARACTERS = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines


def need_share(share: float) -> None:
    """Raises:
    DataError: one of the two would be without shoppers.
    """
    if not 0 < share < 1:
        raise DataError(
            "the share is not above 0 and below 1: one of the two would answer nobody, and nothing could be told",
            seen=share,
            allowed="above 0 and below 1, such as 0.5 for half of the shoppers",
            todo="to let the other one answer everybody, promote it",
        )


def need_name(name: str) -> None:
    """Raises:
    DataError: it is empty, too long, or holds what no line shows.
    """
    if not name.strip() or len(name) > LONGEST_NAME or any(unicodedata.category(c) in NO_CHARACTERS for c in name):
        raise DataError(
            "this is no name of an experiment",
            seen=repr(name) if len(name) <= LONGEST_NAME else f"{len(name):,} characters",
            allowed=f"1 to {LONGEST_NAME} characters, no control characters",
            todo="give it another name",
        )


def need_room(folder: Path, name: str, ran: Sequence[Mapping[str, Any]]) -> None:
    """Raises:
    DataError: an experiment still runs, or one had this name.

    Args:
        ran: of every revision of the home, the experiment, empty for none; the last one is live.
    """
    if ran[-1:] and ran[-1]:
        raise DataError(
            f"experiment '{ran[-1]['name']}' still runs",
            where=str(folder),
            allowed="one experiment at a time",
            todo=f"tuwen ab {folder} --end, then begin this one",
        )
    if name in {one["name"] for one in ran if one}:
        raise DataError(
            "there was an experiment of this name: what was shown in both would be counted together",
            where=str(folder),
            seen=name,
            todo="give it another name",
        )
