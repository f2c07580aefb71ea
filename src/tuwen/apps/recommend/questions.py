"""What to recommend to somebody who wrote a review or shows a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tuwen.apps.recommend.history import Array, Catalogue
from tuwen.errors import DataError

EQUAL = 0.9999  # cosine from which an item is what is shown
SHARE = 0.3  # of an item's worth that what is known of the shopper makes
WORDS = {"image": "photo", "text": "review"}


@dataclass(frozen=True)
class Question:
    """What somebody wrote, or looks at, or both.

    Attributes:
        photo: the bytes of a picture file.
    """

    review: str | None = None
    photo: bytes | None = None

    def __bool__(self) -> bool:
        return self.review is not None or self.photo is not None

    def vectors(self, catalogue: Catalogue) -> dict[str, Array]:
        """Kind → f32 [width], of length 1, where the items' own vectors of that kind stand.

        Raises:
            DataError: the bundle reads no such thing; a review without a word, or bytes that are no picture.
        """
        found: dict[str, Array] = {}
        asked: list[tuple[str, str | bytes | None]] = [("image", self.photo), ("text", self.review)]
        for use, value in asked:
            if value is None:
                continue
            readers = {name: reader for name, reader in catalogue.readers.items() if reader.use == use}
            if not readers:
                raise DataError(
                    f"the bundle was learned without {use}s of items, so it cannot read a {WORDS[use]}",
                    allowed=[f"a {WORDS[one]}" for one in sorted({r.use for r in catalogue.readers.values()})],
                    todo=f"add a modality {{use: {use}, …}} to the run and train it again",
                )
            try:
                told = {name: reader.read(value) for name, reader in readers.items()}
            except DataError as error:
                what = f"the {WORDS[use]} cannot be read: {error.what}"
                raise DataError(what, seen=error.seen, allowed=error.allowed, todo=error.todo) from None
            found |= {name: vector for name, vector in told.items() if vector is not None}
            if not any(vector is not None for vector in told.values()):
                raise DataError(f"the {WORDS[use]} says nothing", allowed="words that can be read, or a picture")
        return found


def likeness(catalogue: Catalogue, vectors: Mapping[str, Array]) -> Array:
    """How like an item is to what is asked, f32 [items] from -1 to 1: the mean cosine over the kinds of vectors that
    it has; 1 where one of them is the very same, -1 where it has none of them.
    """
    total, known = np.zeros(len(catalogue), np.float32), np.zeros(len(catalogue), np.float32)
    same = np.zeros(len(catalogue), bool)
    for kind, vector in vectors.items():
        own = catalogue.vectors[kind]
        cosine = own @ vector
        total += cosine
        known += own.any(axis=1)
        same |= cosine >= EQUAL
    mean = np.where(known > 0, total / np.maximum(known, 1), -1.0)
    return np.where(same, 1.0, mean).astype(np.float32)


def with_taste(like: Array, taste: Array) -> Array:
    """f32 [items]: likeness moved by a shopper's taste; what is shown itself stays in front.

    Args:
        like: of :func:`likeness`.
        taste: f32 [items], of the ranker; not a number where nothing was proposed.
    """
    proposed = np.isfinite(taste)
    place = np.zeros(len(like), np.float32)
    place[proposed] = np.argsort(np.argsort(taste[proposed], kind="stable"), kind="stable") + 1
    share = place / max(1, int(proposed.sum()))  # 0 where not proposed, 1 for the best
    return np.where(like >= EQUAL, like + 1.0, (1 - SHARE) * like + SHARE * share).astype(np.float32)
