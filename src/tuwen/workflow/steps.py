"""The short steps: collect a shop, load a bundle, answer a file of rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.config import Shop
from tuwen.data.collect import collect as collect_shop
from tuwen.data.sources import read_file
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
    picture
    that cannot be read counts as absent and its row says so in ``problem``.

    Args:
        out: where to write the answers, by its ending: .csv, .jsonl or .parquet.
    """
    opened, file = Bundle.open(bundle), Path(file)
    frame = read_file(file)
    answers = _answers(opened, frame, file.parent, progress or Silent())
    if out is not None:
        _write(answers, Path(out))
    return answers


def _answers(bundle: Bundle, frame: pl.DataFrame, folder: Path, progress: Progress) -> pl.DataFrame:
    kinds = {entry["column"]: entry["kind"] for entry in bundle.inputs}
    read = {c: c for c in frame.columns if c in kinds}
    short = {column.partition(".")[2]: column for column in kinds}
    read |= {c: short[c] for c in frame.columns if c not in kinds and c in short}
    if not read:
        raise DataError("the file has no column that the bundle reads", seen=frame.columns, allowed=list(kinds))
    pictures = {c for c, column in read.items() if kinds[column] == "image"}
    found: list[dict[str, Any]] = []
    with progress.task("predict", len(frame)) as bar:
        for part in frame.select(list(read)).iter_slices(CHUNK):
            rows = part.to_dicts()
            problems = [_open_pictures(bundle, row, pictures, folder) for row in rows]
            answers = bundle.predict([{read[c]: value for c, value in row.items()} for row in rows])
            found += [{**answer, "problem": problem} for answer, problem in zip(answers, problems, strict=True)]
            bar.advance(len(rows))
    answered = pl.DataFrame(
        [{k: v for k, v in row.items() if k != "probabilities"} for row in found], infer_schema_length=None
    )
    answered = answered.with_columns(pl.col("problem").cast(pl.String))
    if found and "probabilities" in found[0]:
        best = [max(row["probabilities"].values()) for row in found]
        answered = answered.with_columns(pl.Series("probability", best))
    kept = frame.drop([c for c in (*pictures, *answered.columns) if c in frame.columns])
    return pl.concat([kept, answered], how="horizontal")


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
