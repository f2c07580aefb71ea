"""The list of revisions of a home, ``live.json``: what was served from which moment on. The last one counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tuwen.errors import DataError

LIVE, PARTS, INCOMING, STORE = "live.json", "parts", "incoming", "store.db"  # what a home holds
FORMAT = 1
KEPT = 10  # revisions whose parts stay, so that they can come back


@dataclass(frozen=True)
class Revision:
    """What is served from a moment on.

    Attributes:
        number: from 1.
        time: when, ISO 8601, to the microsecond: what happens after an experiment ends is told from it.
        note: what was done, in a few words.
        parts: kind → folder, relative to the home; ``report/NAME`` for each report and comparison.
        experiment: of two recommenders, ``name``, ``share`` and ``part`` (the folder of the other); empty for none.
    """

    number: int
    time: str
    note: str
    parts: Mapping[str, str] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)


def read_revisions(home: Path) -> list[Revision]:
    """Read the revisions of a home, oldest first; none where nothing was promoted yet.

    Raises:
        DataError: ``live.json`` is damaged.
    """
    file = home / LIVE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise DataError("the home was written by a newer tuwen", where=str(file), todo="upgrade tuwen")
        revisions = [Revision(**fields) for fields in content["revisions"]]
        for revision in revisions:
            datetime.fromisoformat(revision.time)
        return revisions
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        todo = f"put a copy back; or move it away, and promote the folders of {home / PARTS} anew"
        raise DataError("the list of what is live is damaged", where=str(file), todo=todo) from None


def as_json(revisions: Iterable[Revision]) -> dict[str, Any]:
    """Return the content of ``live.json``."""
    return {"format": FORMAT, "revisions": [vars(revision) for revision in revisions]}


def periods(revisions: Iterable[Revision], experiment: str) -> list[tuple[datetime, datetime | None]]:
    """When an experiment ran, from and to; None where it still does.

    More than one where a step back brought it again; nothing where it never ran.
    """
    ranges: list[tuple[datetime, datetime | None]] = []
    for revision in revisions:
        runs = revision.experiment.get("name") == experiment
        time = datetime.fromisoformat(revision.time)
        if runs and (not ranges or ranges[-1][1] is not None):
            ranges.append((time, None))
        elif not runs and ranges and ranges[-1][1] is None:
            ranges[-1] = ranges[-1][0], time
    return ranges


def previous(revisions: Sequence[Revision]) -> Revision | None:
    """The latest with other parts, or another experiment, than the last. A step back is not undone by the next."""
    if not revisions:
        return None
    last = revisions[-1]
    number = last.number
    if last.note.startswith("back to revision "):
        number = int(last.note.rpartition(" ")[2])
    content = last.parts, last.experiment
    earlier = [each for each in revisions if each.number < number and (each.parts, each.experiment) != content]
    return earlier[-1] if earlier else None


def parts_of(revisions: Iterable[Mapping[str, Any]]) -> set[str]:
    """The parts of some revisions, those of their experiments too. Each revision is as ``live.json`` holds it."""
    names: set[str] = set()
    for revision in revisions:
        names |= set(revision["parts"].values())
        if revision["experiment"]:
            names.add(revision["experiment"]["part"])
    return names


def is_home(folder: str | Path) -> bool:
    """Whether a folder is a home."""
    return (Path(folder) / LIVE).is_file() or (Path(folder) / PARTS).is_dir()


def refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that is not a home, and holds what no home holds before its first promotion.

    Raises:
        DataError: it is one, or a file.
    """
    if is_home(folder) or not folder.exists():
        return
    own = {INCOMING, *(f"{STORE}{end}" for end in ("", "-wal", "-shm", "-reserve"))}
    if not folder.is_dir() or {path.name for path in folder.iterdir()} - own:
        raise DataError(
            "something that is not a home is in the way", where=str(folder), todo="name an empty or a new folder"
        )
