"""``fusion: auto``: whatever the modalities tell, alone and together, combined by what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from tuwen.models.late import Late
from tuwen.models.tasks import Task
from tuwen.registry import Count, Share

Folds = Annotated[int, Field(ge=2, le=20)]
Members = Literal["all", "linear"]


class Auto(Late):
    """Many members, each over some of the modalities, and one answer: their blend, or the simplest that is as good.

    Where no encoder has to be trained (frozen vectors, n-grams, tables) the members are linear models of every
    modality, of every pair and of all, two small networks and gradient-boosted trees, and this class only holds the
    options: see :mod:`tuwen.training.stack`. Where one has, they are a head for each modality and one for all of them
    together, trained as one network (:class:`tuwen.models.late.Late`); their blend then always answers.

    Args:
        members: ``linear`` leaves out what bends, networks and trees.
        folds: pieces of the train part; each is answered by members that learned from the others.
        width: units of the small networks.
        dropout: in them, while they learn.
    """

    def __init__(
        self,
        widths: dict[str, int],
        head: Callable[[int], Task],
        *,
        members: Members = "all",
        folds: Folds = 5,
        width: Count = 64,
        dropout: Share = 0.3,
    ) -> None:
        fused = "concat" if len(widths) > 1 else "none"
        # each fold is a training of its own where encoders learn: three keep it at three times the price of one
        super().__init__(widths, head, fused=fused, width=width, dropout=dropout, folds=min(folds, 3))
