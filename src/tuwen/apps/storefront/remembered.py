"""Lists that were made a moment ago and are still what they would be."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

MOST = 10_000
SECONDS = 60.0  # how long an event may stay as recent as it was


class Remembered:
    """Answers by what was asked and the version of the store: whoever wrote anything in between is asked for anew.

    A page asks for the same list again and again. ``make load`` tells what that is worth: nothing is written in its
    first part, and all the time in its mixed one.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[int, float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, asked: Hashable, version: int) -> Any:
        """None where it is not known, or not any more."""
        with self._lock:
            found = self._known.get(asked)
        if found is None or found[0] != version or time.monotonic() - found[1] > SECONDS:
            return None
        return found[2]

    def put(self, asked: Hashable, version: int, answer: Any) -> None:
        """``version``: of the store before the answer was made."""
        with self._lock:
            self._known[asked] = (version, time.monotonic(), answer)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
