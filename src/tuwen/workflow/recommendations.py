"""A bundle of the task rank asked: for one answer, or for lists for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.apps.recommend import shelf_files
from tuwen.apps.recommend.rules import Rules
from tuwen.apps.recommend.shelf import Shelf
from tuwen.bundle.parts import store_beside
from tuwen.errors import did_you_mean
from tuwen.files import room_on_disk
from tuwen.progress import Progress, Silent
from tuwen.store import Store
from tuwen.workflow.steps import answers_file


def recommend(
    bundle: str | Path,
    again: bool | None = None,
    *,
    explore: float | None = None,
    only: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    boost: Mapping[str, float] | None = None,
    notes: list[str] | None = None,
    store: str | Path | None = None,
) -> tuple[Shelf, Rules]:
    """A bundle of the task rank, checked and ready to answer, and the rules its run asks for.

    Args:
        again: whether what was bought before may be listed, in place of what the run says.
        explore: share of the places that is drawn by chance, in place of what the run says; drawn anew every day
            (``Rules.draw``: today, UTC).
        only, exclude, boost: see :meth:`~tuwen.apps.recommend.shelf.Shelf.ruled`.
        notes: what a person should know of them is added: items that the bundle does not know.
        store: the store that knows who refused recommendations; default: that of the home which the bundle stands in.
    """
    shelf, manifest = shelf_files.read(bundle)
    url = store or store_beside(bundle)
    if url is not None:
        with Store(url) as opened:
            shelf.refused = opened.people.refusals.of()
    own = rules_of(manifest["run"])
    rules = replace(
        own,
        again=own.again if again is None else again,
        explore=own.explore if explore is None else explore,
        draw=datetime.now(UTC).date().isoformat(),
    )
    only, exclude = None if only is None else list(only), list(exclude)
    ruled = shelf.ruled(rules, only=only, exclude=exclude, boost=boost)
    for option, items in (("--only", only or []), ("--exclude", exclude)):
        note = _unknown_note(shelf, option, items)
        if note is not None and notes is not None:
            notes.append(note)
    return shelf, ruled


def recommend_to_everybody(
    bundle: str | Path, out: str | Path, count: int = 20, progress: Progress | None = None, **how: Any
) -> int:
    """One list for each shopper the bundle knows: ``user``, ``place`` (from 1), ``item``, ``score``; where places are
    drawn by chance, also ``explored`` and ``probability``.

    Args:
        out: by its ending .parquet, .csv or .jsonl; written whole or not at all.
        how: as :func:`recommend` takes it.

    Returns:
        the number of shoppers.

    Raises:
        DataError: ``out`` cannot be written; told before a list is made.
    """
    shelf, rules = recommend(bundle, **how)
    rows: list[tuple[Any, ...]] = []
    schema: dict[str, Any] = {"user": pl.String, "place": pl.Int32, "item": pl.String, "score": pl.Float32}
    if rules.explore:
        schema |= {"explored": pl.Boolean, "probability": pl.Float32}
    with room_on_disk(Path(out)), answers_file(Path(out)) as (file, write):
        with (progress or Silent()).task("lists", len(shelf.users)) as bar:
            for user, listed in shelf.for_everybody(count, rules):
                for place, one in enumerate(listed, start=1):
                    row = (user, place, one.item, one.score, one.explored, one.probability)
                    rows.append(row[: len(schema)])
                bar.advance(1)
        write(pl.DataFrame(rows, schema=schema, orient="row"), file)
    return len(shelf.users)


def _unknown_note(shelf: Shelf, option: str, items: Sequence[str]) -> str | None:
    """One sentence about the items of an option that the bundle does not know; None where it knows all."""
    unknown = shelf.unknown(items)
    if not unknown:
        return None
    near = did_you_mean(unknown[0], shelf.catalogue.items.tolist())
    also = f"; {near}" if near else ""
    return f"{option}: {len(unknown):,} of {len(set(items)):,} items are not known to the bundle: {unknown[0]!r}{also}"


def rules_of(run: Mapping[str, Any]) -> Rules:
    """The rules that a bundle's run asks for."""
    return Rules(**run["rules"])
