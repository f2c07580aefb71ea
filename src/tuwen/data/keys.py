"""Keys as exports write them → the keys that are meant: without guards for spreadsheets, and without words for nothing.

A spreadsheet turns ``00123`` into 123, so exports write ``="00123"``, ``'00123`` or a control character before it.
"""

from __future__ import annotations

import polars as pl

# "NA" only in capitals, as R writes it; the others in any case.
_WORDS = "null|none|nan|nil|nat|n/a|#n/a|undefined|<na>|<null>|(null)|(none)|[null]|-|--|\\n"
_CHINESE_WORDS = "无|空|（空）|(空)|无数据|暂无"
NOTHING = frozenset(f"{_WORDS}|{_CHINESE_WORDS}".split("|"))
_EDGES = r"^[\s\p{Cc}\p{Cf}]+|[\s\p{Cc}\p{Cf}]+$"
_FORMULA = r'^=\s*"([^"]*)"$'
_APOSTROPHE = r"^'([\s\p{Cc}\p{Cf}]*[0-9=+\-@＝＋－＠﹦﹢﹣﹫].*)$"


def plain_keys(text: pl.Series) -> pl.Series:
    """Strings as keys: nothing around them, null where they say that there is none.

    >>> plain_keys(pl.Series(['="00123"', "'00123", "\\x1f00123 ", "NULL", "O'Neil"])).to_list()
    ['00123', '00123', '00123', None, "O'Neil"]
    """
    plain = text.str.replace_all(_EDGES, "")
    if plain.str.contains(r"^[=']").any():
        plain = plain.str.replace(_FORMULA, "$1").str.replace(_APOSTROPHE, "$1").str.replace_all(_EDGES, "")
    nothing = plain.str.to_lowercase().is_in(list(NOTHING)) | plain.is_in(["", "NA"])
    return plain.set(nothing.fill_null(False), None)


def is_nothing(text: str) -> bool:
    """Whether a key is a program's word for "no value"."""
    return text == "NA" or text.lower() in NOTHING
