"""The search box: words, a photo, or both, over an index; never empty-handed, and it says what it did.

Words are ranked by BM25, vectors by cosine, and the two made one by a weighted sum of scores (or by reciprocal rank).
The vector of the words is moved towards what the words themselves found (Rocchio, 1971, in the space of the vectors),
because two words say little and fifty titles more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tuwen.apps.query import LONGEST, Speller, Synonyms, Understood, corrected, held_by, understand
from tuwen.errors import ConfigError
from tuwen.index.filters import Condition, facet, mask, ordered
from tuwen.index.fusion import best_first, places_of, reciprocal_rank, weighted
from tuwen.index.store import Index, Snapshot

Array = npt.NDArray[Any]
Text = dict[str, str]  # en, zh
Mode = Literal["hybrid", "words", "vectors"]
WORDS = "words"
DEPTH = 200  # neighbours that a space of vectors brings in
READ = 1000  # of the rows that hold the words: the best, which vectors then rank anew
FEEDBACK = 50  # of them that the vector of the words is moved towards
NEIGHBOURS, NEARNESS = (
    100,
    20.0,
)  # that the vector of a photo is moved towards: how many, and how much the nearest count
LARGEST_PAGE = 1000


class Encoder(Protocol):
    """Turns what is asked into the vectors of one space: f32 [width], of length 1; None where it cannot."""

    def of_text(self, text: str) -> Array | None: ...
    def of_picture(self, data: bytes) -> Array | None: ...


@dataclass(frozen=True)
class Blend:
    """How the rankings become one.

    Attributes:
        weights: of ``words`` and of each space, where words are asked for.
        photo: where a photo or an item is; looks alone count less where a joint space knows what is seen.
        feedback: how far the vector of the words is moved towards what the words found, from 0 to 1.
        photo_feedback: how far that of a photo is moved towards its neighbours in the joint space.
        reciprocal: by reciprocal rank instead of the weighted sum.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {WORDS: 1.0, "text": 0.2, "joint": 0.2})
    photo: Mapping[str, float] = field(default_factory=lambda: {WORDS: 1.0, "text": 0.2, "joint": 1.0, "picture": 0.2})
    feedback: float = 0.3
    photo_feedback: float = 0.8
    reciprocal: bool = False

    def of(self, legs: Sequence[str], *, photo: bool) -> list[float]:
        """The weights of the rankings there are."""
        known = dict(self.photo if photo else self.weights)
        if photo and "joint" not in legs:
            known["picture"] = 1.0
        return [known.get(leg, 0.2) for leg in legs]


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
    """

    words: str | None = None
    picture: bytes | None = None
    like: str | None = None
    where: Sequence[str] = ()
    sort: str = "relevance"
    page: int = 1
    size: int = 10
    mode: Mode = "hybrid"

    def __post_init__(self) -> None:
        if self.page < 1 or not 1 <= self.size <= LARGEST_PAGE:
            seen = f"page {self.page} of {self.size}"
            raise ConfigError("there is no such page", seen=seen, allowed=f"page ≥ 1, size 1 to {LARGEST_PAGE}")


@dataclass(frozen=True)
class Found:
    """The rows of an answer.

    Attributes:
        rows: int64, best first.
        scores: f64, of each of them.
        legs: name → what a ranking says of each row: BM25, or the cosine; not a number where it says nothing.
        holding: int64, the rows that hold the words.
    """

    rows: Array
    scores: Array
    legs: Mapping[str, Array]
    holding: Array


class Searcher:
    """Answers questions from an index that others may change meanwhile.

    Args:
        index: the items.
        encoders: space → what turns words or a photo into its vectors; a space without one is left out.
        synonyms: words that stand for one another.
        blend: how rankings become one; default: as the index says, else the defaults.
    """

    def __init__(
        self,
        index: Index,
        encoders: Mapping[str, Encoder],
        *,
        synonyms: Synonyms | None = None,
        blend: Blend | None = None,
    ) -> None:
        self.index, self.encoders = index, encoders
        self.synonyms, self.speller = synonyms or Synonyms(), Speller()
        self.blend = blend or Blend()

    def search(self, question: Question) -> dict[str, Any]:
        """The answer as JSON: ``total``, ``hits`` (item, score, columns, reasons), ``facets``, ``suggestions``,
        ``where`` (conditions that every hit meets), ``left_out`` (those that were dropped, for nothing met all),
        ``notes`` (what was done to the question, in ``en`` and ``zh``), ``page``, ``pages``, ``milliseconds``.

        Raises:
            ConfigError: a condition or an order that cannot be; a question without anything to look for.
            DataError: a picture that cannot be read.
        """
        began = time.perf_counter()
        self.index.refresh()
        now = self.index.snapshot
        notes: list[Text] = []
        asked = [Condition.read(text) for text in question.where]
        conditions, allowed = self._allowed(now, asked, notes)
        understood, found = self.find(now, question, allowed, notes)
        rows = found.rows
        if question.sort not in ("relevance", "popular"):
            rows = ordered(now.table, found.holding if len(found.holding) else rows, question.sort)
        elif question.sort == "popular":
            rows = popular(now, found.holding if len(found.holding) else rows)
        begin = (question.page - 1) * question.size
        return {
            "query": question.words,
            "total": len(rows),
            "holding": len(found.holding),
            "page": question.page,
            "pages": -(-len(rows) // question.size),
            "where": [str(one) for one in conditions],
            "left_out": [str(one) for one in asked if one not in conditions],
            "sort": question.sort,
            "hits": self._hits(now, rows[begin : begin + question.size], found, understood),
            "facets": self._facets(now, found, conditions),
            "suggestions": self._suggestions(question, understood),
            "notes": notes,
            "milliseconds": round(1000 * (time.perf_counter() - began), 2),
        }

    # --- Which rows -----------------------------------------------------------------------------------------------

    def _allowed(
        self, now: Snapshot, conditions: list[Condition], notes: list[Text]
    ) -> tuple[list[Condition], Array | None]:
        """The conditions that are kept, and bool [rows] of what they allow; None where that is everything."""
        if not conditions:
            return [], None if now.living.all() else now.living
        each = [mask(now.table, [one]) for one in conditions]
        kept = list(range(len(each)))
        while kept and not (allowed := np.all([each[i] for i in kept], axis=0) & now.living).any():
            # without which one are there the most?
            left = [int((np.all([now.living, *(each[j] for j in kept if j != i)], axis=0)).sum()) for i in kept]
            dropped = conditions[kept.pop(int(np.argmax(left)))]
            notes.append(
                {
                    "en": f"no item meets all conditions: left out {dropped}",
                    "zh": f"没有商品满足全部条件：已去掉 {dropped}",
                }
            )
        return [conditions[i] for i in kept], allowed if kept else now.living

    def find(
        self, now: Snapshot, question: Question, allowed: Array | None, notes: list[Text]
    ) -> tuple[Understood, Found]:
        """The rows that answer, best first.

        Args:
            allowed: bool [rows], or None for all.
            notes: what was done to the question is added.
        """
        words = (question.words or "").strip()
        if not words and question.picture is None and question.like is None:
            return Understood(), self._popular(now, allowed, notes, asked=bool(question.words))
        if question.like is not None:  # nobody looks for the item that she has before her
            allowed = (now.living if allowed is None else allowed).copy()
            allowed[_row_of(now, question.like)] = False
        understood = self._understood(now, words, notes)
        slots = understood.slots if question.mode != "vectors" else ()
        scores, matched = now.words.scores(slots)
        if allowed is not None:
            scores[~allowed] = 0.0
        holding = np.flatnonzero(scores > 0)
        best = holding[best_first(scores[holding], now.ties[holding])][:READ]
        vectors = {} if question.mode == "words" else self._vectors(now, question, words, understood, best)
        if question.mode == "words" or not vectors:
            rows, rest = best, holding
            legs = {WORDS: scores[best].astype(np.float64)}
            total = legs[WORDS]
        else:
            rows, legs, total = self._blended(
                now, vectors, scores, best, allowed, photo=bool(question.picture or question.like)
            )
            rest = holding
        if not len(rows):
            return understood, self._popular(now, allowed, notes, asked=True)
        order = best_first(total, now.ties[rows])
        rows, total = rows[order], total[order]
        legs = {name: values[order] for name, values in legs.items()}
        behind = np.setdiff1d(rest, rows)  # hold a word, but are not among the best
        behind = behind[best_first(scores[behind], now.ties[behind])]
        nothing = np.full(len(behind), np.nan)
        legs = {name: np.concatenate([v, scores[behind] if name == WORDS else nothing]) for name, v in legs.items()}
        whole = holding[matched[holding] == matched[holding].max(initial=0)]
        return understood, Found(
            np.concatenate([rows, behind]), np.concatenate([total, np.zeros(len(behind))]), legs, whole
        )

    def _understood(self, now: Snapshot, words: str, notes: list[Text]) -> Understood:
        found = understand(
            words,
            segments=now.segments,
            frequency=now.words.frequency,
            synonyms=self.synonyms,
            speller=self.speller,
        )
        if found.cut:
            notes.append({"en": "only the beginning of the query was read", "zh": "查询过长，只读取了开头部分"})
        if found.only_stop_words:
            notes.append({"en": "the words say nothing about an item", "zh": "这些词没有说明要找什么"})
        for word, taken in found.corrected.items():
            notes.append(
                {"en": f"no item has '{word}': looked for '{taken}'", "zh": f"没有“{word}”：已按“{taken}”查找"}
            )
        for word in found.unknown:
            notes.append({"en": f"no item has '{word[:40]}'", "zh": f"没有商品包含“{word[:40]}”"})
        return found

    def _vectors(
        self, now: Snapshot, question: Question, words: str, understood: Understood, best: Array
    ) -> dict[str, Array]:
        """Space → f32 [width], what to look near to."""
        found: dict[str, Array] = {}
        like = None if question.like is None else _row_of(now, question.like)
        for space in now.spaces:
            asked: list[Array] = []
            encoder = self.encoders.get(space)
            if encoder is not None and words and not understood.only_stop_words:
                asked += _some(encoder.of_text(words[:1000]))
            if asked and len(best) and self.blend.feedback:
                near = now.take(space, best[:FEEDBACK]).mean(axis=0)
                asked = [(1 - self.blend.feedback) * asked[0] + self.blend.feedback * _unit(near)]
            if encoder is not None and question.picture is not None:
                asked += [self._among(now, space, one) for one in _some(encoder.of_picture(question.picture))]
            if like is not None:
                asked += _some(now.take(space, np.array([like]))[0])
            if asked:
                found[space] = _unit(np.sum([_unit(one) for one in asked], axis=0))
        return found

    def _among(self, now: Snapshot, space: str, vector: Array) -> Array:
        """The vector of a photo, moved towards its neighbours: what is seen is told better by the words of many items
        that look alike than by one photo."""
        if space != "joint" or not self.blend.photo_feedback:
            return vector
        rows, cosines = now.nearest(space, _unit(vector), NEIGHBOURS, now.living)
        if not len(rows):
            return vector
        near = np.exp(NEARNESS * (cosines - cosines.max())) @ now.take(space, rows)
        return (1 - self.blend.photo_feedback) * _unit(vector) + self.blend.photo_feedback * _unit(near)

    def _blended(
        self,
        now: Snapshot,
        vectors: Mapping[str, Array],
        scores: Array,
        best: Array,
        allowed: Array | None,
        *,
        photo: bool,
    ) -> tuple[Array, dict[str, Array], Array]:
        """(rows, what each ranking says of them, the sum): those that hold the words, and the neighbours."""
        near = [now.nearest(space, vector, DEPTH, allowed)[0] for space, vector in vectors.items()]
        rows = np.unique(np.concatenate([best, *near])).astype(np.int64)
        legs: dict[str, Array] = {}
        if len(best):
            legs[WORDS] = scores[rows].astype(np.float64)
        for space, vector in vectors.items():
            there = now.take(space, rows)
            legs[space] = np.where(there.any(axis=1), there @ vector, np.nan).astype(np.float64)
        if not legs or not len(rows):
            return rows, legs, np.zeros(len(rows))
        weights = self.blend.of(list(legs), photo=photo)
        known = [np.where(np.isnan(leg), np.nanmin(leg, initial=0.0), leg) for leg in legs.values()]
        if not self.blend.reciprocal:
            return rows, legs, weighted(known, weights)
        ties = now.ties[rows]
        places = [
            places_of(leg if name == WORDS else leg - leg.min() + 1e-9, ties)
            for name, leg in zip(legs, known, strict=True)
        ]
        return rows, legs, reciprocal_rank(places, weights)

    def _popular(self, now: Snapshot, allowed: Array | None, notes: list[Text], *, asked: bool) -> Found:
        rows = popular(now, np.flatnonzero(now.living if allowed is None else allowed & now.living))
        if asked and len(rows):
            notes.append(
                {
                    "en": "nothing fits the words: these are the most popular items",
                    "zh": "没有相符的商品：以下是最受欢迎的商品",
                }
            )
        return Found(rows, np.zeros(len(rows)), {}, np.empty(0, np.int64))

    # --- What is told of them -------------------------------------------------------------------------------------

    def _hits(self, now: Snapshot, rows: Array, found: Found, understood: Understood) -> list[dict[str, Any]]:
        fields = [name for name in self.index.settings.get("fields", {}) if name in now.table.columns]
        shown = [name for name in now.table.columns if not name.startswith("_")]
        hits = []
        for row, record in zip(rows.tolist(), now.table.select(shown)[rows].to_dicts(), strict=True):
            at = int(np.argmax(found.rows == row))
            held = held_by({name: record[name] for name in fields}, understood.slots)
            near = {name: float(leg[at]) for name, leg in found.legs.items() if name != WORDS}
            reasons = _reasons(held, {name: value for name, value in near.items() if np.isfinite(value)})
            hits.append({"score": round(float(found.scores[at]), 6), "reasons": reasons, **record})
        return hits

    def _facets(self, now: Snapshot, found: Found, conditions: Sequence[Condition]) -> dict[str, list[dict[str, Any]]]:
        rows = found.holding if len(found.holding) else found.rows
        names = [name for name in self.index.settings.get("facets", []) if name in now.table.columns]
        return {name: facet(now.table[name][rows]) for name in names}

    def _suggestions(self, question: Question, understood: Understood) -> list[str]:
        """Other ways to write the query: with what was taken for its unknown words."""
        if not understood.corrected or not question.words:
            return []
        return [corrected(question.words[:LONGEST], understood.corrected)]


def popular(now: Snapshot, rows: Array) -> Array:
    """``rows`` by what shoppers did with them, most first."""
    if "_popularity" not in now.table.columns:
        return rows[np.argsort(now.ties[rows], kind="stable")]
    counts = now.table["_popularity"].fill_null(0).to_numpy()[rows].astype(np.float64)
    taken: Array = rows[best_first(counts, now.ties[rows])]
    return taken


def _row_of(now: Snapshot, item: str) -> int:
    row = now.row_of(item)
    if row is None:
        raise ConfigError("there is no such item in the index", seen=item[:100])
    return row


def _some(vector: Array | None) -> list[Array]:
    return [] if vector is None or not vector.any() else [vector]


def _unit(vector: Array) -> Array:
    length = float(np.linalg.norm(vector))
    unit: Array = (vector / length if length else vector).astype(np.float32)
    return unit


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
            "en": f"{name} has {', '.join(words)}",
            "zh": f"{name} 包含 {'、'.join(words)}",
        }
        for name, words in held.items()
    ]
    for space, cosine in near.items():
        english, chinese = _NEAR.get(space, (f"near in {space}", f"{space} 相近"))
        reasons.append({"by": space, "cosine": round(cosine, 4), "en": english, "zh": chinese})
    return reasons
