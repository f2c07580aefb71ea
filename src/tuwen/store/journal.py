"""A journal of events: a file in the home that keeps events while the store does not answer.

A line is written and synced before the event is acknowledged, and holds its own checksum: a line that a kill or a full
disk cut short was never acknowledged, and is passed over. Lines go into the store in their order; the key of an event
makes it one however often that is done, so a kill in the middle of it is made good by the next look. One file serves
all workers: who writes holds a lock of the kernel, and so does the one who empties it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuwen.errors import DataError
from tuwen.store import moments
from tuwen.store.engine import StoreUnavailable

log = logging.getLogger("tuwen.store")
LARGEST = 64 * 2**20  # bytes: some 300,000 events
_KEY = b'"event":'  # once in each event: a quote inside a text has a backslash before it
_TIME = re.compile(rb'[0-9a-f]{8} \{"time":(\d+),')
STEP = 200  # events that go into the store at once
AGAIN = "send it again when the store answers"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Waiting:
    """What waits in a journal.

    Attributes:
        events: how many.
        since: the moment at which the oldest came; None where nothing waits, or an older tuwen wrote it.
    """

    events: int = 0
    since: int | None = None


class Journal:
    """Args:
    file: made with the first event, readable by its owner alone.
    largest: bytes that it may hold.
    """

    def __init__(self, file: Path, largest: int = LARGEST) -> None:
        self.file, self.largest = file, largest

    def size(self) -> int:
        """Return the bytes of waiting events."""
        try:
            return self.file.stat().st_size
        except OSError:
            return 0

    def waiting(self) -> Waiting:
        """Count the events that wait, and look up the age of the oldest."""
        if not self.size():
            return Waiting()
        count, since = 0, None
        try:
            with _open(self.file, os.O_RDONLY) as descriptor, _open(self._lock, os.O_RDWR | os.O_CREAT) as turn:
                for line, _ in _whole_lines(descriptor, _position(turn, descriptor)):
                    count += line.count(_KEY)
                    since = since or _written_at(line)
        except OSError:  # it was emptied meanwhile
            return Waiting()
        return Waiting(count, since if count else None)

    @property
    def _lock(self) -> Path:
        return self.file.with_name(f".{self.file.name}.lock")

    def write(self, rows: Rows) -> None:
        """Keep events until the store is back; when this returns they are on the disk.

        Raises:
            StoreUnavailable: the journal is full, or the disk is.
        """
        entry = {"time": moments.now(), "rows": list(rows)}
        text = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        fresh = not self.file.exists()
        try:
            with _open(self.file, os.O_RDWR | os.O_CREAT) as descriptor, _locked(descriptor):
                begin = os.fstat(descriptor).st_size
                if begin + len(line) > self.largest:
                    raise StoreUnavailable(
                        "the store does not answer, and the journal of events is full", where=str(self.file), todo=AGAIN
                    )
                torn = begin > 0 and os.pread(descriptor, 1, begin - 1) != b"\n"
                try:
                    _write(descriptor, b"\n" + line if torn else line, begin)
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, begin)
                    raise
        except OSError as error:
            raise StoreUnavailable(
                "the store does not answer, and the journal of events cannot be written",
                where=str(self.file),
                seen=error.strerror,
                todo=AGAIN,
            ) from None
        if fresh:
            _sync_folder(self.file.parent)

    def empty(self, keep: Callable[[Rows], int]) -> bool:
        """Move waiting events into the store. Returns False if another process is doing so.

        Args:
            keep: writes events, each once by its key: :meth:`tuwen.store.events.Events.add`.

        Raises:
            StoreUnavailable: the store is away; everything stays.
        """
        if not self.size():
            return True
        with _open(self._lock, os.O_RDWR | os.O_CREAT) as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            with _open(self.file, os.O_RDWR) as descriptor:
                position = _position(turn, descriptor)
                while True:
                    for rows, behind in _lines(descriptor, position):
                        _keep_rows(rows, keep)
                        position = behind
                        os.pwrite(turn, b"%020d" % position, 0)
                    with _locked(descriptor):  # nobody writes now: what came meanwhile is read first
                        if not any(True for _ in _lines(descriptor, position)):
                            os.pwrite(turn, b"%020d" % 0, 0)
                            os.fsync(turn)  # before the journal begins anew: a position beyond it would hide events
                            os.ftruncate(descriptor, 0)
                            os.fsync(descriptor)
                            return True


@contextmanager
def _open(file: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(file, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _position(turn: int, descriptor: int) -> int:
    """Up to where the store has everything; 0 where that is not known, for nothing is doubled by beginning again."""
    written = os.pread(turn, 20, 0)
    position = int(written) if len(written) == 20 and written.isdigit() else 0
    return position if position <= os.fstat(descriptor).st_size else 0


def _lines(descriptor: int, begin: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield events from a position on, in groups, with the position after each group."""
    rows: list[dict[str, Any]] = []
    end = begin
    for line, end in _whole_lines(descriptor, begin):
        rows += _read(line)
        if len(rows) >= STEP:
            yield rows, end
            rows = []
    if end > begin and rows:
        yield rows, end


def _whole_lines(descriptor: int, begin: int) -> Iterator[tuple[bytes, int]]:
    """Yield lines from a position on, with the position after each."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(begin)
        end = begin
        for line in file:
            if not line.endswith(b"\n"):
                break  # cut short, or still being written
            end += len(line)
            yield line, end


def _read(line: bytes) -> list[dict[str, Any]]:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        log.warning("a line of the journal was cut short and never acknowledged: it is passed over")
        return []
    entry = json.loads(text)
    rows: list[dict[str, Any]] = entry["rows"] if isinstance(entry, dict) else entry  # a list: of an older tuwen
    return rows


def _written_at(line: bytes) -> int | None:
    found = _TIME.match(line)
    return int(found[1]) if found else None


def _keep_rows(rows: list[dict[str, Any]], keep: Callable[[Rows], int]) -> None:
    try:
        keep(rows)
    except StoreUnavailable:
        raise
    except DataError:
        if len(rows) > 1:  # one refused event must not block the others
            for row in rows:
                _keep_rows([row], keep)
            return
        log.exception("an event of the journal is refused by the database, and left out")


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
