"""Small networks of a stack: as many copies as folds, each blind to one fold, trained as one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tuwen.models.stack.members import Networks
from tuwen.training.stack.linear import Truth

EPOCHS = 40
FEWER_EPOCHS = 15  # of many rows, where an epoch has as many steps as several of few
MANY_ROWS = 10_000
PATIENCE = 3


def fit_networks(
    kind: str,
    compact: list[np.ndarray],
    truth: Truth,
    folds: np.ndarray,
    *,
    hidden: int,
    dropout: float,
    seed: int,
    advance: Callable[[int], None],
) -> Networks:
    """Train one copy for each fold on the rows of the others; keep the epoch that is best out of fold.

    Args:
        compact: features of each modality, f32 [rows, width].
        folds: int [rows]; the copy of that number does not learn from the row.
        advance: called after each epoch.
    """
    torch.manual_seed(seed)
    copies = int(folds.max()) + 1
    network = Networks(kind, [x.shape[1] for x in compact], copies, hidden, truth.outputs, dropout=dropout)
    inputs = [torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in compact]
    values = torch.from_numpy(truth.values.astype(np.int64 if truth.kind == "classify" else np.float32))
    weights = torch.from_numpy(truth.weights.astype(np.float32))
    fold, rows = torch.from_numpy(folds.astype(np.int64)), len(folds)
    batch, epochs = (64, EPOCHS) if rows < MANY_ROWS else (512, FEWER_EPOCHS)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    best, state, since = np.inf, network.state_dict(), 0
    for _ in range(epochs):
        network.train()
        for chosen in torch.randperm(rows).split(batch):
            answers = network.answers([x[chosen] for x in inputs])
            learns = (fold[chosen].unsqueeze(1) != torch.arange(copies)).float() * weights[chosen].unsqueeze(1)
            losses = _losses(truth.kind, answers, values[chosen])
            loss = (losses * learns).sum() / learns.sum().clamp(min=1e-9) * copies
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        advance(1)
        loss_now = float((truth.losses(out_of_fold(network, inputs, fold)) * truth.weights).mean())
        if loss_now < best - 1e-6:
            best, since = loss_now, 0
            state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        elif (since := since + 1) >= PATIENCE:
            break
    network.load_state_dict(state)
    return network.eval()


@torch.inference_mode()
def out_of_fold(network: Networks, inputs: list[Tensor], fold: Tensor) -> np.ndarray:
    """f32 [rows, outputs], each row by the copy that did not learn from it, in units of the standardised target."""
    network.eval()
    parts = [
        network.answers([x[chosen] for x in inputs])[torch.arange(len(chosen)), fold[chosen]]
        for chosen in torch.arange(len(fold)).split(4096)
    ]
    return np.asarray(torch.cat(parts).numpy())


def _losses(kind: str, answers: Tensor, values: Tensor) -> Tensor:
    """f32 [batch, copies]."""
    copies = answers.shape[1]
    wide = values.unsqueeze(1).expand(-1, copies)
    if kind == "rate":
        return (answers[..., 0] - wide) ** 2
    if kind == "binary":
        return torch.nn.functional.binary_cross_entropy_with_logits(answers[..., 0], wide, reduction="none")
    flat = torch.nn.functional.cross_entropy(answers.flatten(0, 1), wide.flatten(), reduction="none")
    return flat.view(-1, copies)
