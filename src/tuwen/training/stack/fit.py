"""A stack from prepared rows: members fitted out of fold and on all rows, and combined for what may be absent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from tuwen.models.stack.members import KINDS, Networks
from tuwen.models.stack.stack import Stack
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.training.batches import Examples
from tuwen.training.out_of_fold import pieces
from tuwen.training.stack.assembly import account_of, assemble
from tuwen.training.stack.blocks import blocks_of, compact_map
from tuwen.training.stack.combination import Fitted, combine_patterns
from tuwen.training.stack.drift import drift_of
from tuwen.training.stack.linear import Kind, Truth
from tuwen.training.stack.networks import fit_networks
from tuwen.training.stack.rows import LinearMember, Member, Rows
from tuwen.training.stack.search import fit_member
from tuwen.training.stack.trees import MOST_OUTPUTS, Boosted, fit_trees

MOST_PATTERNS = 64
MOST_PAIRS = 10
MANY_ROWS = 10_000  # from here on three folds tell as much as five
MANY_OUTPUTS = 30  # from here on linear members of pairs cost more than they bring


@dataclass(frozen=True)
class Settings:
    """How a stack is fitted: the options of :class:`tuwen.models.auto.Auto`."""

    members: Literal["all", "linear"] = "all"
    folds: int = 5
    width: int = 64
    dropout: float = 0.3


@dataclass(frozen=True)
class Fit:
    """A fitted stack.

    Attributes:
        account: ``members`` (name, modalities, loss out of fold, weight, seconds), ``worth`` of each modality,
            ``single``, ``loss``, ``folds``, ``rows``, ``drift``: what its report tells.
    """

    stack: Stack
    account: dict[str, Any]
    seconds: float


def fit_stack(
    examples: Examples,
    specs: Mapping[str, ArraySpec],
    kind: Kind,
    outputs: int,
    *,
    groups: np.ndarray,
    weights: np.ndarray | None = None,
    times: np.ndarray | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    progress: Progress,
) -> Fit:
    """Fit members and combination on all rows of ``examples``.

    Args:
        specs: arrays of each modality.
        kind: of the task.
        outputs: of the task.
        groups: int [rows]; rows of one group stay on one side of every fold.
        weights: f64 [rows] of the loss; default: all alike.
        times: f64 [rows], where later rows are what answers are for: a level that has clearly moved is corrected.
    """
    began, settings = time.perf_counter(), settings or Settings()
    rows = _rows(examples, specs, kind, outputs, groups, weights, settings, seed)
    _fit_linear(rows, progress)
    maps = {name: compact_map(block, np.arange(rows.count), seed) for name, block in rows.blocks.items()}
    # linear members alone read a single vector or bag
    bent = settings.members == "all" and (len(rows.blocks) > 1 or bool(rows.tables))
    networks = _fit_networks(rows, maps, settings, progress) if bent else []
    boosted = _fit_trees(rows, maps, progress) if bent else None
    fitted = _combine(rows, maps, networks, boosted, progress)
    drift = None if times is None else drift_of(fitted.combinations[0].answers, rows.truth, times)
    stack = assemble(rows, maps, networks, boosted, fitted, 0.0 if drift is None else drift.shift)
    return Fit(stack, account_of(rows, fitted, drift), time.perf_counter() - began)


def linear_subsets(names: list[str], outputs: int = 1) -> list[list[str]]:
    """Which modalities the linear members read: each, every pair, all."""
    pairs = [list(pair) for pair in combinations(names, 2)]
    singles = [[name] for name in names]
    subsets = singles + (pairs if len(pairs) <= MOST_PAIRS and outputs < MANY_OUTPUTS else [])
    return subsets if names in subsets else [*subsets, names]


def patterns_of(names: list[str]) -> list[list[str]]:
    """What may be there: all, then fewer; with many modalities only all, all but one, and each alone."""
    patterns = [list(some) for size in range(len(names), 0, -1) for some in combinations(names, size)]
    if len(patterns) > MOST_PATTERNS:
        patterns = [pattern for pattern in patterns if len(pattern) in (1, len(names) - 1, len(names))]
    return patterns[:MOST_PATTERNS]


def _rows(
    examples: Examples,
    specs: Mapping[str, ArraySpec],
    kind: Kind,
    outputs: int,
    groups: np.ndarray,
    weights: np.ndarray | None,
    settings: Settings,
    seed: int,
) -> Rows:
    count = len(examples)
    values, centre, spread = examples.targets.astype(np.float64), 0.0, 1.0
    if kind == "rate":
        centre, spread = float(values.mean()), float(values.std()) or 1.0
        values = (values - centre) / spread
    elif kind == "classify":
        values = examples.targets.astype(np.int64)
    weights = np.ones(count) if weights is None else weights / weights.mean()
    folds = min(settings.folds, 3) if count >= MANY_ROWS else settings.folds
    cut = pieces(groups, max(min(folds, len(np.unique(groups))), 2), seed)
    blocks = blocks_of(examples, specs, np.arange(count))
    return Rows(blocks, Truth(kind, values, outputs, weights), cut, centre, spread, seed)


def _fit_linear(rows: Rows, progress: Progress) -> None:
    subsets = linear_subsets(list(rows.blocks), rows.truth.outputs)
    penalties: dict[str, float] = {}
    with progress.task("linear members", len(subsets)) as bar:
        for modalities in subsets:
            began = time.perf_counter()
            folds, whole, chosen = fit_member(rows, modalities, penalties)
            if len(modalities) == 1:
                penalties[modalities[0]] = chosen[0]
            rows.linear.append(LinearMember(modalities, folds, whole))
            name, cost = f"linear({' + '.join(modalities)})", 10 * len(modalities)
            rows.members.append(Member(name, modalities, cost, seconds=time.perf_counter() - began))
            bar.advance(1)


def _fit_networks(rows: Rows, maps: Mapping[str, np.ndarray], settings: Settings, progress: Progress) -> list[Networks]:
    compact, names = list(rows.compact(maps).values()), list(rows.blocks)
    networks = []
    for kind in KINDS if len(names) > 1 else KINDS[:1]:
        began = time.perf_counter()
        with progress.task(f"network {kind}", None) as bar:
            network = fit_networks(
                kind,
                compact,
                rows.truth,
                rows.folds,
                hidden=settings.width,
                dropout=settings.dropout,
                seed=rows.seed,
                advance=bar.advance,
            )
        networks.append(network)
        seconds = time.perf_counter() - began
        rows.members.append(Member(f"network({kind})", names, 10 * len(names) + 5, seconds=seconds))
    return networks


def _fit_trees(rows: Rows, maps: Mapping[str, np.ndarray], progress: Progress) -> Boosted | None:
    if rows.truth.outputs > MOST_OUTPUTS:
        return None
    began = time.perf_counter()
    linear = [rows.linear_answers(member) for member in rows.linear]
    with progress.task("trees", None):
        try:
            boosted = fit_trees(rows.tree_features(linear, rows.compact(maps)), rows.truth, rows.folds, rows.seed)
        except (ImportError, OSError):  # without LightGBM, or the libgomp that it needs, the others do alone
            return None
    names = list(rows.blocks)
    rows.members.append(Member("trees", names, 10 * len(names) + 8, seconds=time.perf_counter() - began))
    return boosted


def _combine(
    rows: Rows,
    maps: Mapping[str, np.ndarray],
    networks: list[Networks],
    boosted: Boosted | None,
    progress: Progress,
) -> Fitted:
    patterns = patterns_of(list(rows.blocks))
    with progress.task("combination", len(patterns)) as bar:
        return combine_patterns(rows, maps, networks, boosted, patterns, bar.advance)
