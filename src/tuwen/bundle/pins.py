"""Pins: files that keep parts of a home from deletion while a process reads them."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

PINS = ".pins"


class Pin:
    """Keeps parts of a home from deletion until it is closed.

    It is a lock of the kernel's on a file that names the parts, so a pin that a killed process left behind keeps
    nothing.

    Args:
        folder: of the pins, which is there.
        parts: folders relative to the home.
    """

    def __init__(self, folder: Path, parts: Iterable[str]) -> None:
        self._path = folder / uuid.uuid4().hex
        self._path.write_text("\n".join(parts), encoding="utf-8")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def pinned_parts(folder: Path) -> set[str]:
    """Return the parts that pins in ``folder`` keep, and delete the pins of processes that have ended."""
    names: set[str] = set()
    for pin in folder.glob("*"):
        descriptor = os.open(pin, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pin.unlink(missing_ok=True)
        except BlockingIOError:
            names |= set(pin.read_text(encoding="utf-8").split("\n"))
        finally:
            os.close(descriptor)
    return names
