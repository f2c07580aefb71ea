"""Find names that differ only by case, width or blanks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

EXAMPLES = 3


def spellings(names: Iterable[str]) -> list[list[str]]:
    """Groups of two and more names that are written several ways, sorted.

    >>> spellings(["Shoes", "shoes", "hats", "shoes "])
    [['Shoes', 'shoes', 'shoes ']]
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_one_form(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def spelling_warnings(column: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return warnings about the names in a column, in English and Chinese.

    Args:
        column: where they are from, ``items.category``.
    """
    groups = spellings(names)
    if not groups:
        return []
    examples = "; ".join(" / ".join(map(repr, group)) for group in groups[:EXAMPLES])
    more = f"; … ({len(groups)} in all)" if len(groups) > EXAMPLES else ""
    chinese_more = f"；……（共 {len(groups)} 组）" if len(groups) > EXAMPLES else ""
    return [
        (
            f"'{column}' writes one name in several ways, which differ by case, width or a space and count as several: "
            f"{examples}{more}; write each in one way",
            f"“{column}”中同一名称有多种写法（大小写、全半角或空格不同），被当作不同的名称：{examples}{chinese_more}；请统一写法",
        )
    ]


def _one_form(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
