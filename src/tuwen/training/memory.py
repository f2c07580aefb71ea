"""Keep the memory of one step for the next one."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large blocks back to the kernel after every use; returns whether it was told.

    A step allocates and frees the same few hundred megabytes of activations, and each time the kernel clears and maps
    them page by page. On the mission's network (batch 32, one thread, this kind of machine) a step took 0.60 s of
    processor time in the program and 0.58 s in the kernel; with the memory kept, 0.58 s and 0.01 s, for 12 % more
    resident memory. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
