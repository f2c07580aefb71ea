"""One door for sounds: whatever a shop has → one channel at one rate as FLAC; or a reason why not.

Collect and serving both go through :func:`normalise`, so a sound posted to the service becomes the bytes that training
heard.
"""

from __future__ import annotations

from io import BytesIO
from math import gcd
from typing import Any

import numpy as np

from tuwen.data.kinds import need_file
from tuwen.data.looks import looks_like
from tuwen.errors import DataError, MissingExtra

FORMATS = "WAV, FLAC, Ogg"
RATES = (1_000, 192_000)  # samples a second
BLOCK = 65_536  # samples of each channel in memory before they become one
UNKNOWN = (0, 0xFFFFFFFF)  # the length that a program writes which does not know it yet


def normalise(data: bytes, *, max_bytes: int, max_seconds: float, max_channels: int, rate: int) -> bytes:
    """The sound in ``data`` as mono 16-bit FLAC with ``rate`` samples a second, and nothing else: no tags, no cover.

    Samples beyond full scale are clipped, channels averaged, the rate is changed (a polyphase filter), and the samples
    are rounded. Idempotent and deterministic: the same bytes in, the same bytes out.

    Args:
        max_bytes: larger files are refused before they are looked at.
        max_seconds, max_channels: more is refused before all of it is decoded.
        rate: samples a second of the result.

    Raises:
        DataError: ``what`` is the reason, short and the same for all sounds of its kind.
        MissingExtra: the extra 'audio' is not installed.
    """
    samples, found = decoded(data, max_bytes=max_bytes, max_seconds=max_seconds, max_channels=max_channels)
    rounded = np.rint(np.clip(resampled(samples, found, rate) * 32768.0, -32768.0, 32767.0)).astype(np.int16)
    file = BytesIO()
    _soundfile().write(file, rounded, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decoded(
    data: bytes, *, max_bytes: int, max_seconds: float, max_channels: int, first: float | None = None
) -> tuple[np.ndarray, int]:
    """The sound in ``data``, its channels averaged: (f32 [samples] in −1 … 1, samples a second).

    Args:
        first: decode only so many seconds from the start; what follows is not looked at.

    Raises:
        DataError: no sound, a broken or truncated one, or more than the limits allow.
        MissingExtra: the extra 'audio' is not installed.
    """
    need_file(data, "sound", FORMATS, max_bytes)
    library = _soundfile()
    _need_sound(data)
    try:
        with library.SoundFile(BytesIO(data)) as file:
            _check(file, max_seconds, max_channels)
            wanted = None if first is None else max(1, round(first * file.samplerate))
            samples = _mixed(file, int(max_seconds * file.samplerate), wanted)
            whole = wanted is not None or not 0 < file.frames < 2**62 or len(samples) == file.frames
            rate = int(file.samplerate)
    except (library.LibsndfileError, RuntimeError, ValueError) as error:
        raise DataError("broken sound", seen=str(getattr(error, "error_string", error))[:200]) from None
    if not whole or _cut_short(data):
        raise DataError("truncated sound")
    if not len(samples):
        raise DataError("a sound of no length")
    return samples, rate


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """f32 [samples] at ``rate`` → f32 at ``wanted`` samples a second, without aliases."""
    if rate == wanted:
        return samples
    try:
        from scipy.signal import resample_poly
    except ImportError:
        raise MissingExtra("audio", "changing the rate of a sound") from None
    common = gcd(rate, wanted)
    out: np.ndarray = resample_poly(samples, wanted // common, rate // common).astype(np.float32)
    return out


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the wheel without libsndfile, and none on the system
        raise MissingExtra("audio", "reading sounds") from None
    return soundfile


def _need_sound(data: bytes) -> None:
    """Only the formats that are tested reach the decoder, which knows many more."""
    if not ((data[:4] == b"RIFF" and data[8:12] == b"WAVE") or data[:4] in (b"fLaC", b"OggS")):
        raise DataError("not a sound that is read", seen=looks_like(data), allowed=FORMATS)


def _check(file: Any, max_seconds: float, max_channels: int) -> None:
    if not RATES[0] <= file.samplerate <= RATES[1]:
        seen, allowed = f"{file.samplerate:,} a second", f"{RATES[0]:,} to {RATES[1]:,}"
        raise DataError("an unusual sampling rate", seen=seen, allowed=allowed)
    if file.channels > max_channels:
        raise DataError("too many channels", seen=file.channels, allowed=f"at most {max_channels}")
    if max_seconds * file.samplerate < file.frames < 2**62:  # above: a stream that does not say
        raise _too_long(file.frames / file.samplerate, max_seconds)


def _mixed(file: Any, most: int, wanted: int | None) -> np.ndarray:
    """The mean of the channels, block by block: the header's length is not believed. What is too loud is clipped."""
    blocks: list[np.ndarray] = []
    count = 0
    while wanted is None or count < wanted:
        size = BLOCK if wanted is None else min(BLOCK, wanted - count)
        block = file.read(size, dtype="float32", always_2d=True)
        if not np.isfinite(block).all():
            raise DataError("broken sound", seen="samples that are no numbers")
        blocks.append(np.clip(block, -1.0, 1.0).mean(axis=1))
        count += len(block)
        if count > most:
            raise _too_long(count / file.samplerate, most / file.samplerate)
        if len(block) < size:
            break
    return np.concatenate(blocks)


def _too_long(seconds: float, most: float) -> DataError:
    return DataError("too long", seen=f"{seconds:,.0f} seconds or more", allowed=f"at most {most:g} seconds")


def _cut_short(data: bytes) -> bool:
    """Whether a WAV says that it holds more than there is; the decoder takes what it finds and keeps silent."""
    at = 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return size not in UNKNOWN and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return False
