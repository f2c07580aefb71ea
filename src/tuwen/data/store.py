"""The media store: pictures, sounds and shapes packed into append-only shards, found by an SQLite index.

    media/index.sqlite      pictures (key → shard, offset, length, width, height), sources (reference → key or reason)
    media/00000.shard ...   file after file, nothing else

Bytes reach the shard before their row reaches the index, and rows are committed every other second, so a run that is
killed leaves a store that reads well and lacks at most the last pictures; bytes without a row are read by nobody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import simplejpeg

from tuwen.errors import DataError
from tuwen.files import is_full, make_folder, sync

JPEG = b"\xff\xd8"
SHARD_BYTES = 256 * 2**20
SECONDS = 2.0  # between two commits
_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
    key TEXT PRIMARY KEY, shard INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    reference TEXT PRIMARY KEY, state TEXT NOT NULL, key TEXT, place TEXT, reason TEXT, seen TEXT) WITHOUT ROWID;
"""


def content_key(data: bytes) -> str:
    """The key of a stored file: the SHA-256 of its bytes, in hex."""
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
        """The JPEG, FLAC or PLY stored under ``key``.

        Raises:
            DataError: no such file, or the store is damaged.
        """
        row = self._row("SELECT shard, offset, length FROM pictures WHERE key = ?", key)
        if row is None:
            raise DataError(
                "a picture of the dataset is not in its media store",
                where=str(self.folder),
                seen=key,
                todo="collect again; if that does not help, delete the media folder first",
            )
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
        """(width, height) of a picture in pixels, zeros for anything else; KeyError for an unknown key."""
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
        """``reference``, ``place``, ``reason``, ``seen`` of everything that could not be used.

        A reference to something else than a picture has its word before it: ``sound:a.wav``.
        """
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
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
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
        make_folder(self.folder)
        self._is_new = not any(self.folder.iterdir())
        with _full_disk(self.folder):
            self._index = _open(self.folder / "index.sqlite", "rwc")
        numbers = [int(path.stem) for path in self.folder.glob("*.shard") if path.stem.isdecimal()]
        self._number = max(numbers, default=0)
        self._shard = _shard(self.folder, self._number).open("ab")
        self._unnamed = True  # the folder was not synced since the shard got its name
        self._pictures: dict[str, tuple[Any, ...]] = {}  # rows not in the index yet
        self._sources: dict[str, tuple[Any, ...]] = {}
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        empty = False
        try:
            self.commit()
            empty = kind is not None and self._is_new and self._is_empty()
        except OSError:
            if kind is None:
                raise
        finally:
            self._index.close()
            self._close_shard()
            if empty:
                for path in (self.folder / "index.sqlite", _shard(self.folder, self._number)):
                    path.unlink(missing_ok=True)

    def _is_empty(self) -> bool:
        query = "SELECT EXISTS (SELECT * FROM pictures) OR EXISTS (SELECT * FROM sources)"
        return self._index.execute(query).fetchone() == (0,)

    def _connection(self) -> sqlite3.Connection:
        """The index with all rows in it, for the methods that read."""
        self._shard.flush()
        self._insert()
        return self._index

    def put(self, pictures: Sequence[bytes]) -> list[str]:
        """Store normalised files, each once however often it comes; returns their keys."""
        keys = [content_key(data) for data in pictures]
        stored = {key for (key,) in self._select("SELECT key FROM pictures WHERE key IN", keys)}
        for key, data in zip(keys, pictures, strict=True):
            if key not in stored and key not in self._pictures:
                if self._shard.tell() >= SHARD_BYTES:
                    self._next_shard()
                height, width = simplejpeg.decode_jpeg_header(data)[:2] if data[:2] == JPEG else (0, 0)
                offset = self._shard.tell()
                self._shard.write(data)  # first, so that Ctrl-C never leaves a row without its bytes
                self._pictures[key] = (key, self._number, offset, len(data), width, height)
        return keys

    def known(self, states: Mapping[str, str]) -> dict[str, str | None]:
        """Of references and their states, those that were read before in that state, with their keys; None: no good."""
        rows = self._select("SELECT reference, state, key FROM sources WHERE reference IN", list(states))
        rows += [self._sources[reference][:3] for reference in states if reference in self._sources]
        return {reference: key for reference, state, key in rows if states[reference] == state}

    def keep(self, sources: Sequence[tuple[str, str, bytes]]) -> list[str]:
        """Store what references, each in its state, have become; returns the keys."""
        keys = self.put([data for _, _, data in sources])
        for (reference, state, _), key in zip(sources, keys, strict=True):
            self._sources[reference] = (reference, state, key, None, None, None)
        self._commit_by_time()
        return keys

    def refuse(self, reference: str, state: str, reason: DataError) -> None:
        """Put ``reference`` into quarantine. With an empty ``state`` it is tried anew next time."""
        self._sources[reference] = (reference, state, None, None, reason.what, reason.seen)
        self._commit_by_time()

    def settle(self, places: Mapping[str, str]) -> None:
        """Say where each quarantined reference stands in the shop's files, and forget those that stand nowhere now."""
        self._insert()
        with self._all_or_nothing():
            known = [r for (r,) in self._index.execute("SELECT reference FROM sources WHERE key IS NULL")]
            gone = [(reference,) for reference in known if reference not in places]
            self._index.executemany("DELETE FROM sources WHERE reference = ?", gone)
            found = [(places[reference], reference) for reference in known if reference in places]
            self._index.executemany("UPDATE sources SET place = ? WHERE reference = ?", found)

    def commit(self) -> None:
        """Make everything so far last: bytes first, then the rows that point at them."""
        self._committed = time.monotonic()
        self._shard.flush()
        sync(_shard(self.folder, self._number))
        if self._unnamed:  # a row must never point into a shard that a power cut took
            sync(self.folder)
            self._unnamed = False
        self._insert()
        with self._all_or_nothing():
            self._index.commit()

    def _commit_by_time(self) -> None:
        if time.monotonic() - self._committed > SECONDS:
            self.commit()

    def _select(self, query: str, values: Sequence[str]) -> list[Any]:
        """One query for many values: each call into SQLite waits for the interpreter that other threads are using."""
        rows: list[Any] = []
        for start in range(0, len(values), 500):
            some = values[start : start + 500]
            rows += self._index.execute(f"{query} ({', '.join('?' * len(some))})", some).fetchall()
        return rows

    def _next_shard(self) -> None:
        self.commit()
        self._close_shard()
        self._number += 1
        self._shard = _shard(self.folder, self._number).open("ab")
        self._unnamed = True

    def _insert(self) -> None:
        """Rows go in together and sorted, which a B-tree takes far faster than one by one."""
        into = ((self._pictures, "INSERT OR IGNORE INTO pictures"), (self._sources, "REPLACE INTO sources"))
        with self._all_or_nothing():
            for rows, what in into:
                if rows:
                    self._index.executemany(f"{what} VALUES (?, ?, ?, ?, ?, ?)", [rows[k] for k in sorted(rows)])
                    rows.clear()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """A failed write takes back all since the last commit: no reference may outlive the row of its picture."""
        try:
            with _full_disk(self.folder):
                yield
        except (sqlite3.Error, OSError):
            self._pictures.clear()
            self._sources.clear()
            self._index.rollback()
            raise

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
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None
        raise
