"""Batches of rows, in an order that is a function of (seed, epoch), prepared one ahead of the network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuwen.progress import Progress, Silent
from tuwen.training.inputs import Arrays, EncodedInput, Input

Augment = Callable[[Arrays, np.random.Generator], Arrays]


@dataclass(frozen=True)
class Examples:
    """Rows with truth: one input a modality, and the encoded target [rows].

    ``together``: modalities that show the same thing, so that hiding one hides all; the others stand for themselves.
    """

    inputs: Mapping[str, Input]
    targets: np.ndarray
    together: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray) -> Examples:
        """The rows at these positions, sharing memory."""
        inputs = {name: source.take(rows) for name, source in self.inputs.items()}
        return Examples(inputs, self.targets[rows], self.together)

    @property
    def kinds(self) -> list[tuple[str, ...]]:
        """The modalities, those that go ``together`` as one."""
        joined = {name for kind in self.together for name in kind}
        return [*self.together, *((name,) for name in self.inputs if name not in joined)]

    def lengths(self) -> np.ndarray | None:
        """Tokens of each row's longest text, when texts are in memory: rows alike in length make cheap batches."""
        counts = [
            (i.arrays["ids"] != 0).sum(axis=1)[i.index]
            for i in self.inputs.values()
            if isinstance(i, EncodedInput) and "ids" in i.arrays and "weights" not in i.arrays
        ]
        return np.max(counts, axis=0) if counts else None


@dataclass(frozen=True)
class Batch:
    arrays: dict[str, Arrays]
    present: dict[str, np.ndarray]
    targets: np.ndarray


def order(rows: int, batch_size: int, rng: np.random.Generator, lengths: np.ndarray | None = None) -> list[np.ndarray]:
    """Positions of the rows of each batch: every row once, shuffled.

    With ``lengths``, rows of like length share a batch: shuffled, sorted within windows of 50 batches, batches
    shuffled again.
    """
    shuffled = rng.permutation(rows)
    if lengths is not None:
        window = batch_size * 50
        parts = [shuffled[i : i + window] for i in range(0, rows, window)]
        shuffled = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    batches = [shuffled[i : i + batch_size] for i in range(0, rows, batch_size)]
    if lengths is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def batch_of(examples: Examples, rows: np.ndarray) -> Batch:
    arrays, present = {}, {}
    for name, source in examples.inputs.items():
        arrays[name], present[name] = source.batch(rows)
    return Batch(arrays, present, examples.targets[rows])


def augmented(batch: Batch, augment: Mapping[str, Augment], rng: np.random.Generator) -> Batch:
    """The batch with each modality's training-time augmentation applied."""
    arrays = {name: augment[name](a, rng) if name in augment else a for name, a in batch.arrays.items()}
    return Batch(arrays, batch.present, batch.targets)


def hidden(batch: Batch, kinds: Sequence[tuple[str, ...]], share: float, rng: np.random.Generator) -> Batch:
    """The batch with a ``share`` of what is present hidden, kind by kind (modality dropout: Neverova et al., 2016).

    A row keeps at least one kind of those it has: which one, if all were drawn, is drawn too.
    """
    there = np.stack([np.any([batch.present[m] for m in kind], axis=0) for kind in kinds], axis=1)  # [rows, kinds]
    gone = rng.random(there.shape) < share
    kept = there & ~gone
    lost = there.any(axis=1) & ~kept.any(axis=1)
    chosen = np.where(there, rng.random(there.shape), -1.0).argmax(axis=1)
    kept[lost, chosen[lost]] = True
    present = {m: batch.present[m] & kept[:, i] for i, kind in enumerate(kinds) for m in kind}
    return Batch(batch.arrays, present, batch.targets)


def ahead(make: Callable[[int], Batch], first: int, last: int, depth: int = 2) -> Iterator[Batch]:
    """``make(first)`` … ``make(last − 1)``, prepared in a thread while the network works on the one before.

    An error in the thread is raised here; leaving the loop early ends the thread.
    """
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(thing: Batch | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for i in range(first, last):
                if not put(make(i)):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (thing := ready.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing
    finally:
        stop.set()
        thread.join()


Network = Callable[[dict[str, Arrays], dict[str, np.ndarray]], np.ndarray]  # arrays, presence -> f32 [batch, outputs]


def outputs_of(
    network: Network, inputs: Mapping[str, Input], *, batch_size: int = 64, progress: Progress | None = None
) -> np.ndarray:
    """The network's outputs f32 [rows, outputs] in the rows' order; texts of like length are taken together."""
    rows = len(next(iter(inputs.values())))
    examples = Examples(inputs, np.zeros(rows, np.float32))
    lengths = examples.lengths()
    by_length = np.arange(rows) if lengths is None else np.argsort(lengths, kind="stable")
    parts = [by_length[i : i + batch_size] for i in range(0, rows, batch_size)]
    found: list[np.ndarray] = []
    with (progress or Silent()).task("predict", len(parts)) as bar:
        for batch in ahead(lambda i: batch_of(examples, parts[i]), 0, len(parts)):
            found.append(network(batch.arrays, batch.present))
            bar.advance(1)
    ordered = np.empty_like(np.concatenate(found))
    ordered[by_length] = np.concatenate(found)
    return ordered
