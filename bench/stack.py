"""What `fusion: auto` costs beside `concat`: processor seconds over 20,000 rows of three frozen vectors, ten epochs.

The limit is three times `concat` with the default batch. Classes are planted: a class has a centre in every vector,
so that both learn something. Prints one JSON line a task.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import ClassifyTarget, RateTarget, Target
from tuwen.progress import Silent
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, train
from tuwen.training.stack.fit import fit_stack
from tuwen.training.stack.linear import Kind

WIDTHS = {"picture": 1280, "text": 384, "title": 384}
ENCODERS = {"picture": "efficientnet-lite0", "text": "e5-small", "title": "e5-small"}
LIMIT = 3.0  # times concat


def planted(rows: int, classes: int) -> Examples:
    """Three vectors a row around the centres of its class; of one class a number that each vector tells in part."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, max(classes, 2), rows)
    every, present = np.arange(rows), np.ones(rows, bool)
    inputs, total = {}, np.zeros(rows)
    for name, width in WIDTHS.items():
        centres = 0.15 * rng.standard_normal((max(classes, 2), width))
        vector = (centres[labels] + rng.standard_normal((rows, width))).astype(np.float32)
        inputs[name] = EncodedInput({"vector": vector}, present, every)
        total += vector[:, :20].sum(axis=1)
    targets = labels if classes > 1 else (total + 3 * rng.standard_normal(rows)).astype(np.float32)
    return Examples(inputs, targets)


def seconds_of_concat(examples: Examples, task: str, target: Target) -> float:
    torch.manual_seed(0)
    parts = {name: (Part(ENCODERS[name]), ArraySpec("vector", (width,))) for name, width in WIDTHS.items()}
    model = assemble(parts, Part("concat"), Part(task, {"target": "y"}), target)
    began = time.process_time()
    train(model, examples, None, Settings(), seed=0)
    return time.process_time() - began


def seconds_of_auto(examples: Examples, task: Kind, target: Target) -> tuple[float, dict[str, float]]:
    specs = {name: ArraySpec("vector", (width,)) for name, width in WIDTHS.items()}
    began = time.process_time()
    groups = np.arange(len(examples))
    fit = fit_stack(examples, specs, task, target.outputs, groups=groups, progress=Silent())
    return time.process_time() - began, {member["name"]: member["seconds"] for member in fit.account["members"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    for classes in (1, 7, 30):
        examples = planted(rows, classes)
        task: Kind = "rate" if classes == 1 else "classify"
        target: Target = (
            RateTarget(float(examples.targets.min()), float(examples.targets.max()), float(examples.targets.mean()))
            if classes == 1
            else ClassifyTarget(tuple(f"{i:02}" for i in range(classes)), (1,) * classes)
        )
        concat = seconds_of_concat(examples, task, target)
        auto, members = seconds_of_auto(examples, task, target)
        row = {"bench": "auto", "task": task, "classes": classes, "rows": rows, "concat": round(concat, 1)}
        row |= {"auto": round(auto, 1), "ratio": round(auto / concat, 2), "limit": LIMIT, "met": auto <= LIMIT * concat}
        print(json.dumps(row | {"members": members}), flush=True)


if __name__ == "__main__":
    main()
