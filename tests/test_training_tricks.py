"""Freezing, layer-wise rates, averaged epochs, hidden modalities, temperature: each against what it says it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tuwen.errors import ConfigError
from tuwen.models.assemble import Part, encoder_of
from tuwen.models.encoder import Encoder
from tuwen.models.fusion import Concat
from tuwen.models.late import Late
from tuwen.models.model import Model
from tuwen.models.table import Table
from tuwen.models.tasks import Binary, Classify, Rate
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, RateTarget
from tuwen.training.batches import Batch, Examples, hidden
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, train
from tuwen.training.optimiser import optimiser

ROWS = 96
SETTINGS = Settings(epochs=5, batch_size=16, learning_rate=0.01, encoder_learning_rate=0.01)


class Tower(Encoder):
    """Three layers that came with weights."""

    accepts = ("table",)

    def __init__(self):
        super().__init__(ArraySpec("table", (4, 0)))
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.width = 4

    def forward(self, numbers, categories):
        for layer in self.layers:
            numbers = torch.tanh(layer(numbers))
        return numbers

    def pretrained_layers(self):
        return [list(layer.parameters()) for layer in reversed(self.layers)]


def model_of():
    torch.manual_seed(0)
    target = RateTarget(-9, 9, 0.0)
    return Model({"a": Tower(), "b": Tower()}, Concat({"a": 4, "b": 4}, width=8), Rate(8, target, target="y"))


def problem(seed=0):
    rng = np.random.default_rng(seed)
    none = np.zeros((ROWS, 0), np.int32)
    x = {m: rng.normal(size=(ROWS, 4)).astype(np.float32) for m in "ab"}
    made = {
        m: EncodedInput({"numbers": v, "categories": none}, np.ones(ROWS, bool), np.arange(ROWS)) for m, v in x.items()
    }
    return Examples(made, (x["a"][:, 0] - 2 * x["b"][:, 1]).astype(np.float32))


def after(epochs, **changed):
    model = model_of()
    train(model, problem(), None, replace(SETTINGS, **({"epochs": epochs} | changed)), seed=1)
    return model


def moved(model, tower="a"):
    """For each layer of a tower, bottom up: whether it is no longer what it was."""
    before = model_of().encoders[tower].layers
    return [not torch.equal(a.weight, b.weight) for a, b in zip(before, model.encoders[tower].layers, strict=True)]


def test_frozen_layers_stand_still_until_their_epoch():
    frozen = after(2, unfreeze_epoch=2)
    assert moved(frozen) == moved(frozen, "b") == [False] * 3
    assert not torch.equal(frozen.fusion.dense.weight, model_of().fusion.dense.weight)
    assert moved(after(3, unfreeze_epoch=2)) == [True] * 3


def test_layers_thaw_from_the_top_down():
    assert moved(after(1, unfreeze="gradual")) == [False, False, True]
    assert moved(after(2, unfreeze="gradual")) == [False, True, True]
    assert moved(after(4, unfreeze="gradual", unfreeze_epoch=1)) == [True, True, True]


def test_each_layer_learns_slower_than_the_one_above():
    model = model_of()
    made = optimiser(model, model.pretrained_layers(), learning_rate=1.0, encoder_learning_rate=0.1, layer_decay=0.5)
    rate = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    for tower in model.encoders.values():
        assert [rate[id(layer.weight)] for layer in tower.layers] == pytest.approx([0.025, 0.05, 0.1])
    assert rate[id(model.fusion.dense.weight)] == rate[id(model.task.dense.bias)] == 1.0
    assert len(rate) == len(list(model.parameters()))


def test_what_init_brought_is_held_still_and_slowed_like_what_came_with_weights():
    model = plain_and_brought()
    layers = model.pretrained_layers()
    assert [id(p) for layer in layers for p in layer] == [
        id(p) for part in (model.encoders["b"].dense, model.encoders["b"].hidden) for p in part.parameters()
    ]
    rates = rates_of(model, learning_rate=1.0, layer_decay=0.5)
    assert [rates[id(p.weight)] for p in (model.encoders["b"].dense, model.encoders["b"].hidden[0])] == [1.0, 0.5]
    assert rates[id(model.encoders["a"].dense.weight)] == 1.0
    rates = rates_of(model, learning_rate=1.0, layer_decay=0.5, encoder_learning_rate=0.1)
    assert [rates[id(p.weight)] for p in (model.encoders["b"].dense, model.encoders["b"].hidden[0])] == [0.1, 0.05]
    train(model, problem(), None, replace(SETTINGS, epochs=2, unfreeze_epoch=2), seed=1)
    before = plain_and_brought().encoders
    assert torch.equal(model.encoders["b"].dense.weight, before["b"].dense.weight)
    assert not torch.equal(model.encoders["a"].dense.weight, before["a"].dense.weight)
    model = plain_and_brought()
    train(model, problem(), None, replace(SETTINGS, epochs=1, unfreeze="gradual"), seed=1)
    assert not torch.equal(model.encoders["b"].dense.weight, before["b"].dense.weight)
    assert torch.equal(model.encoders["b"].hidden[0].weight, before["b"].hidden[0].weight)


def plain_and_brought():
    torch.manual_seed(0)
    encoders = {m: Table(ArraySpec("table", (4, 0)), width=4, hidden=5) for m in "ab"}
    encoders["b"].brought = True
    target = RateTarget(-9, 9, 0.0)
    return Model(encoders, Concat({"a": 4, "b": 4}, width=8), Rate(8, target, target="y"))


def rates_of(model, **asked):
    made = optimiser(model, model.pretrained_layers(), brought=model.brought_parameters(), **asked)
    return {id(p): group["lr"] for group in made.param_groups for p in group["params"]}


PIXELS, TOKENS, TABLE = (
    ArraySpec("pixels", (32, 32, 3)),
    ArraySpec("tokens", (12,), (30,)),
    ArraySpec("table", (2, 1), (5,)),
)
SOUND, POINTS, BAG = ArraySpec("spectrogram", (32, 16)), ArraySpec("points", (20, 3)), ArraySpec("bag", (8,), (50,))


@pytest.mark.parametrize(
    ("use", "options", "spec", "top", "layers"),
    [
        ("cnn", {"channels": [4, 8], "norm": True}, PIXELS, "layers.4.", 2),
        ("resnet", {"channels": [8, 16], "blocks": 2}, PIXELS, "layers.6.", 5),
        ("vit", {"layers": 3, "width": 8}, PIXELS, "transformer.blocks.2.", 4),
        ("cnn", {"channels": [4, 8]}, replace(PIXELS, set_size=2), "content.", 3),
        ("lstm", {"bidirectional": True}, TOKENS, "directions.1.", 2),
        ("gru", {}, TOKENS, "directions.0.", 2),
        ("textcnn", {}, TOKENS, "convolutions.", 2),
        ("transformer", {"layers": 2}, TOKENS, "attention.norm.", 3),
        ("ngram", {}, BAG, "embedding.", 1),
        ("table", {}, TABLE, "dense.", 2),
        ("table", {"hidden": 4}, TABLE, "dense.", 3),
        ("ft-transformer", {"layers": 1, "width": 8}, TABLE, "transformer.blocks.0.", 2),
        ("audio-cnn", {"channels": [4, 8]}, SOUND, "dense.", 3),
        ("pointnet", {"hidden": [4, 8]}, POINTS, "dense.", 3),
        ("efficientnet-lite0", {"adapter": 4}, ArraySpec("vector", (16,)), "adapter.", 1),
        ("colour", {}, ArraySpec("vector", (16,)), "", 0),
    ],
)
def test_the_layers_of_an_encoder_hold_all_that_learns_once_and_begin_at_the_top(use, options, spec, top, layers):
    encoder = encoder_of(Part(use, options), spec)
    assert encoder.pretrained_layers() == []  # nothing came with weights
    encoder.brought = True
    found = encoder.pretrained_layers()
    names = {id(p): name for name, p in encoder.named_parameters()}
    assert sorted(names[id(p)] for layer in found for p in layer) == sorted(names.values())
    assert len(found) == layers
    assert not found or any(names[id(p)].startswith(top) for p in found[0])


def test_the_mean_of_the_last_epochs_is_the_mean_of_the_last_epochs():
    averaged, singly = after(5, average_epochs=3), [after(n, schedule="constant") for n in (3, 4, 5)]
    for name, value in averaged.state_dict().items():
        expected = torch.stack([model.state_dict()[name] for model in singly]).mean(dim=0)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_the_history_tells_what_the_mean_is_worth():
    found = train(model_of(), problem(), problem(1), replace(SETTINGS, average_epochs=2), seed=1)
    assert found.best_epoch == 5 and found.history[-1]["mean_validation_loss"] > 0


class Stops:
    def __init__(self, after):
        self.left = after

    def task(self, name, total=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, n=1):
        self.left -= n
        if self.left == 0:
            raise RuntimeError("the power went out")


TRICKS = replace(
    SETTINGS, average_epochs=3, unfreeze="gradual", unfreeze_epoch=1, layer_decay=0.7, modality_dropout=0.4
)


@pytest.mark.parametrize("stop", [7, 20, 27])
def test_with_every_trick_a_resumed_training_equals_an_unbroken_one(tmp_path, stop):
    unbroken, again = model_of(), model_of()
    whole = train(unbroken, problem(), problem(1), TRICKS, seed=1)
    keep = {"seed": 1, "checkpoint": tmp_path / "c.safetensors", "fingerprint": "f"}
    eager = replace(TRICKS, checkpoint_seconds=1e-9)
    with pytest.raises(RuntimeError, match="power"):
        train(model_of(), problem(), problem(1), eager, progress=Stops(stop), **keep)
    resumed = train(again, problem(), problem(1), TRICKS, **keep)
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert [e["train_loss"] for e in whole.history] == [e["train_loss"] for e in resumed.history]


# --- Hidden modalities --------------------------------------------------------------------------------------------

KINDS = [("picture",), ("meaning", "words")]


@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 0.99))
def test_a_row_keeps_something_and_views_of_one_thing_go_together(seed, share):
    rng = np.random.default_rng(seed)
    text = rng.random(50) < 0.7
    present = {"picture": rng.random(50) < 0.7, "words": text, "meaning": text.copy()}
    kept = hidden(Batch({}, present, np.zeros(50)), KINDS, share, rng).present
    assert all((kept[m] <= present[m]).all() for m in present)  # nothing appears
    assert np.array_equal(kept["words"], kept["meaning"])
    had = np.any(list(present.values()), axis=0)
    assert np.array_equal(np.any(list(kept.values()), axis=0), had)


def test_the_share_is_what_is_hidden():
    """Each of two is hidden with p, but not both: then a coin says which stays. So p − p²/2 of each is gone."""
    present = {m: np.ones(20_000, bool) for m in ("picture", "words", "meaning")}
    kept = hidden(Batch({}, present, np.zeros(20_000)), KINDS, 0.4, np.random.default_rng(0)).present
    for mask in kept.values():
        assert 1 - mask.mean() == pytest.approx(0.4 - 0.4**2 / 2, abs=0.015)


# --- Temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.2, 1.0, 5.0])
def test_the_temperature_undoes_what_made_a_model_too_sure(size):
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, (20_000, 3))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = torch.from_numpy((chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1))
    task = Classify(3, ClassifyTarget(("a", "b", "c"), (1, 1, 1)), target="y")
    outputs = torch.from_numpy(scores * size).float()
    assert task.calibrate(outputs, truth) == pytest.approx(size, rel=0.05)
    assert float(task.temperature) == pytest.approx(size, rel=0.05)
    task.dense = nn.Identity()
    assert torch.equal(task(outputs).argmax(dim=1), outputs.argmax(dim=1))
    torch.testing.assert_close(task(outputs), outputs / task.temperature)


def test_a_binary_task_is_calibrated_too():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 2, 20_000)
    truth = torch.from_numpy(rng.random(20_000) < 1 / (1 + np.exp(-scores))).float()
    task = Binary(1, BinaryTarget(1.0, None, 0.5), target="y")
    assert task.calibrate(torch.from_numpy(3 * scores).float().unsqueeze(1), truth) == pytest.approx(3, rel=0.06)
    assert not Rate.probabilistic


@pytest.mark.parametrize(
    "options",
    [{"label_smoothing": 0.1}, {"class_weights": "balanced"}, {"label_smoothing": 0.2, "class_weights": "balanced"}],
)
def test_probabilities_that_are_right_stay_whatever_the_network_learned_on(options):
    rng = np.random.default_rng(2)
    rows = np.array([5000, 100, 100, 100, 100])
    scores = rng.normal(0, 1, (20_000, 5)) + np.log(rows)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = torch.from_numpy((chances.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1))
    outputs = torch.from_numpy(scores).float()
    task = Classify(3, ClassifyTarget(tuple("abcde"), tuple(rows.tolist())), target="y", **options)
    assert task.calibrate(outputs, truth) == pytest.approx(1, abs=0.03)
    fusion = Late({"a": 3, "b": 3}, lambda width: task)
    here = torch.ones(len(truth), dtype=torch.bool)
    fusion.fit_combination(torch.stack([outputs, 3 * outputs], dim=1), {"a": here, "b": here}, truth, task)
    assert fusion.temperature.tolist() == pytest.approx([1, 3], rel=0.03)
    assert fusion.sharpness.tolist() == pytest.approx([1, 1], rel=0.03)  # twice the same is no surer than once


def test_a_weighted_yes_or_no_is_calibrated_by_the_plain_log_loss():
    rng = np.random.default_rng(3)
    scores = rng.normal(-3, 1, 20_000)
    truth = torch.from_numpy(rng.random(20_000) < 1 / (1 + np.exp(-scores))).float()
    task = Binary(1, BinaryTarget(1.0, None, float(truth.mean())), target="y", class_weights="balanced")
    assert task.calibrate(torch.from_numpy(scores).float().unsqueeze(1), truth) == pytest.approx(1, abs=0.03)


def test_settings_that_exclude_each_other_are_refused(tmp_path):
    from tuwen.config import Run

    run = tmp_path / "run.yaml"
    run.write_text(
        "name: r\nmodalities: {t: {use: text, columns: items.title, encoder: lstm}}\n"
        "task: {use: rate, target: items.price}\ntraining: {average_epochs: 2, patience: 3}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="average_epochs and patience exclude each other"):
        Run.read(run)
