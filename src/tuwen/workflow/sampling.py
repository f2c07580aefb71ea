"""A generator judged on rows it did not see: which are held back, how good its vectors are, how far to trust it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tuwen.evaluation import samples
from tuwen.models.generator import Generator, Impute
from tuwen.training.adversarial import made_vectors, presence, usable
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput, Input

SPREAD = 50  # distinct values of an input that are enough to hold some of them back
FEW_OF_A_CLASS = 5  # rows; of a smaller class the generator sees every one


def held_back(generator: Generator, vectors: Examples, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows the generator sees, rows it is judged on).

    Rows that share a picture or a text stay on one side, by the input that repeats most.
    """
    rows = usable(generator, vectors)
    repeats = [index for source in vectors.inputs.values() if len(np.unique(index := _index(source)[rows])) >= SPREAD]
    of = min(repeats, key=lambda index: len(np.unique(index)), default=np.arange(len(rows)))
    distinct, place = np.unique(of, return_inverse=True)
    side = np.random.default_rng(seed).random(len(distinct)) < share
    held = side[place]
    if generator.trunk.classes is not None:
        classes = vectors.targets[rows].astype(np.int64)
        held &= np.bincount(classes)[classes] >= FEW_OF_A_CLASS
        held &= (np.bincount(classes[~held], minlength=classes.max() + 1) > 0)[classes]
    return rows[~held], rows[held]


def _index(source: Input) -> np.ndarray:
    assert isinstance(source, EncodedInput)
    return source.index


def judged(
    generator: Generator, vectors: Examples, seen: np.ndarray, held: np.ndarray, names: list[str], seed: int
) -> list[dict[str, Any]]:
    """How good its vectors are on the rows that were held back: by group of modalities or, made whole, by class too."""
    if generator.fills:
        found = [_filled(generator, vectors, seen, held, group, seed) for group in generator.groups]
    else:
        held = held[: samples.MOST]
        made, true = made_vectors(generator, vectors, held, seed)
        there, every = presence(vectors, held), list(generator.widths)
        found = [
            _made({"modalities": [m]}, true, made, there, [m], there[m] & distinct_rows(vectors, held, [m]))
            for m in every
        ]
        classes, once = vectors.targets[held].astype(np.int64), distinct_rows(vectors, held, every)
        found += [
            _made({"class": name}, true, made, there, every, once & (classes == c)) for c, name in enumerate(names)
        ]
    return [entry for entry in found if entry]


def _made(
    about: dict[str, Any],
    true: dict[str, np.ndarray],
    made: dict[str, np.ndarray],
    there: dict[str, np.ndarray],
    modalities: list[str],
    rows: np.ndarray,
) -> dict[str, Any] | None:
    """How good whole made rows are on these modalities; None where there are too few rows to tell."""
    if rows.sum() < samples.FEW:
        return None
    sides = [
        np.concatenate([side[m][rows] * there[m][rows, None] / np.sqrt(side[m].shape[1]) for m in modalities], axis=1)
        for side in (true, made)
    ]
    return about | samples.judged(*sides)


def trust(generator: Impute, vectors: Examples, held: np.ndarray, seed: int) -> None:
    """Set how far each group's filling is trusted: what makes its squared error smallest on a half of the held rows."""
    for group in generator.groups:
        asked, _ = _halves(generator, vectors, held, group, seed)
        if len(asked) < samples.FEW:
            continue
        _, true = made_vectors(generator, vectors, asked, seed, hidden=group)
        truth, guess = _beside(true, group), _beside(_filling(generator, vectors, asked, group), group)
        best = float((truth * guess).sum() / max(float((guess**2).sum()), 1e-12))
        for i, m in enumerate(generator.widths):
            if m in group:
                generator.trust[i] = min(max(best, 0.0), 1.0)


def _halves(
    generator: Generator, vectors: Examples, held: np.ndarray, group: list[str], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The held rows that can judge a group: one half to compare and to adjust with, one to be made and asked."""
    rows = np.random.default_rng(seed).permutation(_where_both(generator, vectors, held, group))
    rows = rows[distinct_rows(vectors, rows, group)][: 2 * samples.MOST]
    half = len(rows) // 2
    return rows[:half], rows[half : 2 * half]


def _filled(
    generator: Generator, vectors: Examples, seen: np.ndarray, held: np.ndarray, group: list[str], seed: int
) -> dict[str, Any] | None:
    """How good the filling of a group is: one half's truth beside what is made for the other half, and its error."""
    compared, asked = _halves(generator, vectors, held, group, seed)
    if len(asked) < samples.FEW:
        return None
    taught = _where_both(generator, vectors, seen, group)[: samples.MOST]
    made, true = made_vectors(generator, vectors, asked, seed, hidden=group)
    real = _beside(made_vectors(generator, vectors, compared, seed, hidden=group)[1], group)
    drawn = _beside(made, group)
    truth, guess = _beside(true, group), _beside(_filling(generator, vectors, asked, group), group)
    others = [m for m in generator.widths if m not in group]
    _, known = made_vectors(generator, vectors, taught, seed, hidden=group)
    linear = samples.linear_guess(_beside(known, others), _beside(known, group), _beside(true, others))
    mean = np.zeros(truth.shape[1])
    return (
        {"modalities": group}
        | samples.judged(real, drawn)
        | {
            "error": round(samples.error(truth, guess, mean), 4),
            "linear": round(samples.error(truth, linear, mean), 4),
        }
    )


def distinct_rows(vectors: Examples, rows: np.ndarray, modalities: list[str]) -> np.ndarray:
    """bool [rows]: the first row of each value of these modalities. A picture that many rows share would be its own
    nearest neighbour, and no made one could come as near.
    """
    keys = np.stack([_index(vectors.inputs[m])[rows] for m in modalities], axis=1)
    _, firsts = np.unique(keys, axis=0, return_index=True)
    return np.isin(np.arange(len(rows)), firsts)


def _where_both(generator: Generator, vectors: Examples, rows: np.ndarray, group: list[str]) -> np.ndarray:
    """The rows where all of the group and something else is there."""
    there = presence(vectors, rows)
    others = [there[m] for m in generator.widths if m not in group]
    return rows[np.all([there[m] for m in group], axis=0) & np.any(others, axis=0)]


@torch.inference_mode()
def _filling(generator: Generator, vectors: Examples, rows: np.ndarray, group: list[str]) -> dict[str, np.ndarray]:
    """What the group is filled with, standardised."""
    there = {m: torch.from_numpy(p) for m, p in presence(vectors, rows).items()}
    hidden = {m: torch.zeros_like(p) if m in group else p for m, p in there.items()}
    given = {m: torch.from_numpy(source.batch(rows)[0]["vector"]) for m, source in vectors.inputs.items()}
    filled, _ = generator.eval().complete(given, hidden)
    return {m: v.numpy() for m, v in generator.standardised(filled, there).items()}


def _beside(vectors: dict[str, np.ndarray], modalities: list[str]) -> np.ndarray:
    return np.concatenate([vectors[m] for m in modalities], axis=1)
