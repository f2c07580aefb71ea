"""Copy folders from others: only regular files and folders, without following links.

Each step is taken from the folder that is open, by a name without a slash, and with ``O_NOFOLLOW``. So a link that is
put in the place of a file or a folder while the copy is made is refused as well.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from tuwen.errors import DataError

LINKED = {".shard"}  # files of a media store: large, and only ever appended to
IGNORED = {"cache", "vectors", "picture_text", "replayed.json"}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a pipe must not block
TODO = "put the file or folder itself there"


def copy_folder(source: Path, target: Path, wanted: Collection[str] | None = None, *, follow: bool = True) -> None:
    """Copy ``source`` to ``target``, which must not exist. Hidden files and caches stay behind.

    Args:
        wanted: names of files of the folder; default: all it holds, folders too.
        follow: whether ``source`` itself may be a link. True for paths that the user typed.

    Raises:
        DataError: it holds a link, or something that is neither a file nor a folder; nothing stays at ``target``.
    """
    try:
        descriptor = os.open(source, _FOLDER if follow else _FOLDER | os.O_NOFOLLOW)
    except OSError as error:
        raise _refusal(source, error) from None
    try:
        target.mkdir(mode=0o700)
        _copy(descriptor, source, target, wanted)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def _copy(folder: int, source: Path, target: Path, wanted: Collection[str] | None = None) -> None:
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or name in IGNORED or (wanted is not None and name not in wanted):
            continue
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            if wanted is None:
                _copy_below(folder, name, source / name, target / name)
        elif not stat.S_ISREG(mode):
            raise _not_a_file(source / name, mode)
        elif Path(name).suffix not in LINKED or not _linked(folder, name, target / name):
            _copy_file(folder, name, source / name, target / name)


def _copy_below(folder: int, name: str, source: Path, target: Path) -> None:
    inner = _opened(lambda: os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder), source)
    try:
        target.mkdir(mode=0o700)
        _copy(inner, source, target)
    finally:
        os.close(inner)


def _copy_file(folder: int, name: str, source: Path, target: Path) -> None:
    descriptor = _opened(lambda: os.open(name, _FILE, dir_fd=folder), source)
    with os.fdopen(descriptor, "rb") as reader:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _not_a_file(source, mode)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)


def _linked(folder: int, name: str, target: Path) -> bool:
    """Make a hard link to the file. Returns False if the disk does not allow it."""
    try:
        os.link(name, target, src_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    if stat.S_ISREG(target.lstat().st_mode):
        return True
    target.unlink()  # changed since we looked: the copy will refuse it
    return False


def _opened(call: Callable[[], int], source: Path) -> int:
    try:
        return call()
    except OSError as error:
        raise _refusal(source, error) from None


def _refusal(source: Path, error: OSError) -> DataError | OSError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):  # systems differ in the error for a link
        return DataError("a link is not followed", where=str(source), allowed="files and folders", todo=TODO)
    return OSError(error.errno, os.strerror(error.errno or 0), str(source))


def _not_a_file(source: Path, mode: int) -> DataError:
    if stat.S_ISLNK(mode):
        return DataError("a link is not followed", where=str(source), allowed="files and folders", todo=TODO)
    return DataError("neither a file nor a folder", where=str(source), seen=stat.filemode(mode), todo=TODO)
