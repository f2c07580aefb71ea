"""Files written whole or not at all, and folders held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tuwen.errors import DataError, InUse

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` only when the block ends well; otherwise what was there stays."""
    path = Path(path)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        with half.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """``value`` as indented UTF-8 JSON, written whole; NaN is refused."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    with whole(path) as file:
        file.write(text.encode() + b"\n")


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Hold ``folder`` (made if absent) for this process.

    The lock is the kernel's, so it ends with its process however that ends: a lock file that a killed run left behind
    is simply taken over.

    Raises:
        InUse: another process holds it; names its number.
    """
    path = Path(folder) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise InUse(
                "another run is writing to this folder",
                where=str(folder),
                seen=f"process {owner}",
                todo="wait until it ends, or choose another folder",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def room_on_disk(folder: str | Path) -> Iterator[None]:
    """Turn a full disk inside the block into a :class:`DataError` that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DataError(
            "the disk is full",
            where=str(error.filename or folder),
            seen=error.strerror,
            todo="make room and run the same command again: what was there before is untouched",
        ) from None
