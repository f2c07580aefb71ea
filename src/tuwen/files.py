"""Files written whole or not at all, and folders held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from tuwen.errors import DataError, InUse

DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
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


def json_bytes(value: Any) -> bytes:
    """``value`` as indented UTF-8 JSON; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def write_json(path: str | Path, value: Any) -> None:
    """``value`` as a JSON file, written whole."""
    with whole(path) as file:
        file.write(json_bytes(value))


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Hold ``folder`` (made if absent) for this process.

    The lock is the kernel's, so it ends with its process however that ends: a lock file that a killed run left behind
    is simply taken over.

    Raises:
        InUse: another process holds it; names its number.
        DataError: the folder cannot be made.
    """
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next((one for one in path.parents if one.exists() and not one.is_dir()), path.parent)
        raise DataError(
            "a file stands where a folder is to be written", where=str(file), todo="name another folder: --out"
        ) from None
    except FileNotFoundError as error:  # a place like /proc, where no folder can be made
        raise DataError(
            "the folder cannot be made", where=str(folder), seen=error.strerror, todo="name another folder"
        ) from None
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
    """Turn a full disk, or a file that may not be used, inside the block into a :class:`DataError` that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in DENIED:
            where = str(error.filename or folder)
            raise DataError("the file or folder cannot be used", where=where, seen=error.strerror) from None
        if error.errno not in FULL:
            raise
        raise DataError(
            "the disk is full",
            where=str(error.filename or folder),
            seen=error.strerror,
            todo="make room and run the same command again: what was there before is untouched",
        ) from None


PLACING = ".placing"


class Ready:
    """Several files written beside their places first and then put there together.

    A full disk or a kill before the end changes nothing; a kill while the files are put in place is made good by
    :func:`finish`.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._waiting: dict[str, str] = {}  # place → where the file stands now, both relative to the folder

    def add(self, name: str, data: bytes) -> str:
        """Write ``data`` for the place ``name``; returns its SHA-256."""
        place = Path(name)
        half = place.with_name(f".{place.name}.{os.getpid()}.half")
        self._waiting[name] = str(half)
        with (self._folder / half).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return hashlib.sha256(data).hexdigest()

    def place(self) -> None:
        """Put every file in its place: all of them, whatever happens from here on."""
        write_json(self._folder / PLACING, self._waiting)
        finish(self._folder)
        self._waiting = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not (self._folder / PLACING).exists():
            for half in self._waiting.values():
                (self._folder / half).unlink(missing_ok=True)


def finish(folder: str | Path) -> None:
    """End what a killed :meth:`Ready.place` began in ``folder``."""
    folder = Path(folder)
    try:
        waiting = json.loads((folder / PLACING).read_bytes())
    except FileNotFoundError:
        return
    for name, half in waiting.items():
        with suppress(FileNotFoundError):  # in place already
            (folder / half).replace(folder / name)
    (folder / PLACING).unlink(missing_ok=True)


def sweep(folder: str | Path) -> None:
    """Delete what runs that were killed left half written in ``folder``; for the one who holds it."""
    for half in Path(folder).glob(".*.half"):
        half.unlink(missing_ok=True)
