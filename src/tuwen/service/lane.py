"""Run work in threads beside the event loop, no longer than its client waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread

from tuwen.service.client import current
from tuwen.service.problems import RequestError

T = TypeVar("T")
LAST_SECONDS = 1.0  # for work to end itself after it was told to; who asked is answered then, whatever it does


class Lane:
    """Threads for one kind of work. A thread that cannot be ended keeps its place until it is done, so that no more
    than ``threads`` are ever at work.

    Args:
        threads: calls at a time.
        waiting: more are refused.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._limiter, self._waiting = anyio.CapacityLimiter(threads), waiting

    async def run(self, call: Callable[[], T], *, bounded: bool = True) -> T:
        """What ``call`` returns.

        Args:
            bounded: whether it ends with the deadline of the request, or when the client hangs up.

        Raises:
            RequestError: 503, too many wait.
            Interrupted: the deadline passed.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting", todo="try again later")
        client = current()
        if client is None or not bounded:
            return await anyio.to_thread.run_sync(call, limiter=self._limiter)
        deadline = client.deadline

        def checked() -> T:
            deadline.check()  # the client may have gone
            return call()

        work = asyncio.ensure_future(anyio.to_thread.run_sync(checked, limiter=self._limiter))
        try:
            await asyncio.wait({work, client.gone()}, timeout=deadline.left, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                deadline.stop()
                await asyncio.wait({work}, timeout=LAST_SECONDS)
            if not work.done():
                deadline.check()
        finally:
            if not work.done():
                deadline.stop()
                work.add_done_callback(_forget)
        return work.result()


def _forget(work: asyncio.Future[T]) -> None:
    """Ignore the error of abandoned work: it was already reported."""
    if not work.cancelled():
        work.exception()
