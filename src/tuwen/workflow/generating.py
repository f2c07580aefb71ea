"""The stages of a training with a generator: vectors, generator, and the fusion anew on what it makes.

The encoders are those of the plain training before it, frozen; every vector is computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuwen.config import Run
from tuwen.errors import ConfigError
from tuwen.evaluation import samples
from tuwen.models import GENERATORS, TASKS
from tuwen.models.assemble import Part, connect
from tuwen.models.encoder import Encoder
from tuwen.models.generator import Generator, Given, Impute
from tuwen.models.model import Model
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import Target
from tuwen.progress import Progress
from tuwen.training.adversarial import Adversarial, made_vectors, presence, train_generator, usable
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput, Input
from tuwen.training.loop import Trained, to_tensors
from tuwen.workflow.preparing import encoder_options

Learn = Callable[[Model, Examples, Examples | None, int, str], Trained]  # …, seed, name of the stage

ROWS_AT_ONCE = 256
SPREAD = 50  # distinct values of an input that are enough to hold some of them back
FEW_OF_A_CLASS = 5  # rows; of a smaller class the generator sees every one


@dataclass(frozen=True)
class Generated:
    """What the stages leave behind, beside the model that they changed.

    Attributes:
        trained: of the last stage, with the seconds and steps of all.
        part: the generator by name and options, and the groups of modalities; None where none was needed.
        account: for bundle.json and the report: quality, made rows, warnings.
        histories: of the generator, and of the plain training before it.
    """

    trained: Trained
    part: dict[str, Any] | None
    account: dict[str, Any]
    histories: dict[str, list[dict[str, float]]]


def generator_part(run: Run) -> Part | None:
    """The generator the run asks for, with its complete options."""
    if run.gan is None:
        return None
    place = run.where("gan")
    return Part(run.gan.use, GENERATORS.options(run.gan.use, run.gan.options, place), place)


def groups_of(run: Run) -> list[list[str]]:
    """Modalities that read the same columns: they are there or absent together."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, spec in sorted(run.modalities.items()):
        found.setdefault(tuple(sorted(spec.columns)), []).append(name)
    return list(found.values())


def can_fill(run: Run) -> bool:
    """Whether a generator that fills has something to fill from; true where none is asked for."""
    return run.gan is None or not GENERATORS.load(run.gan.use).fills or len(groups_of(run)) > 1


def check_generator(run: Run) -> None:
    """Options of the generator, and whether the run has what it needs.

    Raises:
        ConfigError: with file and line.
    """
    part = generator_part(run)
    if part is None:
        return
    if TASKS.load(run.task.use).replaces_fusion:
        raise ConfigError(
            f"the task '{run.task.use}' has no fusion that a generator could serve",
            where=part.where,
            todo="set gan: off",
        )
    classes = 0 if run.task.use == "rate" else 2
    GENERATORS.build(
        part.use, part.options, dict.fromkeys(run.modalities, 1), classes, groups_of(run), where=part.where
    )


def with_generator(
    run: Run,
    model: Model,
    target: Target,
    training: Examples,
    validation: Examples | None,
    before: Trained,
    *,
    learn: Learn,
    work: Path,
    fingerprint: str,
    progress: Progress,
) -> Generated:
    """Train a generator on the vectors of ``model``'s encoders, and its fusion and task anew, in place.

    Args:
        model: trained without a generator.
        before: what that training gave.
        learn: trains a model in place.
        work: folder of the generator's checkpoint.

    Raises:
        ConfigError: the run has nothing to fill from, or no classes to make rows for.
    """
    part = generator_part(run)
    assert part is not None
    began = time.perf_counter()
    with progress.task("vectors", None):
        vectors = vectors_of(model, training)
        others = vectors_of(model, validation) if validation is not None else None
    widths = {m: int(encoder.width) for m, encoder in model.encoders.items() if isinstance(encoder, Encoder)}
    classes = {"classify": len(getattr(target, "classes", ())), "binary": 2}.get(target.task, 0)
    torch.manual_seed(_seed(run, 1))
    generator: Generator = GENERATORS.build(part.use, part.options, widths, classes, groups_of(run), where=part.where)
    account: dict[str, Any] = {"use": part.use, "quality": [], "made": {}}
    wanted = {} if generator.fills else rare_classes(vectors.targets, classes, **_pick(part.options, "floor", "most"))
    if not generator.fills and not wanted:
        return Generated(before, None, _told(account), {})
    seen, held = held_back(generator, vectors, part.options["hold"], _seed(run, 2))
    history = train_generator(
        generator,
        vectors.take(seen),
        Adversarial(
            **_pick(part.options, *(f.name for f in fields(Adversarial) if f.name != "checkpoint_seconds")),
            checkpoint_seconds=run.training.checkpoint_seconds,
        ),
        seed=_seed(run, 3),
        checkpoint=work / "generator.safetensors",
        fingerprint=fingerprint,
        progress=progress,
    )
    with progress.task("generator: judged", None):
        if isinstance(generator, Impute):
            trust(generator, vectors, held, _seed(run, 4))
        account["quality"] = judged(generator, vectors, seen, held, _names(target), _seed(run, 4))
    if wanted:
        account["made"] = {_names(target)[c]: n for c, n in wanted.items()}
        vectors = with_made_rows(generator, vectors, wanted, _seed(run, 5))
    seconds = time.perf_counter() - began
    torch.manual_seed(_seed(run, 6))
    encoders: dict[str, Encoder] = {
        m: Given(ArraySpec("vector", (w,)), dropout=float(encoder_options(run, m).get("dropout", 0.0)))
        for m, w in widths.items()
    }
    fusion, task = Part(run.fusion.use, run.fusion.options), Part(run.task.use, run.task.options)
    head = connect(encoders, fusion, task, target, generator)
    if isinstance(generator, Impute) and run.training.modality_dropout:
        generator.drop = 0.0  # the loop hides enough
    trained = learn(head, vectors, others, _seed(run, 7), "fusion")
    model.fusion, model.task, model.generator = head.fusion, head.task, head.generator
    spent = Trained(
        trained.history, trained.best_epoch, before.steps + trained.steps, before.seconds + seconds + trained.seconds
    )
    account |= {"rows": len(seen), "held": len(held), "seconds": round(seconds, 2)}
    plain = part.plain() | {"groups": generator.groups, "classes": classes}
    return Generated(spent, plain, _told(account), {"generator": history, "encoders": before.history})


def vectors_of(model: Model, examples: Examples) -> Examples:
    """The same rows with the vector of each modality instead of its arrays, each distinct value encoded once."""
    model.eval()
    inputs = {m: _encoded(model.encoders[m], m, source) for m, source in examples.inputs.items()}
    return Examples(inputs, examples.targets, examples.together)


@torch.inference_mode()
def _encoded(encoder: torch.nn.Module, name: str, source: Input) -> EncodedInput:
    rows = np.arange(len(source))
    _, firsts, index = np.unique(getattr(source, "index", rows), return_index=True, return_inverse=True)
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    found, present = [], []
    for start in range(0, len(firsts), ROWS_AT_ONCE):
        arrays, there = source.batch(firsts[start : start + ROWS_AT_ONCE])
        tensors, _ = to_tensors({name: arrays}, {}, device)
        found.append(encoder(**tensors[name]).float().cpu().numpy())
        present.append(there)
    return EncodedInput({"vector": np.concatenate(found)}, np.concatenate(present), index.reshape(-1))


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


# --- Quality ------------------------------------------------------------------------------------------------------


def judged(
    generator: Generator, vectors: Examples, seen: np.ndarray, held: np.ndarray, names: list[str], seed: int
) -> list[dict[str, Any]]:
    """How good its vectors are on the rows that were held back: by group of modalities or, made whole, by class too."""
    if generator.fills:
        found = [_filled(generator, vectors, seen, held, group, seed) for group in generator.groups]
    else:
        made, true = made_vectors(generator, vectors, held[: samples.MOST], seed)
        there = presence(vectors, held[: samples.MOST])
        found = [_made({"modalities": [m]}, true, made, there, [m], there[m]) for m in generator.widths]
        classes = vectors.targets[held[: samples.MOST]].astype(np.int64)
        found += [
            _made({"class": name}, true, made, there, list(generator.widths), classes == c)
            for c, name in enumerate(names)
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
    rows = np.random.default_rng(seed).permutation(_where_both(generator, vectors, held, group))[: 2 * samples.MOST]
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


# --- Rows of rare classes -----------------------------------------------------------------------------------------


def rare_classes(targets: np.ndarray, classes: int, *, floor: int | None, most: float) -> dict[int, int]:
    """class → how many rows are made for it, so that it has ``floor`` (default: the median class's rows)."""
    counts = np.bincount(targets.astype(np.int64), minlength=classes)
    least = int(np.median(counts[counts > 0])) if floor is None else floor
    wanted = {c: min(least - int(n), int(most * n)) for c, n in enumerate(counts) if 0 < n < least}
    return {c: n for c, n in wanted.items() if n > 0}


@torch.inference_mode()
def with_made_rows(generator: Generator, vectors: Examples, wanted: dict[int, int], seed: int) -> Examples:
    """The rows and, after them, ``wanted`` made ones of each class, in which every modality is there."""
    classes = torch.from_numpy(np.repeat(list(wanted), list(wanted.values())))
    rows = len(classes)
    noise = torch.randn(rows, generator.noise, generator=torch.Generator().manual_seed(seed))
    nothing = {m: torch.zeros(rows, w) for m, w in generator.widths.items()}
    made = generator.restored(generator(nothing, torch.zeros(rows, len(nothing)), noise, classes))
    inputs: dict[str, Input] = {}
    for m, source in vectors.inputs.items():
        assert isinstance(source, EncodedInput)
        index = np.concatenate([source.index, len(source.present) + np.arange(rows)])
        vector = np.concatenate([source.arrays["vector"], made[m].numpy()])
        inputs[m] = EncodedInput({"vector": vector}, np.concatenate([source.present, np.ones(rows, bool)]), index)
    targets = np.concatenate([vectors.targets, classes.numpy().astype(vectors.targets.dtype)])
    return Examples(inputs, targets, vectors.together)


def _told(account: dict[str, Any]) -> dict[str, Any]:
    said = samples.warnings(account)
    return account | {"warnings": [{"en": english, "zh": chinese} for english, chinese in said]}


def _names(target: Target) -> list[str]:
    return list(getattr(target, "classes", ())) or ["no", "yes"]


def _pick(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names}


def _seed(run: Run, stage: int) -> int:
    """The run's seed, another one for each stage."""
    return int(np.random.SeedSequence([run.seed, stage]).generate_state(1)[0])
