"""Values as shops write them → values of one kind; where that cannot be, a reason per row.

Every rule takes a column of any type and gives (typed column, reasons): a reason is null where the value is good or
missing, else a few words that are the same for all rows with that fault.
"""

from __future__ import annotations

import polars as pl

from tuwen.amounts import amounts
from tuwen.data.dates import EMPTY_DATE, dates, from_numbers
from tuwen.data.dialects import Dialect
from tuwen.data.keys import plain_keys
from tuwen.data.ratings import plain_ratings
from tuwen.data.schema import KEY_LIMIT, TEXT_LIMIT, Column

Typed = tuple[pl.Series, pl.Series]

MISSING = ("", "null", "none", "n/a", "na", "-", "\\n")  # how exports write "no value" where no text is expected
FIRST_YEAR, LAST_YEAR = 1900, 2100
_UNKNOWN = Dialect()
_DIGITS = 15  # that a float keeps, whatever they are


def typed(values: pl.Series, column: Column, dialect: Dialect = _UNKNOWN) -> Typed:
    """``values`` as the kind that ``column`` asks for, written as ``dialect`` says."""
    match column.kind:
        case "id":
            return identifiers(values)
        case "text":
            return texts(values)
        case "time":
            return times(values, dialect)
        case "number" | "whole":
            if values.dtype == pl.Boolean:
                none = pl.Series(values.name, [None], pl.Float64).new_from_index(0, len(values))
                return none.cast(pl.Int64) if column.kind == "whole" else none, _where(
                    values.is_not_null(), "not a number"
                )
            if column.scaled and values.dtype == pl.String:
                plain, scale_reasons = plain_ratings(values, dialect.scale)
                read, reasons = numbers(plain, column.low, column.high, dialect=dialect)
                return read, _first(scale_reasons, reasons)
            return numbers(values, column.low, column.high, whole=column.kind == "whole", dialect=dialect)
        case "media":
            return values.cast(pl.List(pl.String)), _no_reasons(values)


def identifiers(values: pl.Series) -> Typed:
    """Keys as strings without guards (:mod:`tuwen.data.keys`); numbers in full (``7.0`` is ``"7"``)."""
    text, reasons = texts(values)
    text = plain_keys(text)
    long = text.str.len_chars() > KEY_LIMIT
    return text.set(long, None), _first(reasons, _where(long, "key too long"))


def texts(values: pl.Series) -> Typed:
    """Strings as they are, cut at TEXT_LIMIT; blank is missing."""
    kind = values.dtype
    if kind.is_float():
        whole = values.round() == values
        text = values.cast(pl.String)
        if whole.any():
            plain = values.set(~(whole & (values.abs() < 2**53)).fill_null(False), None).cast(pl.Int64).cast(pl.String)
            text = plain.zip_with(plain.is_not_null(), text)
    elif isinstance(kind, pl.Decimal):
        text = values.cast(pl.String).str.replace(r"(\.[0-9]*?)0+$", "${1}").str.strip_chars_end(".")
    elif kind == pl.Boolean or kind.is_numeric() or kind.is_temporal() or kind in (pl.Categorical, pl.Enum, pl.Null):
        text = values.cast(pl.String)
    elif kind == pl.String:
        text = values
    else:
        return pl.Series(values.name, [None] * len(values), pl.String), _where(values.is_not_null(), "not a text")
    blank = text.str.strip_chars().str.len_bytes() == 0
    if blank.any():
        text = text.set(blank, None)
    if (text.str.len_bytes() > TEXT_LIMIT).any():
        text = text.str.slice(0, TEXT_LIMIT)
    return text, _no_reasons(values)


def numbers(values: pl.Series, low: float, high: float, *, whole: bool = False, dialect: Dialect = _UNKNOWN) -> Typed:
    """f64 (i64 where ``whole``), finite and within [low, high].

    Strings may carry a currency, thousands, a decimal comma or full-width characters
    (:mod:`tuwen.amounts`); what can be read in two ways is read as ``dialect`` says.
    """
    kind = values.dtype
    why: pl.Series | None = None
    if kind == pl.Boolean or kind.is_numeric() or kind == pl.Null:
        number, given = values.cast(pl.Float64), values.is_not_null()
    elif kind in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        given = text.is_not_null() & ~text.str.to_lowercase().is_in(MISSING)
        number = text.cast(pl.Float64, strict=False).set(~given, None)
        rest = given & number.is_null()
        if dialect.decimal != ".":
            rest |= given & text.str.contains(r"^[^0-9]*[0-9]{1,3}[.][0-9]{3}$").fill_null(False)
        if rest.any():
            read, reason = amounts(text.filter(rest), dialect.decimal, low, high)
            number = number.scatter(rest.arg_true(), read)
            why = _no_reasons(values).scatter(rest.arg_true(), reason)
    else:
        empty = pl.Series(values.name, [None] * len(values), pl.Int64 if whole else pl.Float64)
        return empty, _where(values.is_not_null(), "not a number")
    reasons = _first(
        _no_reasons(values) if why is None else why,
        _where(given & number.is_null(), "not a number"),
        _where(~number.is_finite(), "not a finite number"),
        _where(~number.is_between(low, high), "number out of range"),
        _where(number != number.round(), "not a whole number") if whole else _no_reasons(values),
    )
    good = number.set(reasons.is_not_null(), None)
    return good.cast(pl.Int64) if whole else good, reasons


def times(values: pl.Series, dialect: Dialect = _UNKNOWN) -> Typed:
    """Naive UTC datetime[us] from datetimes, dates, strings (:mod:`tuwen.data.dates`) and numbers.

    Strings and datetimes without an offset are taken as UTC. Numbers are epoch seconds to
    nanoseconds, days since 1900 or YYYYMMDD. Years outside 1900 … 2100 are refused.
    """
    kind = values.dtype
    why = _no_reasons(values)
    if isinstance(kind, pl.Datetime):
        moment = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if kind.time_zone else values
        moment, given = moment.cast(pl.Datetime("us")), values.is_not_null()
    elif kind == pl.Date:
        moment, given = values.cast(pl.Datetime("us")), values.is_not_null()
    elif kind.is_numeric() or kind == pl.Null:
        moment, given = from_numbers(values.cast(pl.Float64)), values.is_not_null()
    elif kind in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        given = text.is_not_null() & ~text.str.to_lowercase().is_in(MISSING)
        given &= ~text.str.contains(EMPTY_DATE).fill_null(False)
        moment, why = dates(text.set(~given, None), dialect.dates, dialect.short)
    else:
        moment, given = pl.Series(values.name, [None] * len(values), pl.Datetime("us")), values.is_not_null()
    reasons = _first(
        why,
        _where(given & moment.is_null(), "not a date"),
        _where(~moment.dt.year().is_between(FIRST_YEAR, LAST_YEAR), "date out of range"),
    )
    return moment.set(reasons.is_not_null(), None), reasons


def inferred(values: pl.Series) -> pl.Series:
    """Strings as numbers or times, where every value is one and nothing is lost by it.

    Numbers are those that all can be written back as they were: without zeros at the end, as Python
    writes floats (``12.0``), or with the same number of decimals. ``007``, ``1E5``, ``90.750``
    beside ``90.75`` and numbers of more digits than a float holds stay text; so do those that may
    all be thousands (``1.299``).
    """
    if values.dtype != pl.String or values.null_count() == len(values):
        return values
    given = values.drop_nulls()
    if given.str.contains(r"^(?:0|-?[1-9][0-9]{0,17})$").all():
        return values.cast(pl.Int64)
    if given.str.contains(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$").all():
        return values.cast(pl.Float64) if _is_lossless(given) else values
    if given.str.contains(r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?$").all():
        moments, reasons = times(values)
        return values if reasons.is_not_null().any() else moments
    return values


def _is_lossless(values: pl.Series) -> bool:
    """Whether plain decimal numbers are written in one way, so that floats tell how they were written."""
    scale = values.str.extract(r"\.([0-9]+)$").str.len_bytes()
    pointed = scale.is_not_null()
    exact = values.str.replace_all(r"^-?0?\.?0*|[-.]", "").str.len_bytes() <= _DIGITS
    thousands = values.str.contains(r"^-?[1-9][0-9]{0,2}\.[0-9]{3}$")
    if (
        not exact.all()
        or values.str.contains(r"^-0(?:\.0+)?$").any()
        or (pointed.any() and not (pointed & ~thousands).any())
    ):
        return False
    shortest = values.str.contains(r"^-?[0-9]+(?:\.[0-9]*[1-9])?$").all()
    python = values.str.contains(r"\.(?:0|[0-9]*[1-9])$").all()
    return shortest or python or (bool(pointed.all()) and scale.n_unique() == 1)


def _no_reasons(values: pl.Series) -> pl.Series:
    return pl.Series("reason", [None], pl.String).new_from_index(0, len(values))


def _where(bad: pl.Series, reason: str) -> pl.Series:
    """``reason`` in the rows that are bad (null is not), null elsewhere."""
    frame = bad.alias("bad").to_frame()
    return frame.select(pl.when(pl.col("bad").fill_null(False)).then(pl.lit(reason)).alias("reason")).to_series()


def _first(*reasons: pl.Series) -> pl.Series:
    """The first reason of each row."""
    return pl.select(pl.coalesce(reasons).alias("reason")).to_series()
