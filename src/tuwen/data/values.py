"""Values as shops write them → values of one kind; where that cannot be, a reason per row.

Every rule takes a column of any type and gives (typed column, reasons): a reason is null where the value is good or
missing, else a few words that are the same for all rows with that fault.
"""

from __future__ import annotations

import polars as pl

from tuwen.data.keys import plain_keys
from tuwen.data.schema import KEY_LIMIT, TEXT_LIMIT, Column

Typed = tuple[pl.Series, pl.Series]

# How exports write "no value" where no text is expected; the last two are what MySQL makes of a missing date.
MISSING = ("", "null", "none", "n/a", "na", "-", "\\n", "0000-00-00", "0000-00-00 00:00:00")
FIRST_YEAR, LAST_YEAR = 1900, 2100
_FULL_WIDTH = {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)} | {"￥": "¥", "−": "-"}
_MONEY = r"(?:CN¥|US\$|HK\$|[¥$€£]|RMB|CNY|HKD|USD|EUR|GBP|JPY|人民币)"
_AMOUNT = (  # 1 sign, 2 sign behind the currency, 3 thousands, 4 with a decimal comma, 5 plain
    rf"^([+-]?)\s*(?:{_MONEY}\s*)?([+-]?)"
    r"(?:([1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?)|([0-9]+,[0-9]{1,2})|([0-9]+\.?[0-9]*|\.[0-9]+))"
    rf"\s*(?:{_MONEY}|元|円)?$"
)
_DATE = (
    r"^\s*(\d{4})(?:[-/.年])(\d{1,2})(?:[-/.月])(\d{1,2})日?"
    r"(?:[T\s]*(\d{1,2})[:时点](\d{1,2})(?:[:分](\d{1,2})(?:[.,](\d{1,9}))?)?[秒分]?)?"
    r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$"
)


def typed(values: pl.Series, column: Column) -> Typed:
    """``values`` as the kind that ``column`` asks for."""
    match column.kind:
        case "id":
            return identifiers(values)
        case "text":
            return texts(values)
        case "time":
            return times(values)
        case "number" | "whole":
            return numbers(values, column.low, column.high, whole=column.kind == "whole")
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


def numbers(values: pl.Series, low: float, high: float, *, whole: bool = False) -> Typed:
    """f64 (i64 where ``whole``), finite and within [low, high].

    Strings may carry a currency (``¥12``, ``12元``, ``$12``), thousands commas (``1,299.00``) or full-width characters;
    a decimal comma where it can be nothing else: one comma, one or two digits behind it, no other separator (``4,5``).
    """
    kind = values.dtype
    if kind == pl.Boolean or kind.is_numeric() or kind == pl.Null:
        number, given = values.cast(pl.Float64), values.is_not_null()
    elif kind in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        given = text.is_not_null() & ~text.str.to_lowercase().is_in(MISSING)
        number = text.cast(pl.Float64, strict=False).set(~given, None)
        rest = given & number.is_null()
        if rest.any():
            number = number.scatter(rest.arg_true(), _amounts(text.filter(rest)))
    else:
        empty = pl.Series(values.name, [None] * len(values), pl.Int64 if whole else pl.Float64)
        return empty, _where(values.is_not_null(), "not a number")
    reasons = _first(
        _where(given & number.is_null(), "not a number"),
        _where(~number.is_finite(), "not a finite number"),
        _where(~number.is_between(low, high), "number out of range"),
        _where(number != number.round(), "not a whole number") if whole else _no_reasons(values),
    )
    good = number.set(reasons.is_not_null(), None)
    return good.cast(pl.Int64) if whole else good, reasons


def times(values: pl.Series) -> Typed:
    """Naive UTC datetime[us] from datetimes, dates, ISO and Chinese strings, YYYYMMDD and epoch numbers.

    Strings and datetimes without an offset are taken as UTC. Epoch numbers are told apart by size: below 1e11 seconds,
    below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Years outside 1900 … 2100 are refused.
    """
    kind = values.dtype
    if isinstance(kind, pl.Datetime):
        moment = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if kind.time_zone else values
        moment, given = moment.cast(pl.Datetime("us")), values.is_not_null()
    elif kind == pl.Date:
        moment, given = values.cast(pl.Datetime("us")), values.is_not_null()
    elif kind.is_numeric() or kind == pl.Null:
        moment, given = _from_number(values.cast(pl.Float64)), values.is_not_null()
    elif kind in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        given = text.is_not_null() & ~text.str.to_lowercase().is_in(MISSING)
        moment = _from_text(text.set(~given, None))
    else:
        moment, given = pl.Series(values.name, [None] * len(values), pl.Datetime("us")), values.is_not_null()
    reasons = _first(
        _where(given & moment.is_null(), "not a date"),
        _where(~moment.dt.year().is_between(FIRST_YEAR, LAST_YEAR), "date out of range"),
    )
    return moment.set(reasons.is_not_null(), None), reasons


def inferred(values: pl.Series) -> pl.Series:
    """Strings as numbers or times, where every value is one and nothing is lost by it (``007`` stays text)."""
    if values.dtype != pl.String or values.null_count() == len(values):
        return values
    given = values.drop_nulls()
    if given.str.contains(r"^-?(?:0|[1-9]\d{0,17})$").all():
        return values.cast(pl.Int64)
    if given.str.contains(r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$").all():
        return values.cast(pl.Float64)
    if given.str.contains(r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?$").all():
        moments, reasons = times(values)
        return values if reasons.is_not_null().any() else moments
    return values


def _amounts(text: pl.Series) -> pl.Series:
    """Numbers as people and spreadsheets write them, null where a string is none."""
    plain = text.str.replace_many(_FULL_WIDTH).str.strip_chars().str.to_uppercase()
    parts = plain.str.extract_groups(_AMOUNT).struct.unnest()
    parts.columns = ["sign", "inner", "thousands", "comma", "plain"]
    digits = pl.coalesce(
        pl.col("thousands").str.replace_all(",", "", literal=True),
        pl.col("comma").str.replace(",", ".", literal=True),
        pl.col("plain"),
    )
    signs = pl.col("sign") + pl.col("inner")
    factor = pl.when(signs == "-").then(-1.0).when(signs.str.len_bytes() < 2).then(1.0)
    return parts.select(digits.cast(pl.Float64, strict=False) * factor).to_series()


def _from_number(number: pl.Series) -> pl.Series:
    """Epoch seconds … nanoseconds, or a YYYYMMDD date written as a number."""
    number = number.set(~number.is_finite().fill_null(False), None)
    frame = number.alias("n").to_frame()
    n = pl.col("n")
    size = n.abs()
    scale = pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    micros = (n * scale).round()
    day = pl.when(n.is_between(19_000_101, 21_001_231) & (n == n.round())).then(n)
    date = day.cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us"))
    epoch = pl.when(micros.abs() < 9e18).then(micros).cast(pl.Int64).cast(pl.Datetime("us"))
    return frame.select(pl.coalesce(date, epoch)).to_series().alias(number.name)


def _from_text(text: pl.Series) -> pl.Series:
    """The usual ISO forms at once; what is left over part by part."""
    moment = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    rest = moment.is_null() & text.is_not_null()
    if not rest.any():
        return moment
    left = text.filter(rest)
    number = left.str.extract(r"^(-?\d{8,20}(?:\.\d+)?)$").cast(pl.Float64, strict=False)
    parts = left.str.extract_groups(_DATE).struct.unnest()
    parts.columns = ["year", "month", "day", "hour", "minute", "second", "fraction", "offset"]
    pad = lambda name: pl.col(name).fill_null("0").str.zfill(2)  # noqa: E731
    whole = pl.format("{}-{}-{} {}:{}:{}", "year", *map(pad, ("month", "day", "hour", "minute", "second")))
    micros = pl.col("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    sign = pl.when(pl.col("offset").str.starts_with("-")).then(-1).otherwise(1)
    hours = pl.col("offset").str.extract(r"^[+-](\d{2})").cast(pl.Int64).fill_null(0)
    minutes = pl.col("offset").str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0)  # PostgreSQL: +08
    behind = (hours * 60 + minutes) * sign
    odd = pl.col("hour").is_null() & pl.col("offset").str.contains(r"^[+-]\d\d$")  # 2024-01-02-05 is no date
    read = parts.select(
        pl.when(~odd.fill_null(False)).then(whole).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        + pl.duration(microseconds=micros)
        - pl.duration(minutes=behind)
    ).to_series()
    read = read.zip_with(read.is_not_null(), _from_number(number))
    return moment.scatter(rest.arg_true(), read)


def _no_reasons(values: pl.Series) -> pl.Series:
    return pl.Series("reason", [None], pl.String).new_from_index(0, len(values))


def _where(bad: pl.Series, reason: str) -> pl.Series:
    """``reason`` in the rows that are bad (null is not), null elsewhere."""
    frame = bad.alias("bad").to_frame()
    return frame.select(pl.when(pl.col("bad").fill_null(False)).then(pl.lit(reason)).alias("reason")).to_series()


def _first(*reasons: pl.Series) -> pl.Series:
    """The first reason of each row."""
    return pl.select(pl.coalesce(reasons).alias("reason")).to_series()
