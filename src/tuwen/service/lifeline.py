"""End workers with their supervisor, even if ``kill -9`` ends the supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 10  # in which requests under way are finished; then the kernel ends the process


class Lifeline:
    """A pipe whose writing end only the supervisor holds: its end of file tells of a death, on every Unix."""

    def __init__(self) -> None:
        self._supervisor = os.getpid()
        self._reading, self._writing = os.pipe()

    def follow(self) -> None:
        """In a worker, just forked: ask for the same end as the supervisor's."""
        os.close(self._writing)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _signal_at_death_of_parent()
        if os.getppid() != self._supervisor:  # it died between the fork and now
            os._exit(1)
        threading.Thread(target=self._wait, name="tuwen-lifeline", daemon=True).start()

    def _wait(self) -> None:
        os.read(self._reading, 1)  # nobody writes: this returns at the end of file
        signal.alarm(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Close the pipe. The supervisor calls this after all workers have ended."""
        os.close(self._reading)
        os.close(self._writing)


def _signal_at_death_of_parent() -> None:
    """Linux sends SIGTERM by itself: also to a worker whose threads wait for something else."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
