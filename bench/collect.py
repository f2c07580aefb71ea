"""Collect against the bare minimum: read the same Parquet file with Polars and decode every picture with Pillow.

    python bench/collect.py [--rows 20000]

Prints one JSON line; ``ratio`` is bare seconds / collect seconds (goal: 0.5 or more). Both run here and now, in turn,
three times; the best of each counts. Collect does far more with each picture: hash, check, strip, pack, index.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import simplejpeg
from PIL import Image

from tuwen.config import Shop
from tuwen.data.collect import collect

REAL = Path(__file__).parents[2] / "shared" / "data" / "fashion" / "items.parquet"


def catalogue(rows: int) -> pl.DataFrame:
    """Items with pictures: the fashion set where it is at hand, else drawn ones of the same size."""
    if REAL.exists():
        return pl.read_parquet(REAL).head(rows)
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 60, (rows, 8, 6, 3), dtype=np.uint8)
    pixels = (np.kron(g, np.ones((10, 10, 1), np.uint8)) + 150 for g in grain)
    pictures = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), quality=85) for p in pixels]
    return pl.DataFrame({"item": [str(i) for i in range(rows)], "title": "an item", "image": pictures})


def bare(path: Path) -> None:
    for data in pl.read_parquet(path)["image"]:
        Image.open(io.BytesIO(data)).convert("RGB")


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        items = catalogue(rows)
        items.write_parquet(folder / "items.parquet")
        shop = Shop(name="bench", root=name, items={"source": "items.parquet", "columns": {"images": "image"}})
        plain, whole, again = [], [], []
        for _ in range(3):
            shutil.rmtree(folder / "dataset", ignore_errors=True)
            plain.append(seconds(lambda: bare(folder / "items.parquet")))
            whole.append(seconds(lambda: collect(shop, folder / "dataset")))
            again.append(seconds(lambda: collect(shop, folder / "dataset")))
        result = {
            "bench": "collect",
            "rows": items.height,
            "pictures": "fashion" if REAL.exists() else "drawn",
            "bare_seconds": round(min(plain), 3),
            "collect_seconds": round(min(whole), 3),
            "second_collect_seconds": round(min(again), 3),
            "ratio": round(min(plain) / min(whole), 3),
            "goal": 0.5,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
