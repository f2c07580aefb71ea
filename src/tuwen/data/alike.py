"""Pictures that look alike: the correlation of small grey copies, which neither size nor compression changes much.

Copies at 60 % of the size, saved anew, correlate at 0.984 and more in 95 of 100 photos of products, lesions and houses;
of pictures that are not of one thing, next to none do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SIDE = 16  # pixels of a small copy
DECODED = 128  # pixels that it is made from
CORRELATION = 0.985
CONTRAST = 4.0  # grey levels: a surface without a picture looks like any other
BLOCK = 2_000  # pictures that are compared at once


def small_copy(data: bytes) -> np.ndarray | None:
    """f32 [256] of mean 0 and length 1, of a stored picture; None where it is plain or cannot be decoded."""
    import simplejpeg
    from PIL import Image

    try:
        pixels = simplejpeg.decode_jpeg(data, "GRAY", min_height=DECODED, min_width=DECODED)
    except ValueError:
        return None
    grey = Image.fromarray(pixels[:, :, 0]).resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32).ravel()
    values = values - values.mean()
    if values.std() < CONTRAST:
        return None
    return np.asarray(values / np.linalg.norm(values))


def look_alikes(keys: Sequence[str], others: Sequence[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Key in ``keys`` → the key in ``others`` whose picture looks most like it, where one looks the same.

    Args:
        read: the bytes of a key.
    """
    own, theirs = _copies(keys, read), _copies(others, read)
    found: dict[str, str] = {}
    if not own or not theirs:
        return found
    names, matrix = list(theirs), np.stack(list(theirs.values()))
    for start in range(0, len(own), BLOCK):
        some = list(own)[start : start + BLOCK]
        correlation = np.stack([own[key] for key in some]) @ matrix.T
        nearest = correlation.argmax(axis=1)
        for i, key in enumerate(some):
            if correlation[i, nearest[i]] >= CORRELATION:
                found[key] = names[nearest[i]]
    return found


def _copies(keys: Sequence[str], read: Callable[[str], bytes]) -> dict[str, np.ndarray]:
    copies = {key: small_copy(read(key)) for key in dict.fromkeys(keys)}
    return {key: copy for key, copy in copies.items() if copy is not None}
