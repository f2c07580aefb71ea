"""Which of two recommenders answers a shopper, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuwen.data.behaviour import standing_events

ARMS = ("a", "b")


def arm_of(experiment: str, user: str, share: float) -> str:
    """``b`` for ``share`` of all shoppers: by a hash, so that each is always answered by the same one."""
    digest = hashlib.sha256(f"{experiment}\0{user}".encode("utf-8", "surrogatepass")).digest()
    return ARMS[int.from_bytes(digest[:8], "big") / 2**64 < share]


def lift(
    exposures: Sequence[Mapping[str, Any]],
    events: Mapping[str, Sequence[Mapping[str, Any]]],
    kind: str,
    *,
    periods: Sequence[tuple[int, int | None]] = ((0, None),),
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """How many events of a kind a shopper of each arm had after she was first answered, while the experiment ran, and
    the difference. What came later is of a shop that answers everybody alike again, and says nothing of the two.

    Shoppers are the unit: they are drawn with replacement within their arm (percentile bootstrap).

    Args:
        exposures: ``user``, ``arm`` and ``time``, as the store keeps them.
        events: user → her events with ``item``, ``kind``, ``time`` and ``quantity``, oldest first. What she gave back
            does not count.
        periods: when it ran, from and to (that moment not included; None: it still runs), as moments of the store.

    Returns:
        ``arms``: arm → ``shoppers``, ``events``, ``rate`` (events a shopper) and ``active`` (share of shoppers with
        any); ``difference``, ``low`` and ``high`` of the rate of b minus a; ``lift``: the difference over a's rate;
        ``outside``: events of the kind that came after a first answer, but while the experiment did not run.
        While an arm has nobody, its ``rate`` and ``active`` are None, and so is what compares the two.
    """
    counts: dict[str, list[int]] = {arm: [] for arm in ARMS}
    outside = 0
    for one in exposures:
        stood = standing_events(events.get(one["user"], ()))
        after = [e["time"] for e in stood if e["kind"] == kind and e["time"] >= one["time"]]
        within = sum(any(start <= t and (end is None or t < end) for start, end in periods) for t in after)
        counts[one["arm"]].append(within)
        outside += len(after) - within
    found = {arm: np.array(values, float) for arm, values in counts.items()}
    return {
        "kind": kind,
        "outside": outside,
        "arms": {
            arm: {
                "shoppers": len(values),
                "events": int(values.sum()),
                "rate": float(values.mean()) if len(values) else None,
                "active": float((values > 0).mean()) if len(values) else None,
            }
            for arm, values in found.items()
        },
        **_compared(found, samples, confidence, seed),
        "confidence": confidence,
        "samples": samples,
    }


def _compared(counts: Mapping[str, np.ndarray], samples: int, confidence: float, seed: int) -> dict[str, float | None]:
    if not all(map(len, counts.values())):
        return dict.fromkeys(("difference", "low", "high", "lift"))
    rng = np.random.default_rng(seed)
    drawn = {arm: _means(values, samples, rng) for arm, values in counts.items()}
    low, high = np.quantile(drawn["b"] - drawn["a"], [(1 - confidence) / 2, (1 + confidence) / 2])
    rate, difference = float(counts["a"].mean()), float(counts["b"].mean() - counts["a"].mean())
    lift = difference / rate if rate else None
    return {"difference": difference, "low": float(low), "high": float(high), "lift": lift}


def _means(values: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """f64 [samples]: by how often each value is drawn, so that memory stays small."""
    levels, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), samples)
    means: np.ndarray = drawn @ levels / len(values)
    return means
