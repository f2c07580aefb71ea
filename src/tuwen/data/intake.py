"""References → pictures, sounds or shapes in the media store: read, normalised on all cores, each only once, ever."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tuwen.data.download import Limits, TooLarge, download
from tuwen.data.file_names import FileNames
from tuwen.data.kinds import Medium
from tuwen.data.references import BYTES
from tuwen.data.store import MediaWriter
from tuwen.errors import DataError
from tuwen.progress import Progress, Silent, Task

CHUNK = 32  # files a thread takes at once, at most
AHEAD = 8  # chunks waiting for a thread

Source = tuple[str, str, "bytes | Path"]  # reference, state, what to read
Chunk = list[tuple[str, str, "bytes | DataError"]]


_OUT = "paths below the folder; media.root in SHOP.yaml names it, media.allow_outside_root: true lifts this"


class Intake:
    """Brings media of one kind into a store, and knows which reference became which key.

    Args:
        medium: which kind. A path may be listed as a picture and as a sound; the store tells the two apart.
        store: where they go.
        root: the folder that relative paths start from.
        limits: what the kind's ``normalise`` takes.
        web: what a download may cost.
        anywhere: also read paths that lead out of ``root``. An export holds what customers and suppliers wrote, and
            nobody should fetch ``/etc/passwd`` or a neighbour's photo through it.

    Attributes:
        keys: reference → key of all that were asked for and are good.
        read: how many were read anew.
        files: the files below ``root``, by whatever spelling of their names.
    """

    def __init__(
        self,
        medium: Medium,
        store: MediaWriter,
        root: Path,
        limits: Mapping[str, Any],
        web: Limits,
        *,
        anywhere: bool = False,
    ) -> None:
        self.medium, self.store = medium, store
        self.keys: dict[str, str] = {}
        self.read = 0
        self.files = FileNames(root)
        self._root, self._limits, self._web = root, dict(limits), web
        self._bounds = None if anywhere else root.resolve()
        self._state = " ".join(f"{name}={value}" for name, value in sorted(self._limits.items()))

    def add(self, contents: Mapping[str, bytes]) -> None:
        """What came with its row, by their ``sha256:…`` references."""
        new = self._new(dict.fromkeys(contents, self._state))
        self._keep(self._normalised([(reference, state, contents[reference]) for reference, state in new.items()]))

    def has_all(self, references: Iterable[str]) -> bool:
        """Whether every ``sha256:…`` reference among these was read before, within the same limits."""
        return not self._new({r: self._state for r in references if r.startswith(BYTES)})

    def resolve(self, references: Iterable[str], progress: Progress | None = None) -> None:
        """Read the files and fetch the URLs among ``references`` that are new or changed."""
        states: dict[str, str] = {}
        places: dict[str, str | Path] = {}
        for reference in references:
            if reference.startswith(BYTES):
                states[reference] = self._state
            elif (url := address_in(reference)) is not None:
                states[reference], places[reference] = self._state, url
            elif (file := self._file(reference)) is not None:
                states[reference], places[reference] = file
        new = self._new(states)
        urls: dict[str, list[str]] = {}
        paths: list[Source] = []
        for reference, state in new.items():
            match places.get(reference):
                case Path() as path:
                    paths.append((reference, state, path))
                case str() as url:
                    urls.setdefault(url, []).append(reference)
        progress = progress or Silent()
        if paths:
            with progress.task(f"read {self.medium.word}s", len(paths)) as task:
                self._keep(self._normalised(paths), task)
        if urls:
            # Closed by name: Ctrl-C leaves generators waiting, and downloads must end before the interpreter does.
            with (
                progress.task(f"fetch {self.medium.word}s", len(urls)) as task,
                closing(self._fetched(urls, task)) as fetched,
            ):
                self._keep(self._normalised(fetched))

    def _new(self, states: dict[str, str]) -> dict[str, str]:
        """Those that were not read in this state yet; the keys of the others are noted."""
        told = self.store.known({self.medium.named(reference): state for reference, state in states.items()})
        known = {r: told[name] for r in states if (name := self.medium.named(r)) in told}
        self.keys.update({reference: key for reference, key in known.items() if key is not None})
        return {reference: state for reference, state in states.items() if reference not in known}

    def _file(self, reference: str) -> tuple[str, Path] | None:
        """The state of a path and what to read, None where there is nothing to be had."""
        try:
            name = url2pathname(urlsplit(reference).path) if reference.startswith("file:") else reference
            path = self.files.path(name)
            if self._bounds is not None and not path.resolve().is_relative_to(self._bounds):
                outside = f"outside the {self.medium.word} folder"
                self._refuse(reference, "", DataError(outside, seen=reference[:200], allowed=_OUT))
                return None
            about = path.stat()
        except (OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else "the file cannot be read"
            self._refuse(reference, "", DataError(reason, seen=f"{self._root}, {reference[:200]}"))
            return None
        if not stat.S_ISREG(about.st_mode):
            self._refuse(reference, "", DataError("not a file", seen=path))
            return None
        if about.st_size > self._limits["max_bytes"]:
            allowed = f"at most {self._limits['max_bytes']:,} bytes"
            self._refuse(reference, "", DataError("too many bytes", seen=f"{about.st_size:,} bytes", allowed=allowed))
            return None
        return f"{self._state} {path} size={about.st_size} time={about.st_mtime_ns}", path

    def _fetched(self, urls: Mapping[str, list[str]], task: Task) -> Generator[Source]:
        with closing(download(urls, self._web)) as outcomes:
            for url, data in outcomes:
                task.advance()
                for reference in urls[url]:
                    if isinstance(data, DataError):
                        # What could not be had today is asked for again by the next collect.
                        self._refuse(reference, self._state if isinstance(data, TooLarge) else "", data)
                    else:
                        yield reference, self._state, data

    def _keep(self, chunks: Iterable[Chunk], task: Task | None = None) -> None:
        for chunk in chunks:
            good = [(reference, state, data) for reference, state, data in chunk if isinstance(data, bytes)]
            named = [(self.medium.named(reference), state, data) for reference, state, data in good]
            for (reference, _, _), key in zip(good, self.store.keep(named), strict=True):
                self.keys[reference] = key
            for reference, state, error in chunk:
                if isinstance(error, DataError):
                    self._refuse(reference, state, error)
            self.read += len(chunk)
            if task is not None:
                task.advance(len(chunk))

    def _normalised(self, sources: Iterable[Source]) -> Iterator[Chunk]:
        """In threads, in order: Pillow, libjpeg and libsndfile let go of the interpreter while they decode."""
        threads = os.cpu_count() or 1
        known = len(sources) if isinstance(sources, list) else 0  # what arrives bit by bit goes on one by one
        chunk = min(CHUNK, max(1, known // (AHEAD * threads)))
        sources = iter(sources)
        waiting: list[Future[Chunk]] = []
        with ThreadPoolExecutor(threads) as pool:
            try:
                while some := list(islice(sources, chunk)):
                    waiting.append(pool.submit(self._some, some))
                    if len(waiting) > AHEAD:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _refuse(self, reference: str, state: str, reason: DataError) -> None:
        self.store.refuse(self.medium.named(reference), state, reason)

    def _some(self, sources: list[Source]) -> Chunk:
        return [(reference, state, self._one(data)) for reference, state, data in sources]

    def _one(self, data: bytes | Path) -> bytes | DataError:
        try:
            return self.medium.normalise(data.read_bytes() if isinstance(data, Path) else data, self._limits)
        except DataError as error:
            return error
        except OSError as error:
            return DataError("the file cannot be read", seen=error.strerror)


def address_in(reference: str) -> str | None:
    """The web address in a reference, None for a path."""
    if reference.startswith("//"):
        return "https:" + reference
    return reference if "://" in reference[:12] and not reference.startswith("file:") else None
