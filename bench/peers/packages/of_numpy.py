"""No package: what was bought most, to see that the harness judges a peer as it judges a baseline."""

from __future__ import annotations

from typing import Any

import numpy as np


def popularity(known: Any) -> np.ndarray:
    often = np.bincount(known.item, minlength=known.items).astype(np.float32)
    return np.tile(np.where(often > 0, often, -np.inf), (len(known.asked), 1))


def broken(known: Any) -> np.ndarray:
    raise RuntimeError(f"this one fails on purpose, {known.items} items")
