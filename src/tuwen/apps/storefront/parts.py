"""What is served at a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuwen.apps.recommend.rules import Rules
from tuwen.bundle.bundle import Bundle
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError

if TYPE_CHECKING:  # a service that only predicts has neither SciPy nor Arrow
    from tuwen.apps.recommend.shelf import Shelf
    from tuwen.apps.search import Searcher


class NotServed(DataError):
    """The question needs a part that nobody promoted."""


@dataclass(frozen=True)
class Recommending:
    """A recommender and what its run asks of a list."""

    shelf: Shelf
    rules: Rules
    name: str
    last_day: str


@dataclass(frozen=True)
class Parts:
    """One revision, opened. What was not promoted is None.

    Attributes:
        revision: its number.
        predictor: predicts ratings and classes.
        recommender: recommends.
        searcher: answers the search box.
        dataset: what a person reads of an item, and its pictures.
        report: content of ``report.json``.
        shelve: brings an item into the index: (its key, columns, pictures as JPEG bytes).
        other: the second recommender of an experiment.
        experiment: ``name``, ``share`` of shoppers that the other one answers; empty for none.
    """

    revision: int = 0
    predictor: Bundle | None = None
    recommender: Recommending | None = None
    searcher: Searcher | None = None
    dataset: Dataset | None = None
    report: Mapping[str, Any] | None = None
    shelve: Callable[[str, Mapping[str, Any], Sequence[bytes]], None] | None = None
    other: Recommending | None = None
    experiment: Mapping[str, Any] = field(default_factory=dict)

    def need_recommender(self) -> Recommending:
        if self.recommender is None:
            raise NotServed("nothing here recommends", todo="tuwen promote BUNDLE HOME, of a run of the task rank")
        return self.recommender

    def need_searcher(self) -> Searcher:
        if self.searcher is None:
            raise NotServed("nothing here searches", todo="tuwen index DATASET --out INDEX; tuwen promote INDEX HOME")
        return self.searcher

    def need_predictor(self) -> Bundle:
        if self.predictor is None:
            raise NotServed("nothing here predicts", todo="tuwen promote BUNDLE HOME")
        return self.predictor

    def need_report(self) -> Mapping[str, Any]:
        if self.report is None:
            todo = "tuwen evaluate BUNDLE DATASET --out REPORT; tuwen promote REPORT HOME"
            raise NotServed("no report was promoted", todo=todo)
        return self.report
