"""The one door for sounds: what comes out, and what is refused with which reason."""

import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from media import sound, tone, wav
from tuwen.data import audio
from tuwen.data.audio import decoded, normalise
from tuwen.errors import DataError, MissingExtra

LIMITS = {"max_bytes": 2_000_000, "max_seconds": 20.0, "max_channels": 2, "rate": 16_000}
READ = {name: LIMITS[name] for name in ("max_bytes", "max_seconds", "max_channels")}


def reason(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        normalise(data, **LIMITS)
    return caught.value.what


@pytest.mark.parametrize(
    ("form", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("FLAC", None), ("OGG", "VORBIS")],
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_every_format_becomes_mono_flac_at_one_rate(form, subtype, rate):
    stereo = np.stack([tone(440, 0.5, rate), tone(440, 0.5, rate)], axis=1)
    out = normalise(sound(stereo, rate, form, subtype), **LIMITS)
    samples, found = decoded(out, **READ)
    assert out[:4] == b"fLaC"
    assert found == 16_000
    assert abs(len(samples) - 8_000) <= 1
    middle = slice(2_000, 6_000)  # the ends hear the filter
    assert np.abs(samples[middle] - tone(440)[: len(samples)][middle]).max() < (0.02 if subtype != "VORBIS" else 0.1)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 4_000),
    rate=st.sampled_from([8_000, 16_000, 22_050]),
    channels=st.integers(1, 2),
    scale=st.sampled_from([0.0, 1e-4, 0.3, 4.0]),
)
def test_normalising_twice_changes_nothing(seed, count, rate, channels, scale):
    samples = np.random.default_rng(seed).normal(0, scale, (count, channels)).astype(np.float32)
    once = normalise(sound(samples, rate, "WAV", "FLOAT"), **LIMITS)
    assert normalise(once, **LIMITS) == once


def test_a_16_bit_sound_at_the_rate_keeps_every_sample():
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5_000, dtype=np.int16)
    kept, _ = decoded(normalise(sound(samples), **LIMITS), **READ)
    np.testing.assert_array_equal((kept * 2**15).astype(np.int16), samples)


def test_what_is_far_too_loud_is_clipped():
    samples, _ = decoded(
        normalise(sound(np.array([0, 3e38, -3e38, 0.5] * 99, "f4"), 44_100, subtype="FLOAT"), **LIMITS), **READ
    )
    assert np.abs(samples).max() <= 1


def test_tags_do_not_get_in(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16_000, 1, format="FLAC") as file:
        file.title, file.comment = "secret-title", "secret-comment"
        file.write(tone(300))
    data = (tmp_path / "a.flac").read_bytes()
    assert b"secret" in data
    assert b"secret" not in normalise(data, **LIMITS)


def test_lowering_the_rate_lets_no_alias_in():
    high = sound(tone(11_000, 1.0, 44_100), 44_100)  # above what 16,000 samples a second can hold
    samples, _ = decoded(normalise(high, **LIMITS), **READ)
    assert np.abs(samples[1_000:-1_000]).max() < 0.01


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page, not a sound"),
        (b"PK\3\4" * 99, "not a sound that is read"),
        (b"RIFF\0\0\0\0WAVE", "broken sound"),
        (b"fLaC" + bytes(400), "broken sound"),
        (b"OggS" + bytes(400), "broken sound"),
        (sound(tone(440))[:9_000], "truncated sound"),
        (sound(tone(440))[:-1], "truncated sound"),
        (sound(tone(440), form="FLAC")[:4_000], "broken sound"),
        (wav(100, claimed=2**30), "truncated sound"),
        (wav(0), "a sound of no length"),
        (wav(8_000 * 30), "too long"),
        (wav(100, channels=5), "too many channels"),
        (wav(100, rate=200), "an unusual sampling rate"),
        (wav(100, rate=2**31 - 1), "an unusual sampling rate"),
        (wav(1_200_000), "too many bytes"),
        (sound(np.array([0, np.nan, 0.5], np.float32), subtype="FLOAT"), "broken sound"),
        (sound(np.array([0, np.inf, 0.5], np.float32), subtype="FLOAT"), "broken sound"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",  # a float WAV holds the time of day
)
def test_what_is_no_good_is_refused_with_its_reason(data, what):
    assert reason(data) == what


def test_an_hour_is_refused_by_its_header_alone(monkeypatch):
    data = sound(np.zeros(8_000 * 3_600, np.int16), 8_000, "FLAC")
    assert len(data) < LIMITS["max_bytes"]  # an hour of silence is small
    monkeypatch.setattr(audio, "_mixed", lambda *_: pytest.fail("decoded"))
    assert reason(data) == "too long"


def test_a_stream_that_does_not_say_how_long_it_is_is_read_up_to_the_limit():
    endless = wav(8_000, claimed=0xFFFFFFFF)
    assert len(decoded(endless, **READ)[0]) == 8_000
    assert reason(wav(8_000 * 30, claimed=0xFFFFFFFF)) == "too long"


def test_only_the_beginning_is_decoded_where_only_that_is_asked_for():
    samples, rate = decoded(sound(tone(440, 2.0)), first=0.25, **READ)
    assert (len(samples), rate) == (4_000, 16_000)
    np.testing.assert_array_equal(samples, decoded(sound(tone(440, 2.0)), **READ)[0][:4_000])


@settings(max_examples=150)
@given(
    form=st.sampled_from(["WAV", "FLAC", "OGG"]),
    cut=st.integers(0, 3_000),
    hits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
)
def test_damage_is_refused_or_read_but_never_anything_else(form, cut, hits):
    data = bytearray(sound(tone(500, 0.1), form=form))
    for at, value in hits:
        data[at % len(data)] = value
    try:
        out = normalise(bytes(data[: len(data) - cut]), **LIMITS)
    except DataError as error:
        assert len(error.what) < 60
        assert "0x" not in str(error)  # no addresses: the same reason on every machine
    else:
        assert out[:4] == b"fLaC"


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtra, match="'audio'"):
        normalise(wav(100), **LIMITS)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MissingExtra, match="'audio'"):
        normalise(wav(100), **LIMITS)
