"""The stages of a training with a generator: vectors, generator, and the fusion anew on what it makes.

The encoders are those of the plain training before it, frozen; every vector is computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import chain
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
from tuwen.preprocess.mapped import mapped
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, Target
from tuwen.progress import Progress
from tuwen.training.adversarial import Adversarial, train_generator
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput, Input
from tuwen.training.loop import Trained, to_tensors
from tuwen.workflow.preparing import encoder_options
from tuwen.workflow.sampling import held_back, judged, trust

Learn = Callable[[Model, Examples, Examples | None, int, str], Trained]  # …, seed, name of the stage

ROWS_AT_ONCE = 256


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
        work: folder of the generator's checkpoint, and of the files that the vectors lie in.

    Raises:
        ConfigError: the run has nothing to fill from, or no classes to make rows for.
    """
    part = generator_part(run)
    assert part is not None
    began = time.perf_counter()
    with progress.task("vectors", None):
        work.mkdir(parents=True, exist_ok=True)
        vectors = vectors_of(model, training, work)
        others = vectors_of(model, validation, work) if validation is not None else None
    generator, classes = _fresh(run, part, model, target)
    account: dict[str, Any] = {"use": part.use, "quality": [], "made": {}}
    wanted = {} if generator.fills else rare_classes(vectors.targets, classes, **_pick(part.options, "floor", "most"))
    if not generator.fills and not wanted:
        return Generated(before, None, _told(account), {})
    history = _learned(run, part, generator, vectors, account, _names(target), work, fingerprint, progress)
    if wanted:
        account["made"] = {_names(target)[c]: n for c, n in wanted.items()}
        vectors = with_made_rows(generator, vectors, wanted, _seed(run, 5), work)
    seconds = time.perf_counter() - began
    head = _head(run, model, as_trained(target, vectors.targets), generator)
    trained = learn(head, vectors, others, _seed(run, 7), "fusion")
    model.fusion, model.task, model.generator = head.fusion, head.task, head.generator
    steps, spent = before.steps + trained.steps, before.seconds + seconds + trained.seconds
    plain = part.plain() | {"groups": generator.groups, "classes": classes}
    return Generated(
        Trained(trained.history, trained.best_epoch, steps, spent),
        plain,
        _told(account | {"seconds": round(seconds, 2)}),
        {"generator": history, "encoders": before.history},
    )


def _fresh(run: Run, part: Part, model: Model, target: Target) -> tuple[Generator, int]:
    """An untrained generator for the model's vectors, and how many classes there are."""
    classes = {"classify": len(getattr(target, "classes", ())), "binary": 2}.get(target.task, 0)
    torch.manual_seed(_seed(run, 1))
    generator: Generator = GENERATORS.build(
        part.use, part.options, _widths(model), classes, groups_of(run), where=part.where
    )
    return generator, classes


def _learned(
    run: Run,
    part: Part,
    generator: Generator,
    vectors: Examples,
    account: dict[str, Any],
    names: list[str],
    work: Path,
    fingerprint: str,
    progress: Progress,
) -> list[dict[str, float]]:
    """Train the generator and judge it on the rows that were held back, in ``account``; returns the history."""
    seen, held = held_back(generator, vectors, part.options["hold"], _seed(run, 2))
    if len(held) and not len(seen):
        raise ConfigError(
            "every row is held back from the generator, and none is left to learn from",
            where=part.where,
            seen=f"hold: {part.options['hold']}, of {len(held)} rows",
            todo="lower gan.hold",
        )
    told = _pick(part.options, *(f.name for f in fields(Adversarial) if f.name in part.options))
    history = train_generator(
        generator,
        vectors.take(seen),
        Adversarial(**told, checkpoint_seconds=run.training.checkpoint_seconds),
        seed=_seed(run, 3),
        checkpoint=work / "generator.safetensors",
        fingerprint=fingerprint,
        progress=progress,
    )
    with progress.task("generator: judged", None):
        if isinstance(generator, Impute):
            trust(generator, vectors, held, _seed(run, 4))
        account["quality"] = judged(generator, vectors, seen, held, names, _seed(run, 4))
    account |= {"rows": len(seen), "held": len(held)}
    return history


def _head(run: Run, model: Model, target: Target, generator: Generator) -> Model:
    """A fresh fusion and task that read vectors; the encoders' dropout is now one of their vectors."""
    torch.manual_seed(_seed(run, 6))
    encoders: dict[str, Encoder] = {
        m: Given(ArraySpec("vector", (w,)), dropout=float(encoder_options(run, m).get("dropout", 0.0)))
        for m, w in _widths(model).items()
    }
    if isinstance(generator, Impute) and run.training.modality_dropout:
        generator.drop = 0.0  # the loop hides enough
    fusion, task = Part(run.fusion.use, run.fusion.options), Part(run.task.use, run.task.options)
    return connect(encoders, fusion, task, target, generator)


def _widths(model: Model) -> dict[str, int]:
    return {m: int(encoder.width) for m, encoder in model.encoders.items() if isinstance(encoder, Encoder)}


def vectors_of(model: Model, examples: Examples, folder: Path) -> Examples:
    """The same rows with the vector of each modality instead of its arrays, each distinct value encoded once, in
    nameless files in ``folder`` (:mod:`tuwen.preprocess.mapped`).
    """
    model.eval()
    inputs = {m: _encoded(model.encoders[m], m, source, folder) for m, source in examples.inputs.items()}
    return Examples(inputs, examples.targets, examples.together)


def _encoded(encoder: torch.nn.Module, name: str, source: Input, folder: Path) -> EncodedInput:
    rows = np.arange(len(source))
    _, firsts, index = np.unique(getattr(source, "index", rows), return_index=True, return_inverse=True)
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    present = np.zeros(len(firsts), bool)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(firsts), ROWS_AT_ONCE):
            arrays, present[start : start + ROWS_AT_ONCE] = source.batch(firsts[start : start + ROWS_AT_ONCE])
            tensors, _ = to_tensors({name: arrays}, {}, device)
            with torch.inference_mode():
                block: np.ndarray = encoder(**tensors[name]).float().cpu().numpy()
            yield block

    vectors = mapped(folder, blocks(), len(firsts), int(encoder.width))  # type: ignore[arg-type]
    return EncodedInput({"vector": vectors}, present, index.reshape(-1))


# --- Rows of rare classes -----------------------------------------------------------------------------------------


def rare_classes(targets: np.ndarray, classes: int, *, floor: int | None, most: float) -> dict[int, int]:
    """class → how many rows are made for it, so that it has ``floor`` (default: the median class's rows)."""
    counts = np.bincount(targets.astype(np.int64), minlength=classes)
    least = int(np.median(counts[counts > 0])) if floor is None else floor
    wanted = {c: min(least - int(n), int(most * n)) for c, n in enumerate(counts) if 0 < n < least}
    return {c: n for c, n in wanted.items() if n > 0}


def as_trained(target: Target, targets: np.ndarray) -> Target:
    """The target with the counts of the rows that are trained on, made ones among them: what was made for a class makes
    it less rare, and it is not weighted for that again.

    Args:
        targets: the encoded ones of all these rows.
    """
    if isinstance(target, ClassifyTarget):
        return replace(target, counts=tuple(np.bincount(targets, minlength=target.outputs).tolist()))
    return replace(target, mean=float(targets.mean())) if isinstance(target, BinaryTarget) else target


def with_made_rows(
    generator: Generator, vectors: Examples, wanted: dict[int, int], seed: int, folder: Path
) -> Examples:
    """The rows and, after them, ``wanted`` made ones of each class, in which every modality is there; in nameless files
    in ``folder``.
    """
    classes = torch.from_numpy(np.repeat(list(wanted), list(wanted.values())))
    rows = len(classes)
    noise = torch.randn(rows, generator.noise, generator=torch.Generator().manual_seed(seed))

    def made(m: str) -> Iterator[np.ndarray]:
        for start in range(0, rows, ROWS_AT_ONCE):
            some, chance = classes[start : start + ROWS_AT_ONCE], noise[start : start + ROWS_AT_ONCE]
            nothing = {m: torch.zeros(len(some), w) for m, w in generator.widths.items()}
            with torch.inference_mode():
                block = generator.restored(generator(nothing, torch.zeros(len(some), len(nothing)), chance, some))[m]
            yield block.numpy()

    inputs: dict[str, Input] = {}
    for m, source in vectors.inputs.items():
        assert isinstance(source, EncodedInput)
        index = np.concatenate([source.index, len(source.present) + np.arange(rows)])
        true = source.arrays["vector"]
        parts = (true[start : start + ROWS_AT_ONCE] for start in range(0, len(true), ROWS_AT_ONCE))
        vector = mapped(folder, chain(parts, made(m)), len(true) + rows, true.shape[1])
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
