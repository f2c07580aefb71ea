"""Ratings that name their scale: read where one scale goes through the column, refused where several do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shops import Desk, refused
from tuwen.bundle.reading import read_column
from tuwen.data.dialects import Evidence
from tuwen.data.ratings import SCALES, numerators
from tuwen.data.schema import TABLES
from tuwen.data.values import typed


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("text", "number", "scale"),
    [
        ("3/5", "3", "5"),
        ("3,5 / 5", "3,5", "5"),
        ("７/１０", "７", "10"),
        ("3 out of 5", "3", "5"),
        ("3.0 out of 5 stars", "3.0", "5"),
        ("2 von 6 Sternen", "2", "6"),
        ("3 sur 5", "3", "5"),
        ("8 из 10", "8", "10"),
        ("3.5分/5分", "3.5", "5"),
        ("★★☆☆☆", "2", "5"),
        ("★½☆☆", "1.5", "4"),
        ("★★★", "3", "stars"),
        ("⭐️⭐️", "2", "stars"),
        ("3颗星", "3", "stars"),
        ("3 Sterne", "3", "stars"),
        ("2-star", "2", "stars"),
        ("3.5分", "3.5", "points"),
        ("70 %", "70", "%"),
        ("3", "3", None),
        ("☆☆☆", "☆☆☆", None),
        ("3/5/2024", "3/5/2024", None),
        ("great", "great", None),
        (None, None, None),
    ],
)
def test_a_rating_and_its_scale(text: str | None, number: str | None, scale: str | None) -> None:
    assert numerators(pl.Series(["1", text, "2/9"])).row(1) == (number, scale)


def read(values: list[str | None]) -> tuple[list[float | None], list[str | None]]:
    evidence = Evidence("rating", "rating")
    evidence.add(pl.Series(values, dtype=pl.String))
    ratings, reasons = typed(
        pl.Series(values, dtype=pl.String), TABLES["reviews"].columns["rating"], evidence.dialect()
    )
    return ratings.to_list(), reasons.to_list()


@pytest.mark.parametrize(
    ("values", "ratings"),
    [
        (["3/5", "4,5/5", "5/5", None], [3.0, 4.5, 5.0, None]),
        (["3/5", "4", "★★★☆☆", "★★★★"], [3.0, 4.0, 3.0, 4.0]),
        (["★★★", "4 stars", "5"], [3.0, 4.0, 5.0]),
        (["3.5分", "8分", "9"], [3.5, 8.0, 9.0]),
        (["80%", "65 %"], [80.0, 65.0]),
        (["4/5", "7/10"], [None, None]),
        (["4/5", "7"], [None, 7.0]),
        (["80%", "4"], [None, 4.0]),
        (["3 stars", "3分"], [None, None]),
        (["4/5"] * 20 + ["7/10"], [4.0] * 20 + [None]),
        (["80%"] * 20 + ["4"], [80.0] * 20 + [None]),
    ],
)
def test_one_scale_is_read_and_several_are_refused(values: list[str | None], ratings: list[float | None]) -> None:
    found, reasons = read(values)
    assert found == ratings
    assert all(
        (reason == SCALES) == (n is None and v is not None) for reason, n, v in zip(reasons, found, values, strict=True)
    )


@given(st.lists(st.sampled_from(["3/5", "4", "7/10", "★★", "80%", "9", "2分", None]), max_size=12), st.integers(0, 12))
def test_the_scale_of_a_column_knows_no_batches(values: list[str | None], cut: int) -> None:
    whole, parts = Evidence("r", "rating"), Evidence("r", "rating")
    whole.add(pl.Series(values, dtype=pl.String))
    for some in (values[cut:], values[:cut]):
        more = Evidence("r", "rating")
        more.add(pl.Series(some, dtype=pl.String))
        parts.merge(more)
    assert parts == whole and parts.dialect() == whole.dialect()


def collect(desk: Desk, form: str, ratings: list[Any], **more: Any) -> dict[str, Any]:
    frame = pl.DataFrame(
        {"item": ["1"] * len(ratings), "rating": ratings, "text": [f"t{n}" for n in range(len(ratings))]}
    )
    if form == "parquet":
        frame.write_parquet(desk.shop / "reviews.parquet")
    elif form == "jsonl":
        desk.write("reviews.jsonl", "".join(json.dumps(row) + "\n" for row in frame.to_dicts()))
    else:
        frame.write_csv(desk.shop / "reviews.csv")
    return desk.collect(reviews={"source": f"reviews.{form}"}, **more)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_door_reads_one_scale_and_says_so(form: str, desk: Desk) -> None:
    manifest = collect(desk, form, ["2/6", "5.5/6"])
    assert desk.dataset().table("reviews")["rating"].to_list() == [2.0, 5.5]
    assert manifest["warnings"] == ["reviews: 'rating' is rated of 6, as '2/6': the number before it is read"]
    manifest = collect(desk, form, ["2/6", "4/9", "3"])
    assert desk.dataset().table("reviews")["rating"].to_list() == [3.0]
    assert manifest["tables"]["reviews"]["reasons"] == {SCALES: 2}
    assert "several scales, as '2/6', '4/9'" in manifest["warnings"][0] and "on one scale" in manifest["warnings"][0]
    with refused("no row of reviews is good") as caught:
        collect(desk, form, ["2/6", "4/9"])
    assert str(caught[0].todo).startswith("write all ratings on one scale")


def test_files_of_two_scales_are_refused_and_the_range_holds(desk: Desk) -> None:
    desk.write("r1.csv", "item,rating\n1,2/6\n")
    desk.write("r2.csv", "item,rating\n1,7/9\n2,3\n")
    desk.collect(reviews={"source": "r*.csv"})
    assert desk.dataset().table("reviews")["rating"].to_list() == [3.0]
    manifest = collect(desk, "csv", ["70%", "3%"], rating_range=[1, 5])
    assert manifest["tables"]["reviews"]["reasons"] == {"number out of range": 1}


def test_a_rating_alone_and_a_price_name_no_scale() -> None:
    found, errors = read_column(["4/5", "4"], "reviews.rating", "number")
    assert found.to_list() == [None, 4.0] and errors[0].what == "the rating has a scale of its own"
    found, errors = read_column(["4/5"], "items.price", "number")
    assert found.to_list() == [None] and errors[0].what == "the value is not a number"
