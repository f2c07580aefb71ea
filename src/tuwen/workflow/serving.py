"""A home opened for serving: its parts loaded, tested, and changed while requests go on."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tuwen.apps.recommend import shelf_files
from tuwen.apps.search import Question
from tuwen.apps.storefront import Parts, Storefront
from tuwen.apps.storefront.experiment import lift
from tuwen.apps.storefront.outbox import Outbox
from tuwen.apps.storefront.parts import Recommending, Report
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.home import Home
from tuwen.bundle.parts import Kind, read_report
from tuwen.bundle.revisions import Revision
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError, DataError, InUse, TuwenError, did_you_mean
from tuwen.evaluation.outline import outline
from tuwen.outputs import nothing_left_of
from tuwen.store import Store, moments
from tuwen.store.engine import StoreUnavailable
from tuwen.store.journal import Journal
from tuwen.workflow.asking import LiveSynonyms, open_index, open_search
from tuwen.workflow.recommendations import rules_of
from tuwen.workflow.shelving import Shelver

log = logging.getLogger("tuwen.serving")
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 1.0  # after which a revision that could not be loaded is tried again; each time twice as long
MOST_SECONDS = 60.0
SIDE = 256  # pixels of a picture that is read only so that what reads it is loaded


def promote(source: str | Path, home: str | Path, kind: Kind | None = None, *, name: str | None = None) -> Revision:
    """Make a bundle, a recommender, an index, a dataset, a report or a comparison live, once it has answered.

    Args:
        name: of a report or a comparison, see :meth:`tuwen.bundle.home.Home.promote`.

    Raises:
        BundleError: it could not; what is live stays.
    """
    with nothing_left_of(home):
        return Home(home).promote(source, self_test, kind, name)


def drop_report(home: str | Path, name: str) -> Revision:
    """Let a report or a comparison go."""
    return Home(home).drop(name)


def roll_back(home: str | Path, number: int | None = None) -> Revision:
    """Make the parts that were live before (or a revision by number) live again."""
    return Home(home).back(number)


def begin_experiment(home: str | Path, name: str, bundle: str | Path, share: float = 0.5) -> Revision:
    """Let another recommender answer a share of the shoppers (above 0, below 1), from the next request on."""
    return Home(home).begin_experiment(bundle, self_test, name, share)


def end_experiment(home: str | Path) -> Revision:
    """Let the one recommender answer everybody again."""
    return Home(home).end_experiment()


def experiment_result(home: str | Path, store: Store, name: str, kind: str = "purchase") -> dict[str, Any]:
    """What came of an experiment, from its begin to its end: see :func:`tuwen.apps.storefront.experiment.lift`. Who
    refused recommendations meanwhile has no part in it.

    Returns:
        Beside what ``lift`` tells: ``began`` and ``ended``, ISO 8601; ``ended`` is None while it runs.

    Raises:
        DataError: it never ran here.
    """
    ran, refused = Home(home).periods(name), store.people.refusals.of()
    exposures = [row for row in store.people.exposed(name) if row["user"] not in refused]
    if not ran:
        known = list(dict.fromkeys(one.experiment["name"] for one in Home(home).revisions() if one.experiment))
        raise DataError(
            "no such experiment ran here",
            where=str(home),
            seen=name[:100],
            allowed=known or "nothing: no experiment ran here",
            todo=did_you_mean(name[:100], known),
        )
    events = {one["user"]: store.events.of(one["user"], since=one["time"]) for one in exposures}
    periods = [(moments.to_moment(start), None if end is None else moments.to_moment(end)) for start, end in ran]
    ended = ran[-1][1]
    told = {"began": ran[0][0].isoformat(), "ended": None if ended is None else ended.isoformat()}
    return {"experiment": name, **told, **lift(exposures, events, kind, periods=periods)}


def self_test(kind: Kind, folder: Path) -> None:
    """Load a part and let it answer.

    Raises:
        TuwenError: it cannot.
    """
    if kind == "predict":
        bundle = Bundle.open(folder)
        if bundle.manifest["task"] == "contrast":
            raise BundleError("a bundle of the task contrast has embeddings and no answers", where=str(folder))
        bundle.predict([{one["column"]: None for one in bundle.inputs}])
    elif kind == "recommend":
        shelf = _recommending(folder).shelf
        if not shelf.for_session([], 5):
            raise BundleError("it recommends nothing to somebody new", where=str(folder))
        shelf.for_session([str(shelf.catalogue.items[0])], 5)
    elif kind == "search":
        open_search(folder).search(Question(words="a"))
    elif kind == "dataset":
        _dataset(folder)
    else:
        told, _ = read_report(folder)
        try:
            outline(told)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            seen = f"{type(error).__name__}: {error}"
            raise BundleError("the report is not one of this tuwen", seen=seen, todo="make it anew") from None


def open_parts(home: Home, revision: Revision) -> Parts:
    """Everything that a revision names, loaded."""

    def opened(kind: Kind, how: Callable[[Path], Any]) -> Any:
        folder = home.part(kind, revision)
        return None if folder is None else how(folder)

    other = revision.experiment.get("part")
    searcher = opened("search", open_index)
    return Parts(
        revision=revision.number,
        predictor=opened("predict", Bundle.open),
        recommender=opened("recommend", _recommending),
        searcher=searcher,
        shelve=None if searcher is None else Shelver(searcher),
        dataset=opened("dataset", _dataset),
        reports={name: Report(*read_report(folder)) for name, folder in home.reports(revision).items()},
        other=None if other is None else _recommending(home.folder / other),
        experiment=revision.experiment,
    )


def _warm(parts: Parts) -> None:
    """Load what is loaded when it is first needed: no shopper, and no new item, waits for a tokeniser or a network."""
    picture = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(picture, "JPEG")
    found, shelf = parts.searcher, None if parts.recommender is None else parts.recommender.shelf
    steps: list[Callable[[], Any]] = []
    if found is not None:
        slip = "zzzz 龘靐"  # no item has it: what is known of the words of items is gathered
        steps.append(lambda: found.search(Question(words=slip)))
    if parts.shelve is not None:
        shelve = parts.shelve
        steps.append(lambda: shelve(" ", {"title": "a"}, [picture.getvalue()]))  # encoded, and not put there
    if parts.predictor is not None:
        predictor = parts.predictor
        values = {"image": picture.getvalue(), "text": "a"}  # of sounds, shapes and tables nothing is loaded
        row = {one["column"]: values.get(one["kind"]) for one in predictor.inputs}
        steps.append(lambda: predictor.predict([row]))
    for reader in () if shelf is None else shelf.catalogue.readers.values():
        value = "a" if reader.use == "text" else picture.getvalue()
        steps.append(partial(reader.read, value))
    for step in steps:
        try:
            step()
        except TuwenError as error:  # who asks for it is told the same; what needs none of it is answered
            log.warning("a part of what is served cannot be used: %s", error)


def _dataset(folder: Path) -> Dataset:
    """Its tables that are answered from are read at once: one that is damaged is found before anybody asks."""
    found = Dataset.open(folder)
    for name in ("items", "reviews"):
        if name == "items" or found.has(name):
            found.table(name)
    return found


def _recommending(folder: Path) -> Recommending:
    shelf, manifest = shelf_files.read(folder)
    return Recommending(shelf, rules_of(manifest["run"]), manifest["name"], manifest["data"]["last_day"])


class Live:
    """What counts now, for one process. :attr:`storefront` is replaced whole when another revision has been loaded; a
    request that has begun ends with the one it began with.

    Args:
        home: None for parts that never change.
        store: None for none.
        loaded: called, in the thread that looked, when another revision has taken the place of the one before.
    """

    def __init__(
        self,
        home: Home | None,
        store: Store | None,
        parts: Parts | None = None,
        loaded: Callable[[], None] | None = None,
    ) -> None:
        self.home, self.store, self._loaded = home, store, loaded
        self.journal = None if home is None or store is None else Journal(home.journal)
        self._fault: str | None = None
        self._synonyms = LiveSynonyms()
        self._stamp = 0
        self._looking = threading.Lock()  # who asks and who watches do not load the same revision twice
        self._failed, self._again, self._wait = 0, 0.0, AGAIN_SECONDS
        self._behind, self._repair_at, self._pause = -1, 0.0, LOOK_SECONDS
        self._away = False
        self._ended = threading.Event()
        self.storefront = Storefront(parts or Parts(), store)
        if home is not None:
            self._stamp = home.stamp()
            self.storefront = self._opened(home, home.live())

    @property
    def fault(self) -> str | None:
        """What is wrong with what was promoted, though the service answers; None where nothing is."""
        return "; ".join(self.faults) or None

    @property
    def faults(self) -> list[str]:
        """The same, each by itself."""
        faults = (self._fault, self._left(), self._waiting(), self._synonyms.fault)
        return [fault for fault in faults if fault]

    def _waiting(self) -> str | None:
        reason = self.storefront.outbox.fault
        return None if reason is None else f"changes of items wait for the index: {reason}"

    def _left(self) -> str | None:
        left = dict(self.storefront.left)
        if not left:
            return None
        first = next(iter(left))
        return (
            f"items of the store that could not be brought in: {len(left)}; the first, '{first[:100]}': {left[first]}"
        )

    def _opened(self, home: Home, revision: Revision) -> Storefront:
        """A revision that knows, before it answers, what came and went over HTTP."""
        front = Storefront(open_parts(home, revision), self.store)
        front.catch_up()
        _emptied(front.outbox, again=True)
        self._synonyms.look(front.parts.searcher)
        _warm(front.parts)
        return front

    def look(self) -> bool:
        """Load what was promoted since, if anything was, and synonyms that were written. A revision that cannot be
        loaded is told in :attr:`fault`, and the one before goes on answering; it is tried again later, because what is
        wrong may pass (a store that is away, a disk that is full).
        """
        if self.home is None:
            return False
        with self._looking:
            return self._look(self.home)

    def _look(self, home: Home) -> bool:
        self._synonyms.look(self.storefront.parts.searcher)
        if (stamp := home.stamp()) == self._stamp:
            return False
        if stamp == self._failed and time.monotonic() < self._again:
            return False
        try:
            revision = home.live()
            found = None if revision.number == self.storefront.parts.revision else self._opened(home, revision)
        except Exception as error:  # whatever it is, what answers now goes on answering
            self._fault = (
                f"revision could not be loaded: {error.what if isinstance(error, TuwenError) else type(error).__name__}"
            )
            log.error("revision could not be loaded: %s", error, exc_info=not isinstance(error, TuwenError))
            self._wait = min(2 * self._wait, MOST_SECONDS) if stamp == self._failed else AGAIN_SECONDS
            self._failed, self._again = stamp, time.monotonic() + self._wait
            return False
        self._stamp, self._failed, self._fault = stamp, 0, None
        if found is not None:
            self.storefront = found
            if self._loaded is not None:
                self._loaded()
        return found is not None

    def watch(self) -> threading.Thread:
        """Look every half second, in a thread of its own, until :meth:`end`."""

        if self.store is not None:
            self.store.watched(True)

        def run() -> None:
            seen: int | None = None
            while not self._ended.wait(LOOK_SECONDS):
                try:
                    if self.store is not None and not self._store_is_there(self.store):
                        continue
                    self.look()
                    if self.store is not None and (now := self.store.version.now()) != seen:
                        self.storefront.catch_up()
                        seen = now
                    self._repair()
                except Exception:
                    log.exception("looking for another revision failed")

        thread = threading.Thread(target=run, name="tuwen-live", daemon=True)
        thread.start()
        return thread

    def _store_is_there(self, store: Store) -> bool:
        """Ask the store; where it is there, give it the events that wait for it."""
        try:
            store.ping()
            store.tidy()
            if self.journal is not None:
                self.journal.empty(store.events.add)
        except StoreUnavailable as error:
            if not self._away:
                log.warning("the store is away, events wait: %s", error)
            self._away = True
            return False
        self._away = False
        return True

    def _repair(self) -> None:
        """Empty the outbox where a change is in it for the second look: whoever wrote it is at it during the first."""
        outbox = self.storefront.outbox
        if self.store is None or time.monotonic() < self._repair_at:
            return
        latest, change = self.store.version.items(), outbox.change
        stuck = change < latest and change == self._behind
        self._behind = change
        if stuck and not _emptied(outbox):
            self._pause = min(2 * self._pause, MOST_SECONDS)
            self._repair_at = time.monotonic() + self._pause
        else:
            self._pause = LOOK_SECONDS

    def end(self) -> None:
        self._ended.set()
        if self.store is not None:
            self.store.watched(False)


def _emptied(outbox: Outbox, *, again: bool = False) -> bool:
    """Whether the index of a process has every change of the store now; what it lacks a later look brings in."""
    try:
        outbox.empty(again=again)
    except InUse as error:
        log.info("the index follows the store later: %s", error)
        return False
    except (DataError, OSError) as error:
        log.warning("the index follows the store later: %s", error)
        return False
    return True
