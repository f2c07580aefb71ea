"""Buy it again."""

from __future__ import annotations

from tuwen.apps.recommend.history import Asked, History
from tuwen.apps.recommend.popularity import Days
from tuwen.apps.recommend.scores import Scores, Sparse


class Again:
    """What the shopper bought before, the latest first.

    Args:
        half_life: days.
    """

    reason = ("you chose it before", "您之前选过")

    def __init__(self, *, half_life: Days = 60.0) -> None:
        self.half_life = half_life

    def fit(self, history: History) -> None:
        """Nothing: everything is in what the shopper did."""

    def score(self, asked: Asked) -> Scores:
        return Sparse(asked.recent(self.half_life, most=100.0))
