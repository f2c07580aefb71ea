"""Arrays of many rows in a file instead of in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tuwen.files import room_on_disk


def mapped(folder: Path, blocks: Iterable[np.ndarray], rows: int, width: int) -> np.ndarray:
    """f32 [rows, width], read-only, in a nameless file in ``folder``: the kernel keeps in memory what is asked for and
    has room, so that memory does not grow with the number of rows. The file is gone with the array.

    Args:
        blocks: f32 [some, width] each, ``rows`` in all.

    Raises:
        DataError: the disk is full.
    """
    if not rows or not width:
        return np.zeros((rows, width), np.float32)
    with room_on_disk(folder), tempfile.TemporaryFile(dir=folder) as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, np.float32).data)
            del block  # before the next one is made
        file.flush()
        return np.memmap(file, np.float32, "r", shape=(rows, width)).view(np.ndarray)
