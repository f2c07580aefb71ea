"""A bundle in use: rows in, answers out. Reads its own folder; nothing here needs torch but the network itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from tuwen.bundle.files import verify
from tuwen.data.examples import joined_text
from tuwen.data.media import normalise
from tuwen.errors import BundleError, DataError, MissingExtra, did_you_mean
from tuwen.preprocess.modality import Modality, load
from tuwen.preprocess.target import Target, from_plain
from tuwen.training.batches import Network, outputs_of
from tuwen.training.inputs import EncodedInput, Input

Row = Mapping[str, Any]


class Bundle:
    """A trained model and everything it needs to answer.

    Attributes:
        folder: where it lies.
        manifest: the content of bundle.json.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.architecture: dict[str, Any] = manifest["architecture"]
        self.target: Target = from_plain(manifest["target"])
        self.modalities: dict[str, Modality] = {
            name: load(folder / "modalities" / name) for name in self.architecture["modalities"]
        }

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Check every file of the bundle and read it.

        Raises:
            BundleError: not a bundle, damaged, or made by a newer tuwen.
        """
        manifest = verify(Path(folder))
        try:
            return cls(Path(folder), manifest)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                "bundle.json lacks something", where=str(folder), seen=error, todo="train again"
            ) from None

    @cached_property
    def network(self) -> Network:
        """The network; built when first asked for."""
        try:
            from tuwen.bundle.network import load_network
        except ImportError:
            raise MissingExtra("train", "running this bundle's network") from None
        return load_network(self.folder, self.architecture, self.target)

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run that made it, as plain data."""
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    @property
    def inputs(self) -> list[dict[str, str]]:
        """Every column it reads: ``{column, kind, modality}`` with kind image, text, number, category, date or list."""
        return [
            {"column": column, "kind": kind, "modality": name}
            for name, found in self.architecture["modalities"].items()
            for column, kind in found["columns"].items()
        ]

    def predict(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Answer each row.

        Args:
            rows: columns by qualified name (``items.title``) or by short name where that is unambiguous. Pictures are
                the bytes of an image file. What is missing or null counts as absent.

        Returns:
            one dict a row: ``prediction``, and ``probability`` (binary) or ``probabilities`` by class (classify).

        Raises:
            DataError: an unknown column, a picture that cannot be read, a value of the wrong kind.
        """
        if isinstance(rows, str | bytes | Mapping) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError(
                "predict takes a list of rows", seen=type(rows).__name__, allowed='[{"items.title": "…"}, …]'
            )
        if not rows:
            return []
        named = [self._named(row, i) for i, row in enumerate(rows)]
        inputs: dict[str, Input] = {}
        for name, found in self.architecture["modalities"].items():
            arrays, present = self.modalities[name].encode(self._raw(found["use"], list(found["columns"]), named))
            inputs[name] = EncodedInput(arrays, present, np.arange(len(rows)))
        return self.answers(outputs_of(self.network, inputs))

    def problem(self, picture: bytes) -> str | None:
        """Why a picture cannot be read; None where it can."""
        try:
            normalise(picture, **self.manifest["media"])
        except DataError as error:
            return error.what
        return None

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """The task's outputs f32 [rows, outputs] as one dict a row."""
        decoded = self.target.decode(outputs)
        rows: list[dict[str, Any]] = [{"prediction": _plain(value)} for value in decoded["prediction"]]
        for i, row in enumerate(rows):
            if "probability" in decoded:
                row["probability"] = float(decoded["probability"][i])
            if "probabilities" in decoded:
                row["probabilities"] = dict(
                    zip(self.target.classes, map(float, decoded["probabilities"][i]), strict=True)
                )
        return rows

    def _named(self, row: Row, position: int) -> dict[str, Any]:
        """The row with every column under its qualified name."""
        columns = [entry["column"] for entry in self.inputs]
        named: dict[str, Any] = {}
        for key, value in row.items():
            fits = [c for c in dict.fromkeys(columns) if c == key or c.partition(".")[2] == key]
            if len(fits) != 1:
                raise DataError(
                    f"'{key}' could be more than one column" if fits else f"the bundle reads no column '{key}'",
                    where=f"row {position + 1}",
                    allowed=fits or dict.fromkeys(columns),
                    todo=None if fits else did_you_mean(key, [*columns, *(c.partition(".")[2] for c in columns)]),
                )
            if fits[0] in named:
                raise DataError(
                    f"'{fits[0]}' is given twice", where=f"row {position + 1}", todo="leave one of them out"
                )
            named[fits[0]] = _given(value)
        return named

    def _raw(self, use: str, columns: list[str], rows: list[dict[str, Any]]) -> Any:
        """The raw values of one modality, as its ``encode`` takes them."""
        if use == "image":
            limits = self.manifest["media"]
            return [
                next((_picture(row[c], i, c, limits) for c in columns if row.get(c)), None)
                for i, row in enumerate(rows)
            ]
        frame = pl.DataFrame(
            {c: pl.Series(c, [row.get(c) for row in rows], strict=False) for c in columns}, strict=False
        )
        return joined_text(frame, columns) if use == "text" else frame


def _picture(value: Any, position: int, column: str, limits: dict[str, int]) -> bytes:
    if isinstance(value, list):
        value = value[0]
    if not isinstance(value, bytes):
        raise DataError(
            "a picture must be the bytes of an image file",
            where=f"row {position + 1}, '{column}'",
            seen=type(value).__name__,
        )
    try:
        return normalise(value, **limits)
    except DataError as error:
        raise DataError(
            error.what, where=f"row {position + 1}, '{column}'", seen=error.seen, allowed=error.allowed
        ) from None


def _given(value: Any) -> Any:
    """NaN is how data frames say nothing; a lone surrogate is half a character that no file can hold."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
