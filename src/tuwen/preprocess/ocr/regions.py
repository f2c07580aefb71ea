"""Connected regions of a map of probabilities, by runs of pixels and NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Regions:
    """What is connected.

    Attributes:
        boxes: int64 [regions, 4], left, top, right, bottom; the last two lie behind the region.
        scores: f64 [regions], mean probability.
    """

    boxes: np.ndarray
    scores: np.ndarray


def regions(probabilities: np.ndarray, threshold: float) -> Regions:
    """The regions above ``threshold``, each grown by a pixel to the right and down; diagonal neighbours are connected.

    Args:
        probabilities: f32 [height, width].
    """
    mask = np.pad(probabilities > threshold, ((0, 0), (1, 1)))
    dilation = mask.copy()
    dilation[1:] |= mask[:-1]
    dilation[:, 1:-1] |= dilation[:, :-2]
    steps = np.diff(dilation.astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)  # runs of pixels, row by row from left to right
    ends = np.nonzero(steps == -1)[1]
    if not len(rows):
        return Regions(np.zeros((0, 4), np.int64), np.zeros(0))
    number = _region_of_run(rows, starts, ends, probabilities.shape[1] + 2)
    count = int(number.max()) + 1
    boxes = np.empty((count, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int64).max, 0
    np.minimum.at(boxes[:, 0], number, starts)
    np.minimum.at(boxes[:, 1], number, rows)
    np.maximum.at(boxes[:, 2], number, ends)
    np.maximum.at(boxes[:, 3], number, rows + 1)
    sums = np.pad(np.cumsum(probabilities, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    mass = np.bincount(number, sums[rows, ends] - sums[rows, starts], count)
    return Regions(boxes, mass / np.bincount(number, ends - starts, count))


def _region_of_run(rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, stride: int) -> np.ndarray:
    """int64 [runs]: the number of the region that each run of pixels is part of."""
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts, "left")
    behind = np.searchsorted(rows * stride + starts, below + ends, "right")
    contacts = np.maximum(behind - first, 0)
    upper = np.repeat(np.arange(len(rows)), contacts)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(contacts) - contacts, contacts) + np.repeat(first, contacts)
    label = np.arange(len(rows))
    while True:  # the smallest number spreads; jumping halves the way each time
        smaller = label.copy()
        np.minimum.at(smaller, upper, label[lower])
        np.minimum.at(smaller, lower, label[upper])
        smaller = smaller[smaller]
        if np.array_equal(smaller, label):
            return np.unique(label, return_inverse=True)[1]
        label = smaller
