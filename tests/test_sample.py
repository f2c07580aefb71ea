"""The sample shop: a real-looking export whose best possible error is known."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuwen.config import Run, Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.data.sample.pictures import DRAWINGS, SIDE, draw_item
from tuwen.data.sample.taste import (
    NOISE_DEVIATION,
    PATTERN_EFFECT,
    PATTERN_WEIGHT,
    PATTERNS,
    SENTIMENT_WEIGHT,
    USER_DEVIATION,
    star_odds,
)
from tuwen.data.sample.words import COLOURS, KINDS
from tuwen.errors import DataError
from tuwen.workflow.composing_predictor import Encoders, rating_run

ITEMS = 120
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("sample") / "shop", items=ITEMS)


@pytest.fixture(scope="module")
def truth(shop: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shop.with_name("truth.json").read_text(encoding="utf-8"))
    return found


def rows(shop: Path, name: str, encoding: str = "utf-8") -> list[dict[str, str]]:
    with shop.with_name(name).open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file))


def good_reviews(shop: Path, truth: dict[str, Any]) -> list[dict[str, str]]:
    found = {row["number"]: row for row in reversed(rows(shop, "reviews.csv", "gb18030"))}
    return [found[number] for number in truth["sentiments"]]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_is_the_same_shop_and_another_is_another(tmp_path: Path) -> None:
    seeds = {"one": 3, "two": 3, "other": 4}
    one, two, other = (write_sample_shop(tmp_path / name, items=12, seed=seed).parent for name, seed in seeds.items())
    assert digest(one) == digest(two)
    assert digest(one)["items.csv"] != digest(other)["items.csv"]
    before = digest(one)
    write_sample_shop(one, items=12, seed=3)  # again into the same folder
    assert digest(one) == before


def test_it_is_written_as_shops_write(shop: Path) -> None:
    assert shop.with_name("items.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    with pytest.raises(UnicodeDecodeError):
        shop.with_name("reviews.csv").read_text(encoding="utf-8")
    titles = [row["name"] for row in rows(shop, "items.csv", "utf-8-sig")]
    chinese = [any("一" <= c <= "鿿" for c in title) for title in titles]
    english = [any(c.isascii() and c.isalpha() for c in title.replace("T恤", "")) for title in titles]
    assert min(np.mean(chinese), np.mean(english)) > 0.35
    events = rows(shop, "events.csv")
    assert {row["action"] for row in events} == {"view", "click", "cart", "purchase"}
    assert len({(e["customer"], e["sku"], e["at"], e["action"]) for e in events}) == len(events)
    assert Shop.read(shop).rating_range == (1, 5)
    assert Run.read(shop.with_name("RUN.yaml")).task.use == "rate"


def test_collecting_keeps_the_good_and_tells_the_planted_bad(shop: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    manifest = collect(Shop.read(shop), tmp_path / "dataset")
    tables = manifest["tables"]
    assert {name: tables[name]["rejected"] for name in truth["bad_rows"]} == truth["bad_rows"]
    cells = truth["bad_cells"]
    assert cells == {"items": 2, "users": 0, "reviews": 1}
    assert tables["items"]["rows"] == ITEMS + cells["items"]
    assert tables["reviews"]["rows"] == len(truth["sentiments"]) + cells["reviews"]
    assert [warning.split(" could")[0] for warning in manifest["warnings"] if "left empty" in warning] == [
        "items: 2 values of 'price'",
        "reviews: 1 values of 'time'",
    ]
    assert sum(manifest["pictures"]["quarantined"].values()) == len(truth["broken_pictures"]) == 4
    assert tables["items"]["without_picture"] == pytest.approx(
        (len(truth["items_without_picture"]) + cells["items"]) / (ITEMS + cells["items"]), abs=1e-4
    )
    again = collect(Shop.read(shop), tmp_path / "dataset")
    assert again["hash"] == manifest["hash"]


def test_the_best_possible_error_is_what_was_written(shop: Path, truth: dict[str, Any]) -> None:
    """The mean of each cell is the best predictor; its error must be the one that was computed beforehand."""
    blind = set(truth["items_without_picture"])
    reviews = good_reviews(shop, truth)
    stars = np.array([float(review["stars"]) for review in reviews])
    seen = [None if review["sku"] in blind else truth["patterns"][review["sku"]] for review in reviews]
    read = [truth["sentiments"][review["number"]] for review in reviews]
    assert all(
        (sentiment is None) == (review["comment"] == "") for sentiment, review in zip(read, reviews, strict=True)
    )
    cells: dict[str, list[Any]] = {
        "nothing": [0] * len(reviews),
        "picture": seen,
        "text": read,
        "picture_and_text": list(zip(seen, read, strict=True)),
    }
    expected = truth["best_rmse"]
    for name, cell in cells.items():
        _, index = np.unique([str(c) for c in cell], return_inverse=True)
        count = np.bincount(index)
        mean = np.bincount(index, stars) / count
        degrees = len(stars) - len(count)  # one mean a cell was fitted
        rmse = np.sqrt(((stars - mean[index]) ** 2).sum() / degrees)
        assert rmse == pytest.approx(expected[name], rel=0.06), name
    assert (
        expected["picture_and_text"] < 0.75 * expected["text"] < 0.75 * expected["picture"] < 0.75 * expected["nothing"]
    )


def test_the_odds_of_stars_are_those_of_the_simulation() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, USER_DEVIATION, 200_000) + rng.normal(0, NOISE_DEVIATION, 200_000)
    for pattern, sentiment in (("plain", -2), ("stripes", 0), ("dots", 1)):
        mean = 3 + PATTERN_WEIGHT * PATTERN_EFFECT[pattern] + SENTIMENT_WEIGHT * sentiment
        drawn = np.clip(np.rint(mean + noise), 1, 5).astype(int)
        expected = star_odds(pattern, sentiment)
        assert expected.sum() == pytest.approx(1)
        np.testing.assert_allclose(np.bincount(drawn, minlength=6)[1:] / len(drawn), expected, atol=0.005)


def test_no_word_tells_the_pattern(shop: Path, truth: dict[str, Any]) -> None:
    items, reviews = rows(shop, "items.csv", "utf-8-sig"), good_reviews(shop, truth)
    words = " ".join(v for row in items for v in (row["name"], row["description"])) + " ".join(
        r["comment"] for r in reviews
    )
    for telling in (
        "plain colour",
        "check",
        "stripe",
        "dot",
        "pattern",
        "条纹",
        "格子",
        "波点",
        "圆点",
        "纯色",
        "图案",
    ):
        assert telling not in words.lower(), telling


@pytest.mark.parametrize("kind", sorted(DRAWINGS))
def test_the_picture_tells_the_pattern(kind: str) -> None:
    """Edges up and down, and left and right, tell the four patterns apart whatever is drawn in whatever colour."""
    edges: dict[str, tuple[float, float]] = {}
    for pattern in PATTERNS:
        drawn = []
        for name in ("red", "navy", "cream"):
            data = draw_item(kind, COLOURS[name][1], pattern, np.random.default_rng(5))
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.format == "JPEG" and picture.size == (SIDE, SIDE)
                grey = np.asarray(picture.convert("L").resize((56, 56), Image.Resampling.BOX), float)
            drawn.append((np.abs(np.diff(grey, axis=0)).mean(), np.abs(np.diff(grey, axis=1)).mean()))
        down, across = np.mean(drawn, axis=0)
        edges[pattern] = (float(down), float(across))
    assert all(sum(edges["plain"]) < 0.9 * sum(edges[other]) for other in PATTERNS if other != "plain")
    ratio = {pattern: down / across for pattern, (down, across) in edges.items()}
    assert ratio["stripes"] > 1.15 * max(ratio["checks"], ratio["dots"])
    assert kind in KINDS


def test_only_an_empty_folder_or_a_sample_shop_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(DataError, match="something else"):
        write_sample_shop(tmp_path)
    with pytest.raises(DataError, match="more items"):
        write_sample_shop(tmp_path / "new", items=3)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_run_of_the_demo_is_the_one_that_build_composes(shop: Path, tmp_path: Path) -> None:
    collect(Shop.read(shop), tmp_path / "dataset")
    composed = Run.model_validate(rating_run(Dataset.open(tmp_path / "dataset"), Encoders())[0]).plain()
    kept = Run.read(ROOT / "runs" / "sample.yaml").plain()
    assert kept.pop("shop") == "../demo/shop/SHOP.yaml" and kept.pop("name") == "sample"
    assert (composed.pop("shop"), composed.pop("name")) == (None, "ratings")
    assert kept == composed


def test_the_run_beside_the_shop_can_be_read(shop: Path) -> None:
    run = Run.read(shop.with_name("RUN.yaml")).plain()
    assert run["shop"] == "SHOP.yaml" and list(run["modalities"]) == ["text", "picture"]


def test_the_number_of_the_demo_is_one_number() -> None:
    header = re.search(
        r"^# score .*?rmse ([\d.]+) \(([\d.]+) – ([\d.]+)\)", (ROOT / "runs" / "sample.yaml").read_text(), re.M
    )
    assert header
    value, low, high = header.groups()
    for page in ("README.md", "README.zh-CN.md"):
        assert re.search(rf"rmse +{value} +{low} to {high}", (ROOT / page).read_text(encoding="utf-8")), page
    assert f"[sample](#sample) | rmse | {value} ({low} – {high})" in (ROOT / "docs" / "results.md").read_text(
        encoding="utf-8"
    )
