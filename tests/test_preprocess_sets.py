"""Several pictures of a row: each read as if it were alone, the missing ones masked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shops import jpeg
from tuwen.errors import ConfigError
from tuwen.preprocess import MODALITIES
from tuwen.preprocess.image import Image
from tuwen.preprocess.modality import load
from tuwen.preprocess.sets import MASK, PictureSet
from tuwen.preprocess.spec import ArraySpec
from tuwen.training.inputs import EncodedInput, SetInput

FILES = [jpeg(0), jpeg(1), jpeg(2), b"no picture", b""]
SMALL = {"size": (8, 10)}
ROWS = st.lists(st.none() | st.lists(st.sampled_from(FILES), max_size=5), max_size=5)


@settings(max_examples=50)
@given(ROWS, st.integers(2, 4))
def test_each_picture_is_read_as_if_it_were_alone(rows, most):
    one, several = Image(**SMALL), PictureSet(Image(**SMALL), most)
    arrays, present = several.encode(rows)
    assert arrays["pixels"].shape == (len(rows), most, 8, 10, 3) and arrays["pixels"].dtype == np.uint8
    assert arrays[MASK].shape == (len(rows), most) and arrays[MASK].dtype == bool
    for row, files in enumerate(rows):
        files = (files or [])[:most]
        alone, there = one.encode(files)
        assert arrays[MASK][row].tolist() == there.tolist() + [False] * (most - len(files))
        np.testing.assert_array_equal(arrays["pixels"][row, : len(files)], alone["pixels"])
        assert not arrays["pixels"][row, ~arrays[MASK][row]].any(), "masked, and no black picture"
        assert present[row] == there.any()


def test_the_spec_tells_the_size_of_the_set_and_that_of_one_picture_is_what_it_was():
    one, several = Image(**SMALL), PictureSet(Image(**SMALL), 3)
    assert one.spec.plain() == {"kind": "pixels", "shape": (8, 10, 3), "sizes": ()}
    assert several.spec == ArraySpec("pixels", (8, 10, 3), set_size=3)
    assert ArraySpec.from_plain(several.spec.plain()) == several.spec
    assert Image(pictures=3).options == Image().options  # so that vectors of a frozen encoder are found again


def test_every_picture_that_is_there_draws_its_own_change():
    several = PictureSet(Image(**SMALL, shift=0.4, brightness=0.5, contrast=0.5), 3)
    arrays, _ = several.encode([[FILES[0], FILES[0]], [], [FILES[3], FILES[1]]])
    before = {name: array.copy() for name, array in arrays.items()}
    after = several.augment(arrays, np.random.default_rng(0))
    assert all(np.array_equal(before[name], arrays[name]) for name in arrays), "nothing is changed in place"
    np.testing.assert_array_equal(after[MASK], before[MASK])
    pixels = after["pixels"]
    assert pixels.shape == before["pixels"].shape
    assert not np.array_equal(pixels[0, 0], before["pixels"][0, 0]) and not np.array_equal(pixels[0, 0], pixels[0, 1])
    assert not pixels[~after[MASK]].any()
    still = PictureSet(Image(**SMALL), 3)
    assert still.augment(arrays, np.random.default_rng(0)) is arrays


def test_saved_and_loaded_it_gives_identical_arrays(tmp_path):
    several = PictureSet(Image(**SMALL, denoise=True), 3)
    several.save(tmp_path / "a")
    again = load(tmp_path / "a")
    assert isinstance(again, PictureSet) and again.spec == several.spec
    rows = [FILES, [], None, FILES[1:2]]
    for name, array in again.encode(rows)[0].items():
        np.testing.assert_array_equal(array, several.encode(rows)[0][name])


def test_an_input_of_sets_gives_what_the_modality_gives():
    several, most = PictureSet(Image(**SMALL), 2), 2
    rows = [[FILES[0], FILES[1]], [], [FILES[2]], [FILES[3], FILES[0]], [FILES[0], FILES[1]]]
    each = [*FILES[:4], None]
    arrays, present = Image(**SMALL).encode(each)
    sets = np.array([[0, 1], [4, 4], [2, 4], [3, 0]])
    source = SetInput(EncodedInput(arrays, present, np.arange(5)), sets, np.array([0, 1, 2, 3, 0]))
    expected, there = several.encode(rows)
    for taken in (np.arange(5), np.array([4, 1, 1])):
        found, seen = source.take(taken).batch(np.arange(len(taken)))
        np.testing.assert_array_equal(seen, there[taken])
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array[taken])
    assert len(source.take(np.array([2])).each()) == most  # the one picture and the absent one
    assert source.mean() is None  # pixels


def test_the_mean_of_a_row_leaves_out_what_is_not_there():
    vectors = np.array([[1.0, 2.0], [3.0, 6.0], [0.0, 0.0]], np.float32)
    every = EncodedInput({"vector": vectors}, np.array([True, True, False]), np.arange(3))
    found = SetInput(every, np.array([[0, 1], [1, 2], [2, 2]]), np.array([2, 1, 0])).mean()
    assert found is not None
    arrays, present = found.batch(np.arange(3))
    np.testing.assert_array_equal(arrays["vector"], [[0, 0], [3, 6], [2, 4]])
    assert present.tolist() == [False, True, True]


@pytest.mark.parametrize("pictures", [0, -1])
def test_less_than_one_picture_is_refused(pictures):
    with pytest.raises(ConfigError, match="pictures"):
        MODALITIES.build("image", {"pictures": pictures})
