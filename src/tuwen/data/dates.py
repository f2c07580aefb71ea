"""Read dates and times as people and exports write them.

Most can be read in one way only. ``05/03/2024`` cannot: the rest of its column decides
(:mod:`tuwen.data.dialects`).
"""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

from tuwen.data.months import MONTHS, WEEKDAYS

Order = Literal["day-first", "month-first"]

TWO_ORDERS, SHORT_YEAR = "day or month first, not clear", "a year of two digits, not clear"
NAMED_ZONE = "a time zone by name"
_SEVERAL_ZONES = {  # words that stand for clocks of several places → which
    "ist": "India, Israel or Ireland",
    "cst": "America, China or Cuba",
    "bst": "Britain or Bangladesh",
    "est": "America or Australia",
    "ast": "America or Arabia",
    "pst": "America or the Philippines",
    "gst": "the Gulf or South Georgia",
    "sst": "Samoa or Singapore",
    "mst": "America, Malaysia or Myanmar",
}
EMPTY_DATE = (
    r"^0{1,4}[-/.]0{1,2}[-/.]0{1,4}(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00(?::?00)?)?)?$|^0{8}(?:0{6})?$"  # MySQL's
)
SERIAL = (25_569, 73_051)  # days since 1900, as spreadsheets count them: 1970 … 2100
_MEANINGS = {word: f": {word.upper()} is that of {places}" for word, places in _SEVERAL_ZONES.items()}
_EARLIEST = 1e8  # seconds: 1973, before which no shop wrote its clicks
_PIVOT = 69  # of a year with two digits: 69 is 1969, 68 is 2068
_PLAIN = (
    {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
    | dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000\t\n", " ")
    | dict.fromkeys("−–—‒‐‑", "-")
    | {"\u200e": "", "\u200f": ""}
)
_NAMED, _DAYS, _CLEAR_DAYS, _LONG_DAYS = (
    "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    for names in (MONTHS, WEEKDAYS, WEEKDAYS - MONTHS.keys(), {day for day in WEEKDAYS if len(day) > 2})
)
_WEEKDAY = rf"^(?:(?:星期|礼拜|週|周).\s*|\p{{L}}{{2,14}}\.?,\s*|(?:{_CLEAR_DAYS})(?:[.,]+\s*|\s+))"
_WEEKDAY_OR_MONTH = rf"^(?:{_DAYS})\.?\s+([0-9]{{1,2}}\.?\s+(?:de\s+)?(?:{_NAMED})\b)"  # mar 5 mars 2024
_BETWEEN = rf"^(?:[\s,]|(?:года|г|{_LONG_DAYS})\b\.?)*"  # a weekday, or the Russian word for year
_CLOCK = (  # what stands behind a date: half of the day, hour, minute, second, fraction, half of the day, zone
    r"(?:(?:t|,|\s|um|at|à|klo|(?:星期|礼拜|週|周).)*\s*(上午|下午|凌晨|早上|晚上|中午)?\s*([0-9]{1,2})"
    r"(?:\s*[:.h时時点點]\s*([0-9]{1,2})(?:\s*[:.分]\s*([0-9]{1,2})(?:[.,]([0-9]{1,9}))?)?)?\s*[时時点點分秒h]?"
    r"\s*(am|pm|a\.m\.|p\.m\.)?(?:\s*uhr)?)?"
    r"\s*((?:utc|gmt)?[+-][0-9]{2}(?::?[0-9]{2})?|z|utc|gmt|[a-z]{2,5}|[a-z]+/[a-z_/]+)?\s*(?:\[[a-z_/]+\]|\(.*\))?$"
)
_FORMS = {  # how a date begins → its parts in order
    r"^([0-9]{4})[-/.年]\s?([0-9]{1,2})[-/.月]\s?([0-9]{1,2})[日号]?": "ymd",
    r"^([0-9]{4})([0-9]{2})([0-9]{2})(?:t|\s|$)": "ymd",
    rf"^([0-9]{{1,2}})(?:\.|st|nd|rd|th|er|º)?[\s-]*(?:de |of )?({_NAMED})\.?,?[\s-]*(?:de |del )?([0-9]{{4}})": "dny",
    rf"^({_NAMED})\.?[\s-]*([0-9]{{1,2}})(?:st|nd|rd|th)?,?[\s-]+([0-9]{{4}})": "ndy",
    rf"^([0-9]{{4}})[\s-]({_NAMED})[\s-]([0-9]{{1,2}})": "ynd",
}
_NUMERIC = r"^([0-9]{1,2})([-/.])\s?([0-9]{1,2})([-/.])\s?([0-9]{4}|[0-9]{2})(?:\s|,|t|$)"


def dates(text: pl.Series, order: Order | None = None, short: Order | None = None) -> tuple[pl.Series, pl.Series]:
    """Naive datetime[us] of strings (UTC where they name an offset), and why a string is none.

    Args:
        order: what ``05/03/2024`` means; None: nothing is known, and it is not read.
        short: the same of ``05/03/24``.
    """
    moment = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    reasons = pl.Series("reason", [None], pl.String).new_from_index(0, len(text))
    unread = moment.is_null() & text.is_not_null()
    if not unread.any():
        return moment, reasons
    read, why = _parsed(text.filter(unread), order, short)
    return moment.scatter(unread.arg_true(), read), reasons.scatter(unread.arg_true(), why)


def orders(text: pl.Series) -> pl.DataFrame:
    """Return what each string tells about the order of day and month in its column.

    Returns:
        ``order``: ``day-first`` or ``month-first`` where it can be read in that way only, ``?`` where
        in both ways, else null; ``short``: whether its year has two digits; ``first``, ``second``,
        ``third``: its numbers.
    """
    frame = _numeric(_plain(text))
    day, month = _possible(pl.col("a"), pl.col("b")), _possible(pl.col("b"), pl.col("a"))
    order = (
        pl.when(pl.col("a") == pl.col("b"))
        .then(None)
        .when(day & month)
        .then(pl.when(pl.col("dots")).then(None).otherwise(pl.lit("?")))
        .when(day)
        .then(pl.lit("day-first"))
        .when(month)
        .then(pl.lit("month-first"))
    )
    return frame.select(
        order.alias("order"),
        (pl.col("digits") == 2).alias("short"),
        pl.col("a").alias("first"),
        pl.col("b").alias("second"),
        pl.col("y").alias("third"),
    )


def from_numbers(number: pl.Series) -> pl.Series:
    """Epoch seconds … nanoseconds, days since 1900, or a date written as a number; null where it is none of them.

    Sizes tell them apart: 25,569 to 73,051 are a spreadsheet's days (1970 to 2100), YYYYMMDD and
    YYYYMMDDhhmm(ss) are dates, from 1e8 on it is seconds, from 1e11 milliseconds, from 1e14
    microseconds, from 1e17 nanoseconds. Anything else is no moment of a shop.
    """
    number = number.set(~number.is_finite().fill_null(False), None)
    frame = number.alias("n").to_frame()
    n = pl.col("n")
    size = n.abs()
    scale = pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    micros = (n * scale).round()
    epoch = pl.when((size >= _EARLIEST) & (micros.abs() < 9e18)).then(micros).cast(pl.Int64).cast(pl.Datetime("us"))
    days = ((n - SERIAL[0]) * 86_400).round(3) * 1e6
    serial = pl.when(n.is_between(*SERIAL)).then(days).round().cast(pl.Int64).cast(pl.Datetime("us"))
    whole = pl.when((n == n.round()) & n.is_between(0, 2.2e13)).then(n).cast(pl.Int64).cast(pl.String)
    written = [
        pl.when(whole.str.contains(rf"^(?:19|20)[0-9]{{{length - 2}}}$"))
        .then(whole)
        .str.to_datetime(form, strict=False, time_unit="us")
        for length, form in ((8, "%Y%m%d"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S"))
    ]
    written[0] = (
        pl.when(whole.str.contains(r"^(?:19|20)[0-9]{6}$"))
        .then(whole)
        .str.to_date("%Y%m%d", strict=False)
        .cast(pl.Datetime("us"))
    )
    return frame.select(pl.coalesce(serial, *written, epoch)).to_series().alias(number.name)


def _plain(text: pl.Series) -> pl.Series:
    plain = text.str.replace_many(_PLAIN).str.strip_chars().str.to_lowercase().str.replace_all(r" {2,}", " ")
    plain = plain.str.replace(r"^([0-9]{8})t([0-9]{2})([0-9]{2})([0-9]{2})", "${1} ${2}:${3}:${4}")
    return plain.str.replace(_WEEKDAY_OR_MONTH, "$1").str.replace(_WEEKDAY, "").alias("text")


def _numeric(plain: pl.Series) -> pl.DataFrame:
    """``a``, ``b``, ``y`` of ``05/03/2024``, how many ``digits`` the year has, and whether ``dots`` part them."""
    groups = plain.str.extract_groups(_NUMERIC).struct.unnest()
    groups.columns = ["a", "mark", "b", "again", "y"]
    valid = pl.col("mark") == pl.col("again")
    numbers = (pl.when(valid).then(pl.col(name)).cast(pl.Int64).alias(name) for name in ("a", "b", "y"))
    digits = pl.when(valid).then(pl.col("y").str.len_bytes()).alias("digits")
    return groups.select(*numbers, digits, (pl.col("mark") == ".").alias("dots"))


def _possible(day: pl.Expr, month: pl.Expr) -> pl.Expr:
    return day.is_between(1, 31) & month.is_between(1, 12)


def _parsed(text: pl.Series, order: Order | None, short: Order | None) -> tuple[pl.Series, pl.Series]:
    """Read strings that are not ISO times, part by part."""
    plain = _plain(text)
    clock = (
        plain.to_frame()
        .select(pl.col("text").alias("rest"), pl.lit(None, pl.String).alias("y"))
        .select(pl.col("y"), pl.col("y").alias("m"), pl.col("y").alias("d"), pl.col("rest"))
    )
    for form, names in _FORMS.items():
        if not clock["y"].is_null().any():
            break
        groups = plain.str.extract_groups(form).struct.unnest()
        groups.columns = [name.replace("n", "m") for name in names]
        fits = groups["y"].is_not_null() & clock["y"].is_null()
        if not fits.any():
            continue
        if "n" in names:
            groups = groups.with_columns(pl.col("m").replace_strict(MONTHS, default=None, return_dtype=pl.String))
        rest = plain.str.replace(form if not form.endswith("$)") else form.removesuffix(r"(?:t|\s|$)"), "")
        clock = clock.with_columns(
            *(pl.when(fits).then(groups[name]).otherwise(pl.col(name)).alias(name) for name in ("y", "m", "d")),
            pl.when(fits).then(rest).otherwise(pl.col("rest")).alias("rest"),
        )
    clock, doubt, short_year = _with_numeric(clock, plain, order, short)
    moment, zone = _moments(clock)
    digits = text.str.extract(r"^\s*(-?[0-9]{5,20}(?:[.,][0-9]+)?)\s*$").str.replace(",", ".", literal=True)
    number = from_numbers(digits.cast(pl.Float64, strict=False))
    moment = moment.zip_with(number.is_null() & ~doubt, number)
    why = pl.select(
        pl.when(moment.is_not_null())
        .then(None)
        .when(doubt & short_year)
        .then(pl.lit(SHORT_YEAR))
        .when(doubt)
        .then(pl.lit(TWO_ORDERS))
        .otherwise(zone)
    ).to_series()
    return moment, why


def _with_numeric(
    clock: pl.DataFrame, plain: pl.Series, order: Order | None, short: Order | None
) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """The parts with those of ``05/03/2024`` if its order is known, the rows in doubt, and those of short years."""
    numbers = _numeric(plain)
    if numbers["a"].null_count() == numbers.height:
        none = pl.Series([False]).new_from_index(0, numbers.height)
        return clock, none, none
    a, b, dots = pl.col("a"), pl.col("b"), pl.col("dots").fill_null(False)
    day, month = _possible(a, b), _possible(b, a)
    long = pl.col("digits") == 4
    wanted = pl.when(long).then(pl.lit(order, pl.String)).otherwise(pl.lit(short, pl.String))
    choice = (
        pl.when(dots & day & (wanted != "month-first").fill_null(True))
        .then(pl.lit("day-first"))
        .when(long & (a == b) & day)
        .then(pl.lit("day-first"))
        .when(day & (~month & long | (wanted == "day-first").fill_null(False)))
        .then(pl.lit("day-first"))
        .when(month & (~day & long | (wanted == "month-first").fill_null(False)))
        .then(pl.lit("month-first"))
    )
    year = (
        pl.when(long)
        .then(pl.col("y"))
        .when(pl.col("y") < _PIVOT)
        .then(pl.col("y") + 2000)
        .otherwise(pl.col("y") + 1900)
    )
    parts = numbers.select(
        choice.alias("choice"),
        year.cast(pl.String).alias("y"),
        a.cast(pl.String),
        b.cast(pl.String),
        (day | month).fill_null(False).alias("date"),
    )
    first = parts["choice"] == "day-first"
    fits = parts["choice"].is_not_null() & clock["y"].is_null()
    rest = plain.str.replace(_NUMERIC.removesuffix(r"(?:\s|,|t|$)"), "")
    clock = clock.with_columns(
        pl.when(fits).then(parts["y"]).otherwise(pl.col("y")).alias("y"),
        pl.when(fits).then(parts["b"].zip_with(first.fill_null(False), parts["a"])).otherwise(pl.col("m")).alias("m"),
        pl.when(fits).then(parts["a"].zip_with(first.fill_null(False), parts["b"])).otherwise(pl.col("d")).alias("d"),
        pl.when(fits).then(rest).otherwise(pl.col("rest")).alias("rest"),
    )
    return clock, parts["date"] & parts["choice"].is_null(), (numbers["digits"] == 2).fill_null(False)


def _moments(clock: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """``y``, ``m``, ``d`` and the ``rest`` of each string as a moment, and the reason where it names a time zone."""
    parts = clock["rest"].str.extract_groups(_BETWEEN + _CLOCK).struct.unnest()
    parts.columns = ["half", "hour", "minute", "second", "fraction", "english", "zone"]
    parts = pl.concat([clock.select("y", "m", "d"), parts], how="horizontal")
    zone, hour = pl.col("zone"), pl.col("hour").cast(pl.Int64)
    offset = zone.str.extract(r"([+-].*)$")
    named = (zone.is_not_null() & offset.is_null() & ~zone.is_in(["z", "utc", "gmt"])).fill_null(False)
    late = pl.col("half").is_in(["下午", "晚上"]) | pl.col("english").str.starts_with("p")
    early = pl.col("half").is_in(["上午", "凌晨", "早上"]) | pl.col("english").str.starts_with("a")
    hour = (
        pl.when(late.fill_null(False) & (hour < 12))
        .then(hour + 12)
        .when(early.fill_null(False) & (hour == 12))
        .then(0)
        .otherwise(hour)
    )
    invalid = pl.col("english").is_not_null() & (pl.col("hour").cast(pl.Int64) > 12)
    pad = lambda value: value.cast(pl.String).fill_null("0").str.zfill(2)  # noqa: E731
    whole = pl.format(
        "{}-{}-{} {}:{}:{}", "y", *map(pad, (pl.col("m"), pl.col("d"), hour, pl.col("minute"), pl.col("second")))
    )
    micros = pl.col("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = offset.str.extract(r"^...:?([0-9]{2})$").cast(pl.Int64).fill_null(0)  # PostgreSQL: +08
    odd = hour.is_null() & offset.str.contains(r"^[+-][0-9]{2}$")  # 2024-01-02-05 is no date
    fits = parts["zone"].is_not_null() | clock["rest"].str.contains(_BETWEEN + _CLOCK)
    read = parts.select(
        (
            pl.when(pl.lit(fits) & ~odd.fill_null(False) & ~named & ~invalid.fill_null(False))
            .then(whole)
            .str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
            + pl.duration(microseconds=micros)
            - pl.duration(minutes=(hours * 60 + minutes) * sign)
        ).alias("moment"),
        pl.when(named & pl.lit(fits) & pl.col("y").is_not_null())
        .then(pl.concat_str(pl.lit(NAMED_ZONE), zone.replace_strict(_MEANINGS, default="")))
        .alias("named"),
    )
    return read["moment"], read["named"]
