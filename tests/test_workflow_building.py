"""tuwen build: a dataset into a home that serves what the data carry, stopped and continued, edited and repeated."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from homes import Shop
from processes import Command
from shops import Desk, jpeg, refused, small_sample
from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.config import RankRun, Run
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.workflow import building, composing_recommender
from tuwen.workflow.composing_predictor import Encoders, explained_share, rating_run, within_minutes
from tuwen.workflow.composing_recommender import recommender_run
from tuwen.workflow.known_items import example_words

NONE = Encoders(None, None)
BOTH = Encoders()
STEPS = [
    "index",
    "dataset: promoted",
    "index: promoted",
    "index: report",
    "index: report: promoted",
    "recommender",
    "recommender: promoted",
    "recommender: report",
    "recommender: report: promoted",
    "predictor",
    "predictor: promoted",
    "predictor: report",
    "predictor: report: promoted",
]
KILLED = """
import os, signal, sys
from tuwen.workflow import building, composing_recommender
from tuwen.workflow.composing_predictor import Encoders
building.installed_encoders = lambda: (Encoders(None, None), [])
dataset, home, last = sys.argv[1:]
building.build(dataset, home, announce=lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == last else None)
"""


@pytest.fixture(autouse=True)
def _words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pretrained network: its export takes longer than all of this."""
    monkeypatch.setattr(building, "installed_encoders", lambda: (NONE, []))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample shop with its dataset, and a home built by three processes, of which two were killed."""
    folder = small_sample(tmp_path_factory.mktemp("build"))
    for last in ("index: promoted", "predictor: report"):
        killed = Command(str(folder / "dataset"), str(folder / "home"), last, code=KILLED)
        assert killed.wait(120) == -signal.SIGKILL, killed.stderr
    return folder


@pytest.fixture(scope="module")
def built(desk: Path) -> dict[str, Any]:
    """What the third process says, which ends what the others began."""
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "installed_encoders", lambda: (NONE, []))
        answer = workflow.build(desk / "dataset", desk / "home", announce=steps.append)
    return answer | {"steps": steps}


def test_a_killed_build_goes_on_where_it_was(built: dict[str, Any]) -> None:
    assert built["steps"] == STEPS[STEPS.index("predictor: report") :]
    assert {name: part["state"] for name, part in built["parts"].items()} == {
        "index": "unchanged",
        "recommender": "unchanged",
        "predictor": "built",
    }


def test_everything_is_live_with_its_report(desk: Path, built: dict[str, Any]) -> None:
    home = Home(desk / "home")
    assert {"dataset", "search", "recommend", "predict"} <= set(home.live().parts)
    assert set(home.reports()) == {"search", "recommendations", "ratings"}
    assert built["revision"] == home.live().number == len(STEPS) - 6  # each promotion once
    for part, metric in (("index", "ndcg@10"), ("recommender", "ndcg@20"), ("predictor", "rmse")):
        first = built["parts"][part]["figures"][0]
        assert first["metric"] == metric and first["low"] <= first["value"] <= first["high"]


def test_a_second_build_does_nothing(desk: Path, built: dict[str, Any]) -> None:
    before = (desk / "home" / "live.json").read_bytes()
    done = CliRunner().invoke(app, ["build", str(desk / "dataset"), str(desk / "home"), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output)
    assert {part["state"] for part in answer["parts"].values()} == {"unchanged"}
    assert (desk / "home" / "live.json").read_bytes() == before


def test_the_end_says_what_to_try(desk: Path, built: dict[str, Any]) -> None:
    done = CliRunner().invoke(app, ["build", str(desk / "dataset"), str(desk / "home")], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert f"next: tuwen serve {desk / 'home'}" in done.output and "/operator" in done.output
    english, chinese = built["try"]
    assert f"search for {english} or {chinese}" in done.output and english.isascii() and not chinese.isascii()
    for words in (english, chinese):
        assert workflow.search(desk / "home" / "build" / "index", Question(words))["total"] > 0


# --- Runs that a person edits -------------------------------------------------------------------------------------


@pytest.fixture
def copy(desk: Path, built: dict[str, Any], tmp_path: Path) -> Path:
    """The home, for one test."""
    shutil.copytree(desk / "home", tmp_path / "home")
    return tmp_path / "home"


def test_an_edited_run_is_taken_as_it_stands(desk: Path, copy: Path) -> None:
    file = copy / "build" / "predictor.yaml"
    run = yaml.safe_load(file.read_text(encoding="utf-8"))
    run["modalities"] = {"words": run["modalities"]["review-words"]}
    run["training"] = {"epochs": 1}
    file.write_text(yaml.safe_dump(run, allow_unicode=True), encoding="utf-8")
    steps: list[str] = []
    answer = workflow.build(desk / "dataset", copy, announce=steps.append)
    assert [step for step in steps if not step.startswith("predictor")] == []
    assert answer["parts"]["predictor"]["state"] == "built" and "edited" in answer["notes"][0]
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == run
    bundle = Home(copy).part("predict")
    assert bundle is not None and list(workflow.load(bundle).modalities) == ["words"]


def test_an_edit_that_cannot_be_fails_alone(desk: Path, copy: Path) -> None:
    file = copy / "build" / "recommender.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("item-knn", "item-knnn"), encoding="utf-8")
    before = Home(copy).live()
    done = CliRunner().invoke(app, ["build", str(desk / "dataset"), str(copy), "--json"])
    assert done.exit_code == 1
    parts = json.loads(done.output)["parts"]
    assert parts["recommender"]["state"] == "failed" and "item-knn" in parts["recommender"]["reason"]
    assert parts["index"]["state"] == parts["predictor"]["state"] == "unchanged"
    assert Home(copy).live() == before


def test_a_run_is_composed_anew_for_another_dataset(
    desk: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composing_recommender, "LEAST_EVENTS", 100)
    shutil.copytree(desk / "dataset", tmp_path / "dataset")
    described = yaml.safe_load((desk / "SHOP.yaml").read_text(encoding="utf-8"))
    del described["users"], described["events"]
    shop = desk / "FEWER.yaml"
    shop.write_text(yaml.safe_dump(described, allow_unicode=True), encoding="utf-8")
    workflow.collect(shop, tmp_path / "dataset")
    steps: list[str] = []
    answer = workflow.build(tmp_path / "dataset", copy, ["recommender"], announce=steps.append)
    assert steps[0] == "recommender" and "dataset: promoted" in steps and not any("index" in one for one in steps)
    run = yaml.safe_load((copy / "build" / "recommender.yaml").read_text(encoding="utf-8"))
    assert run["events"] == {"table": "reviews", "where": "rating >= 4"} and "shoppers" not in run
    assert answer["notes"] == ["reviews with rating >= 4 count"]


def test_a_file_that_a_killed_build_wrote_is_no_edit(desk: Path, copy: Path) -> None:
    state = copy / "build" / "build.json"
    told = json.loads(state.read_text(encoding="utf-8"))
    told["composed"] = {}  # killed after the file, before this
    state.write_text(json.dumps(told), encoding="utf-8")
    assert workflow.build(desk / "dataset", copy)["notes"] == []


def test_a_part_that_does_not_exist_is_refused(desk: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["build", str(desk / "dataset"), str(tmp_path / "h"), "--only", "index,predicter"])
    assert done.exit_code == 2 and "did you mean 'predictor'?" in done.output and not (tmp_path / "h").exists()


# --- What the data cannot carry -----------------------------------------------------------------------------------


def rows_of(count: int, **columns: Any) -> str:
    frame = pl.DataFrame({name: [make(i) for i in range(count)] for name, make in columns.items()})
    return frame.write_csv()


def day(number: int) -> str:
    return (datetime(2025, 1, 1) + timedelta(days=number)).isoformat()


def collected(desk: Desk, *, events: str | None = None, reviews: str | None = None, pictures: bool = False) -> Dataset:
    words = ["red pot", "blue cup", "green lamp", "white plate", "black pan", "grey vase"]
    items: dict[str, Any] = {"item": lambda i: f"I{i}", "title": lambda i: words[i]}
    if pictures:
        items["images"] = lambda i: f"{i}.jpg"
        for number in range(6):
            desk.write(f"{number}.jpg", jpeg(number))
    desk.write("items.csv", rows_of(6, **items))
    tables = {"items": {"source": "items.csv"}}
    for name, text in (("events", events), ("reviews", reviews)):
        if text is not None:
            desk.write(f"{name}.csv", text)
            tables[name] = {"source": f"{name}.csv"}
    desk.collect(**tables)
    return desk.dataset()


def reviews_of(count: int, rating: Any = lambda i: i % 5 + 1, **more: Any) -> str:
    columns = {
        "review": lambda i: f"R{i}",
        "user": lambda i: f"U{i % 40}",
        "item": lambda i: f"I{i % 6}",
        "time": lambda i: day(i // 3),
        "rating": rating,
        "text": lambda i: f"it is good {i}",
    }
    return rows_of(count, **(columns | more))


def events_of(count: int, kind: str, days: int = 300) -> str:
    return rows_of(
        count,
        user=lambda i: f"U{i % 40}",
        item=lambda i: f"I{i % 6}",
        time=lambda i: day(i * days // count),
        kind=lambda i: kind,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_items_alone_are_searched(shop: Desk, tmp_path: Path) -> None:
    collected(shop)
    done = CliRunner().invoke(app, ["build", str(shop.out), str(tmp_path / "home"), "--json"])
    assert done.exit_code == 0, done.output
    parts = json.loads(done.output)["parts"]
    assert parts["index"]["state"] == "built"
    assert "no events" in parts["recommender"]["reason"] and "no ratings" in parts["predictor"]["reason"]
    assert set(Home(tmp_path / "home").live().parts) == {"dataset", "search", "report/search"}


def test_nothing_to_build_is_an_error(shop: Desk, tmp_path: Path) -> None:
    collected(shop)
    done = CliRunner().invoke(app, ["build", str(shop.out), str(tmp_path / "home"), "--only", "recommender,predictor"])
    assert done.exit_code == 3 and "nothing could be built" in done.output and "no ratings" in done.output
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("reviews", "reason", "seen"),
    [
        (reviews_of(49), "too few ratings", "49"),
        (reviews_of(60, rating=lambda i: 4), "every rating is the same", "4 in 60 reviews"),
        (rows_of(60, review=lambda i: f"R{i}", item=lambda i: "I1"), "no ratings", None),
    ],
)
def test_ratings_that_teach_nothing(shop: Desk, reviews: str, reason: str, seen: str | None) -> None:
    with refused(reason) as caught:
        rating_run(collected(shop, reviews=reviews), NONE)
    assert caught[0].seen == seen


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (events_of(199, "purchase"), "too few sales"),
        (events_of(400, "purchase", days=10), "sales of too few days"),
        (events_of(400, "impression"), "too few events"),
        (events_of(400, "refund"), "too few sales"),
    ],
)
def test_events_that_teach_nothing(shop: Desk, events: str, reason: str) -> None:
    with refused("no events to learn from") as caught:
        recommender_run(collected(shop, events=events), NONE)
    assert reason in (caught[0].seen or "") and "no reviews" in (caught[0].seen or "")


def test_what_counts_as_a_wish(shop: Desk) -> None:
    views = events_of(300, "view") + events_of(250, "purchase").partition("\n")[2]
    run, notes = recommender_run(collected(shop, events=views), NONE)
    assert run["events"] == {"where": "kind = 'purchase'"} and notes == []
    few = events_of(300, "view") + events_of(20, "purchase").partition("\n")[2]
    run, notes = recommender_run(collected(shop, events=few), NONE)
    assert run["events"] == {"where": "kind = 'purchase' or kind = 'view'"} and "count as well" in notes[0]
    liked = reviews_of(900, rating=lambda i: i % 10 + 1)
    run, notes = recommender_run(collected(shop, reviews=liked), NONE)
    assert run["events"] == {"table": "reviews", "where": "rating >= 7.75"}


def test_cuts_fit_into_the_days_that_are_there(shop: Desk) -> None:
    dataset = collected(shop, events=events_of(600, "purchase", days=33))
    run, _ = recommender_run(dataset, NONE)
    assert run["task"]["horizon"] == 2.0 and run["windows"]["least"] == 8.0
    found = building.part_of("rank", "rows_of")(RankRun.model_validate(run), dataset)
    assert len(found["cuts"]) == 3


def test_modalities_follow_the_columns(shop: Desk) -> None:
    reviews = reviews_of(
        120,
        rating=lambda i: i * 7 % 5 + 1,
        happy=lambda i: "yes" if i * 7 % 5 > 2 else "no",
        stars=lambda i: str(i * 7 % 5 + 1),
        size=lambda i: "SML"[i % 3],
    )
    run, notes = rating_run(collected(shop, reviews=reviews, pictures=True), BOTH)
    assert list(run["modalities"]) == [
        "review-words",
        "review-meaning",
        "item-words",
        "item-meaning",
        "picture",
        "table",
    ]
    assert run["split"] == {"use": "time", "column": "reviews.time"}
    assert run["modalities"]["table"]["columns"] == ["reviews.happy", "reviews.size"]
    assert len(notes) == 1 and "reviews.stars" in notes[0]
    Run.model_validate(run)
    run, _ = rating_run(collected(shop, reviews=reviews.replace("2025-", "x")), NONE)
    assert list(run["modalities"]) == ["review-words", "item-words", "table"] and run["split"] == {"use": "hash"}


def test_minutes_decide_whether_a_network_reads_the_texts(shop: Desk) -> None:
    dataset = collected(shop, reviews=reviews_of(120))
    assert within_minutes(dataset, BOTH, None) == within_minutes(dataset, BOTH, 10) == (BOTH, [])
    encoders, notes = within_minutes(dataset, BOTH, 0.05)
    assert encoders == Encoders(None, BOTH.picture) and "126 texts" in notes[0]


def test_the_share_that_a_column_explains() -> None:
    rng = np.random.default_rng(5)
    target = pl.Series(rng.integers(1, 6, 400).astype(float))
    noise = pl.Series(rng.integers(0, 9, 400))
    assert explained_share(target * 2, target) == pytest.approx(1.0)
    assert explained_share(noise, target) < 0.1
    assert explained_share(pl.Series(range(400)), target) == 0.0  # a key explains everything and says nothing


def test_words_to_try_are_in_both_languages(desk: Path) -> None:
    english, chinese = example_words(Dataset.open(desk / "dataset"))
    assert english.isascii() and not chinese.isascii()


# --- Ratings on the page of an item -------------------------------------------------------------------------------


@pytest.fixture
def front(copy: Path, tmp_path: Path) -> Iterator[Shop]:
    found = Shop(copy, tmp_path / "store.db")
    yield found
    found.store.close()


def test_an_item_shows_its_predicted_rating(front: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = front.live.storefront.parts.predictor
    assert predictor is not None
    rows: list[dict[str, Any]] = []
    predict = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda some: [rows.extend(some), predict(some)][1])
    first = front.good("GET", "/v1/items/SKU-0001")["prediction"]["prediction"]
    assert 1 <= first <= 5 and front.good("GET", "/v1/items/SKU-0001")["prediction"]["prediction"] == first
    assert len(rows) == 1  # the second time it is known
    assert rows[0]["items.title"] and rows[0]["reviews.text"] is None and rows[0]["users.city"] is None
    front.good("POST", "/v1/items", {"item": "SKU-0001", "columns": {"title": "a plain kettle 水壶"}})
    front.good("GET", "/v1/items/SKU-0001")
    assert len(rows) == 2 and rows[1]["items.title"] == "a plain kettle 水壶"


def test_a_predictor_that_fails_takes_no_page_down(front: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(rows: Any) -> Any:
        raise DataError("it cannot")

    monkeypatch.setattr(front.live.storefront.parts.predictor, "predict", fails)
    assert "prediction" not in front.good("GET", "/v1/items/SKU-0002")
