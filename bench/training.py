"""Step rate of real training against the same step on random tensors already in memory. Prints one JSON line.

The mission's network on 224×224 pictures and 100 tokens, batch 32: the case in which loading costs the most. Pictures
come as JPEGs of 320×320 through the same streamed input that training uses, none of them seen before (no cache helps).
"""

from __future__ import annotations

import argparse
import json
import time
from io import BytesIO

import numpy as np
import torch
from PIL import Image as Pillow

from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.image import Image
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget
from tuwen.training.batches import Examples
from tuwen.training.inputs import Decoded, EncodedInput, Room, StreamedInput
from tuwen.training.loop import Settings, train

BATCH = 32


def jpeg(seed: int, side: int = 320) -> bytes:
    """A picture with the detail of a photo, so that decoding costs what it costs."""
    rng = np.random.default_rng(seed)
    small = Pillow.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    file = BytesIO()
    small.resize((side, side), Pillow.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def model(vocabulary: int) -> object:
    torch.manual_seed(0)
    encoders = {
        "picture": (Part("cnn"), ArraySpec("pixels", (224, 224, 3))),
        "text": (Part("lstm"), ArraySpec("tokens", (100,), (vocabulary,))),
    }
    return assemble(encoders, Part("concat"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))


def steps_per_second(inputs: dict[str, object], targets: np.ndarray, vocabulary: int) -> float:
    settings = Settings(epochs=1, batch_size=BATCH)
    network = model(vocabulary)
    warm = Examples({n: i.take(np.arange(BATCH)) for n, i in inputs.items()}, targets[:BATCH])
    train(network, warm, None, settings, seed=0)
    examples = Examples({n: i.take(np.arange(BATCH, len(targets))) for n, i in inputs.items()}, targets[BATCH:])
    began = time.perf_counter()
    done = train(network, examples, None, settings, seed=1)
    return done.steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows, vocabulary = BATCH * (asked.steps + 1), 10_000
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, rows).astype(np.float32)
    ids = rng.integers(1, vocabulary, (rows, 100), dtype=np.int32)
    text = EncodedInput({"ids": ids}, np.ones(rows, bool), np.arange(rows))
    pictures = [jpeg(i) for i in range(rows)]
    few = rng.integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8)
    random = EncodedInput({"pixels": few}, np.ones(BATCH, bool), np.arange(rows) % BATCH)
    ratios, rates = [], []
    for _ in range(asked.rounds):
        streamed = StreamedInput(pictures, Image(size=224).encode, np.arange(rows), decoded=Decoded(Room(0)))
        real = steps_per_second({"picture": streamed, "text": text}, targets, vocabulary)
        bare = steps_per_second({"picture": random, "text": text}, targets, vocabulary)
        ratios.append(real / bare)
        rates.append((round(real, 3), round(bare, 3)))
    ratio = float(np.median(ratios))
    print(
        json.dumps(
            {
                "bench": "training step rate",
                "limit": "the same step on random tensors in memory",
                "ratio": round(ratio, 3),
                "target": 0.9,
                "met": ratio >= 0.9,
                "steps_per_second_real_and_random": rates,
            }
        )
    )


if __name__ == "__main__":
    main()
