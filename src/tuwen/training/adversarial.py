"""WGAN with gradient penalty on vectors (Gulrajani et al., 2017), conditional on what is seen of a row.

A generator that fills learns to make some of a row's vectors from the others: in each step some modalities of each row
are hidden. One that makes whole rows sees nothing but the class. The critic judges what was made together with what
was seen. Every draw is a function of (seed, step), so a resumed training gives the numbers of an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.errors import DataError
from tuwen.models.generator import Critic, Generator, Present, Vectors
from tuwen.progress import Progress, Silent
from tuwen.training import checkpoint as checkpoints
from tuwen.training.batches import Examples, batch_of
from tuwen.training.checkpoint import Checkpoint
from tuwen.training.inputs import MOST_SEEN
from tuwen.training.interrupt import Interrupt
from tuwen.training.optimiser import WeightAverage

MEAN_OF = 4  # made rows whose mean the reconstruction judges: a single one would be taught to have no noise
AVERAGE = 0.99  # decay of the generator's averaged weights, which are what is kept
LOOKS = 50  # entries of the history


@dataclass(frozen=True)
class Adversarial:
    """How the generator is trained; the words of :class:`~tuwen.models.generator.Impute`.

    A batch is never larger than the rows there are.
    """

    steps: int
    batch_size: int
    critic_steps: int
    penalty: float
    reconstruction: float
    learning_rate: float
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True)
class Rows:
    """A batch in standardised vectors.

    Attributes:
        vectors: zeros where absent.
        seen, made: bool [batch, modalities]: what the generator is shown, and what it has to make.
        classes: int64 [batch], where the generator knows classes.
    """

    vectors: Vectors
    seen: Tensor
    made: Tensor
    classes: Tensor | None

    def shown(self, hide: float, chance: torch.Generator, times: int = 1) -> Vectors:
        """What the generator sees, ``times`` over, each time with other numbers hidden (Srivastava et al., 2014)."""
        found = {}
        for i, (m, vector) in enumerate(self.vectors.items()):
            many = (vector * self.seen[:, i : i + 1]).repeat(times, 1)
            kept = torch.rand(many.shape, generator=chance) >= hide
            found[m] = many * kept.to(many.device) / (1 - hide)
        return found

    def with_made(self, made: Vectors) -> Vectors:
        """The row with what was made in the place of what was hidden."""
        return {
            m: torch.where(self.made[:, i : i + 1], made[m], v * self.seen[:, i : i + 1])
            for i, (m, v) in enumerate(self.vectors.items())
        }

    def true(self) -> Vectors:
        both = self.seen | self.made
        return {m: v * both[:, i : i + 1] for i, (m, v) in enumerate(self.vectors.items())}


@dataclass
class _State:
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def train_generator(
    generator: Generator,
    examples: Examples,
    settings: Adversarial,
    *,
    seed: int,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train ``generator`` in place; it holds the average of its weights afterwards.

    Args:
        examples: one array ``vector`` a modality; the targets are classes where the generator knows some.

    Returns:
        the history: ``step``, ``distance`` (the critic's estimate of how far made rows are from true ones), ``error``
        (squared, of what was made) and ``variance`` (of what was made over what was hidden).

    Raises:
        DataError: no row to learn from, or the numbers have run away.
        KeyboardInterrupt: after a checkpoint was written.
    """
    return _Duel(generator, examples, settings, seed, device or torch.device("cpu"), checkpoint, fingerprint).run(
        progress or Silent()
    )


class _Duel:
    def __init__(
        self,
        generator: Generator,
        examples: Examples,
        settings: Adversarial,
        seed: int,
        device: torch.device,
        path: Path | None,
        fingerprint: str,
    ) -> None:
        self.examples, self.settings, self.seed, self.device = examples, settings, seed, device
        self.path, self.fingerprint = path, fingerprint
        self.rows = usable(generator, examples)
        if not len(self.rows):
            raise DataError(
                "the generator has no row to learn from",
                seen=f"{len(examples)} rows in the train part",
                allowed="rows in which two inputs are there, so that one can be filled from the other",
                todo="set gan: off",
            )
        standardise(generator, examples, self.rows)
        if generator.hide is None:  # many numbers and few rows: rows would be learned by heart
            numbers = sum(generator.widths.values())
            generator.hide = numbers / (numbers + len(self.rows))
        self.generator = generator.to(device).train()
        knows = generator.trunk.classes
        hidden = generator.chance.out_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mixed(seed, 0))
            self.critic = Critic(generator.widths, knows.num_embeddings if knows else 0, hidden).to(device)
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(0.0, 0.9))
            for name, network in (("generator", self.generator), ("critic", self.critic))
        }
        self.average = WeightAverage(self.generator, AVERAGE)
        self.state = _State()
        self.saved = time.perf_counter()

    def run(self, progress: Progress) -> list[dict[str, float]]:
        self._resume()
        state = self.state
        began, before = time.perf_counter(), state.seconds
        with progress.task("generator", self.settings.steps) as bar, Interrupt() as interrupt:
            bar.advance(state.step)
            while state.step < self.settings.steps:
                self._step(state.step)
                state.step += 1
                state.seconds = before + time.perf_counter() - began
                if interrupt.asked or time.perf_counter() - self.saved > self.settings.checkpoint_seconds:
                    self._save()
                if interrupt.asked:
                    raise KeyboardInterrupt
                bar.advance(1)
        self._save()  # what comes after it may be stopped too
        self.average.swap(self.generator)
        self.generator.eval().requires_grad_(False).cpu()
        return state.history

    def _step(self, step: int) -> None:
        distance = 0.0
        for turn in range(self.settings.critic_steps):
            distance = self._critic_step(step, turn + 1)
        batch, chance = self._batch(step, 0)
        seen = batch.seen.float()
        noise = self._noise(chance, MEAN_OF * len(seen))
        many = batch.shown(self.generator.hide or 0.0, chance, MEAN_OF)
        classes = None if batch.classes is None else batch.classes.repeat(MEAN_OF)
        made = self.generator(many, seen.repeat(MEAN_OF, 1), noise, classes)
        first = {m: v[: len(seen)] for m, v in made.items()}
        loss = -self.critic(batch.with_made(first), seen, batch.made.float(), batch.classes).mean()
        off = self._off({m: v.view(MEAN_OF, len(seen), -1).mean(dim=0) for m, v in made.items()}, batch)
        loss = loss + self.settings.reconstruction * off
        self._descend("generator", loss)
        self.average.update(self.generator)
        if (step + 1) % max(self.settings.steps // LOOKS, 1) == 0 or step + 1 == self.settings.steps:
            self._look(step, distance, first, batch)

    def _critic_step(self, step: int, turn: int) -> float:
        batch, chance = self._batch(step, turn)
        seen, hidden = batch.seen.float(), batch.made.float()
        with torch.no_grad():
            shown = batch.shown(self.generator.hide or 0.0, chance)
            made = self.generator(shown, seen, self._noise(chance, len(seen)), batch.classes)
        true, false = batch.true(), batch.with_made(made)
        apart = (
            self.critic(true, seen, hidden, batch.classes).mean()
            - self.critic(false, seen, hidden, batch.classes).mean()
        )
        share = torch.rand(len(seen), 1, generator=chance).to(self.device)
        between = {m: (share * true[m] + (1 - share) * false[m]).requires_grad_() for m in true}
        score = self.critic(between, seen, hidden, batch.classes)
        slopes = torch.autograd.grad(score.sum(), list(between.values()), create_graph=True)
        # only along what was made: what was seen is the same in both
        slope = torch.cat([g * hidden[:, i : i + 1] for i, g in enumerate(slopes)], dim=1)
        steep = ((slope.square().sum(dim=1) + 1e-12).sqrt() - 1).square().mean()
        self._descend("critic", self.settings.penalty * steep - apart)
        return float(apart.detach())

    def _off(self, guess: Vectors, batch: Rows) -> Tensor:
        """Squared error of what was hidden, over √(numbers hidden), so that its slope is about that of the critic."""
        total = torch.zeros(len(batch.seen), device=self.device)
        numbers = torch.zeros_like(total)
        for i, (m, true) in enumerate(batch.vectors.items()):
            hidden = batch.made[:, i].float()
            total = total + hidden * (guess[m] - true).square().sum(dim=1)
            numbers = numbers + hidden * true.shape[1]
        return (total / numbers.clamp(min=1).sqrt()).mean()

    def _descend(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise DataError(
                "the numbers of the generator's training have run away",
                where=f"step {self.state.step + 1}",
                todo="lower gan.learning_rate or raise gan.penalty",
            )
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def _look(self, step: int, distance: float, made: Vectors, batch: Rows) -> None:
        true, false = batch.true(), batch.with_made(made)
        hidden = [batch.made[:, i] for i in range(batch.made.shape[1])]
        spread = [
            sum(
                float(rows[m][there].var(dim=0, correction=0).sum())
                for m, there in zip(rows, hidden, strict=True)
                if there.any()
            )
            for rows in (false, true)
        ]
        entry = {
            "step": step + 1,
            "distance": distance,
            "error": float(self._off(made, batch)),
            "variance": spread[0] / spread[1] if spread[1] else 1.0,
        }
        self.state.history.append({name: round(value, 5) for name, value in entry.items()})

    def _batch(self, step: int, turn: int) -> tuple[Rows, torch.Generator]:
        rng = np.random.default_rng([self.seed, step, turn])
        rows = rng.choice(self.rows, min(self.settings.batch_size, len(self.rows)))
        chance = torch.Generator().manual_seed(_mixed(self.seed, step, turn))
        return rows_of(self.generator, self.examples, rows, self.device, rng=rng), chance

    def _noise(self, chance: torch.Generator, rows: int) -> Tensor:
        return torch.randn(rows, self.generator.noise, generator=chance).to(self.device)

    def _save(self) -> None:
        if self.path is None:
            return
        tensors: dict[str, Tensor] = {}
        for name, network in (("generator", self.generator), ("critic", self.critic)):
            tensors |= {f"{name}/{n}": t for n, t in network.state_dict().items()}
            state = checkpoints.optimiser_tensors(self.optimisers[name])
            tensors |= {f"{name}-optimiser/{n}": t for n, t in state.items()}
        tensors |= {f"average/{n}": t for n, t in self.average.weights.items()}
        checkpoints.save(Checkpoint(self.fingerprint, 0, self.state.step, dict(vars(self.state)), tensors), self.path)
        self.saved = time.perf_counter()

    def _resume(self) -> None:
        found = checkpoints.load(self.path) if self.path else None
        if found is None or found.fingerprint != self.fingerprint:
            return
        self.state = _State(**found.progress)
        for name, network in (("generator", self.generator), ("critic", self.critic)):
            network.load_state_dict(found.part(name))
            checkpoints.restore_optimiser(self.optimisers[name], found.part(f"{name}-optimiser"))
        self.average.weights = {n: t.to(self.device) for n, t in found.part("average").items()}
        self.average.steps = self.state.step


def usable(generator: Generator, examples: Examples) -> np.ndarray:
    """Positions of the rows that something can be learned from: for filling, those where two groups are there."""
    there = _there(generator, presence(examples, np.arange(len(examples))))
    return np.flatnonzero(there.sum(axis=1) >= (2 if generator.fills else 1))


def presence(examples: Examples, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Modality → bool [rows]."""
    return {m: source.there(rows) for m, source in examples.inputs.items()}


def standardise(generator: Generator, examples: Examples, rows: np.ndarray) -> None:
    """Learn means and deviations of the vectors that are there in these rows; of very many rows from some, evenly
    spaced, since all would be in memory at once.
    """
    for m, scaling in generator.standardise.items():
        arrays, present = examples.inputs[m].batch(rows[:: -(-len(rows) // MOST_SEEN)])
        scaling.prepare(arrays["vector"][present])  # type: ignore[operator]


def rows_of(
    generator: Generator,
    examples: Examples,
    rows: np.ndarray,
    device: torch.device,
    *,
    hidden: list[str] | None = None,
    rng: np.random.Generator | None = None,
) -> Rows:
    """A batch with these modalities hidden; without a list, all of them (rows are made) or some (they are filled)."""
    batch = batch_of(examples, rows)
    names = list(generator.widths)
    present = np.stack([batch.present[m] for m in names], axis=1)
    if hidden is not None:
        made = present & np.array([m in hidden for m in names])
    elif generator.fills:
        assert rng is not None
        made = present & _some(generator, batch.present, rng)
    else:
        made = present
    there: Present = {m: torch.from_numpy(present[:, i]).to(device) for i, m in enumerate(names)}
    vectors: Vectors = {m: torch.from_numpy(batch.arrays[m]["vector"]).to(device) for m in names}
    classes = torch.from_numpy(batch.targets.astype(np.int64)).to(device) if generator.trunk.classes else None
    as_tensor = [torch.from_numpy(mask).to(device) for mask in (present & ~made, made)]
    return Rows(generator.standardised(vectors, there), as_tensor[0], as_tensor[1], classes)


def _some(generator: Generator, present: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Which modalities are hidden, bool [rows, modalities]: at least one group that is there, and not all."""
    there = _there(generator, present)
    count = 1 + (rng.random(len(there)) * (there.sum(axis=1) - 1)).astype(int)  # 1 … there − 1
    place = np.where(there, rng.random(there.shape), np.inf).argsort(axis=1).argsort(axis=1)
    hidden = place < count[:, None]
    group = {m: i for i, members in enumerate(generator.groups) for m in members}
    return hidden[:, [group[m] for m in generator.widths]]


def _there(generator: Generator, present: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool [rows, groups]: whether any modality of the group is there."""
    return np.stack([np.any([present[m] for m in group], axis=0) for group in generator.groups], axis=1)


@torch.inference_mode()
def made_vectors(
    generator: Generator, examples: Examples, rows: np.ndarray, seed: int, hidden: list[str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One draw for each row, beside the truth: ({modality: made f32 [rows, width]}, {modality: true}), standardised."""
    batch = rows_of(generator, examples, rows, torch.device("cpu"), hidden=hidden, rng=np.random.default_rng(seed))
    chance = torch.Generator().manual_seed(_mixed(seed))
    noise = torch.randn(len(rows), generator.noise, generator=chance)
    made = generator(batch.shown(generator.hide or 0.0, chance), batch.seen.float(), noise, batch.classes)
    return {m: v.numpy() for m, v in made.items()}, {m: v.numpy() for m, v in batch.vectors.items()}


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
