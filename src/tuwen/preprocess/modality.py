"""What every modality does, and how its fitted state is kept."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from tuwen.errors import BundleError, TuwenError
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress

Arrays = dict[str, np.ndarray]

STATE = "state.json"


class Modality(Protocol):
    """Raw values → arrays. Fitted once on the train part, replayed identically in serving.

    A row's arrays never depend on the other rows of the call. Missing or broken input is ``present = False`` and zeros.
    """

    @property
    def spec(self) -> ArraySpec:
        """The arrays of one row. Raises TuwenError where it is known only after ``fit``; such a modality also has
        ``sketch``, the spec as far as it is known before, so that a run can be checked without data.
        """
        ...

    def fit(self, values: Any, progress: Progress | None = None) -> None: ...

    def encode(self, values: Any) -> tuple[Arrays, np.ndarray]:
        """``values`` → (arrays [rows, ...], present bool [rows])."""
        ...

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Training time only. Never changes its input in place."""
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def load(folder: str | Path) -> Modality:
    """Any saved modality, by the class that its state names.

    Raises:
        BundleError: no readable state there.
    """
    state = read_state(Path(folder))
    module, _, name = str(state.get("class", "")).partition(":")
    if not module.startswith("tuwen."):
        raise BundleError(
            "the state names no modality of tuwen", where=str(Path(folder) / STATE), seen=state.get("class")
        )
    loaded: Modality = getattr(import_module(module), name).load(Path(folder))
    return loaded


def write_state(folder: Path, modality: object, options: dict[str, Any], fitted: dict[str, Any]) -> None:
    """``state.json``: which class, its options, and what it learned; all plain data."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = type(modality)
    state = {"class": f"{kind.__module__}:{kind.__qualname__}", "options": options, "fitted": fitted}
    (folder / STATE).write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")


def read_state(folder: Path) -> dict[str, Any]:
    """What :func:`write_state` wrote.

    Raises:
        BundleError: the file is missing or damaged.
    """
    path = folder / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError("the fitted state of a modality cannot be read", where=str(path), seen=error) from None
    if not isinstance(state, dict) or not {"class", "options", "fitted"} <= state.keys():
        raise BundleError("the fitted state of a modality is incomplete", where=str(path))
    return state


def not_fitted(name: str) -> TuwenError:
    return TuwenError(f"the {name} modality is not fitted yet", todo="call fit(values) on the train part first")
