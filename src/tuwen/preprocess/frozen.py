"""Frozen encoders: a modality that ends in the vector of a pretrained network, run by ONNX Runtime. No torch.

Every row goes through the network alone and without padding. An int8 text network chooses its scales from what it is
given, so a neighbour or a padded place would change a row's vector; and on a CPU a batch is no faster than its rows.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from tuwen.errors import BundleError
from tuwen.files import room_on_disk, whole
from tuwen.preprocess.mapped import mapped
from tuwen.preprocess.modality import Arrays, Modality, load, read_state, write_state
from tuwen.preprocess.session import run
from tuwen.preprocess.spec import ArraySpec
from tuwen.private import private, scratch
from tuwen.progress import Progress

CHUNK = 64  # rows whose raw arrays are in memory at once
BLOCK = 1024  # vectors that are put in order at once


class Frozen:
    """A modality and the ONNX file that turns its arrays into one vector.

    Args:
        modality: makes ``pixels`` or ``ids``.
        onnx_path: a network with that one input and one output, f32 [1, width].
        workers: threads that encode rows side by side; each runs the network on one core.
    """

    def __init__(self, modality: Modality, onnx_path: str | Path, *, workers: int = 1) -> None:
        self.modality, self.onnx_path, self.workers = modality, Path(onnx_path), workers

    @property
    def spec(self) -> ArraySpec:
        return ArraySpec("vector", (int(self._session.get_outputs()[0].shape[-1]),))

    @cached_property
    def fingerprint(self) -> str:
        """Hex name of everything that a vector depends on beside its input: the network and the modality's state."""
        digest = hashlib.sha256(self.onnx_path.read_bytes())
        with scratch("state") as folder:
            self.modality.save(folder)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:24]

    def fit(self, values: Any, progress: Progress | None = None) -> None:
        self.modality.fit(values, progress)

    def encode(self, values: Any) -> tuple[Arrays, np.ndarray]:
        """``vector`` f32 [rows, width], zeros where the row is absent."""
        vectors = np.zeros((len(values), *self.spec.shape), np.float32)
        present = np.zeros(len(values), bool)

        def chunk(start: int) -> None:
            rows = slice(start, start + size)
            arrays, present[rows] = self.modality.encode(values[rows])
            for row in np.flatnonzero(present[rows]):
                vectors[start + row] = self._vector({name: array[row] for name, array in arrays.items()})

        size = min(CHUNK, max(1, -(-len(values) // self.workers)))
        starts = range(0, len(values), size)
        if self.workers == 1:
            for start in starts:
                chunk(start)
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                list(pool.map(chunk, starts))
        return {"vector": vectors}, present

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Nothing: the vectors are made once, before training."""
        return arrays

    def behind(self, modality: Modality) -> Frozen:
        """The same network, loaded once, behind another modality."""
        other = Frozen(modality, self.onnx_path, workers=self.workers)
        other.__dict__["_session"] = self._session
        return other

    def save(self, folder: Path) -> None:
        """The network goes beside ``folder``, under its sha256, so that modalities saved side by side share it."""
        with self.onnx_path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        write_state(folder, self, {}, {"network": digest})
        self.modality.save(folder / "input")
        if not _network(folder, digest).exists():
            shutil.copyfile(self.onnx_path, _network(folder, digest))

    @classmethod
    def load(cls, folder: Path) -> Self:
        digest = str(read_state(folder)["fitted"].get("network", ""))
        path = _network(folder, digest)
        if not re.fullmatch("[0-9a-f]{64}", digest) or not path.is_file():
            todo = "copy the bundle again from where it is whole, or train it again"
            raise BundleError("the frozen network of a modality is missing", where=str(path), todo=todo)
        return cls(load(folder / "input"), path)

    def _vector(self, row: Arrays) -> np.ndarray:
        """One row's arrays → f32 [width]."""
        (name, array), *_ = row.items()
        if name == "ids":
            array = array[: int((array != 0).sum())].astype(np.int64)
        vector: np.ndarray = run(self._session, {name: array[None]})[0]
        return vector

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # spinning burns the core that another worker or the decoder could use
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(self.onnx_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base class but this
            raise BundleError("the frozen network cannot be read", where=str(self.onnx_path), seen=error) from None


def _network(folder: Path, digest: str) -> Path:
    return folder.parent / f"{digest}.onnx"


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class VectorCache:
    """Vectors by content key in a folder that is only ever added to.

    A shard is two files, ``NAME.vectors.npy`` and then ``NAME.keys.npy``, each written whole; it counts once the keys
    are there. So a killed run loses what it had not written yet and nothing else, the next one goes on, and two runs
    can write at the same time. A shard that cannot be read counts as absent and its vectors are made again.

    Args:
        folder: one per network and modality state, see :attr:`Frozen.fingerprint`.
        flush_rows, flush_seconds: a shard is written when either is reached.
    """

    def __init__(self, folder: str | Path, *, flush_rows: int = 2048, flush_seconds: float = 20.0) -> None:
        self.folder = Path(folder)
        self.flush_rows, self.flush_seconds = flush_rows, flush_seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[np.ndarray] = []  # memory-mapped f32 [n, width]
        self._places: dict[bytes, tuple[int, int]] = {}  # key digest → (shard, row)
        self._seen: set[Path] = set()
        self._read()

    def __len__(self) -> int:
        return len(self._places)

    def holds(self, keys: Sequence[str]) -> int:
        """How many of these keys have their vector."""
        return sum(_digest(key) in self._places for key in keys)

    def fetch(
        self,
        keys: Sequence[str | None],
        compute: Callable[[Sequence[int]], np.ndarray],
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """f32 [len(keys), width], read-only; ``compute`` gets positions in ``keys`` that no shard holds, some at once.

        The answer is :func:`tuwen.preprocess.mapped.mapped`, in a file beside the shards.

        Args:
            keys: content keys; equal keys are computed once, and one that is None has zeros.
            compute: positions → f32 [positions, width].
            progress: called with the number of keys that got their vector since the last call.
        """
        digests = [None if key is None else _digest(key) for key in keys]
        first: dict[bytes, int] = {}
        for i, digest in enumerate(digests):
            if digest is not None and digest not in self._places:
                first.setdefault(digest, i)
        if progress and len(keys) > len(first):
            progress(len(keys) - len(first))
        self._compute(first, compute, progress)
        places = np.array([(-1, 0) if d is None else self._places[d] for d in digests], np.int64).reshape(-1, 2)
        return self._mapped(places)

    def _mapped(self, places: np.ndarray) -> np.ndarray:
        """The vectors at (shard, row) int [n, 2], zeros where the shard is −1: f32 [n, width] in a nameless file."""
        wanted = places[:, 0].max(initial=-1)
        width = self._shards[wanted].shape[1] if self._shards else 0

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, len(places), BLOCK):
                shards, rows = places[start : start + BLOCK].T
                block = np.zeros((len(shards), width), np.float32)
                for shard in np.unique(shards[shards >= 0]).tolist():
                    block[shards == shard] = self._shards[shard][rows[shards == shard]]
                yield block
                del block  # before the next one is made

        return mapped(self.folder, blocks(), len(places), width)

    def _compute(
        self,
        first: dict[bytes, int],
        compute: Callable[[Sequence[int]], np.ndarray],
        progress: Callable[[int], None] | None,
    ) -> None:
        missing = list(first.items())
        ready: list[np.ndarray] = []
        names: list[bytes] = []
        written = time.monotonic()
        try:
            for start in range(0, len(missing), CHUNK):
                part = missing[start : start + CHUNK]
                ready.append(np.asarray(compute([i for _, i in part]), np.float32))
                names += [digest for digest, _ in part]
                if progress:
                    progress(len(part))
                if len(names) >= self.flush_rows or time.monotonic() - written > self.flush_seconds:
                    self._write(names, ready)
                    ready, names, written = [], [], time.monotonic()
        finally:  # also at Ctrl-C: what is done is done
            self._write(names[: sum(map(len, ready))], ready)

    def _write(self, names: list[bytes], ready: list[np.ndarray]) -> None:
        if not names:
            return
        stem = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        digests = np.frombuffer(b"".join(names), np.uint8).reshape(-1, 16)
        with room_on_disk(self.folder), private(self.folder):
            for kind, array in (("vectors", np.concatenate(ready)), ("keys", digests)):
                with whole(stem.with_name(f"{stem.name}.{kind}.npy")) as file:
                    np.save(file, array, allow_pickle=False)
        self._read()

    def _read(self) -> None:
        """Take in the shards that are new in the folder."""
        for path in sorted(self.folder.glob("*.keys.npy")):
            if path in self._seen:
                continue
            self._seen.add(path)
            try:
                digests = np.load(path, allow_pickle=False)
                vectors = np.load(path.with_name(path.name.replace(".keys.", ".vectors.")), "r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                continue
            if vectors.ndim != 2 or digests.shape != (len(vectors), 16):
                continue
            for row, digest in enumerate(digests):
                self._places.setdefault(digest.tobytes(), (len(self._shards), row))
            self._shards.append(vectors)
