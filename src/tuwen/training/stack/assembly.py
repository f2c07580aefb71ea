"""Fitted members and weights as one :class:`tuwen.models.stack.stack.Stack`, without what no pattern uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tuwen.models.stack.members import Networks, Trees
from tuwen.models.stack.projection import Projection
from tuwen.models.stack.stack import Plan, Stack
from tuwen.training.stack.combination import Fitted
from tuwen.training.stack.drift import Drift
from tuwen.training.stack.linear import Truth
from tuwen.training.stack.rows import Rows
from tuwen.training.stack.trees import Boosted, as_matrices


def assemble(
    rows: Rows,
    maps: Mapping[str, np.ndarray],
    networks: list[Networks],
    boosted: Boosted | None,
    fitted: Fitted,
    shift: float = 0.0,
) -> Stack:
    """The stack of the members that some pattern uses.

    Args:
        maps: to the compact features of each modality.
        boosted: the trees, the last member; None where there are none.
        shift: added to every answer.
    """
    used = np.any([one.weights > 0 for one in fitted.combinations], axis=0)
    linear, rest = used[: len(rows.linear)].copy(), used[len(rows.linear) :]
    used_networks = [network for network, use in zip(networks, rest, strict=False) if use]
    used_trees = boosted if boosted is not None and used[-1] else None
    if used_trees:
        linear[rows.singles] = True  # trees read their scores
    positions = np.flatnonzero(linear).tolist()
    members = [*positions, *(len(rows.linear) + i for i in range(len(networks)) if rest[i])]
    members += [len(rows.members) - 1] if used_trees else []
    trees = as_matrices(used_trees, rows.tree_width(maps)) if used_trees else None
    plan = _plan(rows, maps, positions, used_networks, trees, fitted)
    stack = Stack(plan, {name: block.spec for name, block in rows.blocks.items()})
    with torch.no_grad():
        _write_linear(stack, rows, positions, maps)
        for target, network in zip(stack.networks, used_networks, strict=True):
            target.load_state_dict(network.state_dict())
        if trees is not None:
            assert stack.trees is not None
            stack.trees.load_state_dict(trees.state_dict())
        _write_combination(stack, rows, fitted, members, shift)
    return stack.eval()


def _plan(
    rows: Rows,
    maps: Mapping[str, np.ndarray],
    positions: list[int],
    networks: list[Networks],
    trees: Trees | None,
    fitted: Fitted,
) -> Plan:
    tables = rows.tables if trees else []
    compact = {name: maps[name].shape[1] for name in rows.blocks if networks or name in tables}
    reads: dict[str, Any] = {}
    if trees:
        count, splits = trees.get_buffer("feature").shape
        scores = [positions.index(i) for i in rows.singles]
        reads = {"trees": count, "splits": splits, "scores": scores, "tables": tables}
    return Plan(
        rows.truth.outputs,
        rows.truth.kind != "rate",
        [rows.linear[i].modalities for i in positions],
        compact,
        [{"kind": n.kind, "copies": n.copies, "hidden": n.hidden} for n in networks],
        reads,
        fitted.patterns,
    )


def _write_linear(stack: Stack, rows: Rows, positions: list[int], maps: Mapping[str, np.ndarray]) -> None:
    outputs, starts = rows.truth.outputs, dict.fromkeys(rows.blocks, 0)
    for row, i in enumerate(positions):
        member = rows.linear[i]
        stack.get_buffer("bias")[row] = torch.from_numpy(member.whole.bias.astype(np.float32))
        for name, weight in zip(member.modalities, member.whole.weights, strict=True):
            columns = slice(starts[name], starts[name] + outputs)
            rows.blocks[name].load(_projection(stack, name), weight, columns)
            starts[name] += outputs
    for name in stack.plan.compact:
        projection = _projection(stack, name)
        rows.blocks[name].load(projection, maps[name], slice(starts[name], projection.width))


def _projection(stack: Stack, name: str) -> Projection:
    projection = stack.projections[name]
    assert isinstance(projection, Projection)
    return projection


def _write_combination(stack: Stack, rows: Rows, fitted: Fitted, members: list[int], shift: float) -> None:
    """Weights, temperatures and the answer where nothing is there; numbers in units of the target."""
    stack.get_buffer("temperature").copy_(torch.from_numpy(fitted.temperatures[members].astype(np.float32)))
    weights = np.stack([one.weights[members] for one in fitted.combinations]).astype(np.float32)
    stack.get_buffer("weight").copy_(torch.from_numpy(weights))
    sharpness = torch.tensor([one.sharpness for one in fitted.combinations])
    stack.get_buffer("sharpness").copy_(sharpness * rows.spread)
    stack.get_buffer("shift").fill_(rows.centre + shift * rows.spread)
    stack.get_buffer("prior").copy_(torch.from_numpy(_prior(rows.truth) + np.float32(rows.centre)))


def _prior(truth: Truth) -> np.ndarray:
    """What is right on average: 0 of a standardised number, else logarithms of odds or shares; f32 [outputs]."""
    if truth.kind == "rate":
        return np.zeros(1, np.float32)
    if truth.kind == "binary":
        share = float(np.clip(np.average(truth.values, weights=truth.weights), 1e-6, 1 - 1e-6))
        return np.array([np.log(share / (1 - share))], np.float32)
    shares = np.bincount(truth.values, weights=truth.weights, minlength=truth.outputs) + 1e-6
    return np.log(shares / shares.sum()).astype(np.float32)


def account_of(rows: Rows, fitted: Fitted, drift: Drift | None = None) -> dict[str, Any]:
    """What the bundle and the report tell of the members: see :class:`tuwen.training.stack.fit.Fit`.

    Losses are squared errors in units of the target, or log losses.
    """
    whole, unit = fitted.combinations[0], rows.spread**2
    members = [
        {
            "name": member.name,
            "modalities": member.modalities,
            "loss": member.loss * unit,
            "weight": float(whole.weights[m]),
            "seconds": round(member.seconds, 2),
        }
        for m, member in enumerate(rows.members)
    ]
    return {
        "members": members,
        "loss": float(whole.losses.mean()) * unit,
        "single": whole.single,
        "worth": {name: _worth(rows, fitted, name) for name in rows.blocks if len(rows.blocks) > 1},
        "folds": rows.fold_count,
        "rows": rows.count,
        "drift": None if drift is None else _in_units(drift, rows).plain(),
    }


def _in_units(drift: Drift, rows: Rows) -> Drift:
    """Of numbers in units of the target."""
    unit = rows.spread
    return Drift(drift.level * unit, drift.error * unit, drift.shift * unit, drift.rows)


def _worth(rows: Rows, fitted: Fitted, name: str) -> dict[str, float]:
    """How much larger the loss is without a modality, and the standard error of that."""
    rest = [other for other in rows.blocks if other != name]
    more = fitted.combinations[fitted.patterns.index(rest)].losses - fitted.combinations[0].losses
    unit = rows.spread**2
    return {"loss": float(more.mean()) * unit, "error": float(more.std() / np.sqrt(len(more))) * unit}
