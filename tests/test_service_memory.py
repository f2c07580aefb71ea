"""Memory that a served request took goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FREED = """
import ctypes, sys
if sys.argv[1] == "fixed":
    from tuwen.service.listening import _return_large_blocks
    _return_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def block(size):
    address = libc.malloc(size)
    ctypes.memset(address, 1, size)
    return address
libc.free(block(30_000_000))  # from here on glibc keeps blocks of up to this size in its heap
before = resident()
blocks, small = [], []
for _ in range(100):
    blocks.append(block(1_000_000))
    small.append(block(64))  # what lies between is not freed
for address in blocks[:-1]:
    libc.free(address)
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_large_blocks_go_back_when_they_are_freed() -> None:
    def growth(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FREED, how], check=True, capture_output=True).stdout)

    assert growth("fixed") < 10_000_000 < 50_000_000 < growth("as it was")
