"""Where a table comes from: one path, several files by a pattern, or a database by URL."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from tuwen.data.batch import Part
from tuwen.errors import DataError, MissingExtra, did_you_mean

Format = Literal["csv", "jsonl", "parquet", "sql"]
Escape = Literal["backslash", "quote"]
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def format_of(source: str, given: Format | None) -> Format:
    """What kind of source it is: as given, else by its ending.

    Raises:
        DataError: the ending says nothing.
    """
    if given is not None:
        return given
    if "://" in source:
        return "sql"
    kind = ENDINGS.get(Path(source).suffix.lower())
    if kind is None:
        raise DataError(
            "the format of the source cannot be told from its ending",
            where=source,
            allowed=ENDINGS,
            todo="say format: csv, jsonl, parquet or sql in SHOP.yaml (a spreadsheet: save it as CSV)",
        )
    return kind


def files_of(source: str, folder: Path) -> list[tuple[Path, str]]:
    """(path, name relative to ``folder``) of every file that ``source`` names, sorted.

    Raises:
        DataError: there is none.
    """
    path = folder / source
    found = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    found = [p for p in found if p.is_file()]
    if not found:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            "there is no such file",
            where=str(path),
            todo=did_you_mean(path.name, beside) or "paths are relative to 'root', and 'root' to SHOP.yaml",
        )
    return [(p, p.relative_to(folder).as_posix() if p.is_relative_to(folder) else str(p)) for p in found]


def fingerprint(files: list[tuple[Path, str]]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of each file."""
    prints = []
    for path, name in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        prints.append({"file": name, "bytes": path.stat().st_size, "sha256": digest})
    return prints


def open_file(
    path: Path,
    name: str,
    kind: Format,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    names: Collection[str] = (),
    skip: int | None = None,
    escape: Escape | None = None,
) -> Part:
    """One file, opened: its columns are known.

    Args:
        names: what columns may be called; tells a header from the lines above it.
        skip, escape: as SHOP.yaml has them.

    Raises:
        MissingExtra: pyarrow, which reads CSV and Parquet, is not installed.
    """
    if kind == "jsonl":
        from tuwen.data.jsonlines import JsonLinesFile

        return JsonLinesFile(path, name, encoding=encoding)
    try:
        from tuwen.data.delimited import DelimitedFile
        from tuwen.data.parquet import ParquetFile
    except ModuleNotFoundError:
        raise MissingExtra("collect", f"reading '{name}'") from None
    if kind == "csv":
        return DelimitedFile(path, name, encoding=encoding, separator=separator, names=names, skip=skip, escape=escape)
    return ParquetFile(path, name)


def query(url: str, text: str, folder: Path) -> Part:
    """The result of a query."""
    from tuwen.data.sql import Query

    return Query(url, text, folder)
