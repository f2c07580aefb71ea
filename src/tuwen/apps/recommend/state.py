"""What was fitted, as files of numbers. Nothing in them can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.history import Array, Catalogue
from tuwen.errors import BundleError

State = dict[str, Any]  # name → array, sparse matrix, number, text, or a mapping of those


def write_state(file: Path, state: Mapping[str, Any]) -> None:
    """One ``.npz``: arrays and sparse matrices by name, all else as JSON.

    Raises:
        TypeError: something that is neither.
    """
    arrays: dict[str, Array] = {}
    plain = _taken_apart(state, "", arrays)
    arrays[""] = np.array(json.dumps(plain, ensure_ascii=False))
    np.savez(file, allow_pickle=False, **arrays)


def _taken_apart(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    if isinstance(value, Mapping):
        return {"map": {key: _taken_apart(inner, f"{name}/{key}", arrays) for key, inner in value.items()}}
    if sparse.issparse(value):
        rows = value.tocsr()
        arrays |= {f"{name}#data": rows.data, f"{name}#indices": rows.indices, f"{name}#indptr": rows.indptr}
        return {"sparse": name, "shape": list(rows.shape)}
    if isinstance(value, np.ndarray):
        arrays[name] = value.astype(np.str_) if value.dtype == object else value
        return {"array": name}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"{name} is no number, text or array: {type(value).__name__}")


def read_state(file: Path) -> State:
    """What :func:`write_state` wrote.

    Raises:
        BundleError: the file is damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return dict(_put_together(json.loads(str(arrays.pop(""))), arrays))
    except (OSError, ValueError, KeyError) as error:
        todo = "copy the bundle again from where it is whole, or train it again"
        raise BundleError("a file of the bundle cannot be read", where=str(file), seen=error, todo=todo) from None


def _put_together(plain: Any, arrays: Mapping[str, Array]) -> Any:
    if "map" in plain:
        return {key: _put_together(inner, arrays) for key, inner in plain["map"].items()}
    if "sparse" in plain:
        name = plain["sparse"]
        parts = (arrays[f"{name}#data"], arrays[f"{name}#indices"], arrays[f"{name}#indptr"])
        return sparse.csr_matrix(parts, shape=tuple(plain["shape"]))
    return arrays[plain["array"]] if "array" in plain else plain["value"]


def of_catalogue(catalogue: Catalogue) -> State:
    return {
        "items": catalogue.items,
        "vectors": dict(catalogue.vectors),
        "categories": dict(catalogue.categories),
        "numbers": dict(catalogue.numbers),
        "launch": catalogue.launch,
    }
