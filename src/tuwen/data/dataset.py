"""A collected dataset, opened for reading."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import polars as pl

from tuwen.data.schema import TABLES
from tuwen.data.store import MediaStore
from tuwen.errors import DataError
from tuwen.outputs import finish

FORMAT = 1
_AGAIN = "run tuwen collect again"


class Dataset:
    """The folder that ``tuwen collect`` writes.

    Attributes:
        folder: where it is.
        manifest: what manifest.json says.
        hash: tables and, through their keys, pictures; equal for equal content.
        media: the store with the pictures.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.hash: str = manifest["hash"]
        self.media = MediaStore(folder / "media")
        self._tables: dict[str, pl.DataFrame] = {}

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open ``folder``.

        Raises:
            DataError: there is no dataset, or it was written by a newer tuwen, or its manifest is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(
                "there is no such dataset folder",
                where=str(folder),
                todo="tuwen collect SHOP.yaml --out " + str(folder),
            )
        finish(folder)
        return cls(folder, read_manifest(folder))

    def has(self, name: str) -> bool:
        """Whether the shop has the table ``name``."""
        return name in self.manifest["tables"]

    def table(self, name: str) -> pl.DataFrame:
        """The table ``name`` as a frame, read once and checked against the manifest.

        Raises:
            DataError: there is no such table, or its file is missing or damaged.
        """
        if name not in self._tables:
            self._tables[name] = self._read(name)
        return self._tables[name]

    def rejected(self) -> pl.DataFrame:
        """The rows that were not good enough: table, file, row, column, reason, seen, record."""
        return self._parse(self.folder / "rejected.parquet", self.manifest["rejected"]["sha256"])

    def _read(self, name: str) -> pl.DataFrame:
        if not self.has(name):
            known = list(self.manifest["tables"])
            raise DataError(f"the dataset has no table '{name}'", where=str(self.folder), allowed=known)
        return self._parse(self.folder / f"{name}.parquet", self.manifest["tables"][name]["sha256"])

    def _parse(self, path: Path, expected: str) -> pl.DataFrame:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError("a table cannot be read", where=str(path), seen=error.strerror, todo=_AGAIN) from None
        if hashlib.sha256(data).hexdigest() != expected:
            raise DataError(
                "the table is not the one the manifest speaks of: it is damaged, or a collect was killed at its end",
                where=str(path),
                todo=_AGAIN,
            )
        return pl.read_parquet(BytesIO(data))


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of the dataset in ``folder``.

    Raises:
        DataError: it is not there, unreadable, or of a format this tuwen does not know.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            "the folder holds no dataset", where=str(folder), seen="no manifest.json", todo=_AGAIN
        ) from None
    except (OSError, ValueError) as error:
        raise DataError("the manifest cannot be read", where=str(path), seen=error, todo=_AGAIN) from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise DataError("this is not a manifest of a dataset", where=str(path), todo=_AGAIN)
    if version > FORMAT:
        raise DataError(
            "the dataset was written by a newer tuwen",
            where=str(path),
            seen=f"format {version}",
            allowed=f"format {FORMAT}",
            todo="upgrade tuwen, or collect again with this one",
        )
    if not isinstance(manifest.get("hash"), str) or not set(manifest.get("tables", {"": 0})) <= set(TABLES):
        raise DataError("the manifest is damaged", where=str(path), todo=_AGAIN)
    return manifest
