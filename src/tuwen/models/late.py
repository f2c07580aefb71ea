"""Late fusion: every modality answers alone, and the answers are calibrated and combined."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import combinations
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tuwen.errors import ConfigError
from tuwen.models import FUSIONS
from tuwen.models.fusion import Fusion
from tuwen.models.tasks import Task, best_temperature, minimise
from tuwen.registry import Count, Share

MOST_ROWS = 20_000  # that the combination is fitted on; it has a dozen numbers
SUBSETS = 64  # of the members that it is fitted for


class Late(Fusion):
    """g(Σ wᵢ zᵢ / Tᵢ): one head a modality, weights and temperatures learned out of fold.

    Each modality learns as if it were alone. Then the train part is cut into ``folds``; what the heads answer on rows
    they did not see fits one temperature a head (Guo et al., 2017) and one weight (stacking: Wolpert, 1992), for every
    subset of modalities that may be there. Classes are combined as the weighted geometric mean of their probabilities.

    Args:
        fused: a fusion (any but ``late``) that answers as one more member, so that the ensemble holds the fused model
            beside the unimodal ones; ``none`` leaves it out.
        width: of that fusion.
        folds: trainings on the rest of the train part that give the out-of-fold answers; 0 takes the answers on the
            validation part instead, at no cost, where that part is large enough.
    """

    combines_answers: ClassVar[bool] = True
    temperature: Tensor
    weight: Tensor
    sharpness: Tensor

    def __init__(
        self,
        widths: dict[str, int],
        head: Callable[[int], Task],
        *,
        fused: str = "none",
        width: Count = 64,
        dropout: Share = 0.0,
        folds: Annotated[int, Field(ge=0, le=20)] = 5,
    ) -> None:
        super().__init__(widths)
        if folds == 1:
            raise ConfigError("one fold leaves nothing to train on", seen="folds: 1", allowed="0, or 2 and more")
        self.folds = folds
        self.heads = nn.ModuleDict({m: head(w) for m, w in self.widths.items()})
        self.dropout = nn.Dropout(dropout)
        self.together: Fusion | None = None
        if fused != "none":
            if fused in FUSIONS.entries() and FUSIONS.load(fused).combines_answers:
                fusions = [name for name in FUSIONS.entries() if not FUSIONS.load(name).combines_answers]
                raise ConfigError("a late fusion cannot be a member of itself", seen=f"fused: {fused}", allowed=fusions)
            self.together = FUSIONS.build(fused, {"width": width, "dropout": dropout}, widths)
            assert self.together is not None
            self.together_head = head(self.together.width)
        self.members = len(self.heads) + (self.together is not None)
        (first, *_) = self.heads.values()
        assert isinstance(first, Task)
        self.width = first.outputs
        self.register_buffer("temperature", torch.ones(self.members))
        self.register_buffer("weight", torch.full((self.members,), 1.0 / self.members))
        self.register_buffer("sharpness", torch.ones(self.members))  # how much surer n members are than their mean

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        return self._combined(self.answers(vectors, present), self.there(present))  # [batch, outputs]

    def answers(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """What each member answers alone: f32 [batch, members, outputs]."""
        filled, _ = self.filled(vectors, present)
        found = [self.heads[m](self.dropout(filled[m])) for m in self.widths]
        if self.together is not None:
            found.append(self.together_head(self.together(vectors, present)))
        return torch.stack(found, dim=1)

    def there(self, present: dict[str, Tensor]) -> Tensor:
        """Whose answer counts: bool [batch, members]."""
        found = torch.stack([present[m] for m in self.widths], dim=1)
        return found if self.together is None else torch.cat([found, found.any(dim=1, keepdim=True)], dim=1)

    def for_loss(self, vectors: dict[str, Tensor], present: dict[str, Tensor], task: nn.Module) -> Tensor:
        return self.answers(vectors, present)

    def loss(self, outputs: Tensor, targets: Tensor, present: dict[str, Tensor], task: Any) -> Tensor:
        """The sum of the members' losses, each over the rows where it has something to say."""
        return loss_of_each(outputs, targets, self.there(present), task)

    def fit_combination(self, answers: Tensor, present: dict[str, Tensor], targets: Tensor, task: Any) -> None:
        """Temperatures, then weights and sharpness, from answers f32 [rows, members, outputs] on unseen rows."""
        rows = slice(None, None, -(-len(targets) // MOST_ROWS))
        answers, targets, there = answers[rows], targets[rows], self.there(present)[rows]
        if task.probabilistic:
            for i in range(self.members):
                known = there[:, i]
                if known.any():
                    self.temperature[i] = best_temperature(answers[known, i], targets[known], task.plain_loss)
        self._fit_weights(answers, there, targets, task)

    def _fit_weights(self, answers: Tensor, there: Tensor, targets: Tensor, task: Any) -> None:
        weight = torch.zeros(self.members, requires_grad=True)
        sharpness = torch.zeros(self.members, requires_grad=True)
        masks = [mask for mask in (there & subset for subset in self._subsets()) if mask.any()]
        scores = self._scores(answers)  # they stand still while the weights are sought

        def loss() -> Tensor:
            total = torch.zeros(())
            sure = torch.cat([torch.ones(1), sharpness[1:].exp()]) if task.probabilistic else torch.ones_like(weight)
            for mask in masks:
                known = mask.any(dim=1)
                seen = (scores, mask, targets) if known.all() else (scores[known], mask[known], targets[known])
                total = total + task.plain_loss(self._mixed(*seen[:2], weight.softmax(0), sure), seen[2])
            return total / len(masks) + 1e-3 * (weight**2).sum()  # a tie is an even one

        minimise(loss, [weight, sharpness])
        self.weight.copy_(weight.detach().softmax(0))
        if task.probabilistic:
            self.sharpness[1:] = sharpness.detach()[1:].exp()

    def _subsets(self) -> list[Tensor]:
        """Which members may be left, bool [members] each: all of them, then the larger subsets first.

        The fused member is left whenever a modality is.
        """
        modalities, found = len(self.heads), []
        for size in range(modalities, 0, -1):
            for chosen in combinations(range(modalities), size):
                mask = torch.zeros(self.members, dtype=torch.bool)
                mask[list(chosen)] = True
                mask[modalities:] = size == modalities  # its answers were given with everything there
                found.append(mask)
        return found[:SUBSETS]

    def _combined(self, answers: Tensor, there: Tensor) -> Tensor:
        return self._mixed(self._scores(answers), there, self.weight, self.sharpness)

    def _scores(self, answers: Tensor) -> Tensor:
        """Calibrated answers [batch, members, outputs]: of classes the logarithms of their probabilities."""
        scores = answers / self.temperature.view(1, -1, 1)
        return functional.log_softmax(scores, dim=2) if self.width > 1 else scores

    def _mixed(self, scores: Tensor, there: Tensor, weight: Tensor, sharpness: Tensor) -> Tensor:
        """Scores [batch, members, outputs] of those that are ``there`` → one [batch, outputs]."""
        share = there * weight
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-9)
        count = there.sum(dim=1)
        sure = sharpness[(count - 1).clamp(min=0)].unsqueeze(1)
        mixed = sure * (share.unsqueeze(2) * scores).sum(dim=1)
        return torch.where(count.unsqueeze(1) > 0, mixed, self._nothing(mixed))

    def _nothing(self, like: Tensor) -> Tensor:
        """The answer where nothing is there: what the heads say of a zero vector."""
        biases = [head.dense.bias for head in self.heads.values()]  # type: ignore[union-attr]
        return torch.stack(biases).mean(dim=0).to(like.dtype).expand_as(like)  # type: ignore[arg-type]


def loss_of_each(outputs: Tensor, targets: Tensor, counts: Tensor, task: Any) -> Tensor:
    """The sum of what ``task.loss`` is of every answer, each over the rows where it ``counts``; 0 where there is none.

    Args:
        outputs: f32 [batch, answers, outputs].
        targets: [batch].
        counts: bool [batch, answers].
    """
    losses, weights = task.row_losses(outputs.flatten(0, 1), targets.repeat_interleave(outputs.shape[1]))
    losses, weights = losses.view_as(counts) * counts, weights.view_as(counts) * counts
    return (losses.sum(dim=0) / weights.sum(dim=0).clamp(min=1e-12)).sum()


class Copies(Fusion):
    """Copies of one late fusion, side by side behind encoders that learn nothing; each leaves out a piece of the rows.

    A row's target is followed by the number of its piece, targets [batch, 2]: the copy of that number does not learn
    from it, and all learn from a row of piece -1. So the trainings of :func:`tuwen.training.out_of_fold.fit_late` are
    one, which reads each row once. The heads of a modality are one wide dense layer, which for a step over a small
    batch costs little more than a single one.
    """

    combines_answers: ClassVar[bool] = True

    def __init__(self, late: Late) -> None:
        super().__init__(late.widths)
        self.late = copy.deepcopy(late).requires_grad_(False)  # how answers are combined before that is learned
        self.count, self.width = late.folds, late.width
        self.heads = nn.ModuleDict({m: _side_by_side(head, self.count) for m, head in late.heads.items()})
        self.dropout = nn.Dropout(late.dropout.p)
        self.together = nn.ModuleList()
        if late.together is not None:
            whole = Fused(late.together, late.together_head)
            self.together.extend(copy.deepcopy(whole) for _ in range(self.count))

    @staticmethod
    def can(late: Late) -> bool:
        """Whether its heads are dense layers, as those of tuwen's own tasks are."""
        return all(isinstance(getattr(head, "dense", None), nn.Linear) for head in late.heads.values())

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        answers = self.answers(vectors, present)
        there = self.late.there(present).repeat_interleave(self.count, dim=0)
        return self.late._combined(answers.flatten(0, 1), there).unflatten(
            0, (-1, self.count)
        )  # [batch, copies, outputs]

    def answers(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """Of every copy what each member answers alone: f32 [batch, copies, members, outputs]."""
        filled, _ = self.filled(vectors, present)
        found = [self.heads[m](self.dropout(filled[m])).unflatten(1, (self.count, -1)) for m in self.widths]
        if self.together:
            found.append(torch.stack([one(vectors, present) for one in self.together], dim=1))
        return torch.stack(found, dim=2)

    def for_loss(self, vectors: dict[str, Tensor], present: dict[str, Tensor], task: nn.Module) -> Tensor:
        return self.answers(vectors, present)

    def loss(self, outputs: Tensor, targets: Tensor, present: dict[str, Tensor], task: Any) -> Tensor:
        """The sum of the copies' losses, each over the rows of the other pieces."""
        truth, piece = targets.unbind(1)
        learns = piece.unsqueeze(1) != torch.arange(self.count, device=piece.device)  # [batch, copies]
        counts = learns.unsqueeze(2) & self.late.there(present).unsqueeze(1)
        return loss_of_each(outputs.flatten(1, 2), truth, counts.flatten(1, 2), task.task)


class Fused(nn.Module):
    """A fusion with its head."""

    def __init__(self, fusion: Fusion, head: nn.Module) -> None:
        super().__init__()
        self.fusion, self.head = fusion, head

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        answer: Tensor = self.head(self.fusion(vectors, present))
        return answer  # [batch, outputs]


class EveryCopy(nn.Module):
    """The task of :class:`Copies`: its answers are judged by one task, all copies together."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, fused: Tensor) -> Tensor:
        return fused

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the copies, outputs [batch, copies, outputs]."""
        return self.task.loss(outputs.flatten(0, 1), targets.repeat_interleave(outputs.shape[1]))


def _side_by_side(head: nn.Module, count: int) -> nn.Linear:
    """One dense layer that is ``count`` times that of ``head``; biases stay flat: the optimiser knows them by that."""
    dense = head.dense
    assert isinstance(dense, nn.Linear)
    wide = nn.Linear(dense.in_features, count * dense.out_features)
    with torch.no_grad():
        wide.weight.copy_(dense.weight.repeat(count, 1))
        wide.bias.copy_(dense.bias.repeat(count))
    return wide
