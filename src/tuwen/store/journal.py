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
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuwen.errors import DataError
from tuwen.store.engine import StoreUnavailable

log = logging.getLogger("tuwen.store")
LARGEST = 64 * 2**20  # bytes: some 300,000 events
STEP = 200  # events that go into the store at once
AGAIN = "send it again when the store answers"

Rows = Sequence[Mapping[str, Any]]


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

    def write(self, rows: Rows) -> None:
        """Keep events until the store is back; when this returns they are on the disk.

        Raises:
            StoreUnavailable: the journal is full, or the disk is.
        """
        text = json.dumps(list(rows), ensure_ascii=True, separators=(",", ":")).encode()
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
        with _open(self.file.with_name(f".{self.file.name}.lock"), os.O_RDWR | os.O_CREAT) as turn:
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
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(begin)
        rows: list[dict[str, Any]] = []
        end = begin
        for line in file:
            if not line.endswith(b"\n"):
                break  # cut short, or still being written
            end += len(line)
            rows += _read(line)
            if len(rows) >= STEP:
                yield rows, end
                rows = []
        if end > begin and rows:
            yield rows, end


def _read(line: bytes) -> list[dict[str, Any]]:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        log.warning("a line of the journal was cut short and never acknowledged: it is passed over")
        return []
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


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
