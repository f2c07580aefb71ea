"""Write the sample shop: CSV files, a folder of photographs, SHOP.yaml, RUN.yaml and the truth behind them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tuwen.data.sample.pictures import draw_item
from tuwen.data.sample.taste import Item, Review, User, best_rmse, go_shopping, make_items, make_users
from tuwen.data.sample.words import BRANDS, CITIES, COLOURS, KINDS
from tuwen.errors import DataError
from tuwen.files import publish, room_on_disk
from tuwen.outputs import Ready, finish, folders_above

SHOP_YAML = """\
# A sample shop as it would leave a shop's own system: three encodings, its own column names, a few broken rows.
name: lantern-and-loom
items:
  source: items.csv              # UTF-8 with a byte order mark, as spreadsheets write it
  columns: {item: sku, title: name, images: [photo_1, photo_2]}
users:
  source: users.csv
  columns: {user: customer}
reviews:
  source: reviews.csv            # GB18030, as many Chinese systems write it
  encoding: gb18030
  columns: {review: number, user: customer, item: sku, time: date, rating: stars, text: comment}
events:
  source: events.csv
  columns: {user: customer, item: sku, time: at, kind: action, quantity: qty, value: amount}
rating_range: [1, 5]
media:
  root: photos
"""

RUN_YAML = """\
# Stars of a review from its words and the item's picture: y = wᵀ concat(lstm(text), cnn(picture)) + b.
name: sample
shop: SHOP.yaml
rows: {table: reviews}
modalities:
  text:
    use: text
    columns: [reviews.text]
    length: 40
    encoder: lstm
  picture:
    use: image
    columns: [items.images]
    size: 56
    encoder: {use: cnn, channels: [16, 32, 32], pool: average, norm: true}
fusion: {use: concat, width: 64}
task: {use: rate, target: reviews.rating}
split: {use: time, column: reviews.time}
training:
  epochs: 8
  batch_size: 32
  learning_rate: 0.004
  schedule: cosine
  gradient_clip: 1.0
seed: 0
"""

HTML_PAGE = b"<!doctype html><title>404</title><p>This picture has moved.</p>"


class Planted(NamedTuple):
    """What is bad in one file: rows that collect rejects, and rows that it keeps without the one bad cell."""

    rejected: int
    emptied: int


@dataclass(frozen=True)
class Photo:
    name: str
    item: Item
    seed: tuple[int, ...]


def write_sample_shop(folder: str | Path, *, items: int = 400, seed: int = 0) -> Path:
    """Write a made-up shop, the same for the same ``items`` and ``seed``.

    ``items.csv`` (UTF-8 with BOM), ``users.csv``, ``reviews.csv`` (GB18030), ``events.csv``, ``photos/`` (drawn JPEGs),
    ``SHOP.yaml``, ``RUN.yaml`` and ``truth.json``: what was planted. Some items have no picture, some pictures are
    broken, some rows and some cells are bad; ``truth.json`` tells them, and under ``best_rmse`` the expected RMSE in
    stars of the best possible reader of nothing, of the picture, of the text and of both (the model is in
    :mod:`tuwen.data.sample.taste`).

    Args:
        folder: made if it is not there; files of an earlier sample shop are replaced.
        items: how many items, at least 8; users and reviews grow with it.
        seed: another seed is another shop.

    Returns:
        The path of SHOP.yaml.

    Raises:
        DataError: too few items, or ``folder`` holds something else.
    """
    if items < 8:
        raise DataError("a sample shop needs more items", seen=items, allowed="8 or more")
    folder = Path(folder)
    shop_yaml = folder / "SHOP.yaml"
    if folder.exists() and not shop_yaml.is_file() and any(folder.iterdir()):
        raise DataError(
            "the folder holds something else than a sample shop", where=str(folder), todo="name another folder"
        )
    half = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.half")
    with room_on_disk(folder), folders_above(half):
        shutil.rmtree(half, ignore_errors=True)
        try:
            _write_shop(half, items, seed)
            if shop_yaml.is_file():  # a dataset may stand beside it
                _replace_files(half, folder)
            else:
                publish(half, folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return shop_yaml


def _replace_files(half: Path, folder: Path) -> None:
    """Move the files of one folder over those of another in one step; its other files stay."""
    finish(folder)
    files = [path for path in sorted(half.rglob("*")) if path.is_file()]
    with Ready(folder) as ready:
        for path in files:
            waiting = ready.path(path.relative_to(half).as_posix())
            waiting.parent.mkdir(parents=True, exist_ok=True)
            path.replace(waiting)
        ready.place()


def _write_shop(folder: Path, items: int, seed: int) -> None:
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    goods, users = make_items(items, rng), make_users(max(4, items // 2), rng)
    shopping = go_shopping(goods, users, rng)
    names = _plan_photos(goods, rng)
    broken = _write_photos(photos, [p for pair in names.values() for p in pair], seed, rng)

    planted = {
        "items": _write_items(folder / "items.csv", goods, names),
        "users": _write_users(folder / "users.csv", users, rng),
        "reviews": _write_reviews(folder / "reviews.csv", shopping.reviews),
    }
    header = ("customer", "sku", "at", "action", "qty", "amount", "session")
    _write_csv(
        folder / "events.csv",
        header,
        ((e.user, e.sku, e.time, e.action, e.quantity, e.amount, e.session) for e in shopping.events),
    )
    _write_truth(folder / "truth.json", goods, shopping.reviews, names, broken, planted, seed)
    (folder / "RUN.yaml").write_text(RUN_YAML, encoding="utf-8")
    (folder / "SHOP.yaml").write_text(SHOP_YAML, encoding="utf-8")


def _plan_photos(goods: list[Item], rng: np.random.Generator) -> dict[str, list[Photo]]:
    """Photos by item: mostly one, for three in ten two, for one in sixteen none."""
    planned: dict[str, list[Photo]] = {}
    for i, item in enumerate(goods):
        count = 0 if i % 16 == 5 else 1 + int(rng.uniform() < 0.3)
        planned[item.sku] = [Photo(f"{item.sku.lower()}-{n + 1}.jpg", item, (i, n)) for n in range(count)]
    return planned


def _write_photos(folder: Path, photos: list[Photo], seed: int, rng: np.random.Generator) -> dict[str, str]:
    """Draw all; then break four as exports do. Returns name → what is wrong with it."""

    def write(photo: Photo) -> None:
        drawn = draw_item(
            photo.item.kind,
            COLOURS[photo.item.colour][1],
            photo.item.pattern,
            np.random.default_rng((seed, *photo.seed)),
        )
        (folder / photo.name).write_bytes(drawn)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, photos))
    only = [p.name for p in photos if p.name.endswith("-1.jpg")]
    cut, page, empty, gone = (only[i] for i in rng.choice(len(only), 4, replace=False))
    (folder / cut).write_bytes((folder / cut).read_bytes()[:700])
    (folder / page).write_bytes(HTML_PAGE)
    (folder / empty).write_bytes(b"")
    (folder / gone).unlink()
    return {cut: "truncated", page: "an HTML page", empty: "empty", gone: "missing"}


def _write_items(path: Path, goods: list[Item], photos: dict[str, list[Photo]]) -> Planted:
    rows: list[Sequence[object]] = []
    for item in goods:
        names = [p.name for p in photos[item.sku]]
        first, second, *_ = [*names, "", ""]
        brand = BRANDS[item.brand]
        shown = {"en": brand.en, "zh": brand.zh, "both": f"{brand.en} {brand.zh}"}[item.language]
        category = KINDS[item.kind].category
        rows.append((item.sku, item.title, item.description, category, shown, f"{item.price:.2f}", first, second))
    rejected = [
        (goods[1].sku, "a second row for the same item", "", KINDS["mug"].category, "", "49.00", "", ""),
        ("", "an item without a number", "", KINDS["mug"].category, "", "49.00", "", ""),
    ]
    emptied = [
        ("SKU-9001", "priced below nothing", "", KINDS["mug"].category, "", "-3.00", "", ""),
        ("SKU-9002", "面议", "", KINDS["mug"].category, "", "面议", "", ""),
    ]
    header = ("sku", "name", "description", "category", "brand", "price", "photo_1", "photo_2")
    _write_csv(path, header, [*rows, *rejected, *emptied], encoding="utf-8-sig")
    return Planted(len(rejected), len(emptied))


def _write_users(path: Path, users: list[User], rng: np.random.Generator) -> Planted:
    rows = [
        (
            user.name,
            CITIES[rng.integers(len(CITIES))],
            "" if rng.uniform() < 0.2 else int(rng.integers(18, 75)),
            f"2024-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
        )
        for user in users
    ]
    _write_csv(path, ("customer", "city", "age", "joined"), rows)
    return Planted(0, 0)


def _write_reviews(path: Path, reviews: list[Review]) -> Planted:
    rows: list[Sequence[object]] = [(r.number, r.user, r.sku, r.time, r.stars, r.text) for r in reviews]
    one = reviews[0]
    rejected = [
        ("R90001", one.user, one.sku, one.time, "five", "a rating in words"),
        ("R90002", one.user, one.sku, one.time, "NaN", "没有数字的评分"),
        (reviews[2].number, one.user, one.sku, one.time, "4", "编号重复的评价"),
        ("R90004", one.user, one.sku, one.time, "55", "more stars than there are"),
    ]
    emptied = [("R90003", one.user, one.sku, "2025-13-45", "4", "a day no calendar has")]
    _write_csv(
        path,
        ("number", "customer", "sku", "date", "stars", "comment"),
        [*rows, *rejected, *emptied],
        encoding="gb18030",
    )
    return Planted(len(rejected), len(emptied))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _write_truth(
    path: Path,
    goods: list[Item],
    reviews: list[Review],
    photos: dict[str, list[Photo]],
    broken: dict[str, str],
    planted: dict[str, Planted],
    seed: int,
) -> None:
    patterns = {item.sku: item.pattern for item in goods}
    readable = {sku for sku, planned in photos.items() if any(p.name not in broken for p in planned)}
    truth = {
        "seed": seed,
        "model": "stars = clip(round(3 + 0.9 pattern + 0.65 sentiment + user + noise), 1, 5)",
        "best_rmse": best_rmse((patterns[r.sku], r.sentiment, r.sku in readable) for r in reviews),
        "bad_rows": {table: count.rejected for table, count in planted.items()},
        "bad_cells": {table: count.emptied for table, count in planted.items()},
        "broken_pictures": broken,
        "items_without_picture": sorted(set(patterns) - readable),
        "patterns": patterns,
        "sentiments": {r.number: r.sentiment for r in reviews},
    }
    path.write_text(json.dumps(truth, ensure_ascii=False, indent=1), encoding="utf-8")
