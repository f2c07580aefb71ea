"""Read the media that a file of rows names: paths beside it, and web addresses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tuwen.config.shop import Media
from tuwen.data.download import NOT_PUBLIC, Limits, download
from tuwen.data.file_names import FileNames
from tuwen.data.intake import address_in
from tuwen.data.references import split
from tuwen.errors import DataError

Row = dict[str, Any]


class MediaCells:
    """Reads what cells name, as collect does: several in a cell, in any spelling, from the web where it is an address.

    Args:
        folder: where relative paths start.
        max_bytes: of a downloaded file.
        private: whether addresses inside one's own network may be asked. A file of rows comes from others, and nobody
            should fetch ``http://localhost/`` or ``http://169.254.169.254/`` through it.
    """

    def __init__(self, folder: Path, max_bytes: int, *, private: bool = False) -> None:
        self._files = FileNames(folder)
        web = Media(max_bytes=max_bytes, allow_private_addresses=private).model_dump()
        self._web = Limits(**{name: web[name] for name in Limits.__dataclass_fields__})

    def open(self, rows: list[Row], columns: Collection[str]) -> list[list[str]]:
        """Put the bytes of the media into the rows. Returns a problem for each cell without any medium."""
        for row in rows:
            for column in columns:
                row[column] = self._named(row[column])
        urls = {url for row in rows for column in columns for cell in row[column] if (url := _address(cell))}
        fetched = dict(download(sorted(urls), self._web)) if urls else {}
        return [self._opened(row, columns, fetched) for row in rows]

    def _named(self, value: Any) -> list[Any]:
        parts = value if isinstance(value, list) else [value]
        named: list[Any] = []
        for part in parts:
            named += split(part, exists=self._files.exists) if isinstance(part, str) else [part]
        return named

    def _opened(self, row: Row, columns: Collection[str], fetched: Mapping[str, bytes | DataError]) -> list[str]:
        problems = []
        for column in columns:
            contents, messages = [], []
            for cell in row[column]:
                data = self._read(cell, fetched)
                if isinstance(data, str):
                    messages.append(f"{column}: {data}")
                elif data:
                    contents.append(data)
            row[column] = contents
            problems += [] if contents else messages[:1]
        return problems

    def _read(self, cell: Any, fetched: Mapping[str, bytes | DataError]) -> Any:
        """Return the bytes, or a sentence that says why there are none."""
        url = _address(cell)
        if url is not None:
            data = fetched[url]
            if isinstance(data, DataError):
                lift = "--private-addresses lifts this" if data.what == NOT_PUBLIC else None
                return ": ".join(filter(None, [url[:100], data.what, data.seen, lift]))
            return data
        if not isinstance(cell, str):
            return cell
        try:
            return self._files.path(cell).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a null character in a path
            return str(getattr(error, "strerror", None) or error)


def _address(cell: Any) -> str | None:
    return address_in(cell) if isinstance(cell, str) else None
