"""Generators on planted worlds: what must be found, what cannot be, a collapse, and an unbroken twin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test_training_loop import Killed, Stops
from tuwen.errors import ConfigError, DataError
from tuwen.evaluation import samples
from tuwen.models.generator import Augment, Impute
from tuwen.training.adversarial import Adversarial, made_vectors, train_generator
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput

ROWS, SEEN = 900, np.arange(600)
HELD = np.arange(600, 900)
# the modes of a distribution take twice the steps that it takes to fill, or to collapse
SETTINGS = Adversarial(steps=250, batch_size=64, critic_steps=3, penalty=1.0, reconstruction=1.0, learning_rate=1e-3)
SHORT = replace(SETTINGS, steps=125, learning_rate=2e-3)
SHORTEST = replace(SHORT, steps=70, critic_steps=2)


def examples(vectors, classes=None, present=None):
    rows = len(next(iter(vectors.values())))
    inputs = {
        m: EncodedInput({"vector": v.astype(np.float32)}, (present or {}).get(m, np.ones(rows, bool)), np.arange(rows))
        for m, v in vectors.items()
    }
    return Examples(inputs, np.zeros(rows, np.int64) if classes is None else classes)


def generator(kind, world, classes=0):
    torch.manual_seed(0)
    widths = {m: source.arrays["vector"].shape[1] for m, source in world.inputs.items()}
    return kind(widths, classes, [[m] for m in sorted(widths)], noise=8, hidden=48)


def modes(classes=1, seed=0):
    """Rows of a class lie around one of its two points, as often at the one as at the other."""
    rng = np.random.default_rng(seed)
    of, side = rng.integers(0, classes, ROWS), rng.integers(0, 2, ROWS) * 2 - 1
    points = rng.normal(size=(classes, 6))
    points = 2 * points / np.linalg.norm(points, axis=1, keepdims=True)
    return examples({"a": points[of] * side[:, None] + rng.normal(0, 0.2, (ROWS, 6))}, of), points


def linear(noise, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(ROWS, 6))
    return examples({"a": a, "b": a @ rng.normal(size=(6, 8)) + noise * rng.normal(size=(ROWS, 8))})


def filling_error(made_by, world):
    """Of b filled from a, on unseen rows; the mean has 1."""
    given = {m: torch.from_numpy(source.batch(HELD)[0]["vector"]) for m, source in world.inputs.items()}
    there = {"a": torch.ones(len(HELD), dtype=torch.bool), "b": torch.zeros(len(HELD), dtype=torch.bool)}
    guess = made_by.complete(given, there)[0]["b"].numpy()
    return samples.error(given["b"].numpy(), guess, world.inputs["b"].batch(SEEN)[0]["vector"].mean(axis=0))


def account(found):
    return {"use": "augment", "made": {"0": 1}, "quality": [{"modalities": ["a"]} | found]}


def test_both_modes_are_covered():
    world, points = modes()
    made_by = generator(Augment, world, 1)
    train_generator(made_by, world.take(SEEN), replace(SETTINGS, reconstruction=0.0), seed=0)
    made, true = made_vectors(made_by, world, HELD, 1)
    found = samples.judged(true["a"], made["a"])
    assert found["coverage"] > 0.7
    assert found["variance"] == pytest.approx(1, abs=0.2)
    assert 0.25 < np.mean(made["a"] @ points[0] > 0) < 0.75
    assert samples.warnings(account(found)) == []


def test_a_generator_forced_to_collapse_is_called_out():
    """Paid for being near the truth on average, it answers the middle between the modes."""
    world, _ = modes()
    made_by = generator(Augment, world, 1)
    history = train_generator(made_by, world.take(SEEN), replace(SHORTEST, reconstruction=1000.0), seed=0)
    made, true = made_vectors(made_by, world, HELD, 1)
    found = samples.judged(true["a"], made["a"])
    assert found["variance"] < samples.LEAST_VARIANCE and history[-1]["variance"] < samples.LEAST_VARIANCE
    (warning,) = samples.warnings(account(found))
    assert "collapsed" in warning[0]


def test_a_class_is_made_where_that_class_lies():
    world, points = modes(classes=3)
    made_by = generator(Augment, world, 3)
    train_generator(made_by, world.take(SEEN), replace(SHORT, reconstruction=0.0), seed=0)
    made, _ = made_vectors(made_by, world, HELD, 1)
    restored = made_by.restored({"a": torch.from_numpy(made["a"])})["a"].numpy()
    nearest = np.abs(restored @ points.T).argmax(axis=1)
    assert np.mean(nearest == world.targets[HELD]) > 0.9


def test_what_another_modality_tells_is_filled_better_than_by_the_mean():
    world = linear(noise=0.5)
    made_by = generator(Impute, world)
    train_generator(made_by, world.take(SEEN), SHORTEST, seed=0)
    a, b = (world.inputs[m].arrays["vector"] for m in ("a", "b"))
    best = samples.error(b[HELD], samples.linear_guess(a[SEEN], b[SEEN], a[HELD]), b[SEEN].mean(axis=0))
    assert best < filling_error(made_by, world) < best + 0.1 < 0.3


def test_what_no_other_modality_tells_is_not_gained():
    rng = np.random.default_rng(0)
    world = examples({"a": rng.normal(size=(ROWS, 6)), "b": rng.normal(size=(ROWS, 8))})
    made_by = generator(Impute, world)
    train_generator(made_by, world.take(SEEN), SHORTEST, seed=0)
    assert filling_error(made_by, world) > 0.99


def test_rows_that_lack_a_modality_teach_what_they_can():
    """A third of the rows lack b, and what stands there instead is poison."""
    world = linear(noise=0.5)
    present = {"b": np.random.default_rng(1).random(ROWS) > 0.33}
    vectors = {m: source.arrays["vector"].copy() for m, source in world.inputs.items()}
    vectors["b"][~present["b"]] = np.nan
    made_by = generator(Impute, world)
    train_generator(made_by, examples(vectors, present=present).take(SEEN), SHORTEST, seed=0)
    assert filling_error(made_by, world) < 0.4


@pytest.mark.parametrize("how", [KeyboardInterrupt, Killed])
def test_a_resumed_training_equals_an_unbroken_one(tmp_path, how):
    world, settings = linear(0.5), replace(SETTINGS, steps=12, checkpoint_seconds=1e-9)
    unbroken = generator(Impute, world)
    history = train_generator(unbroken, world, settings, seed=3)
    keep = {"seed": 3, "checkpoint": tmp_path / "generator.safetensors", "fingerprint": "f"}
    with pytest.raises(how):
        train_generator(generator(Impute, world), world, settings, progress=Stops(7, how), **keep)
    for _ in range(2):  # the second time nothing is left to do
        again = generator(Impute, world)
        assert train_generator(again, world, settings, **keep) == history
        for name, value in unbroken.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name


def test_equal_seeds_give_equal_generators_and_other_seeds_others():
    world, settings = linear(0.5), replace(SETTINGS, steps=3)

    def weights(seed):
        made_by = generator(Impute, world)
        train_generator(made_by, world, settings, seed=seed)
        return made_by.make["b"].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_batch_is_no_larger_than_the_rows_there_are():
    world = linear(0.5).take(np.arange(20))
    asked = [generator(Impute, world) for _ in range(2)]
    for made_by, size in zip(asked, (20, 1_000_000), strict=True):  # of which one alone would take 100 MB
        train_generator(made_by, world, replace(SETTINGS, steps=2, batch_size=size), seed=0)
    assert torch.equal(asked[0].make["b"].weight, asked[1].make["b"].weight)


def test_no_row_with_two_inputs_is_said():
    world = examples({"a": np.ones((8, 2)), "b": np.ones((8, 2))}, present={"b": np.zeros(8, bool)})
    with pytest.raises(DataError, match="no row to learn from"):
        train_generator(generator(Impute, world), world, SETTINGS, seed=0)


def test_nothing_to_fill_from_and_no_classes_are_refused():
    with pytest.raises(ConfigError, match="nothing to fill a modality from"):
        Impute({"a": 2, "b": 2}, 0, [["a", "b"]])
    with pytest.raises(ConfigError, match="rare classes"):
        Augment({"a": 2}, 0, [["a"]])
