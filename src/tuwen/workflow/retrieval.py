"""Contrast runs: what their training needs beside other runs', and how the test part judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError, ConfigError
from tuwen.evaluation.linear import LinearMap, linear_maps
from tuwen.evaluation.retrieval import MODEL, Pair, Ranks, Searched, example, measure, rank, rank_any
from tuwen.models.contrast import SECOND, ContrastModel
from tuwen.preprocess.target import ContrastTarget
from tuwen.progress import Progress
from tuwen.training.batches import Augment, Examples, augmented, batch_of, outputs_of
from tuwen.training.inputs import Arrays, EncodedInput, Input, SetInput
from tuwen.training.loop import Score, to_tensors
from tuwen.workflow.gathering import Gathered, gather
from tuwen.workflow.judging import knocked_out, refuse_other_data, swapped
from tuwen.workflow.knock_out import inputs_of
from tuwen.workflow.preparing import make_input, raw_values

SCORED_ROWS = 5_000  # of the validation part, after each epoch
FITTED_ROWS = 20_000  # that the linear maps are fitted on
PROJECTED = 512  # numbers that a bag of n-grams becomes for the linear maps
EXAMPLES = 4  # queries of each direction that the page shows


# --- Training -----------------------------------------------------------------------------------------------------


def score_of(target: ContrastTarget) -> Score:
    """Recall@10 on the validation part, the mean of all directions."""

    def score(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        embeddings = target.decode(outputs[:SCORED_ROWS])
        contents = dict(zip(target.sides, targets[:SCORED_ROWS].T, strict=True))
        found = [
            measure({pair: r})[f"{'_to_'.join(pair)}_recall@10"]
            for pair, r in _ranked(target.directions, embeddings, contents).items()
        ]
        return {"score": float(np.mean(found)), "validation_mean_recall@10": float(np.mean(found))} if found else {}

    return score


def contrast_parts(
    run: Run, model: ContrastModel, training: Examples, validation: Examples | None, augment: Mapping[str, Augment]
) -> tuple[dict[str, Augment], Examples | None]:
    """What the loop gets instead of ``augment`` and ``validation``.

    Kinds that are paired with themselves get a second random view of every row. Where there is no other pair, no
    epoch can be called the best, because a look at the validation part sees one view only: the last epoch is kept.

    Raises:
        ConfigError: both views would be the same.
    """
    twins = {name for side in model.task.twins for name in model.fusion.sides[side]}
    changes = {name: _two_views(change) if name in twins else change for name, change in augment.items()}
    _refuse_equal_views(model, training, changes, run.where("task"))
    return changes, validation if len(model.task.twins) < len(model.task.pairs) else None


def _two_views(change: Augment) -> Augment:
    def two(arrays: Arrays, rng: np.random.Generator) -> Arrays:
        first = change(arrays, rng)
        return first | {SECOND + name: array for name, array in change(arrays, rng).items()}

    return two


def _refuse_equal_views(model: ContrastModel, training: Examples, augment: Mapping[str, Augment], where: str) -> None:
    """Two views that are the same teach nothing: seen before the first step, on a few rows.

    Raises:
        ConfigError: names the kind.
    """
    twins = model.task.twins
    if not twins:
        return
    batch = augmented(batch_of(training, np.arange(min(len(training), 8))), augment, np.random.default_rng(0))
    model.train()
    with torch.no_grad():
        found = model.for_loss(*to_tensors(batch.arrays, batch.present, torch.device("cpu")))
    embeddings = found.split(model.task.embedding, dim=1)
    for side, second in zip(twins, embeddings[len(model.task.sides) :], strict=True):
        if torch.equal(embeddings[model.task.sides.index(side)], second):
            raise ConfigError(
                f"both views of every {side} would be the same",
                where=where,
                todo="ask for task.dropout; or, of pictures read as pixels, for flip, shift, brightness or contrast",
            )


def _ranked(
    pairs: list[Pair], embeddings: Mapping[str, np.ndarray], contents: Mapping[str, np.ndarray]
) -> dict[Pair, Ranks]:
    """Ranks of the rows that have both sides."""
    found = {}
    for a, b in pairs:
        both = _both(embeddings[a], embeddings[b])
        if both.any():
            found[a, b] = rank(embeddings[a][both], embeddings[b][both], contents[b][both])
    return found


def _both(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(left.any(axis=1) & right.any(axis=1))


# --- Evaluation ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sought:
    """One contrast bundle on the test part of its fold."""

    gathered: Gathered
    rows: np.ndarray
    found: Searched


def seek(run: Run, bundle: Bundle, dataset: Dataset, progress: Progress) -> Sought:
    """Ask with every test row for its own other side, among all test rows that have both.

    Raises:
        BundleError: the bundle pairs no two different kinds, so there is nothing to look for.
    """
    target = bundle.target
    assert isinstance(target, ContrastTarget)
    pairs = target.directions
    if not pairs:
        raise BundleError(
            "there is nothing to retrieve: the bundle pairs a kind of modality with itself only",
            where=str(bundle.folder),
            seen=", ".join("-".join(pair) for pair in target.pairs),
            todo="the bundle is whole: start a run from it with init, and see what that is worth there",
        )
    gathered = gather(run, dataset, bundle.manifest["data"]["fold"])
    refuse_other_data(bundle, gathered, dataset)
    inputs: dict[str, Input] = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
        inputs[name] = make_input(name, bundle.modalities[name], raw, dataset, progress)
    rows = gathered.rows("test")
    test = {name: source.take(rows) for name, source in inputs.items()}
    embeddings = target.decode(outputs_of(bundle.network, test, progress=progress))
    both = np.all([_both(embeddings[a], embeddings[b]) for a, b in pairs], axis=0)
    rows = rows[both]
    embeddings = {side: found[both] for side, found in embeddings.items()}
    contents = target.encode(gathered.truth)
    baselines, notes = _baselines(run, target, inputs, gathered, contents, rows, progress)
    names = gathered.frame["row"].gather(rows)
    asked = {name: source.take(rows) for name, source in inputs.items()}
    found = _searched(target, embeddings, contents[rows], names.to_list(), baselines, notes, run)
    return Sought(gathered, rows, replace(found, knocked=_knocked(run, bundle, asked, contents[rows], swapped(names))))


def _knocked(
    run: Run, bundle: Bundle, inputs: dict[str, Input], contents: np.ndarray, other: np.ndarray
) -> dict[str, dict[str, dict[Pair, Ranks]]]:
    """INPUT → way → ranks, of each input of a side that has several. A side of one input is nothing without it, and
    with another row's it is another row.
    """
    target, found = bundle.target, {}
    assert isinstance(target, ContrastTarget)
    each = inputs_of(run)
    for label, together in each.items():
        if sum(one.kind == together.kind for one in each.values()) < 2:
            continue
        changed = knocked_out(bundle.network, inputs, together.of(run), other)
        found[label] = {
            way: _all_ranked(target, outputs, contents, together.kind if way == "swapped" else None)
            for way, outputs in zip(("absent", "swapped"), changed, strict=True)
        }
    return found


def _all_ranked(
    target: ContrastTarget, outputs: np.ndarray, contents: np.ndarray, mixed: str | None
) -> dict[Pair, Ranks]:
    """Ranks of all rows, in which a side that is absent finds nothing and is not found.

    Args:
        mixed: a side in which equal contents no longer stand for equal answers.
    """
    embeddings = target.decode(outputs)
    ids = dict(zip(target.sides, contents.T, strict=True))
    return {(a, b): rank(embeddings[a], embeddings[b], None if b == mixed else ids[b]) for a, b in target.directions}


def _searched(
    target: ContrastTarget,
    embeddings: dict[str, np.ndarray],
    contents: np.ndarray,
    names: list[str],
    baselines: dict[str, dict[Pair, Ranks]],
    notes: dict[str, str],
    run: Run,
) -> Searched:
    pairs = target.directions
    by_side = dict(zip(target.sides, contents.T, strict=True))
    model = _ranked(pairs, embeddings, by_side)
    drawn = np.random.default_rng([run.seed, len(names)]).permutation(len(names))[:EXAMPLES].tolist()
    return Searched(
        systems={MODEL: model, **baselines},
        twins={(a, b): rank_any(embeddings[a], embeddings[b], contents) for a, b in pairs},
        twin_rows=int(np.any([_repeated(ids) for ids in by_side.values()], axis=0).sum()),
        answers=len(names),
        notes=notes,
        examples=[
            example((a, b), at, embeddings[a][at], embeddings[b], float(model[a, b].middle[at]), names, contents)
            for a, b in pairs
            for at in drawn
        ],
    )


def _repeated(ids: np.ndarray) -> np.ndarray:
    _, place, copies = np.unique(ids, return_inverse=True, return_counts=True)
    repeated: np.ndarray = copies[place] > 1
    return repeated


# --- Baselines ----------------------------------------------------------------------------------------------------


def _baselines(
    run: Run,
    target: ContrastTarget,
    inputs: Mapping[str, Input],
    gathered: Gathered,
    contents: np.ndarray,
    rows: np.ndarray,
    progress: Progress,
) -> tuple[dict[str, dict[Pair, Ranks]], dict[str, str]]:
    """Chance, and linear maps between what needs no training; their settings are chosen on the validation part."""
    if "trivial" not in run.evaluation.baselines:
        return {}, {}
    found: dict[str, dict[Pair, Ranks]] = {"ridge": {}, "cca": {}}
    notes: dict[str, str] = {}
    for a, b in dict.fromkeys((min(pair), max(pair)) for pair in target.directions):
        left, right = (_features(inputs, target.sides[side], gathered) for side in (a, b))
        if left is None or right is None:
            notes["linear maps"] = f"left out: no encoder of {a if left is None else b} works without training"
            continue
        ids = dict(zip(target.sides, contents.T, strict=True))
        with progress.task(f"linear maps {a} - {b}", None):
            for name, candidates in _fitted(left, right, gathered).items():
                for pair in ((a, b), (b, a)):
                    chosen = _best(candidates, left, right, pair == (a, b), ids[pair[1]], gathered)
                    found[name][pair] = _mapped(chosen, left, right, pair == (a, b), ids[pair[1]], rows)
                    notes[f"{name} {pair[0]} to {pair[1]}"] = chosen.note
    chance = {pair: Ranks.chance(len(rows)) for pair in target.directions}
    whole = {name: ranks for name, ranks in found.items() if len(ranks) == len(chance)}
    return {**whole, "chance": chance}, notes


def _fitted(left: np.ndarray, right: np.ndarray, gathered: Gathered) -> dict[str, list[LinearMap]]:
    """The linear maps of the train rows that have both sides."""
    train = gathered.rows("train")
    train = train[_both(left[train], right[train])]
    train = train[:: -(-len(train) // FITTED_ROWS)]
    return linear_maps(left[train], right[train])


def _best(
    candidates: list[LinearMap], left: np.ndarray, right: np.ndarray, forth: bool, ids: np.ndarray, gathered: Gathered
) -> LinearMap:
    """The map with the best Recall@10 on the validation part; without one the middle of the list."""
    rows = gathered.rows("validation")[:SCORED_ROWS]
    rows = rows[_both(left[rows], right[rows])]
    if not len(rows):
        return candidates[len(candidates) // 2]
    recall = [_mapped(c, left, right, forth, ids, rows).recall(10).mean() for c in candidates]
    return candidates[int(np.argmax(recall))]


def _mapped(
    chosen: LinearMap, left: np.ndarray, right: np.ndarray, forth: bool, ids: np.ndarray, rows: np.ndarray
) -> Ranks:
    one, other = chosen.embed(left[rows], right[rows])
    return rank(one, other, ids[rows]) if forth else rank(other, one, ids[rows])


def _features(inputs: Mapping[str, Input], names: tuple[str, ...], gathered: Gathered) -> np.ndarray | None:
    """What a side is without any training, f32 [rows, features]: frozen vectors, standardised, and bags of n-grams
    through a fixed random projection; None where there is neither. Zeros where the side is absent.
    """
    train, found = gathered.rows("train"), []
    for name in names:
        given = inputs[name]
        source = given.mean() if isinstance(given, SetInput) else given
        if not isinstance(source, EncodedInput) or not {"vector", "weights"} & source.arrays.keys():
            continue
        values = source.arrays["vector"] if "vector" in source.arrays else _projected(source.arrays)
        seen = values[np.unique(source.index[train])]
        spread = seen.std(axis=0)
        scaled = (values - seen.mean(axis=0)) / np.maximum(spread, max(float(np.median(spread)) * 0.1, 1e-6))
        scaled[~source.present] = 0.0
        found.append((scaled / np.sqrt(scaled.shape[1]))[source.index].astype(np.float32))
    return np.concatenate(found, axis=1) if found else None


def _projected(arrays: Arrays) -> np.ndarray:
    """Weighted bags → f32 [rows, PROJECTED] (Johnson and Lindenstrauss, 1984)."""
    ids, weights = arrays["ids"], arrays["weights"]
    table = np.random.default_rng(0).standard_normal((int(ids.max(initial=0)) + 1, PROJECTED), np.float32)
    out = np.empty((len(ids), PROJECTED), np.float32)
    for start in range(0, len(ids), 256):
        rows = slice(start, start + 256)
        out[rows] = np.einsum("rl,rlw->rw", weights[rows], table[ids[rows]])
    return out
