"""A reserve file beside a SQLite store. Deleting it makes room for removals on a full disk.

Even a deletion writes: the pages that it empties go through the write-ahead log first. Whoever removes something on a
full disk gives the reserve up, and removes again; nobody else does. It is made anew once there is room.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

SIZE = 8 * 2**20  # 2,000 pages of the store
ROOM = 8 * SIZE  # free bytes needed to make a reserve


class Reserve:
    """Args:
    store: the file of the database; None for a database elsewhere.
    """

    def __init__(self, store: Path | None) -> None:
        self.file = None if store is None else store.with_name(f"{store.name}-reserve")

    def make(self) -> None:
        """Make the reserve if it is missing and the disk has room. A failure leaves the store without one."""
        if self.file is None or self.file.exists():
            return
        with suppress(OSError):
            if shutil.disk_usage(self.file.parent).free < ROOM:
                return
            half = self.file.with_name(f"{self.file.name}.{os.getpid()}")
            descriptor = os.open(half, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SIZE)
                half.replace(self.file)
            except OSError:
                half.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def give_up(self) -> bool:
        """Delete the reserve. Returns whether there was one."""
        if self.file is None:
            return False
        try:
            self.file.unlink()
        except OSError:
            return False
        return True
