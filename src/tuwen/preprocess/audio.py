"""Sounds → log-mel spectrograms: how loud each band of pitches is, ten milliseconds by ten milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from tuwen.data.audio import decoded, resampled
from tuwen.errors import ConfigError, DataError
from tuwen.preprocess.modality import Arrays, read_state, write_state
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.registry import Count, Share

LIMITS = {"max_bytes": 200_000_000, "max_seconds": 7200.0, "max_channels": 64}  # the media store allows less
FLOOR = 1e-8  # of the power of a full-scale sine, −80 dB: what is quieter is silence
LARGEST = 4_000_000  # numbers a sound


def mel_filters(rate: int, window: int, bands: int) -> np.ndarray:
    """f32 [window // 2 + 1, bands]: triangles with their tops at 1, evenly spaced on the mel scale from 0 to rate / 2.

    The scale is ``2595 log10(1 + f / 700)`` (O'Shaughnessy, 1987), in which equal steps sound alike.
    """
    top = 2595.0 * np.log10(1.0 + rate / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, bands + 2) / 2595.0) - 1.0)  # hertz
    frequencies = np.arange(window // 2 + 1)[:, None] * rate / window
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: np.ndarray, filters: np.ndarray, window: int, hop: int) -> np.ndarray:
    """f32 [samples] → f32 [frames, bands]: log10 of the power in each band, −1 (silence) to about 1 (full scale).

    Frame i sees the ``window`` samples from ``i × hop`` under a Hann window; a sound shorter than one window is filled
    up with silence. Power is scaled so that a full-scale sine at the top of a band has 1.
    """
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop] * hann
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / (hann.sum() / 2) ** 2  # [frames, window // 2 + 1]
    decades = np.log10(np.maximum(power @ filters, FLOOR))
    return np.maximum(decades / 4.0 + 1.0, -1.0).astype(np.float32)  # rounding must not dig below the floor


class Audio:
    """WAV, FLAC or Ogg bytes → ``spectrogram`` and ``mask``.

    A sound longer than ``seconds`` is heard from its start; behind a shorter one ``mask`` is False.

    Args:
        seconds: how much of a sound is heard.
        rate: samples a second; half of it is the highest pitch heard. The media store keeps 16,000.
        bands: bands of pitch.
        window, hop: length and distance of the frames, in seconds.
        shift: while training, move the sound by up to this share of ``seconds``.
        gain: while training, louder or quieter by up to this many decibels.
    """

    def __init__(
        self,
        *,
        seconds: float = 5.0,
        rate: int = 16_000,
        bands: Count = 64,
        window: float = 0.032,
        hop: float = 0.01,
        shift: Share = 0.0,
        gain: float = 0.0,
    ) -> None:
        self.seconds = _within("seconds", seconds, 0.05, 600)
        self.rate = int(_within("rate", rate, 1_000, 192_000))
        self.bands = int(_within("bands", bands, 1, 512))
        self.window, self.hop = _within("window", window, 0.002, 1), _within("hop", hop, 0.001, 1)
        self.shift, self.gain = _within("shift", shift, 0, 0.9), _within("gain", gain, 0, 40)
        self._window, self._hop = round(self.window * self.rate), max(1, round(self.hop * self.rate))
        self.frames = max(1, 1 + (round(self.seconds * self.rate) - self._window) // self._hop)
        if self.frames * self.bands > LARGEST or self._window < 2:
            raise ConfigError(
                "a sound of these settings is too large or too small",
                seen=f"{self.frames:,} frames of {self._window} samples, {self.bands} bands",
                allowed=f"at most {LARGEST:,} numbers",
                todo="choose other seconds, hop, window or bands",
            )

    @property
    def options(self) -> dict[str, Any]:
        names = ("seconds", "rate", "bands", "window", "hop", "shift", "gain")
        return {name: getattr(self, name) for name in names}

    @property
    def spec(self) -> ArraySpec:
        return ArraySpec("spectrogram", (self.frames, self.bands))

    def fit(self, values: Sequence[bytes | None], progress: Progress | None = None) -> None:
        """Nothing is learned from sounds."""

    def encode(self, values: Sequence[bytes | None]) -> tuple[Arrays, np.ndarray]:
        """``spectrogram`` f32 [rows, frames, bands] and ``mask`` bool [rows, frames], False behind the sound's end.

        Raises:
            MissingExtra: the extra 'audio' is not installed.
        """
        spectrogram = np.zeros((len(values), *self.spec.shape), np.float32)
        mask = np.zeros((len(values), self.frames), bool)
        for row, data in enumerate(values):
            if data is None:
                continue
            try:
                samples, rate = decoded(data, first=self.seconds, **LIMITS)  # type: ignore[arg-type]
            except DataError:
                continue
            found = log_mel(resampled(samples, rate, self.rate), self._filters, self._window, self._hop)[: self.frames]
            spectrogram[row, : len(found)] = found
            mask[row, : len(found)] = True
        return {"spectrogram": spectrogram, "mask": mask}, mask[:, 0]

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Moved in time and louder or quieter, each sound by its own draw; an absent one stays all zero."""
        if not (self.shift or self.gain):
            return arrays
        spectrogram, mask = np.zeros_like(arrays["spectrogram"]), np.zeros_like(arrays["mask"])
        rows = len(mask)
        # always the same draws in the same order: one option does not change the luck of another
        shifts = np.rint(rng.uniform(-1, 1, rows) * self.shift * self.frames).astype(int)
        gains = rng.uniform(-1, 1, rows).astype(np.float32) * self.gain / 40.0  # 10 dB are a decade, a quarter
        for row, drawn in enumerate(shifts.tolist()):
            heard = int(arrays["mask"][row].sum())
            by = max(drawn, 1 - heard) if heard else 0  # something is always left of it
            to, since = max(by, 0), max(-by, 0)
            kept = arrays["spectrogram"][row, since : min(heard, self.frames - by)]
            louder = np.maximum(kept + gains[row], -1.0)
            spectrogram[row, to : to + len(kept)] = np.where(kept > -1.0, louder, -1.0)  # silence stays silence
            mask[row, to : to + len(kept)] = True
        return arrays | {"spectrogram": spectrogram, "mask": mask}

    def save(self, folder: Path) -> None:
        write_state(folder, self, self.options, {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**read_state(folder)["options"])

    @cached_property
    def _filters(self) -> np.ndarray:
        return mel_filters(self.rate, self._window, self.bands)


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ConfigError(f"'{name}' is out of range", seen=value, allowed=f"{low:g} to {high:g}")
    return value
