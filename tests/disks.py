"""A small real file system that can be filled up: a tmpfs, which root may mount."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

REASON = "needs root, and leave to mount a tmpfs"


@cache
def mounts() -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    folder = tempfile.mkdtemp()
    worked = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if worked.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    Path(folder).rmdir()
    return worked.returncode == 0


@contextmanager
def small_disk(folder: Path, megabytes: int, names: int = 0) -> Iterator[Path]:
    """Make ``folder`` on a separate disk.

    Args:
        names: how many files it takes; 0 for any number.
    """
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes={names}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def fill(folder: Path, remaining: int = 0) -> Path:
    """Write a file until ``remaining`` bytes are free."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as opened:
        try:
            while (room := free(folder) - remaining) > 0:
                opened.write(bytes(min(room, 1 << 20)))
        except OSError:  # full
            pass
    return file
