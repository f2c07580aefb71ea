"""Runs of the task rank, from a shop's files to a report, on the sample shop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tuwen import workflow
from tuwen.apps.recommend import shelf_files
from tuwen.apps.recommend.rules import Rules
from tuwen.cli import app
from tuwen.config import RankRun
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import BundleError, ConfigError, DataError, MissingExtra, TuwenError
from tuwen.progress import Silent
from tuwen.workflow import kinds
from tuwen.workflow.cuts import moments
from tuwen.workflow.history import history_of
from tuwen.workflow.recommending import recommender_of

pytestmark = pytest.mark.usefixtures("exports")
RUN = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 5, horizon: 30}
events: {where: kind = 'purchase'}
modalities:
  picture: {use: image, columns: [items.images], encoder: {use: efficientnet-lite0}}
facts: [items.category, items.price]
shoppers: [users.age, users.city]
retrievers:
  lately: {use: popularity, half_life: 30}
  before: again
  together: item-knn
  in this city: {use: segment, column: users.city}
  looks alike: {use: content, kind: picture}
per: 20
ranker: {use: lambdarank, rounds: 20, smallest_leaf: 10}
windows: {count: 4, least: 60, negatives: 30}
split: {use: rolling, cuts: 2}
evaluation: {samples: 200}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(folder, items=60, seed=0)
    (folder / "NEXT.yaml").write_text(RUN, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def told(shop):
    return CliRunner().invoke(app, ["run", str(shop / "NEXT.yaml"), "--out", str(shop / "out")])


@pytest.fixture(scope="module")
def report(shop, told) -> dict:
    assert told.exit_code == 0, told.output
    return json.loads((shop / "out" / "report.json").read_text(encoding="utf-8"))


def test_a_run_of_the_task_rank_ends_in_a_report(report, told) -> None:
    assert report["task"] == "rank" and report["primary"] == "ndcg@5"
    assert set(report["baselines"]) == {"popularity", "decayed_popularity", "item_knn", "ease"}
    assert set(report["knock_out"]) == {"picture"}
    for name in (
        "ndcg",
        "recall",
        "map",
        "mrr",
        "hit",
        "precision",
        "cold_recall",
        "warm_recall",
        "novelty",
        "diversity",
    ):
        assert f"{name}@5" in report["metrics"]
    assert 0 < report["metrics"]["ndcg@5"]["low"] < report["metrics"]["ndcg@5"]["value"] < 1
    assert [cut["day"] for cut in report["ranking"]["cuts"]] == ["2025-10-28", "2025-11-27"]
    assert sum(cut["rows"] for cut in report["ranking"]["cuts"]) == report["rows"]
    assert {"cut", "shopper"} == set(report["slices"])
    assert report["cost"]["latency_p95_ms"] > 0
    assert "ndcg@5" in told.output and "report.html" in told.output


def test_the_page_says_it_in_both_languages(report, shop) -> None:
    page = (shop / "out" / "report.html").read_text(encoding="utf-8")
    for words in (
        "bought one of the 5 listed items",
        "买下列表 5 件中的至少一件",
        "Learned without picture",
        "Everything was learned anew",
        "去掉图片",
        "NDCG@5",
        "多个日期",
        "What its lists are made of",
        "商品覆盖率",
        "demand 30",
    ):
        assert words in page


def test_what_happens_after_a_cut_does_not_change_its_lists(shop, report) -> None:
    """The dataset's later events are replaced, from the last cut on: what is known then gives the same lists."""
    run = RankRun.read(shop / "NEXT.yaml")
    history, _ = history_of(run, Dataset.open(shop / "out" / "dataset"), Silent())
    cut = moments(run, history)[0]
    late = history.day >= cut
    changed = type(history).of(
        history.catalogue,
        history.shoppers,
        history.shopper,
        history.item[::-1] * late + history.item * ~late,
        history.day,
        history.value,
        history.now,
    )
    answers = []
    for known in (history.before(cut), changed.before(cut)):
        answers.append(recommender_of(run).fit(known).recommend(known.asked(range(10)), 5).items.tolist())
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("use: popularity", "use: popularty", "there is no retriever called 'popularty'"),
        ("half_life: 30}", "half_live: 30}", "retriever 'popularity' has no option 'half_live'"),
        ("kind: picture", "kind: pictures", "there is no modality 'pictures'"),
        ("use: lambdarank", "use: lambda", "there is no ranker called 'lambda'"),
        ("before: again", "before: {use: favourites, column: items.brand}", "the run does not read 'items.brand'"),
        ("depth: 5", "dept: 5", "unknown key 'task.dept'"),
        ("cuts: 2", "cuts: 50", "the events do not hold 50 cuts"),
        ("kind = 'purchase'", "kid = 'purchase'", "this is not a condition over these columns"),
        ("kind = 'purchase'", "kind = 'gift'", "no event is left"),
        ("items.price]", "items.pric]", "no column 'items.pric'"),
        ("efficientnet-lite0", "cnn", "has to be trained before"),
        ("facts:", "launch: items.title\nfacts:", "'items.title' does not order the items"),
        ("facts: [items.category, items.price]", "facts: [items.images]", "is not a category or a number"),
        ("users.age, users.city", "users.city, users.agee", "users have no column 'users.agee'"),
        ("users.age, users.city", "users.city, users.joined", "'users.joined' is not a number or a category"),
    ],
)
def test_a_slip_is_told_with_its_place(shop, report, tmp_path, old: str, new: str, said: str) -> None:
    text = (shop / "NEXT.yaml").read_text(encoding="utf-8")
    assert old in text
    path = shop / "SLIP.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TuwenError, match=said.replace("(", r"\(")) as caught:
        workflow.run(path, shop / "out")
    assert caught.value.where is not None


def test_a_shop_without_events_is_told_what_to_do(shop, report, tmp_path) -> None:
    text = (shop / "SHOP.yaml").read_text(encoding="utf-8")
    start = text.index("events:")
    end = text.index("rating_range")
    run = shop_with(shop, tmp_path / "shop", [])
    run.with_name("QUIET.yaml").write_text(text[:start] + text[end:], encoding="utf-8")
    with pytest.raises(ConfigError, match="has no events") as caught:
        workflow.run(run, tmp_path / "out", ["shop=QUIET.yaml"])
    assert "add 'events' to SHOP.yaml" in str(caught.value.todo)


def test_check_completes_a_run_and_counts_what_the_data_holds(shop, report) -> None:
    found = workflow.check(shop / "NEXT.yaml", (), shop / "out" / "dataset")
    assert (found["ranker"]["rounds"], found["ranker"]["smallest_leaf"], found["ranker"]["leaves"]) == (20, 10, 15)
    assert found["retrievers"]["together"]["neighbours"] == 200
    assert found["data"]["cuts"] == ["2025-10-28", "2025-11-27"]
    assert found["data"]["items"] == len(Dataset.open(shop / "out" / "dataset").table("items"))
    told = CliRunner().invoke(app, ["check", str(shop / "NEXT.yaml")])
    assert told.exit_code == 0 and "is in order" in told.output


@pytest.mark.parametrize("command", ["tune", "compare"])
def test_what_a_rank_run_has_no_use_for_says_where_to_go(shop, report, command: str) -> None:
    more = {"tune": ["--search", "windows.count=2:4"], "compare": []}
    given = [command, str(shop / "NEXT.yaml"), *more[command]]
    told = CliRunner().invoke(app, [*given, "--out", str(shop / "none")])
    assert told.exit_code == 2 and "NEXT.yaml:3" in told.output and "tuwen run" in told.output


def test_a_ranker_that_learned_nothing_is_told_and_the_bundle_answers_all_the_same(shop, report, tmp_path) -> None:
    given = [str(shop / "NEXT.yaml"), str(shop / "out" / "dataset"), "--out", str(tmp_path / "bundle")]
    told = CliRunner().invoke(app, ["train", *given, "--set", "ranker.smallest_leaf=100000"])
    assert told.exit_code == 0, told.output
    assert "warning: The ranker learned nothing" in told.output
    shelf, manifest = shelf_files.read(tmp_path / "bundle")
    assert manifest["ranker"] == {"use": "blend"} and "没有学到" in manifest["warnings"][0]["zh"]
    sold = np.bincount(shelf.history.item, minlength=len(shelf.catalogue))
    listed = [shelf.place(one.item) for one in shelf.for_session([], 5)]
    assert sold[listed].mean() > 2 * sold.mean()
    assert shelf_files.read(shop / "out" / "bundle")[1]["ranker"]["use"] == "lambdarank"


@pytest.mark.parametrize("ranker", ["linear", "blend"])
def test_a_run_with_another_ranker_and_towers_is_trained_and_asked(shop, report, tmp_path, ranker: str) -> None:
    given = [str(shop / "NEXT.yaml"), str(shop / "out" / "dataset"), "--out", str(tmp_path / "bundle")]
    towers = "retrievers.towers={use: two-tower, epochs: 1, width: 8}"
    told = CliRunner().invoke(app, ["train", *given, "--set", f"ranker={ranker}", "--set", towers])
    assert told.exit_code == 0, told.output
    shelf, manifest = shelf_files.read(tmp_path / "bundle")
    assert manifest["ranker"]["use"] == ranker and manifest["warnings"] == []
    assert len(shelf.for_shopper(shelf.users[0], 5)) == 5


# --- The bundle ---------------------------------------------------------------------------------------------------


def asked(shop: Path, *given: str) -> list[dict]:
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), *given, "--json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def users(shop, report) -> list[str]:
    return shelf_files.read(shop / "out" / "bundle")[0].users


def test_a_bundle_answers_as_the_recommender_that_it_was_written_from(shop, report) -> None:
    run = RankRun.read(shop / "NEXT.yaml")
    history, users = history_of(run, Dataset.open(shop / "out" / "dataset"), Silent())
    fitted = recommender_of(run).fit(history)
    shelf, manifest = shelf_files.read(shop / "out" / "bundle")
    assert shelf.users == users and manifest["task"] == "rank"
    expected = fitted.recommend(history.asked(range(len(users))), 7)
    for place, (user, listed) in enumerate(shelf.for_everybody(7)):
        assert user == users[place]
        there = expected.items[place] >= 0
        assert [one.item for one in listed] == history.catalogue.items[expected.items[place][there]].tolist()
        assert np.allclose([one.score for one in listed], expected.scores[place][there])
        assert listed == shelf.for_shopper(user, 7)


def test_a_session_needs_no_known_shopper_and_clicks_move_it(shop, users) -> None:
    one, other = (asked(shop, "--clicked", item, "--count", "10") for item in ("SKU-0001", "SKU-0002"))
    assert len(one) == 10 and one != other
    assert asked(shop, "--shopper", "nobody", "--count", "4") == asked(shop, "--shopper", "NOBODY", "--count", "4")


def test_what_is_told_of_a_new_shopper_is_what_the_table_tells_of_a_known_one(shop, report) -> None:
    shelf, _ = shelf_files.read(shop / "out" / "bundle")
    assert shelf.told == ["users.age", "users.city"] and "in this city" in shelf.recommender.stage.retrievers
    nothing, lists = asked(shop, "--shopper", "nobody"), []
    for city in shelf.history.shoppers.levels["users.city"].tolist():
        lists.append(asked(shop, "--about", f"users.city={city}"))
        assert lists[-1] == asked(shop, "--shopper", "nobody", "--about", f"city={city}")
        assert [one["item"] for one in lists[-1]] == [
            one.item for one in shelf.for_live("nobody", [], about={"users.city": city})
        ]
    assert any(one != nothing for one in lists)
    assert asked(shop, "--about", "users.city=Atlantis") == nothing  # a category that nobody had is harmless
    one = shelf.users[3]
    known = {name: values[3].item() for name, values in shelf.history.shoppers.numbers.items()}
    level = int(shelf.history.shoppers.categories["users.city"][3])
    known["users.city"] = shelf.history.shoppers.levels["users.city"][level - 1]
    assert shelf.for_shopper(one) == shelf.for_shopper(one, about=known)


def test_levels_of_shoppers_stand_in_the_order_in_which_they_came(shop, report, monkeypatch) -> None:
    """Who comes later, with whatever category, changes no number of those who were there."""
    run, dataset = RankRun.read(shop / "NEXT.yaml"), Dataset.open(shop / "out" / "dataset")
    history, _ = history_of(run, dataset, Silent())
    levels = history.shoppers.categories["users.city"]
    came = [history.day[levels[history.shopper] == level].min() for level in range(1, int(levels.max()) + 1)]
    assert came == sorted(came) and len(came) > 2
    monkeypatch.setattr("tuwen.workflow.history.MOST_LEVELS", 2)
    with pytest.raises(ConfigError, match="tells too many kinds of shoppers apart"):
        history_of(run, dataset, Silent())


def test_similar_items_are_the_nearest_by_cosine(shop, report) -> None:
    shelf, _ = shelf_files.read(shop / "out" / "bundle")
    vectors = shelf.catalogue.vectors["picture"]
    item = next(i for i in range(len(vectors)) if vectors[i].any())
    cosines = np.where(vectors.any(axis=1), vectors @ vectors[item], -2.0)
    cosines[item] = -2.0
    listed = asked(shop, "--like", str(shelf.catalogue.items[item]), "--by", "picture", "--count", "5")
    assert [one["item"] for one in listed] == shelf.catalogue.items[np.argsort(-cosines, kind="stable")[:5]].tolist()
    assert listed[0]["title"]


def test_what_goes_with_an_item_was_bought_beside_it(shop, report) -> None:
    shelf, _ = shelf_files.read(shop / "out" / "bundle")
    known, place = shelf.history, int(np.bincount(shelf.history.item).argmax())
    day = np.floor(known.day)
    baskets = {(u, d) for u, d in zip(known.shopper[known.item == place], day[known.item == place], strict=True)}
    beside = {int(i) for u, d, i in zip(known.shopper, day, known.item, strict=True) if (u, d) in baskets} - {place}
    listed = asked(shop, "--beside", str(shelf.catalogue.items[place]), "--count", "100")
    assert {one["item"] for one in listed} == {str(shelf.catalogue.items[i]) for i in beside}


@pytest.mark.parametrize("more", [[], ["--shopper", "U0001"], ["--clicked", "SKU-0005"]])
def test_an_item_is_the_first_answer_to_its_own_photo(shop, report, more: list[str]) -> None:
    for item in ("SKU-0001", "SKU-0008", "SKU-0042"):
        photo = shop / "photos" / f"{item.lower()}-1.jpg"
        listed = asked(shop, "--photo", str(photo), *more, "--count", "5")
        assert len(listed) == 5 and listed[0]["item"] == item


def test_rules_and_chance_at_answering_time(shop, users, tmp_path) -> None:
    clicked = ["--clicked", "SKU-0007"]
    best, second, third, *_ = (one["item"] for one in asked(shop, *clicked))
    stock = tmp_path / "stock.txt"
    stock.write_text(f"\ufeff{best}\n{second}\r\n\n{third}\nSKU-9999\n", encoding="utf-8")
    listed = asked(shop, *clicked, "--only", str(stock), "--exclude", best, "--boost", f"{third}=99")
    assert [one["item"] for one in listed] == [third, second]
    stock.write_text(f'="{second}"\n {third} \nSKU-9999\nNULL\n', encoding="utf-8")  # as a spreadsheet exports it
    given = [*clicked, "--only", str(stock), "--exclude", "sku-0001", "--exclude", third]
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), *given])
    assert "note: --only: 1 of 3 items are not known to the bundle: 'SKU-9999'" in told.output
    assert "note: --exclude: 1 of 2 items are not known to the bundle: 'sku-0001'; did you mean" in told.output
    listed = asked(shop, "--shopper", users[0], "--explore", "0.5", "--count", "6")
    assert all(one["probability"] == 1.0 for one in listed if not one["explored"])
    assert all(0 < one["probability"] <= 1 for one in listed) and any(one["explored"] for one in listed)
    file = tmp_path / "lists.parquet"
    given = ["--everybody", str(file), "--explore", "0.5", "--count", "6"]
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), *given])
    assert told.exit_code == 0, told.output
    lists = pl.read_parquet(file).filter(pl.col("user") == users[0])
    assert lists["item"].to_list() == [one["item"] for one in listed]
    assert lists["explored"].to_list() == [one["explored"] for one in listed]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_lists_for_everybody_are_a_table(shop, users, tmp_path, ending: str) -> None:
    file = tmp_path / f"lists.{ending}"
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), "--everybody", str(file)])
    assert told.exit_code == 0, told.output
    lists = pl.read_parquet(file) if ending == "parquet" else pl.read_csv(file)
    assert lists["user"].unique().sort().to_list() == users
    assert lists.filter(place=1).height == len(users)
    assert lists.group_by("user").agg(pl.col("item").n_unique() == pl.len())["item"].all()


def test_without_what_was_bought(shop, users) -> None:
    shelf, _ = shelf_files.read(shop / "out" / "bundle")
    had = set(shelf.catalogue.items[shelf.history.item[shelf.history.shopper == 0]].tolist())
    listed = {one["item"] for one in asked(shop, "--shopper", users[0], "--no-again", "--count", "30")}
    assert listed and not listed & had
    assert {one["item"] for one in asked(shop, "--shopper", users[0], "--count", "30")} & had


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "ask one thing at a time"),
        (["--about", "users.age=30", "--like", "SKU-0001"], "ask one thing at a time"),
        (["--about", "users.age"], "this tells nothing of a shopper"),
        (["--about", "users.agee=30"], "the recommender does not read 'users.agee'"),
        (["--about", "users.age=old"], "'users.age' takes a number"),
        (["--about", "users.age=30", "--about", "age=40"], "'users.age' is given twice"),
        (["--about", "age=30", "--about", "age=40"], "'age' is given twice"),
        (["--shopper", "U0001", "--like", "SKU-0001"], "ask one thing at a time"),
        (["--shopper", "U0001", "--by", "picture"], "--by says by what items are alike"),
        (["--like", "SKU-9999"], "there is no such item"),
        (["--like", "SKU-0001", "--boost", "SKU-0002=9"], "--like lists by how near"),
        (["--like", "SKU-0001", "--explore", "0.2"], "--like lists by how near"),
        (["--beside", "SKU-0001", "--no-again"], "--beside lists by how near"),
        (["--like", "SKU-0001", "--by", "sound"], "there are no vectors of 'sound'"),
        (["--clicked", "\x1b[31m"], "there is no such item"),
        (["--beside", "SKU-0001", "--beside", "x"], "there is no such item"),
        (["--everybody", "/proc/x.parquet"], "cannot be written"),
        (["--everybody", "lists.xlsx"], "unknown kind of output file"),
        (["--shopper", "U0001", "--clicked", "SKU-0001"], "ask one thing at a time"),
        (["--photo", "NEXT.yaml", "--like", "SKU-0001"], "ask one thing at a time"),
        (["--photo", "NEXT.yaml"], "the photo cannot be read: not a picture"),
        (["--photo", "none.jpg"], "the file cannot be read"),
        (["--photo", "."], "the file cannot be read"),
        (["--review", "red shoes"], "cannot read a review"),
        (["--review", ""], "cannot read a review"),
        (["--shopper", "U0001", "--exclude", "SKU-9999"], "there is no such item"),
        (["--shopper", "U0001", "--boost", "SKU-0001"], "this pushes no item"),
        (["--shopper", "U0001", "--boost", "SKU-0001=nan"], "this pushes no item"),
        (["--shopper", "U0001", "--only", "none.txt"], "the file cannot be read"),
        (["--shopper", "U0001", "--only", "NEXT.yaml"], "none of the items"),
        (["--shopper", "U0001", "--explore", "2"], "--explore"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_why(shop, report, monkeypatch, given: list[str], said: str) -> None:
    monkeypatch.chdir(shop)
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), *given])
    assert told.exit_code in (2, 3, 4) and said in told.output
    assert "Traceback" not in told.output and "\x1b[31m" not in told.output


def test_a_list_longer_than_the_catalogue_and_a_past_of_many_events_are_answered(shop, report) -> None:
    shelf, _ = shelf_files.read(shop / "out" / "bundle")
    assert 0 < len(shelf.for_shopper(shelf.users[0], 10**6)) <= len(shelf.catalogue)
    assert len(shelf.for_session(["SKU-0001", "SKU-0002"] * 50_000, 5)) == 5
    none = np.zeros(len(shelf.catalogue), bool)
    assert shelf.for_shopper(shelf.users[0], 5, Rules(allowed=none)) == []
    given = [word for item in shelf.catalogue.items.tolist() for word in ("--exclude", item)]
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), "--shopper", shelf.users[0], *given])
    assert told.exit_code == 0 and told.output.strip() == "nothing that may be listed is left"


def test_an_unknown_shopper_is_told_and_answered(shop, report) -> None:
    told = CliRunner().invoke(
        app, ["recommend", str(shop / "out" / "bundle"), "--shopper", "\x1b[31mX", "--count", "3"]
    )
    assert told.exit_code == 0 and "does not know the shopper" in told.output and "SKU-" in told.output
    assert "\x1b[31m" not in told.output


def test_a_damaged_bundle_is_told(shop, report, tmp_path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(shop / "out" / "bundle", copy)
    (copy / "events" / "0.npy").write_bytes((copy / "events" / "0.npy").read_bytes()[:-7])
    with pytest.raises(BundleError, match="damaged"):
        shelf_files.read(copy)


@pytest.mark.parametrize("command", ["predict", "serve", "evaluate"])
def test_commands_that_answer_rows_send_on(shop, report, tmp_path, command: str) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text\nx\n", encoding="utf-8")
    more = {
        "predict": [str(rows)],
        "serve": [],
        "evaluate": [str(shop / "out" / "dataset"), "--out", str(tmp_path / "o")],
    }
    told = CliRunner().invoke(app, [command, str(shop / "out" / "bundle"), *more[command]])
    assert told.exit_code == 4 and "tuwen recommend" in told.output


PICTURES = (  # of the run, which a test that is about events does without
    "modalities:\n  picture: {use: image, columns: [items.images], encoder: {use: efficientnet-lite0}}\n",
    "  looks alike: {use: content, kind: picture}\n",
)


def shop_with(shop: Path, folder: Path, rows: list[str], *, pictures: bool = False) -> Path:
    """The sample shop with other events, and NEXT.yaml beside it."""
    shutil.copytree(shop, folder, ignore=shutil.ignore_patterns("out", "none"))
    header = (shop / "events.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    (folder / "events.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    text = RUN
    for lines in () if pictures else PICTURES:
        assert lines in text
        text = text.replace(lines, "")
    (folder / "NEXT.yaml").write_text(text, encoding="utf-8")
    return folder / "NEXT.yaml"


def purchases(late: str) -> list[str]:
    days = [f"2025-{month:02}-{day:02} 10:00:00" for month in range(1, 11) for day in range(1, 28, 2)]
    rows = [f"U{n % 9:04},SKU-{n % 20 + 1:04},{day},purchase,1,10,s{n}" for n, day in enumerate(days * 2)]
    return [*rows, f"U0001,SKU-0003,{late},purchase,1,10,late"]


def test_one_late_event_is_told_instead_of_learned_from(shop, report, tmp_path) -> None:
    run = shop_with(shop, tmp_path / "shop", purchases("2099-11-30 00:00:00"))
    with pytest.raises(TuwenError, match="nothing to learn an order from") as caught:
        workflow.run(run, tmp_path / "out")
    assert "single late event" in str(caught.value.todo)


def test_events_of_one_moment_hold_no_cuts(shop, report, tmp_path) -> None:
    rows = [f"U{n:04},SKU-{n % 20 + 1:04},2025-05-05 00:00:00,purchase,1,10,s{n}" for n in range(60)]
    run = shop_with(shop, tmp_path / "shop", rows)
    with pytest.raises(TuwenError, match=r"nothing to learn|do not hold"):
        workflow.run(run, tmp_path / "out")


def test_without_any_picture_a_float_encoder_leaves_all_absent(shop, report, tmp_path) -> None:
    run = shop_with(shop, tmp_path / "shop", purchases("2025-10-30 00:00:00"), pictures=True)
    for photo in (tmp_path / "shop" / "photos").iterdir():
        photo.write_bytes(b"")
    found = workflow.run(run, tmp_path / "out", ["modalities.picture.encoder.precision=float32"])
    assert found["metrics"]["ndcg@5"]["value"] >= 0


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        ("raise OSError('libgomp.so.1: cannot open shared object file')", DataError, "apt-get install libgomp1"),
        ("import no_such_module_anywhere", MissingExtra, "tuwen"),
    ],
)
def test_what_recommending_stands_on_is_asked_for_before_work(shop, tmp_path, monkeypatch, content, kind, said) -> None:
    (tmp_path / "stands_on_this.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(kinds.PARTS, "rank", ("recommend", "stands_on_this", "tuwen.workflow.recommending"))
    with pytest.raises(kind) as caught:
        workflow.run(shop / "NEXT.yaml", tmp_path / "out")
    assert said in str(caught.value.todo)
    assert not (tmp_path / "out").exists()


def test_an_item_without_anything_to_compare_by_is_told(shop, report) -> None:
    items = Dataset.open(shop / "out" / "dataset").table("items")
    (bare, *_) = items.filter(pl.col("images").list.len() == 0)["item"].to_list()
    told = CliRunner().invoke(app, ["recommend", str(shop / "out" / "bundle"), "--like", bare])
    assert told.exit_code == 0 and f"{bare} has no picture to compare by" in told.output
