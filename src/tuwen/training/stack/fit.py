"""A stack from prepared rows: members fitted out of fold and on all rows, and combined for what may be absent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch

from tuwen.models.stack.members import KINDS, Networks
from tuwen.models.stack.stack import Plan, Stack
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.training.batches import Examples
from tuwen.training.out_of_fold import pieces
from tuwen.training.stack.blocks import Block, blocks_of, compact_map
from tuwen.training.stack.combination import Combination, calibrated, combine
from tuwen.training.stack.linear import FACTORS, PENALTIES, Kind, Linear, Truth, fit_linear
from tuwen.training.stack.networks import fit_networks, out_of_fold
from tuwen.training.stack.trees import MOST_OUTPUTS, Boosted, as_matrices, fit_trees

MOST_PATTERNS = 64
MOST_PAIRS = 10
HELD_ROWS = 2000  # out of fold, on which a penalty is chosen


@dataclass(frozen=True)
class Settings:
    """How a stack is fitted."""

    folds: int = 5
    hidden: int = 64
    networks: bool = True
    trees: bool = True


@dataclass
class Member:
    """One member while it is fitted.

    Attributes:
        modalities: that it reads.
        cost: the smaller, the simpler: one modality before several, linear before bent.
        loss, seconds: out of fold; to fit.
    """

    name: str
    modalities: list[str]
    cost: int
    loss: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Fit:
    """The stack, and what its report tells.

    Attributes:
        account: ``members`` (name, modalities, loss out of fold, weight, seconds), ``worth`` of each modality,
            ``single``, ``loss``, ``folds``, ``rows``.
    """

    stack: Stack
    account: dict[str, Any]
    seconds: float


@dataclass
class _Bench:
    """What the steps of a fit share."""

    blocks: dict[str, Block]
    truth: Truth
    folds: np.ndarray
    centre: float
    spread: float
    seed: int
    linear: list[tuple[list[str], list[Linear], Linear]] = field(default_factory=list)
    penalties: dict[str, float] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.folds)

    @property
    def count(self) -> int:
        return int(self.folds.max()) + 1

    def matrices(self, modalities: Sequence[str], rows: np.ndarray | None = None) -> list[Any]:
        matrices = [self.blocks[name].matrix for name in modalities]
        return matrices if rows is None else [matrix[rows] for matrix in matrices]


def fit_stack(
    examples: Examples,
    specs: Mapping[str, ArraySpec],
    kind: Kind,
    outputs: int,
    *,
    groups: np.ndarray,
    weights: np.ndarray | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    progress: Progress,
) -> Fit:
    """Fit members and combination on all rows of ``examples``.

    Args:
        kind: of the task; ``outputs``: of it.
        groups: int [rows]; rows of one group stay on one side of every fold.
        weights: f64 [rows] of the loss; default: all alike.
    """
    began, settings = time.perf_counter(), settings or Settings()
    bench = _bench(examples, specs, kind, outputs, groups, weights, settings.folds, seed)
    subsets = linear_subsets(list(bench.blocks))
    with progress.task("linear members", len(subsets)) as bar:
        for modalities in subsets:
            _fit_linear(bench, modalities)
            bar.advance(1)
    several = len(bench.blocks) > 1 or any(block.spec.kind == "table" for block in bench.blocks.values())
    maps = {name: compact_map(block, np.arange(bench.rows), seed) for name, block in bench.blocks.items()}
    networks = _fit_networks(bench, maps, settings, progress) if settings.networks and several else []
    boosted = _fit_trees(bench, maps, progress) if settings.trees and several else None
    answers = _Answers(bench, maps, networks, boosted)
    combinations_ = _combine(bench, answers, patterns_of(list(bench.blocks)), progress)
    stack, account = _assemble(bench, maps, networks, boosted, combinations_)
    return Fit(stack, account, time.perf_counter() - began)


def _bench(
    examples: Examples,
    specs: Mapping[str, ArraySpec],
    kind: Kind,
    outputs: int,
    groups: np.ndarray,
    weights: np.ndarray | None,
    folds: int,
    seed: int,
) -> _Bench:
    rows = len(examples)
    values, centre, spread = examples.targets.astype(np.float64), 0.0, 1.0
    if kind == "rate":
        centre, spread = float(values.mean()), float(values.std()) or 1.0
        values = (values - centre) / spread
    elif kind == "classify":
        values = examples.targets.astype(np.int64)
    weights = np.ones(rows) if weights is None else weights / weights.mean()
    cut = pieces(groups, min(folds, len(np.unique(groups))), seed)
    blocks = blocks_of(examples, specs, np.arange(rows))
    return _Bench(blocks, Truth(kind, values, outputs, weights), cut, centre, spread, seed)


def linear_subsets(names: list[str]) -> list[list[str]]:
    """Which modalities the linear members read: each, every pair, all."""
    pairs = [list(pair) for pair in combinations(names, 2)]
    found = [[name] for name in names] + (pairs if len(pairs) <= MOST_PAIRS else [])
    return found if names in found else [*found, names]


def patterns_of(names: list[str]) -> list[list[str]]:
    """What may be there: all, then fewer; with many modalities only all, all but one, and each alone."""
    found = [list(c) for size in range(len(names), 0, -1) for c in combinations(names, size)]
    if len(found) > MOST_PATTERNS:
        found = [p for p in found if len(p) in (1, len(names) - 1, len(names))]
    return found[:MOST_PATTERNS]


def _fit_linear(bench: _Bench, modalities: list[str]) -> None:
    began = time.perf_counter()
    grid: Sequence[float] = PENALTIES if len(modalities) == 1 else FACTORS
    bases = [bench.penalties.get(name, 1.0) for name in modalities]
    held = -(-HELD_ROWS * bench.count // max(bench.rows, 1))
    tried = range(min(max(held, 1), bench.count))
    fits: dict[int, list[Linear]] = {}
    losses: list[float] = []
    starts: dict[int, Linear] = {}
    for i, factor in enumerate(grid):
        total = 0.0
        for k in tried:
            rest, rows = np.flatnonzero(bench.folds != k), np.flatnonzero(bench.folds == k)
            starts[k] = fit_linear(
                bench.matrices(modalities, rest), bench.truth.take(rest), [b * factor for b in bases], starts.get(k)
            )
            truth = bench.truth.take(rows)
            total += float((truth.losses(starts[k].scores(bench.matrices(modalities, rows))) * truth.weights).sum())
        losses.append(total)
        fits[i] = [starts[k] for k in tried]
        if losses[-1] > min(losses) * 1.01:
            break
    best = int(np.argmin(losses))
    penalties = [base * grid[best] for base in bases]
    if len(modalities) == 1:
        bench.penalties[modalities[0]] = penalties[0]
    folds = fits[best]
    for k in range(len(folds), bench.count):
        rest = np.flatnonzero(bench.folds != k)
        folds.append(fit_linear(bench.matrices(modalities, rest), bench.truth.take(rest), penalties, folds[0]))
    whole = fit_linear(bench.matrices(modalities), bench.truth, penalties, folds[0])
    bench.linear.append((modalities, folds, whole))
    name = f"linear({' + '.join(modalities)})"
    bench.members.append(Member(name, modalities, 10 * len(modalities), seconds=time.perf_counter() - began))


def _fit_networks(
    bench: _Bench, maps: Mapping[str, np.ndarray], settings: Settings, progress: Progress
) -> list[Networks]:
    compact = [np.asarray(block.matrix @ maps[name], np.float32) for name, block in bench.blocks.items()]
    found = []
    kinds = KINDS if len(compact) > 1 else KINDS[:1]
    for kind in kinds:
        began = time.perf_counter()
        with progress.task(f"network {kind}", None) as bar:
            found.append(
                fit_networks(
                    kind, compact, bench.truth, bench.folds, hidden=settings.hidden, seed=bench.seed, advance=bar.advance
                )
            )
        names = list(bench.blocks)
        bench.members.append(
            Member(f"network({kind})", names, 10 * len(names) + 5, seconds=time.perf_counter() - began)
        )
    return found


def _fit_trees(bench: _Bench, maps: Mapping[str, np.ndarray], progress: Progress) -> Boosted | None:
    if bench.truth.outputs > MOST_OUTPUTS:
        return None
    began = time.perf_counter()
    scores = [_linear_answers(bench, i, None) for i in _singles(bench)]
    tables = [np.asarray(bench.blocks[name].matrix @ maps[name], np.float32) for name in _tables(bench)]
    with progress.task("trees", None):
        try:
            boosted = fit_trees(np.concatenate([*scores, *tables], axis=1), bench.truth, bench.folds, bench.seed)
        except (ImportError, OSError):  # LightGBM is not installed, or libgomp: the others do without
            return None
    names = list(bench.blocks)
    bench.members.append(Member("trees", names, 10 * len(names) + 8, seconds=time.perf_counter() - began))
    return boosted


def _singles(bench: _Bench) -> list[int]:
    return [i for i, (modalities, _, _) in enumerate(bench.linear) if len(modalities) == 1]


def _tables(bench: _Bench) -> list[str]:
    return [name for name, block in bench.blocks.items() if block.spec.kind == "table"]


def _linear_answers(bench: _Bench, i: int, pattern: Sequence[str] | None) -> np.ndarray:
    """Out of fold, f32 [rows, outputs], with the modalities outside the pattern absent."""
    modalities, folds, _ = bench.linear[i]
    answers = np.zeros((bench.rows, bench.truth.outputs), np.float32)
    for k, linear in enumerate(folds):
        rows = np.flatnonzero(bench.folds == k)
        some = [j for j, name in enumerate(modalities) if pattern is None or name in pattern]
        part = Linear([linear.weights[j] for j in some], linear.bias)
        matrices = bench.matrices([modalities[j] for j in some], rows)
        answers[rows] = part.scores(matrices) if some else linear.bias
    return answers


@dataclass
class _Answers:
    """Answers out of fold of every member, for any pattern."""

    bench: _Bench
    maps: Mapping[str, np.ndarray]
    networks: list[Networks]
    boosted: Boosted | None

    def of(self, pattern: Sequence[str]) -> np.ndarray:
        """f32 [rows, members, outputs]."""
        bench = self.bench
        linear = [_linear_answers(bench, i, pattern) for i in range(len(bench.linear))]
        compact = {}
        for name, block in bench.blocks.items():
            known = np.asarray(block.matrix @ self.maps[name], np.float32)
            compact[name] = known if name in pattern else np.zeros_like(known)
        answers = list(linear)
        fold = torch.from_numpy(bench.folds.astype(np.int64))
        inputs = [torch.from_numpy(x) for x in compact.values()]
        answers += [out_of_fold(network, inputs, fold) for network in self.networks]
        if self.boosted is not None:
            scores = [linear[i] for i in _singles(bench)]
            features = np.concatenate([*scores, *(compact[name] for name in _tables(bench))], axis=1)
            answers.append(self.boosted.out_of_fold(features, bench.folds))
        return np.stack(answers, axis=1)


@dataclass(frozen=True)
class _Fitted:
    patterns: list[list[str]]
    combinations: list[Combination]
    temperatures: np.ndarray


def _combine(bench: _Bench, answers: _Answers, patterns: list[list[str]], progress: Progress) -> _Fitted:
    costs = np.array([member.cost for member in bench.members])
    found: list[Combination] = []
    temperatures = np.ones(len(bench.members))
    with progress.task("combination", len(patterns)) as bar:
        for pattern in patterns:
            raw = answers.of(pattern)
            if not found:
                for m, member in enumerate(bench.members):
                    scaled, temperatures[m] = calibrated(raw[:, m], bench.truth)
                    member.loss = float((bench.truth.losses(scaled) * bench.truth.weights).mean())
            scaled = np.stack([_scaled(raw[:, m], temperatures[m], bench.truth) for m in range(raw.shape[1])], axis=1)
            found.append(combine(scaled, bench.truth, costs))
            bar.advance(1)
    return _Fitted(patterns, found, temperatures)


def _scaled(answers: np.ndarray, temperature: float, truth: Truth) -> np.ndarray:
    from tuwen.training.stack.linear import log_softmax

    scaled = answers / np.float32(temperature)
    return log_softmax(scaled).astype(np.float32) if truth.kind == "classify" else scaled


def _assemble(
    bench: _Bench,
    maps: Mapping[str, np.ndarray],
    networks: list[Networks],
    boosted: Boosted | None,
    fitted: _Fitted,
) -> tuple[Stack, dict[str, Any]]:
    """The stack of the members that some pattern uses."""
    used = np.any([c.weights > 0 for c in fitted.combinations], axis=0)
    linear_used = used[: len(bench.linear)].copy()
    networks_used = used[len(bench.linear) : len(bench.linear) + len(networks)]
    trees_used = boosted is not None and bool(used[-1])
    if trees_used:
        linear_used[_singles(bench)] = True
    kept = [i for i in range(len(bench.linear)) if linear_used[i]]
    left = [n for n, use in zip(networks, networks_used, strict=True) if use]
    tables = _tables(bench) if trees_used else []
    compact = {name: maps[name].shape[1] for name in bench.blocks if left or name in tables}
    trees: dict[str, Any] = {}
    matrices = None
    if trees_used:
        assert boosted is not None
        scores = [kept.index(i) for i in _singles(bench)]
        read = len(scores) * bench.truth.outputs + sum(compact[name] for name in tables)
        matrices = as_matrices(boosted, read)
        count, splits = matrices.get_buffer("feature").shape
        trees = {"trees": count, "splits": splits, "scores": scores, "tables": tables, "features": read}
    plan = Plan(
        bench.truth.outputs,
        bench.truth.kind != "rate",
        [bench.linear[i][0] for i in kept],
        compact,
        [{"kind": n.kind, "copies": n.copies, "hidden": n.hidden} for n in left],
        trees,
        fitted.patterns,
    )
    stack = Stack(plan, {name: block.spec for name, block in bench.blocks.items()})
    positions = [*kept, *(len(bench.linear) + i for i in range(len(networks)) if networks_used[i])]
    positions += [len(bench.members) - 1] if trees_used else []
    with torch.no_grad():
        _write_linear(stack, bench, kept, maps)
        for target, source in zip(stack.networks, left, strict=True):
            target.load_state_dict(source.state_dict())
        if matrices is not None:
            assert stack.trees is not None
            stack.trees.load_state_dict(matrices.state_dict())
        stack.get_buffer("temperature").copy_(torch.from_numpy(fitted.temperatures[positions].astype(np.float32)))
        weights = np.stack([c.weights[positions] for c in fitted.combinations]).astype(np.float32)
        stack.get_buffer("weight").copy_(torch.from_numpy(weights))
        stack.get_buffer("sharpness").copy_(torch.tensor([c.sharpness for c in fitted.combinations]))
        stack.get_buffer("prior").copy_(torch.from_numpy(_prior(bench.truth)))
        _to_units(stack, bench)
    return stack.eval(), _account(bench, fitted)


def _write_linear(stack: Stack, bench: _Bench, kept: list[int], maps: Mapping[str, np.ndarray]) -> None:
    outputs = bench.truth.outputs
    nth = dict.fromkeys(bench.blocks, 0)
    for position, i in enumerate(kept):
        modalities, _, whole = bench.linear[i]
        stack.get_buffer("bias")[position] = torch.from_numpy(whole.bias.astype(np.float32))
        for name, weight in zip(modalities, whole.weights, strict=True):
            start = nth[name] * outputs
            bench.blocks[name].load(stack.projections[name], weight, slice(start, start + outputs))  # type: ignore[arg-type]
            nth[name] += 1
    for name in stack.plan.compact:
        projection = stack.projections[name]
        start = nth[name] * outputs
        bench.blocks[name].load(projection, maps[name], slice(start, projection.width))  # type: ignore[arg-type]


def _to_units(stack: Stack, bench: _Bench) -> None:
    """Answers of numbers in units of the target: all members learned it standardised."""
    if bench.truth.kind == "rate":
        stack.get_buffer("sharpness").mul_(bench.spread)
        stack.get_buffer("shift").fill_(bench.centre)
        stack.get_buffer("prior").fill_(bench.centre)


def _prior(truth: Truth) -> np.ndarray:
    """What is right on average: 0 of a standardised number, else logarithms of odds or shares."""
    if truth.kind == "rate":
        return np.zeros(1, np.float32)
    if truth.kind == "binary":
        share = float(np.clip(np.average(truth.values, weights=truth.weights), 1e-6, 1 - 1e-6))
        return np.array([np.log(share / (1 - share))], np.float32)
    shares = np.bincount(truth.values, weights=truth.weights, minlength=truth.outputs) + 1e-6
    return np.log(shares / shares.sum()).astype(np.float32)


def _account(bench: _Bench, fitted: _Fitted) -> dict[str, Any]:
    whole, unit = fitted.combinations[0], bench.spread**2
    worth: dict[str, Any] = {}
    for name in bench.blocks:
        rest = [other for other in bench.blocks if other != name]
        if rest in fitted.patterns:
            more = fitted.combinations[fitted.patterns.index(rest)].losses - whole.losses
            error = float(more.std() / np.sqrt(len(more)))
            worth[name] = {"loss": float(more.mean()) * unit, "error": error * unit}
    return {
        "members": [
            {
                "name": member.name,
                "modalities": member.modalities,
                "loss": member.loss * unit,
                "weight": float(whole.weights[m]),
                "seconds": round(member.seconds, 2),
            }
            for m, member in enumerate(bench.members)
        ],
        "loss": float(whole.losses.mean()) * unit,
        "single": whole.single,
        "worth": worth,
        "folds": bench.count,
        "rows": bench.rows,
    }
