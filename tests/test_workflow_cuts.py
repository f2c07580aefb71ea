"""What is held out of a rank run's history, and the lists that are kept of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tuwen import workflow
from tuwen.config import RankRun
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError
from tuwen.progress import Silent
from tuwen.workflow.cuts import held_out, read_lists
from tuwen.workflow.history import history_of

SHOP = """\
name: films
items: {source: items.csv}
users: {source: users.csv}
reviews: {source: stars.csv}
rating_range: [1, 5]
"""
RUN = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 3, horizon: 10}
events: {table: reviews}
shoppers: [users.age]
retrievers: {lately: {use: popularity, half_life: 30}, together: item-knn}
ranker: {use: lambdarank, rounds: 5, smallest_leaf: 5}
windows: {count: 3, least: 20, negatives: 20}
baselines: {popularity: popularity}
rules: {again: false}
split: {use: rolling, cuts: 2}
evaluation: {samples: 100}
"""
USERS, ITEMS, DAYS = 12, 15, 80


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """Every shopper rates a film on most days, none twice as far as films last; one comes on the last day alone."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    rows = [
        (f"u{user}", f"f{(user + day) % ITEMS}", datetime(2025, 1, 1) + timedelta(days=day), int(rng.integers(1, 6)))
        for day in range(DAYS)
        for user in range(USERS)
        if rng.random() < 0.3
    ]
    rows.append(("late", "f3", datetime(2025, 1, 1) + timedelta(days=DAYS - 1), 5))
    stars = pl.DataFrame(rows, schema=["user", "item", "time", "rating"], orient="row")
    stars.unique(["user", "item"], keep="first", maintain_order=True).write_csv(folder / "stars.csv")
    pl.DataFrame({"item": [f"f{n}" for n in range(ITEMS)], "title": ["x"] * ITEMS}).write_csv(folder / "items.csv")
    ages = [str(20 + n) for n in range(USERS)]
    pl.DataFrame({"user": [f"u{n}" for n in range(USERS)], "age": ages}).write_csv(folder / "users.csv")
    (folder / "SHOP.yaml").write_text(SHOP, encoding="utf-8")
    (folder / "NEXT.yaml").write_text(RUN, encoding="utf-8")
    workflow.collect(folder / "SHOP.yaml", folder / "out" / "dataset")
    return folder


def asked(shop: Path, *overrides: str):
    run = RankRun.read(shop / "NEXT.yaml", list(overrides))
    history, users = history_of(run, Dataset.open(shop / "out" / "dataset"), Silent())
    return run, history, users, held_out(run, history)


def pairs(history) -> list[tuple[int, int, float]]:
    return sorted(zip(history.shopper.tolist(), history.item.tolist(), history.day.tolist(), strict=True))


def test_reviews_are_events_and_a_condition_chooses_among_them(shop) -> None:
    stars = pl.read_csv(shop / "stars.csv")
    assert len(asked(shop)[1].item) == len(stars)
    assert len(asked(shop, "events.where=rating >= 4")[1].item) == stars.filter(pl.col("rating") >= 4).height
    with pytest.raises(DataError, match="no event is left") as caught:
        asked(shop, "events.where=rating > 5")
    assert "rows of reviews" in str(caught.value.allowed)


def test_a_condition_on_events_reads_nothing_but_their_table(shop, monkeypatch) -> None:
    where = "rating > (SELECT max(a) FROM read_csv('/etc/passwd'))"
    (shop / "FOREIGN.yaml").write_text(RUN.replace("events: {", 'events: {where: "' + where + '", '), encoding="utf-8")
    with pytest.raises(ConfigError, match="not a condition") as checked:
        workflow.check(shop / "FOREIGN.yaml")
    line = (shop / "FOREIGN.yaml").read_text(encoding="utf-8")[: RUN.index("events: {")].count("\n") + 1
    assert checked.value.where == f"{shop / 'FOREIGN.yaml'}:{line}" and "'SELECT' at character 11" in checked.value.seen
    monkeypatch.setattr(Dataset, "table", lambda *_: pytest.fail("a table was read"))
    with pytest.raises(ConfigError, match="not a condition") as caught:
        asked(shop, f"events.where={where}")
    assert caught.value.where == f"--set events.where={where}"


def test_a_table_that_is_not_there_is_told_with_what_it_needs(shop) -> None:
    with pytest.raises(ConfigError, match="has no events") as caught:
        asked(shop, "events.table=events")
    assert "user, item, time, kind" in str(caught.value.todo)


def test_numbers_that_came_as_text_are_numbers(shop) -> None:
    ages = asked(shop)[1].shoppers.numbers["users.age"]
    assert np.nanmin(ages) == 20 and np.isnan(ages).sum() == 1  # of "late", who is in no table


@pytest.mark.parametrize("last", [1, 3])
def test_per_user_holds_out_the_last_events_of_each_shopper(shop, last: int) -> None:
    _, history, users, [held] = asked(shop, f"split={{use: per-user, last: {last}}}")
    assert held.name == "per-user" and "late" not in {users[who] for who in held.who}
    for who, bought in zip(held.who, held.bought, strict=True):
        own = history.item[history.shopper == who]
        assert len(own) > last
        assert held.known.item[held.known.shopper == who].tolist() == own[:-last].tolist()
        assert bought.tolist() == sorted(set(own[-last:].tolist()))
    assert len(history.item) - len(held.known.item) == last * len(held.who)


def test_random_holds_out_a_share_that_the_seed_draws(shop) -> None:
    _, history, _, [held] = asked(shop, "split={use: random, share: 0.3}")
    gone = len(history.item) - len(held.known.item)
    assert 0.2 < gone / len(history.item) < 0.4 and held.known.now == history.now
    assert set(pairs(held.known)) <= set(pairs(history)) and (np.diff(held.known.day) >= 0).all()
    assert sum(map(len, held.bought)) == gone  # nothing is rated twice here
    assert pairs(asked(shop, "split={use: random, share: 0.3}")[3][0].known) == pairs(held.known)
    assert pairs(asked(shop, "split={use: random, share: 0.3}", "seed=1")[3][0].known) != pairs(held.known)


def test_shoppers_without_enough_before_a_cut_are_not_asked_about(shop) -> None:
    *_, users, everybody = asked(shop)
    some = asked(shop, "split.least=1")[3]
    assert "late" in {users[who] for who in everybody[-1].who}
    for all_of, few in zip(everybody, some, strict=True):
        known = set(all_of.known.shopper.tolist())
        assert few.who.tolist() == [who for who in all_of.who if who in known]
        assert [len(items) for items in few.bought] == [
            len(items) for who, items in zip(all_of.who, all_of.bought, strict=True) if who in known
        ]
    with pytest.raises(DataError, match="nobody bought") as caught:
        asked(shop, "split.least=1000")
    assert "1000 before" in str(caught.value.seen)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("split={use: rolling, share: 0.2}", "unknown key 'split.share'"),
        ("split={use: per-usr}", "split"),
        ("split={use: random, share: 1.5}", "must be below 1"),
        ("split=random-share", "split"),
    ],
)
def test_a_slip_in_a_split_is_told(shop, given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        asked(shop, given)


@pytest.fixture(scope="module")
def report(shop) -> dict:
    return workflow.run(shop / "NEXT.yaml", shop / "out", ["split={use: random, share: 0.3}"])


def test_a_split_that_knows_the_future_says_so_in_both_languages(shop, report) -> None:
    assert report["split"] == "random" and "at random" in report["provenance"]["split"]
    [warning] = report["warnings"]
    assert "knows what shoppers did later" in warning["en"] and "泄露" in warning["zh"]
    page = (shop / "out" / "report.html").read_text(encoding="utf-8")
    assert "a random draw" in page and "随机划分" in page


def test_kept_lists_are_those_that_were_judged_and_hold_nothing_had(shop, report) -> None:
    run, history, users, helds = asked(shop, "split={use: random, share: 0.3}")
    items = history.catalogue.items
    [systems] = read_lists(shop / "out" / "lists.parquet", helds, users, items, 3)
    assert set(systems) == {"model", "popularity"}
    again = workflow.run(shop / "NEXT.yaml", shop / "out", ["split={use: random, share: 0.3}"])
    assert again["metrics"] == report["metrics"]
    cut = helds[0].cut(users, systems)
    measured = cut.measured(run.task.depth)
    for name, told in {"model": report["metrics"], **report["baselines"]}.items():
        assert json.loads(json.dumps(told["ndcg@3"]["value"])) == pytest.approx(measured[name]["ndcg@3"].mean())
        for row, who in enumerate(helds[0].who):
            had = helds[0].known.item[helds[0].known.shopper == who]
            assert not np.isin(systems[name][row], had).any()


def test_lists_of_other_data_are_refused(shop, report, tmp_path) -> None:
    _, history, users, helds = asked(shop)
    with pytest.raises(DataError, match="another run"):
        read_lists(shop / "out" / "lists.parquet", helds, users, history.catalogue.items, 3)
    with pytest.raises(DataError, match="no lists"):
        read_lists(tmp_path / "lists.parquet", helds, users, history.catalogue.items, 3)
