"""A bundle in use: rows in, answers out. Reads its own folder; nothing here needs torch but the network itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from tuwen.bundle.files import verify
from tuwen.bundle.graph import GRAPH, load_graph
from tuwen.bundle.reading import KINDS, Question, read_rows
from tuwen.bundle.train_part import TrainPart
from tuwen.data.dialects import Dialect
from tuwen.data.examples import joined_text
from tuwen.data.kinds import MEDIA
from tuwen.deadline import check
from tuwen.errors import BundleError, MissingExtra
from tuwen.preprocess.modality import Modality, load
from tuwen.preprocess.sets import several_of
from tuwen.preprocess.table import Table
from tuwen.preprocess.target import ContrastTarget, Target, from_plain
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
            BundleError: not a bundle, damaged, made by a newer tuwen, or so old that its columns have no kinds.
        """
        manifest = verify(Path(folder))
        if manifest.get("task") == "rank":
            raise BundleError(
                "the bundle recommends, and answers no rows",
                where=str(folder),
                todo=f"tuwen recommend {folder} --shopper USER",
            )
        try:
            _refuse_unknown_kinds(manifest, str(folder))
            return cls(Path(folder), manifest)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                "bundle.json lacks something", where=str(folder), seen=error, todo="train again"
            ) from None

    @cached_property
    def network(self) -> Network:
        """The network, made when first asked for: its ONNX graph, or torch's where there is no graph."""
        if GRAPH in self.manifest["files"]:
            return load_graph(self.folder / GRAPH)
        try:
            from tuwen.bundle.network import load_network
        except ImportError:
            why = (self.manifest.get("export") or {}).get("why")
            what = "running this bundle's network"
            raise MissingExtra("train", f"{what} ({why})" if why else what) from None
        return load_network(self.folder, self.architecture, self.target)

    @cached_property
    def members(self) -> Network | None:
        """What each of its raters says, f32 [rows, raters]; None where it has none."""
        if "raters" not in self.architecture:
            return None
        try:
            from tuwen.bundle.network import load_members
        except ImportError:
            raise MissingExtra("train", "running this bundle's network") from None
        return load_members(self.folder, self.architecture)

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run that made it, as plain data."""
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def train_part(self) -> TrainPart:
        """What it learned from."""
        return TrainPart.read(self.folder)

    @property
    def inputs(self) -> list[dict[str, str]]:
        """Every column it reads: ``{column, kind, modality}`` with a kind of :data:`reading.KINDS`."""
        return [
            {"column": column, "kind": kind, "modality": name}
            for name, found in self.architecture["modalities"].items()
            for column, kind in found["columns"].items()
        ]

    def predict(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Answer each row.

        Args:
            rows: columns by qualified name (``items.title``) or by short name where that is unambiguous. Pictures,
                sounds and shapes are the bytes of a file, or a list of which the first readable one counts (the first
                N where the run said ``pictures: N``); numbers, dates, categories and lists are read as collect reads
                them. What is missing or null counts as absent.

        Returns:
            one dict a row: ``prediction``, and ``probability`` (binary) or ``probabilities`` by class (classify); of a
            contrast bundle ``embeddings`` by side, None where the side is absent. Rows that are unlike those that it
            learned from have a ``note``: an input that no row had, a language that it hardly saw (where most rows are
            in such languages).

        Raises:
            DataError: an unknown column, or a file or value that cannot be read; names row and column.
        """
        question = self.read(rows)
        if question.unreadable:
            raise question.unreadable[0].error
        return self.answer(question)

    def read(self, rows: Sequence[Row], dialects: Mapping[str, Dialect] | None = None) -> Question:
        """Rows as :meth:`predict` takes them → what the modalities take; cells that cannot be read are listed in it.

        Args:
            dialects: how columns of numbers and dates are written, by qualified name; default: as the train part was.

        Raises:
            DataError: no list of rows, or an unknown column.
        """
        separators = {name: found.separator for name, found in self.modalities.items() if isinstance(found, Table)}
        several = {name: most for name, found in self.modalities.items() if (most := several_of(found)) is not None}
        learned = {
            c: d
            for modality in self.modalities.values()
            if isinstance(modality, Table)
            for c, d in modality.dialects.items()
        }
        spoken = {c: (dialects or {}).get(c, d).or_else(d) for c, d in learned.items()}
        return read_rows(rows, self.inputs, self.manifest["media"], separators, several, {**(dialects or {}), **spoken})

    def embed(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """The embeddings of a bundle that was pretrained by contrast.

        Args:
            rows: as :meth:`predict` takes them; a row may hold one side only.

        Returns:
            side (``picture``, ``text``) → f32 [rows, width], each of length 1, so that the inner product is the cosine;
            zeros where the side is absent.

        Raises:
            BundleError: the bundle has another task.
            DataError: an unknown column, or a picture or value that cannot be read; names row and column.
        """
        if not isinstance(self.target, ContrastTarget):
            raise BundleError(
                "this bundle answers rows and has no embeddings",
                where=str(self.folder),
                seen=f"the task {self.target.task}",
                allowed="a bundle of the task contrast",
                todo="bundle.predict(rows)",
            )
        question = self.read(rows)
        if question.unreadable:
            raise question.unreadable[0].error
        width = self.target.width
        return (
            self.target.decode(self.outputs(question))
            if rows
            else dict.fromkeys(self.target.sides, np.zeros((0, width), np.float32))
        )

    def answer(self, question: Question) -> list[dict[str, Any]]:
        """:meth:`predict` for rows that were read; a cell that could not be read counts as absent."""
        if not question.rows:
            return []
        answers = self.answers(self.outputs(question))
        for answer, notes in zip(answers, self.notes(question), strict=True):
            if notes:
                answer["note"] = "; ".join(notes)
        return answers

    def notes(self, question: Question) -> list[list[str]]:
        """Row by row, how it is unlike the rows that the bundle learned from."""
        texts, present = {}, {}
        for name, found in self.architecture["modalities"].items():
            columns = question.columns[name]
            if found["use"] == "text":
                texts[name] = _raw("text", columns)
            present[name] = [any(cell not in (None, []) for cell in row) for row in zip(*columns.values(), strict=True)]
        return self.train_part.notes(texts, present)

    def outputs(self, question: Question) -> np.ndarray:
        """What the network gives for rows that were read, f32 [rows, outputs]; at least one row."""
        inputs: dict[str, Input] = {}
        for name, found in self.architecture["modalities"].items():
            check()
            modality, columns = self.modalities[name], question.columns[name]
            raw = _raw(found["use"], columns) if several_of(modality) is None else _sets(columns)
            arrays, present = modality.encode(raw)
            if self.train_part.never(name):
                present = np.zeros_like(present)
            inputs[name] = EncodedInput(arrays, present, np.arange(question.rows))
        return outputs_of(self.network, inputs)

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """The task's outputs f32 [rows, outputs] as one dict a row."""
        decoded = self.target.decode(outputs)
        if isinstance(self.target, ContrastTarget):
            return [
                {"embeddings": {side: found[i].tolist() if found[i].any() else None for side, found in decoded.items()}}
                for i in range(len(outputs))
            ]
        rows: list[dict[str, Any]] = [{"prediction": _plain(value)} for value in decoded["prediction"]]
        for i, row in enumerate(rows):
            if "probability" in decoded:
                row["probability"] = float(decoded["probability"][i])
            if "probabilities" in decoded:
                row["probabilities"] = dict(
                    zip(self.target.classes, map(float, decoded["probabilities"][i]), strict=True)
                )
        return rows


def _raw(use: str, columns: dict[str, Any]) -> Any:
    """The raw values of one modality, as its ``encode`` takes them."""
    if use in MEDIA:
        return [next((one for one in cells if one), None) for cells in zip(*columns.values(), strict=True)]
    frame = pl.DataFrame(list(columns.values()))
    return joined_text(frame, list(columns)) if use == "text" else frame


def _sets(columns: dict[str, list[list[bytes]]]) -> list[list[bytes]]:
    """The different pictures of each row, in the order of its columns."""
    return [list(dict.fromkeys(chain(*cells))) for cells in zip(*columns.values(), strict=True)]


def _refuse_unknown_kinds(manifest: dict[str, Any], folder: str) -> None:
    """A bundle made before its columns had kinds, or a newer one: no door could ask for its columns."""
    for found in manifest["architecture"]["modalities"].values():
        for column, kind in dict(found["columns"]).items():
            if kind not in KINDS:
                raise BundleError(
                    "the bundle does not say what a column holds in words that this tuwen knows",
                    where=folder,
                    seen=f"'{column}' holds '{kind}'; made by tuwen {manifest.get('tuwen', '?')}",
                    allowed=KINDS,
                    todo="train it again: tuwen train RUN.yaml DATASET --out ANOTHER_FOLDER",
                )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
