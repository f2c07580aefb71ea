"""Returns are no sales, and a program's clicks are no popularity."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shops import Desk
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.popularity import Popularity
from tuwen.apps.storefront.experiment import lift
from tuwen.data.behaviour import Event, behaviour_warnings, crawlers, returns, standing, standing_events
from tuwen.workflow.indexing import items_of

START = datetime(2024, 1, 1)
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from([1.0, 2.0, -1.0, -2.0])), max_size=25
)


def _frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user": [row[0] for row in rows],
            "item": [row[1] for row in rows],
            "time": [START + timedelta(hours=i) for i in range(len(rows))],
            "kind": ["purchase"] * len(rows),
            "quantity": [float(row[2]) for row in rows],
        },
        schema_overrides={
            **dict.fromkeys(("user", "item", "kind"), pl.String),
            "time": pl.Datetime("us"),
            "quantity": pl.Float64,
        },
    )


@given(EVENTS)
def test_what_stands_is_what_was_sold_and_not_given_back(rows: list[tuple[str, str, float]]) -> None:
    standing_rows = standing(_frame(rows))
    assert (standing_rows["quantity"] > 0).all()
    for pair in {row[:2] for row in rows}:
        balance = 0.0
        for row in rows:
            if row[:2] == pair:
                balance = max(0.0, balance + row[2])  # more cannot be given back than was bought before
        quantity = standing_rows.filter((pl.col("user") == pair[0]) & (pl.col("item") == pair[1]))["quantity"].sum()
        assert quantity >= balance and (quantity > 0) == (balance > 0)


@given(EVENTS, st.integers(0, 25))
def test_a_later_return_changes_nothing_that_was_known_before_it(rows: list[tuple[str, str, float]], cut: int) -> None:
    before = standing(_frame(rows[:cut]))
    master, early = _history(rows), _history(rows[:cut])
    earlier = master.before(cut / 24)
    assert earlier.item.tolist() == early.settled().item.tolist() == [("xy").index(i) for i in before["item"]]
    assert np.array_equal(earlier.demand(None), early.settled().demand(None))


def _history(rows: list[tuple[str, str, float]]) -> History:
    back = returns([Event(row[:2], "purchase", row[2]) for row in rows])
    positions = [i for i, row in enumerate(rows) if row[2] >= 0]
    return History.of(
        Catalogue(np.array(["x", "y"])),
        Shoppers(2),
        np.array(["ab".index(rows[i][0]) for i in positions], np.int64),
        np.array(["xy".index(rows[i][1]) for i in positions], np.int64),
        np.array([i / 24 for i in positions]),
        np.full(len(positions), np.nan),
        len(rows) / 24,
        np.array([np.inf if back[i] is None else back[i] / 24 for i in positions]),
    )


def test_a_refund_takes_back_a_purchase_and_no_click() -> None:
    rows = [Event("p", "purchase", 1.0), Event("p", "click", 1.0), Event("p", "refund", -1.0)]
    assert returns(rows) == [2, None, 2]


def test_the_latest_purchase_goes_back_and_one_of_several_stands() -> None:
    sale = Event("p", "purchase", 1.0)
    assert returns([sale, sale, Event("p", "purchase", -1.0)]) == [None, 2, 2]
    assert returns([Event("p", "purchase", 2.0), Event("p", "purchase", -1.0)]) == [None, 1]


def test_collect_tells_of_returns_and_the_index_counts_without_them(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("items.csv", "item,title\nx,pot\ny,cup\n")
    rows = [("a", "x", 1), ("b", "x", 1), ("a", "x", -1), ("b", "x", -1), ("a", "y", 1)]
    _frame(rows).write_parquet(desk.shop / "events.parquet")
    manifest = desk.collect(items={"source": "items.csv"}, events={"source": "events.parquet"})
    (warning,) = manifest["warnings"]
    assert warning.startswith("events: 2 have a quantity below 0: they count as returns")
    assert items_of(desk.dataset())["_popularity"].to_list() == [0, 1]


@pytest.mark.parametrize("quantity", [1.0, -1.0, None])
@pytest.mark.parametrize("kind", ["return", "Refunded", " 退货 ", "Retoure", "возврат"])
def test_a_return_by_its_kind_is_no_sale_whatever_its_quantity(
    kind: str, quantity: float | None, tmp_path: Path
) -> None:
    assert returns([Event("p", "buy", 2.0), Event("p", kind, 2.0 if quantity is None else 2 * quantity)]) == [1, 1]
    desk = Desk(tmp_path)
    desk.write("items.csv", "item,title\nx,pot\ny,cup\n")
    rows = [("a", "x", "buy", 1.0), ("b", "y", "buy", 1.0), ("a", "x", kind, quantity), ("c", "x", "buy", None)]
    frame = pl.DataFrame(rows, schema=["user", "item", "kind", "quantity"], orient="row")
    frame = frame.with_columns(time=pl.Series([START + timedelta(hours=n) for n in (0, 0, 0, 1)]))
    for events in (frame, frame.drop("quantity")):
        assert standing(events)["user"].to_list() == ["b", "c"]
        assert [row["user"] for row in standing_events(events.filter(user="a").to_dicts())] == []
        events.write_parquet(desk.shop / "events.parquet")
        manifest = desk.collect(items={"source": "items.csv"}, events={"source": "events.parquet"})
        assert len(manifest["warnings"]) == 1 and "returns" in manifest["warnings"][0]
        assert items_of(desk.dataset())["_popularity"].to_list() == [1, 1]


def _crawled(many: int = 400) -> list[tuple[str, str, float]]:
    people = [(f"u{n % 30}", "xy"[n % 3 == 0], 1.0) for n in range(90)]
    return [*people, *[("bot", "y", 1.0)] * many]


def test_a_program_is_told_and_counts_once_for_popularity(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("items.csv", "item,title\nx,pot\ny,cup\n")
    _frame(_crawled()).write_parquet(desk.shop / "events.parquet")
    manifest = desk.collect(items={"source": "items.csv"}, events={"source": "events.parquet"})
    assert "one shopper, 'bot', made 82% of them" in manifest["warnings"][0]
    assert items_of(desk.dataset())["_popularity"].to_list() == [60, 31]
    rows = _crawled()
    history = History.of(
        Catalogue(np.array(["x", "y"])),
        Shoppers(31),
        np.array([30 if row[0] == "bot" else int(row[0][1:]) for row in rows]),
        np.array(["xy".index(row[1]) for row in rows]),
        np.arange(len(rows), dtype=float),
        np.full(len(rows), np.nan),
        float(len(rows)),
    )
    popularity = Popularity()
    popularity.fit(history)
    assert popularity.demand.tolist() == [[60.0, 31.0]]


@pytest.mark.parametrize(
    "users",
    [
        ["only"] * 1000,
        [f"u{n % 10}" for n in range(1000)],
        ["big"] * 150 + [f"u{n}" for n in range(100)],
        ["big"] * 300 + [f"u{n % 400}" for n in range(8000)],
    ],
    ids=["one shopper", "ten alike", "few events", "a good customer"],
)
def test_people_are_no_programs(users: list[str]) -> None:
    assert crawlers(pl.Series(users)) == {}
    assert behaviour_warnings(pl.DataFrame({"user": users})) == []


def test_what_was_given_back_is_no_lift_of_an_experiment() -> None:
    def event(item: str, time: int, quantity: float | None = None) -> dict[str, Any]:
        return {"item": item, "kind": "purchase", "time": time, "quantity": quantity}

    events = {"a": [event("x", 1), event("y", 2, 1.0), event("x", 3, -1.0)], "b": [event("x", 1)]}
    assert [event["item"] for event in standing_events(events["a"])] == ["y"]
    exposures = [{"user": user, "arm": user, "time": 0} for user in "ab"]
    arms = lift(exposures, events, "purchase", samples=10)["arms"]
    assert [arms[arm]["events"] for arm in "ab"] == [1, 1]
