"""What was fitted, as files of numbers. Nothing in them can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.history import Array, Catalogue, Shoppers
from tuwen.errors import BundleError

PLAIN = "state.json"
State = dict[str, Any]  # name → array, sparse matrix, number, text, or a mapping of those


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """A new folder: each array and each part of a sparse matrix a ``.npy`` by number, all else in ``state.json``.

    Raises:
        TypeError: something that is neither.
    """
    arrays: list[Array] = []
    plain = _taken_apart(state, "", arrays)
    folder.mkdir(parents=True)
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array, allow_pickle=False)
    (folder / PLAIN).write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")


def _taken_apart(value: Any, name: str, arrays: list[Array]) -> Any:
    if isinstance(value, Mapping):
        return {"map": {key: _taken_apart(inner, f"{name}/{key}", arrays) for key, inner in value.items()}}
    if sparse.issparse(value):
        rows = value.tocsr()
        arrays += [rows.data, rows.indices, rows.indptr]
        return {"sparse": len(arrays) - 3, "shape": list(rows.shape)}
    if isinstance(value, np.ndarray):
        arrays.append(value.astype(np.str_) if value.dtype == object else value)
        return {"array": len(arrays) - 1}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"{name} is no number, text or array: {type(value).__name__}")


def read_state(folder: Path) -> State:
    """What :func:`write_state` wrote. Arrays are maps of their files, which processes share, and cannot be changed.

    Raises:
        BundleError: a file is damaged.
    """
    try:
        plain = json.loads((folder / PLAIN).read_text(encoding="utf-8"))
        return dict(_put_together(plain, folder))
    except (OSError, ValueError, KeyError) as error:
        todo = "copy the bundle again from where it is whole, or train it again"
        raise BundleError("a file of the bundle cannot be read", where=str(folder), seen=error, todo=todo) from None


def _put_together(plain: Any, folder: Path) -> Any:
    if "map" in plain:
        return {key: _put_together(inner, folder) for key, inner in plain["map"].items()}
    if "sparse" in plain:
        first = plain["sparse"]
        parts = tuple(_mapped(folder, number) for number in range(first, first + 3))
        return sparse.csr_matrix(parts, shape=tuple(plain["shape"]), copy=False)
    return _mapped(folder, plain["array"]) if "array" in plain else plain["value"]


def _mapped(folder: Path, number: int) -> Array:
    return np.asarray(np.load(folder / f"{number}.npy", mmap_mode="r", allow_pickle=False))


def of_catalogue(catalogue: Catalogue) -> State:
    return {
        "items": catalogue.items,
        "vectors": dict(catalogue.vectors),
        "categories": dict(catalogue.categories),
        "numbers": dict(catalogue.numbers),
        "launch": catalogue.launch,
    }


def of_shoppers(shoppers: Shoppers) -> State:
    return {
        "numbers": dict(shoppers.numbers),
        "categories": dict(shoppers.categories),
        "levels": {name: np.asarray(levels, np.str_) for name, levels in shoppers.levels.items()},
    }
