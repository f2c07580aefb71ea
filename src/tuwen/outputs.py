"""The folder that a command writes: held by one process, its files put in place together, empty folders removed after
a failure.

The folder itself is never replaced: it may be somebody's working folder, and hold files of other people. So its files
are written beside their names, and a list of them is written last; from then on all get their names, also after a kill
(:func:`finish`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Self

from tuwen.errors import DataError, InUse
from tuwen.files import final_name, make_folder, sync, sync_all, write_json

LOCK = ".lock"
PLACING = ".placing"


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Hold ``folder`` (made if absent) for this process.

    The lock is the kernel's, so it ends with its process however that ends: a lock file that a killed run left behind
    is simply taken over. Where the block fails, nothing is left: see :func:`nothing_left_of`.

    Raises:
        InUse: another process holds it; names its number.
        DataError: the folder cannot be made.
    """
    path = Path(folder) / LOCK
    with nothing_left_of(folder):
        is_new = not path.exists()
        descriptor = _lock(path)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        except BaseException:
            if is_new:  # while it is locked, so that the file of another run is never removed
                path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


@contextmanager
def nothing_left_of(folder: str | Path) -> Iterator[None]:
    """Where the block fails, remove what it made at ``folder`` and holds no file: it, those above it, those in it."""
    folder = Path(folder)
    before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        _remove_empty(folder, before)
        _remove_folders(missing)
        raise


@contextmanager
def folders_above(path: str | Path) -> Iterator[None]:
    """Make the folders above ``path``. Where the block fails, those that are new and empty go."""
    missing = [folder for folder in Path(path).absolute().parents if not folder.exists()]
    try:
        make_folder(Path(path).absolute().parent)
        yield
    except BaseException:
        _remove_folders(missing)
        raise


def _lock(path: Path) -> int:
    """Make and lock a lock file, with its folder; returns its descriptor."""
    folder = path.parent
    while True:
        _make(folder)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # a run that failed removed the folder that it made
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, path):
                return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise InUse(
                "another run is writing to this folder",
                where=str(folder),
                seen=f"process {owner}",
                todo="wait until it ends, or choose another folder",
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # of a file that a run that failed removed in between


def _make(folder: Path) -> None:
    try:
        make_folder(folder)
    except (FileExistsError, NotADirectoryError):
        file = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), folder)
        raise DataError(
            "a file stands where a folder is to be written", where=str(file), todo="name another folder: --out"
        ) from None
    except FileNotFoundError as error:  # /proc, where no folder can be made
        raise DataError(
            "the folder cannot be made", where=str(folder), seen=error.strerror, todo="name another folder"
        ) from None


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether an open file still has the name ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_empty(folder: Path, before: set[str]) -> None:
    """Remove from ``folder`` the empty folders that are not of ``before``."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in before and path.is_dir() and not path.is_symlink():
            _remove_folders([Path(parent) for parent, *_ in os.walk(path, topdown=False)])


def _remove_folders(folders: list[Path]) -> None:
    """Remove these folders, the innermost first; one that is not empty stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


class Ready:
    """Several files written beside their names first, which then get their names together.

    A full disk or a kill before the end changes nothing; a kill while the files get their names is made good by
    :func:`finish`.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._waiting: dict[str, str] = {}  # name → where the file stands now, both relative to the folder

    def path(self, name: str) -> Path:
        """Where to write the file ``name`` until :meth:`place` gives it its name."""
        final = PurePosixPath(name)
        self._waiting[name] = str(final.with_name(f".{final.name}.{os.getpid()}.half"))
        return self._folder / self._waiting[name]

    def add(self, name: str, data: bytes) -> str:
        """Write ``data`` for the file ``name``; returns its SHA-256."""
        with self.path(name).open("wb") as file:
            file.write(data)
        return hashlib.sha256(data).hexdigest()

    def place(self) -> None:
        """Give every file its name, in the order in which they came: all of them, whatever happens from here on."""
        halves = [self._folder / half for half in self._waiting.values()]
        sync_all([*halves, *{half.parent for half in halves}])  # the list names no file that a power cut may take
        write_json(self._folder / PLACING, self._waiting)
        finish(self._folder)
        self._waiting = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not (self._folder / PLACING).exists():
            for half in self._waiting.values():
                (self._folder / half).unlink(missing_ok=True)
            self._waiting = {}


def write_files(folder: str | Path, contents: Mapping[str, bytes]) -> None:
    """Write several files into a folder in one step, in this order."""
    finish(folder)
    with Ready(folder) as ready:
        for name, data in contents.items():
            ready.add(name, data)
        ready.place()


def finish(folder: str | Path) -> None:
    """End what a killed :meth:`Ready.place` began in ``folder``.

    Raises:
        DataError: the list was not written by :meth:`Ready.place`: it names files outside of the folder, say.
    """
    folder = Path(folder)
    try:
        waiting = _listed(folder / PLACING)
    except FileNotFoundError:
        return
    for name, half in waiting.items():
        with suppress(FileNotFoundError):  # it has its name already
            (folder / half).replace(folder / name)
    for parent in {(folder / name).parent for name in waiting}:
        sync(parent)  # before the list goes
    (folder / PLACING).unlink(missing_ok=True)


def _listed(path: Path) -> dict[str, str]:
    """Read the list of files that wait for their names. The folder may be a stranger's, so nothing leads out of it."""
    try:
        waiting = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        waiting = None
    if not isinstance(waiting, dict) or not all(_is_half(name, half) for name, half in waiting.items()):
        raise DataError(
            "the list of files that wait for their names is damaged",
            where=str(path),
            todo="delete it, and run the command again that writes this folder",
        )
    return waiting


def _is_half(name: str, half: object) -> bool:
    """Whether ``half`` is how :class:`Ready` calls the file ``name`` below a folder until it has its name."""
    if not isinstance(half, str) or "\0" in name + half:
        return False
    final, waiting = PurePosixPath(name), PurePosixPath(half)
    inside = not final.is_absolute() and ".." not in final.parts
    return inside and waiting.parent == final.parent and waiting != final and final_name(waiting.name) == final.name


def sweep(folder: str | Path) -> None:
    """Delete the files that killed runs left half written in ``folder``; for the process that holds it."""
    for half in Path(folder).glob(".*.half"):
        if final_name(half.name) != half.name and not half.is_dir():
            half.unlink(missing_ok=True)
