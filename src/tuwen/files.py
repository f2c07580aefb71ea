"""Files and folders written whole or not at all, safe on the disk before they have their names.

A power cut keeps what was synced and may lose, cut or zero the rest, in any order. So whatever is put in place goes
three steps: its data is synced, then it gets its name, then the folder that holds the name is synced.
:func:`publish` does that for a folder, :func:`whole` for a file, :class:`tuwen.outputs.Ready` for several files.
``tests/test_power_cuts.py`` replays them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tuwen.errors import DataError

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
    sync_all(files)
    sync_all(folders)


def sync_all(paths: Iterable[Path]) -> None:
    """Wait until these files and folders are on the disk, several at once."""
    with ThreadPoolExecutor(SYNCS) as pool:
        list(pool.map(sync, paths))


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
        with suppress(NotADirectoryError):
            half.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """``value`` as indented UTF-8 JSON; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def write_json(path: str | Path, value: Any) -> None:
    """``value`` as a JSON file, written whole."""
    with whole(path) as file:
        file.write(json_bytes(value))


def is_full(error: BaseException) -> bool:
    """Whether a full disk is what went wrong. Libraries in Rust say so in words alone; SQLite has codes of its own."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in FULL_SQLITE
    return any(f"(os error {number})" in str(error) for number in FULL)


class DiskFull(DataError):
    """The disk is full: no fault of the one training or trial that met it."""


def full_disk(where: object, seen: object = None) -> DiskFull:
    """A full disk, in the words that every command says it with."""
    todo = "make room and run the same command again: what was there before is untouched"
    return DiskFull("the disk is full", where=str(where), seen=seen, todo=todo)


def final_name(path: object) -> str:
    """Return a path with the names that its files and folders get once they are whole: ``report.html`` for
    ``.report.html.12.half``.
    """
    return "/".join(map(_final, str(path).split("/")))


def _final(name: str) -> str:
    stem = name.removesuffix(".half")
    final, _, number = stem[1:].rpartition(".")
    is_half = name.startswith(".") and stem != name and number.isascii() and number.isdecimal()
    return final if is_half and final else name


@contextmanager
def room_on_disk(folder: str | Path) -> Iterator[None]:
    """Turn a full disk, or a file that may not be used, inside the block into a :class:`DataError` that says so."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise full_disk(final_name(error.filename or folder), error.strerror or error) from None
        if error.errno in DENIED:
            where = final_name(error.filename or folder)
            todo = "check that it may be read and written, and that its folder is a folder; or name another"
            raise DataError("the file or folder cannot be used", where=where, seen=error.strerror, todo=todo) from None
        raise
