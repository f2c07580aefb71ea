"""Read numbers as people and spreadsheets write them: currencies, thousands, decimal commas.

Most numbers can be read in one way only. ``1.299`` and ``1,299`` cannot: the rest of their column
decides (:mod:`tuwen.data.dialects`).
"""

from __future__ import annotations

from typing import Literal

import polars as pl

Decimal = Literal[".", ",", "mixed", "plain"]

PERCENT, TWO_MEANINGS = "a percentage", "thousands or decimals, not clear"
_DIGITS = {
    chr(zero + n): str(n) for zero in (0xFF10, 0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50) for n in range(10)
}  # full width, Arabic, Persian, Hindi, Bengali, Thai
_PLAIN = (
    {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
    | _DIGITS
    | dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u3000\t", " ")
    | dict.fromkeys("’‘ʼ´`′", "'")
    | dict.fromkeys("−–—‒‐‑﹣", "-")
    | {"￥": "¥", "￡": "£", "￦": "₩", "٫": ".", "٬": "'", "\u200e": "", "\u200f": "", "\u00ad": ""}
)
_CODES = (  # ISO 4217, and how else people write a currency
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL "
    "HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR "
    "RMB RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS "
    "UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL"
)
_WORDS = (
    "$ € £ ¥ ₹ ₩ ₽ ₺ ₫ ₱ ฿ ₪ ₴ ₦ ₡ ₲ ₵ ₸ ₼ ₾ ₭ ₮ ₨ ƒ 元 円 圆 圓 块 塊 人民币 人民幣 원 US$ U$S USD$ HK$ A$ AU$ C$ "
    "CA$ CAD$ NT$ NTD$ S$ SG$ NZ$ R$ MX$ AR$ CL$ COL$ CN¥ JP¥ RMB¥ EURO EUROS KR KRONER KRONOR ZŁ ZL KČ KC FT LEI "
    "ЛВ РУБ Р ГРН RS RP RM FR SFR FRS TL DH DHS NT NTD STG"
)
_CURRENCIES = frozenset(_CODES.split()) | frozenset(_WORDS.split())
_GROUPED = r"[1-9][0-9]{0,2}(?:%s[0-9]{3})+"
_INDIAN = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_ANY = rf"[0-9]+|{_GROUPED % ' '}|{_GROUPED % chr(39)}"
_POINT = rf"^(?:(?:{_ANY}|{_GROUPED % ','}|{_INDIAN})(?:\.[0-9]+)?|\.[0-9]+)$"
_COMMA = rf"^(?:(?:{_ANY}|{_GROUPED % '[.]'})(?:,[0-9]+)?|,[0-9]+)$"


def amounts(text: pl.Series, decimal: Decimal | None = None) -> tuple[pl.Series, pl.Series]:
    """Numbers, and why a string is none (null where all that can be said is that it is none).

    Args:
        decimal: what ``1.299`` and ``1,299`` mean: the mark of decimals in their column; ``mixed``:
            both marks are in use, and neither can be read; ``plain``: there is no column, and only
            what a program may have written (``1.299``) has a point; None: nothing is known, and the
            point it is.
    """
    frame = _parts(text)
    point, comma = pl.col("point"), pl.col("comma")
    mark: pl.Expr = pl.lit(None, pl.Float64) if decimal in ("mixed", "plain") else comma if decimal == "," else point
    number = pl.when(pl.col("doubt")).then(mark).otherwise(pl.coalesce(point, comma))
    reason = (
        pl.when(pl.col("percent"))
        .then(pl.lit(PERCENT))
        .when(pl.col("doubt") & pl.lit(decimal in ("mixed", "plain")))
        .then(pl.lit(TWO_MEANINGS))
    )
    read = frame.select((number * pl.col("factor")).alias(text.name or "number"), reason.alias("reason"))
    return read.to_series(0), read.to_series(1)


def marks(text: pl.Series) -> pl.DataFrame:
    """Return what each string tells about the decimal mark of its column.

    Returns:
        ``mark``: ``.`` or ``,`` where it can be read in that way only, ``?`` where in both ways with
        different values, else null; ``currency``: in capitals, null where there is none.
    """
    point, comma = pl.col("point"), pl.col("comma")
    mark = (
        pl.when(pl.col("doubt"))
        .then(pl.lit("?"))
        .when(point.is_not_null() & comma.is_null())
        .then(pl.lit("."))
        .when(comma.is_not_null() & point.is_null())
        .then(pl.lit(","))
    )
    return _parts(text).select(mark.alias("mark"), pl.col("currency"))


def _parts(text: pl.Series) -> pl.DataFrame:
    """``point`` and ``comma`` (the number either way), ``doubt``, ``factor``, ``percent``, ``currency`` of strings."""
    plain = text.str.replace_many(_PLAIN).str.strip_chars().str.to_uppercase().alias("text")
    frame = plain.to_frame()
    groups = frame.select(
        pl.col("text").str.extract(r"^([^0-9]*)[0-9]").alias("before"),
        pl.col("text").str.extract(r"([0-9](?:[0-9.,' ]*[0-9])?)").alias("body"),
        pl.col("text").str.extract(r"^[^0-9]*[0-9](?:[0-9.,' ]*[0-9])?([^0-9]*)$").alias("after"),
    )
    lead = pl.col("before").str.extract(r"(?:^|[^\p{L}.,])([.,])$").fill_null("")
    body = pl.concat_str(lead, pl.col("body"))
    after = pl.col("after").str.replace(r"^[.,] ?-{1,2}", "")  # 12,- and 12.--
    groups = groups.with_columns(body.alias("body"), after.alias("after"))
    signs = pl.concat_str(
        pl.col("before").str.replace_all(r"[^+(-]", ""), pl.lit("|"), pl.col("after").str.replace_all(r"[^)-]", "")
    )
    first = pl.col("before").str.replace_all(r"[ .,+(-]", "")
    second = pl.col("after").str.replace_all(r"[ .,)-]", "")
    symbols = ["", *_CURRENCIES]
    valid = first.is_in(symbols) & second.is_in(symbols)
    factor = (
        pl.when(valid & signs.is_in(["|", "+|"])).then(1.0).when(valid & signs.is_in(["-|", "(|)", "|-"])).then(-1.0)
    )
    groups = groups.select(
        factor.alias("factor"),
        second.is_in(["%", "‰"]).fill_null(False).alias("percent"),
        pl.when(valid & (pl.concat_str(first, second) != ""))
        .then(pl.coalesce(first.replace("", None), second))
        .alias("currency"),
        _read(".", ",").alias("point"),
        _read(",", ".").alias("comma"),
    )
    return groups.with_columns(
        pl.when(pl.col("factor").is_not_null()).then(pl.col(name)).alias(name) for name in ("point", "comma")
    ).with_columns((pl.col("point") != pl.col("comma")).fill_null(False).alias("doubt"))


def _read(decimal: str, thousands: str) -> pl.Expr:
    """Read the body as a number with this decimal mark. Null if it is none."""
    body = pl.col("body")
    digits = body.str.replace_all(rf"[{thousands}' ]", "").str.replace(decimal, ".", literal=True)
    fits = body.str.contains(_POINT if decimal == "." else _COMMA)
    return pl.when(fits).then(digits.cast(pl.Float64, strict=False))
