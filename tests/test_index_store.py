"""An index folder: added, removed, rebuilt, shared, damaged."""

from __future__ import annotations

import json
import multiprocessing
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuwen.errors import DataError
from tuwen.index import store
from tuwen.index.segments import Batch
from tuwen.index.store import MOST_PARTS, Index
from tuwen.outputs import held

WEIGHTS = {"title": 3.0}
WORDS = ["red", "blue", "鞋", "shirt", "wh1000xm4"]
SLOTS = [((("red",), 1.0),), ((("鞋",), 1.0),)]


def batch(numbers: list[int], version: int = 0) -> Batch:
    """Items whose content follows from their number."""
    rng = [np.random.default_rng([n, version]) for n in numbers]
    titles = [[WORDS[i] for i in one.integers(0, len(WORDS), 3)] for one in rng]
    vectors = np.array([one.standard_normal(8) for one in rng], np.float32).reshape(-1, 8)
    table = pl.DataFrame(
        {"item": [f"i{n}" for n in numbers], "price": [float(n) for n in numbers]},
        schema={"item": pl.String, "price": pl.Float64},
    )
    return Batch(table, {"title": titles}, {"text": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)})


def answers(index: Index) -> tuple[list[str], list[str], dict[str, float]]:
    """(words, vectors, scores) of fixed questions, as item keys."""
    now = index.snapshot
    scores, _ = now.words.scores(SLOTS)
    order = np.lexsort((now.ties, -scores))
    items = now.table["item"]
    words = [items[int(row)] for row in order if scores[row] > 0]
    query = np.random.default_rng(99).standard_normal(8).astype(np.float32)
    rows, _ = now.nearest("text", query, 5)
    return (
        words,
        items[rows].to_list(),
        {items[int(row)]: round(float(scores[row]), 4) for row in order if scores[row] > 0},
    )


def create(folder: Path, made: Batch) -> Index:
    return Index.create(folder, made, {"name": "x"}, weights=WEIGHTS)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "rebuild", "tail"]), st.lists(st.integers(0, 12), max_size=4, unique=True)
        ),
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_was_done_it_answers_as_one_made_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]], random: object
) -> None:
    folder = tmp_path_factory.mktemp("index")
    versions = dict.fromkeys(range(10), 0)
    index = create(folder / "a", batch(list(versions)))
    for number, (step, items) in enumerate(steps, 1):
        if step == "add" and items:
            index.add(batch(items, number))
            versions |= dict.fromkeys(items, number)
        elif step == "remove":
            assert index.remove([f"i{n}" for n in items]) == len(versions.keys() & set(items))
            versions = {n: v for n, v in versions.items() if n not in items}
        elif step == "rebuild":
            index.rebuild()
        elif step == "tail":  # all but the first part
            index.rebuild(first=1)
    left = list(versions.items())
    random.shuffle(left)  # type: ignore[attr-defined]
    parts = [batch([n], v) for n, v in left]
    fresh = create(
        folder / "b",
        Batch(
            pl.concat([p.table for p in parts] or [batch([]).table]),
            {"title": [t for p in parts for t in p.fields["title"]]},
            {"text": np.concatenate([np.empty((0, 8), np.float32), *(p.vectors["text"] for p in parts)])},
        ),
    )
    again = Index(folder / "a")
    assert answers(index) == answers(again) == answers(fresh)
    assert len(index.snapshot) == len(versions)
    for n in range(13):
        assert (index.snapshot.row_of(f"i{n}") is not None) == (n in versions)


def test_another_reader_sees_a_change_when_it_looks_and_not_before(tmp_path: Path) -> None:
    writer = create(tmp_path, batch([1, 2, 3]))
    reader = Index(tmp_path)
    before = answers(reader)
    writer.add(batch([4]))
    writer.remove(["i1"])
    assert answers(reader) == before
    assert reader.refresh() and not reader.refresh()
    assert answers(reader) == answers(writer) != before


def test_what_is_added_while_it_is_rebuilt_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = create(tmp_path, batch(list(range(20))))
    true = store.merged

    def meanwhile(*args: object, **options: object) -> object:
        found = true(*args, **options)  # type: ignore[arg-type]
        Index(tmp_path).add(batch([30]))
        Index(tmp_path).remove(["i3"])
        return found

    monkeypatch.setattr(store, "merged", meanwhile)
    index.remove(["i5"])
    index.rebuild()
    items = {f"i{n}" for n in (*range(20), 30)} - {"i3", "i5"}
    for one in (index, Index(tmp_path)):
        assert set(one.snapshot.table.filter(pl.Series(one.snapshot.living))["item"]) == items
    assert len(list(tmp_path.glob("*.arrow"))) == 2


def test_searches_go_on_while_it_is_rebuilt_in_the_background(tmp_path: Path) -> None:
    index = create(tmp_path, batch(list(range(50))))
    index.add(batch([60]))
    before = answers(index)
    thread = index.rebuild_in_background()
    while thread.is_alive():
        assert answers(index) == before
    thread.join()
    assert answers(index) == before and len(index.snapshot.segments) == 1


def ended(index: Index) -> None:
    if index._rebuilding is not None:
        index._rebuilding.join()


def test_one_that_takes_in_item_by_item_never_has_many_parts_nor_writes_large_ones_again(tmp_path: Path) -> None:
    index = create(tmp_path / "a", batch(list(range(200))))
    large = index.snapshot.segments[0].name
    for n in range(200, 240):
        index.add(batch([n]))
        index.mend()
        ended(index)
        assert len(index.snapshot.segments) <= MOST_PARTS and index.snapshot.segments[0].name == large
    assert answers(index) == answers(Index(tmp_path / "a")) == answers(create(tmp_path / "b", batch(list(range(240)))))
    index.remove([f"i{n}" for n in range(60)])
    index.mend()
    ended(index)
    assert len(index.snapshot.segments) == 1 and len(index.snapshot.living) == len(index.snapshot) == 180


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_another_process_that_rebuilds_too_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    escaped: list[object] = []
    monkeypatch.setattr(threading, "excepthook", escaped.append)
    index = create(tmp_path, batch([0]))
    for n in range(1, MOST_PARTS + 1):
        index.add(batch([n]))
    before, true = answers(index), store.merged

    def meanwhile(*args: object, **options: object) -> object:
        monkeypatch.setattr(store, "merged", true)
        Index(tmp_path).rebuild()
        return true(*args, **options)  # type: ignore[arg-type]

    if when == "meanwhile":
        monkeypatch.setattr(store, "merged", meanwhile)
        index.mend()
        ended(index)
    else:
        with held(tmp_path / ".rebuilding"):
            index.mend()
            ended(index)
        assert index.worn
    index.mend()
    ended(index)
    index.refresh()
    assert not escaped and not index.worn and answers(index) == before
    assert len(list(tmp_path.glob("*.arrow"))) == len(index.snapshot.segments)


def _add(folder: Path, numbers: list[int]) -> None:
    index = Index(folder)
    for n in numbers:
        index.add(batch([n]))


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    index = create(tmp_path, batch([0]))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add, args=(tmp_path, numbers)) for numbers in ([1, 2, 3], [4, 5, 6])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    index.refresh()
    assert len(index.snapshot) == 7


@pytest.mark.parametrize("ending", ["arrow", "safetensors", "faiss"])
def test_a_damaged_file_is_found_when_it_is_opened(tmp_path: Path, ending: str) -> None:
    create(tmp_path, batch([1, 2, 3]))
    (path,) = tmp_path.glob(f"*.{ending}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged") as told:
        Index(tmp_path)
    assert told.value.where == str(path) and "tuwen index" in str(told.value.todo)


@pytest.mark.parametrize("ending", ["flipped", "cut"])
def test_a_damaged_list_of_removed_items_shows_none_of_them_again(tmp_path: Path, ending: str) -> None:
    create(tmp_path, batch([1, 2, 3])).remove(["i2"])
    assert Index(tmp_path).snapshot.row_of("i2") is None
    (path,) = tmp_path.glob("*.removed.npy")
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data if ending == "flipped" else data[:5])
    with pytest.raises(DataError, match="damaged") as told:
        Index(tmp_path)
    assert told.value.where == str(path) and "tuwen index" in str(told.value.todo)


def test_what_is_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no index"):
        Index(tmp_path)
    create(tmp_path, batch([1]))
    good = (tmp_path / "index.json").read_text()
    for text in ("", "[]", "{}", json.dumps(json.loads(good) | {"format": 99})):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(DataError):
            Index(tmp_path)
    (tmp_path / "index.json").write_text(good)
    for path in tmp_path.glob("*.arrow"):
        path.unlink()
    with pytest.raises(DataError, match="missing"):
        Index(tmp_path)


def test_items_that_do_not_fit_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    index = create(tmp_path, batch([1, 2]))
    with pytest.raises(DataError, match="not those of the index"):
        index.add(Batch(batch([3]).table, {"title": [["a"]]}, {"text": np.ones((1, 9), np.float32)}))
    with pytest.raises(DataError, match="twice"):
        Batch(pl.DataFrame({"item": ["a", "a"]}), {"title": [[], []]})
    with pytest.raises(DataError, match="different numbers"):
        Batch(pl.DataFrame({"item": ["a"]}), {"title": [[], []]})
    assert len(Index(tmp_path).snapshot) == 2
