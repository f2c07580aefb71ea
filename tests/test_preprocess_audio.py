"""Sounds as spectrograms: the numbers are what the definition says, and what cannot be heard is absent."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import sound, tone, wav
from tuwen.errors import ConfigError, MissingExtra
from tuwen.preprocess.audio import Audio, log_mel, mel_filters

FILTERS = mel_filters(16_000, 512, 64)


def heard(audio: Audio, data: bytes) -> np.ndarray:
    """The frames that are not padding."""
    arrays, present = audio.encode([data])
    assert present[0]
    return arrays["spectrogram"][0][arrays["mask"][0]]


def test_filters_are_triangles_that_meet():
    assert FILTERS.shape == (257, 64)
    assert (FILTERS >= 0).all() and (FILTERS <= 1).all()
    hertz = np.arange(257) * 16_000 / 512
    mel = 2595 * np.log10(1 + hertz / 700)
    tops = np.linspace(0, mel[-1], 66)[1:-1]
    inside = (mel >= tops[0]) & (mel <= tops[-1])
    # between two tops exactly the two triangles around are open, and in hertz they add up to one
    np.testing.assert_allclose(FILTERS[inside].sum(axis=1), 1, atol=1e-5)
    assert ((FILTERS > 0).sum(axis=1) <= 2).all()


def test_numbers_are_those_of_librosa():
    """librosa 0.11: melspectrogram(n_fft=512, hop_length=160, center=False, n_mels=64, htk=True, norm=None)."""
    time = np.arange(16_000) / 16_000
    samples = (0.5 * np.sin(2 * np.pi * 440 * time) + 0.25 * np.sin(2 * np.pi * 3000 * time * (1 + time / 4))).astype(
        "f4"
    )
    found = log_mel(samples, FILTERS, 512, 160)
    assert found.shape == (97, 64)
    for (band, frame), power in {(11, 0): 2594.22, (11, 50): 2594.22, (50, 96): 705.158}.items():
        assert found[frame, band] == pytest.approx(np.log10(power / 128**2) / 4 + 1, abs=1e-4)
    for band, frame in ((36, 10), (40, 60), (63, 3)):  # below the floor
        assert found[frame, band] == -1


def test_the_spectrum_is_that_of_scipy():
    from scipy.signal import ShortTimeFFT

    samples = np.random.default_rng(0).normal(0, 0.1, 4_000).astype(np.float32)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    transform = ShortTimeFFT(hann, 160, 16_000, phase_shift=None)
    first = -(-200 // 160)  # the first frame that does not look before the start
    power = np.abs(transform.stft(samples.astype(np.float64), p0=0)) ** 2 / (hann.sum() / 2) ** 2
    ours = log_mel(samples[first * 160 - 200 :], mel_filters(16_000, 400, 20), 400, 160)
    scipys = np.log10(np.maximum(power.T @ mel_filters(16_000, 400, 20), 1e-8)) / 4 + 1
    np.testing.assert_allclose(ours, scipys[first : first + len(ours)], atol=1e-5)


@pytest.mark.parametrize("hertz", [150, 440, 1_000, 5_000])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_is_loudest_in_its_band(hertz, rate):
    frames = heard(Audio(seconds=0.5), sound(tone(hertz, 0.5, rate, loud=1.0), rate))
    tops = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8_000 / 700), 66)[1:-1] / 2595) - 1)
    middle = frames[len(frames) // 2]
    assert abs(int(middle.argmax()) - int(np.abs(tops - hertz).argmin())) <= 1
    assert 0.85 < middle.max() <= 1.1  # full scale is about 1


def test_ten_decibels_are_a_quarter():
    loud, quiet = (heard(Audio(seconds=0.5), sound(tone(440, loud=level))) for level in (0.5, 0.5 * 10**-0.5))
    at = loud.argmax(axis=1)
    rows = np.arange(len(at))
    np.testing.assert_allclose((loud - quiet)[rows, at], 0.25, atol=1e-3)


def test_silence_is_heard_and_is_not_absence():
    arrays, present = Audio(seconds=0.2).encode([wav(1_600), None])
    assert present.tolist() == [True, False]
    assert (arrays["spectrogram"][0] == -1).all()
    assert not arrays["spectrogram"][1].any()
    assert not arrays["mask"][1].any()


def test_a_long_sound_is_cut_and_a_short_one_filled_up():
    audio = Audio(seconds=1.0)
    (frames, bands) = audio.spec.shape
    assert (frames, bands) == (97, 64)
    long, short = audio.encode([sound(tone(440, 3.0)), sound(tone(440, 0.3))])[0]["mask"]
    assert long.all()
    assert short.sum() == 1 + (4_800 - 512) // 160
    assert (np.diff(short.astype(int)) <= 0).all()
    np.testing.assert_array_equal(heard(audio, sound(tone(440, 3.0)))[:20], heard(audio, sound(tone(440, 0.3)))[:20])


def test_a_sound_shorter_than_one_window_is_one_frame():
    assert len(heard(Audio(), sound(tone(440, 0.002)))) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html></html>",
        b"RIFF\0\0\0\0WAVEfmt ",
        sound(tone(440))[:5_000],
        sound(tone(440), form="FLAC")[:60],
        wav(100, claimed=2**30),
        wav(0),
        sound(np.full(900, np.nan, np.float32), subtype="FLOAT"),
    ],
)
def test_broken_bytes_are_absent(data):
    arrays, present = Audio(seconds=0.2).encode([sound(tone(440, 0.1)), data, None])
    assert present.tolist() == [True, False, False]
    assert not arrays["spectrogram"][1:].any()


def test_an_hour_takes_no_more_than_its_beginning():
    hour = sound(np.zeros(8_000 * 3_600, np.int16), 8_000, "FLAC")
    arrays, present = Audio(seconds=1.0).encode([hour])
    assert present[0]
    assert arrays["mask"].all()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    options=st.sampled_from([{"shift": 0.5}, {"gain": 12.0}, {"shift": 0.9, "gain": 30.0}]),
)
def test_augmentation_laws(seed, options):
    audio = Audio(seconds=0.5, **options)
    arrays, _ = audio.encode([sound(tone(440, 0.2)), sound(tone(900)), None, wav(4_000)])
    before = {name: array.copy() for name, array in arrays.items()}
    out = audio.augment(arrays, np.random.default_rng(seed))
    again = audio.augment(arrays, np.random.default_rng(seed))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(out[name], again[name])
        assert out[name].dtype == array.dtype
        assert out[name].shape == array.shape
    assert not out["spectrogram"][2].any()
    assert not out["mask"][2].any()
    assert out["mask"][[0, 1, 3]].any(axis=1).all(), "a sound stays a sound"
    assert not out["spectrogram"][~out["mask"]].any()
    assert (out["spectrogram"][3][out["mask"][3]] == -1).all(), "silence stays silence"
    if "shift" not in options:
        np.testing.assert_array_equal(out["mask"], arrays["mask"])
        moved = (out["spectrogram"] - arrays["spectrogram"])[1]
        assert np.ptp(moved[arrays["spectrogram"][1] > 0]) < 1e-6
        assert np.abs(moved).max() <= 12 / 40 + 1e-6
    elif "gain" not in options:
        kept = {tuple(frame) for frame in arrays["spectrogram"][0][arrays["mask"][0]].tolist()}
        assert {tuple(frame) for frame in out["spectrogram"][0][out["mask"][0]].tolist()} <= kept


def test_nothing_random_unless_asked_for():
    audio = Audio(seconds=0.2)
    arrays, _ = audio.encode([sound(tone(440))])
    assert audio.augment(arrays, np.random.default_rng(0)) is arrays


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 0},
        {"rate": 100},
        {"bands": 0},
        {"shift": 1.0},
        {"gain": -1},
        {"seconds": 600, "hop": 0.001, "bands": 512},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        Audio(**options)


def test_without_the_extra_it_is_an_error_and_not_an_absent_sound(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtra, match="'audio'"):
        Audio().encode([wav(100)])
