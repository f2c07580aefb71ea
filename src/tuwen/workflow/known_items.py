"""Judgments without judges: an item is looked for by some words of its own title, and counts as the only answer."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.files import whole
from tuwen.preprocess.terms import STOP_WORDS, asked

MOST_QUERIES = 60
LEAST_QUERIES = 5


def write_known_items(dataset: Dataset, path: Path) -> int:
    """Write judgments as ``tuwen judge`` reads them: ``query``, ``item``, ``rating``; returns how many.

    The query is every second word of a title. Items are drawn by the hash of their key, so the same are asked for each
    time. Another item may well answer such a query, and counts as wrong: what the report says of search is too low.

    Raises:
        DataError: too few items have a title.
    """
    items = dataset.table("items")
    queries: dict[str, str] = {}
    titles = items.select("item", "title").drop_nulls().rows() if "title" in items.columns else []
    for item, title in sorted(titles, key=lambda row: hashlib.sha256(row[0].encode()).digest()):
        words = [word for word, _ in asked(title) if word not in STOP_WORDS]
        if words and (query := " ".join(words[::2])) not in queries:
            queries[query] = item
        if len(queries) == MOST_QUERIES:
            break
    if len(queries) < LEAST_QUERIES:
        raise DataError("too few items have a title to look for", seen=f"{len(queries)}", allowed=f"{LEAST_QUERIES}")
    frame = pl.DataFrame({"query": list(queries), "item": list(queries.values())})
    with whole(path) as file:
        frame.with_columns(pl.lit(1.0).alias("rating")).write_parquet(file)
    return len(queries)


def example_words(dataset: Dataset) -> list[str]:
    """Words to try a search with: the most frequent English and Chinese word that not every title has."""
    items = dataset.table("items")
    titles = items["title"].drop_nulls().to_list() if "title" in items.columns else []
    counts: dict[str, int] = {}
    for title in titles:
        for word in {word for word, _ in asked(title)} - STOP_WORDS:
            counts[word] = counts.get(word, 0) + 1
    usual = {word: count for word, count in counts.items() if count <= max(1, len(titles) // 3) and len(word) > 1}
    found = []
    for is_kind in (lambda word: word.isascii() and word.isalpha() and len(word) > 2, lambda word: not word.isascii()):
        words = sorted((-count, word) for word, count in usual.items() if is_kind(word))
        found += [words[0][1]] if words else []
    return found
