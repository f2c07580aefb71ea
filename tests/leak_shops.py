"""Small datasets with planted leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from tuwen import workflow

WORDS = [
    "river",
    "copper",
    "violet",
    "engine",
    "market",
    "saddle",
    "winter",
    "pepper",
    "lantern",
    "harbour",
    "cotton",
    "marble",
    "thunder",
    "basket",
    "feather",
    "glacier",
    "pocket",
    "ribbon",
    "timber",
    "velvet",
    "walnut",
    "canyon",
    "domino",
    "ember",
    "falcon",
    "garnet",
    "hollow",
    "island",
    "jungle",
    "kettle",
]


def sentence(rng: np.random.Generator, words: int = 12) -> str:
    return " ".join(rng.choice(WORDS, words))


def planted(
    folder: Path, rows: dict[str, list[Any]], run: dict[str, Any], extra: dict[str, Any] | None = None
) -> tuple[Path, Path]:
    """A dataset of items and a RUN.yaml over it."""
    pl.DataFrame(rows).write_csv(folder / "items.csv")
    shop = {"name": "s", "items": {"source": "items.csv", **(extra or {})}}
    (folder / "SHOP.yaml").write_text(yaml.safe_dump(shop, allow_unicode=True), encoding="utf-8")
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    written = {
        "name": "r",
        "rows": {"table": "items"},
        "split": {"use": "column", "column": "items.part", "test": ["b"]},
    }
    (folder / "RUN.yaml").write_text(yaml.safe_dump({**written, **run}, allow_unicode=True), encoding="utf-8")
    return folder / "RUN.yaml", folder / "dataset"


def leaks(run: Path, dataset: Path, *overrides: str) -> dict[str, dict[str, Any]]:
    """Kind → leak, of what check tells."""
    found = workflow.check(run, overrides, dataset)["data"]
    assert all(leak["en"] in found["warnings"] for leak in found["leaks"])
    return {leak["kind"]: leak for leak in found["leaks"]}


TEXT = {"text": {"use": "text", "columns": ["items.title"], "tokens": "word-ngram", "encoder": "ngram"}}
