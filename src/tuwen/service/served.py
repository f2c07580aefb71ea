"""What every route of a shop's service works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread

from tuwen.apps.storefront import Storefront
from tuwen.errors import DataError
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures
from tuwen.service.problems import RequestError, refusals
from tuwen.service.room import Room
from tuwen.service.rows import file_of
from tuwen.store import Store
from tuwen.workflow.serving import Live

T = TypeVar("T")
PROBLEMS = refusals(
    {
        400: "the body cannot be parsed",
        401: "no key, or one that is not known",
        403: "the key's role may not do that",
        404: "no such item, or nothing here that answers",
        408: "the body came too slowly",
        413: "the body or a file is too large",
        415: "neither JSON nor a form",
        422: "a value is not what was expected",
        429: "too many requests",
        500: "what is served is damaged, or the service has a fault of its own",
        503: "too many are waiting, the store does not answer, or memory is short",
        507: "the disk is nearly full: nothing new is kept",
    }
)


@dataclass
class Served:
    """Args:
    live: what counts now.
    limits: what is too much.
    measures: what is counted.
    """

    live: Live
    limits: Limits = field(default_factory=Limits)
    measures: Measures = field(default_factory=Measures)

    def __post_init__(self) -> None:
        home = self.live.home
        self.room = Room(None if home is None else home.folder, self.limits)
        self._queue = anyio.CapacityLimiter(self.limits.workers)
        self._writers = anyio.CapacityLimiter(1)
        self._operators = anyio.CapacityLimiter(1)

    @property
    def front(self) -> Storefront:
        return self.live.storefront

    @property
    def store(self) -> Store:
        """Raises:
        RequestError: this service keeps nothing.
        """
        if self.live.store is None:
            todo = "serve a home: tuwen serve HOME"
            raise RequestError(HTTPStatus.NOT_FOUND, "this service keeps nothing", todo=todo)
        return self.live.store

    async def work(self, call: Callable[[], T]) -> T:
        """In a worker thread, when there is one.

        Raises:
            RequestError: too many wait.
        """
        return await self._run(call, self._queue)

    async def write(self, call: Callable[[], T]) -> T:
        """In the thread that writes what shoppers did: it waits for the disk (8 ms an event here), and whoever wants an
        answer need not wait with it.

        Raises:
            RequestError: too many wait.
        """
        return await self._run(call, self._writers)

    async def change(self, call: Callable[[], T]) -> T:
        """In the thread that changes what is live: it loads parts for seconds, and no shopper waits for that.

        Raises:
            RequestError: too many wait.
        """
        return await self._run(call, self._operators)

    async def _run(self, call: Callable[[], T], queue: anyio.CapacityLimiter) -> T:
        if queue.statistics().tasks_waiting >= self.limits.waiting:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting", todo="try again later")
        return await anyio.to_thread.run_sync(call, limiter=queue)

    def picture(self, text: str | None, where: str) -> bytes | None:
        """The bytes of a picture that came as base64."""
        return file_of(text, "picture", where, self.limits.picture_bytes)

    def normalised(self, text: str, where: str) -> bytes:
        """A picture as it is kept: upright, stripped, shrunk.

        Raises:
            DataError: it cannot be read.
        """
        data = self.picture(text, where)
        if data is None:
            raise DataError("the picture is empty", where=where)
        return self.shrunk(data)

    def shrunk(self, data: bytes) -> bytes:
        """The same of one that came as a file."""
        from tuwen.data import media

        return media.normalise(
            data, max_bytes=self.limits.picture_bytes, max_pixels=50_000_000, max_side=512, min_side=2
        )
