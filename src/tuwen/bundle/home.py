"""A home: the folder that a running service serves from. It says which bundle, recommender, index and dataset count.

``live.json`` is a list of revisions, the last of which counts; it is replaced whole, so a reader sees one revision or
the next. A part that was promoted stands in ``parts/`` and never changes again, but for an index, which takes in items
while it is served. Of each kind there is one part; of reports and comparisons there are as many as have names.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuwen.bundle.experiments import need_name, need_room, need_share
from tuwen.bundle.parts import Kind, copy_tested, kind_of, promotable, report_name
from tuwen.bundle.pins import PINS, Pin, pinned_parts
from tuwen.bundle.revisions import (
    INCOMING,
    KEPT,
    LIVE,
    PARTS,
    STORE,
    Revision,
    as_json,
    parts_of,
    periods,
    previous,
    read_revisions,
    refuse_other_folder,
)
from tuwen.errors import DataError, InUse, did_you_mean
from tuwen.files import make_folder, room_on_disk, write_json
from tuwen.outputs import PLACING, held
from tuwen.private import give_to_owner, private

WAIT_SECONDS = 600.0  # for a promotion that is under way
PROMOTING = ".promoting"  # held by who changes what is live
JOURNAL = "journal.log"
NAME = r"\w[\w.-]{0,99}"


class Home:
    """Args:
    folder: made if absent.

    Raises:
        DataError: the folder holds something else, or ``live.json`` is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        refuse_other_folder(self.folder)
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
        return promotable(self.incoming)

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
        return read_revisions(self.folder)

    def live(self) -> Revision:
        """The revision that counts; number 0 and without parts where nothing was promoted yet."""
        revisions = self.revisions()
        return revisions[-1] if revisions else Revision(0, "", "nothing was promoted yet")

    def part(self, kind: Kind, revision: Revision | None = None) -> Path | None:
        """The folder of a part of a revision (default: the one that counts)."""
        name = (revision or self.live()).parts.get(kind)
        return None if name is None else self.folder / name

    def reports(self, revision: Revision | None = None) -> dict[str, Path]:
        """Name → folder of each report and comparison of a revision (default: the one that counts)."""
        parts = (revision or self.live()).parts
        return {key.partition("/")[2]: self.folder / parts[key] for key in sorted(parts) if key.startswith("report/")}

    def periods(self, experiment: str) -> list[tuple[datetime, datetime | None]]:
        """When an experiment ran: see :func:`tuwen.bundle.revisions.periods`."""
        return periods(self.revisions(), experiment)

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
            key = f"report/{name or report_name(self.folder / part, source)}" if kind == "report" else kind
            note = f"{source.name} as {key}" if kind == "report" else f"{source.name} ({kind})"
            return self._add(f"promoted {note}", {**live.parts, key: part}, live.experiment)

    def drop(self, name: str) -> Revision:
        """Let a report or a comparison go; a step back brings it again.

        Raises:
            DataError: there is none of that name.
        """
        with self._changing():
            live, reports = self.live(), self.reports()
            if name not in reports:
                todo = did_you_mean(name, list(reports))
                allowed = ", ".join(reports) or "nothing: no report was promoted"
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
            need_room(self.folder, name, [revision.experiment for revision in self.revisions()])
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
        """``live.json`` as it is, whose parts stay while the block lasts, whatever is promoted meanwhile."""
        with self._changing_soon():
            make_folder(self.folder / PINS)
            live = (self.folder / LIVE).read_bytes() if (self.folder / LIVE).exists() else b""
            pin = Pin(self.folder / PINS, self.parts_of(live))
        with closing(pin):
            yield live

    def parts_of(self, live: bytes) -> list[str]:
        """The parts that a content of ``live.json`` needs, and that can come back."""
        return sorted(parts_of(json.loads(live)["revisions"][-KEPT:])) if live else []

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
        follow = source.parent.absolute() != self.incoming
        copy_tested(source, self.folder / part, test, kind, self.folder.stat(), follow=follow)
        return part

    def back(self, number: int | None = None) -> Revision:
        """Make an earlier revision live again.

        Args:
            number: which; default: the one before the one that counts.

        Raises:
            DataError: there is none, or its parts are gone.
        """
        with self._changing():
            revisions = self.revisions()
            numbered = {revision.number: revision for revision in revisions}
            earlier = previous(revisions) if number is None else numbered.get(number)
            if earlier is None:
                raise DataError(
                    "there is no such revision to go back to",
                    where=str(self.folder / LIVE),
                    seen="nothing before this one" if number is None else number,
                    allowed=", ".join(map(str, numbered)) or None,
                )
            gone = [name for name in earlier.parts.values() if not (self.folder / name).is_dir()]
            if gone:
                raise DataError("parts of that revision are gone", where=str(self.folder), seen=", ".join(gone))
            return self._add(f"back to revision {earlier.number}", earlier.parts, earlier.experiment)

    def _add(self, note: str, parts: Mapping[str, str], experiment: Mapping[str, Any]) -> Revision:
        revisions = self.revisions()
        number = revisions[-1].number + 1 if revisions else 1
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        added = Revision(number, time, note, dict(parts), dict(experiment))
        revisions.append(added)
        write_json(self.folder / LIVE, as_json(revisions))
        give_to_owner(self.folder / LIVE, self.folder.stat())
        self._sweep(revisions[-KEPT:])
        return added

    def _sweep(self, recent: list[Revision]) -> None:
        """Delete parts that no revision needs that can come back."""
        needed = parts_of(map(vars, recent)) | pinned_parts(self.folder / PINS)
        for part in (self.folder / PARTS).iterdir():
            if f"{PARTS}/{part.name}" not in needed:
                shutil.rmtree(part, ignore_errors=True)
