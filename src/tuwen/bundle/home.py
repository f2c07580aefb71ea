"""A home: the folder that a running service serves from. It says which bundle, recommender, index and dataset count.

``live.json`` is a list of revisions, the last of which counts; it is replaced whole, so a reader sees one revision or
the next. A part that was promoted stands in ``parts/`` and never changes again, but for an index, which takes in items
while it is served. Of each kind there is one part; of reports and comparisons there are as many as have names.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from tuwen.bundle.copying import copy_folder
from tuwen.bundle.experiments import need_name, need_room, need_share
from tuwen.bundle.files import MANIFEST, read_manifest
from tuwen.errors import BundleError, DataError, InUse, TuwenError, did_you_mean
from tuwen.files import make_folder, room_on_disk, sync, sync_tree, write_json
from tuwen.outputs import PLACING, held
from tuwen.private import give_to_owner, private

Kind = Literal["predict", "recommend", "search", "dataset", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIVE, PARTS, INCOMING, STORE = "live.json", "parts", "incoming", "store.db"
PINS = ".pins"  # of who reads parts that a promotion would delete
WAIT_SECONDS = 600.0  # for a promotion that is under way
PROMOTING = ".promoting"  # held by who changes what is live
JOURNAL = "journal.log"
FORMAT = 1
KEPT = 10  # revisions whose parts stay, so that they can come back
REPORT, COMPARISON = "report.json", "compare.json"
TOLD = {REPORT, "report.html", COMPARISON, "compare.html"}  # what is copied of a report's folder: no table, no training
NAME = r"\w[\w.-]{0,99}"


@dataclass(frozen=True)
class Revision:
    """What is served from a moment on.

    Attributes:
        number: from 1.
        time: when, ISO 8601, to the microsecond: what happens after an experiment ends is told from it.
        note: what was done, in a few words.
        parts: kind → folder, relative to the home; ``report/NAME`` for each report and comparison.
        experiment: of two recommenders, ``name``, ``share`` and ``part`` (the folder of the other); empty for none.
    """

    number: int
    time: str
    note: str
    parts: Mapping[str, str] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)


class Home:
    """Args:
    folder: made if absent.

    Raises:
        DataError: the folder holds something else, or ``live.json`` is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not is_home(self.folder) and (not self.folder.is_dir() or _others(self.folder)):
            raise DataError(
                "something that is not a home is in the way", where=str(folder), todo="name an empty or a new folder"
            )
        if not (self.folder / PARTS).is_dir():
            with private(self.folder):
                make_folder(self.folder / PARTS)
        self.revisions()

    @property
    def store(self) -> Path:
        """Where the store is, unless another is named."""
        return self.folder / STORE

    @property
    def journal(self) -> Path:
        """Where events wait while the store is away."""
        return self.folder / JOURNAL

    @property
    def incoming(self) -> Path:
        """Where folders wait that an operator may promote from the browser."""
        return self.folder / INCOMING

    def waiting(self) -> list[dict[str, str]]:
        """``name`` and ``kind`` of what stands in ``incoming`` and can be served."""
        found = []
        for place in sorted(self.incoming.iterdir()) if self.incoming.is_dir() else ():
            if place.is_symlink():
                continue
            try:
                found.append({"name": place.name, "kind": kind_of(place)})
            except TuwenError:
                continue
        return found

    def stamp(self) -> int:
        """Changes whenever a revision is added; 0 where there is none."""
        try:
            return (self.folder / LIVE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def revisions(self) -> list[Revision]:
        """Oldest first.

        Raises:
            DataError: ``live.json`` is damaged.
        """
        place = self.folder / LIVE
        try:
            told = json.loads(place.read_text(encoding="utf-8"))
            if told["format"] > FORMAT:
                raise DataError("the home was written by a newer tuwen", where=str(place), todo="upgrade tuwen")
            found = [Revision(**one) for one in told["revisions"]]
            for one in found:
                datetime.fromisoformat(one.time)
            return found
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise DataError(
                "the list of what is live is damaged",
                where=str(place),
                todo=f"put a copy back; or move it away, and promote the folders of {self.folder / PARTS} anew",
            ) from None

    def live(self) -> Revision:
        """The revision that counts; number 0 and without parts where nothing was promoted yet."""
        found = self.revisions()
        return found[-1] if found else Revision(0, "", "nothing was promoted yet")

    def part(self, kind: Kind, revision: Revision | None = None) -> Path | None:
        """The folder of a part of a revision (default: the one that counts)."""
        name = (revision or self.live()).parts.get(kind)
        return None if name is None else self.folder / name

    def reports(self, revision: Revision | None = None) -> dict[str, Path]:
        """Name → folder of each report and comparison of a revision (default: the one that counts)."""
        parts = (revision or self.live()).parts
        return {key.partition("/")[2]: self.folder / parts[key] for key in sorted(parts) if key.startswith("report/")}

    def periods(self, experiment: str) -> list[tuple[datetime, datetime | None]]:
        """When an experiment ran, from and to; None where it still does. More than one where a step back brought it
        again; nothing where it never ran.
        """
        found: list[tuple[datetime, datetime | None]] = []
        for one in self.revisions():
            runs, time = one.experiment.get("name") == experiment, datetime.fromisoformat(one.time)
            if runs and (not found or found[-1][1] is not None):
                found.append((time, None))
            elif not runs and found and found[-1][1] is None:
                found[-1] = found[-1][0], time
        return found

    # --- Changing it ------------------------------------------------------------------------------------------

    def promote(
        self, source: str | Path, test: Callable[[Kind, Path], None], kind: Kind | None = None, name: str | None = None
    ) -> Revision:
        """Copy a folder into the home, let it prove itself there, and make it live.

        Args:
            test: raises where the copy cannot answer; what is live stays then.
            kind: of the folder; default: told from what it holds.
            name: under which a report is kept, in the place of another of that name; default: that of its run, with
                ``-compared`` for a comparison, else that of the folder.

        Raises:
            BundleError: the copy failed its test.
            DataError: the name is none, or nothing but a report has one.
            InUse: another process promotes.
        """
        source = Path(source)
        kind = kind or kind_of(source)
        if kind == "report" and (source / PLACING).exists():
            todo = "run the command again that writes it: tuwen evaluate, compare, judge or run"
            raise DataError("the report was cut off while it was written", where=str(source), todo=todo)
        if name is not None and (kind != "report" or not re.fullmatch(NAME, name)):
            allowed = "letters, digits, _ . and -, for a report or a comparison"
            raise DataError("it cannot be promoted under that name", where=str(source), seen=name, allowed=allowed)
        with self._changing():
            part = self._tested(source, test, kind)
            live = self.live()
            key = f"report/{name or _name_of(self.folder / part, source)}" if kind == "report" else kind
            told = f"{source.name} as {key}" if kind == "report" else f"{source.name} ({kind})"
            return self._add(f"promoted {told}", {**live.parts, key: part}, live.experiment)

    def drop(self, name: str) -> Revision:
        """Let a report or a comparison go; a step back brings it again.

        Raises:
            DataError: there is none of that name.
        """
        with self._changing():
            live, known = self.live(), self.reports()
            if name not in known:
                todo = did_you_mean(name, list(known))
                allowed = ", ".join(known) or "nothing: no report was promoted"
                raise DataError(
                    "there is no such report", where=str(self.folder), seen=name, allowed=allowed, todo=todo
                )
            parts = {key: part for key, part in live.parts.items() if key != f"report/{name}"}
            return self._add(f"dropped report/{name}", parts, live.experiment)

    def begin_experiment(
        self, source: str | Path, test: Callable[[Kind, Path], None], name: str, share: float
    ) -> Revision:
        """Let another recommender answer ``share`` of the shoppers.

        Raises:
            DataError: there is none to compare with, ``share`` leaves one of them without shoppers, ``name`` is none or
                was given before, or another experiment still runs.
            BundleError: the copy failed its test.
        """
        need_share(share)
        need_name(name)
        with self._changing():
            live = self.live()
            need_room(self.folder, name, [one.experiment for one in self.revisions()])
            if "recommend" not in live.parts:
                todo = f"tuwen promote BUNDLE {self.folder}"
                raise DataError("there is no recommender to compare with", where=str(self.folder), todo=todo)
            part = self._tested(Path(source), test, "recommend")
            settings = {"name": name, "share": share, "part": part}
            return self._add(f"experiment {name} begins", live.parts, settings)

    def end_experiment(self) -> Revision:
        """Let the one recommender answer everybody again.

        Raises:
            DataError: no experiment runs.
        """
        with self._changing():
            live = self.live()
            if not live.experiment:
                raise DataError("no experiment runs", where=str(self.folder))
            return self._add(f"experiment {live.experiment['name']} ends", live.parts, {})

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the home for a change of what is live."""
        with private(self.folder), held(self.folder / PROMOTING), room_on_disk(self.folder):
            give_to_owner(self.folder / PROMOTING, self.folder.stat())
            yield

    @contextmanager
    def pinned(self) -> Iterator[bytes]:
        """``live.json`` as it is, whose parts stay while the block lasts, whatever is promoted meanwhile. The pin is a
        lock of the kernel's: one that a killed process left behind holds nothing.
        """
        folder = self.folder / PINS
        with self._changing_soon():
            make_folder(folder)
            live = (self.folder / LIVE).read_bytes() if (self.folder / LIVE).exists() else b""
            pin = folder / uuid.uuid4().hex
            pin.write_text("\n".join(self.parts_of(live)), encoding="utf-8")
            descriptor = os.open(pin, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield live
        finally:
            pin.unlink(missing_ok=True)
            os.close(descriptor)

    def parts_of(self, live: bytes) -> list[str]:
        """The parts that a content of ``live.json`` needs, and that can come back."""
        revisions = json.loads(live)["revisions"][-KEPT:] if live else []
        names = {name for revision in revisions for name in revision["parts"].values()}
        return sorted(names | {revision["experiment"]["part"] for revision in revisions if revision["experiment"]})

    def _pinned_parts(self) -> set[str]:
        names: set[str] = set()
        for pin in (self.folder / PINS).glob("*"):
            descriptor = os.open(pin, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                pin.unlink(missing_ok=True)  # its process is gone
            except BlockingIOError:
                names |= set(pin.read_text(encoding="utf-8").split("\n"))
            finally:
                os.close(descriptor)
        return names

    @contextmanager
    def _changing_soon(self) -> Iterator[None]:
        """Hold the home for a moment; who promotes just now is waited for."""
        began = time.monotonic()
        while True:
            try:
                with ExitStack() as stack:
                    stack.enter_context(self._changing())
                    locks = stack.pop_all()
                break
            except InUse:
                if time.monotonic() - began > WAIT_SECONDS:
                    raise
                time.sleep(0.05)
        with locks:
            yield

    def sweep(self) -> None:
        """Delete what promotions that were killed left behind; nothing while another process promotes, and nothing on a
        disk that is read-only.
        """
        try:
            with self._changing():
                self._sweep(self.revisions()[-KEPT:])
        except (InUse, DataError, OSError):
            return

    def _tested(self, source: Path, test: Callable[[Kind, Path], None], kind: Kind) -> str:
        """A copy of a folder that answered; where it stands, relative to the home."""
        part = f"{PARTS}/{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        place = self.folder / part
        wanted = TOLD if kind == "report" else None
        copy_folder(source, place, wanted, follow=source.parent.absolute() != self.incoming)
        try:
            test(kind, place)
            give_to_owner(place, self.folder.stat())
            sync_tree(place)  # with what the test wrote
            sync(place.parent)
        except TuwenError as error:
            shutil.rmtree(place, ignore_errors=True)
            error.rename(str(place), str(source))  # nobody finds the copy any more
            raise BundleError(
                f"it failed its self-test, and what is live stays: {error.what}",
                where=error.where or str(source),
                seen=error.seen,
                allowed=error.allowed,
                todo=error.todo,
            ) from None
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return part

    def back(self, number: int | None = None) -> Revision:
        """Make an earlier revision live again.

        Args:
            number: which; default: the one before the one that counts.

        Raises:
            DataError: there is none, or its parts are gone.
        """
        with self._changing():
            known = {one.number: one for one in self.revisions()}
            wanted = self._before() if number is None else known.get(number)
            if wanted is None:
                raise DataError(
                    "there is no such revision to go back to",
                    where=str(self.folder / LIVE),
                    seen="nothing before this one" if number is None else number,
                    allowed=", ".join(map(str, known)) or None,
                )
            gone = [name for name in wanted.parts.values() if not (self.folder / name).is_dir()]
            if gone:
                raise DataError("parts of that revision are gone", where=str(self.folder), seen=", ".join(gone))
            return self._add(f"back to revision {wanted.number}", wanted.parts, wanted.experiment)

    def _before(self) -> Revision | None:
        """The latest with other parts, or another experiment, than today's; a step back is not undone by the next."""
        known = self.revisions()
        if not known:
            return None
        number = known[-1].number
        note = known[-1].note
        if note.startswith("back to revision "):
            number = int(note.rpartition(" ")[2])
        today = known[-1].parts, known[-1].experiment
        earlier = [one for one in known if one.number < number and (one.parts, one.experiment) != today]
        return earlier[-1] if earlier else None

    def _add(self, note: str, parts: Mapping[str, str], experiment: Mapping[str, Any]) -> Revision:
        known = self.revisions()
        number = known[-1].number + 1 if known else 1
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        added = Revision(number, time, note, dict(parts), dict(experiment))
        known.append(added)
        write_json(self.folder / LIVE, {"format": FORMAT, "revisions": [vars(one) for one in known]})
        give_to_owner(self.folder / LIVE, self.folder.stat())
        self._sweep(known[-KEPT:])
        return added

    def _sweep(self, kept: list[Revision]) -> None:
        """Delete parts that no revision needs that can come back."""
        needed = {name for one in kept for name in one.parts.values()}
        needed |= {revision.experiment["part"] for revision in kept if revision.experiment} | self._pinned_parts()
        for place in (self.folder / PARTS).iterdir():
            if f"{PARTS}/{place.name}" not in needed:
                shutil.rmtree(place, ignore_errors=True)


def is_home(folder: str | Path) -> bool:
    return (Path(folder) / LIVE).is_file() or (Path(folder) / PARTS).is_dir()


def store_beside(part: str | Path) -> Path | None:
    """The store of the home in which a promoted part stands; None where it stands in none, or that has no store."""
    home = Path(part).resolve().parent.parent
    store = home / STORE
    return store if (home / LIVE).is_file() and store.is_file() else None


def kind_of(folder: Path) -> Kind:
    """What a folder is, by what it holds.

    Raises:
        DataError: nothing that can be served.
    """
    if (folder / MANIFEST).is_file():
        return "recommend" if read_manifest(folder)["task"] == "rank" else "predict"
    if (folder / "index.json").is_file():
        return "search"
    if (folder / "manifest.json").is_file() and (folder / "media").is_dir():
        return "dataset"
    if (folder / REPORT).is_file() or (folder / COMPARISON).is_file():
        return "report"
    raise DataError(
        "there is nothing here that can be served",
        where=str(folder),
        seen="no such folder" if not folder.exists() else None,
        allowed="a bundle, an index, a dataset, or the folder of a report or a comparison",
        todo="tuwen train, tuwen index, tuwen collect, tuwen evaluate and tuwen compare write them",
    )


def told_in(folder: Path) -> tuple[Mapping[str, Any], Path]:
    """Content of the report or the comparison in a folder, and its page, which need not be there.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = folder / REPORT if (folder / REPORT).is_file() else folder / COMPARISON
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError("the report cannot be read", where=str(file), todo="make it anew, and promote it") from None
    if not isinstance(told, dict):
        raise DataError("the report cannot be read", where=str(file), seen=type(told).__name__)
    return told, file.with_suffix(".html")


def _name_of(folder: Path, source: Path) -> str:
    """How a report is called that nobody named: two of one run and of one kind are the same one, made anew."""
    told, page = told_in(folder)
    names = (
        re.sub(r"[^\w.-]+", "-", name).strip(".-") for name in (str(told.get("name") or ""), source.resolve().name)
    )
    own = next((name[:80] for name in names if name), "report")
    return f"{own}-compared" if page.stem == Path(COMPARISON).stem else own


def _others(folder: Path) -> bool:
    return any(
        path.name not in (INCOMING, STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-reserve")
        for path in folder.iterdir()
    )
