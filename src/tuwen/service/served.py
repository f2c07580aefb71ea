"""What every route of a shop's service works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from tuwen.apps.storefront import Storefront
from tuwen.data.decoder import shared_decoder, weigh
from tuwen.data.kinds import MEDIA
from tuwen.errors import DataError
from tuwen.index.filters import FilterLimits
from tuwen.service.lane import Lane
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
        403: "the key's role may not do that, or a page of another site asks",
        404: "no such item, or nothing here that answers",
        408: "the body came too slowly",
        413: "the body or a file is too large",
        415: "the body does not come as JSON, or as the form that the route takes",
        421: "the service does not answer to that name",
        422: "a value is not what was expected",
        429: "too many requests",
        500: "what is served is damaged, or the service has a fault of its own",
        431: "the headers are too large",
        503: "too many are waiting, the answer took too long, the store does not answer, or memory is short",
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
        self._answers, self._predictions = Lane(1, self.limits.waiting), Lane(self.limits.workers, self.limits.waiting)
        self._writers, self._operators, self._probes = (Lane(1, self.limits.waiting) for _ in range(3))
        self.decoder = shared_decoder(self.limits.decoder_bytes)

    def warm(self) -> None:
        """Start the decoder where photos are asked about, so that nobody waits for it."""
        parts = self.front.parts
        inputs = () if parts.predictor is None else parts.predictor.inputs
        if any(entry["kind"] in MEDIA for entry in inputs) or (
            parts.searcher is not None and parts.searcher.sees_photos
        ):
            self.decoder.start()

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
        """In the thread that makes lists and searches words, when it is free.

        Raises:
            RequestError: too many wait.
            Interrupted: the deadline passed.
        """
        return await self._answers.run(call)

    async def predict(self, call: Callable[[], T]) -> T:
        """In a thread that decodes and predicts: what takes long, so that lists and words need not wait for it. Files
        are decoded in a process of their own, which is ended with the request.

        Raises:
            RequestError: too many wait.
            Interrupted: the deadline passed.
        """
        with self.decoder.active():
            return await self._predictions.run(call)

    async def write(self, call: Callable[[], T]) -> T:
        """In the thread that writes what shoppers did: it waits for the disk (8 ms an event here), and whoever wants an
        answer need not wait with it.

        Raises:
            RequestError: too many wait.
            Interrupted: the deadline passed; what is being written is written all the same.
        """
        return await self._writers.run(call)

    async def probe(self, call: Callable[[], T]) -> T:
        """In the thread that tells whether the service is ready, whatever else it does.

        Raises:
            RequestError: too many wait.
            Interrupted: the deadline passed.
        """
        return await self._probes.run(call)

    async def change(self, call: Callable[[], T]) -> T:
        """In the thread that changes what is live: it loads parts for seconds, and no shopper waits for that. It is not
        ended with the request: half a promotion is none.

        Raises:
            RequestError: too many wait.
        """
        return await self._operators.run(call, bounded=False)

    def picture(self, text: str | None, where: str) -> bytes | None:
        """The bytes of a picture that came as base64."""
        return file_of(text, "picture", where, self.limits.picture_bytes)

    def normalised(self, texts: Mapping[str, str]) -> list[bytes]:
        """Pictures as they are kept: upright, stripped, shrunk.

        Args:
            texts: where each stands in the request → its base64.

        Raises:
            DataError: one cannot be read, or they have too many pixels together.
        """
        files = {where: self.picture(text, where) for where, text in texts.items()}
        pictures = []
        for where, data in files.items():
            if data is None:
                raise DataError("the picture is empty", where=where)
            pictures.append(data)
        weigh(pictures)
        return [self.shrunk(data) for data in pictures]

    def shrunk(self, data: bytes) -> bytes:
        """The same of one that came as a file."""
        limits = {"max_bytes": self.limits.picture_bytes, "max_pixels": 50_000_000, "max_side": 512, "min_side": 2}
        return MEDIA["image"].normalise(data, limits)

    @property
    def filter_limits(self) -> FilterLimits:
        """What the filters of a search take."""
        limits = self.limits
        return FilterLimits(limits.conditions, limits.condition_values, limits.condition_characters)

    def need_conditions(self, where: Sequence[str]) -> None:
        """Raises:
        DataError: there are too many conditions, or they are too long.
        """
        characters = sum(map(len, where))
        if len(where) > self.limits.conditions:
            raise DataError(
                "too many conditions", where="where", seen=len(where), allowed=f"at most {self.limits.conditions}"
            )
        if characters > self.limits.condition_characters:
            raise DataError(
                "the conditions are too long",
                where="where",
                seen=f"{characters} characters",
                allowed=f"{self.limits.condition_characters} characters",
            )
