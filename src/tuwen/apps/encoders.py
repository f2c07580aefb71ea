"""What turns a question into vectors where an index is asked: frozen networks, run by ONNX Runtime. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuwen.bundle.files import sha256
from tuwen.data.decoder import normalise
from tuwen.data.kinds import MEDIA
from tuwen.errors import DataError
from tuwen.files import write_json
from tuwen.preprocess.frozen import Frozen

Array = npt.NDArray[Any]


def unit(vectors: Array, centre: Array | None = None) -> Array:
    """Each row about ``centre`` and of length 1, f32; a row of zeros stays one."""
    there = vectors.any(axis=-1, keepdims=True)
    moved = np.where(there, vectors - (0.0 if centre is None else centre), 0.0)
    scaled: Array = (moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
    return scaled


class FrozenText:
    """Words by a frozen network of texts."""

    def __init__(self, frozen: Frozen, centre: Array | None = None) -> None:
        self.frozen, self.centre = frozen, centre

    def of_text(self, text: str) -> Array | None:
        arrays, present = self.frozen.encode([text])
        return unit(arrays["vector"], self.centre)[0] if present[0] else None

    def of_picture(self, data: bytes) -> Array | None:
        return None


class FrozenPicture:
    """A photo by a frozen network of pictures.

    Args:
        limits: what :func:`tuwen.data.media.normalise` takes, so that a photo becomes what the items' own became.
    """

    def __init__(self, frozen: Frozen, centre: Array | None = None, limits: dict[str, int] | None = None) -> None:
        self.frozen, self.centre, self.limits = frozen, centre, limits or {}

    def of_text(self, text: str) -> Array | None:
        return None

    def of_picture(self, data: bytes) -> Array | None:
        """Raises DataError where the bytes are no picture."""
        arrays, present = self.frozen.encode([normalise(MEDIA["image"].door, data, self.limits)])
        return unit(arrays["vector"], self.centre)[0] if present[0] else None


CHECKSUMS = "checksums.json"  # file → sha256, of a folder's own files and of the network beside it


def saved(folder: Path, frozen: Frozen, centre: Array | None) -> None:
    """Write what :func:`read` needs into ``folder``; its network goes beside it."""
    frozen.save(folder)
    if centre is not None:
        np.save(folder / "centre.npy", centre, allow_pickle=False)
    digest = sha256(frozen.onnx_path)
    own = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    found = {file.relative_to(folder).as_posix(): sha256(file) for file in own}
    write_json(folder / CHECKSUMS, {**found, f"../{digest}.onnx": digest})


def read(folder: Path) -> tuple[Frozen, Array | None]:
    """(the frozen encoder, the centre of its vectors) from ``folder``, every file checked.

    Raises:
        DataError: a file is missing, or is not the one that was written.
    """
    todo = "make the index again: tuwen index DATASET --out INDEX --replace"
    try:
        known: dict[str, str] = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        for name, digest in known.items():
            if sha256(folder / name) != digest:
                raise DataError("a file of the index is damaged", where=str(folder / name), todo=todo)
    except OSError as error:
        where = str(error.filename or folder)
        raise DataError("a file of the index is missing", where=where, seen=error.strerror, todo=todo) from None
    except (ValueError, AttributeError, TypeError):
        raise DataError("a file of the index is damaged", where=str(folder / CHECKSUMS), todo=todo) from None
    centre = folder / "centre.npy"
    return Frozen.load(folder), np.load(centre, allow_pickle=False) if centre.exists() else None
