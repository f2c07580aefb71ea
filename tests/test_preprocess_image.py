"""Decoding, fitting, denoising and augmenting pictures."""

import io

import numpy as np
import PIL.Image
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import ConfigError
from tuwen.preprocess.augment import Augmentation
from tuwen.preprocess.image import Image


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], axis=-1).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95)


def saved(pixels: np.ndarray, form: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, form)
    return file.getvalue()


def one(image: Image, data: bytes) -> np.ndarray:
    arrays, present = image.encode([data])
    assert present[0]
    return arrays["pixels"][0]


@pytest.mark.parametrize("side", [60, 224, 500, 1800])
def test_scaled_decoding_looks_like_plain_decoding(side):
    data = jpeg(smooth(side, side))
    found = one(Image(size=224), data)
    plain = PIL.Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), PIL.Image.Resampling.BILINEAR)
    assert np.abs(found.astype(int) - np.asarray(plain)).mean() < 1.5


def test_each_policy_keeps_what_it_says():
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, :20], wide[:, 20:60], wide[:, 60:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    data = saved(wide, "PNG")
    stretch, crop, pad = (one(Image(size=40, fit=fit), data) for fit in ("stretch", "crop", "pad"))
    middle = 20
    assert stretch[middle, 1].argmax() == 0
    assert stretch[middle, -2].argmax() == 2
    assert (crop[:, 2:-2].argmax(axis=-1) == 1).all()  # both ends are cut
    assert (pad[:9] == 127).all()  # above and below: grey
    assert pad[middle, 1].argmax() == 0
    assert pad[middle, -2].argmax() == 2


@pytest.mark.parametrize("size", [(30, 50), 17, (1, 1)])
def test_height_comes_first(size):
    image = Image(size=size)
    shape = (size, size) if isinstance(size, int) else size
    assert one(image, jpeg(smooth(64, 48))).shape == (*shape, 3)
    assert image.spec.shape == (*shape, 3)


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("JPEG", "CMYK"), ("JPEG", "L"), ("GIF", "P")]
)
def test_other_kinds_of_picture_become_rgb(form, mode):
    assert one(Image(size=16), saved(smooth(32, 32), form, mode)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"<html>", jpeg(smooth(64, 64))[:300], saved(smooth(64, 64), "PNG")[:120], b"\xff\xd8" * 99],
)
def test_broken_bytes_are_absent(data):
    arrays, present = Image(size=16).encode([jpeg(smooth(8, 8)), data, None])
    assert present.tolist() == [True, False, False]
    assert not arrays["pixels"][1:].any()


def test_an_absurdly_large_picture_is_absent(monkeypatch):
    monkeypatch.setattr("tuwen.preprocess.image.MAX_PIXELS", 1000)
    _, present = Image(size=64).encode([jpeg(smooth(64, 64)), saved(smooth(64, 64), "PNG")])
    assert not present.any()


def test_denoising_removes_single_wrong_pixels():
    spoiled = smooth(64, 64)
    rng = np.random.default_rng(0)
    spoiled[rng.integers(0, 64, 60), rng.integers(0, 64, 60)] = 255
    plain, denoised = (one(Image(size=64, denoise=d), saved(spoiled, "PNG")).astype(int) for d in (False, True))
    truth = smooth(64, 64).astype(int)
    assert np.abs(denoised - truth).mean() < np.abs(plain - truth).mean() / 2


def test_threads_change_nothing():
    pictures = [jpeg(smooth(20 + i, 30)) if i % 3 else None for i in range(20)]
    image = Image(size=24)
    for one_, two in zip(image.encode(pictures), image.encode(pictures, workers=3), strict=True):
        np.testing.assert_equal(one_, two)


CHANGES = [{"flip": True}, {"shift": 0.3}, {"brightness": 0.5}, {"contrast": 0.5}]


@pytest.mark.parametrize("options", [*CHANGES, {k: v for change in CHANGES for k, v in change.items()}])
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_augmentation_laws(options, seed):
    pixels = np.stack([smooth(12, 16), smooth(12, 16)[::-1], np.zeros((12, 16, 3), np.uint8)])
    before = pixels.copy()
    image = Image(size=(12, 16), **options)
    out = image.augment({"pixels": pixels}, np.random.default_rng(seed))["pixels"]
    again = image.augment({"pixels": pixels}, np.random.default_rng(seed))["pixels"]
    np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(pixels, before)
    assert out.dtype == np.uint8
    assert out.shape == pixels.shape
    assert not out[2].any(), "an absent picture stays all zero"
    if options == {"flip": True}:
        assert all((o == p).all() or (o == p[:, ::-1]).all() for o, p in zip(out, pixels, strict=True))
    if options == {"shift": 0.3}:
        assert set(np.unique(out[0])) <= set(np.unique(pixels[0]))


def test_nothing_random_unless_asked_for():
    arrays = {"pixels": smooth(8, 8)[None]}
    assert Image(size=8).augment(arrays, np.random.default_rng(0)) is arrays


def test_a_shift_moves_and_repeats_the_edge():
    pixels = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1).repeat(3, axis=-1).repeat(4, axis=1)
    seen = {
        tuple(Augmentation(shift=0.4)(pixels, np.random.default_rng(seed))[0, 0, :, 0].tolist()) for seed in range(60)
    }
    assert seen == {(0, 1, 2, 3, 4), (1, 2, 3, 4, 4), (2, 3, 4, 4, 4), (0, 0, 1, 2, 3), (0, 0, 0, 1, 2)}


@pytest.mark.parametrize("options", [{"size": 0}, {"size": (10, 9999)}, {"shift": 1.0}, {"brightness": -0.1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        Image(**options)
