"""Read numbers as people and spreadsheets write them: currencies, thousands, decimal commas, lakh and 万.

Most numbers can be read in one way only. ``1.299`` and ``1,299`` cannot: the rest of their column
decides (:mod:`tuwen.data.dialects`).
"""

from __future__ import annotations

from typing import Literal

import polars as pl

Decimal = Literal[".", ",", "mixed"]

PERCENT, TWO_MEANINGS = "a percentage", "thousands or decimals, not clear"
MULTIPLIER = "a multiplier or a unit, not clear"
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
    "ЛВ РУБ Р ГРН RS RP RM FR SFR FRS TL DH DHS NT NTD STG KSH TSH USH"
)
_CURRENCIES = frozenset(_CODES.split()) | frozenset(_WORDS.split())
_MULTIPLIERS = {  # words behind a number → zeros
    "K TSD THOUSAND TAUSEND RIBU RB ТЫС 千 仟 천": 3,
    "万 萬 만": 4,
    "LAKH LAKHS LAC LACS 十万 十萬": 5,
    "MILLION MILLIONS MILLIONEN MIO MLN MN JUTA JT МЛН 百万 百萬 백만": 6,
    "CRORE CRORES 千万 千萬 천만": 7,
    "亿 億 억": 8,
    "MRD MILLIARD МЛРД": 9,
}
_ZEROS = {word: str(zeros) for words, zeros in _MULTIPLIERS.items() for word in words.split()}
_UNCLEAR = ("M", "MM", "B", "BN", "BILLION", "BIO", "T", "CR", "L", "MIL")  # a million, a metre, a thousand of Rome, …
_GROUPED = r"[1-9][0-9]{0,2}(?:%s[0-9]{3})+"
_INDIAN = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_ANY = rf"[0-9]+|{_GROUPED % ' '}|{_GROUPED % chr(39)}"
_POINTED = rf"^(?:{_ANY}|{_GROUPED % ','}|{_INDIAN})$"  # without decimals
_COMMAED = rf"^(?:{_ANY}|{_GROUPED % '[.]'})$"
_POINT = rf"^(?:(?:{_ANY}|{_GROUPED % ','}|{_INDIAN})(?:\.[0-9]+)?|\.[0-9]+)$"
_COMMA = rf"^(?:(?:{_ANY}|{_GROUPED % '[.]'})(?:,[0-9]+)?|,[0-9]+)$"
_NO_CENTS = r"^ ?(?:[.,] ?-{1,2}|/ ?[-=]{1,2})"  # 12,- and 12.-- and 12/- and 12/=
_CENTS = r"^([^0-9]*[0-9][0-9.,' ]*)([€$£])([0-9]{2})([^0-9]*)$"  # 12€50


_FIRST_WORD = "|".join(sorted((*_ZEROS, *_UNCLEAR), key=len, reverse=True))


def amounts(
    text: pl.Series,
    decimal: Decimal | None = None,
    low: float = float("-inf"),
    high: float = float("inf"),
) -> tuple[pl.Series, pl.Series]:
    """Numbers, and why a string is none (null where all that can be said is that it is none).

    Args:
        decimal: what ``1.299`` and ``1,299`` mean: the mark of decimals in their column; ``mixed``: both marks are in
            use; None: nothing is known. Where it tells nothing, they are read only if one meaning alone lies between
            ``low`` and ``high``.
    """
    frame = _parts(text)
    point, comma = (pl.col(name) * pl.col("factor") for name in ("point", "comma"))
    fits, also = point.is_between(low, high), comma.is_between(low, high)
    by_range = pl.when(fits & ~also).then(point).when(also & ~fits).then(comma)
    doubtful: pl.Expr = {".": point, ",": comma}.get(decimal or "", by_range)
    number = pl.when("doubt").then(doubtful).otherwise(pl.coalesce(point, comma))
    reason = (
        pl.when("percent")
        .then(pl.lit(PERCENT))
        .when("unclear")
        .then(pl.lit(MULTIPLIER))
        .when(pl.col("doubt") & number.is_null())
        .then(pl.lit(TWO_MEANINGS))
    )
    read = frame.select(number.alias(text.name or "number"), reason.alias("reason"))
    return read.to_series(0), read.to_series(1)


def marks(text: pl.Series) -> pl.DataFrame:
    """Return what each string tells about the decimal mark of its column.

    Returns:
        ``mark``: ``.`` or ``,`` where it can be read in that way only, ``?.`` or ``?,`` (the mark that it
        has) where in both ways with different values, else null; ``currency``: in capitals, null where
        there is none.
    """
    point, comma = pl.col("point"), pl.col("comma")
    mark = (
        pl.when(pl.col("doubt"))
        .then(pl.when(point < comma).then(pl.lit("?.")).otherwise(pl.lit("?,")))
        .when(point.is_not_null() & comma.is_null())
        .then(pl.lit("."))
        .when(comma.is_not_null() & point.is_null())
        .then(pl.lit(","))
    )
    return _parts(text).select(mark.alias("mark"), pl.col("currency"))


def _parts(text: pl.Series) -> pl.DataFrame:
    """Return what strings say.

    Returns:
        ``point`` and ``comma`` (the number either way), ``doubt``, ``factor`` (its sign), ``percent``, ``unclear`` (a
        multiplier of several meanings), ``currency``.
    """
    plain = text.str.replace_many(_PLAIN).str.strip_chars().str.to_uppercase().alias("text")
    groups = _groups(plain.to_frame())
    signs = pl.concat_str(
        pl.col("before").str.replace_all(r"[^+(-]", ""), pl.lit("|"), pl.col("after").str.replace_all(r"[^)-]", "")
    )
    first = pl.col("before").str.replace_all(r"[ .,+(-]", "")
    second = pl.col("after").str.replace_all(r"[ .,)-]", "")
    symbols = ["", *_CURRENCIES]
    word = second.str.extract(rf"^({_FIRST_WORD})", 1)
    split = ~second.is_in(symbols) & word.is_not_null()
    rest = pl.when(split).then(second.str.strip_prefix(word)).otherwise(second)
    split = split & rest.is_in(symbols)
    valid = first.is_in(symbols) & rest.is_in(symbols)
    factor = (
        pl.when(valid & signs.is_in(["|", "+|"])).then(1.0).when(valid & signs.is_in(["-|", "(|)", "|-"])).then(-1.0)
    )
    groups = groups.with_columns(pl.when(split).then(word).replace_strict(_ZEROS, default=None).alias("zeros"))
    unclear = (split & pl.col("zeros").is_null()).fill_null(False)
    groups = groups.select(
        pl.when(~unclear).then(factor).alias("factor"),
        second.is_in(["%", "‰"]).fill_null(False).alias("percent"),
        (unclear & factor.is_not_null()).alias("unclear"),
        pl.when(valid & (pl.concat_str(first, rest) != ""))
        .then(pl.coalesce(first.replace("", None), rest))
        .alias("currency"),
        _read(".", ",").alias("point"),
        _read(",", ".").alias("comma"),
    )
    return groups.with_columns(
        pl.when(pl.col("factor").is_not_null()).then(pl.col(name)).alias(name) for name in ("point", "comma")
    ).with_columns((pl.col("point") != pl.col("comma")).fill_null(False).alias("doubt"))


def _groups(text: pl.DataFrame) -> pl.DataFrame:
    """``before``, ``body`` and ``after`` of numbers, their ``cents`` where a sign parts them (``12€50``), and whether
    they are ``whole`` (``12,-``).
    """
    parted = pl.col("text").str.extract_groups(_CENTS)
    text = text.with_columns(
        parted.struct.field("3").alias("cents"),
        pl.when(parted.struct.field("3").is_not_null())
        .then(pl.concat_str(*(parted.struct.field(name) for name in "124")))
        .otherwise(pl.col("text"))
        .alias("text"),
    )
    groups = text.select(
        "cents",
        pl.col("text").str.extract(r"^([^0-9]*)[0-9]").alias("before"),
        pl.col("text").str.extract(r"([0-9](?:[0-9.,' ]*[0-9])?)").alias("body"),
        pl.col("text").str.extract(r"^[^0-9]*[0-9](?:[0-9.,' ]*[0-9])?([^0-9]*)$").alias("after"),
    )
    lead = pl.col("before").str.extract(r"(?:^|[^\p{L}.,])([.,])$").fill_null("")
    whole = pl.col("after").str.contains(_NO_CENTS) | pl.col("cents").is_not_null()
    return groups.with_columns(
        pl.concat_str(lead, pl.col("body")).alias("body"),
        pl.col("after").str.replace(_NO_CENTS, ""),
        whole.fill_null(False).alias("whole"),
    )


def _read(decimal: str, thousands: str) -> pl.Expr:
    """Read the body as a number with this decimal mark. Null if it is none."""
    body = pl.col("body")
    digits = body.str.replace_all(rf"[{thousands}' ]", "").str.replace(decimal, ".", literal=True)
    any_form, whole_form = (_POINT, _POINTED) if decimal == "." else (_COMMA, _COMMAED)
    fits = pl.when("whole").then(body.str.contains(whole_form)).otherwise(body.str.contains(any_form))
    cents = pl.concat_str(pl.lit("."), pl.col("cents")).fill_null("")
    zeros = pl.concat_str(pl.lit("E"), pl.col("zeros")).fill_null("")  # 1.1E4 is exact, 1.1 × 10,000 is not
    return pl.when(fits).then(pl.concat_str(digits, cents, zeros).cast(pl.Float64, strict=False))
