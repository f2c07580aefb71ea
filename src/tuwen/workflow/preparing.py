"""From rows to what the network reads: modalities fitted (or taken from a bundle) and one input each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.config import ModalitySpec, RankRun, Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import all_media, first_medium, joined_text
from tuwen.data.kinds import MEDIA, medium_of
from tuwen.errors import ConfigError
from tuwen.models import ENCODERS
from tuwen.preprocess import MODALITIES
from tuwen.preprocess.frozen import Frozen, VectorCache
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.ocr import text_of
from tuwen.preprocess.picture_text import PictureText
from tuwen.preprocess.sets import PictureSet, as_set
from tuwen.progress import Progress, Silent
from tuwen.training.inputs import EncodedInput, Input, SetInput, StreamedInput, distinct, text_key
from tuwen.workflow.picture_words import lines_of

CALIBRATION_PICTURES = 64


@dataclass(frozen=True)
class Raw:
    """The raw values of one modality, row by row.

    Attributes:
        values: media keys or None (image, picture-text, audio, shape), str or None (text), a frame (table).
        read: what turns a value into what ``encode`` takes.
        several: of media, row by row every key and not only the first.
    """

    use: str
    values: Any
    read: Callable[[Any], Any] | None = None
    several: Callable[[], list[list[str]]] | None = None

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """(first row of each distinct value, row → distinct value)."""
        if isinstance(self.values, pl.DataFrame):
            every = np.arange(len(self.values))
            return every, every
        return distinct(self.values)

    def at(self, rows: np.ndarray) -> Any:
        """The values of some rows as ``encode`` takes them."""
        if isinstance(self.values, pl.DataFrame):
            return self.values[rows]
        values = [self.values[i] for i in rows.tolist()]
        return [self.read(v) for v in values] if self.read else values


def raw_values(use: str, columns: Sequence[str], frame: pl.DataFrame, dataset: Dataset) -> Raw:
    """What a modality of kind ``use`` gets from these columns."""
    if (medium := medium_of(use)) is not None:
        media = dataset.media
        return Raw(
            use,
            first_medium(frame, columns, medium),
            lambda key: None if key is None else media.read(key),
            lambda: all_media(frame, columns, medium),
        )
    return Raw(use, joined_text(frame, columns) if use == "text" else frame.select(columns))


def fitted_modality(
    run: Run | RankRun, name: str, raw: Raw, train_rows: np.ndarray, dataset: Dataset, progress: Progress
) -> Modality:
    """Build the modality ``name`` of the run and fit it on the train rows; wrapped in its frozen encoder where it
    has one, and read for each of a row's pictures where several are asked for.
    """
    spec = run.modalities[name]
    modality = built_modality(run, name)
    most = 1 if isinstance(modality, PictureText) else getattr(modality, "pictures", 1)
    raw = _texts_of_pictures(name, modality, raw, dataset, progress)
    firsts, index = raw.distinct()
    modality.fit(raw.at(firsts[np.unique(index[train_rows])] if spec.use not in MEDIA else firsts[:0]))
    encoder = ENCODERS.load(spec.encoder.use)
    options = encoder_options(run, name)
    if not encoder.is_frozen(options):
        return as_set(modality, most)
    folder = vectors_folder(dataset)
    with progress.task(f"{name}: {spec.encoder.use} to ONNX", None):
        path = encoder.export(options, modality.spec, folder, lambda: calibration_pictures(modality, raw, firsts))
    return as_set(Frozen(modality, path), most)


def built_modality(run: Run | RankRun, name: str) -> Modality:
    """The modality ``name`` of the run, not fitted; of pictures, that of one."""
    use, options = run.modalities[name].use, modality_options(run, name)
    modality: Modality = MODALITIES.build(use, options, where=run.where("modalities", name))
    return modality


def modality_options(run: Run | RankRun, name: str) -> dict[str, Any]:
    """The run's options of a modality, completed by what its encoder's weights demand."""
    spec: ModalitySpec = run.modalities[name]
    place = run.where("modalities", name, "encoder")
    encoder = ENCODERS.load(spec.encoder.use, place)
    options = encoder_options(run, name)
    try:
        demanded: dict[str, Any] = encoder.demanded(options)
    except ConfigError as error:
        raise ConfigError(error.what, where=place, seen=error.seen, allowed=error.allowed, todo=error.todo) from None
    defaults: dict[str, Any] = encoder.modality_defaults
    for option, value in demanded.items():
        if spec.options.get(option, value) != value:
            raise ConfigError(
                f"the encoder {spec.encoder.use} needs {option}: {value}",
                where=run.where("modalities", name, option),
                seen=spec.options[option],
                todo="leave the option out",
            )
    return defaults | demanded | spec.options


def encoder_options(run: Run | RankRun, name: str) -> dict[str, Any]:
    encoder = run.modalities[name].encoder
    return ENCODERS.options(encoder.use, encoder.options, run.where("modalities", name, "encoder"))


def make_input(name: str, modality: Modality, raw: Raw, dataset: Dataset, progress: Progress | None = None) -> Input:
    """One modality's input over all rows: vectors from the cache, media streamed, the rest encoded once."""
    progress = progress or Silent()
    if isinstance(modality, PictureSet):
        return _sets(name, modality, raw, dataset, progress)
    raw = _texts_of_pictures(name, modality, raw, dataset, progress)
    firsts, index = raw.distinct()
    if isinstance(modality, Frozen):
        return _vectors(name, modality, raw, firsts, index, dataset, progress)
    if raw.use in MEDIA:
        values = [raw.values[i] for i in firsts.tolist()]
        return StreamedInput(values, modality.encode, index, raw.read)
    arrays, present = modality.encode(raw.at(firsts))
    return EncodedInput(arrays, present, index)


def _texts_of_pictures(name: str, modality: Modality, raw: Raw, dataset: Dataset, progress: Progress) -> Raw:
    """The texts of what stands in each row's pictures, where the modality reads that; else ``raw``."""
    inner = modality.modality if isinstance(modality, Frozen) else modality
    if not isinstance(inner, PictureText) or raw.several is None:
        return raw
    rows = [tuple(dict.fromkeys(keys))[: inner.pictures] for keys in raw.several()]
    lines = lines_of(name, [key for row in rows for key in row], inner.reader, dataset, progress)
    texts = ["\n".join(filter(None, (text_of(lines[key]) for key in row))) or None for row in rows]
    return Raw("text", texts)


def _sets(name: str, modality: PictureSet, raw: Raw, dataset: Dataset, progress: Progress) -> SetInput:
    """Every distinct picture is one value of an input of its own; rows with the same pictures share a set."""
    assert raw.several is not None
    rows = [tuple(dict.fromkeys(keys))[: modality.most] for keys in raw.several()]
    known = list(dict.fromkeys(rows))
    keys = list(dict.fromkeys(key for row in known for key in row))
    place = {key: at for at, key in enumerate(keys)}
    sets = np.full((len(known), modality.most), len(keys), np.int64)  # of empty places: the absent picture at the end
    for at, row in enumerate(known):
        sets[at, : len(row)] = [place[key] for key in row]
    pictures = make_input(name, modality.modality, Raw(raw.use, [*keys, None], raw.read), dataset, progress)
    number = {row: at for at, row in enumerate(known)}
    return SetInput(pictures, sets, np.array([number[row] for row in rows], np.int64))


def _vectors(
    name: str, frozen: Frozen, raw: Raw, firsts: np.ndarray, index: np.ndarray, dataset: Dataset, progress: Progress
) -> EncodedInput:
    values = [raw.values[i] for i in firsts.tolist()]
    keys = [value if value is None or raw.use in MEDIA else text_key(value) for value in values]

    def compute(missing: Sequence[int]) -> np.ndarray:
        arrays, _ = frozen.encode(raw.at(firsts[np.asarray(missing, dtype=np.int64)]))
        return arrays["vector"]

    cache = VectorCache(vectors_folder(dataset) / frozen.fingerprint)
    with progress.task(f"{name}: vectors", len(keys)) as bar:
        vectors = cache.fetch(keys, compute, bar.advance)
    if not vectors.shape[1]:  # nothing is there, and no vector was ever made
        vectors = np.zeros((len(keys), frozen.spec.shape[0]), np.float32)
    # a picture that could not be decoded has no vector: its row is all zeros and absent
    return EncodedInput({"vector": vectors}, np.any(vectors, axis=1), index)


def vectors_folder(dataset: Dataset) -> Path:
    return dataset.folder / "vectors"


def calibration_pictures(modality: Modality, raw: Raw, firsts: np.ndarray) -> np.ndarray:
    """uint8 [≤ 64, height, width, 3]: the catalogue's first pictures by content hash. Unlabelled, so no truth leaks."""
    keys = sorted({raw.values[i] for i in firsts.tolist()} - {None})[:CALIBRATION_PICTURES]
    arrays, present = modality.encode([raw.read(key) for key in keys] if raw.read else keys)
    return arrays["pixels"][present]
