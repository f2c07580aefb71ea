"""The loop: epochs of steps, a look at the validation part after each, the best weights kept.

Every random draw is a function of (seed, epoch, step), so a run resumed from any step gives the numbers of an unbroken
one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from tuwen.errors import ConfigError, DataError
from tuwen.models.model import Model
from tuwen.progress import Progress, Silent
from tuwen.training import checkpoint as checkpoints
from tuwen.training.batches import (
    Augment,
    Batch,
    Examples,
    Network,
    ahead,
    augmented,
    batch_of,
    hidden,
    order,
    outputs_of,
)
from tuwen.training.checkpoint import Checkpoint
from tuwen.training.freezing import Freezing, How
from tuwen.training.inputs import Arrays
from tuwen.training.interrupt import Interrupt
from tuwen.training.memory import keep_freed_memory
from tuwen.training.optimiser import EpochMean, Name, Schedule, WeightAverage, optimiser, schedule

Score = Callable[[np.ndarray, np.ndarray], dict[str, float]]  # (outputs, targets) → named numbers for the history
Watch = Callable[
    [dict[str, float]], None
]  # sees the history's entry of each finished epoch; what it raises ends it all


@dataclass(frozen=True)
class Settings:
    """How the parameters are found.

    Attributes:
        encoder_learning_rate: for pretrained parameters, default a twentieth of ``learning_rate``, and for those that
            ``init`` brought, default ``learning_rate``.
        layer_decay: each layer of a pretrained encoder learns at this share of the rate of the layer above it.
        unfreeze_epoch: pretrained parameters stay as they are before this epoch (0-based).
        unfreeze: all layers at once then, or one more from the top down each epoch.
        modality_dropout: share of present modalities hidden from a training row; never all of them.
        average_epochs: the mean of the weights after the last so many epochs is what is kept.
        warm_up: share of all steps in which the rate rises.
        gradient_clip: largest norm of the whole gradient.
        patience: epochs without a better validation loss before stopping.
        average: decay of the running average of the weights, which is then what is validated and kept.
        monitor: what the best epoch is best in.
    """

    epochs: int = 10
    batch_size: int = 32
    optimiser: Name = "adamw"
    learning_rate: float = 1e-3
    encoder_learning_rate: float | None = None
    layer_decay: float = 1.0
    unfreeze_epoch: int = 0
    unfreeze: How = "all"
    modality_dropout: float = 0.0
    average_epochs: int = 0
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warm_up: float = 0.0
    gradient_clip: float | None = None
    patience: int | None = None
    average: float | None = None
    monitor: Literal["loss", "score"] = "loss"
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = 60.0


@dataclass
class Trained:
    """What a training leaves: the model holds the best epoch's weights.

    Attributes:
        history: one dict an epoch: ``epoch``, ``train_loss``, ``validation_loss``, scores, ``learning_rate``,
        ``seconds``.
        best_epoch: 1-based.
        steps: optimiser steps taken, over all sittings.
    """

    history: list[dict[str, float]]
    best_epoch: int
    steps: int
    seconds: float


@dataclass
class _State:
    """Where the loop stands; everything in it travels in a checkpoint."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    rows: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    model: Model,
    training: Examples,
    validation: Examples | None,
    settings: Settings,
    *,
    seed: int,
    score: Score | None = None,
    augment: Mapping[str, Augment] | None = None,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train ``model`` in place and leave the best epoch's weights in it.

    Args:
        validation: rows that choose the best epoch; None keeps the last.
        score: turns validation outputs f32 [rows, outputs] and targets into named numbers; ``score`` among them is what
            ``monitor: score`` maximises.
        checkpoint: file to resume from and to write to; its ``fingerprint`` must match, else training starts anew.
        watch: called after each epoch; a resumed training tells the epochs that it finds done first.

    Raises:
        DataError: no rows, or the loss is no longer a number.
        KeyboardInterrupt: after a checkpoint was written.
    """
    if not len(training):
        raise DataError("the train part has no rows", todo="loosen rows.where or the split's shares")
    keep_freed_memory()
    loop = _Loop(model, training, validation, settings, seed, score, dict(augment or {}), checkpoint, fingerprint)
    return loop.run(progress or Silent(), watch)


class _Loop:
    def __init__(
        self,
        model: Model,
        training: Examples,
        validation: Examples | None,
        settings: Settings,
        seed: int,
        score: Score | None,
        augment: dict[str, Augment],
        path: Path | None,
        fingerprint: str,
    ) -> None:
        self.plain_model, self.training, self.validation = model, training, validation
        self.settings, self.seed, self.score, self.augment = settings, seed, score, augment
        self.path, self.fingerprint = path, fingerprint
        self.fabric = fabric(settings.device, settings.precision)
        optimise = optimiser(
            model,
            model.pretrained_layers(),
            use=settings.optimiser,
            learning_rate=settings.learning_rate,
            encoder_learning_rate=settings.encoder_learning_rate,
            layer_decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
            brought=model.brought_parameters(),
        )
        self.model, self.optimiser = self.fabric.setup(model, optimise)
        self.model.mark_forward_method("for_loss")  # so that precision and devices are minded there too
        self.rates = [group["lr"] for group in optimise.param_groups]
        self.lengths = training.lengths()
        self.steps = math.ceil(len(training) / settings.batch_size)
        self.factor = schedule(settings.schedule, settings.warm_up, self.steps * settings.epochs)
        self.average = WeightAverage(model, settings.average) if settings.average else None
        self.mean = EpochMean()
        self.freezing = Freezing(model.pretrained_layers(), settings.unfreeze_epoch, settings.unfreeze)
        self.best: dict[str, Tensor] = {}
        self.state = _State()
        self.saved = time.perf_counter()

    def run(self, progress: Progress, watch: Watch | None) -> Trained:
        self._resume()
        state = self.state
        watch = watch or (lambda entry: None)
        for entry in state.history:
            watch(entry)
        with progress.task("train", self.settings.epochs * self.steps) as bar, Interrupt() as interrupt:
            bar.advance(state.epoch * self.steps + state.step)
            while state.epoch < self.settings.epochs and not self._out_of_patience():
                self._epoch(bar.advance, interrupt)
                watch(state.history[-1])
        if self.mean.count:
            self._load_mean()
        elif self.best:
            self.plain_model.load_state_dict(self.best)
        return Trained(
            state.history, state.best_epoch or state.epoch, state.epoch * self.steps + state.step, state.seconds
        )

    def _epoch(self, advance: Callable[[int], None], interrupt: Interrupt) -> None:
        state = self.state
        rows = order(
            len(self.training), self.settings.batch_size, np.random.default_rng([self.seed, state.epoch]), self.lengths
        )
        self.model.train()
        self.freezing.set(state.epoch)
        began = time.perf_counter()
        before = state.seconds

        def make(step: int) -> Batch:
            rng = np.random.default_rng([self.seed, state.epoch, step])
            batch = augmented(batch_of(self.training, rows[step]), self.augment, rng)
            share = self.settings.modality_dropout
            return hidden(batch, self.training.kinds, share, rng) if share else batch

        for batch in ahead(make, state.step, len(rows)):
            self._step(batch)
            state.step += 1
            state.seconds = before + time.perf_counter() - began
            self._save_when_due(interrupt)
            advance(1)
        self._finish_epoch()
        state.seconds = before + time.perf_counter() - began
        state.history[-1]["seconds"] = state.seconds - before
        self._save_when_due(interrupt)

    def _step(self, batch: Batch) -> None:
        state = self.state
        taken = state.epoch * self.steps + state.step
        seed_dropout(_mixed(self.seed, state.epoch, state.step), self.fabric.device)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.factor(taken)
        arrays, present, targets = self._tensors(batch)
        loss = self.plain_model.loss(self.model.for_loss(arrays, present).float(), targets, present)
        value = loss.item()
        if not math.isfinite(value):
            raise DataError(
                "the loss is no longer a number",
                where=f"epoch {state.epoch + 1}, step {state.step + 1}",
                seen=value,
                todo="lower training.learning_rate or set training.gradient_clip: 1",
            )
        self.fabric.backward(loss)
        if self.settings.gradient_clip:
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=self.settings.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.plain_model)
        state.loss += value * len(batch.targets)
        state.rows += len(batch.targets)

    def _finish_epoch(self) -> None:
        state = self.state
        entry: dict[str, float] = {
            "epoch": state.epoch + 1,
            "train_loss": state.loss / state.rows,
            "learning_rate": self.rates[-1] * self.factor((state.epoch + 1) * self.steps - 1),
        }
        if self.average:
            self.average.swap(self.plain_model)
        if self.validation is not None and len(self.validation):
            entry |= self._validate(self.validation)
            worth = (
                -entry["score"] if self.settings.monitor == "score" and "score" in entry else entry["validation_loss"]
            )
        else:
            worth = state.best - 1 if math.isfinite(state.best) else 0.0  # no validation: the last epoch is the best
        if worth < state.best:
            state.best, state.best_epoch = worth, state.epoch + 1
            self.best = {n: t.detach().clone() for n, t in self.plain_model.state_dict().items()}
        if self.average:
            self.average.swap(self.plain_model)
        if state.epoch >= self.settings.epochs - self.settings.average_epochs:
            self.mean.add(self.plain_model)
        state.history.append(entry)
        state.epoch, state.step, state.loss, state.rows = state.epoch + 1, 0, 0.0, 0

    def _validate(self, examples: Examples) -> dict[str, float]:
        network = network_of(self.model, self.fabric.device)
        outputs = outputs_of(network, examples.inputs, batch_size=self.settings.batch_size * 2)
        targets = torch.from_numpy(examples.targets)
        loss = self.plain_model.task.loss(
            torch.from_numpy(outputs).to(self.fabric.device), targets.to(self.fabric.device)
        )
        scores = self.score(outputs, examples.targets) if self.score else {}
        return {"validation_loss": float(loss)} | scores

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.epoch - self.state.best_epoch >= patience and self.state.epoch > 0

    def _tensors(self, batch: Batch) -> tuple[Any, Any, Tensor]:
        return (
            *to_tensors(batch.arrays, batch.present, self.fabric.device),
            _tensor(batch.targets, self.fabric.device),
        )

    def _save_when_due(self, interrupt: Interrupt) -> None:
        if interrupt.asked or time.perf_counter() - self.saved > self.settings.checkpoint_seconds:
            self._save()
        if interrupt.asked:
            raise KeyboardInterrupt

    def _save(self) -> None:
        if self.path is None:
            return
        tensors = {f"model/{n}": t for n, t in self.plain_model.state_dict().items()}
        tensors |= {f"best/{n}": t for n, t in self.best.items()}
        tensors |= {f"optimiser/{n}": t for n, t in checkpoints.optimiser_tensors(self.optimiser.optimizer).items()}
        if self.average:
            tensors |= {f"average/{n}": t for n, t in self.average.weights.items()}
        tensors |= {f"mean/{n}": t for n, t in self.mean.weights.items()}
        state = vars(self.state) | {"best": None if math.isinf(self.state.best) else self.state.best}
        state |= {"average_steps": self.average.steps if self.average else 0, "mean_count": self.mean.count}
        checkpoints.save(Checkpoint(self.fingerprint, self.state.epoch, self.state.step, state, tensors), self.path)
        self.saved = time.perf_counter()

    def _resume(self) -> None:
        found = checkpoints.load(self.path) if self.path else None
        if found is None or found.fingerprint != self.fingerprint:
            return
        state = dict(found.progress)
        average_steps, self.mean.count = state.pop("average_steps"), state.pop("mean_count")
        self.mean.weights = found.part("mean")
        self.state = _State(**(state | {"best": math.inf if state["best"] is None else state["best"]}))
        self.plain_model.load_state_dict(found.part("model"))
        self.best = found.part("best")
        checkpoints.restore_optimiser(self.optimiser.optimizer, found.part("optimiser"))
        if self.average:
            self.average.weights, self.average.steps = found.part("average"), average_steps

    def _load_mean(self) -> None:
        """The mean of the last epochs' weights in place of the best epoch's; its worth goes into the history."""
        self.plain_model.load_state_dict(self.mean.weights)
        last = self.state.history[-1]
        if self.validation is not None and len(self.validation) and "mean_validation_loss" not in last:
            last |= {f"mean_{name}": value for name, value in self._validate(self.validation).items()}
        self.state.best_epoch = self.state.epoch


def fabric(device: str = "auto", precision: str = "float32") -> Fabric:
    """Devices and precision; ``bfloat16`` computes in mixed precision."""
    logging.getLogger("lightning_fabric").setLevel(
        logging.WARNING
    )  # it announces the precision, the run says it already
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", seen="training.device: cuda", allowed="auto, cpu")
    return Fabric(
        accelerator="gpu" if device == "cuda" else device,
        devices=1,
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
    )


def network_of(model: Any, device: torch.device | None = None) -> Network:
    """``model`` as a function of numpy arrays, ready to answer: no dropout, no gradients.

    Args:
        device: where the model is; default: that of its first tensor.
    """
    device = device or next(iter(model.state_dict().values())).device

    @torch.inference_mode()
    def network(arrays: dict[str, Arrays], present: dict[str, np.ndarray]) -> np.ndarray:
        model.eval()
        return model(*to_tensors(arrays, present, device)).float().cpu().numpy()

    return network


def to_tensors(arrays: Any, present: Any, device: torch.device) -> tuple[Any, Any]:
    """Numpy batches as tensors on ``device``."""
    return (
        {m: {name: _tensor(a, device) for name, a in parts.items()} for m, parts in arrays.items()},
        {m: _tensor(p, device) for m, p in present.items()},
    )


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)


def seed_dropout(seed: int, device: torch.device) -> None:
    """``torch.manual_seed`` for the one device that draws. Without a CUDA device in use that function notes the whole
    call stack for later, every time: 0.3 ms of processor time at the depth of a run, of a step of 3.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
