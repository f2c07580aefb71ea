"""The search box: words, a photo, or both, over an index; never empty-handed, and it says what it did.

Which items answer, and in what order, is told by :mod:`tuwen.apps.matching`. Here stand conditions, order, pages, what
there is to choose from, and why each item was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from tuwen.apps.matching import RECIPROCAL, WORDS, Blend, Encoder, Found, Fuse, Matcher, Mode, Text, popular, row_of
from tuwen.apps.picture_words import BOXES, PICTURE_TEXT, boxes_holding
from tuwen.apps.query import LONGEST, Synonyms, Understood, corrected, held_by
from tuwen.deadline import check
from tuwen.errors import ConfigError, close_names
from tuwen.index.filters import DEFAULT_LIMITS, MOST_VALUES, Condition, FilterLimits, facet, masks, ordered
from tuwen.index.store import Index, Snapshot
from tuwen.preprocess.colours import CHINESE, colour_of_word

Array = npt.NDArray[Any]
LARGEST_PAGE = 1000
PHOTOS = {"picture", "joint"}  # spaces
FIELDS = {
    "title": "标题",
    "description": "描述",
    "category": "类别",
    "brand": "品牌",
    PICTURE_TEXT: "图片",
}
ENGLISH = {PICTURE_TEXT: "the picture"}  # of fields whose name does not say it
COLOUR = "colour"  # the column that an index made itself, where settings["derived"] names it


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        words: in any language; None or empty for none.
        picture: bytes of a photo.
        like: the key of an item to find similar ones to.
        where: conditions, see :class:`tuwen.index.filters.Condition`.
        sort: ``relevance``, ``popular``, or a column; ``-price`` falls.
        page: from 1.
        size: hits a page.
        mode: with words, vectors, or both.
        fuse: how words and vectors become one: by ``scores``, with the weights that the index learned or the built-in
            ones, or by ``reciprocal-rank``, all alike; None for what the index keeps.
        limits: how long ``where`` may be.
    """

    words: str | None = None
    picture: bytes | None = None
    like: str | None = None
    where: Sequence[str] = ()
    sort: str = "relevance"
    page: int = 1
    size: int = 10
    mode: Mode = "hybrid"
    fuse: Fuse | None = None
    limits: FilterLimits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.fuse is not None and self.fuse not in get_args(Fuse):
            raise ConfigError(
                "there is no such way to make rankings one",
                where="--fuse",
                seen=str(self.fuse)[:100],
                allowed=get_args(Fuse),
            )
        if self.mode not in get_args(Mode):
            raise ConfigError(
                "there is no such mode", where="--mode", seen=str(self.mode)[:100], allowed=get_args(Mode)
            )
        if self.page < 1 or not 1 <= self.size <= LARGEST_PAGE:
            seen = f"page {self.page} of {self.size}"
            raise ConfigError("there is no such page", seen=seen, allowed=f"page ≥ 1, size 1 to {LARGEST_PAGE}")


@dataclass(frozen=True)
class _Asked:
    """The conditions of a question, and bool [rows] of what each allows.

    Attributes:
        kept: numbers of the conditions that were not dropped.
        others: bool [rows], what lives, but for the item that similar ones are asked for: nobody looks for that.
    """

    conditions: list[Condition]
    each: list[Array]
    kept: list[int]
    others: Array

    def allowed(self, without: str | None = None) -> Array | None:
        """bool [rows]: what lives and meets the kept conditions, but for those of one column; None for everything."""
        masks = [self.each[i] for i in self.kept if self.conditions[i].column != without]
        if not masks and self.others.all():
            return None
        found: Array = np.all([self.others, *masks], axis=0)
        return found

    @property
    def columns(self) -> set[str]:
        return {self.conditions[i].column for i in self.kept}

    def told(self, *, kept: bool) -> list[str]:
        return [str(one) for i, one in enumerate(self.conditions) if (i in self.kept) == kept]


class Searcher:
    """Answers questions from an index that others may change meanwhile.

    Args:
        index: the items.
        encoders: space → what turns words or a photo into its vectors; a space without one is left out.
        synonyms: words that stand for one another; the colours' names in both languages do anyway.
        blend: how rankings become one; default: the one that the index keeps, else the defaults.
        reopen: gives the encoders of an index that was made anew by another process.
    """

    def __init__(
        self,
        index: Index,
        encoders: Mapping[str, Encoder],
        *,
        synonyms: Synonyms | None = None,
        blend: Blend | None = None,
        reopen: Callable[[Index], Mapping[str, Encoder]] | None = None,
    ) -> None:
        self.index, self.blend, self.reopen = index, blend, reopen
        self.hidden: Callable[[], Iterable[str]] = tuple  # items that are not found though the index still has them
        self._settings = index.settings
        self.matcher = Matcher(encoders, (synonyms or Synonyms()).with_colours(), self._blend())

    def take(self, synonyms: Synonyms) -> None:
        """Other synonyms, from the next question on."""
        self.matcher.synonyms = synonyms.with_colours()

    def _blend(self) -> Blend:
        return self.blend or self._fused(self.index.settings.get("fuse", "scores"))

    def _fused(self, fuse: Fuse) -> Blend:
        kept = self.index.settings.get("blend")
        by_scores = Blend(**kept["blend"]) if kept else Blend()
        return RECIPROCAL if fuse == "reciprocal-rank" else by_scores

    def refresh(self) -> Snapshot:
        """The newest state of the index; where it was made anew meanwhile, with its own encoders."""
        self.index.refresh()
        if self.index.settings is not self._settings and self.index.settings != self._settings:
            if self.reopen is not None:
                self.matcher.encoders = self.reopen(self.index)
            self.matcher.blend = self._blend()
            self._settings = self.index.settings
        return self.index.snapshot

    def search(self, question: Question) -> dict[str, Any]:
        """The answer as JSON.

        Returns:
            ``total``, ``holding`` (how many of them hold the words), ``hits`` (item, score, columns, reasons),
            ``facets`` (of a column that is asked for, as if it were not: what else could be chosen), ``suggestions``
            (other ways to write the query), ``where`` (conditions that every hit meets), ``left_out`` (those that were
            dropped, for nothing met all), ``notes`` (what was done to the question, in ``en`` and ``zh``), ``page``,
            ``pages``, ``milliseconds``.

        Raises:
            ConfigError: a condition or an order that cannot be; a question without anything to look for.
            DataError: a picture that cannot be read.
        """
        began = time.perf_counter()
        now = self.refresh()
        notes: list[Text] = []
        asked = self._asked(now, question, notes)
        matcher = self.matcher if question.fuse is None else self.matcher.by(self._fused(question.fuse))
        understood, found = matcher.find(
            now,
            question.words or "",
            picture=question.picture,
            like=question.like,
            mode=question.mode,
            allowed=asked.allowed(),
            notes=notes,
        )
        rows = found.rows
        if question.sort == "popular":
            rows = popular(now, found.chosen)
        elif question.sort != "relevance":
            rows = ordered(self._visible(now), found.chosen, question.sort)
        begin, pages = (question.page - 1) * question.size, -(-len(rows) // question.size)
        if len(rows) and begin >= len(rows):
            notes.append(
                {
                    "en": f"there is no page {question.page:,}: {len(rows):,} items were found, "
                    f"the last page is {pages:,}",
                    "zh": f"没有第 {question.page:,} 页：共找到 {len(rows):,} 件商品，最后一页是第 {pages:,} 页",
                }
            )
        return {
            "query": question.words,
            "total": len(rows),
            "holding": len(found.holding),
            "page": question.page,
            "pages": pages,
            "where": asked.told(kept=True),
            "left_out": asked.told(kept=False),
            "sort": question.sort,
            "hits": self._hits(now, rows[begin : begin + question.size], found, understood),
            "facets": self._facets(now, found, asked, beside=question.picture is None and question.like is None),
            "suggestions": _suggestions(question, understood),
            "notes": notes,
            "milliseconds": round(1000 * (time.perf_counter() - began), 2),
        }

    @property
    def sees_photos(self) -> bool:
        """Whether the index has a space that photos have a place in."""
        return not PHOTOS.isdisjoint(self.matcher.encoders)

    # --- Conditions -----------------------------------------------------------------------------------------------

    def _visible(self, now: Snapshot) -> pl.DataFrame:
        """The table without the columns that are the index's own."""
        return now.table.select([name for name in now.table.columns if not name.startswith("_")])

    def _asked(self, now: Snapshot, question: Question, notes: list[Text]) -> _Asked:
        """The conditions; while no item meets all, the one is dropped without which there are the most."""
        conditions = [self._named(condition) for condition in Condition.read_all(question.where, question.limits)]
        others = now.living
        aside = [row for item in self.hidden() if (row := now.row_of(item)) is not None]
        if question.like is not None:
            aside.append(row_of(now, question.like))
        if aside:
            others = others.copy()
            others[aside] = False
        table = self._visible(now)
        check()
        each = masks(table, conditions)
        check()
        dropped = in_the_way(each, others)
        for index in dropped:
            alone = not (each[index] & others).any()
            notes.append(_left_out(conditions[index], table, alone=alone, other=question.like is not None))
        remaining = [i for i in range(len(each)) if i not in dropped]
        return _Asked(conditions, each, remaining, others)

    def _named(self, condition: Condition) -> Condition:
        """A colour by the name that the index has for it: 红色 is red."""
        if condition.column != COLOUR or COLOUR not in self.index.settings.get("derived", ()):
            return condition
        names = [colour_of_word(value) or value for value in condition.value.split("|")]
        return replace(condition, value="|".join(names))

    # --- What is told of them -------------------------------------------------------------------------------------

    def _hits(self, now: Snapshot, rows: Array, found: Found, understood: Understood) -> list[dict[str, Any]]:
        fields = [name for name in self.index.settings.get("fields", {}) if name in now.table.columns]
        hits = []
        for row, record in zip(rows.tolist(), self._visible(now)[rows].to_dicts(), strict=True):
            check()
            at = int(np.argmax(found.rows == row))
            held = held_by({name: record[name] for name in fields}, understood.slots)
            near = {name: float(leg[at]) for name, leg in found.legs.items() if name != WORDS}
            reasons = _reasons(held, {name: value for name, value in near.items() if np.isfinite(value)})
            for reason in reasons:
                if reason.get("field") == PICTURE_TEXT and BOXES in now.table.columns:
                    reason["boxes"] = boxes_holding(now.table[BOXES][row], understood.slots)
            hits.append({"score": round(float(found.scores[at]), 6), "reasons": reasons, **record})
        return hits

    def _facets(self, now: Snapshot, found: Found, asked: _Asked, *, beside: bool) -> dict[str, list[dict[str, Any]]]:
        """Args:
        beside: whether there is something beside the rows; neighbours of a photo are found among what is allowed.
        """
        by_rows = beside and (len(found.holding) > 0 or not found.legs)
        facets = {}
        for name in self.index.settings.get("facets", []):
            if name not in now.table.columns:
                continue
            check()
            chosen = found.chosen
            if name in asked.columns and by_rows:
                others = asked.allowed(without=name)
                chosen = found.anyhow if others is None else found.anyhow[others[found.anyhow]]
            facets[name] = facet(now.table[name][chosen])
        if COLOUR in self.index.settings.get("derived", ()):
            facets[COLOUR] = [one | {"zh": CHINESE.get(one["value"], one["value"])} for one in facets.get(COLOUR, [])]
        return facets


def in_the_way(each: Sequence[Array], rows: Array) -> list[int]:
    """The conditions to drop, in their order, until a row meets all others: each time the one without which most do.

    Args:
        each: bool [rows] of each condition.
        rows: bool [rows], those that count.
    """
    unmet = np.zeros(len(rows), np.int64)  # conditions, of those that are left, that a row does not meet
    for met in each:
        unmet += ~met
    remaining, dropped = list(range(len(each))), list[int]()
    while remaining and not (rows & (unmet == 0)).any():
        check()
        nearly = np.flatnonzero(rows & (unmet == 1))  # rows that lack one condition
        index = int(np.argmin([each[i][nearly].sum() for i in remaining]))
        dropped.append(remaining.pop(index))
        unmet -= ~each[dropped[-1]]
    return dropped


def _left_out(condition: Condition, table: pl.DataFrame, *, alone: bool, other: bool) -> Text:
    """What is told of a condition that was dropped.

    Args:
        alone: whether no item meets it even by itself.
        other: whether an item was left aside, for similar ones to it are asked for.
    """
    no_item, nothing = ("no other item", "没有其他商品") if other else ("no item", "没有商品")
    if not alone:
        return {
            "en": f"left out {condition}: {no_item} meets all conditions",
            "zh": f"已去掉条件 {condition}：{nothing}满足全部条件",
        }
    near, few = _values_near(condition, table)
    english = f"; did you mean {near}?" if near else f"; there are {', '.join(few)}" if few else ""
    chinese = f"；您是否要找 {near}？" if near else f"；有 {'、'.join(few)}" if few else ""
    return {
        "en": f"left out {condition}: {no_item} meets it{english}",
        "zh": f"已去掉条件 {condition}：{nothing}满足它{chinese}",
    }


def _values_near(condition: Condition, table: pl.DataFrame) -> tuple[str | None, list[str]]:
    """The condition with the nearest value that the column has; and all values, where those are few."""
    column = table[condition.column]
    if column.dtype != pl.String or condition.operator != "=" or condition.column == "item":
        return None, []
    plain = {value.strip().lower(): value for value in column.drop_nulls().unique().to_list() if len(value) <= 100}
    if len(plain) > MOST_VALUES:
        return None, []
    close = close_names(condition.value.strip().lower(), plain)
    near = f"{condition.column}={plain[close[0]]}" if close else None
    return near, sorted(plain.values()) if len(plain) <= len(CHINESE) else []


def _suggestions(question: Question, understood: Understood) -> list[str]:
    """Other ways to write the query: with what was taken for its unknown words."""
    if not understood.corrected or not question.words:
        return []
    return [corrected(question.words[:LONGEST], understood.corrected)]


_NEAR: dict[str, tuple[str, str]] = {
    "text": ("similar in meaning", "意思相近"),
    "picture": ("looks similar", "图片相似"),
    "joint": ("picture and words go together", "图文相符"),
}


def _reasons(held: Mapping[str, Sequence[str]], near: Mapping[str, float]) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = [
        {
            "by": WORDS,
            "field": name,
            "words": list(words),
            "en": f"{ENGLISH.get(name, name)} has {', '.join(words)}",
            "zh": f"{FIELDS.get(name, name)}包含{'、'.join(words)}",
        }
        for name, words in held.items()
    ]
    for space, cosine in near.items():
        english, chinese = _NEAR.get(space, (f"near in {space}", f"{space} 相近"))
        reasons.append({"by": space, "cosine": round(cosine, 4), "en": english, "zh": chinese})
    return reasons
