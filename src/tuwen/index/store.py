"""An index folder: parts that never change, and one small file that says which of them count.

Whoever reads sees one state, the :class:`Snapshot` that was there when it looked; whoever writes adds files and then
replaces ``index.json``, whole. So any number of processes read while one adds, removes or rebuilds, a kill in the
middle loses only what was not finished, and the memory maps of all readers are the same pages.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tuwen.errors import DataError, InUse, TuwenError
from tuwen.files import room_on_disk, write_json
from tuwen.index.manifest import FORMAT, MANIFEST, alive_of, files_of, read_manifest, sweep, write_removed
from tuwen.index.segments import AGAIN, Batch, Segment, made, merged, read, with_popularity, write
from tuwen.index.vectors import NOTHING, Kind
from tuwen.index.words import Bm25
from tuwen.outputs import held

Array = npt.NDArray[Any]
log = logging.getLogger("tuwen.index")
WAIT = 10.0  # seconds that a writer waits for another one
MOST_PARTS = 12
LARGER = 4  # a part of more than so many times the rows of all after it is not written again for their sake
REBUILDING = ".rebuilding"  # held by the process that rebuilds in the background
ABANDONED = 3600.0  # seconds after which a file that no state needs was left behind by a kill


@dataclass(frozen=True)
class Snapshot:
    """One state of an index. Rows are numbered through all segments.

    Attributes:
        segments: its parts.
        alive: bool [rows] of each part.
        settings: what its maker wrote down.
        generation: rises with every change.
    """

    segments: tuple[Segment, ...]
    alive: tuple[Array, ...]
    settings: Mapping[str, Any]
    generation: int

    def __len__(self) -> int:
        """How many items there are."""
        return sum(int(living.sum()) for living in self.alive)

    @cached_property
    def living(self) -> Array:
        """bool [rows]: the rows that count."""
        return np.concatenate([*self.alive, np.empty(0, bool)])

    @cached_property
    def begins(self) -> list[int]:
        """The first row of every segment, and the number of rows."""
        return np.cumsum([0, *(len(segment) for segment in self.segments)]).tolist()

    @cached_property
    def table(self) -> pl.DataFrame:
        """All rows, those that do not count too."""
        return pl.concat([segment.table for segment in self.segments], how="diagonal_relaxed", rechunk=False)

    @cached_property
    def ties(self) -> Array:
        """uint64 [rows]."""
        return np.concatenate([segment.ties for segment in self.segments])

    @cached_property
    def words(self) -> Bm25:
        """The words of all living rows."""
        return Bm25([segment.words for segment in self.segments], self.alive)

    @cached_property
    def spaces(self) -> dict[str, int]:
        """Space → width of its vectors."""
        return {name: v.width for segment in reversed(self.segments) for name, v in segment.spaces.items()}

    def row_of(self, item: str) -> int | None:
        """The row of a living item."""
        for begin, segment, living in zip(self.begins, self.segments, self.alive, strict=False):
            row = segment.place.get(item)
            if row is not None and living[row]:
                return int(begin + row)
        return None

    def last_row_of(self, item: str) -> int | None:
        """The latest row of an item, also where it was removed and no rebuild has dropped it yet."""
        rows = [
            begin + segment.place[item]
            for begin, segment in zip(self.begins, self.segments, strict=False)
            if item in segment.place
        ]
        return rows[-1] if rows else None

    def nearest(self, space: str, query: Array, count: int, allowed: Array | None = None) -> tuple[Array, Array]:
        """(int64 [≤ count] rows, f32 scores), best first.

        Args:
            query: f32 [width].
            allowed: bool [rows]; only these are found.
        """
        rows, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for i, (segment, living) in enumerate(zip(self.segments, self.alive, strict=True)):
            if space not in segment.spaces:
                continue
            begin, end = self.begins[i], self.begins[i + 1]
            kept = living if allowed is None else living & allowed[begin:end]
            found, score = segment.spaces[space].nearest(query[None], count, None if kept.all() else kept)
            there = found[0] != NOTHING
            rows.append(begin + found[0][there])
            scores.append(score[0][there])
        every, score = np.concatenate(rows), np.concatenate(scores)
        order = np.lexsort((self.ties[every], -score))[:count]
        return every[order], score[order]

    def take(self, space: str, rows: Array) -> Array:
        """The vectors of some rows, f32 [rows, width]; zeros where a row has none."""
        out = np.zeros((len(rows), self.spaces[space]), np.float32)
        for i, segment in enumerate(self.segments):
            here = np.flatnonzero((rows >= self.begins[i]) & (rows < self.begins[i + 1]))
            if len(here) and space in segment.spaces:
                out[here] = segment.spaces[space].take(rows[here] - self.begins[i])
        return out


class Index:
    """An index in a folder.

    Attributes:
        snapshot: the state that this process reads; :meth:`refresh` takes the newest one.
    """

    def __init__(self, folder: str | Path, *, check: bool = True) -> None:
        self.folder = Path(folder)
        self._check = check
        self._lock = threading.RLock()
        self._stamp: tuple[int, int] | None = None
        self._open: dict[str, Segment] = {}
        self._rebuilding: threading.Thread | None = None
        self._manifest: dict[str, Any] = {}
        self.snapshot: Snapshot
        self.refresh()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        batch: Batch,
        settings: Mapping[str, Any],
        *,
        weights: Mapping[str, float],
        kind: Kind = "auto",
    ) -> Self:
        """Write an index of these items, in place of one that stands there.

        Args:
            settings: JSON that travels with the index.
            weights: of the fields.
            kind: of the vectors: exact, approximate, or by their number.
        """
        folder = Path(folder)
        with held(folder), room_on_disk(folder):
            segment = made(batch, weights, kind)
            entry = {"name": segment.name, "rows": len(segment), "removed": None, "files": write(segment, folder)}
            manifest = {
                "format": FORMAT,
                "generation": time.time_ns(),
                "weights": dict(weights),
                "kind": kind,
                "settings": dict(settings),
                "segments": [entry],
            }
            write_json(folder / MANIFEST, manifest)
            sweep(folder, manifest, older=0.0)
        return cls(folder)

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.snapshot.settings

    @property
    def worn(self) -> bool:
        """Whether a rebuild is due: many parts, or a fifth of the rows removed."""
        now = self.snapshot
        return len(now.segments) > MOST_PARTS or self._full_of_removed

    @property
    def _full_of_removed(self) -> bool:
        return len(self.snapshot) < 0.8 * len(self.snapshot.living)

    def refresh(self) -> bool:
        """Take the newest state; whether there was a newer one. Costs a look at one file where there is none.

        Raises:
            DataError: there is no index, or it is damaged.
        """
        with self._lock:
            for attempt in range(5):
                stamp = self._seen()
                if stamp == self._stamp:
                    return False
                try:
                    self._take(read_manifest(self.folder))
                except FileNotFoundError as error:  # replaced by a rebuild since index.json was read
                    if attempt == 4:
                        where = str(error.filename)
                        raise DataError("a file of the index is missing", where=where, todo=AGAIN) from None
                    time.sleep(0.05)
                    continue
                self._stamp = stamp
                return True
        return True

    def _seen(self) -> tuple[int, int]:
        try:
            stat = (self.folder / MANIFEST).stat()
        except OSError:
            raise DataError(
                "there is no index in this folder", where=str(self.folder), todo="tuwen index DATASET --out INDEX"
            ) from None
        return stat.st_mtime_ns, stat.st_ino

    def _take(self, manifest: dict[str, Any]) -> None:
        opened = {
            entry["name"]: self._open.get(entry["name"])
            or read(entry["name"], entry["files"], self.folder, check=self._check)
            for entry in manifest["segments"]
        }
        alive = tuple(alive_of(self.folder, entry) for entry in manifest["segments"])
        self._open, self._manifest = opened, manifest
        self.snapshot = Snapshot(tuple(opened.values()), alive, manifest["settings"], manifest["generation"])

    # --- Writing --------------------------------------------------------------------------------------------------

    def add(self, batch: Batch) -> None:
        """Add items; one whose key is there already takes the place of the old one. Found from the next refresh on, in
        this process at once.

        Raises:
            DataError: a space of vectors is missing, unknown or of another width. InUse: another process writes.
        """
        with self._writing() as manifest:
            self._enter(manifest, batch)

    def _enter(self, manifest: dict[str, Any], batch: Batch) -> None:
        self._refuse_other_spaces(batch)
        self._bury(manifest, batch.table["item"].to_list())
        segment = made(batch, manifest["weights"], manifest["kind"])
        files = write(segment, self.folder)
        manifest["segments"].append({"name": segment.name, "rows": len(segment), "removed": None, "files": files})
        self._open[segment.name] = segment

    def remove(self, items: Sequence[str]) -> int:
        """Remove items; how many there were."""
        with self._writing() as manifest:
            return self._bury(manifest, items)

    @property
    def log(self) -> Mapping[str, Any]:
        """What :meth:`follow` wrote down last; empty where it never did."""
        stored_log: Mapping[str, Any] = self._manifest.get("log", {})
        return stored_log

    def follow(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        *,
        add: Batch | None = None,
        remove: Sequence[str] = (),
        wait: float | None = None,
    ) -> bool:
        """Add and remove items, and write down in the same step how far the index is with what it follows.

        Args:
            before: :attr:`log` as the caller saw it.
            after: JSON that takes its place.
            wait: seconds for another process that writes; default: ten.

        Returns:
            False, and nothing is changed, where another process wrote another log meanwhile.

        Raises:
            DataError: as :meth:`add`. InUse: another process writes for longer.
        """
        try:
            with self._writing(WAIT if wait is None else wait) as manifest:
                if manifest.get("log", {}) != before:
                    raise _Overtaken
                if add is not None:
                    self._enter(manifest, add)
                self._bury(manifest, remove)
                manifest["log"] = dict(after)
        except _Overtaken:
            return False
        return True

    def keep(self, **settings: Any) -> None:
        """Write down more in the settings, or other values of them; None takes one away."""
        with self._writing() as manifest:
            told = {**manifest["settings"], **settings}
            manifest["settings"] = {name: value for name, value in told.items() if value is not None}

    def rebuild(self, *, first: int = 0, popularity: Mapping[str, int] | None = None) -> None:
        """Make one part of all, without what was removed. Others may add and remove meanwhile, which is kept.

        Args:
            first: so many parts are left as they are.
            popularity: item → what ``_popularity`` is from now on; that of the others stays.

        Raises:
            InUse: another process has rebuilt it meanwhile; what it made stays.
        """
        with self._lock:
            self.refresh()
            before, alive = self.snapshot.segments[first:], self.snapshot.alive[first:]
            kind: Kind = self._manifest["kind"]
        if not before:
            return
        segment = merged(before, alive, kind)
        if popularity:
            segment = with_popularity(segment, popularity)
        files = write(segment, self.folder)
        try:
            self._replace(before, alive, segment, files)
        except BaseException:  # nobody will need them
            for name in files:
                (self.folder / name).unlink(missing_ok=True)
            raise
        with _held_soon(self.folder):
            sweep(self.folder, self._manifest, older=ABANDONED)

    def _replace(
        self, before: Sequence[Segment], alive: Sequence[Array], segment: Segment, files: dict[str, str]
    ) -> None:
        """Let a part stand where those that it was made of stood."""
        with self._writing() as manifest:
            names = [one.name for one in before]
            places = [i for i, entry in enumerate(manifest["segments"]) if entry["name"] in names]
            if len(places) < len(names):
                raise InUse("the index was rebuilt by another process meanwhile", where=str(self.folder))
            begin, end = places[0], places[-1] + 1
            entry = {"name": segment.name, "rows": len(segment), "removed": None, "files": files}
            kept = np.concatenate(
                [
                    alive_of(self.folder, one)[living]
                    for one, living in zip(manifest["segments"][begin:end], alive, strict=True)
                ]
            )
            write_removed(self.folder, entry, kept)
            manifest["segments"][begin:end] = [entry]
            self._open[segment.name] = segment

    def rebuild_in_background(self, *, first: int = 0) -> threading.Thread:
        """:meth:`rebuild` in a thread that was started; searches go on. What goes wrong is logged, and leaves the index
        as it was; so does another process that is at it already.
        """

        def run() -> None:
            try:
                with held(self.folder / REBUILDING):
                    self.rebuild(first=first)
            except InUse as error:
                log.info("index not rebuilt: %s", error.what)
            except (TuwenError, OSError) as error:
                log.warning("index could not be rebuilt: %s", error)

        thread = threading.Thread(target=run, name="tuwen index rebuild", daemon=True)
        thread.start()
        return thread

    def mend(self) -> None:
        """Rebuild in the background where it is due and this process is not at it already. Large parts are left as they
        are for the sake of small ones behind them: a rebuild after a dozen single items costs what those cost.
        """
        with self._lock:
            if not self.worn or (self._rebuilding is not None and self._rebuilding.is_alive()):
                return
            sizes, first = [len(segment) for segment in self.snapshot.segments], 0
            while not self._full_of_removed and sizes[first] > LARGER * sum(sizes[first + 1 :]) > 0:
                first += 1
            self._rebuilding = self.rebuild_in_background(first=first)

    @contextmanager
    def _writing(self, wait: float = WAIT) -> Iterator[dict[str, Any]]:
        """The manifest, to be changed; written when the block ends well.

        The lock of this process comes last: searches take it too, and must not wait for another process.
        """
        with _held_soon(self.folder, wait), self._lock, room_on_disk(self.folder):
            self.refresh()
            manifest = json.loads(json.dumps(self._manifest))
            yield manifest
            manifest["generation"] += 1
            write_json(self.folder / MANIFEST, manifest)
            for name in files_of(self._manifest) - files_of(manifest):
                (self.folder / name).unlink(missing_ok=True)
            self._take(manifest)
            self._stamp = self._seen()

    def _bury(self, manifest: dict[str, Any], items: Sequence[str]) -> int:
        total = 0
        for entry in manifest["segments"]:
            segment, living = self._open[entry["name"]], alive_of(self.folder, entry)
            rows = [
                row for item in dict.fromkeys(items) if (row := segment.place.get(item)) is not None and living[row]
            ]
            if rows:
                living = living.copy()
                living[rows] = False
                write_removed(self.folder, entry, living)
                total += len(rows)
        return total

    def _refuse_other_spaces(self, batch: Batch) -> None:
        given = {name: int(vectors.shape[1]) for name, vectors in batch.vectors.items()}
        if given != self.snapshot.spaces:
            raise DataError(
                "the vectors of the items are not those of the index",
                where=str(self.folder),
                seen=given,
                allowed=str(self.snapshot.spaces),
                todo=AGAIN,
            )


class _Overtaken(Exception):
    """Another process changed the index first."""


@contextmanager
def _held_soon(folder: Path, wait: float = WAIT) -> Iterator[None]:
    """Hold the folder; a writer that is at work just now is waited for."""
    began = time.monotonic()
    while True:
        holding = held(folder)
        try:
            holding.__enter__()
            break
        except InUse:
            if time.monotonic() - began > wait:
                raise
            time.sleep(0.02)
    try:
        yield
    finally:
        holding.__exit__(None, None, None)
