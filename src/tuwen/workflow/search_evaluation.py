"""A search judged by graded judgments: words, vectors and both, with intervals.

No weight is chosen on what is reported: the queries are in five folds, and those of a fold are answered with the
weights that did best on the other four. Queries that differ only in plural or order are in one fold and drawn together.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.matching import RECIPROCAL, WORDS, Blend, Encoder
from tuwen.apps.search import Searcher
from tuwen.data.dialects import Evidence
from tuwen.data.sources import open_file
from tuwen.data.values import numbers
from tuwen.errors import DataError
from tuwen.evaluation.graded import Judged, graded_figures
from tuwen.evaluation.ranking import NOTHING
from tuwen.preprocess.terms import asked
from tuwen.progress import Progress, Silent
from tuwen.workflow.asking import open_search
from tuwen.workflow.search_reports import Shown, written

DEPTH = 10
LISTED = 50  # of each answer, for the figures of what was judged
FOLDS = 5
GRID = tuple(
    Blend({WORDS: 1.0, "text": weight}, feedback=feedback)
    for weight in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
    for feedback in (0.0, 0.3, 0.5)
    if weight or not feedback
)
NOTES = {
    "hybrid": {
        "en": "hybrid: the weights of each fold of queries are those that did best on the other folds",
        "zh": "混合检索：每一折查询所用的权重，是在其余各折上表现最好的权重",
    },
    "defaults": {
        "en": "defaults: the weights built into tuwen were chosen on the queries of search-electronics, so on them "
        "this row is too good",
        "zh": "内置权重是在 search-electronics 的查询上选出的，因此在那些查询上这一行偏乐观",
    },
    "condensed_ndcg": {
        "en": "what nobody judged counts as wrong in ndcg and is left out in condensed ndcg: what only one kind of "
        "search finds was often never looked at",
        "zh": "未被评判的商品在 NDCG 中按不相关计，在 condensed NDCG 中不计：只有一种检索能找到的商品往往无人评判过",
    },
}
FUSED = {"scores": "hybrid", "reciprocal-rank": "reciprocal rank"}
NO_FEEDBACK = Blend(feedback=0.0)


FEW = 50  # queries; below, the 95 % interval of a mean NDCG is some 0.15 wide or more


@dataclass(frozen=True)
class Judgments:
    """Queries and what people said of items.

    Attributes:
        queries: those that have a relevant item in the index.
        grades: row of the index → grade, of each query.
        without: queries that have none, which no list can answer.
        unknown: judgments of items that are not in the index.
        incomplete: rows without a query, an item or a rating, which are left out.
        contradicted: rows that grade an item of a query otherwise than a row before; the last one counts.
    """

    queries: list[str]
    grades: list[dict[int, float]]
    without: list[str]
    unknown: int
    incomplete: int = 0
    contradicted: int = 0

    @property
    def groups(self) -> list[str]:
        """Queries of one group differ only in plural or order."""
        return [" ".join(sorted(whole for whole, _ in asked(query))) for query in self.queries]


def judge_search(
    folder: str | Path,
    judgments: str | Path,
    out: str | Path,
    progress: Progress | None = None,
    *,
    learn: bool = False,
    replace: bool = False,
    shown: Shown | None = None,
) -> dict[str, Any]:
    """Ask an index every judged query in several ways and write ``out/report.json`` and ``out/report.html``.

    Args:
        judgments: a Parquet or CSV file with ``query``, ``item`` and ``rating`` (0 is not relevant).
        learn: keep the blend that did best on all queries in the index, which then answers by it. How good learned
            weights are is told by ``hybrid``, where each query is answered with what the others chose.
        replace: also over a report that is in ``out``.
        shown: how the report is drawn.

    Returns:
        the report, see :func:`~tuwen.evaluation.search.search_report`; the model is ``hybrid``, words and vectors with
        weights that the other queries chose, or ``reciprocal rank`` where the index keeps that.

    Raises:
        DataError: the file lacks a column, a grade is none, no query has a relevant item in the index, or another
            report would be lost.
    """
    refuse_to_overwrite(Path(out), replace)
    progress, searcher = progress or Silent(), open_search(folder)
    remembering = {space: _Remembering(one) for space, one in searcher.matcher.encoders.items()}
    searcher.matcher.encoders = remembering
    read = read_judgments(Path(judgments), searcher)
    judged = Judged.of(read.grades)
    began = time.perf_counter()
    ways: dict[str, tuple[Blend, Any]] = {
        "words": (GRID[0], "words"),
        "vectors": (NO_FEEDBACK, "vectors"),
        "reciprocal rank": (RECIPROCAL, "hybrid"),
        "defaults": (Blend(), "hybrid"),
    }
    asked_in = [*ways.values(), *((blend, "hybrid") for blend in GRID)]
    lists = np.empty((len(asked_in), len(read.queries), LISTED), np.int64)
    with progress.task("queries", len(read.queries)) as bar:
        for at, query in enumerate(read.queries):
            for way, (blend, mode) in enumerate(asked_in):
                lists[way, at] = _list(searcher, query, blend, mode)
            bar.advance()
    figures = [graded_figures(one, judged, DEPTH) for one in lists]
    systems, grid = dict(zip(ways, figures, strict=False)), figures[len(ways) :]
    chosen, hybrid = _cross_validated(read, grid)
    account = _account(read, chosen) | {"model": FUSED[searcher.index.settings.get("fuse", "scores")]}
    if learn:
        account["learned"] = _learned(searcher, read, grid, Path(judgments))
    return written(
        out,
        {"hybrid": hybrid, **systems},
        searcher.index,
        shown or Shown(),
        began=began,
        model=account["model"],
        task="search",
        primary=f"ndcg@{DEPTH}",
        found=account,
        groups=read.groups,
        warnings=_warnings(read),
        also=[("defaults", "words")],
        provenance={
            "judgments": hashlib.sha256(Path(judgments).read_bytes()).hexdigest(),
            "split": f"{len(read.queries)} queries in {FOLDS} folds: each is answered with weights the others chose",
        },
    )


def _account(read: Judgments, chosen: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "queries": {
            "judged": len(read.queries) + len(read.without),
            "answerable": len(read.queries),
            "without_a_relevant_item": read.without,
            "judgments_of_unknown_items": read.unknown,
            "incomplete_rows": read.incomplete,
            "contradicted_rows": read.contradicted,
        },
        "chosen": chosen,
        "notes": NOTES,
    }


def _learned(
    searcher: Searcher, read: Judgments, grid: Sequence[Mapping[str, np.ndarray]], judgments: Path
) -> dict[str, Any]:
    """The blend that did best on all queries, and of what; kept in the index."""
    best = GRID[int(np.argmax([one[f"ndcg@{DEPTH}"].mean() for one in grid]))]
    found = {
        "blend": asdict(best),
        "queries": len(read.queries),
        "judgments": hashlib.sha256(judgments.read_bytes()).hexdigest(),
    }
    searcher.index.keep(blend=found)
    return found


def read_judgments(file: Path, searcher: Searcher) -> Judgments:
    """The judgments in ``file`` of what the index holds.

    Raises:
        DataError: see :func:`judge_search`.
    """
    table = _table(file)
    whole = table.drop_nulls(["query", "item", "rating"])
    grades: dict[str, dict[int, float]] = {}
    unknown = contradicted = 0
    for query, item, rating in whole.select("query", "item", "rating").rows():
        row = searcher.index.snapshot.row_of(item)
        unknown += row is None
        known = grades.setdefault(query, {})
        if row is not None:
            contradicted += known.get(row, rating) != rating
            known[row] = rating
    answerable = sorted(query for query, of in grades.items() if any(grade > 0 for grade in of.values()))
    if not answerable:
        raise DataError("no query has a relevant item in the index", where=str(file), seen=f"{len(grades)} queries")
    without = sorted(grades.keys() - set(answerable))
    each = [grades[query] for query in answerable]
    return Judgments(answerable, each, without, unknown, len(table) - len(whole), contradicted)


def _table(file: Path) -> pl.DataFrame:
    """``query``, ``item``, ``rating`` and the number of the ``row``, from 1."""
    try:
        table = _csv(file) if file.suffix == ".csv" else pl.read_parquet(file)
        columns = [pl.col(name).cast(pl.String) for name in ("query", "item")]
        table = table.select(*columns, pl.col("rating").cast(pl.Float64)).with_row_index("row", offset=1)
    except (OSError, pl.exceptions.PolarsError) as error:
        allowed = "a Parquet or CSV file with query, item and rating"
        raise DataError("the judgments cannot be read", where=str(file), seen=error, allowed=allowed) from None
    wrong = table.filter((pl.col("rating") < 0) | ~pl.col("rating").is_finite())
    if len(wrong):
        row, seen = wrong.select("row", "rating").row(0)
        raise DataError(
            "a grade is a number from 0 on",
            where=f"{file}, row {row}, column 'rating'",
            seen=f"{seen:g}" + (f", and {len(wrong) - 1:,} more rows of the kind" if len(wrong) > 1 else ""),
            allowed="0 for what is not relevant, more for what is better",
        )
    return table


def _csv(file: Path) -> pl.DataFrame:
    """The judgments of a CSV file, read as collect reads files.

    Raises:
        DataError: the file is none, a row has too many or too few cells, or a rating is no number.
    """
    columns = ["query", "item", "rating"]
    part = open_file(file, str(file), "csv", names=columns)
    missing = [column for column in columns if column not in part.columns]
    if missing:
        raise DataError(
            f"the judgments have no column '{missing[0]}'", where=str(file), seen=part.columns, allowed=columns
        )
    batches = list(part.batches(columns))
    for row in (row for batch in batches for row in batch.unread):
        raise DataError(f"a row of the judgments is {row.reason}", where=f"{file}, row {row.row}", seen=row.text[:100])
    table = pl.concat([batch.frame for batch in batches])
    evidence = Evidence("rating", "number")
    evidence.add(table["rating"])
    ratings, reasons = numbers(table["rating"], -np.inf, np.inf, dialect=evidence.dialect())
    ratings = ratings.zip_with(ratings.is_not_null(), table["rating"].cast(pl.Float64, strict=False))  # also nan
    bad_rows = (reasons.is_not_null() & ratings.is_null()).arg_true()
    if len(bad_rows):
        where = f"{file}, row {bad_rows[0] + 1}, column 'rating'"
        raise DataError(f"the value is {reasons[bad_rows[0]]}", where=where, seen=table["rating"][bad_rows[0]])
    return table.with_columns(ratings.alias("rating"))


def refuse_to_overwrite(out: Path, replace: bool) -> None:
    """A report that is there already stays, unless it is to be replaced.

    Raises:
        DataError: there is one.
    """
    if not replace and (out / "report.json").exists():
        raise DataError(
            "there is a report already",
            where=str(out / "report.json"),
            todo="name another folder, or add --replace",
        )


def _warnings(read: Judgments) -> list[dict[str, str]]:
    """What a reader of the figures must know, in ``en`` and ``zh``."""
    told, groups = [], len(set(read.groups))
    if groups < FEW:
        told.append(
            {
                "en": f"only {groups} different queries were judged: intervals are wide, and weights chosen on so few "
                f"say little; {FEW} or more are better",
                "zh": f"只评判了 {groups} 个不同的查询：区间很宽，在这么少的查询上选出的权重说明不了多少；"
                f"最好有 {FEW} 个以上",
            }
        )
    if read.incomplete:
        told.append(
            {
                "en": f"{read.incomplete:,} rows of the judgments lack a query, an item or a rating and are left out",
                "zh": f"评判文件中有 {read.incomplete:,} 行缺少查询、商品或评分，未计入",
            }
        )
    if read.contradicted:
        told.append(
            {
                "en": f"{read.contradicted:,} judgments contradict an earlier one of their query and item; "
                "the last counts",
                "zh": f"有 {read.contradicted:,} 条评判与同一查询、同一商品的先前评判不一致；以最后一条为准",
            }
        )
    return told


def _list(searcher: Searcher, query: str, blend: Blend, mode: Any) -> np.ndarray:
    searcher.matcher.blend = blend
    now = searcher.index.snapshot
    _, found = searcher.matcher.find(now, query, mode=mode, allowed=None if now.living.all() else now.living)
    listed = np.full(LISTED, NOTHING, np.int64)
    kept = found.rows[:LISTED] if found.legs else found.rows[:0]  # the most popular are no answer
    listed[: len(kept)] = kept
    return listed


def _cross_validated(
    read: Judgments, grid: Sequence[Mapping[str, np.ndarray]]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """(the blend of each fold, the figures of all queries, each with the blend that the other folds chose)."""
    folds = np.array([int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS for group in read.groups])
    found = {name: np.full(len(folds), np.nan) for name in grid[0]}
    chosen = []
    for fold in range(FOLDS):
        here = folds == fold
        # with no query left to choose by: words alone
        best = 0 if here.all() else int(np.argmax([one[f"ndcg@{DEPTH}"][~here].mean() for one in grid]))
        chosen.append({"queries": int(here.sum()), **asdict(GRID[best])})
        for name in found:
            found[name][here] = grid[best][name][here]
    return chosen, found


class _Remembering:
    """An encoder that answers the same question once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._texts: dict[str, np.ndarray | None] = {}

    def of_text(self, text: str) -> np.ndarray | None:
        if text not in self._texts:
            self._texts[text] = self._encoder.of_text(text)
        return self._texts[text]

    def of_picture(self, data: bytes) -> np.ndarray | None:
        return self._encoder.of_picture(data)
