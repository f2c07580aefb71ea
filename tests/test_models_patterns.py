"""What each encoder is for: a pattern it must find, and one that says nothing to an encoder of another make."""

import numpy as np
import pytest
import torch

from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, network_of, train

# binomial: 400 fair coins stay within 0.5 ± 0.1 but once in ten thousand draws
TEST, CHANCE = 400, 0.1


def accuracy(encoder, options, spec, arrays, answers, *, epochs, rate=0.003, change=None):
    """On the last 400 rows, after training on those before."""
    torch.manual_seed(0)
    parts = {"one": (Part(encoder, options), spec)}
    model = assemble(
        parts,
        Part("sum", {"activation": "none", "width": 16}),
        Part("binary", {"target": "y"}),
        BinaryTarget(1.0, None, 0.5),
    )
    if change:
        change(model.encoders["one"])
    rows = np.arange(len(answers))
    every = EncodedInput(arrays, np.ones(len(rows), bool), rows)
    learned = Examples({"one": every.take(rows[:-TEST])}, answers[:-TEST])
    train(model, learned, None, Settings(epochs=epochs, batch_size=32, learning_rate=rate), seed=0)
    outputs = outputs_of(network_of(model.eval(), torch.device("cpu")), {"one": every.take(rows[-TEST:])})
    return float(((outputs[:, 0] > 0) == (answers[-TEST:] > 0.5)).mean())


# --- Texts: the order of two words ---------------------------------------------------------------------------------

LENGTH, VOCABULARY, EDGE = 12, 20, 2


def sentences(apart, rows=1600, seed=0):
    """Texts with the words 2 and 3 in either order, ``apart`` places apart and away from the ends; and which came
    first.
    """
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, VOCABULARY, (rows, LENGTH), dtype=np.int32)
    lengths = rng.integers(apart + 2 * EDGE + 1, LENGTH + 1, rows)
    ids[np.arange(LENGTH) >= lengths[:, None]] = 0
    first = rng.integers(EDGE, lengths - EDGE - apart)
    answers = rng.random(rows) < 0.5
    ids[np.arange(rows), first] = np.where(answers, 2, 3)
    ids[np.arange(rows), first + apart] = np.where(answers, 3, 2)
    return ids, answers.astype(np.float32)


TOKENS = ArraySpec("tokens", (LENGTH,), (VOCABULARY,))


READERS = {"lstm": {"width": 32}, "gru": {"width": 32}, "transformer": {"width": 32, "layers": 1}}


@pytest.mark.parametrize(("encoder", "options"), [*READERS.items(), ("textcnn", {})])
def test_the_order_of_two_words_is_found(encoder, options):
    ids, answers = sentences(apart=1)
    assert accuracy(encoder, options, TOKENS, {"ids": ids}, answers, epochs=6) > 0.95


@pytest.mark.parametrize(("encoder", "options"), READERS.items())
def test_the_order_of_two_words_far_apart_is_found(encoder, options):
    ids, answers = sentences(apart=4)
    assert accuracy(encoder, options, TOKENS, {"ids": ids}, answers, epochs=6) > 0.95


def test_windows_do_not_see_what_is_far_apart():
    ids, answers = sentences(apart=4)
    assert abs(accuracy("textcnn", {"windows": [2, 3]}, TOKENS, {"ids": ids}, answers, epochs=4) - 0.5) < CHANCE


def test_a_bag_of_words_has_no_order():
    ids, answers = sentences(apart=1)
    arrays = {"ids": ids, "weights": (ids != 0).astype(np.float32)}
    assert abs(accuracy("ngram", {}, ArraySpec("bag", (LENGTH,), (VOCABULARY,)), arrays, answers, epochs=4) - 0.5) < (
        CHANCE
    )


# --- Pictures: a texture, a place -----------------------------------------------------------------------------------

PIXELS = ArraySpec("pixels", (16, 16, 3))


def stripes(rows=800, seed=0):
    """Stripes across or down, any phase, any pair of colours: no pixel and no mean tells them apart."""
    rng = np.random.default_rng(seed)
    answers = rng.random(rows) < 0.5
    at = (np.arange(16) + rng.integers(0, 4, rows)[:, None]) % 4 < 2
    dark = np.where(answers[:, None, None], at[:, :, None], at[:, None, :])
    colours = rng.integers(0, 256, (2, rows, 1, 1, 3), dtype=np.uint8)
    return np.where(dark[..., None], colours[0], colours[1]), answers.astype(np.float32)


def places(rows=1000, seed=0):
    """One bright square of 8 pixels on noise, left or right of the middle."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (rows, 16, 16, 3), dtype=np.uint8)
    answers = rng.random(rows) < 0.5
    for row, top in enumerate(rng.integers(0, 2, rows).tolist()):
        across = 8 * int(answers[row])
        pixels[row, 8 * top : 8 * top + 8, across : across + 8] = 255
    return pixels, answers.astype(np.float32)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("cnn", {"channels": [16, 16], "pool": "average"}),
        ("resnet", {"channels": [16, 32]}),
        ("vit", {"patch": 4, "width": 32, "layers": 2}),
    ],
)
def test_a_texture_is_found_whatever_its_colours(encoder, options):
    pixels, answers = stripes()
    assert accuracy(encoder, options, PIXELS, {"pixels": pixels}, answers, epochs=12) > 0.95


def test_vit_knows_where_a_thing_stands():
    pixels, answers = places()
    options = {"patch": 8, "width": 32, "layers": 1}
    assert accuracy("vit", options, PIXELS, {"pixels": pixels}, answers, epochs=4) > 0.95

    def nowhere(encoder):
        encoder.places.data.zero_()
        encoder.places.requires_grad_(False)

    blind = accuracy("vit", options, PIXELS, {"pixels": pixels}, answers, epochs=4, change=nowhere)
    assert abs(blind - 0.5) < CHANCE


# --- Tables: two columns that only together say something -----------------------------------------------------------

TABLE = ArraySpec("table", (4, 2), (4, 6))


def rows_of_a_table(rows=1000, seed=0):
    """Whether a number is positive, turned round where a category is 2."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 4)).astype(np.float32)
    categories = np.stack([rng.integers(1, size, rows) for size in TABLE.sizes], axis=1).astype(np.int32)
    categories[:, 0] = rng.integers(1, 3, rows)
    answers = (numbers[:, 1] > 0) != (categories[:, 0] == 2)
    return {"numbers": numbers, "categories": categories}, answers.astype(np.float32)


@pytest.mark.parametrize(
    ("encoder", "options"), [("ft-transformer", {"width": 32}), ("table", {"width": 16, "hidden": 32})]
)
def test_an_interaction_of_columns_is_found(encoder, options):
    arrays, answers = rows_of_a_table()
    assert accuracy(encoder, options, TABLE, arrays, answers, epochs=8) > 0.9


def test_a_linear_table_has_no_interactions():
    arrays, answers = rows_of_a_table()
    assert abs(accuracy("table", {}, TABLE, arrays, answers, epochs=8) - 0.5) < CHANCE


# --- What is padding or missing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["gru", "textcnn", "transformer"])
def test_padding_is_not_read(encoder):
    from tuwen.models import ENCODERS

    torch.manual_seed(0)
    built = ENCODERS.build(encoder, {}, TOKENS).eval()
    ids = torch.tensor([[4, 9, 2] + [0] * (LENGTH - 3)], dtype=torch.int32)
    longer = torch.cat([ids, torch.full((1, LENGTH), 7, dtype=torch.int32)])  # a neighbour that keeps the padding
    torch.testing.assert_close(built(longer)[:1], built(ids))


def test_sides_that_are_no_multiple_of_the_patch_are_filled_up():
    from tuwen.models import ENCODERS

    built = ENCODERS.build("vit", {"patch": 7, "width": 8, "heads": 2}, ArraySpec("pixels", (16, 20, 3)))
    assert built.places.shape == (3 * 3, 8)
    assert built(torch.zeros((2, 16, 20, 3), dtype=torch.uint8)).shape == (2, 8)
