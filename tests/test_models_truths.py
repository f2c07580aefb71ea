"""Planted truths: what each fusion must find, what a sum of linear parts cannot, and that noise stays noise."""

import numpy as np
import pytest
import torch

from tuwen.models import FUSIONS
from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, network_of, train

EVERY = sorted(FUSIONS.entries())
SPEC = ArraySpec("table", (4, 0))
TRAIN, TEST = 600, 600
# binomial: 600 fair coins stay within 0.5 ± 0.08 but once in ten thousand draws
CHANCE = 0.08


def world(truth, seed=0):
    """Two modalities of four numbers; the first number of each carries a sign, the others are noise."""
    rng = np.random.default_rng(seed)
    signs = {m: rng.choice([-1.0, 1.0], TRAIN + TEST) for m in ("picture", "text")}
    numbers = {m: rng.normal(size=(TRAIN + TEST, 4)).astype(np.float32) for m in signs}
    for m, sign in signs.items():
        numbers[m][:, 0] = sign + rng.normal(0, 0.2, TRAIN + TEST)
    answers = {
        "picture": signs["picture"] > 0,
        "text": signs["text"] > 0,
        "xor": signs["picture"] * signs["text"] > 0,
        "noise": rng.random(TRAIN + TEST) < 0.5,
    }[truth].astype(np.float32)
    index = np.arange(TRAIN + TEST)
    nothing = np.zeros((TRAIN + TEST, 0), np.int32)
    inputs = {
        m: EncodedInput({"numbers": n, "categories": nothing}, np.ones(len(index), bool), index)
        for m, n in numbers.items()
    }
    return inputs, answers


def accuracy(fusion, truth, options=None, epochs=12):
    inputs, answers = world(truth)
    torch.manual_seed(0)
    encoders = {m: (Part("table", {"width": 8}), SPEC) for m in inputs}
    model = assemble(
        encoders,
        Part(fusion, {"width": 16} | (options or {})),
        Part("binary", {"target": "y"}),
        BinaryTarget(1.0, None, 0.5),
    )
    learned = Examples({m: i.take(np.arange(TRAIN)) for m, i in inputs.items()}, answers[:TRAIN])
    train(model, learned, None, Settings(epochs=epochs, batch_size=32, learning_rate=0.01), seed=0)
    asked = {m: i.take(np.arange(TRAIN, TRAIN + TEST)) for m, i in inputs.items()}
    outputs = outputs_of(network_of(model.eval(), torch.device("cpu")), asked)
    return float(((outputs[:, 0] > 0) == (answers[TRAIN:] > 0.5)).mean())


@pytest.mark.parametrize("truth", ["picture", "text"])
@pytest.mark.parametrize("fusion", EVERY)
def test_a_signal_in_one_modality_is_found(fusion, truth):
    assert accuracy(fusion, truth, epochs=5) > 0.95


@pytest.mark.parametrize("fusion", ["concat", "attention", "low-rank", "pairwise", "gated"])
def test_what_only_both_together_say_is_found(fusion):
    assert accuracy(fusion, "xor") > 0.95


@pytest.mark.parametrize(("fusion", "options"), [("sum", {"activation": "none"}), ("concat", {"activation": "none"})])
def test_a_sum_of_linear_parts_cannot_say_it(fusion, options):
    assert abs(accuracy(fusion, "xor", options) - 0.5) < CHANCE


@pytest.mark.parametrize("fusion", EVERY)
def test_noise_stays_at_chance(fusion):
    assert abs(accuracy(fusion, "noise", epochs=3) - 0.5) < CHANCE
