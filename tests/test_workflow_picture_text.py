"""Words in pictures from a shop's files to answers: in a network, in search, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from signs import need_fonts, need_reader, sign
from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.bundle.bundle import Bundle
from tuwen.cli import app
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError
from tuwen.index.store import Index
from tuwen.preprocess.ocr import Reader
from tuwen.workflow import evaluation
from tuwen.workflow.contents import kind_of
from tuwen.workflow.gathering import gather
from tuwen.workflow.indexing import Recipe
from tuwen.workflow.picture_words import PICTURES
from tuwen.workflow.shelving import Shelver

WORDS = {"cotton": "纯棉", "wool": "羊毛"}
ITEMS = 30
SOLE = 11  # this item alone has a word of its own, on its second picture
RUN: dict[str, Any] = {
    "name": "fabric",
    "rows": {"table": "items"},
    "modalities": {
        "sign": {
            "use": "picture-text",
            "columns": ["items.images"],
            "side": 128,
            "tokens": "character",
            "length": 12,
            "encoder": {"use": "textcnn", "embedding": 8, "width": 8, "windows": [1]},
        }
    },
    "task": {"use": "classify", "target": "items.fabric"},
    "split": {"use": "hash", "test": 0.3, "validation": 0.2},
    "training": {"epochs": 12, "batch_size": 4, "learning_rate": 0.02},
    "evaluation": {"samples": 100, "baselines": ["trivial"]},
}
LOOKED = Recipe(text="none", picture="none", picture_text=True)


def drawn(text: str, row: int) -> bytes:
    return sign([text], size=128, height=60, paper=(255 - row % 40, 255 - row // 2, 215 + row % 40))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_reader()
    need_fonts()
    folder = tmp_path_factory.mktemp("signs")
    rows = ["sku,name,photos,fabric"]
    for row in range(ITEMS):
        fabric = list(WORDS)[row % 2]
        (folder / f"{row}.jpg").write_bytes(drawn(WORDS[fabric], row))
        (folder / f"{row}b.jpg").write_bytes(drawn("XYZ9" if row == SOLE else "M", row))
        rows.append(f"i{row},item {row},{row}.jpg|{row}b.jpg,{fabric}")
    (folder / "items.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "SHOP.yaml").write_text(
        "name: signs\nitems: {source: items.csv, columns: {item: sku, title: name, images: photos}}\n", encoding="utf-8"
    )
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    (folder / "RUN.yaml").write_text(yaml.safe_dump(RUN), encoding="utf-8")
    return folder


def test_a_network_learns_from_the_words_in_pictures(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workflow.check(shop / "RUN.yaml", dataset=shop / "dataset")["data"]["rows"]
    monkeypatch.setattr(evaluation, "latency", lambda *_: (1.0, 1.0))  # which reads as serving does
    bundle = Bundle.open(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "bundle"))
    report = workflow.evaluate(bundle.folder, shop / "dataset", shop / "report")
    assert report["metrics"]["accuracy"]["value"] == 1.0
    run, dataset = Run.read(shop / "RUN.yaml"), Dataset.open(shop / "dataset")
    gathered = gather(run, dataset)
    judged: Any = SimpleNamespace(gathered=gathered, rows=gathered.rows("test"))
    wanted = gathered.frame["row"][gathered.rows("test")].to_list()
    assert set(evaluation._shown(run, wanted, [judged], dataset)[0]) == set(wanted), "a page shows what was read"
    assert "slice_sign" in pl.read_parquet(shop / "report" / "predictions.parquet").columns
    assert kind_of("picture-text") == "picture_text", "picture-text is the pair of pictures and texts"
    assert bundle.inputs == [{"column": "items.images", "kind": "image", "modality": "sign"}]
    cotton, wool = (drawn(text, 77) for text in WORDS.values())
    answers = bundle.predict([{"images": cotton}, {"images": [wool, cotton]}, {"images": wool}, {}])
    assert [answers[at]["prediction"] for at in (0, 2)] == list(WORDS)
    assert len({json.dumps(answer["probabilities"]) for answer in answers}) == 4

    def never(self: Reader, data: bytes) -> None:
        raise AssertionError("a picture was read a second time")

    monkeypatch.setattr(Reader, "read", never)
    workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "again")
    again = workflow.evaluate(shop / "again", shop / "dataset", shop / "report again")
    assert again["metrics"] == report["metrics"]


def test_a_word_that_stands_only_in_a_picture_is_found(shop: Path, tmp_path: Path) -> None:
    told = workflow.index(shop / "dataset", tmp_path / "index", LOOKED)
    assert told["with_picture_text"] == ITEMS
    assert told["fields"] == {"title": 3.0, "fabric": 1.0, "picture_text": 1.0}
    assert "picture_text" not in told["facets"]
    searcher = workflow.open_search(tmp_path / "index")
    answer = searcher.search(Question("xyz9"))
    (hit,) = answer["hits"]
    assert hit["item"] == f"i{SOLE}"
    assert "_picture_boxes" not in hit
    (reason,) = hit["reasons"]
    assert (reason["by"], reason["field"], reason["words"]) == ("words", "picture_text", ["xyz9"])
    assert (reason["en"], reason["zh"]) == ("the picture has xyz9", "图片包含xyz9")
    ((picture, text, box),) = [(one["picture"], one["text"], one["box"]) for one in reason["boxes"]]
    assert (picture, text) == (1, "XYZ9")
    assert 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < 0.2 < box[3] < 0.8
    titled = searcher.search(Question("item 7"))["hits"][0]
    assert all("boxes" not in one for one in titled["reasons"])


def test_an_item_that_comes_later_is_read_alike(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow.index(shop / "dataset", tmp_path / "index", LOOKED)
    monkeypatch.setattr("tuwen.preprocess.ocr.reader.find", None)  # what the index keeps is enough
    (tmp_path / "new.jpg").write_bytes(drawn("ABC5", 5))
    new = pl.DataFrame({"item": ["n1", "n2"], "title": ["new", "newer"], "images": [["new.jpg"], None]})
    new.write_parquet(tmp_path / "new.parquet")
    assert workflow.update_index(tmp_path / "index", tmp_path / "new.parquet")["added"] == 2
    searcher = workflow.open_search(tmp_path / "index")
    batch = Shelver(searcher)("n3", {"title": "newest"}, [drawn("DEF6", 6)])
    assert batch.table["picture_text"].to_list() == ["DEF6"]
    Index(tmp_path / "index").add(batch)
    for item, word in (("n1", "abc5"), ("n3", "def6")):
        (hit,) = searcher.search(Question(word))["hits"]
        assert hit["item"] == item
        assert hit["reasons"][0]["boxes"][0]["text"] == word.upper()
    folder = Dataset.open(shop / "dataset").folder
    assert workflow.index(folder, tmp_path / "index", LOOKED)["removed"] == 3


def test_another_recipe_is_told_and_an_older_index_is_not_another(shop: Path, tmp_path: Path) -> None:
    plain = Recipe(text="none", picture="none")
    workflow.index(shop / "dataset", tmp_path / "index", plain)
    manifest = json.loads((tmp_path / "index" / "index.json").read_text(encoding="utf-8"))
    del manifest["settings"]["recipe"]["picture_text"]
    (tmp_path / "index" / "index.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert workflow.index(shop / "dataset", tmp_path / "index", plain)["added"] == 0
    with pytest.raises(ConfigError, match="was made in another way"):
        workflow.index(shop / "dataset", tmp_path / "index", LOOKED)


def test_a_shop_with_such_a_column_of_its_own_is_told(tmp_path: Path) -> None:
    need_reader()
    (tmp_path / "items.csv").write_text("item,title,picture_text\na,b,c\n", encoding="utf-8")
    (tmp_path / "SHOP.yaml").write_text("name: own\nitems: {source: items.csv}\n", encoding="utf-8")
    workflow.collect(tmp_path / "SHOP.yaml", tmp_path / "dataset")
    with pytest.raises(ConfigError, match="a column 'picture_text' of their own"):
        workflow.index(tmp_path / "dataset", tmp_path / "index", LOOKED)
    assert workflow.index(tmp_path / "dataset", tmp_path / "index", Recipe(text="none", picture="none"))["items"] == 1


def test_items_without_pictures_have_no_words_in_them(tmp_path: Path) -> None:
    need_reader()
    (tmp_path / "items.csv").write_text("item,title\na,red dress\n", encoding="utf-8")
    (tmp_path / "SHOP.yaml").write_text("name: bare\nitems: {source: items.csv}\n", encoding="utf-8")
    workflow.collect(tmp_path / "SHOP.yaml", tmp_path / "dataset")
    asked = ["index", tmp_path / "dataset", "--out", tmp_path / "index", "--text", "none", "--picture-text"]
    result = CliRunner().invoke(app, [str(one) for one in asked])
    assert result.exit_code == 0, result.output
    assert "0 of them have words in their pictures (0 %)" in result.output
    assert workflow.open_search(tmp_path / "index").search(Question("red"))["hits"][0]["item"] == "a"


def test_the_first_pictures_of_an_item_are_read() -> None:
    assert PICTURES == 4
