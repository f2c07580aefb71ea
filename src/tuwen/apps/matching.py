"""Which items answer a question, best first: the words by BM25, vectors by cosine, and the two made one.

The two become one by a weighted sum of scores, or by reciprocal rank. The vector of the words is moved towards what the
words themselves found (Rocchio, 1971, in the space of the vectors), because two words say little and fifty titles more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tuwen.apps.query import LONGEST, Synonyms, Understood, as_typed, understand
from tuwen.apps.spelling import Speller
from tuwen.deadline import check
from tuwen.errors import ConfigError
from tuwen.index.fusion import best_first, places_of, reciprocal_rank, weighted
from tuwen.index.store import Snapshot

Array = npt.NDArray[Any]
Text = dict[str, str]  # en, zh
Mode = Literal["hybrid", "words", "vectors"]
Fuse = Literal["scores", "reciprocal-rank"]
WORDS = "words"
DEPTH = 200  # neighbours that a space of vectors brings in
READ = 1000  # of the rows that hold the words: the best, which vectors then rank anew
FEEDBACK = 50  # of them that the vector of the words is moved towards
NEIGHBOURS = 100  # that the vector of a photo is moved towards
NEARNESS = 20.0  # how much the nearest of them count
NEAR_SHARE, LEAST_NEAR = 10, 10  # one item in ten lies near a photo, from ten up to READ of them


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


EQUAL = {WORDS: 1.0, "text": 1.0, "joint": 1.0, "picture": 1.0}
RECIPROCAL = Blend(EQUAL, EQUAL, feedback=0.0, reciprocal=True)  # nothing learned, nothing chosen


@dataclass(frozen=True)
class Found:
    """The rows of an answer.

    Attributes:
        rows: int64, best first.
        scores: f64, of each of them.
        legs: name → what a ranking says of each row: BM25, or the cosine; not a number where it says nothing.
        holding: int64, the rows that hold the words, as many of them as any row does.
        chosen: int64, what another order than relevance puts in order, and what facets count: those that hold the
            words, with a photo or an item the ones of them that lie near it; else all.
        anyhow: int64, the rows that would, whatever conditions they meet; all that live where no word is asked for.
    """

    rows: Array
    scores: Array
    legs: Mapping[str, Array]
    holding: Array
    chosen: Array
    anyhow: Array


class Matcher:
    """Finds rows of one state of an index.

    Args:
        encoders: space → what turns words or a photo into its vectors; a space without one is left out.
        synonyms: words that stand for one another.
        blend: how rankings become one.
    """

    def __init__(self, encoders: Mapping[str, Encoder], synonyms: Synonyms, blend: Blend) -> None:
        self.encoders, self.synonyms, self.blend = encoders, synonyms, blend
        self.speller = Speller()

    def by(self, blend: Blend) -> Matcher:
        """The same with rankings that become one in another way."""
        found = copy(self)
        found.blend = blend
        return found

    def find(
        self,
        now: Snapshot,
        words: str = "",
        *,
        picture: bytes | None = None,
        like: str | None = None,
        mode: Mode = "hybrid",
        allowed: Array | None = None,
        notes: list[Text] | None = None,
    ) -> tuple[Understood, Found]:
        """The rows that answer, best first; the arguments are those of :class:`tuwen.apps.search.Question`.

        Args:
            allowed: bool [rows], or None for all that live.
            notes: what was done to the question is added.
        """
        asked, words, notes = bool(words), words.strip(), [] if notes is None else notes
        if mode == "words" and (picture is not None or like is not None):
            mode, picture, like = _words_alone(words, picture, like, notes)
        if not words and picture is None and like is None:
            return Understood(), self._popular(now, allowed, notes, asked=asked)
        own = None if like is None else row_of(now, like)
        if own is not None:  # nobody looks for the item that she has before her
            allowed = (now.living if allowed is None else allowed).copy()
            allowed[own] = False
        if not _says_something(words) and picture is None and like is None:
            return Understood(), self._popular(now, allowed, notes, asked=True)
        understood = self._understood(now, words, notes)
        check()
        scores, matched = now.words.scores(understood.slots if mode != "vectors" else ())
        if own is not None:
            scores[own] = 0.0
        every = np.flatnonzero(scores > 0)
        if allowed is not None:
            scores[~allowed] = 0.0
        holding = np.flatnonzero(scores > 0)
        level = matched[holding].max(initial=0)
        best = holding[best_first(scores[holding], now.ties[holding])][:READ]
        vectors, seen = dict[str, Array](), dict[str, Array]()
        untold = len(understood.unknown) / max(len(understood.unknown) + len(understood.slots), 1)
        if mode != "words":
            told = "" if understood.only_stop_words else words
            vectors, seen = self._vectors(now, told, picture, own, best, 1 - untold)
        if vectors:
            photo = bool(picture or like)
            rows, legs, total = self._blended(now, vectors, scores, best, allowed, photo=photo, untold=untold)
        else:
            rows, total = best, scores[best].astype(np.float64)
            legs = {WORDS: total}
        if not len(rows):
            return understood, self._popular(now, allowed, notes, asked=True)
        level_rows = holding[matched[holding] == level]
        chosen = level_rows
        if len(holding) and (picture is not None or like is not None):
            chosen = _near_too(now, seen, matched, holding, allowed, notes)
        order = best_first(total, now.ties[rows])
        rows, total = rows[order], total[order]
        behind = np.setdiff1d(holding, rows)  # hold a word, but are not among the best
        behind = behind[best_first(scores[behind], now.ties[behind])]
        nothing = np.full(len(behind), np.nan)
        ranked = np.concatenate([rows, behind])
        return understood, Found(
            ranked,
            np.concatenate([total, np.zeros(len(behind))]),
            {
                name: np.concatenate([v[order], scores[behind] if name == WORDS else nothing])
                for name, v in legs.items()
            },
            level_rows,
            chosen if len(chosen) else ranked,
            every[matched[every] >= level],
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
        for term, other in found.corrected.items():
            word, taken = as_typed(words[:LONGEST], term, other)
            notes.append(
                {"en": f"no item has '{word}': looked for '{taken}'", "zh": f"没有“{word}”：已按“{taken}”查找"}
            )
        for term in found.unknown:
            word, _ = as_typed(words[:LONGEST], term)
            notes.append({"en": f"no item has '{word[:40]}'", "zh": f"没有商品包含“{word[:40]}”"})
        return found

    def _vectors(
        self, now: Snapshot, words: str, picture: bytes | None, like: int | None, best: Array, told: float
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """(space → f32 [width], what to look near to; the same of the photo or the item alone); ``told`` is the share
        of the words that ``best`` answer."""
        found: dict[str, Array] = {}
        seen: dict[str, Array] = {}
        feedback = told * self.blend.feedback
        for space in now.spaces:
            check()
            asked: list[Array] = []
            encoder = self.encoders.get(space)
            if encoder is not None and words:
                asked += _some(encoder.of_text(words[:LONGEST]))
            if asked and len(best) and feedback:
                near = now.take(space, best[:FEEDBACK]).mean(axis=0)
                asked = [(1 - feedback) * asked[0] + feedback * _unit(near)]
            of_words = len(asked)
            if encoder is not None and picture is not None:
                asked += [self._among(now, space, one) for one in _some(encoder.of_picture(picture))]
            if like is not None:
                asked += _some(now.take(space, np.array([like]))[0])
            if asked:
                found[space] = _unit(np.sum([_unit(one) for one in asked], axis=0))
            if len(asked) > of_words:
                seen[space] = _unit(np.sum([_unit(one) for one in asked[of_words:]], axis=0))
        return found, seen

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
        untold: float,
    ) -> tuple[Array, dict[str, Array], Array]:
        """(rows, what each ranking says of them, the sum): those that hold the words, and the neighbours.

        Args:
            untold: share of the words that no item has. The others count for so much less, and vectors of the words for
                so much at least: 红色衬衫 in a shop that writes "red" and "shirt" but has no word for 衬衫.
        """
        check()
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
        if untold and not photo:
            weights = [
                weight * (1 - untold) ** 2 if name == WORDS else max(weight, untold)
                for name, weight in zip(legs, weights, strict=True)
            ]
        known = [np.where(np.isnan(leg), np.nanmin(leg, initial=0.0), leg) for leg in legs.values()]
        if self.blend.reciprocal:
            ties = now.ties[rows]
            places = [
                places_of(leg if name == WORDS else leg - leg.min() + 1e-9, ties)
                for name, leg in zip(legs, known, strict=True)
            ]
            return rows, legs, reciprocal_rank(places, weights)
        return rows, legs, weighted(known, weights)

    def _popular(self, now: Snapshot, allowed: Array | None, notes: list[Text], *, asked: bool) -> Found:
        rows = popular(now, np.flatnonzero(now.living if allowed is None else allowed & now.living))
        if asked and len(rows):
            notes.append(
                {
                    "en": "nothing fits the words: these are the most popular items",
                    "zh": "没有相符的商品：以下是最受欢迎的商品",
                }
            )
        return Found(rows, np.zeros(len(rows)), {}, np.empty(0, np.int64), rows, np.flatnonzero(now.living))


def popular(now: Snapshot, rows: Array) -> Array:
    """``rows`` by what shoppers did with them, most first."""
    if "_popularity" not in now.table.columns:
        return rows[np.argsort(now.ties[rows], kind="stable")]
    counts = now.table["_popularity"].fill_null(0).to_numpy()[rows].astype(np.float64)
    taken: Array = rows[best_first(counts, now.ties[rows])]
    return taken


def _words_alone(
    words: str, picture: bytes | None, like: str | None, notes: list[Text]
) -> tuple[Mode, bytes | None, str | None]:
    """(mode, picture, like) of a question that wants words to decide alone, and has a photo or an item beside them."""
    english, chinese = ("photo", "照片") if picture is not None else ("item", "商品")
    if _says_something(words):
        notes.append(
            {
                "en": f"the {english} was left out: with mode=words, words decide alone",
                "zh": f"没有使用{chinese}：mode=words 只按文字查找",
            }
        )
        return "words", None, None
    notes.append(
        {
            "en": f"there are no words for mode=words: looked by the {english}",
            "zh": f"mode=words 但没有文字：已按{chinese}查找",
        }
    )
    return "hybrid", picture, like


def _near_too(
    now: Snapshot,
    vectors: Mapping[str, Array],
    matched: Array,
    holding: Array,
    allowed: Array | None,
    notes: list[Text],
) -> Array:
    """int64: those that lie near a photo or an item and hold as many of the words as any that does; where none of them
    holds one, those that lie near it.

    Args:
        vectors: space → f32 [width] of the photo or the item alone.
        holding: the rows that hold a word.
    """
    count = min(READ, max(LEAST_NEAR, len(now) // NEAR_SHARE))
    found = [now.nearest(space, vector, count, allowed) for space, vector in vectors.items()]
    near = np.unique(np.concatenate([np.empty(0, np.int64), *(rows[cosines > 0] for rows, cosines in found)]))
    both = np.intersect1d(near, holding)
    if len(both):
        return both[matched[both] == matched[both].max()]
    if len(near):
        notes.append(
            {
                "en": "nothing that is near has the words: another order than relevance is of what is near",
                "zh": "相似的商品都不含这些词：按相关度以外排序时，只排相似的商品",
            }
        )
    return near


def _says_something(words: str) -> bool:
    """Whether there is a letter, a digit or a symbol in it, such as an emoji."""
    return any(unicodedata.category(letter)[0] in "LN" or unicodedata.category(letter) == "So" for letter in words)


def row_of(now: Snapshot, item: str) -> int:
    row = now.row_of(item)
    if row is None:
        raise ConfigError(
            "there is no such item in the index",
            where="--like",
            seen=item[:100],
            todo=f"ask for it by its words: the key stands before each hit; the index has {len(now):,} items",
        )
    return row


def _some(vector: Array | None) -> list[Array]:
    return [] if vector is None or not vector.any() else [vector]


def _unit(vector: Array) -> Array:
    length = float(np.linalg.norm(vector))
    unit: Array = (vector / length if length else vector).astype(np.float32)
    return unit
