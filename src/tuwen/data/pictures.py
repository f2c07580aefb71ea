"""References → pictures in the media store: read, normalised on all cores, each only once, ever."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from tuwen.data.media import normalise
from tuwen.data.store import MediaWriter
from tuwen.errors import DataError

CHUNK = 32  # pictures a thread takes at once


class Pictures:
    """Brings pictures into a store and remembers which reference became which key.

    Args:
        limits: what :func:`tuwen.data.media.normalise` takes.
    """

    def __init__(self, store: MediaWriter, limits: Mapping[str, int]) -> None:
        self.store = store
        self.limits = dict(limits)
        self.state = " ".join(f"{name}={value}" for name, value in sorted(self.limits.items()))
        self.keys: dict[str, str] = {}
        self.read = 0

    def add_bytes(self, contents: Mapping[str, bytes], places: Mapping[str, str]) -> None:
        """Pictures that came with their rows, under ``sha256:…`` references."""
        new = [reference for reference in contents if not self._known(reference, self.state)]
        for reference, result in self._normalised((r, contents[r]) for r in new):
            self._keep(reference, self.state, result, places)

    def _known(self, reference: str, state: str) -> bool:
        key, known = self.store.known(reference, state)
        if key is not None:
            self.keys[reference] = key
        return known

    def _keep(self, reference: str, state: str, result: bytes | DataError, places: Mapping[str, str]) -> None:
        self.read += 1
        if isinstance(result, DataError):
            self.store.refuse(reference, state, places.get(reference, ""), result)
        else:
            self.keys[reference] = self.store.keep(reference, state, result)

    def _normalised(self, pictures: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes | DataError]]:
        pictures = iter(pictures)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = []
            while chunk := list(islice(pictures, CHUNK)):
                waiting.append(pool.submit(self._chunk, chunk))
                if len(waiting) > 8:
                    yield from waiting.pop(0).result()
            for done in waiting:
                yield from done.result()

    def _chunk(self, chunk: list[tuple[str, bytes]]) -> list[tuple[str, bytes | DataError]]:
        return [(reference, self._one(data)) for reference, data in chunk]

    def _one(self, data: bytes) -> bytes | DataError:
        try:
            return normalise(data, **self.limits)
        except DataError as error:
            return error
