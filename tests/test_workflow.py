"""The five steps end to end on a small sample shop, through the same functions that every door calls."""

import json
import os
import resource
import shutil
import signal
import time

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from processes import begun
from shops import NO_TEXT_FILES, jpeg, small_sample
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError, DataError, InUse
from tuwen.outputs import held
from tuwen.progress import Silent
from tuwen.workflow.evaluation import bundle_rows
from tuwen.workflow.gathering import gather
from tuwen.workflow.memory import room_in_memory
from web import Web

TEXT_ONLY = "{use: text, columns: reviews.text, encoder: lstm}"
QUICK = ["training.epochs=2", "modalities.picture.size=32", "evaluation.samples=100"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return small_sample(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def trained(shop):
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "bundle", QUICK)
    return bundle, workflow.evaluate(bundle, shop / "dataset", shop / "report")


def test_the_report_holds_the_baselines_the_metrics_and_their_intervals(shop, trained):
    _, report = trained
    assert json.loads((shop / "report" / "report.json").read_text(encoding="utf-8")) == report
    assert set(report["baselines"]) == {"mean", "median", "tfidf_linear", "picture_linear", "text_only", "picture_only"}
    assert report["warnings"] == []
    rmse = report["metrics"]["rmse"]
    assert rmse["low"] <= rmse["value"] <= rmse["high"]
    assert set(report["knock_out"]) == {"text", "picture"}
    for ways in report["knock_out"].values():
        assert list(ways) == ["absent", "half", "swapped"]
    assert {"train_seconds", "peak_memory_mb", "bundle_mb", "latency_p50_ms", "latency_p95_ms"} <= set(report["cost"])
    assert report["provenance"]["data_hash"] == Dataset.open(shop / "dataset").hash
    html = (shop / "report" / "report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in html
    assert "text_only" in (shop / "bundle" / "card.md").read_text(encoding="utf-8")


def test_the_model_learns_what_was_planted(trained):
    """Words carry most of the signal, so even two epochs on few rows must beat the mean clearly."""
    _, report = trained
    assert report["comparisons"]["mean"]["rmse"]["high"] < 0


def test_serving_answers_as_evaluation_did(shop, trained):
    """One door: a row answered by the bundle alone equals its row in the table of predictions."""
    folder, _ = trained
    bundle, dataset = Bundle.open(folder), Dataset.open(shop / "dataset")
    gathered = gather(Run.model_validate(bundle.run), dataset)
    frame = gathered.frame[gathered.rows("test")][:20]
    told = pl.read_parquet(shop / "report" / "predictions.parquet").filter(pl.col("row").is_in(frame["row"].to_list()))
    answers = [bundle.predict([row])[0]["prediction"] for row in bundle_rows(bundle, frame, dataset)]
    np.testing.assert_allclose(answers, told["prediction"].to_numpy(), rtol=1e-4, atol=1e-5)


def test_predict_reads_a_file_and_tells_of_pictures_it_cannot_read(tmp_path, trained):
    file = tmp_path / "new.csv"
    (tmp_path / "broken.jpg").write_bytes(b"<html>no picture</html>")
    file.write_text(
        "id,text,images\n1,太喜欢了，包装精美,\n2,Awful,broken.jpg\n3,,nowhere.jpg\n4,,\n", encoding="utf-8"
    )
    answers = workflow.predict(trained[0], file, tmp_path / "answers.jsonl")
    assert answers["id"].to_list() == ["1", "2", "3", "4"]
    assert answers["prediction"].is_between(1, 5).all()
    assert answers["problem"][0] is None
    assert "web page" in answers["problem"][1] and "No such file" in answers["problem"][2]
    assert "nothing to go by" in answers["problem"][3]
    assert len((tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 4


def test_predict_reads_pictures_as_collect_does_and_writes_for_a_spreadsheet(tmp_path, trained):
    (tmp_path / "Front.JPG").write_bytes(jpeg(1))
    (tmp_path / "Rue de Rivoli, Paris.jpg").write_bytes(jpeg(2))
    with Web({"/a.jpg": jpeg(3)}) as web:
        cells = ["front.jpg,gone.jpg", "Rue de Rivoli, Paris.jpg", f"{web.url}/a.jpg", f"{web.url}/gone.jpg"]
        pl.DataFrame({"id": ["=1+1", "女鞋", "3", "4"], "text": [None] * 4, "images": cells}).write_csv(
            tmp_path / "new.csv"
        )
        refused = workflow.predict(trained[0], tmp_path / "new.csv")["problem"].to_list()
        assert refused[:2] == [None, None] and web.asked.total() == 0
        assert all("--private-addresses" in problem and web.url in problem for problem in refused[2:]), refused
        out = tmp_path / "answers.csv"
        read = workflow.predict(trained[0], tmp_path / "new.csv", out, private=True)["problem"].to_list()
    assert read[:3] == [None] * 3 and "404" in read[3]
    assert out.read_bytes().startswith(b"\xef\xbb\xbfid,")
    assert pl.read_csv(out)["id"].to_list() == ["'=1+1", "女鞋", "3", "4"]


def test_a_broken_picture_counts_as_none(trained):
    bundle = Bundle.open(trained[0])
    row = {"reviews.text": "好看，质量很好"}
    assert bundle.predict([row]) == bundle.predict([row | {"items.images": None}])


@pytest.mark.parametrize(
    ("row", "message"),
    [({"reviews.txt": "x"}, "did you mean"), ({"images": "x.jpg"}, "bytes"), ({"images": b"nonsense"}, "row 1")],
)
def test_a_row_that_does_not_fit_says_where(trained, row, message):
    with pytest.raises(DataError, match=message):
        Bundle.open(trained[0]).predict([row])


def test_a_file_without_a_known_column_says_what_is_read(tmp_path, trained):
    file = tmp_path / "x.csv"
    file.write_text("words\nhello\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"reviews\.text"):
        workflow.predict(trained[0], file)


@pytest.mark.parametrize(("data", "what"), NO_TEXT_FILES.values(), ids=NO_TEXT_FILES)
def test_predict_names_a_file_that_is_no_text(tmp_path, trained, data, what):
    file = tmp_path / "new.csv"
    file.write_bytes(data)
    with pytest.raises(DataError, match=what) as caught:
        workflow.predict(trained[0], file, tmp_path / "answers.csv")
    assert caught.value.todo and not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize("rows", [{"reviews.text": "x"}, "reviews", ["x"], None, 5, [None]])
def test_predict_takes_a_list_of_rows(trained, rows):
    with pytest.raises(DataError, match="list of rows"):
        Bundle.open(trained[0]).predict(rows)


def test_nan_is_nothing_and_half_a_character_is_no_fault(trained):
    bundle = Bundle.open(trained[0])
    nothing = bundle.predict([{"reviews.text": None}])
    assert bundle.predict([{"reviews.text": float("nan")}]) == nothing
    assert bundle.predict([{"reviews.text": "好\ud800"}])[0]["prediction"] > 0
    with pytest.raises(DataError, match="given twice"):
        bundle.predict([{"reviews.text": "x", "text": "y"}])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "texts,images\nhello,\n", "did you mean 'text'"),
        ("x.csv", "text\n", "no rows"),
        ("x.json", "{}", "cannot read this kind"),
        ("gone.csv", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_answered_says_why(tmp_path, trained, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        workflow.predict(trained[0], tmp_path / name)


def test_answers_do_not_replace_their_questions(tmp_path, trained):
    file = tmp_path / "x.csv"
    file.write_text("text\nhello\n", encoding="utf-8")
    with pytest.raises(DataError, match="replace their own"):
        workflow.predict(trained[0], file, file)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("answers.xlsx", "unknown kind of output"),
        ("folder.csv", "cannot be written"),
        ("file/x.csv", "cannot be written"),
        ("/proc/no/x.csv", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_a_row_is_answered(tmp_path, trained, monkeypatch, name, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "x.csv").write_text("text\nhello\n", encoding="utf-8")
    monkeypatch.setattr(Bundle, "answer", lambda *_: pytest.fail("a row was answered"))
    with pytest.raises(DataError, match=message):
        workflow.predict(trained[0], tmp_path / "x.csv", tmp_path / name)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_answers_are_written_whole_or_not_at_all(tmp_path, trained, monkeypatch, ending):
    rows = [{"text": "hello", "tags": ["甲", "b"]}, {"text": "", "tags": None}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = tmp_path / "new" / f"answers.{ending}"
    workflow.predict(trained[0], tmp_path / "x.jsonl", out)
    before = out.read_bytes()
    assert "甲".encode() in before
    monkeypatch.setattr(Bundle, "answer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        workflow.predict(trained[0], tmp_path / "x.jsonl", out)
    assert out.read_bytes() == before and list(out.parent.iterdir()) == [out]


def test_a_file_gives_no_column_twice(tmp_path, trained):
    (tmp_path / "x.csv").write_text("text,reviews.text\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="given twice"):
        workflow.predict(trained[0], tmp_path / "x.csv")


def test_the_same_run_and_data_give_the_same_bundle(shop, trained):
    again = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "again", QUICK)
    one, other = load_file(trained[0] / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_was_stopped_goes_on_and_ends_the_same(shop, trained, tmp_path, how):
    """A process is really killed (or interrupted) after its first checkpoint; the same command then finishes."""
    out = tmp_path / "bundle"
    process = begun("train", shop / "RUN.yaml", shop / "dataset", out, [*QUICK, "training.checkpoint_seconds=0.05"])
    checkpoint = tmp_path / "bundle.training" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.is_file() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, how)
    process.join(timeout=60)
    assert process.exitcode not in (None, 0) and not out.exists()
    assert checkpoint.is_file()
    workflow.train(shop / "RUN.yaml", shop / "dataset", out, QUICK)
    assert not checkpoint.parent.exists()
    one, other = load_file(trained[0] / "model.safetensors"), load_file(out / "model.safetensors")
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_finished_bundle_is_not_trained_again_nor_replaced_unasked(shop, trained, tmp_path):
    out = tmp_path / "bundle"
    shutil.copytree(trained[0], out)
    before = (out / "bundle.json").stat().st_mtime_ns
    assert workflow.train(shop / "RUN.yaml", shop / "dataset", out, QUICK) == out  # the very same
    assert (out / "bundle.json").stat().st_mtime_ns == before
    other = [*QUICK, "training.epochs=1"]
    with pytest.raises(BundleError, match="--replace") as caught:
        workflow.train(shop / "RUN.yaml", shop / "dataset", out, other)
    assert caught.value.where == str(out) and Dataset.open(shop / "dataset").hash[:12] in caught.value.seen
    assert (out / "bundle.json").stat().st_mtime_ns == before
    assert not out.with_name("bundle.training").exists()
    workflow.train(shop / "RUN.yaml", shop / "dataset", out, other, replace=True)
    assert Bundle.open(out).run["training"]["epochs"] == 1


def test_a_damaged_bundle_of_the_same_run_is_no_finished_one(shop, trained, tmp_path):
    out = tmp_path / "bundle"
    shutil.copytree(trained[0], out)
    assert workflow.is_trained(shop / "RUN.yaml", shop / "dataset", out, QUICK)
    (out / "model.safetensors").write_bytes(b"cut off")
    assert not workflow.is_trained(shop / "RUN.yaml", shop / "dataset", out, QUICK)


def test_a_folder_in_the_way_is_told_before_anything_is_trained(shop, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    with pytest.raises(BundleError, match="not a bundle"):
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "photos", QUICK, replace=True)
    assert not (tmp_path / "photos.training").exists()


def test_an_evaluation_keeps_the_answers_of_its_baselines_not_their_bundles(shop, trained, tmp_path):
    """The second time nothing is trained: a baseline that would be is seen by its progress."""
    kept = sorted((shop / "report" / "baselines").rglob("*"))
    assert [p.suffix for p in kept if p.is_file()] == [".parquet"] * 4
    assert not list((shop / "report").rglob("bundle.json"))

    told = []

    class Told(Silent):
        def task(self, name, total=None):
            told.append(name)
            return super().task(name, total)

    again = workflow.evaluate(trained[0], shop / "dataset", shop / "report", Told())
    assert again["baselines"] == trained[1]["baselines"]
    assert told and not any("only" in name or "linear" in name for name in told)
    folder = tmp_path / "report" / "baselines" / "text_only"
    folder.mkdir(parents=True)
    name = next((shop / "report" / "baselines" / "text_only").glob("*.parquet")).name
    (folder / name).write_bytes(b"damaged")
    (folder / "fold-0-0123456789abcdef.parquet").write_bytes(b"of an older run")
    anew = workflow.evaluate(trained[0], shop / "dataset", tmp_path / "report")
    assert anew["baselines"] == again["baselines"]
    assert len(list(folder.iterdir())) == 1


def test_two_trainings_of_one_bundle_do_not_meet(shop, tmp_path):
    with held(tmp_path / "bundle.training"), pytest.raises(InUse, match="another run"):
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", QUICK)


@pytest.mark.parametrize("when", ["training.checkpoint_seconds=0.01", "training.checkpoint_seconds=1000"])
def test_a_full_disk_is_told_and_leaves_the_old_bundle(shop, trained, tmp_path, when):
    """Full while a checkpoint is written, and while the bundle is."""
    out = tmp_path / "bundle"
    shutil.copytree(trained[0], out)
    places, said, small = (shop / "RUN.yaml", shop / "dataset", out), tmp_path / "said", {resource.RLIMIT_FSIZE: 20_000}
    process = begun("train", *places, [*QUICK, when], replace=True, said=said, limits=small)
    process.join(timeout=120)
    told = said.read_text(encoding="utf-8")
    assert process.exitcode == DataError.exit_code, told
    assert "disk" in told
    assert Bundle.open(out).manifest == Bundle.open(trained[0]).manifest


def test_too_little_memory_is_told_as_such(shop, tmp_path):
    places, said, small = (shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle"), tmp_path / "said", 8_000_000_000
    wide = ["modalities.text.encoder.width=100000"]
    process = begun("train", *places, wide, said=said, limits={resource.RLIMIT_AS: small})
    process.join(timeout=120)
    told = said.read_text(encoding="utf-8")
    assert process.exitcode == DataError.exit_code, told
    assert "there is not enough memory" in told and "smaller width" in told


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_only_a_failed_allocation_is_told_as_too_little_memory(error, memory):
    with pytest.raises(DataError if memory else type(error)), room_in_memory():
        raise error


def test_a_whole_run_with_folds_pools_them_and_goes_on_where_it_was(shop, tmp_path):
    settings = [*QUICK, "split.use=folds", "split.folds=2", "training.epochs=1"]
    run = tmp_path / "RUN.yaml"
    text = (shop / "RUN.yaml").read_text(encoding="utf-8").replace("SHOP.yaml", str(shop / "SHOP.yaml"))
    run.write_text(text.replace(", column: reviews.time", ""), encoding="utf-8")
    report = workflow.run(run, tmp_path / "out", settings)
    assert report["provenance"]["folds"] == 2
    assert report["rows"] == report["provenance"]["rows"]["test"]
    before = (tmp_path / "out" / "folds" / "bundle-1" / "model.safetensors").stat().st_mtime_ns
    again = workflow.run(run, tmp_path / "out", settings)
    assert (tmp_path / "out" / "folds" / "bundle-1" / "model.safetensors").stat().st_mtime_ns == before
    assert again["metrics"] == report["metrics"]
    before = Dataset.open(tmp_path / "out" / "dataset").manifest
    with pytest.raises(BundleError, match="run 'sample'"):
        workflow.run(run, tmp_path / "out", [*settings, "name=another"])
    assert Dataset.open(tmp_path / "out" / "dataset").manifest == before  # told before anything is written
    more = [*settings, "seed=7", "evaluation.baselines=[trivial]"]  # the same run, changed: its own to replace
    changed = workflow.run(run, tmp_path / "out", more)
    assert changed["provenance"]["seed"] == 7


def test_a_bundle_with_a_table_tells_what_its_columns_are_and_is_served(shop, tmp_path):
    """Each column of a table is asked for as what it is; the service starts and answers."""
    from fastapi.testclient import TestClient

    from tuwen.service import app

    place = shutil.copytree(shop, tmp_path / "german", ignore=shutil.ignore_patterns("dataset"))
    users = (place / "users.csv").read_text(encoding="utf-8").splitlines()
    spent = ["spent", *(["1.299,00 €", "12,50 €"] * len(users))]  # a column of the shop's own, of texts
    text = "\n".join(f'{line},"{cell}"' for line, cell in zip(users, spent, strict=False))
    (place / "users.csv").write_text(text, encoding="utf-8")
    workflow.collect(place / "SHOP.yaml", place / "dataset")
    columns = "[users.city, items.price, reviews.time, users.spent]"
    table = f"modalities.who={{use: table, columns: {columns}, numbers: [users.spent], encoder: table}}"
    quick = ["training.epochs=1", "modalities.picture.size=32", table]
    bundle = Bundle.open(workflow.train(shop / "RUN.yaml", place / "dataset", tmp_path / "bundle", quick))
    asked = bundle.read([{"users.spent": "1.299"}, {"users.spent": 1299}])
    assert asked.columns["who"]["users.spent"].to_list() == [1299.0, 1299.0]  # as the train part writes it
    kinds = {entry["column"]: entry["kind"] for entry in bundle.inputs}
    assert [kinds[c] for c in ("users.city", "items.price", "reviews.time")] == ["category", "number", "date"]
    with TestClient(app(bundle, hosts=["testserver"])) as client:
        row = {"reviews.text": "很好", "items.price": 12, "users.city": "上海", "reviews.time": "2025-05-01"}
        answer = client.post("/v1/predict", json={"rows": [row, {"items.price": 12.0, "text": "很好"}]})
    assert answer.status_code == 200, answer.text
    plain = "text,price,time\na,1299,2025-03-05\nb,12.5,2025-12-31\n"
    german = "text;price;time\na;1.299;05/03/2025\nb;12,50 €;31/12/2025\n"  # the second row tells how to read the first
    answers = []
    for name, text in (("plain.csv", plain), ("german.csv", german)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        answers.append(workflow.predict(tmp_path / "bundle", tmp_path / name).select("prediction", "problem"))
    assert answers[0].equals(answers[1]) and answers[0]["problem"].null_count() == 2


def test_a_stored_value_that_a_modality_cannot_use_is_refused_at_a_door_but_not_by_evaluate(shop, tmp_path):
    """Training counts a city named as a number as missing, so judging does too; a person who asks is told."""
    who = "modalities.who={use: table, columns: [users.city], numbers: [users.city], encoder: table}"
    quick = ["training.epochs=1", "modalities.picture.size=32", "evaluation.baselines=[trivial]", who]
    folder = workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", quick)
    assert workflow.evaluate(folder, shop / "dataset", tmp_path / "report")["cost"]["latency_p50_ms"] > 0
    with pytest.raises(DataError, match="not a number"):
        Bundle.open(folder).predict([{"city": "上海"}])


@pytest.mark.parametrize(
    ("split", "refused"),
    [
        ("{use: time, column: reviews.time}", True),
        ("{use: time, column: reviews.time, cut: 2025-06-01}", False),
        ("{use: random}", True),
        ("{use: folds, folds: 3}", True),
        ("{use: hash}", False),
    ],
)
def test_a_bundle_is_not_tested_on_rows_it_was_trained_on(shop, tmp_path, split, refused):
    """The shop exports again with more rows: a split that then moves rows across is refused, the others move none."""
    shutil.copytree(shop, tmp_path / "later", ignore=shutil.ignore_patterns("dataset", "bundle*", "again", "report"))
    lines = (shop / "reviews.csv").read_text(encoding="gb18030").splitlines(keepends=True)
    (tmp_path / "later" / "reviews.csv").write_text("".join(lines[:1] + lines[60:]), encoding="gb18030")
    workflow.collect(tmp_path / "later" / "SHOP.yaml", tmp_path / "later" / "dataset")
    changes = ["training.epochs=1", "modalities.picture.size=32", "evaluation={samples: 100, baselines: []}"]
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", [*changes, f"split={split}"])
    if refused:
        with pytest.raises(DataError, match="would test it on rows it knows"):
            workflow.evaluate(bundle, tmp_path / "later" / "dataset", tmp_path / "report")
        return
    report = workflow.evaluate(bundle, tmp_path / "later" / "dataset", tmp_path / "report")
    assert ["other data" in warning["en"] for warning in report["warnings"]] == [True]
    assert "不是训练所用的数据" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "不是训练所用的数据" in (bundle / "card.md").read_text(encoding="utf-8")
    run = Run.model_validate(Bundle.open(bundle).run)
    before, after = (gather(run, Dataset.open(folder / "dataset")) for folder in (shop, tmp_path / "later"))
    learned = set(before.frame["row"][before.rows("train")]) | set(before.frame["row"][before.rows("validation")])
    assert not learned & set(after.frame["row"][after.rows("test")])
