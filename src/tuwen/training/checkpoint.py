"""One safetensors file that holds everything a training needs to go on: no pickle, replaced atomically."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tuwen.errors import DataError
from tuwen.files import is_full, make_folder, rename, sync


@dataclass
class Checkpoint:
    """Where a training stands.

    Attributes:
        fingerprint: hash of the run and the data; a checkpoint of another run is not resumed.
        epoch, step: the next step to take within this epoch.
        progress: plain numbers: history, the best score and its epoch, the running loss.
        tensors: ``model/…``, ``best/…``, ``average/…``, ``optimiser/GROUP-FREE INDEX/NAME``.
    """

    fingerprint: str
    epoch: int
    step: int
    progress: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below ``name/``."""
        return {k.removeprefix(f"{name}/"): v for k, v in self.tensors.items() if k.startswith(f"{name}/")}


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write beside, flush to the disk, then replace: a crash leaves the old checkpoint or the new one.

    Raises:
        DataError: the disk is full or not writable; the old checkpoint is intact.
    """
    beside = path.with_suffix(".partial")
    plain = {key: getattr(checkpoint, key) for key in ("fingerprint", "epoch", "step", "progress")}
    try:
        make_folder(path.parent)
        write_tensors(checkpoint.tensors, beside, {"tuwen": json.dumps(plain)})
        sync(beside)
        rename(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """A safetensors file.

    Raises:
        DataError: it cannot be written, most often because the disk is full.
    """
    try:
        # clones, because safetensors refuses tensors that share memory
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, path, metadata)
    except SafetensorError as error:
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        raise DataError(
            "the file cannot be written",
            where=str(path),
            seen=error,
            todo="make room and run the same command again: what was there before is untouched",
        ) from None


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at ``path``; None if there is none or it cannot be read (training then starts anew)."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads(file.metadata()["tuwen"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):  # truncated or foreign: the same as none
        return None
    return Checkpoint(plain["fingerprint"], plain["epoch"], plain["step"], plain["progress"], tensors)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors: ``INDEX/NAME``."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}/{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put :func:`optimiser_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
