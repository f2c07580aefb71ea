"""Read ratings that name their scale: ``4/5``, ``4 out of 5``, ``★★★★☆``, ``4.5分``, ``80%``.

The number before the scale is the rating, where one scale goes through the whole column. ``4/5``
beside ``8/10`` cannot be compared with each other, and neither is read.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import polars as pl

SCALES = "a rating with a scale of its own"
STARS, POINTS, PERCENT = "stars", "points", "%"
_CLEAR = 20  # times as many values of one scale: the others are slips
_NUMBER = r"(-?[0-9０-９]+(?:[.,．][0-9０-９]+)?)"
_OF = "/|／|out of|of|von|sur|de|su|van|av|af|z|из|共|中"
_WORDS = (
    "stars?|★|⭐|sterne?n?|étoiles?|etoiles?|estrellas?|estrelas?|stell[ae]|sterren|ster|stjärnor|stjerner|"
    "звёзд[ыа]?|звезд[ыа]?|gwiazdk[ai]|颗星|星级|つ星|星|개"
)
_POINT_WORDS = "分|点|점|points?|pts?|punkte?|puntos?|punti|pontos?|балл(?:а|ов)?"
_UNIT = rf"\s*(?:{_WORDS}|{_POINT_WORDS})?"
_OUT_OF = rf"(?i)^{_NUMBER}{_UNIT}\s*(?:{_OF})\s*([0-9０-９]{{1,3}}){_UNIT}$"
_STARS = rf"(?i)^{_NUMBER}[\s-]*(?:{_WORDS})$"
_POINTS = rf"(?i)^{_NUMBER}\s*(?:{_POINT_WORDS})$"
_PERCENT = rf"^{_NUMBER}\s*[%％]$"
_DRAWN = r"^([★⭐]*)([½]?)([☆✩]*)$"
_ANY = r"[/／%％★⭐☆✩½\p{L}]"


@dataclass
class ScaleCounts:
    """The scales of a column's values.

    Attributes:
        counts: scale → values; a number is the highest rating (``5`` of ``4/5``), else STARS, POINTS or PERCENT.
        plain: values without a scale.
        highest: of the ratings without a number for their scale.
        examples: scale → the first value in alphabetical order.
    """

    counts: Counter[str] = field(default_factory=Counter)
    plain: int = 0
    highest: float = -math.inf
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, values: pl.Series) -> pl.Series:
        """Count values, and return them without their scales."""
        read = numerators(values)
        scaled = read["scale"].is_not_null()
        for scale, count in read.filter(scaled).group_by("scale").len().iter_rows():
            self.counts[scale] += count
            first = str(values.filter((read["scale"] == scale).fill_null(False)).min())
            self.examples[scale] = min(first, self.examples.get(scale, first))
        self.plain += len(values) - int(scaled.sum()) - values.null_count()
        loose = ~scaled | (read["scale"] == STARS).fill_null(False)
        numbers = read["number"].filter(loose).str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        highest = numbers.filter(numbers.is_finite().fill_null(False)).max()
        if isinstance(highest, float):
            self.highest = max(self.highest, highest)
        return read["number"]

    def merge(self, other: ScaleCounts) -> None:
        """Add the counts of ``other``."""
        self.counts += other.counts
        self.plain += other.plain
        self.highest = max(self.highest, other.highest)
        for scale, value in other.examples.items():
            self.examples[scale] = min(value, self.examples.get(scale, value))

    def scale(self) -> str | None:
        """Return the scale of the column, ``mixed`` if there are several, None if no value names one."""
        if not self.counts:
            return None
        by_scale = Counter(self.counts)
        if self.plain:
            by_scale["plain"] = self.plain
        (main, _), *_ = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        alike = sum(n for scale, n in by_scale.items() if self._is_alike(scale, main))
        others = by_scale.total() - alike
        return main if alike >= _CLEAR * others else "mixed"

    def _is_alike(self, scale: str, main: str) -> bool:
        """Whether ratings of one scale, or of none, are on the scale ``main`` too."""
        if scale == main:
            return True
        if scale == "plain":
            return main != PERCENT and (not main.isdigit() or self.highest <= int(main))
        if scale == STARS and main.isdigit():
            return self.highest <= int(main)
        return main == STARS and scale.isdigit() and self.highest <= int(scale) and len(self.counts) == 2


def numerators(values: pl.Series) -> pl.DataFrame:
    """``number`` (the text before the scale; the value itself where it names none) and ``scale`` of ratings."""
    text = values.str.strip_chars().str.replace_all("\ufe0f", "", literal=True)
    nothing = pl.Series("scale", [None], pl.String).new_from_index(0, len(values))
    scaled = text.str.contains(_ANY).fill_null(False)
    if not scaled.any():
        return pl.DataFrame([values.alias("number"), nothing])
    frame = text.filter(scaled).alias("text").to_frame()
    column = pl.col("text")
    drawn = column.str.extract_groups(_DRAWN)
    full, half, empty = (drawn.struct.field(name) for name in "123")
    filled = full.str.len_chars() + pl.when(half != "").then(0.5).otherwise(0.0)
    width = full.str.len_chars() + half.str.len_chars() + empty.str.len_chars()
    top = column.str.extract(_OUT_OF, 2)
    is_drawn = (filled > 0).fill_null(False)  # stars that are all empty may be how a shop draws full ones
    frame = frame.select(
        pl.when(is_drawn)
        .then(filled.cast(pl.String).str.strip_suffix(".0"))
        .otherwise(pl.coalesce(column.str.extract(form, 1) for form in (_OUT_OF, _STARS, _POINTS, _PERCENT)))
        .alias("number"),
        pl.when(is_drawn & (empty != ""))
        .then(width.cast(pl.String))
        .when(is_drawn)
        .then(pl.lit(STARS))
        .when(top.is_not_null())
        .then(top.str.normalize("NFKC").cast(pl.Int64, strict=False).cast(pl.String))
        .when(column.str.contains(_STARS))
        .then(pl.lit(STARS))
        .when(column.str.contains(_POINTS))
        .then(pl.lit(POINTS))
        .when(column.str.contains(_PERCENT))
        .then(pl.lit(PERCENT))
        .alias("scale"),
        column,
    ).with_columns(pl.coalesce("number", "text").alias("number"))
    at = scaled.arg_true()
    return pl.DataFrame(
        [values.alias("number").scatter(at, frame["number"]), nothing.clone().scatter(at, frame["scale"])]
    )


def plain_ratings(values: pl.Series, scale: str | None) -> tuple[pl.Series, pl.Series]:
    """Ratings without their scale, and the reason where that is not the scale of the column.

    Args:
        scale: as :meth:`ScaleCounts.scale` gives it; None: nothing is known, so that only ratings without one are read.
    """
    read = numerators(values)
    named, number = pl.col("scale"), pl.col("number")
    same = (named == pl.lit(scale, pl.String)).fill_null(False)
    if scale is not None and scale.isdigit():
        value = number.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        same = same | ((named == STARS) & (value <= int(scale)))
    elif scale == STARS:
        same = same | named.str.contains(r"^[0-9]+$").fill_null(False)
    wrong = named.is_not_null() & ~same
    if scale == PERCENT:
        wrong = wrong | (named.is_null() & number.is_not_null())
    reason = pl.when(wrong).then(pl.lit(SCALES)).alias("reason")
    read = read.select(pl.when(~wrong.fill_null(False)).then(number).alias("number"), reason)
    return read["number"].alias(values.name), read["reason"]
