"""Files and folders written whole or not at all, safe on the disk before they have their names.

A power cut keeps what was synced and may lose, cut or zero the rest, in any order. So whatever is put in place goes
three steps: its data is synced, then it gets its name, then the folder that holds the name is synced.
:func:`publish` does that for a folder, :func:`whole` for a file. ``tests/test_power_cuts.py`` replays them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from tuwen.errors import DataError, InUse

DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_SQLITE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone leaves the data in the cache of the drive
SYNCS = 8  # files synced at once: the disk writes one journal for all of them
AT_FDCWD, EXCHANGE, SWAP = -100, 2, 2  # of renameat2 (Linux) and renamex_np (macOS)


def sync(path: str | Path) -> None:
    """Wait until a file's data, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if FULL_SYNC is not None:
            with suppress(OSError):  # a network drive that does not know it
                fcntl.fcntl(descriptor, FULL_SYNC)
                return
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: str | Path) -> None:
    """Wait until everything below ``folder``, and its own list of names, is on the disk."""
    files, folders = [], []
    for parent, _, names in os.walk(folder):
        folders.append(Path(parent))
        files += [Path(parent) / name for name in names if not (Path(parent) / name).is_symlink()]
    with ThreadPoolExecutor(SYNCS) as pool:
        list(pool.map(sync, files))
        list(pool.map(sync, folders))


def make_folder(folder: str | Path) -> None:
    """Make ``folder`` and those above it where they are missing, each with its name on the disk."""
    folder = Path(folder)
    missing = [ancestor for ancestor in (folder, *folder.parents) if not ancestor.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for ancestor in missing:
        sync(ancestor.parent)


def rename(half: str | Path, path: str | Path) -> None:
    """Give what was synced its name, and wait until the name is on the disk."""
    Path(half).replace(path)
    for folder in {Path(path).parent, Path(half).parent}:
        sync(folder)


def publish(half: str | Path, path: str | Path) -> None:
    """Put a finished folder in its place: synced, named, and the name synced. A folder that stands there is replaced
    in one step, so a reader and a power cut find the old one or the new one.
    """
    half, path = Path(half), Path(path)
    sync_tree(half)
    if not path.is_dir() or not any(path.iterdir()):
        rename(half, path)
        return
    old = former(path)
    if _exchange(half, path):
        sync(path.parent)
        shutil.rmtree(half, ignore_errors=True)
        return
    shutil.rmtree(old, ignore_errors=True)  # a disk that cannot exchange two names: see recover
    rename(path, old)
    rename(half, path)
    shutil.rmtree(old, ignore_errors=True)


def former(path: Path) -> Path:
    """Where a folder waits while its successor takes its place, on a disk that cannot exchange two names."""
    return path.with_name(f".{path.name}.old")


def recover(path: str | Path) -> None:
    """Undo a :func:`publish` that was cut off between its two renames; for the one who holds the place."""
    path = Path(path)
    if not path.exists() and former(path).is_dir():
        rename(former(path), path)


def _exchange(first: Path, other: Path) -> bool:
    """Swap the names of two folders in one step; False where the system or the disk cannot."""
    names = os.fsencode(first), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, SWAP) == 0)
        return bool(library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], EXCHANGE) == 0)
    except (AttributeError, OSError):  # an older C library
        return False


@contextmanager
def whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` only when the block ends well; otherwise what was there stays. When the
    block has ended, file and name are on the disk.
    """
    path = Path(path)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        with half.open("wb") as file:
            yield file
        sync(half)
        rename(half, path)
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
        make_folder(path.parent)
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


def is_full(error: BaseException) -> bool:
    """Whether a full disk is what went wrong. Libraries in Rust say so in words alone; SQLite has codes of its own."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in FULL_SQLITE
    return any(f"(os error {number})" in str(error) for number in FULL)


def full_disk(where: object, seen: object = None) -> DataError:
    """A full disk, in the words that every command says it with."""
    todo = "make room and run the same command again: what was there before is untouched"
    return DataError("the disk is full", where=str(where), seen=seen, todo=todo)


@contextmanager
def room_on_disk(folder: str | Path) -> Iterator[None]:
    """Turn a full disk, or a file that may not be used, inside the block into a :class:`DataError` that says so."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise full_disk(error.filename or folder, error.strerror or error) from None
        if error.errno in DENIED:
            where = str(error.filename or folder)
            raise DataError("the file or folder cannot be used", where=where, seen=error.strerror) from None
        raise


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
        sync(self._folder / half)
        return hashlib.sha256(data).hexdigest()

    def place(self) -> None:
        """Put every file in its place: all of them, whatever happens from here on."""
        for folder in {(self._folder / half).parent for half in self._waiting.values()}:
            sync(folder)  # the list must never name a file that a power cut took
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
    for parent in {(folder / name).parent for name in waiting}:
        sync(parent)  # before the list goes
    (folder / PLACING).unlink(missing_ok=True)


def sweep(folder: str | Path) -> None:
    """Delete what runs that were killed left half written in ``folder``; for the one who holds it."""
    for half in Path(folder).glob(".*.half"):
        half.unlink(missing_ok=True)
