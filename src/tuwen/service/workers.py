"""Several processes that answer on one socket: begun together, one that dies begun again, ended together."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import time
from collections.abc import Callable

from tuwen.errors import BundleError, ConfigError, DataError, InUse, TuwenError
from tuwen.service.lifeline import Lifeline

log = logging.getLogger("tuwen.service")
PAUSE_SECONDS = 1.0  # before another is begun: a worker that cannot start does not keep the machine busy
LOOK_SECONDS = 0.2
WAIT_SECONDS = 0.02
LONGEST = 4000  # bytes of what a worker says at once, so that those of two do not mix in the pipe
_KINDS = {kind.__name__: kind for kind in (BundleError, ConfigError, DataError, InUse)}


class Workers:
    """Forks that share what this process has open.

    Args:
        work: what one does until SIGTERM; it is given what to call once it answers.
        count: how many.
        seconds: after SIGTERM until one that has not ended is killed: it may be in a call of C that never returns.
    """

    def __init__(self, work: Callable[[Callable[[], None]], None], count: int, seconds: float = 10.0) -> None:
        self.work, self.count, self.seconds = work, count, seconds
        self.running: set[int] = set()
        self.ended = False
        self._reading, self._writing = os.pipe()
        self._heard = b""
        self._lifeline = Lifeline()

    def run(self, ready: Callable[[], None] | None) -> None:
        """Until SIGTERM or Ctrl-C.

        Args:
            ready: called once all of them answer.

        Raises:
            TuwenError: of a worker that could not begin; the others are ended.
        """
        previous = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(self.count):
                self._begin()
            if self._all_answer() and ready is not None:
                ready()
            self._keep()
        finally:
            self._end()
            self._wait()
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(self._reading)
            os.close(self._writing)
            self._lifeline.close()

    def _begin(self) -> None:
        child = os.fork()
        if child:
            self.running.add(child)
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            self._lifeline.follow()
            os.close(self._reading)
            self.work(lambda: self._say({}))
            code = 0
        except TuwenError as error:
            self._say({"kind": type(error).__name__, **error.fields()})
        except Exception:  # the last one who can tell it: the process ends here
            log.exception("a worker failed")
            self._say({"kind": "TuwenError", "what": "a worker failed; why stands above"})
        finally:
            os._exit(code)

    def _say(self, told: dict[str, str]) -> None:
        line = json.dumps(told, ensure_ascii=False).encode(errors="replace")
        if len(line) >= LONGEST:
            line = json.dumps({name: text[:200] for name, text in told.items()}, ensure_ascii=False).encode(
                errors="replace"
            )
        os.write(self._writing, line + b"\n")

    def _told(self, seconds: float) -> list[dict[str, str]]:
        """What workers said since it was last asked; empty for one that answers."""
        if not select.select([self._reading], [], [], seconds)[0]:
            return []
        *lines, self._heard = (self._heard + os.read(self._reading, 1 << 16)).split(b"\n")
        return [json.loads(line) for line in lines]

    def _all_answer(self) -> bool:
        waiting = self.count
        while waiting and not self.ended:
            for told in self._told(LOOK_SECONDS):
                if told:
                    raise _KINDS.get(told.pop("kind"), TuwenError)(**told)
                waiting -= 1
            if not self.ended and self._one_is_gone():
                raise TuwenError("a worker ended before it answered", todo="look for its reason above")
        return not waiting

    def _one_is_gone(self) -> bool:
        """Whether one ended without a word of why: what it said before is still to be heard."""
        child = os.waitpid(-1, os.WNOHANG)[0] if self.running else 0
        self.running.discard(child)
        return child > 0 and not select.select([self._reading], [], [], 0)[0]

    def _keep(self) -> None:
        while self.running and not self.ended:
            child, status = os.wait()
            self.running.discard(child)
            for told in self._told(0):
                if told:
                    log.error("a worker could not begin: %s", "; ".join(told.values()))
            if not self.ended:
                log.warning("worker %d ended (%s); another takes its place", child, _how(status))
                time.sleep(PAUSE_SECONDS)
                self._begin()

    def _wait(self) -> None:
        end = time.monotonic() + self.seconds
        while self.running:
            child, _ = os.waitpid(-1, os.WNOHANG)
            self.running.discard(child)
            if not child and time.monotonic() > end:
                for stuck in self.running:
                    os.kill(stuck, signal.SIGKILL)
                end += self.seconds
            elif not child:
                time.sleep(WAIT_SECONDS)

    def _end(self, *_: object) -> None:
        self.ended = True
        for child in self.running:
            try:
                os.kill(child, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit {code}"
