"""The fixed descriptor of colours and edges: what it tells apart, and what it gives in ONNX."""

import numpy as np
import pytest
import torch

from tuwen.errors import ConfigError
from tuwen.models import ENCODERS
from tuwen.models.colour import Descriptor
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.image import Image
from tuwen.preprocess.spec import ArraySpec

SPEC = ArraySpec("pixels", (32, 48, 3))


def plain(*colour: int) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (32, 48, 3)).copy()


def described(*pictures: np.ndarray, grid: int = 2) -> np.ndarray:
    found = Descriptor(32, 48, grid, 3)(torch.from_numpy(np.stack(pictures)))
    return found.numpy().reshape(len(pictures), -1, grid, grid)  # colours first, then directions


def test_a_plain_picture_is_one_colour_in_every_cell_and_has_no_edges():
    for at, colour in enumerate([(0, 0, 0), (0, 0, 127), (0, 0, 255), (0, 127, 0)]):
        (found,) = described(plain(*colour))
        assert (found[:27].argmax(axis=0) == at).all()
        assert (found[at] > 0.97).all()
        assert (found[27:] < 0.04).all()


def test_the_shares_of_the_colours_add_up_to_one():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    np.testing.assert_allclose((described(pixels)[0, :27] ** 2).sum(axis=0), 1, atol=1e-5)


def test_a_cell_is_a_place():
    picture = plain(255, 255, 255)
    picture[:16, 24:] = (255, 0, 0)
    (found,) = described(picture)
    red = 2 * 9
    assert found[red, 0, 1] > 0.97
    assert found[red].sum() - found[red, 0, 1] < 0.1


def test_edges_are_told_by_their_direction():
    across, down = plain(0, 0, 0), plain(0, 0, 0)
    across[::4] = across[1::4] = 255
    down[:, ::4] = down[:, 1::4] = 255
    one, two = described(across, down)
    assert one[27:].sum(axis=(1, 2)).argmax() == 4  # twice 90°, in eighths of a turn
    assert two[27:].sum(axis=(1, 2)).argmax() == 0
    np.testing.assert_allclose(one[:27], two[:27], atol=1e-5)  # the same colours


def test_onnx_gives_the_same_and_other_options_another_file(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx (extra train)")
    kind = ENCODERS.load("colour")
    assert kind.is_frozen({})
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    paths = set()
    for options in ({"grid": 4, "levels": 3}, {"grid": 8, "levels": 2}):
        path = kind.export(options, SPEC, tmp_path, lambda: pixels)
        paths.add(path)
        frozen = Frozen(Image(size=(32, 48)), path)
        expected = Descriptor(32, 48, **options)(torch.from_numpy(pixels)).numpy()
        assert frozen.spec == ArraySpec("vector", (expected.shape[1],))
        for row in range(3):
            np.testing.assert_allclose(frozen._vector({"pixels": pixels[row]}), expected[row], atol=1e-5)
    assert len(paths) == 2


def test_sides_that_the_grid_does_not_divide_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="multiples of grid") as caught:
        ENCODERS.build("colour", {"grid": 5}, SPEC)
    assert "32 × 48" in caught.value.seen
    with pytest.raises(ConfigError, match="multiples of grid"):
        ENCODERS.load("colour").export({"grid": 5, "levels": 3}, SPEC, tmp_path, lambda: None)


def test_it_is_standardised_by_the_train_part():
    pixels = np.random.default_rng(2).integers(0, 256, (40, 32, 48, 3), dtype=np.uint8)
    encoder = ENCODERS.build("colour", {"size": 1.0}, SPEC).eval()
    encoder.prepare({"pixels": pixels})
    found = encoder(pixels=torch.from_numpy(pixels))
    torch.testing.assert_close(found.mean(0), torch.zeros(encoder.width), atol=1e-3, rtol=0)
