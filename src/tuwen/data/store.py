"""The media store: pictures packed into append-only shards, found by an SQLite index.

    media/index.sqlite      pictures (key → shard, offset, length, width, height), sources (reference → key or reason)
    media/00000.shard ...   JPEG after JPEG, nothing else

Bytes reach the shard before their row reaches the index, and rows are committed in groups, so a run that is killed
leaves a store that reads well and lacks at most the last group; bytes without a row are read by nobody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import simplejpeg

from tuwen.errors import DataError

SHARD_BYTES = 256 * 2**20
GROUP, SECONDS = 512, 2.0  # pictures, and time, between two commits
_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
    key TEXT PRIMARY KEY, shard INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    reference TEXT PRIMARY KEY, state TEXT NOT NULL, key TEXT, place TEXT, reason TEXT, seen TEXT) WITHOUT ROWID;
"""


def content_key(data: bytes) -> str:
    """The key of a stored picture: the SHA-256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


class MediaStore:
    """Reads a store. Safe to share between threads and to carry over a fork.

    Args:
        folder: the ``media`` folder of a dataset; one that does not exist is an empty store.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._local = threading.local()

    def read(self, key: str) -> bytes:
        """The JPEG stored under ``key``.

        Raises:
            KeyError: no such picture.
            DataError: the store is damaged.
        """
        row = self._row("SELECT shard, offset, length FROM pictures WHERE key = ?", key)
        if row is None:
            raise KeyError(key)
        shard, offset, length = row
        path = _shard(self.folder, shard)
        try:
            with path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise DataError("a picture cannot be read", where=str(path), seen=error.strerror, todo=_AGAIN) from None
        if len(data) != length:
            raise DataError("a shard of the media store is cut short", where=str(path), seen=key, todo=_AGAIN)
        return data

    def size(self, key: str) -> tuple[int, int]:
        """(width, height) in pixels; KeyError for an unknown key."""
        row = self._row("SELECT width, height FROM pictures WHERE key = ?", key)
        if row is None:
            raise KeyError(key)
        return row[0], row[1]

    def __contains__(self, key: object) -> bool:
        return self._row("SELECT 1 FROM pictures WHERE key = ?", key) is not None

    def __len__(self) -> int:
        row = self._row("SELECT count(*) FROM pictures")
        return row[0] if row else 0

    def keys(self) -> Iterator[str]:
        """All keys, sorted."""
        connection = self._connection()
        if connection is not None:
            yield from (key for (key,) in connection.execute("SELECT key FROM pictures ORDER BY key"))

    def quarantine(self) -> pl.DataFrame:
        """``reference``, ``place``, ``reason``, ``seen`` of every picture that could not be used."""
        connection = self._connection()
        query = "SELECT reference, place, reason, seen FROM sources WHERE key IS NULL ORDER BY reference"
        rows = [] if connection is None else connection.execute(query).fetchall()
        return pl.DataFrame(
            rows, schema=dict.fromkeys(("reference", "place", "reason", "seen"), pl.String), orient="row"
        )

    def _row(self, query: str, *values: object) -> tuple[int, ...] | None:
        connection = self._connection()
        return None if connection is None else connection.execute(query, values).fetchone()

    def _connection(self) -> sqlite3.Connection | None:
        """This thread's own; SQLite connections may cross neither threads nor forks."""
        owner, connection = getattr(self._local, "held", (None, None))
        if owner != os.getpid():
            path = self.folder / "index.sqlite"
            connection = _open(path, "ro") if path.exists() else None
            if connection is not None:
                self._local.held = (os.getpid(), connection)
        return connection


_AGAIN = "delete the folder 'media' and run tuwen collect again"


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.shard"


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to the index. A run killed while committing leaves a journal, which only a writer may roll back."""
    if mode == "ro" and path.with_name(path.name + "-journal").exists() and os.access(path, os.W_OK):
        mode = "rw"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, check_same_thread=False)
        if mode == "rwc":
            connection.executescript(_TABLES)
        connection.execute("SELECT count(*) FROM (SELECT key FROM pictures LIMIT 1)")
    except sqlite3.DatabaseError as error:
        raise DataError(
            "the index of the media store cannot be read", where=str(path), seen=error, todo=_AGAIN
        ) from None
    return connection


class MediaWriter(MediaStore):
    """Adds to a store; one at a time, from one thread (the caller holds the dataset's lock).

    Use as a context manager: leaving the block commits, also when an error or Ctrl-C leaves it.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _full_disk(self.folder):
            self._index = _open(self.folder / "index.sqlite", "rwc")
        numbers = [int(path.stem) for path in self.folder.glob("*.shard") if path.stem.isdigit()]
        self._number = max(numbers, default=0)
        self._shard = _shard(self.folder, self._number).open("ab")
        self._waiting, self._committed = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.commit()
        except OSError:
            if kind is None:
                raise
        finally:
            self._index.close()
            self._close_shard()

    def _connection(self) -> sqlite3.Connection:
        return self._index

    def put(self, data: bytes) -> str:
        """Store a normalised picture, once however often it comes; returns its key."""
        key = content_key(data)
        if key not in self:
            if self._shard.tell() >= SHARD_BYTES:
                self.commit()
                self._close_shard()
                self._number += 1
                self._shard = _shard(self.folder, self._number).open("ab")
            offset = self._shard.tell()
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            with _full_disk(self.folder):
                self._shard.write(data)
                row = (key, self._number, offset, len(data), width, height)
                self._index.execute("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?)", row)
            self._counted()
        return key

    def known(self, reference: str, state: str) -> tuple[str | None, bool]:
        """(key, True) for a source that was read before in the same state; key is None where it was no good."""
        found = self._index.execute("SELECT key, state FROM sources WHERE reference = ?", (reference,)).fetchone()
        return (found[0], True) if found is not None and found[1] == state else (None, False)

    def keep(self, reference: str, state: str, data: bytes) -> str:
        """Store what ``reference``, being in ``state``, has become; returns the key."""
        key = self.put(data)
        self._note(reference, state, key, None, None, None)
        return key

    def refuse(self, reference: str, state: str, reason: DataError) -> None:
        """Put ``reference`` into quarantine. With an empty ``state`` it is tried anew next time."""
        self._note(reference, state, None, None, reason.what, reason.seen)

    def settle(self, places: Mapping[str, str]) -> None:
        """Say where each quarantined reference stands in the shop's files, and forget those that stand nowhere now."""
        with _full_disk(self.folder):
            known = [r for (r,) in self._index.execute("SELECT reference FROM sources WHERE key IS NULL")]
            gone = [(reference,) for reference in known if reference not in places]
            self._index.executemany("DELETE FROM sources WHERE reference = ?", gone)
            found = [(places[reference], reference) for reference in known if reference in places]
            self._index.executemany("UPDATE sources SET place = ? WHERE reference = ?", found)

    def commit(self) -> None:
        """Make everything so far last: bytes first, then the rows that point at them."""
        self._waiting, self._committed = 0, time.monotonic()
        with _full_disk(self.folder):
            self._shard.flush()
            os.fsync(self._shard.fileno())
            self._index.commit()

    def _note(self, *row: str | None) -> None:
        with _full_disk(self.folder):
            self._index.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?)", row)
        self._counted()

    def _counted(self) -> None:
        self._waiting += 1
        if self._waiting >= GROUP or time.monotonic() - self._committed > SECONDS:
            self.commit()

    def _close_shard(self) -> None:
        try:
            self._shard.close()
        except OSError:  # what could not be flushed has no row in the index either
            self._shard.raw.close()


@contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    """SQLite has its own words for a full disk; say them as the system does."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None
        raise
