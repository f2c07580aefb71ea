"""Run in a peer's own environment (NumPy and the peer; no tuwen): ``python worker.py PEER GIVEN OUT SECONDS``.

GIVEN is the folder of one fold, OUT the name of the answers: ``OUT.npz`` and, once that is whole, ``OUT.json``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np


class Unsuited(Exception):
    """The rows have nothing that the peer could read."""


class Given:
    """The rows of one fold; those of the train part first.

    Attributes:
        task: rate, binary or classify; ``classes``: how many.
        train: bool [rows]; ``target``: f64 [rows], numbers, 0/1 or positions of classes; NaN in the test rows.
        numbers: f64 [rows, n], NaN where missing; ``names``: of the numbers.
        categories: column → texts, None where missing.
        text: of each row, "" where missing; ``has_text``.
        pictures: path of each row's first picture, None where there is none; ``has_pictures``.
        vectors: f32 [rows, width], frozen vectors of texts and pictures.
        seconds: how long a fit may take.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        plain = json.loads((folder / "given.json").read_text(encoding="utf-8"))
        with np.load(folder / "given.npz", allow_pickle=False) as file:
            self.train, self.target = file["train"], file["target"]
            self.numbers, self.vectors = file["numbers"], file["vectors"]
        self.task, self.classes, self.names = plain["task"], plain["classes"], plain["numbers"]
        self.categories, self.pictures = plain["categories"], plain["pictures"]
        self.text = [text or "" for text in plain["text"]]
        self.has_text = any(self.text)
        self.has_pictures = any(self.pictures)
        self.seconds = seconds

    @property
    def known(self) -> np.ndarray:
        """Targets of the train rows: f64 for rate, else int64."""
        known = self.target[self.train]
        return known if self.task == "rate" else known.astype(np.int64)

    def need_text(self) -> None:
        """Refuse rows without text."""
        if not self.has_text:
            raise Unsuited("there is no text")

    def holdout(self, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
        """Positions of train rows to learn from and to stop by; the same every time."""
        order = np.random.default_rng(0).permutation(int(self.train.sum()))
        count = max(1, int(share * len(order)))
        return np.sort(order[count:]), np.sort(order[:count])

    def full(self, probabilities: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Probabilities over the classes that were ``seen`` as those over all: f64 [rows, classes]."""
        whole = np.zeros((len(probabilities), self.classes))
        whole[:, np.asarray(seen, np.int64)] = probabilities
        return whole


def work(peer: str, given: Path, out: Path, seconds: float) -> dict[str, Any]:
    """Fit one peer on one fold and answer its test rows; what is to be told of it."""
    began = time.perf_counter()
    try:
        rows = Given(given, seconds)
        package = importlib.import_module(f"packages.of_{peer.replace('-', '_')}")
        began = time.perf_counter()  # what takes part in no fit: imports
        outputs = np.asarray(package.answer(rows), np.float64)
        outputs = outputs[:, None] if outputs.ndim == 1 else outputs
        if outputs.shape != (int((~rows.train).sum()), rows.classes if rows.task == "classify" else 1):
            raise ValueError(f"the answers have the shape {outputs.shape}")
        if not np.isfinite(outputs).all():
            raise ValueError("some answers are not finite")
        half = out.with_suffix(".half.npz")
        np.savez(half, outputs=outputs)
        half.replace(out.with_suffix(".npz"))
    except Unsuited as error:
        return {"error": str(error), "seconds": 0.0}
    except Exception as error:  # whatever a foreign package raises is told, and is no reason to stop
        last = traceback.extract_tb(error.__traceback__)[-1]
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {first[:240]} ({Path(last.filename).name}:{last.lineno})"
        return {"error": reason, "seconds": round(time.perf_counter() - began, 2)}
    return {"error": None, "seconds": round(time.perf_counter() - began, 2)}


def main() -> None:
    peer, given, out, seconds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    account = work(peer, given, out, seconds)
    half = out.with_suffix(".half.json")
    half.write_text(json.dumps(account), encoding="utf-8")
    half.replace(out.with_suffix(".json"))


if __name__ == "__main__":
    main()
