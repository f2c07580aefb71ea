"""What is served at a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.apps.recommend.rules import Rules
from tuwen.bundle.bundle import Bundle
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError, did_you_mean

if TYPE_CHECKING:  # a service that only predicts has neither SciPy nor Arrow
    from tuwen.apps.recommend.shelf import Shelf
    from tuwen.apps.search import Searcher
    from tuwen.index.segments import Batch


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
class Report:
    """Args:
    told: content of ``report.json`` or ``compare.json``.
    page: the file of the same as a page; it need not be there.
    """

    told: Mapping[str, Any]
    page: Path


@dataclass(frozen=True)
class Parts:
    """One revision, opened. What was not promoted is None.

    Attributes:
        revision: its number.
        predictor: predicts ratings and classes.
        recommender: recommends.
        searcher: answers the search box.
        dataset: what a person reads of an item, and its pictures.
        reports: name → report or comparison.
        shelve: encodes an item for the index: its key, columns, pictures as JPEG bytes.
        other: the second recommender of an experiment.
        experiment: ``name``, ``share`` of shoppers that the other one answers; empty for none.
    """

    revision: int = 0
    predictor: Bundle | None = None
    recommender: Recommending | None = None
    searcher: Searcher | None = None
    dataset: Dataset | None = None
    reports: Mapping[str, Report] = field(default_factory=dict)
    shelve: Callable[[str, Mapping[str, Any], Sequence[bytes]], Batch] | None = None
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

    def need_report(self, name: str) -> Report:
        found = self.reports.get(name)
        if found is None:
            todo = did_you_mean(name, list(self.reports)) or (
                "GET /v1/report lists them"
                if self.reports
                else "tuwen evaluate BUNDLE DATASET --out REPORT; tuwen promote REPORT HOME"
            )
            what = "there is no such report" if self.reports else "no report was promoted"
            raise NotServed(what, seen=name[:100], todo=todo)
        return found
