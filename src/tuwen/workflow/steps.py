"""The short steps: collect a shop, load a bundle, answer a file of rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.bundle.reading import qualified
from tuwen.config import Shop
from tuwen.data.batch import Batch, Part
from tuwen.data.collect import Additions
from tuwen.data.collect import collect as collect_shop
from tuwen.data.dialects import Dialect, Kind, evidence_of, kind_of
from tuwen.data.kinds import MEDIA
from tuwen.data.schema import TABLES
from tuwen.data.sources import ENDINGS, format_of, open_file
from tuwen.data.spreadsheet import write_spreadsheet
from tuwen.errors import DataError, close_names
from tuwen.files import whole
from tuwen.outputs import folders_above
from tuwen.private import scratch
from tuwen.progress import Progress, Silent
from tuwen.workflow.media_cells import MediaCells
from tuwen.workflow.memory import room_in_memory

CHUNK = 256
MOST_BYTES = 50_000_000  # of a file that is fetched; what it holds has limits of the bundle's own


def collect(
    shop_yaml: str | Path, out: str | Path, overrides: Iterable[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Read a shop's own files, and what its running service kept, into the dataset ``out``; returns the manifest."""
    return collected(Shop.read(shop_yaml, list(overrides)), Path(out), progress)


def collected(shop: Shop, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """:func:`collect` of a shop that is read."""
    url = shop.store_url()
    if url is None:
        return collect_shop(shop, out, progress=progress)
    from tuwen.store import Store
    from tuwen.store.export import export

    if "://" not in url and not Path(url).is_file():
        raise DataError(
            "there is no such store", where=shop.where("store"), seen=url, todo="tuwen serve HOME makes one"
        )
    with Store(url) as store, scratch("store") as folder:
        tables, gone = export(store, folder)
        refused = store.people.refusals.of()
        additions = Additions(folder, tables, gone, refused)
        return collect_shop(shop, out, progress=progress, additions=additions)


def load(bundle: str | Path) -> Bundle:
    """A bundle, checked and ready to answer."""
    return Bundle.open(bundle)


def predict(
    bundle: str | Path,
    file: str | Path,
    out: str | Path | None = None,
    progress: Progress | None = None,
    *,
    private: bool = False,
) -> pl.DataFrame:
    """Answer every row of a CSV, JSONL or Parquet file.

    Columns of pictures, sounds and shapes hold paths relative to the file, addresses, or bytes; of several the first
    readable one counts (the first N where the run said ``pictures: N``). Columns the bundle does not read are passed
    through; a file, number or date that cannot be read counts as absent and its row says so in ``problem``.

    Args:
        out: where to write the answers, by its ending: .csv, .jsonl or .parquet. Written whole or not at all. CSV is
            written for a spreadsheet, see :func:`tuwen.data.spreadsheet.write_spreadsheet`.
        private: fetch media from addresses inside one's own network too.

    Raises:
        DataError: the file cannot be read, or ``out`` not be written; told before a row is answered.
    """
    opened, file = Bundle.open(bundle), Path(file)
    if not file.is_file():
        raise DataError("this is a folder" if file.is_dir() else "there is no such file", where=str(file))
    if file.suffix.lower() not in ENDINGS:
        raise DataError("predict cannot read this kind of file", where=str(file), allowed=ENDINGS)
    if out is not None and Path(out).resolve() == file.resolve():
        raise DataError("the answers would replace their own questions", where=str(file), todo="choose another --out")
    if out is None:
        return _answers(opened, file, progress or Silent(), private=private)
    with answers_file(Path(out)) as (place, write):
        answers = _answers(opened, file, progress or Silent(), private=private)
        write(answers, place)
    return answers


@room_in_memory()
def _answers(bundle: Bundle, file: Path, progress: Progress, *, private: bool) -> pl.DataFrame:
    cells = MediaCells(file.parent, MOST_BYTES, private=private)
    part = open_file(file, file.name, format_of(file.name, None), names=_names(bundle))
    read = _columns_read(bundle, part.columns, file)
    dialects = _dialects(bundle, part, read)
    answered = []
    with progress.task("predict", part.rows) as bar:
        for batch in part.batches(part.columns):
            for start in range(0, max(len(batch.frame), 1), CHUNK):
                some = batch.frame[start : start + CHUNK]
                answered.append(_answered(bundle, some, read, dialects, cells))
                bar.advance(len(some))
            answered += [_unread(batch)] if batch.unread else []
    found = pl.concat([frame for frame in answered if len(frame)] or answered[:1], how="diagonal_relaxed")
    if found.is_empty():
        raise DataError("the file has no rows", where=str(file))
    return found


def _names(bundle: Bundle) -> set[str]:
    """What a column that the bundle reads may be called: with its table, or without."""
    return {name for entry in bundle.inputs for name in (entry["column"], entry["column"].partition(".")[2])}


def _columns_read(bundle: Bundle, columns: list[str], file: Path) -> dict[str, str]:
    """The file's columns that the bundle reads, and the names it knows them by."""
    known = list(dict.fromkeys(entry["column"] for entry in bundle.inputs))
    short = {column.partition(".")[2] for column in known}
    read = {c: qualified(c, known, str(file)) for c in columns if c in known or c in short}
    twice = [column for column, times in Counter(read.values()).items() if times > 1]
    if twice:
        raise DataError(
            f"'{twice[0]}' is given twice",
            where=str(file),
            seen=", ".join(c for c in read if read[c] == twice[0]),
            todo="leave one of them out",
        )
    missing = [column for column in dict.fromkeys(known) if column not in read.values()]
    names = {*missing, *(column.partition(".")[2] for column in missing)}
    slips = [(c, near) for c in columns if c not in read and (near := close_names(c, names, cutoff=0.8))]
    if slips or not read:
        raise DataError(
            f"the bundle does not read '{slips[0][0]}'" if slips else "the file has no column that the bundle reads",
            where=str(file),
            seen=", ".join(columns),
            allowed=dict.fromkeys(known),
            todo=f"did you mean '{slips[0][1][0]}'? if not, leave the column out"
            if slips
            else "name the columns as the bundle does, with or without the table's name",
        )
    return read


def _dialects(bundle: Bundle, part: Part, read: dict[str, str]) -> dict[str, Dialect]:
    """How the file writes numbers and dates, by the bundle's names of columns."""
    kinds: dict[str, tuple[str, Kind]] = {}
    own: dict[str, Kind] = {"number": "number", "date": "time"}
    input_kinds = {entry["column"]: entry["kind"] for entry in bundle.inputs}
    for column, name in read.items():
        table, _, short = name.partition(".")
        definition = TABLES[table].columns.get(short) if table in TABLES else None
        kind = own.get(input_kinds[name]) if definition is None else kind_of(definition)
        if kind is not None:
            kinds[name] = (column, kind)
    return {name: counts.dialect() for name, counts in evidence_of(part, kinds).items()}


def _answered(
    bundle: Bundle, frame: pl.DataFrame, read: dict[str, str], dialects: dict[str, Dialect], cells: MediaCells
) -> pl.DataFrame:
    """The frame without its media, with ``prediction``, ``probability`` (of yes, or of the answer; of a contrast
    bundle ``SIDE_embedding`` instead), ``problem``, and ``note`` where a row is unlike the train part.
    """
    if frame.is_empty():
        return frame
    kinds = {entry["column"]: entry["kind"] for entry in bundle.inputs}
    media = {c for c, column in read.items() if kinds[column] in MEDIA}
    rows = frame.select(list(read)).to_dicts()
    problems = cells.open(rows, media)
    question = bundle.read([{read[c]: value for c, value in row.items()} for row in rows], dialects)
    for row, told in zip(rows, problems, strict=True):
        if not told and all(value is None or value in ("", []) for value in row.values()):
            told.append("nothing to go by: every input is empty")
    names = {column: c for c, column in read.items()}
    for i, column, error in question.unreadable:
        problems[i].append(": ".join([names[column], error.what, *([error.seen] if error.seen else [])]))
    answers = bundle.answer(question)
    if "embeddings" in answers[0]:
        columns = {f"{side}_embedding": [a["embeddings"][side] for a in answers] for side in answers[0]["embeddings"]}
    else:
        columns = {"prediction": [a["prediction"] for a in answers]}
    if "probability" in answers[0]:
        columns["probability"] = [a["probability"] for a in answers]
    if "probabilities" in answers[0]:
        columns["probability"] = [max(a["probabilities"].values()) for a in answers]
    if any("note" in a for a in answers):
        columns["note"] = [a.get("note") for a in answers]
    answered = pl.DataFrame(columns).with_columns(
        pl.Series("problem", ["; ".join(told) or None for told in problems], dtype=pl.String)
    )
    return pl.concat([frame.drop(*media, *answered.columns, strict=False), answered], how="horizontal")


def _unread(batch: Batch) -> pl.DataFrame:
    """Rows that are none keep a line of their own: nobody should wonder where they went."""
    problems = [f"row {row.row}: {row.reason}: {row.text[:80]}" for row in batch.unread]
    return pl.DataFrame({"problem": problems})


@contextmanager
def answers_file(path: Path) -> Iterator[tuple[IO[bytes], Callable[[pl.DataFrame, IO[bytes]], None]]]:
    """A file for the answers, opened before the first is made, and what writes them in the kind its ending asks for."""
    if path.suffix not in _WRITERS:
        raise DataError("unknown kind of output file", where=str(path), allowed=_WRITERS)
    if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
        seen = "a folder" if path.is_dir() else "it may not be written"
        raise DataError("the answers cannot be written", where=str(path), seen=seen, todo="choose another file")
    path = path.resolve()  # behind a link the file itself is written
    with ExitStack() as held:
        try:
            held.enter_context(folders_above(path))
            file = held.enter_context(whole(path))
        except OSError as error:
            raise DataError(
                "the answers cannot be written", where=str(path), seen=error.strerror, todo="choose another file"
            ) from None
        yield file, _WRITERS[path.suffix]


_WRITERS: dict[str, Callable[[pl.DataFrame, IO[bytes]], None]] = {
    ".csv": write_spreadsheet,
    ".jsonl": lambda frame, file: frame.write_ndjson(file),
    ".parquet": lambda frame, file: frame.write_parquet(file),
}
