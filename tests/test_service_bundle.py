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
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from tuwen import workflow
from tuwen.cli import app as cli
from tuwen.data.sample import write_sample_shop
from tuwen.data.sample.pictures import draw_item
from tuwen.errors import ConfigError, InUse
from tuwen.service import check_host, serve

TUWEN = [sys.executable, "-c", "from tuwen.cli import main; main()"]
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
def photo() -> bytes:
    return draw_item("mug", (198, 55, 52), "dots", np.random.default_rng(0))


@contextmanager
def served(bundle: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``tuwen serve`` as a process of its own; the address it says."""
    process = subprocess.Popen(
        [*TUWEN, "serve", str(bundle), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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


def test_other_machines_are_let_in_only_when_asked() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        check_host(host, allow_remote=False)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="no password"):
            check_host(host, allow_remote=False)
        check_host(host, allow_remote=True)


def test_an_address_that_is_not_there_is_said(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen there"):
        serve(workflow.load(bundle), host="192.0.2.1", allow_remote=True)
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
