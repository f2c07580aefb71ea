"""``index.json``, which says what of an index folder counts, and the lists of removed rows that it names."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuwen.errors import DataError
from tuwen.files import whole
from tuwen.index.segments import AGAIN

Array = npt.NDArray[Any]
FORMAT = 3
MANIFEST = "index.json"


def alive_of(folder: Path, entry: Mapping[str, Any]) -> Array:
    """bool [rows] of a segment.

    Raises:
        FileNotFoundError: the list of removed rows is gone, as after a rebuild by another process.
        DataError: it is damaged.
    """
    living = np.ones(entry["rows"], bool)
    if entry["removed"] is not None:
        name, expected = entry["removed"]
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise DataError("a file of the index is damaged", where=str(folder / name), todo=AGAIN)
        living[np.load(io.BytesIO(data), allow_pickle=False)] = False
    return living


def write_removed(folder: Path, entry: dict[str, Any], living: Array) -> None:
    """Write down which rows of a segment do not count any more, under a name that was never used before."""
    if living.all():
        return
    name, data = f"{entry['name']}.{time.time_ns()}.removed.npy", io.BytesIO()
    np.save(data, np.flatnonzero(~living).astype(np.int32), allow_pickle=False)
    with whole(folder / name) as file:
        file.write(data.getvalue())
    entry["removed"] = [name, hashlib.sha256(data.getvalue()).hexdigest()]


def files_of(manifest: Mapping[str, Any]) -> set[str]:
    """What a state needs, beside index.json."""
    lists = [entry["removed"] for entry in manifest["segments"]]
    return {file for entry in manifest["segments"] for file in entry["files"]} | {one[0] for one in lists if one}


def sweep(folder: Path, manifest: Mapping[str, Any], *, older: float) -> None:
    """Delete files that this state does not need, and nobody has written to for ``older`` seconds: another process may
    be writing what its next state will need. Readers that have a file open keep it.
    """
    for pattern in ("*.arrow", "*.safetensors", "*.faiss", "*.removed.npy", ".*.half"):
        for path in folder.glob(pattern):
            if path.name not in files_of(manifest) and time.time() - path.stat().st_mtime >= older:
                path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """index.json of the index in ``folder``.

    Raises:
        DataError: it cannot be read, or is of a newer tuwen.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["format"])
        complete = {"generation", "weights", "kind", "settings", "segments"} <= manifest.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("the index cannot be read", where=str(path), seen=error, todo=AGAIN) from None
    if version != FORMAT or not complete:
        raise DataError("the index was written by another tuwen", where=str(path), seen=f"format {version}", todo=AGAIN)
    return manifest
