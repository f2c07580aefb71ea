"""Which peers there are, and what is tried of each: the same number of trials for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HORIZONS: tuple[float | None, ...] = (None, 13, 4, 1)  # of history that a peer learns from; none: all


@dataclass(frozen=True, eq=False)  # each is only itself
class Peer:
    """Attributes:
    grid: option → values; the first of each is the first trial, near what the package itself takes.
    """

    package: str
    name: str
    grid: Mapping[str, Sequence[Any]]

    @property
    def system(self) -> str:
        return f"{self.package}_{self.name}"


RATE = (0.05, 0.01, 0.002)
PEERS = (
    Peer(
        "implicit",
        "als",
        {"factors": (100, 32, 16), "regularization": (0.01, 1.0, 10.0), "alpha": (1.0, 10.0, 40.0)},
    ),
    Peer("implicit", "bm25", {"K": (20, 100, 1000), "K1": (1.2, 0.4, 4.0), "B": (0.75, 0.2)}),
    Peer("rectools", "pure_svd", {"factors": (10, 32, 64, 128)}),
    Peer(
        "rectools",
        "als",
        {"features": (False, True), "factors": (100, 32, 16), "regularization": (0.01, 1.0), "alpha": (1.0, 10.0)},
    ),
    Peer(
        "lightfm",
        "warp",
        {
            "features": (True, True, False),
            "whole": (False, True),
            "no_components": (10, 32, 64),
            "epochs": (20, 50),
            "item_alpha": (0.0, 1e-5),
        },
    ),
    Peer("lenskit", "item_knn", {"max_nbrs": (20, 100, 1000), "min_sim": (1e-6, 0.05)}),
    Peer(
        "lenskit",
        "implicit_mf",
        {"embedding_size": (50, 16, 100), "epochs": (10, 20), "weight": (40, 10), "regularization": (0.1, 1.0)},
    ),
    Peer("lenskit", "ease", {"regularization": (100, 1, 500, 2000)}),
    Peer("cornac", "bpr", {"k": (10, 50), "max_iter": (100, 300), "learning_rate": RATE, "lambda_reg": (0.01, 0.001)}),
    Peer("cornac", "ease", {"lamb": (500, 50, 2000), "posB": (True, False)}),
    Peer(
        "cornac",
        "vbpr",
        {
            "n_epochs": (20, 10),
            "batch_size": (1000,),
            "k": (10, 32),
            "k2": (10, 32),
            "lambda_w": (0.01, 0.1),
            "whole": (True, False),
        },
    ),
    Peer(
        "cornac",
        "vaecf",
        {
            "k": (10, 50),
            "hidden": (20, 100),
            "n_epochs": (50, 20),
            "batch_size": (100, 300),
            "beta": (1.0, 0.2),
            "learning_rate": (0.001, 0.005),
        },
    ),
)


def trials(peer: Peer, count: int, days: Sequence[float | None] = (None,), seed: int = 0) -> list[dict[str, Any]]:
    """What is tried: the first values with all days, then a Latin hypercube: each value of an option about equally
    often, in random company. The same for every run.

    Returns:
        ``days`` and ``options`` of each; fewer than ``count`` where there are no more.
    """
    rng = np.random.default_rng([seed, *peer.system.encode()])
    grid = {"days": days, **peer.grid}
    found: list[dict[str, Any]] = [{name: values[0] for name, values in grid.items()}]
    rest = count - len(found)
    drawn = {name: [values[i % len(values)] for i in rng.permutation(rest)] for name, values in grid.items()}
    for turn in range(100 * count):
        if len(found) >= count:
            break
        one = {name: v[turn] if turn < rest else grid[name][rng.integers(len(grid[name]))] for name, v in drawn.items()}
        found += [one] if one not in found else []
    return [{"days": one["days"], "options": {n: v for n, v in one.items() if n != "days"}} for one in found]
