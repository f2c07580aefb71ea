"""A real bundle, trained here, behind the real door: the same answers by Python, file and HTTP, until Ctrl-C."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from tuwen import workflow
from tuwen.cli import app as cli
from tuwen.data.sample import write_sample_shop
from tuwen.data.sample.pictures import draw_item
from tuwen.errors import BundleError, ConfigError, DataError, InUse
from tuwen.service import app, check_host, listening, serve

TUWEN = [sys.executable, "-c", "from tuwen.cli import main; main()"]
# the same where only the extra serve is installed
SERVING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning_fabric", "scipy", "sklearn", "onnx", "pyarrow", "faiss"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from tuwen.cli import main
main()
"""
TEXT = "Worth every penny, 做工真的很好。"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("service") / "shop", items=32)


@pytest.fixture(scope="module")
def bundle(shop: Path) -> Path:
    workflow.collect(shop, shop.with_name("dataset"))
    return workflow.train(
        shop.with_name("RUN.yaml"), shop.with_name("dataset"), shop.with_name("bundle"), ["training.epochs=1"]
    )


@pytest.fixture(scope="module")
def table_bundle(shop: Path, bundle: Path) -> Path:
    """One that reads a number, a date, a category and a picture."""
    who = "modalities.who={use: table, columns: [items.price, reviews.time, users.city], encoder: table}"
    quick = ["training.epochs=1", "modalities.picture.size=32", who]
    return workflow.train(shop.with_name("RUN.yaml"), shop.with_name("dataset"), shop.with_name("tables"), quick)


@pytest.fixture(scope="module")
def photo() -> bytes:
    return draw_item("mug", (198, 55, 52), "dots", np.random.default_rng(0))


@contextmanager
def served(bundle: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``tuwen serve`` as a process of its own; the address it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING, "serve", str(bundle), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + (process.stderr.read() if process.stderr else "")
        yield found.group(), process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_python_file_and_http_give_the_same_answers(bundle: Path, photo: bytes, tmp_path: Path) -> None:
    both = {"reviews.text": TEXT, "items.images": photo}
    asked = [both, {"reviews.text": TEXT}, {"items.images": photo}, {"reviews.text": ""}]
    expected = [answer["prediction"] for answer in workflow.load(bundle).predict(asked)]
    assert len({round(value, 6) for value in expected}) > 2  # both inputs count

    (tmp_path / "a.jpg").write_bytes(photo)
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "images"), (TEXT, "a.jpg"), (TEXT, ""), ("", "a.jpg"), ("", "")])
    done = CliRunner().invoke(cli, ["predict", str(bundle), str(tmp_path / "rows.csv"), "--json"])
    assert [row["prediction"] for row in json.loads(done.stdout)] == pytest.approx(expected, abs=1e-5)

    with served(bundle) as (url, process), httpx.Client(base_url=url, timeout=30) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        told = client.get("/v1/bundle").json()
        assert told["name"] == "sample" and told["target"] == "reviews.rating"
        assert {(i["column"], i["kind"]) for i in told["inputs"]} == {
            ("reviews.text", "text"),
            ("items.images", "image"),
        }
        image = base64.b64encode(photo).decode()
        body = {"rows": [{"text": TEXT, "images": image}, {"text": TEXT}, {"images": image}, {"text": ""}]}
        answer = client.post("/v1/predict", json=body).json()
        assert [row["prediction"] for row in answer["predictions"]] == pytest.approx(expected, abs=1e-5)
        form = client.post("/v1/predict", data={"text": TEXT}, files={"images": photo}).json()
        assert form["predictions"][0]["prediction"] == pytest.approx(expected[0], abs=1e-5)
        refused = client.post("/v1/predict", files={"images": b"<html>a page named .jpg</html>"})
        assert refused.status_code == 422 and refused.json()["where"] == "row 1, 'items.images'"

        taken = int(url.rpartition(":")[2])
        with pytest.raises(InUse, match="something else listens there") as error:
            serve(workflow.load(bundle), port=taken)
        assert "--port" in str(error.value.todo)

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "stopped" in out and err == ""


WRITTEN = [  # the same as a person and as a program writes it
    ({"price": "￥1,299.00"}, {"price": 1299.0}),
    ({"price": "4,5元"}, {"price": 4.5}),
    ({"price": "N/A"}, {"price": None}),
    ({"time": "2025年1月2日"}, {"time": "2025-01-02T00:00:00"}),
    ({"time": "1735776000"}, {"time": "2025-01-02T00:00:00"}),
    ({"time": "1735776000000"}, {"time": "2025-01-02T00:00:00"}),
    ({"time": "2025/01/02 08:00:00+08:00"}, {"time": "2025-01-02T00:00:00"}),
    ({"city": " 上海 "}, {"city": "上海"}),
]


def test_predict_needs_no_torch_and_says_so_where_it_does(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    expected = workflow.load(bundle).predict([{"text": TEXT}])[0]["prediction"]
    (tmp_path / "rows.csv").write_text("text\ngood\n", encoding="utf-8")

    def predicted(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SERVING, "predict", str(folder), str(tmp_path / file), "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = predicted(bundle, "rows.jsonl")
    assert json.loads(done.stdout)[0]["prediction"] == pytest.approx(expected, abs=1e-6), done.stderr
    refused = predicted(bundle, "rows.csv")
    assert refused.returncode == 5 and "reading 'rows.csv' needs the extra 'collect'" in refused.stderr
    told = without_graph(bundle, tmp_path / "torch", "the network cannot be written as ONNX: no such word")
    assert workflow.load(told).predict([{"text": TEXT}])[0]["prediction"] == pytest.approx(expected, abs=1e-4)
    refused = predicted(told, "rows.jsonl")
    assert refused.returncode == 5 and "no such word" in refused.stderr and "[train]" in refused.stderr


def test_int8_is_judged_on_the_validation_part_and_told(shop: Path, bundle: Path) -> None:
    encoder = "modalities.picture.encoder={use: cnn, channels: [32, 64], pool: average}"
    quick = ["training.epochs=1", "modalities.picture.size=32", encoder, "export.int8=true"]
    places = (shop.with_name("RUN.yaml"), shop.with_name("dataset"), shop.with_name("int8"))
    small = workflow.load(workflow.train(*places, [*quick, "export.margin=1"]))
    told = small.manifest["export"]
    assert told["file"] == "network.onnx" and told["difference"] <= told["tolerance"] and told["rows_with_absent"] > 0
    assert told["int8"]["kept"] is True and told["int8"]["rows"] == small.manifest["data"]["rows"]["validation"] > 0
    assert told["int8"]["score"].keys() == {"float32", "int8"} and told["int8"]["difference"] > 0
    assert told["bytes"] == (small.folder / "network.onnx").stat().st_size == told["int8"]["bytes"]["int8"]
    assert workflow.is_trained(*places, [*quick, "export.margin=1"]) and not workflow.is_trained(*places, quick)


def without_graph(bundle: Path, folder: Path, why: str) -> Path:
    """The bundle as it is where its network could not be exported."""
    shutil.copytree(bundle, folder)
    (folder / "network.onnx").unlink()
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    del manifest["files"]["network.onnx"]
    manifest["export"] = {"file": None, "why": why}
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


UNREADABLE = [{"time": "soon"}, {"time": "1525-01-01"}, {"price": "30岁"}, {"price": "1e400"}, {"price": "-1"}]


def test_what_collect_reads_is_read_at_every_door_and_the_rest_is_named(table_bundle: Path, tmp_path: Path) -> None:
    """The written rows, alone and side by side, are the plain ones; the unreadable are refused, or named in a file."""
    bundle = workflow.load(table_bundle)
    base = {"price": 20, "time": "2024-06-05", "city": "北京", "text": TEXT}
    written, plain = ([{**base, **pair[side]} for pair in WRITTEN] for side in (0, 1))
    expected = [answer["prediction"] for answer in bundle.predict(plain)]
    assert len({round(value, 6) for value in expected}) > 3  # they count
    assert [answer["prediction"] for answer in bundle.predict(written)] == pytest.approx(expected, abs=1e-6)
    as_numbers = [{**base, "time": t} for t in (1735776000, datetime(2025, 1, 2), date(2025, 1, 2), 1735776000_000_000)]
    assert [a["prediction"] for a in bundle.predict(as_numbers)] == pytest.approx([expected[3]] * 4, abs=1e-6)
    client = TestClient(app(bundle, hosts=["testserver"]))
    told = client.post("/v1/predict", json={"rows": written}).json()["predictions"]
    assert [answer["prediction"] for answer in told] == pytest.approx(expected, abs=1e-6)

    bad = [{**base, **cell} for cell in UNREADABLE]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, base)
        writer.writeheader()
        writer.writerows([*written, *bad])
    told = workflow.predict(table_bundle, tmp_path / "rows.csv")
    assert told["prediction"].to_list()[: len(written)] == pytest.approx(expected, abs=1e-6)
    assert told["problem"].to_list()[: len(written)] == [None] * len(written)
    for i, (row, cell, problem) in enumerate(zip(bad, UNREADABLE, told["problem"][len(written) :], strict=True)):
        (name, value), *_ = cell.items()
        assert problem.startswith(f"{name}: ") and repr(value) in problem
        missing = bundle.predict([{**row, name: None}])[0]["prediction"]
        assert told["prediction"][len(written) + i] == pytest.approx(missing, abs=1e-6)
        with pytest.raises(DataError) as error:
            bundle.predict([base, row])
        assert str(error.value.where).startswith("row 2, '") and str(error.value.where).endswith(f".{name}'")
        refused = client.post("/v1/predict", json={"rows": [base, row]})
        assert refused.status_code == 422
        assert {key: refused.json()[key] for key in error.value.fields()} == error.value.fields()


def test_of_several_pictures_the_first_readable_one_is_used_at_every_door(
    bundle: Path, photo: bytes, tmp_path: Path
) -> None:
    opened = workflow.load(bundle)
    expected, none = (a["prediction"] for a in opened.predict([{"images": photo}, {"images": None}]))
    assert expected != pytest.approx(none, abs=1e-4)
    lists: list[Any] = [[photo], [None, photo], [b"broken", photo], (b"", photo, b"broken")]
    assert [a["prediction"] for a in opened.predict([{"images": one} for one in lists])] == [expected] * 4
    assert opened.predict([{"images": []}, {"images": [None]}]) == [{"prediction": none}] * 2
    with pytest.raises(DataError, match=r"row 1, 'items\.images'"):
        opened.predict([{"images": [None, b"broken"]}])

    client = TestClient(app(opened, hosts=["testserver"]))
    coded = [base64.b64encode(one).decode() for one in (b"broken", photo)]
    answer = client.post("/v1/predict", json={"rows": [{"images": coded}]}).json()
    assert answer["predictions"][0]["prediction"] == pytest.approx(expected, abs=1e-6)
    form = client.post("/v1/predict", files=[("images", ("1.jpg", b"broken")), ("images", ("2.jpg", photo))]).json()
    assert form["predictions"][0]["prediction"] == pytest.approx(expected, abs=1e-6)

    (tmp_path / "a.jpg").write_bytes(photo)
    rows = [{"images": ["gone.jpg", "a.jpg"]}, {"images": ["gone.jpg"]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    told = workflow.predict(bundle, tmp_path / "rows.jsonl")
    assert told["prediction"].to_list() == pytest.approx([expected, none], abs=1e-6)
    assert told["problem"].to_list() == [None, "images: No such file or directory"]


@pytest.mark.parametrize("kind", ["table", "video"])
@pytest.mark.parametrize("command", [["serve"], ["predict", "rows.csv"]])
def test_a_bundle_whose_columns_have_no_known_kind_is_refused_in_words(
    table_bundle: Path, tmp_path: Path, kind: str, command: list[str]
) -> None:
    """Those trained before columns had kinds say 'table'."""
    old = shutil.copytree(table_bundle, tmp_path / "old")
    manifest = json.loads((old / "bundle.json").read_text(encoding="utf-8"))
    columns = manifest["architecture"]["modalities"]["who"]["columns"]
    manifest["architecture"]["modalities"]["who"]["columns"] = dict.fromkeys(columns, kind)
    (old / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=kind) as error:
        workflow.load(old)
    assert "train it again" in str(error.value.todo)
    done = CliRunner().invoke(cli, [command[0], str(old), *command[1:]])
    assert done.exit_code == 4 and "train it again" in done.stderr


def test_other_machines_are_let_in_only_when_asked() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        check_host(host, allow_remote=False)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="other machines could ask"):
            check_host(host, allow_remote=False)
        check_host(host, allow_remote=True)
    with pytest.raises(ConfigError, match="no address is listened on that they reach"):  # and any name would do
        check_host("127.0.0.1", allow_remote=True)


def test_what_guards_a_home_is_refused_of_a_bundle_alone(bundle: Path, tmp_path: Path) -> None:
    for option in ("--keys", "--log", "--rate=2", "--workers=2", "--name=a.example", "--origin=https://a.example"):
        done = CliRunner().invoke(cli, ["serve", str(bundle), option])
        assert done.exit_code == 2 and option.partition("=")[0] in done.stderr and "tuwen promote" in done.stderr
    done = CliRunner().invoke(cli, ["serve", str(tmp_path / "hmoe")])
    assert done.exit_code == 2 and "no home here" in done.stderr and not (tmp_path / "hmoe").exists()


def test_an_address_that_is_not_there_is_said(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen there"):
        listening._listen("192.0.2.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = CliRunner().invoke(cli, ["serve", str(bundle), "--port", str(other.getsockname()[1])])
    assert done.exit_code == 6 and "something else listens there" in done.stderr
    assert CliRunner().invoke(cli, ["serve", str(bundle), "--host", "0.0.0.0"]).exit_code == 2


def test_a_damaged_bundle_is_not_served(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    done = CliRunner().invoke(cli, ["serve", str(copy)])
    assert done.exit_code == 4
    assert "damaged" in done.stderr and "model.safetensors" in done.stderr


def test_a_bundle_that_cannot_answer_is_found_before_anybody_asks(bundle: Path) -> None:
    class Mute:
        manifest: dict[str, Any] = workflow.load(bundle).manifest
        inputs: list[dict[str, str]] = workflow.load(bundle).inputs

        def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            raise ConfigError("no weights")

    told: list[str] = []
    with pytest.raises(ConfigError, match="no weights"):
        serve(Mute(), port=0, ready=told.append)
    assert told == []
