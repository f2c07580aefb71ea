"""A home that is opened, and opened again: what its index keeps is enough, and no one item keeps it closed."""

from __future__ import annotations

import asyncio
import gc
import shutil
import threading
import weakref
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NoReturn

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from homes import Shop
from tuwen import workflow
from tuwen.apps.encoders import saved
from tuwen.bundle.home import Home
from tuwen.bundle.parts import Kind
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import DataError
from tuwen.index.store import Index
from tuwen.preprocess import tokenisers, weights
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.text import Text
from tuwen.progress import Silent
from tuwen.service.limits import Limits
from tuwen.service.listening import _settle
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable
from tuwen.workflow import serving
from tuwen.workflow.indexing import Recipe, batch_of, items_of

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "passage", "query", ":", "zebra", "lamp"]


def network(path: Path) -> Path:
    """The mean of the rows of a table: ids [1, n] → f32 [1, 4]."""
    table = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("ReduceMean", ["rows"], ["vector"], axes=[1], keepdims=0),
        ],
        "mean",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def tokeniser() -> Tokenizer:
    found = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, WORDS.index(word)) for word in ("<s>", "</s>")]
    found.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return found


def with_words(folder: Path) -> Path:
    """FOLDER/worded: the index of FOLDER/index with a space of words, by a network as e5-small is one, but small."""
    standing, dataset = Index(folder / "index"), Dataset.open(folder / "dataset")
    settings = dict(standing.settings)
    batch = batch_of(items_of(dataset), dataset, settings, folder / "none", Silent())
    batch = replace(batch, vectors={"text": np.eye(len(batch.table), 4, dtype=np.float32)})
    settings["recipe"] = dict(settings["recipe"]) | {"text": "e5-small"}
    asked = Text(tokens="e5-small", length=16, prefix="query: ")
    asked._tokeniser = tokeniser()
    saved(folder / "worded" / settings["encoders"] / "text", Frozen(asked, network(folder / "mean.onnx")), None)
    Index.create(folder / "worded", batch, settings, weights=settings["fields"])
    return folder / "worded"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_sample_shop(folder / "shop", items=12, seed=0)
    workflow.collect(folder / "shop" / "SHOP.yaml", folder / "dataset")
    workflow.index(folder / "dataset", folder / "index", Recipe(text="none", picture="none"))
    for name in ("dataset", "index"):
        workflow.promote(folder / name, folder / "home")
    return folder


@pytest.fixture(scope="module")
def worded(made) -> Path:
    return with_words(made)


@pytest.fixture
def home(made, tmp_path) -> Path:
    return Path(shutil.copytree(made / "home", tmp_path / "home"))


def test_an_item_needs_no_wheel_where_the_index_keeps_what_reads_it(made, worded, home, tmp_path, monkeypatch):
    def missing(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights, "distribution", missing)  # tuwen without the extra pretrained
    workflow.promote(worded, home)
    shop = Shop(home, tmp_path / "store.db")
    told = shop.good("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zebra lamp"}})
    assert told["findable"]
    shop.store.close()
    again = Shop(home, tmp_path / "store.db")  # the item is brought into the index once more
    assert again.good("GET", "/readyz")["fault"] is None
    assert again.live.storefront.parts.searcher is not None
    now = again.live.storefront.parts.searcher.refresh()
    row = now.row_of("NEW")
    text = Text(tokens="e5-small", length=16, prefix="passage: ")
    text._tokeniser = tokeniser()
    (vector,) = Frozen(text, made / "mean.onnx").encode(["zebra lamp"])[0]["vector"]
    np.testing.assert_allclose(now.take("text", np.array([row]))[0], vector / np.linalg.norm(vector), atol=1e-6)
    again.store.close()


def test_an_item_that_cannot_be_brought_in_is_told_and_keeps_nothing_closed(home, tmp_path):
    with Store(tmp_path / "store.db") as store:
        store.items.put("BAD", {"title": "a bad one", "price": "dear"})  # the index holds numbers
        store.items.put("GOOD", {"title": "zeppelin"})
    for _ in range(2):  # it is tried again, and told again
        shop = Shop(home, tmp_path / "store.db")
        told = shop.good("GET", "/readyz")
        assert told["ready"] and "'BAD'" in told["fault"]
        assert shop.good("GET", "/v1/search?words=zeppelin")["hits"][0]["item"] == "GOOD"
        shop.store.close()
    shop = Shop(home, tmp_path / "store.db")
    assert shop.good("POST", "/v1/items", {"item": "BAD", "columns": {"price": 3}})["findable"]
    assert shop.good("GET", "/readyz")["fault"] is None
    shop.store.close()


def test_an_item_that_cannot_be_encoded_is_not_stored(home, tmp_path):
    shop = Shop(home, tmp_path / "store.db")
    with pytest.raises(DataError):
        shop.live.storefront.put(shop.store, "BAD", {"title": "a bad one", "price": "dear"}, [])
    assert shop.store.items.get("BAD") is None
    shop.store.close()


@pytest.mark.parametrize("error", [StoreUnavailable("the store does not answer"), RuntimeError("something else")])
def test_a_revision_that_could_not_be_loaded_for_a_passing_reason_is_tried_again(home, tmp_path, monkeypatch, error):
    shop = Shop(home, tmp_path / "store.db")
    before = shop.live.storefront.parts.revision
    workflow.roll_back(home)
    with monkeypatch.context() as away:
        away.setattr(serving, "open_parts", lambda *_: (_ for _ in ()).throw(error))
        assert not shop.live.look()
        fault = shop.good("GET", "/readyz")["fault"]
        assert getattr(error, "what", "RuntimeError") in fault and "something else" not in fault
    assert not shop.live.look()  # not at once: a revision that is damaged would keep the machine busy
    monkeypatch.setattr(shop.live, "_again", 0.0)
    assert shop.live.look() and shop.live.storefront.parts.revision == before + 1 and shop.live.fault is None
    shop.store.close()


def test_a_new_item_waits_for_nothing_to_be_loaded(worded, home, tmp_path):
    workflow.promote(worded, home)
    shop = Shop(home, tmp_path / "store.db")
    assert shop.live.storefront.parts.searcher is not None
    index = shop.live.storefront.parts.searcher.index
    shutil.rmtree(index.folder / str(index.settings["encoders"]))  # all of it is in memory since the opening
    told = shop.good("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zebra lamp"}})
    assert told["findable"] and shop.good("GET", "/v1/search?words=zebra")["hits"][0]["item"] == "NEW"
    shop.store.close()


def test_what_is_loaded_is_left_to_itself_and_what_is_not_served_any_more_goes(home, tmp_path):
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    seen: list[int] = []
    with Store(tmp_path / "store.db") as store:
        live = serving.Live(Home(home), store, loaded=lambda: seen.append(live.storefront.parts.revision))
        assert not live.look() and seen == []
        workflow.roll_back(home)
        assert live.look() and seen == [live.storefront.parts.revision]  # told once it is there
    ring = Ring()
    gone = weakref.ref(ring)
    try:
        _settle()
        assert gc.get_freeze_count() > 1000
        del ring
        gc.collect()
        assert gone() is not None  # nobody walks through what was loaded
        _settle()
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # as tests/conftest.py left it: else each later collection looks at all that is imported


def test_a_tokeniser_is_parsed_once_whichever_part_keeps_it(tmp_path):
    for name in ("index", "bundle"):
        tokeniser().save(str(tmp_path / name))
    assert tokenisers.read(tmp_path / "index") is tokenisers.read(tmp_path / "bundle")


def test_shoppers_are_answered_while_an_operator_promotes(made, home, tmp_path, monkeypatch):
    shop, go_on, begun = Shop(home, tmp_path / "store.db", limits=Limits(workers=1)), threading.Event(), []
    real = serving.self_test

    def slow(kind: Kind, folder: Path) -> None:
        begun.append(kind)
        assert go_on.wait(20)
        real(kind, folder)

    monkeypatch.setattr(serving, "self_test", slow)
    shutil.copytree(made / "index", home / "incoming" / "index")
    transport = httpx.ASGITransport(shop.app)

    async def both() -> tuple[bool, int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            promoting = asyncio.create_task(client.post("/v1/operator/promote", json={"folder": "index"}))
            while not begun:
                await asyncio.sleep(0.01)
            asking = asyncio.create_task(client.get("/v1/search?words=lamp"))
            await asyncio.wait([asking], timeout=10)
            answered = asking.done()
            go_on.set()
            return answered, (await promoting).status_code

    assert asyncio.run(both()) == (True, 200)
    assert shop.good("GET", "/readyz")["revision"] == 3
    shop.store.close()
