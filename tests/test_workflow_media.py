"""Sounds and shapes from a shop's files to an answer over HTTP: two pitches and two solids, told apart."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from media import CUBE, ball, obj, ply, sound, stl, tone
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.errors import DataError
from tuwen.service import app

SHOP = """
name: instruments
items: {source: items.csv}
"""
RUN = """
name: instruments
rows: {table: items}
modalities:
  sound: {use: audio, columns: items.sounds, seconds: 0.4, bands: 32, shift: 0.2, gain: 6,
          encoder: {use: audio-cnn, channels: [8, 16], width: 16}}
  shape: {use: shape, columns: items.shapes, points: 128, turn: 90, jitter: 0.01,
          encoder: {use: pointnet, hidden: [32, 64], width: 16}}
fusion: concat
task: {use: classify, target: items.kind}
split: {use: hash, test: 0.3, validation: 0.1}
training: {epochs: 12, batch_size: 16, learning_rate: 0.005}
evaluation: {baselines: [trivial], samples: 200}
"""
ITEMS = 144


def a_sound(high: bool, seed: int) -> bytes:
    """Of the one pitch or the other; length, loudness, rate, format and hiss are luck."""
    rng = np.random.default_rng(seed)
    rate = int(rng.choice([16_000, 22_050]))
    hertz = rng.uniform(1_000, 1_300) if high else rng.uniform(250, 400)
    samples = tone(hertz, rng.uniform(0.15, 0.6), rate, rng.uniform(0.1, 0.8), 0.02, seed)
    return sound(samples, rate, str(rng.choice(["WAV", "FLAC"])))


def a_shape(round_: bool, seed: int) -> bytes:
    """The one solid or the other; size, place, turn and format are luck."""
    rng = np.random.default_rng(seed)
    vertices, faces = ball(8) if round_ else CUBE
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = vertices @ turn.T * rng.uniform(0.1, 30) + rng.uniform(-9, 9, 3)
    return [obj, stl, ply][seed % 3](moved, faces)


def kind_of(high: bool, round_: bool) -> str:
    return f"{'high' if high else 'low'} {'ball' if round_ else 'cube'}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruments")
    rows = []
    for i in range(ITEMS):
        high, round_ = bool(i % 2), bool(i // 2 % 2)
        (folder / f"{i}.sound").write_bytes(a_sound(high, i))
        (folder / f"{i}.shape").write_bytes(a_shape(round_, i))
        rows.append({"item": i, "sounds": f"{i}.sound", "shapes": f"{i}.shape", "kind": kind_of(high, round_)})
    rows.append({"item": "broken", "sounds": "page.wav", "shapes": "none.obj", "kind": "low cube"})
    (folder / "page.wav").write_text("<html>log in</html>")
    pl.DataFrame([row | {"item": str(row["item"])} for row in rows]).write_csv(folder / "items.csv")
    (folder / "SHOP.yaml").write_text(SHOP, encoding="utf-8")
    (folder / "RUN.yaml").write_text(RUN, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bundle(shop: Path) -> Bundle:
    manifest = workflow.collect(shop / "SHOP.yaml", shop / "dataset")
    assert manifest["sounds"]["stored"] == manifest["shapes"]["stored"] == ITEMS
    assert manifest["sounds"]["quarantined"] == {"a web page, not a sound": 1}
    return workflow.load(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "bundle"))


def test_pitches_and_solids_are_told_apart(shop: Path, bundle: Bundle) -> None:
    report = workflow.evaluate(bundle.folder, shop / "dataset", shop / "report")
    assert report["metrics"]["accuracy"]["value"] > 0.95
    assert {row["row"] for row in report["worst"]} <= {"broken"}  # at most what it could not hear and see
    for kind in ("audio", "shape"):  # each tells the half of it
        assert report["knock_out"][kind]["absent"]["metrics"]["accuracy"]["value"] < 0.75
    assert {"sound", "shape"} <= report["slices"].keys()
    assert "声音" in (shop / "report" / "report.html").read_text(encoding="utf-8")


ASKED = [(high, round_, 1_000 + 2 * high + round_) for high in (False, True) for round_ in (False, True)]


def test_python_file_and_http_give_the_same_answers(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"items.sounds": a_sound(h, seed), "items.shapes": [a_shape(r, seed)]} for h, r, seed in ASKED]
    expected = bundle.predict(rows)
    assert [answer["prediction"] for answer in expected] == [kind_of(h, r) for h, r, _ in ASKED]

    for i, row in enumerate(rows):
        (tmp_path / f"{i}.wav").write_bytes(row["items.sounds"])
        (tmp_path / f"{i}.obj").write_bytes(row["items.shapes"][0])
    pl.DataFrame({"sounds": [f"{i}.wav" for i in range(4)], "shapes": [f"{i}.obj" for i in range(4)]}).write_csv(
        tmp_path / "rows.csv"
    )
    from_file = workflow.predict(bundle.folder, tmp_path / "rows.csv")
    assert from_file["prediction"].to_list() == [answer["prediction"] for answer in expected]
    assert from_file["problem"].null_count() == 4

    client = TestClient(app(bundle, hosts=None))
    text = {c: base64.b64encode(v[0] if isinstance(v, list) else v).decode() for c, v in rows[1].items()}
    as_json = client.post("/v1/predict", json={"rows": [text]}).json()["predictions"][0]
    files = {"sounds": ("a.wav", rows[1]["items.sounds"]), "shapes": ("b.obj", rows[1]["items.shapes"][0])}
    as_form = client.post("/v1/predict", files=files).json()["predictions"][0]
    assert as_json == as_form
    assert as_json["probabilities"] == pytest.approx(expected[1]["probabilities"], abs=1e-5)
    example = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    told = client.post("/v1/predict", json=example["application/json"]["example"])
    assert told.status_code == 200, told.text


def test_sounds_and_shapes_are_changed_while_training(shop: Path, bundle: Bundle) -> None:
    still = ["modalities.sound.shift=0", "modalities.sound.gain=0", "modalities.shape.turn=0"]
    weights = [
        (
            workflow.train(shop / "RUN.yaml", shop / "dataset", shop / f"still-{jitter}", [*still, *quick])
            / "model.safetensors"
        ).read_bytes()
        for jitter in (0.0, 0.1)
        for quick in [[f"modalities.shape.jitter={jitter}", "training.epochs=1"]]
    ]
    assert weights[0] != weights[1]


def test_a_run_starts_from_sounds_and_shapes_that_were_paired(shop: Path, bundle: Bundle) -> None:
    pairs = ["task={use: contrast, pairs: [audio-shape], width: 8, hidden: 16}", "training.epochs=1"]
    (shop / "PAIRS.yaml").write_text(RUN.replace("fusion: concat\n", ""), encoding="utf-8")
    paired = workflow.train(shop / "PAIRS.yaml", shop / "dataset", shop / "paired", pairs)
    other = [f"init={paired}", "modalities.sound.gain=0", "modalities.shape.jitter=0.05", "training.epochs=1"]
    started = workflow.load(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "started", other))
    assert set(started.manifest["init"]["taken"]) == {"sound", "shape"}
    assert started.modalities["sound"].options["gain"] == 0


def test_what_cannot_be_read_is_refused_or_absent(bundle: Bundle, tmp_path: Path) -> None:
    good = {"items.sounds": a_sound(True, 5), "items.shapes": a_shape(True, 5)}
    for column, data, what in (
        ("items.sounds", b"<html></html>", "a web page, not a sound"),
        ("items.sounds", "a.wav", "a sound must be the bytes of a file"),
        ("items.shapes", good["items.sounds"], "not a shape that is read"),
    ):
        with pytest.raises(DataError, match=what) as caught:
            bundle.predict([good, good | {column: data}])
        assert caught.value.where == f"row 2, '{column}'"
    (tmp_path / "rows.jsonl").write_text('{"sounds": "none.wav"}\n{"sounds": null, "shapes": null}\n')
    answers = workflow.predict(bundle.folder, tmp_path / "rows.jsonl")
    assert answers["problem"][0] == "sounds: No such file or directory"
    assert answers["prediction"][0] == answers["prediction"][1]


def test_a_column_of_another_kind_is_refused(shop: Path, bundle: Bundle) -> None:
    with pytest.raises(DataError, match=r"'items\.shapes' is not a column of sounds") as caught:
        workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "other", ["modalities.sound.columns=items.shapes"])
    assert "sounds" in str(caught.value.todo)
