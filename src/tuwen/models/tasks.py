"""Tasks: a fused vector → an answer and its loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, RateTarget, Scale, Target
from tuwen.registry import Share

Weights = Literal["none", "balanced"]


class Task(nn.Module):
    """The head g: one dense layer, wᵀF + b, and the loss that trains it.

    A concrete task takes ``(width, fitted, *, target, options)``: ``target`` is the column of truth, ``fitted`` what
    was learned about it by :meth:`fit`. ``loss`` is the mean over the batch.

    Attributes:
        probabilistic: whether the outputs are scores of probabilities, which a temperature can calibrate.
        temperature: what the scores are divided by; 1 until :meth:`calibrate`.
        replaces_fusion: whether it takes ``widths`` of the modalities and makes the whole ``model(encoders)`` itself.
    """

    replaces_fusion: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True
    temperature: Tensor

    def __init__(self, width: int, fitted: Target) -> None:
        super().__init__()
        self.outputs = fitted.outputs
        self.dense: nn.Module = nn.Linear(width, fitted.outputs)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, fused: Tensor) -> Tensor:  # [batch, width] -> [batch, outputs]
        return self.dense(fused) / self.temperature

    def begin_at(self, answer: float) -> None:
        """Start from the answer that is right on average, so that the first steps are not spent finding it."""
        assert isinstance(self.dense, nn.Linear)
        with torch.no_grad():
            self.dense.bias.fill_(answer)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def row_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(losses, weights), f32 [batch] each: :meth:`loss` is the sum of the losses over the sum of the weights. What
        an ensemble asks for, whose members count in different rows.
        """
        raise NotImplementedError

    def plain_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What answers are worth as they stand, without the weights and the smoothing that training may add: of
        probabilities the log loss, whose smallest value is at the true ones.
        """
        return self.loss(outputs, targets)

    def calibrate(self, outputs: Tensor, targets: Tensor) -> float:
        """Divide all later outputs by the T that makes :meth:`plain_loss` of these unseen ones smallest (Guo et al.,
        2017).

        The order of the answers stays. Returns T.
        """
        found = best_temperature(outputs, targets, self.plain_loss)
        self.temperature.mul_(found)
        return found


def best_temperature(outputs: Tensor, targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The T for which ``loss(outputs / T, targets)`` is smallest, between 1/20 and 20."""
    size = torch.zeros((), requires_grad=True)
    minimise(lambda: loss(outputs / size.exp(), targets), [size])
    return float(size.detach().exp().clamp(0.05, 20.0))


def minimise(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    """Few parameters to where ``loss`` is smallest, by L-BFGS on all rows at once."""
    optimiser = torch.optim.LBFGS(parameters, lr=0.5, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)


class Rate(Task):
    """A number by linear regression; squared error (or Huber's, which forgives outliers).

    ``scale: log`` learns log(1 + y): for prices, counts and other numbers from 0 on that span orders of magnitude.
    """

    probabilistic: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        fitted: RateTarget,
        *,
        target: str,
        loss: Literal["squared", "huber"] = "squared",
        scale: Scale = "linear",
    ) -> None:
        super().__init__(width, fitted)
        self.error = nn.HuberLoss() if loss == "huber" else nn.MSELoss()
        self.begin_at(fitted.mean)

    @staticmethod
    def fit(values: pl.Series, options: dict[str, Any]) -> RateTarget:
        return RateTarget.fit(values, options.get("scale", "linear"))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:  # f32 [batch, 1], f32 [batch]
        return self.error(outputs.squeeze(1), targets)

    def row_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        error = functional.huber_loss if isinstance(self.error, nn.HuberLoss) else functional.mse_loss
        losses = error(outputs.squeeze(1), targets, reduction="none")
        return losses, torch.ones_like(losses)


class Binary(Task):
    """Yes or no: sigmoid and log loss. Yes is ``at_least`` a number, or ``equals`` a value."""

    def __init__(
        self,
        width: int,
        fitted: BinaryTarget,
        *,
        target: str,
        at_least: float | None = None,
        equals: str | None = None,
        class_weights: Weights = "none",
    ) -> None:
        super().__init__(width, fitted)
        self.balanced, self.mean = class_weights == "balanced", fitted.mean
        self.begin_at(0.0 if self.balanced else math.log(fitted.mean / (1 - fitted.mean)))

    @staticmethod
    def fit(values: pl.Series, options: dict[str, Any]) -> BinaryTarget:
        return BinaryTarget.fit(values, options["at_least"], options["equals"])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:  # f32 [batch, 1], f32 [batch]
        if not self.balanced:
            return self.plain_loss(outputs, targets)
        losses, _ = self.row_losses(outputs, targets)
        return losses.mean()

    def row_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = functional.binary_cross_entropy_with_logits(outputs.squeeze(1), targets, reduction="none")
        if self.balanced:
            losses = losses * torch.where(targets > 0.5, 0.5 / self.mean, 0.5 / (1 - self.mean))
        return losses, torch.ones_like(losses)

    def plain_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(outputs.squeeze(1), targets)


class Classify(Task):
    """One of several classes: softmax and cross-entropy."""

    def __init__(
        self,
        width: int,
        fitted: ClassifyTarget,
        *,
        target: str,
        class_weights: Weights = "none",
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__(width, fitted)
        counts = torch.tensor(fitted.counts, dtype=torch.float32)
        weights = counts.sum() / (len(counts) * counts) if class_weights == "balanced" else None
        self.error = nn.CrossEntropyLoss(weights, label_smoothing=label_smoothing, ignore_index=-1)

    @staticmethod
    def fit(values: pl.Series, options: dict[str, Any]) -> ClassifyTarget:
        return ClassifyTarget.fit(values)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:  # f32 [batch, classes], int64 [batch]
        return self.error(outputs, targets)

    def row_losses(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        error = self.error
        losses = functional.cross_entropy(
            outputs, targets, error.weight, ignore_index=-1, reduction="none", label_smoothing=error.label_smoothing
        )
        known = targets >= 0
        weights = known.to(losses.dtype) if error.weight is None else error.weight[targets.clamp(min=0)] * known
        return losses, weights

    def plain_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, ignore_index=-1)
