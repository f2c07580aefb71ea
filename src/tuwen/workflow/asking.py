"""An index opened for questions: its encoders, its bundle, its synonyms."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tuwen.apps.encoders import FrozenPicture, FrozenText, read
from tuwen.apps.matching import Blend, Encoder
from tuwen.apps.query import Synonyms
from tuwen.apps.search import Question, Searcher
from tuwen.bundle.bundle import Bundle
from tuwen.errors import BundleError, ConfigError, DataError
from tuwen.index.segments import AGAIN
from tuwen.index.store import Index
from tuwen.workflow.indexing import KEPT, encoders_of
from tuwen.workflow.spaces import JOINT, BundleEncoder

log = logging.getLogger("tuwen.serving")


def open_search(folder: str | Path, *, synonyms: str | Path | None = None, blend: Blend | None = None) -> Searcher:
    """The index in ``folder``, ready to answer.

    Args:
        synonyms: a file, see :meth:`tuwen.apps.query.Synonyms.read`; default: ``synonyms.txt`` in the index, if any.

    Raises:
        DataError: there is no index, or it is damaged. ConfigError: a line of the synonyms is none.
    """
    searcher = open_index(folder, blend=blend)
    file = Path(synonyms) if synonyms is not None else searcher.index.folder / KEPT
    if synonyms is not None or file.exists():
        searcher.take(Synonyms.read(file))
    return searcher


def open_index(folder: str | Path, *, blend: Blend | None = None) -> Searcher:
    """The index in ``folder`` without its synonyms: see :class:`LiveSynonyms` for those of a service."""
    index = Index(folder)
    return Searcher(index, encoders_for(index), blend=blend, reopen=encoders_for)


class LiveSynonyms:
    """The synonyms of an index that is served: read again whenever their file was written. A file with a line that is
    none changes nothing, and is told.
    """

    def __init__(self) -> None:
        self._seen: tuple[Searcher, int] | None = None
        self._file, self._known = Path(), Synonyms()
        self.fault: str | None = None

    def look(self, searcher: Searcher | None) -> None:
        """Give a searcher what the file says now, where it is another searcher or the file was written since."""
        if searcher is None:
            self._seen = self.fault = None
            return
        file = searcher.index.folder / KEPT
        written = file.stat().st_mtime_ns if file.exists() else 0
        if self._seen is not None and self._seen[0] is searcher and self._seen[1] == written:
            return
        if file != self._file:
            self._file, self._known = file, Synonyms()
        self._seen, self.fault = (searcher, written), None
        try:
            self._known = Synonyms.read(file) if written else Synonyms()
        except ConfigError as error:
            log.error("the synonyms of the index cannot be used, those before count: %s", error)
            error.rename(f"{file.parent}/", "")
            self.fault = f"the synonyms of the index cannot be used, those before count: {error.where}: {error.what}"
        searcher.take(self._known)


def encoders_for(index: Index) -> dict[str, Encoder]:
    """What turns questions into the vectors of each space of an index.

    Raises:
        DataError: a file of them is missing or damaged.
    """
    found: dict[str, Encoder] = {}
    place = encoders_of(index)
    for space in index.snapshot.spaces:
        if space == JOINT:
            found[JOINT] = BundleEncoder(_kept_bundle(place / JOINT))
            continue
        frozen, centre = read(place / space)
        if space == "picture":
            found[space] = FrozenPicture(frozen, centre, dict(index.settings["media"]))
        else:
            found[space] = FrozenText(frozen, centre)
    return found


def _kept_bundle(folder: Path) -> Bundle:
    try:
        return Bundle.open(folder)
    except BundleError as error:
        what = "the bundle that the index keeps cannot be used"
        raise DataError(what, where=error.where or str(folder), seen=error.what, todo=AGAIN) from None


def search(folder: str | Path, question: Question, *, picture: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """One answer of the index in ``folder``; see :meth:`tuwen.apps.search.Searcher.search`.

    Args:
        picture: a file; its bytes take the place of the question's.
        how: as :func:`open_search` takes it.
    """
    if picture is not None:
        try:
            data = Path(picture).read_bytes()
        except OSError as error:
            raise DataError("the picture cannot be read", where=str(picture), seen=error.strerror) from None
        question = Question(**(vars(question) | {"picture": data}))
    searcher = open_search(folder, **how)
    try:
        return searcher.search(question)
    except DataError as error:
        if picture is None or error.where is not None:
            raise
        raise DataError(error.what, where=str(picture), seen=error.seen, allowed=error.allowed) from None
