"""The short steps: collect a shop, load a bundle, answer a file of rows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.config import Shop
from tuwen.data.batch import Batch
from tuwen.data.collect import collect as collect_shop
from tuwen.data.sources import ENDINGS, format_of, open_file
from tuwen.errors import DataError
from tuwen.progress import Progress, Silent

CHUNK = 256


def collect(
    shop_yaml: str | Path, out: str | Path, overrides: Iterable[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Read a shop's own files into the dataset ``out``; returns the manifest."""
    return collect_shop(Shop.read(shop_yaml, list(overrides)), Path(out), progress=progress)


def load(bundle: str | Path) -> Bundle:
    """A bundle, checked and ready to answer."""
    return Bundle.open(bundle)


def predict(
    bundle: str | Path, file: str | Path, out: str | Path | None = None, progress: Progress | None = None
) -> pl.DataFrame:
    """Answer every row of a CSV, JSONL or Parquet file.

    Picture columns hold paths relative to the file, or bytes. Columns the bundle does not read are passed through; a
    picture that cannot be read counts as absent and its row says so in ``problem``.

    Args:
        out: where to write the answers, by its ending: .csv, .jsonl or .parquet.
    """
    opened, file = Bundle.open(bundle), Path(file)
    if not file.is_file():
        raise DataError("this is a folder" if file.is_dir() else "there is no such file", where=str(file))
    if file.suffix.lower() not in ENDINGS:
        raise DataError("predict cannot read this kind of file", where=str(file), allowed=ENDINGS)
    if out is not None and Path(out).resolve() == file.resolve():
        raise DataError("the answers would replace their own questions", where=str(file), todo="choose another --out")
    answers = _answers(opened, file, progress or Silent())
    if out is not None:
        _write(answers, Path(out))
    return answers


def _answers(bundle: Bundle, file: Path, progress: Progress) -> pl.DataFrame:
    part = open_file(file, file.name, format_of(file.name, None), encoding=None, separator=None)
    read = _columns_read(bundle, part.columns, file)
    answered = []
    with progress.task("predict", part.rows) as bar:
        for batch in part.batches(part.columns):
            for start in range(0, max(len(batch.frame), 1), CHUNK):
                some = batch.frame[start : start + CHUNK]
                answered.append(_answered(bundle, some, read, file.parent))
                bar.advance(len(some))
            answered += [_unread(batch)] if batch.unread else []
    found = pl.concat([frame for frame in answered if len(frame)] or answered[:1], how="diagonal_relaxed")
    if found.is_empty():
        raise DataError("the file has no rows", where=str(file))
    return found


def _columns_read(bundle: Bundle, columns: list[str], file: Path) -> dict[str, str]:
    """The file's columns that the bundle reads, and the names it knows them by."""
    known = [entry["column"] for entry in bundle.inputs]
    short = {name: column for column in known if (name := column.partition(".")[2]) not in known}
    read = {c: c if c in known else short[c] for c in columns if c in known or c in short}
    missing = [column for column in dict.fromkeys(known) if column not in read.values()]
    names = {*missing, *(column.partition(".")[2] for column in missing)}
    slips = [(c, near) for c in columns if c not in read and (near := get_close_matches(c, names, n=1, cutoff=0.8))]
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


def _answered(bundle: Bundle, frame: pl.DataFrame, read: dict[str, str], folder: Path) -> pl.DataFrame:
    """The frame without its pictures, with ``prediction``, ``probability`` (of yes, or of the answer) and
    ``problem``.
    """
    if frame.is_empty():
        return frame
    kinds = {entry["column"]: entry["kind"] for entry in bundle.inputs}
    pictures = {c for c, column in read.items() if kinds[column] == "image"}
    rows = frame.select(list(read)).to_dicts()
    problems = [_open_pictures(bundle, row, pictures, folder) for row in rows]
    answers = bundle.predict([{read[c]: value for c, value in row.items()} for row in rows])
    columns = {"prediction": [a["prediction"] for a in answers]}
    if "probability" in answers[0]:
        columns["probability"] = [a["probability"] for a in answers]
    if "probabilities" in answers[0]:
        columns["probability"] = [max(a["probabilities"].values()) for a in answers]
    answered = pl.DataFrame(columns).with_columns(pl.Series("problem", problems, dtype=pl.String))
    return pl.concat([frame.drop(*pictures, *answered.columns, strict=False), answered], how="horizontal")


def _unread(batch: Batch) -> pl.DataFrame:
    """Rows that are none keep a line of their own: nobody should wonder where they went."""
    problems = [f"row {row.row}: {row.reason}: {row.text[:80]}" for row in batch.unread]
    return pl.DataFrame({"problem": problems})


def _open_pictures(bundle: Bundle, row: dict[str, Any], columns: set[str], folder: Path) -> str | None:
    """Put the bytes of each picture into the row, or None; returns what went wrong."""
    problem = None
    for column in columns:
        value = row[column][0] if isinstance(row[column], list) and row[column] else row[column]
        if isinstance(value, str) and value:
            try:
                value = (folder / value).read_bytes()
            except OSError as error:
                problem, value = f"{column}: {error.strerror}", None
        if value and (why := bundle.problem(value)):
            problem, value = f"{column}: {why}", None
        row[column] = value or None
    return problem


def _write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".jsonl":
        frame.write_ndjson(path)
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        raise DataError("unknown kind of output file", where=str(path), allowed=".csv, .jsonl, .parquet")
