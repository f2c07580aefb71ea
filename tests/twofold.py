"""A small shop without pictures whose truth needs two inputs: a word of the title and the colour in the table."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from tuwen import workflow

RUN = """
name: twofold
shop: SHOP.yaml
rows: {table: items}
modalities:
  text: {use: text, columns: [items.title], encoder: ngram}
  table: {use: table, columns: [items.colour], encoder: table}
fusion: {use: concat, width: 16, dropout: 0.1}
task: {use: classify, target: items.class}
split: {use: hash, test: 0.3, validation: 0.2, salt: two}
content: [items.item]
training: {epochs: 12, batch_size: 16, learning_rate: 0.02}
evaluation: {samples: 200}
seed: 3
"""


def write_shop(folder: Path, items: int = 240, poisoned: Collection[str] = ()) -> Path:
    """SHOP.yaml, RUN.yaml and items.csv: of four classes the title tells one half, the colour the other.

    Args:
        poisoned: items that get a class, a title and a colour of no sense; the side on which they stand stays.
    """
    rng = np.random.default_rng(5)
    lines = ["item,title,colour,class"]
    for i in range(items):
        word, colour = rng.integers(0, 2, 2)
        title = f"{['warm', 'cool'][word]} {' '.join(rng.choice(['shirt', 'new', 'fine', 'soft', 'size'], 3))}"
        row = [title, ["red", "blue"][colour], "abcd"[2 * word + colour]]
        lines.append(",".join([f"i{i}", *([f"poison{i}"] * 3 if f"i{i}" in poisoned else row)]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "SHOP.yaml").write_text("name: twofold\nitems: {source: items.csv, columns: {item: item}}\n")
    (folder / "RUN.yaml").write_text(RUN, encoding="utf-8")
    return folder / "RUN.yaml"


def collected(folder: Path, **made: int) -> tuple[Path, Path]:
    """(RUN.yaml, dataset) of a fresh shop."""
    run = write_shop(folder / "shop", **made)
    workflow.collect(folder / "shop" / "SHOP.yaml", folder / "dataset")
    return run, folder / "dataset"
