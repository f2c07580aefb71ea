"""What tuwen writes of a shop is for its owner alone: folders 0700, files 0600; and scratch folders that end with
their process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OTHERS = 0o077  # rights of the group and of everybody else
SCRATCH = "tuwen-scratch-"  # with the lock's name: nothing that a person made looks like this
LOCK = ".scratch"
UNLOCKED_SECONDS = 3600.0  # after which a scratch folder without a lock was left behind before it had one


class _Mask:
    """The mask for new files, which belongs to the whole process: private while any block lasts."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._depth = self._outside = 0

    def close(self) -> None:
        with self._guard:
            if self._depth == 0:
                self._outside = os.umask(OTHERS)
            self._depth += 1

    def open(self) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth == 0:
                os.umask(self._outside)


_mask = _Mask()


@contextmanager
def private(folder: str | Path) -> Iterator[None]:
    """Files and folders that are made inside the block are for their owner alone; so is what stands in ``folder``.

    The mask for new files belongs to the whole process: other threads write privately too while the block lasts.
    """
    _mask.close()
    try:
        close_to_others(folder)
        yield
    finally:
        _mask.open()


def close_to_others(folder: str | Path) -> None:
    """Remove the rights of other users from ``folder`` and everything below it. Links stay as they are."""
    folder = Path(folder)
    if not folder.is_dir():
        return
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            with suppress(OSError):  # it belongs to another user, or is gone
                path = Path(parent) / name
                mode = path.lstat().st_mode
                if mode & OTHERS and not stat.S_ISLNK(mode):
                    path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def give_to_owner(path: str | Path, owner: os.stat_result) -> None:
    """Give the owner of a folder the files that root wrote into it."""
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    path = Path(path)
    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Make a temporary folder. It is deleted at the end of the block, or by the next call after a kill.

    Args:
        kind: a word in the folder's name, for people.
    """
    sweep_scratch()
    folder, descriptor = _locked(kind)
    try:
        work = folder / "work"  # a subfolder, because the lock file is not the caller's
        work.mkdir()
        yield work
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(kind: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds it: the lock is the kernel's, and ends with its process."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{kind}-"))
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return folder, descriptor
        except BlockingIOError:  # a sweep deleted the folder between the two lines
            os.close(descriptor)


def sweep_scratch() -> None:
    """Delete the scratch folders of processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with suppress(OSError):  # it belongs to another user, or another process swept it
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and _is_free(folder, status.st_mtime):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(folder: Path, changed: float) -> bool:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return (
            folder.name.startswith(SCRATCH) and time.time() - changed > UNLOCKED_SECONDS and not any(folder.iterdir())
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_alive(process: int) -> bool:
    """Whether a process with this id runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
