"""Generators of modality vectors, conditional on what is known of a row, and the critic that trains them.

Both live behind the encoders: they see and make standardised vectors, never pixels or words.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder, Standardise
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share

Vectors = dict[str, Tensor]  # modality → f32 [batch, its width]
Present = dict[str, Tensor]  # modality → bool [batch]
Groups = list[list[str]]  # modalities that read the same columns are there or absent together

Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]


class Generator(nn.Module):
    """Vectors that are seen, a class where it knows some, and noise → the vectors of all modalities.

    A concrete generator takes ``(widths, classes, groups, *, options)``.

    Attributes:
        fills: it stands between encoders and fusion and fills what is absent; else it makes rows for training.
        hide: share of the numbers it sees that are hidden from it when it learns and when it draws; where it is None,
            training sets it.
    """

    fills: ClassVar[bool] = False
    hide: float | None = 0.0

    def __init__(self, widths: dict[str, int], classes: int, groups: Groups, noise: int, hidden: int) -> None:
        super().__init__()
        self.widths = dict(sorted(widths.items()))
        self.groups, self.noise = groups, noise
        self.standardise = nn.ModuleDict({m: Standardise(w) for m, w in self.widths.items()})
        self.trunk = Trunk(self.widths, classes, hidden)
        self.chance = nn.Linear(noise, hidden, bias=False)
        self.make = nn.ModuleDict({m: nn.Linear(hidden, w) for m, w in self.widths.items()})

    def standardised(self, vectors: Vectors, present: Present) -> Vectors:
        """Each modality centred and scaled; zeros where it is absent, whatever stood there."""
        return {
            m: torch.where(present[m].unsqueeze(1), self.standardise[m](vectors[m].float()), 0.0) for m in self.widths
        }

    def restored(self, made: Vectors) -> Vectors:
        """The inverse of :meth:`standardised`, for what was made."""
        found = {}
        for m, vector in made.items():
            scaling = self.standardise[m]
            assert isinstance(scaling, Standardise)
            found[m] = vector / scaling.scale + scaling.mean
        return found

    def forward(self, seen: Vectors, bits: Tensor, noise: Tensor, classes: Tensor | None = None) -> Vectors:
        """Standardised vectors → standardised vectors of every modality.

        Args:
            seen: zeros where a modality is not seen.
            bits: f32 [batch, modalities], which are seen.
            noise: f32 [batch, noise].
            classes: int64 [batch].
        """
        state = self.trunk(seen, bits, classes, self.chance(noise))
        return {m: self.make[m](state) for m in self.widths}

    def complete(self, vectors: Vectors, present: Present) -> tuple[Vectors, Present]:
        """What the fusion is given instead of these."""
        return vectors, self.counted(present)

    def counted(self, present: Present) -> Present:
        """Which modalities count after :meth:`complete`."""
        return present


class Impute(Generator):
    """Fills an absent modality from those that are there, in training and in serving.

    The fusion and the task are trained anew on vectors of which some were dropped and filled again, so that they learn
    what a filled one is worth. The filling is the mean over a few noises that never change: the same row is always
    answered alike. It is moved towards the mean vector as far as rows that were held back ask for it.

    Args:
        noise: random numbers that go in.
        hidden: width of the inner layers.
        steps: of the generator.
        batch_size: rows a step.
        critic_steps: of the critic, for each of the generator's.
        penalty: weight of the gradient penalty.
        reconstruction: weight of the distance between the true vector and the mean of a few made ones.
        learning_rate: of generator and critic.
        hide: share of the numbers of what is there that are hidden while it learns, so that it does not learn rows by
            heart; default: numbers a row / (numbers a row + rows).
        hold: share of the train part that the generator never sees: what it makes is judged on it.
        draws: noises that a filling is the mean of.
        drop: how often a modality that is there is dropped and filled while the fusion learns, where
            ``training.modality_dropout`` does not hide some already.
    """

    fills = True
    fixed: Tensor
    trust: Tensor

    def __init__(
        self,
        widths: dict[str, int],
        classes: int,
        groups: Groups,
        *,
        noise: Count = 16,
        hidden: Count = 128,
        steps: Count = 1000,
        batch_size: Count = 64,
        critic_steps: Count = 3,
        penalty: Weight = 1.0,
        reconstruction: Weight = 3.0,
        learning_rate: Rate = 1e-3,
        hide: Share | None = None,
        hold: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        draws: Count = 8,
        drop: Share = 0.2,
    ) -> None:
        if len(groups) < 2:
            raise ConfigError(
                "there is nothing to fill a modality from",
                seen=f"all of {', '.join(widths)} read the same columns",
                todo="add a modality that reads other columns, or set gan: off",
            )
        super().__init__(widths, 0, groups, noise, hidden)
        self.drop, self.hide = drop, hide
        # drawn apart from torch's global generator, so that the network's start does not depend on the number of draws
        drawn = torch.randn(draws, noise, generator=torch.Generator().manual_seed(0))
        self.register_buffer("fixed", drawn)
        self.register_buffer("trust", torch.ones(len(self.widths)))  # 0: the mean vector, 1: what was made

    def complete(self, vectors: Vectors, present: Present) -> tuple[Vectors, Present]:
        """Absent vectors filled; a row in which nothing is there stays as it is. In training some are dropped first."""
        known = self.dropped(present) if self.training and self.drop else present
        counted = self.counted(present)
        missing = {m: counted[m] & ~known[m] for m in self.widths}
        if not torch.jit.is_tracing() and not any(rows.any() for rows in missing.values()):
            return vectors, counted
        made = self.filling(vectors, known)
        found = {m: torch.where(missing[m].unsqueeze(1), made[m].to(vectors[m].dtype), vectors[m]) for m in self.widths}
        return found, counted

    def counted(self, present: Present) -> Present:
        any_there = torch.stack([present[m] for m in self.widths], dim=1).any(dim=1)
        return dict.fromkeys(self.widths, any_there)

    @torch.no_grad()
    def filling(self, vectors: Vectors, present: Present) -> Vectors:
        """What every modality is taken to be, from those present: the mean over the fixed noises, moved towards the
        mean vector as far as it is not to be trusted.
        """
        seen = self.standardised(vectors, present)
        bits = torch.stack([present[m] for m in self.widths], dim=1).float()
        # what is seen is looked at once, what is made is linear in the state: only the layers between run once a draw
        state = self.trunk.look(seen, bits).unsqueeze(1) + self.chance(self.fixed)  # [batch, draws, hidden]
        mean = self.trunk.layers(state).mean(dim=1)
        means = {m: self.make[m](mean) for m in self.widths}
        return self.restored({m: mean * trust for (m, mean), trust in zip(means.items(), self.trust, strict=True)})

    def dropped(self, present: Present) -> Present:
        """Presence with some groups of modalities taken away at random, but never all of a row."""
        (like, *_) = present.values()
        kept = torch.rand(len(like), len(self.groups), device=like.device) >= self.drop
        found = {m: present[m] & kept[:, i] for i, group in enumerate(self.groups) for m in group}
        left = torch.stack([found[m] for m in self.widths], dim=1).any(dim=1)
        return {m: torch.where(left, found[m], present[m]) for m in self.widths}


class Augment(Generator):
    """Makes vectors of all modalities for rare classes, which join the train part of the fusion and the task.

    Args:
        noise: random numbers that go in.
        hidden: width of the inner layers.
        steps: of the generator.
        batch_size: rows a step.
        critic_steps: of the critic, for each of the generator's.
        penalty: weight of the gradient penalty.
        reconstruction: weight of the distance between a true row and the mean of a few made ones of its class.
        learning_rate: of generator and critic.
        hold: share of the train part that the generator never sees: what it makes is judged on it.
        floor: rows that every class shall have; default: what the class in the middle has.
        most: made rows for one true row, at most.
    """

    def __init__(
        self,
        widths: dict[str, int],
        classes: int,
        groups: Groups,
        *,
        noise: Count = 16,
        hidden: Count = 128,
        steps: Count = 1500,
        batch_size: Count = 64,
        critic_steps: Count = 3,
        penalty: Weight = 1.0,
        reconstruction: Weight = 0.0,
        learning_rate: Rate = 1e-3,
        hold: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        floor: Count | None = None,
        most: Rate = 5.0,
    ) -> None:
        if not classes:
            raise ConfigError(
                "it makes rows of rare classes, and this task has no classes",
                allowed="task: classify, task: binary",
                todo="set gan: off or gan: impute",
            )
        super().__init__(widths, classes, groups, noise, hidden)


class Critic(nn.Module):
    """Scores a row: high where it looks like a true one (WGAN: Arjovsky et al., 2017).

    It is told which modalities were seen by the generator, so that it judges what was made given what was there.
    """

    def __init__(self, widths: dict[str, int], classes: int, hidden: int) -> None:
        super().__init__()
        self.widths = dict(sorted(widths.items()))
        self.trunk = Trunk(self.widths, classes, hidden, made=True)
        self.score = nn.Linear(hidden, 1)

    def forward(self, row: Vectors, seen: Tensor, made: Tensor, classes: Tensor | None = None) -> Tensor:
        """Standardised vectors (zeros where absent), f32 [batch, modalities] twice → f32 [batch]."""
        return self.score(self.trunk(row, torch.cat([seen, made], dim=1), classes)).squeeze(1)


class Trunk(nn.Module):
    """Vectors, bits and a class → one hidden state; two residual layers, so that a linear answer is easy to give.

    No normalisation over the batch: the gradient penalty is a matter of each row alone (Gulrajani et al., 2017).
    """

    def __init__(self, widths: dict[str, int], classes: int, hidden: int, made: bool = False) -> None:
        super().__init__()
        self.see = nn.ModuleDict({m: nn.Linear(w, hidden, bias=False) for m, w in widths.items()})
        self.bits = nn.Linear(len(widths) * (1 + made), hidden)
        self.classes = nn.Embedding(classes, hidden) if classes else None
        self.layers = nn.Sequential(Residual(hidden), Residual(hidden))

    def forward(self, vectors: Vectors, bits: Tensor, classes: Tensor | None, more: Tensor | float = 0.0) -> Tensor:
        return self.layers(self.look(vectors, bits, classes) + more)  # [batch, hidden]

    def look(self, vectors: Vectors, bits: Tensor, classes: Tensor | None = None) -> Tensor:
        """The state before the layers, f32 [batch, hidden]."""
        state = self.bits(bits)
        for m, see in self.see.items():
            state = state + see(vectors[m])
        return state if self.classes is None else state + self.classes(classes)


class Residual(nn.Module):
    """A two-layer perceptron with a shortcut around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # [batch, width]
        return x + self.down(functional.leaky_relu(self.up(functional.leaky_relu(x, 0.2)), 0.2))


class Given(Encoder):
    """Vectors that were made before: what stands for an encoder while the fusion is trained on its vectors."""

    accepts = ("vector",)

    def __init__(self, spec: ArraySpec, *, dropout: Share = 0.0) -> None:
        super().__init__(spec)
        (self.width,) = spec.shape
        self.dropout = nn.Dropout(dropout)

    def forward(self, vector: Tensor) -> Tensor:
        return self.dropout(vector)
