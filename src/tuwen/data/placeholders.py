"""The picture for "no picture": one that many items of no common name share. It says nothing about any of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

LEAST_ITEMS = 10  # items that share a picture
LEAST_SHARE = 0.02  # of the items that have one
MANY_ITEMS = 500  # enough, however large the shop
COMMON_WORD = 0.7  # of the titles: sizes of one product share its name and its picture
_WORD = re.compile(r"[^\W\d_\u4e00-\u9fff]+|[\u4e00-\u9fff]")


def placeholders(items: pl.DataFrame) -> dict[str, int]:
    """Media key → the items that show it, for each picture that looks like a placeholder, most items first.

    Args:
        items: with ``images`` as media keys; ``title`` where the shop has it.
    """
    if "images" not in items.columns:
        return {}
    pictures = items.with_row_index("row").select("row", key="images").explode("key").drop_nulls("key").unique()
    counts = pictures.group_by("key").len("items").sort(pl.col("items"), "key", descending=[True, False])
    least = max(LEAST_ITEMS, min(MANY_ITEMS, LEAST_SHARE * pictures["row"].n_unique()))
    placeholder_counts: dict[str, int] = {}
    for key, count in counts.filter(pl.col("items") >= least).iter_rows():
        rows = pictures.filter(pl.col("key") == key)["row"]
        if "title" not in items.columns or not _share_a_word(items["title"].gather(rows).to_list()):
            placeholder_counts[key] = count
    return placeholder_counts


def placeholder_note(counts: Mapping[str, int], names: Mapping[str, str], items: int) -> str:
    """Return one note about all placeholders.

    Args:
        names: reference → media key.
        items: of the shop.
    """
    key, count = next(iter(counts.items()))
    name = min((reference for reference, other in names.items() if other == key), default=key)
    more = f" ({len(counts)} such pictures)" if len(counts) > 1 else ""
    return (
        f"items: one picture, {name[:100]!r}, is that of {count:,} of {items:,} items{more}: it is left out where "
        "items are compared by looks; if it stands for 'no picture', say so in SHOP.yaml: "
        "media: {placeholders: [FILE]}"
    )


def without_placeholders(items: pl.DataFrame, manifest: Mapping[str, Any], column: str = "images") -> pl.DataFrame:
    """The items without the pictures that collect took for placeholders: what they share is not how they look."""
    keys: Collection[str] = manifest.get("pictures", {}).get("placeholders", ())
    if not keys or column not in items.columns:
        return items
    real_keys = pl.element().filter(~pl.element().is_in(list(keys)))
    return items.with_columns(pl.col(column).list.eval(real_keys))


def without_named(keys: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Reference → media key, without the pictures that the shop calls placeholders, under whatever name they stand.

    Args:
        names: references, or the last part of their paths; case does not count.
    """
    hidden = {name.casefold() for name in names}
    gone = {
        key
        for reference, key in keys.items()
        if not hidden.isdisjoint((reference.casefold(), re.split(r"[/\\]", reference)[-1].casefold()))
    }
    return {reference: key for reference, key in keys.items() if key not in gone}


def _share_a_word(titles: list[str | None]) -> bool:
    """Whether most titles have a word in common."""
    words = Counter(word for title in titles for word in set(_WORD.findall((title or "").casefold())))
    return bool(words) and words.most_common(1)[0][1] >= COMMON_WORD * len(titles)
