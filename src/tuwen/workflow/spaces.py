"""The spaces of vectors of an index: what encodes items now, and what is kept so that questions are encoded alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.encoders import read, saved, unit
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.files import MANIFEST, read_manifest
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError
from tuwen.files import publish, room_on_disk
from tuwen.models import ENCODERS
from tuwen.preprocess import MODALITIES
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.text import Text
from tuwen.progress import Progress
from tuwen.training.batches import outputs_of
from tuwen.workflow.contents import is_contrast
from tuwen.workflow.preparing import Raw, calibration_pictures, make_input, raw_values, vectors_folder

NONE = "none"
JOINT = "joint"  # the space of a contrast bundle, and where an index keeps it
ENCODED = ("title", "description")  # the columns that the vector of the words is of
LENGTH = 100  # tokens of them
PICTURE_SHARE = 0.25  # of a joint vector: chosen on the validation part of fashion, photos against a catalogue
PREFIXES = {"e5-small": ("passage: ", "query: ")}  # of items and of questions, as it was trained


def vectors_of(
    table: pl.DataFrame,
    dataset: Dataset,
    *,
    text: str,
    picture: str,
    joint: bool,
    bundle: str | None,
    folder: Path,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Space → f32 [items, width], each of length 1, zeros where an item has none.

    Args:
        text, picture: names of encoders, or ``none``.
        joint: whether there is a space of a contrast bundle.
        bundle: where that lies, if it is not in ``folder`` yet.
        folder: where the encoders of the questions are kept. Those that stand there encode the items too, so that an
            index that grows stays of one space.

    Raises:
        ConfigError: an encoder or a bundle that cannot do this.
    """
    frame = table.rename({name: f"items.{name}" for name in table.columns})
    found: dict[str, np.ndarray] = {}
    fresh = not folder.exists()  # an index that stands without pictures stays so
    if text != NONE:
        found["text"] = _texts(frame, dataset, text, folder / "text", progress)
    if picture != NONE and ((folder / "picture").exists() or (fresh and _has_pictures(table))):
        found["picture"] = _pictures(frame, dataset, picture, folder / "picture", progress)
    if joint:
        if bundle is not None and not (folder / JOINT).exists():
            _keep(Path(bundle), folder / JOINT)
        found[JOINT] = _joint(frame, dataset, folder / JOINT, progress)
    return found


def _has_pictures(table: pl.DataFrame) -> bool:
    return "images" in table.columns and bool(table["images"].list.len().fill_null(0).sum())


def _texts(frame: pl.DataFrame, dataset: Dataset, use: str, folder: Path, progress: Progress) -> np.ndarray:
    tokens: Any = ENCODERS.load(use, "--text").modality_options.get("tokens")
    if tokens is None:
        raise ConfigError("this encoder makes no vectors of words without training", where="--text", seen=use)
    of_item, of_question = PREFIXES.get(use, ("", ""))
    columns = [f"items.{name}" for name in ENCODED if f"items.{name}" in frame.columns]
    if not columns:
        raise ConfigError("the items have neither title nor description to encode", todo="--text none")
    modality = Text(tokens=tokens, length=LENGTH, prefix=of_item)
    modality.fit([])
    raw = raw_values("text", columns, frame, dataset)
    frozen = _frozen("text", use, modality, raw, dataset, folder, progress)
    vectors = _made("text", frozen, raw, dataset, progress)
    if not folder.exists():
        asked = Text(tokens=tokens, length=LENGTH, prefix=of_question)
        asked.fit([])
        saved(folder, Frozen(asked, frozen.onnx_path), None)
    return unit(vectors)


def _pictures(frame: pl.DataFrame, dataset: Dataset, use: str, folder: Path, progress: Progress) -> np.ndarray:
    encoder = ENCODERS.load(use, "--picture")
    if encoder.pretrained is None or "pixels" not in encoder.accepts:
        raise ConfigError("this encoder makes no vectors of pictures without training", where="--picture", seen=use)
    modality: Modality = MODALITIES.build("image", encoder.modality_defaults)
    modality.fit([])
    raw = raw_values("image", ["items.images"], frame, dataset)
    frozen = _frozen("picture", use, modality, raw, dataset, folder, progress)
    vectors = _made("picture", frozen, raw, dataset, progress)
    if folder.exists():
        _, centre = read(folder)
    else:
        centre = vectors[vectors.any(axis=1)].mean(axis=0).astype(np.float32)
        saved(folder, frozen, centre)
    return unit(vectors, centre)


def _frozen(
    name: str, use: str, modality: Modality, raw: Raw, dataset: Dataset, folder: Path, progress: Progress
) -> Frozen:
    """The network of an index that stands, else a new export."""
    if folder.exists():
        return Frozen(modality, read(folder)[0].onnx_path)
    options = ENCODERS.options(use, {}, f"--{name}")
    with progress.task(f"{name}: {use} to ONNX", None):
        path = ENCODERS.load(use).export(
            options,
            modality.spec,
            vectors_folder(dataset),
            lambda: calibration_pictures(modality, raw, raw.distinct()[0]),
        )
    return Frozen(modality, path)


def _made(name: str, frozen: Frozen, raw: Raw, dataset: Dataset, progress: Progress) -> np.ndarray:
    found: Any = make_input(name, frozen, raw, dataset, progress)
    vectors: np.ndarray = found.arrays["vector"][found.index]
    return vectors


# --- A contrast bundle --------------------------------------------------------------------------------------------


def fingerprint_of(bundle: str | Path) -> str:
    """What tells a contrast bundle of items from any other, wherever it lies.

    Raises:
        BundleError: there is none, or it is damaged. ConfigError: it makes no vectors of items.
    """
    folder = Path(bundle)
    opened = Bundle.open(folder)
    run = Run.from_plain(opened.run, str(folder / "run.json"))
    if not is_contrast(run) or run.rows.table != "items":
        raise ConfigError(
            "this bundle has no vectors of items",
            where=f"--bundle {folder}",
            seen=f"task {run.task.use} of {run.rows.table}",
            allowed="a bundle of the task contrast, of items",
        )
    return str(opened.manifest["fingerprint"])


def _keep(bundle: Path, folder: Path) -> None:
    """A copy of a bundle, whole or not at all: what answers questions must not change under an index."""
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    with room_on_disk(folder.parent):
        half.mkdir(parents=True)
        for name in (*read_manifest(bundle)["files"], MANIFEST):
            (half / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, half / name)
        publish(half, folder)


def _joint(frame: pl.DataFrame, dataset: Dataset, folder: Path, progress: Progress) -> np.ndarray:
    """An item's words in the space where words and pictures meet, with a quarter of its picture; of length 1."""
    bundle = Bundle.open(folder)
    run = Run.from_plain(bundle.run, str(folder / "run.json"))
    inputs = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, frame, dataset)
        inputs[name] = make_input(name, bundle.modalities[name], raw, dataset, progress)
    sides: Any = bundle.target.decode(outputs_of(bundle.network, inputs, progress=progress))
    if "text" not in sides or "picture" not in sides:
        return unit(np.sum(list(sides.values()), axis=0))
    return unit(sides["text"] + PICTURE_SHARE * sides["picture"])


class BundleEncoder:
    """Questions by a contrast bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        asked = {one["kind"]: one["column"] for one in reversed(bundle.inputs)}
        self._text, self._picture = asked.get("text"), asked.get("image")

    def of_text(self, text: str) -> np.ndarray | None:
        return self._embedded(self._text, text)

    def of_picture(self, data: bytes) -> np.ndarray | None:
        return self._embedded(self._picture, data)

    def _embedded(self, column: str | None, value: Any) -> np.ndarray | None:
        if column is None:
            return None
        sides = self.bundle.embed([{column: value}])
        vector: np.ndarray = np.sum([side[0] for side in sides.values()], axis=0)
        return vector if vector.any() else None
