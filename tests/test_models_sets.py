"""Attention over a set of pictures: what it promises, and a truth that only the second picture tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as told
from hypothesis import strategies as st

from tuwen.models.assemble import Part, assemble, encoder_of
from tuwen.models.sets import Pool
from tuwen.preprocess.sets import MASK
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import ClassifyTarget
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput, SetInput
from tuwen.training.loop import Settings, network_of, train

MOST, WIDTH = 4, 6
SETS = {
    "pixels": (Part("cnn", {"channels": [4], "pool": "average"}), ArraySpec("pixels", (12, 16, 3), set_size=MOST)),
    "vector": (Part("efficientnet-lite0", {"adapter": WIDTH}), ArraySpec("vector", (1280,), set_size=MOST)),
}


def pool_of(kind: str) -> Pool:
    torch.manual_seed(0)
    pool = encoder_of(*SETS[kind]).eval()
    assert isinstance(pool, Pool)
    with torch.no_grad():  # attention that matters
        pool.score.weight.mul_(20)
    return pool


def sets_of(kind: str, mask: np.ndarray, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    shape = (*mask.shape, *SETS[kind][1].shape)
    one = rng.integers(0, 256, shape, dtype=np.uint8) if kind == "pixels" else rng.normal(size=shape)
    array = one * mask.reshape(*mask.shape, *[1] * (one.ndim - 2))
    return {
        kind: torch.from_numpy(array.astype(one.dtype if kind == "pixels" else np.float32)),
        MASK: torch.tensor(mask),
    }


MASKS = st.lists(st.lists(st.booleans(), min_size=MOST, max_size=MOST), min_size=1, max_size=5)


@pytest.mark.parametrize("kind", SETS)
@told(max_examples=25)
@given(MASKS, st.permutations(range(MOST)), st.integers(0, 99))
@torch.no_grad()
def test_neither_order_nor_empty_places_nor_other_rows_count(kind, masks, turned, seed):
    pool, mask = pool_of(kind), np.array(masks)
    given_ = sets_of(kind, mask, seed)
    whole = pool(**given_)
    assert whole.shape == (len(mask), pool.width)
    assert not whole[~mask.any(axis=1)].any(), "nothing there: zeros"

    other = pool(**{name: t[:, list(turned)] for name, t in given_.items()})
    torch.testing.assert_close(other, whole, rtol=1e-4, atol=1e-5)

    filled = dict(given_)
    filled[kind] = torch.where(
        given_[MASK].reshape(*mask.shape, *[1] * (given_[kind].ndim - 2)), given_[kind], torch.tensor(7)
    ).to(given_[kind].dtype)
    assert torch.equal(pool(**filled), whole), "what is masked is not even looked at"

    longer = {name: torch.cat([t, torch.zeros_like(t)], dim=1) for name, t in given_.items()}
    torch.testing.assert_close(pool(**longer), whole, rtol=1e-4, atol=1e-5)

    for row in range(len(mask)):
        alone = pool(**{name: t[row : row + 1] for name, t in given_.items()})
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SETS)
@torch.no_grad()
def test_one_picture_gives_its_own_vector_to_the_bit(kind):
    pool, mask = pool_of(kind), np.eye(MOST, dtype=bool)  # each row's only picture stands somewhere else
    arrays = sets_of(kind, mask)
    assert torch.equal(pool(**arrays), pool.encoder(**{kind: arrays[kind][arrays[MASK]]}))


@torch.no_grad()
def test_attention_is_a_mean_with_weights_that_depend_on_the_pictures():
    pool = pool_of("vector")
    arrays = sets_of("vector", np.ones((3, MOST), bool))
    each = pool.encoder(vector=arrays["vector"].reshape(3 * MOST, -1)).reshape(3, MOST, -1)
    found = pool(**arrays)
    assert (found <= each.amax(dim=1) + 1e-5).all() and (found >= each.amin(dim=1) - 1e-5).all()
    assert not torch.allclose(found, each.mean(dim=1), atol=1e-3)


@pytest.mark.parametrize("kind", SETS)
def test_it_trains_in_bfloat16(kind):
    pool, mask = pool_of(kind), np.array([[True, True, False, False], [False] * 4, [True] * 4])
    arrays = sets_of(kind, mask)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pool(**{n: t.bfloat16() if t.is_floating_point() else t for n, t in arrays.items()})
    torch.testing.assert_close(mixed.float(), pool(**arrays), rtol=0.05, atol=0.05)
    mixed.float().sum().backward()
    gradients = {name: p.grad for name, p in pool.named_parameters() if p.grad is not None}
    assert {"score.weight", "gate.weight", "content.weight"} <= gradients.keys()
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_what_stands_around_an_encoder_reaches_the_one_inside():
    part = Part("efficientnet-lite0", {"frozen": True})
    pool = encoder_of(part, ArraySpec("vector", (1280,), set_size=2))
    vectors = np.random.default_rng(0).normal(3, 2, (50, 1280)).astype(np.float32)
    pool.prepare({"vector": vectors})
    alone = encoder_of(part, ArraySpec("vector", (1280,)))
    alone.prepare({"vector": vectors})
    assert torch.equal(pool.encoder.network.mean, alone.network.mean)
    halved = encoder_of(part, ArraySpec("vector", (1280,), set_size=2))
    halved.prepare({"vector": vectors.reshape(25, 2, 1280), MASK: np.array([[True, False]] * 25)})
    torch.testing.assert_close(halved.encoder.network.mean, torch.from_numpy(vectors[::2].mean(axis=0)))
    assert pool.width == alone.width
    assert pool.pretrained_layers() == alone.pretrained_layers() == []


# --- A truth in the second picture ------------------------------------------------------------------------------------

ROWS, TRAINED = 800, 600


def world() -> tuple[SetInput, EncodedInput, np.ndarray]:
    """(both pictures of each row, its first alone, its class).

    Every picture says one of two things in its first number, and in its second which of the row's pictures it is. What
    the first says is luck, what the second says is the class: even the mean of both could tell only three of four rows.
    """
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, ROWS)
    pictures = rng.normal(0, 0.5, (2 * ROWS + 1, 16)).astype(np.float32)
    pictures[:ROWS, :2] += np.stack([rng.choice([-2, 2], ROWS), np.full(ROWS, -2)], axis=1)
    pictures[ROWS:-1, :2] += np.stack([4 * classes - 2, np.full(ROWS, 2)], axis=1)
    pictures[-1] = 0  # the absent one
    every = EncodedInput({"vector": pictures}, pictures.any(axis=1), np.arange(2 * ROWS + 1))
    rows = np.arange(ROWS)
    return SetInput(every, np.stack([rows, ROWS + rows], axis=1), rows), every.take(rows), classes


@pytest.mark.parametrize(("pictures", "low", "high"), [(1, 0.4, 0.6), (2, 0.95, 1.0)])
def test_only_the_second_picture_tells_the_class(pictures, low, high):
    both, first, classes = world()
    examples = Examples({"m": both if pictures == 2 else first}, classes)
    spec = ArraySpec("vector", (16,), set_size=2 if pictures == 2 else 0)
    torch.manual_seed(0)
    model = assemble(
        {"m": (Part("efficientnet-lite0", {"size": 1.0}), spec)},
        Part("concat", {"width": 16}),
        Part("classify", {"target": "t"}),
        ClassifyTarget(("a", "b"), (1, 1)),
    )
    settings = Settings(epochs=8, batch_size=32, learning_rate=0.01)
    train(model, examples.take(np.arange(TRAINED)), None, settings, seed=1)
    asked = examples.take(np.arange(TRAINED, ROWS))
    outputs = outputs_of(network_of(model.eval(), torch.device("cpu")), asked.inputs)
    assert low <= (outputs.argmax(axis=1) == asked.targets).mean() <= high
