"""A shop with two photos a row, where only the second tells what it is: from its files to an answer."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from fastapi.testclient import TestClient
from PIL import Image

from shops import refused
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.sets import PictureSet
from tuwen.progress import Silent
from tuwen.service import app
from tuwen.training.inputs import ROOM
from tuwen.workflow.evaluation import bundle_rows
from tuwen.workflow.gathering import gather
from tuwen.workflow.sharing import Shared

SHOP = """
name: two-photos
items:
  source: items.csv
  columns: {images: [photo1, photo2], title: title}
"""
RUN = """
name: two-photos
rows: {table: items}
modalities:
  photo: {use: image, columns: items.images, size: 16, pictures: 2, encoder: {use: colour, grid: 2}}
fusion: concat
content: [items.item]
task: {use: classify, target: items.kind}
split: {use: hash, test: 0.3, validation: 0.1}
training: {epochs: 15, batch_size: 16, learning_rate: 0.01}
evaluation: {baselines: [trivial], samples: 200}
"""
TRAINED = "modalities.photo.encoder={use: cnn, channels: [8], pool: average}"
ITEMS = 160
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}


def photo(colour: tuple[int, int, int], seed: int) -> bytes:
    """A colour with grain, as the media store will keep it."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + rng.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def front(seed: int) -> bytes:
    """A first photo: some shade of grey or green, whatever the item is."""
    return photo([(90, 90, 90), (40, 160, 40), (160, 160, 160)][seed % 3], seed % 12)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two photos")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(ITEMS):
        kind, first = str(rng.choice(list(COLOURS))), int(rng.integers(12))
        (folder / f"front-{first}.png").write_bytes(front(first))
        (folder / f"{i}-2.png").write_bytes(photo(COLOURS[kind], 100 + i))
        rows.append({"item": f"i{i}", "title": f"no {i}", "photo1": f"front-{first}.png", "photo2": f"{i}-2.png"})
        rows[-1]["kind"] = kind
    rows[0] |= {"photo2": rows[0]["photo1"]}  # the same twice
    rows[1] |= {"photo1": "none.png", "photo2": None}
    pl.DataFrame(rows).write_csv(folder / "items.csv")
    (folder / "SHOP.yaml").write_text(SHOP, encoding="utf-8")
    (folder / "RUN.yaml").write_text(RUN, encoding="utf-8")
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


@pytest.fixture(scope="module")
def frozen(shop: Path) -> Bundle:
    return workflow.load(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "frozen"))


@pytest.fixture(scope="module")
def trained(shop: Path) -> Bundle:
    return workflow.load(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "trained", [TRAINED]))


def accuracy(shop: Path, bundle: Path) -> float:
    report = workflow.evaluate(bundle, shop / "dataset", shop / f"report-{bundle.name}")
    return float(report["metrics"]["accuracy"]["value"])


@pytest.mark.parametrize("which", ["frozen", "trained"])
def test_the_second_photo_is_seen(which, shop, request):
    bundle = request.getfixturevalue(which)
    assert accuracy(shop, bundle.folder) > 0.95
    assert isinstance(bundle.modalities["photo"], PictureSet)
    assert isinstance(bundle.modalities["photo"].modality, Frozen) == (which == "frozen")
    assert len(list((bundle.folder / "modalities").glob("*.onnx"))) == (which == "frozen")


def test_the_first_photo_alone_is_at_chance_and_nothing_of_its_bundle_is_new(shop, frozen):
    vectors = {path.name for path in (shop / "dataset" / "vectors").rglob("*.npy")}
    first = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "first", ["modalities.photo.pictures=1"])
    assert accuracy(shop, first) < 0.75
    assert {path.name for path in (shop / "dataset" / "vectors").rglob("*.npy")} == vectors, "no picture is read twice"
    assert isinstance(workflow.load(first).modalities["photo"], Frozen)
    assert "set_size" not in (first / "bundle.json").read_text() and not (first / "modalities" / "photo.each").exists()


def test_a_photo_that_many_items_share_is_encoded_once(shop, frozen):
    stored = len(pl.read_parquet(shop / "dataset" / "items.parquet")["images"].explode().drop_nulls().unique())
    assert stored == 12 + ITEMS - 2
    shards = [np.load(path) for path in (shop / "dataset" / "vectors").rglob("*.keys.npy")]
    assert sum(map(len, shards)) == stored


ASKED = [
    {"images": [front(3), photo(COLOURS["red"], 901)]},
    {"images": [photo(COLOURS["blue"], 902), front(1)]},
    {"images": [front(5), b"no picture", photo(COLOURS["red"], 903)]},  # a broken one takes no place
    {"images": photo(COLOURS["blue"], 904)},
]
KINDS = ["red", "blue", "red", "blue"]


@pytest.mark.parametrize("which", ["frozen", "trained"])
def test_python_file_and_http_give_the_same_answers(which, request, tmp_path):
    bundle = request.getfixturevalue(which)
    expected = bundle.predict(ASKED)
    assert [answer["prediction"] for answer in expected] == KINDS

    turned = bundle.predict(
        [{"images": row["images"][::-1]} if isinstance(row["images"], list) else row for row in ASKED]
    )
    for one, other in zip(expected, turned, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    twice = bundle.predict([{"images": [ASKED[3]["images"]] * 2}])[0]
    assert twice == bundle.predict(ASKED[3:])[0], "the same picture twice is one"
    third = bundle.predict([{"images": [*ASKED[0]["images"], photo((0, 255, 255), 9)]}])[0]
    assert third == bundle.predict(ASKED[:1])[0], "two are used"

    for i, row in enumerate(ASKED):
        for j, data in enumerate(row["images"] if isinstance(row["images"], list) else [row["images"]]):
            (tmp_path / f"{i}-{j}.png").write_bytes(data)
    names = [[p.name for p in sorted(tmp_path.glob(f"{i}-*.png"))] for i in range(len(ASKED))]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"images": row}) for row in names), encoding="utf-8")
    answered = workflow.predict(bundle.folder, tmp_path / "rows.jsonl")
    assert answered["prediction"].to_list() == KINDS and answered["problem"].null_count() == len(KINDS)

    client = TestClient(app(bundle, hosts=None))
    sent = {"rows": [{"images": [base64.b64encode(one).decode() for one in ASKED[0]["images"]]}]}
    as_json = client.post("/v1/predict", json=sent).json()["predictions"][0]
    files = [("images", (f"{i}.png", one)) for i, one in enumerate(ASKED[0]["images"])]
    assert client.post("/v1/predict", files=files).json()["predictions"][0] == as_json
    assert as_json["probabilities"] == pytest.approx(expected[0]["probabilities"], abs=1e-5)


def test_a_row_without_a_readable_photo_is_absent_and_says_why(frozen):
    nothing = frozen.predict([{"images": []}, {}])
    assert nothing[0] == nothing[1]
    with pytest.raises(DataError, match="row 1"):
        frozen.predict([{"images": [b"no picture", b"nor this"]}])


def test_a_bundle_answers_the_test_rows_as_evaluation_did(shop, trained):
    """Streamed from the store or sent as bytes: the same pictures, the same answers."""
    workflow.evaluate(trained.folder, shop / "dataset", shop / "again")
    told = pl.read_parquet(shop / "again" / "predictions.parquet")
    items = pl.read_csv(shop / "items.csv").filter(pl.col("item").is_in(told["row"].implode()))
    rows = [
        {
            "images": [
                (shop / name).read_bytes() for name in (one["photo1"], one["photo2"]) if name and (shop / name).exists()
            ]
        }
        for one in items.to_dicts()
    ]
    answers = dict(zip(items["item"], trained.predict(rows), strict=True))
    for row, expected in zip(told["row"], told["probabilities"].to_list(), strict=True):
        assert list(answers[row]["probabilities"].values()) == pytest.approx(expected, abs=1e-4)

    frame = gather(Run.read(shop / "RUN.yaml", [TRAINED]), Dataset.open(shop / "dataset")).frame
    frame = frame.filter(pl.col("row").is_in(told["row"].implode()))
    asked = bundle_rows(trained, frame, Dataset.open(shop / "dataset"))  # what latency is measured with: the whole set
    assert [answer["probabilities"] for answer in trained.predict(asked)] == [
        answers[row]["probabilities"] for row in frame["row"]
    ]


def test_decoded_pictures_of_all_cells_share_one_room(shop, monkeypatch):
    """Three sizes in one comparison: the oldest give way, and memory is that of one."""
    monkeypatch.setattr(ROOM, "most", 60 * 32 * 32 * 3)
    monkeypatch.setattr(ROOM, "idle", 5)
    shared = Shared(Dataset.open(shop / "dataset"), 0, Silent())
    streams = []
    for size in (32, 24, 16):
        prepared = shared.prepared(Run.read(shop / "RUN.yaml", [TRAINED, f"modalities.photo.size={size}"]))
        source = prepared.inputs["photo"]
        for rows in np.array_split(np.arange(len(source)), 20):
            source.batch(rows)
        streams.append(source.pictures.decoded)
        assert streams[-1].bytes > 0 and ROOM.taken <= ROOM.most
    assert streams[0].bytes == 0


def test_check_tells_the_option_and_refuses_a_bad_one(shop):
    found = workflow.check(shop / "RUN.yaml", dataset=shop / "dataset")
    assert found["modalities"]["photo"]["pictures"] == 2
    with refused("pictures"):
        workflow.check(shop / "RUN.yaml", ["modalities.photo.pictures=0"])


def test_contrast_reads_sets_and_a_run_starts_from_it(shop, trained):
    pairs = yaml.safe_load(RUN) | {
        "task": {"use": "contrast", "pairs": ["picture-text", "picture-picture"], "width": 8}
    }
    pairs["modalities"]["photo"] |= {"encoder": {"use": "cnn", "channels": [8], "pool": "average"}, "brightness": 0.3}
    pairs["modalities"]["title"] = {"use": "text", "columns": "items.title", "encoder": "ngram", "tokens": "ngram"}
    del pairs["fusion"]
    (shop / "PAIRS.yaml").write_text(yaml.safe_dump(pairs), encoding="utf-8")
    quick = ["training.epochs=1"]
    paired = workflow.train(shop / "PAIRS.yaml", shop / "dataset", shop / "paired", quick)
    workflow.evaluate(paired, shop / "dataset", shop / "paired-report")
    embedded = workflow.load(paired).embed([{"images": ASKED[0]["images"]}])["picture"]
    assert embedded.shape == (1, 8) and np.linalg.norm(embedded) == pytest.approx(1, abs=1e-5)

    start = [f"init={paired}", *quick, TRAINED]
    started = workflow.load(workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "started", start))
    assert started.manifest["init"]["taken"] == ["photo"]
    with refused("nothing of the bundle fits") as errors:
        workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "no", [*start, "modalities.photo.pictures=1"])
    assert "pictures is 2 there, 1 here" in str(errors[0].seen)


def test_generator_late_fusion_and_comparison_take_sets(shop, frozen):
    run = yaml.safe_load(RUN)
    run["modalities"]["title"] = {"use": "text", "columns": "items.title", "encoder": "ngram", "tokens": "ngram"}
    (shop / "BOTH.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    quick = ["training.epochs=4", "fusion=late", "fusion.folds=2"]
    late = workflow.train(shop / "BOTH.yaml", shop / "dataset", shop / "late", quick)
    assert accuracy(shop, late) > 0.8
    filled = workflow.train(
        shop / "BOTH.yaml", shop / "dataset", shop / "filled", ["gan={use: impute, steps: 20}", TRAINED]
    )
    assert accuracy(shop, filled) > 0.9

    vary = [
        "modalities.photo.pictures=1,2",
        f"modalities.photo.encoder={{use: colour, grid: 2}},{TRAINED.partition('=')[2]}",
    ]
    found = workflow.compare(shop / "RUN.yaml", shop / "compared", shop / "dataset", vary=vary, seeds=1)
    for cell in found["cells"]:
        right = cell["metrics"]["accuracy"]["value"]
        assert right > 0.9 if cell["settings"]["modalities.photo.pictures"] == "2" else right < 0.75
    assert len(found["cells"]) == 4
