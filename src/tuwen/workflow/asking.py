"""An index opened for questions: its encoders, its bundle, its synonyms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuwen.apps.encoders import FrozenPicture, FrozenText, read
from tuwen.apps.query import Synonyms
from tuwen.apps.search import Blend, Encoder, Question, Searcher
from tuwen.bundle.bundle import Bundle
from tuwen.errors import DataError
from tuwen.index.store import Index
from tuwen.workflow.indexing import ENCODERS
from tuwen.workflow.spaces import BundleEncoder


def open_search(folder: str | Path, *, synonyms: str | Path | None = None, blend: Blend | None = None) -> Searcher:
    """The index in ``folder``, ready to answer.

    Args:
        synonyms: a file, see :meth:`tuwen.apps.query.Synonyms.read`; default: ``synonyms.txt`` in the index, if any.

    Raises:
        DataError: there is no index, or it is damaged. ConfigError: a line of the synonyms is none.
    """
    index = Index(folder)
    encoders: dict[str, Encoder] = {}
    for space in index.snapshot.spaces:
        place = index.folder / ENCODERS / space
        if place.exists():
            frozen, centre = read(place)
            if space == "picture":
                encoders[space] = FrozenPicture(frozen, centre, dict(index.settings["media"]))
            else:
                encoders[space] = FrozenText(frozen, centre)
    bundle = index.settings["recipe"].get("bundle")
    if bundle is not None:
        encoders["joint"] = BundleEncoder(Bundle.open(bundle))
    file = Path(synonyms) if synonyms is not None else index.folder / "synonyms.txt"
    known = Synonyms.read(file) if synonyms is not None or file.exists() else None
    return Searcher(index, encoders, synonyms=known, blend=blend)


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
    return open_search(folder, **how).search(question)
