"""What a training will cost, about: epochs, minutes and gigabytes, from counts of rows and speeds that were measured.

The speeds are of one core of a server (2.5 GHz), so minutes are those of a machine like it, and right to a factor of
two there. What a graphics card saves is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.kinds import MEDIA
from tuwen.models import ENCODERS, FUSIONS
from tuwen.preprocess.frozen import VectorCache
from tuwen.preprocess.spec import ArraySpec
from tuwen.workflow.gathering import Gathered
from tuwen.workflow.preparing import Raw, built_modality, encoder_options, raw_values, vectors_folder
from tuwen.workflow.rehearsal import rehearsed
from tuwen.workflow.rules import task_options

# OMP_NUM_THREADS=1 python bench/components.py --processor: milliseconds a row of a training step at the size that it
# names (224 × 224 pixels, 64 tokens, 256 n-grams, 500 × 64 of a spectrogram, 1,024 points, 30 columns), less what its
# parameters cost
STEP_MS = {
    "cnn": 53.0,
    "resnet": 53.0,
    "vit": 7.7,
    "colour": 10.0,
    "lstm": 0.4,
    "gru": 0.9,
    "textcnn": 0.6,
    "transformer": 1.1,
    "ngram": 0.05,
    "audio-cnn": 23.0,
    "pointnet": 5.5,
    "table": 0.1,
    "ft-transformer": 0.7,
}
TRAINED_MS = {"efficientnet-lite0": 86.0, "e5-small": 130.0, "minilm": 50.0}  # not frozen
OTHER_MS = 1.0  # of encoders of plug-ins
SIZE = {"pixels": 224 * 224, "tokens": 64, "bag": 256, "spectrogram": 500 * 64, "points": 1024, "table": 30}
FORWARD = 0.33  # share of a step that an answer costs
ROW_MS = 0.04  # a row of fusion, head and batches
START, NETWORK = 2.0, 2.0  # seconds: to prepare, and to load a frozen network
PARAMETER_NS = 4.5  # of one parameter in one step of AdamW, which moves all of them
# of one value through a frozen network, on texts of gift-cards, olist and flipkart and pictures of flipkart: the
# processor time of Frozen.encode over 120 of them
TOKEN_MS, TEXT_MS = 0.23, 2.5
FROZEN_MS = {"efficientnet-lite0": 6.0, "minilm": 8.0}
HUB_MS = 60.0  # of a network by name: about that of a base-sized transformer
LETTERS_A_TOKEN = 3.6
SCALING = 0.6  # seconds fall with this power of the threads

BASE_GB = 0.6  # Python, torch and polars
EXPORT_GB = {"e5-small": 1.4, "minilm": 0.6, "efficientnet-lite0": 0.8}  # while a network becomes ONNX
ONNX_GB = {"e5-small": 0.08, "minilm": 0.023, "efficientnet-lite0": 0.004}
HUB_GB = 0.5
WIDTH = 800  # numbers of a vector, between those of texts and of pictures
STATES = 16  # bytes of a trained parameter: itself, its gradient, and two moments of AdamW
PICTURES_GB = 1.5  # decoded pictures that a process keeps
SAMPLE = 400  # texts that a vocabulary is learned from to see how fast it grows
GROWTH = 0.75  # Heaps' law: words grow with this power of the texts
RATING_MS = 0.15  # one rating in all draws of one chain


def estimate(run: Run, dataset: Dataset, gathered: Gathered) -> dict[str, Any]:
    """About what one training of the run costs on this machine's processor.

    Returns:
        ``epochs`` (at most; None of raters), ``minutes``, ``memory_gb`` at its peak, ``disk_gb`` of the bundle and of
        vectors that are kept beside the dataset, ``trainings`` (one a fold), and ``vectors``: modality → how many are
        still to be ``made``, and their ``minutes``.
    """
    counts = gathered.counts()
    train, validation = counts["train"], counts["validation"]
    vectors = {name: _vectors(run, name, dataset, gathered) for name in run.modalities if _is_frozen(run, name)}
    specs = {name: spec for name in run.modalities if (spec := _spec(run, name, dataset, gathered)) is not None}
    parameters = 0 if run.raters else _parameters(run, specs)
    epochs = None if run.raters else run.training.epochs
    if epochs is None:
        seconds = train * RATING_MS / 1000 * (run.stacking.folds + 1) * len(run.raters or ())
    else:
        row = ROW_MS + sum(_row_ms(run, name, specs.get(name)) for name in run.modalities)
        steps = -(-train // run.training.batch_size)
        step = (row * (train + FORWARD * validation) + steps * parameters * PARAMETER_NS / 1e6) / 1000
        seconds = epochs * step * _trainings_inside(run) / torch.get_num_threads() ** SCALING
    made = sum(one["minutes"] for one in vectors.values())
    seconds += START + NETWORK * len({run.modalities[name].encoder.use for name in vectors})
    return {
        "epochs": epochs,
        "minutes": _short(made + seconds / 60),
        "memory_gb": _short(_memory(run, vectors, specs, parameters, gathered)),
        "disk_gb": _short(_disk(run, vectors, parameters)),
        "trainings": gathered.split.folds,
        "threads": torch.get_num_threads(),
        "vectors": {name: {"made": one["made"], "minutes": _short(one["minutes"])} for name, one in vectors.items()},
    }


def said(found: Mapping[str, Any]) -> str:
    """The estimate in one line."""
    minutes, epochs = found["minutes"], found["epochs"]
    time = f"{minutes:g} minutes" if minutes >= 1 else f"{max(1, round(60 * minutes))} seconds"
    each = "" if found["trainings"] == 1 else f", for each of {found['trainings']} folds"
    made = sum(one["made"] for one in found["vectors"].values())
    of_vectors = f", {made:,} vectors to be made among it" if made else ""
    passes = "" if epochs is None else f"{epochs} epoch{'s' if epochs > 1 else ''} at most, "
    return (
        f"one training: {passes}about {time}{of_vectors}, {found['memory_gb']:g} GB of memory and "
        f"{found['disk_gb']:g} GB of disk{each}"
    )


def _is_frozen(run: Run, name: str) -> bool:
    return bool(ENCODERS.load(run.modalities[name].encoder.use).is_frozen(encoder_options(run, name)))


def _vectors(run: Run, name: str, dataset: Dataset, gathered: Gathered) -> dict[str, Any]:
    """How many vectors of a frozen encoder are in no cache, their minutes, and their gigabytes."""
    spec = run.modalities[name]
    raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
    firsts, _ = raw.distinct()
    values = [value for value in (raw.values[i] for i in firsts.tolist()) if isinstance(value, str)]
    if spec.use in MEDIA and raw.several is not None and getattr(built_modality(run, name), "pictures", 1) > 1:
        values = list(dict.fromkeys(key for keys in raw.several() for key in keys))
    made = max(0, len(values) - _cached(dataset, values, spec.use))
    each = _value_ms(run, name, values)
    return {"made": made, "minutes": made * each / 60_000, "values": len(values)}


def _cached(dataset: Dataset, values: list[str], use: str) -> int:
    """The most of these values that one folder of kept vectors holds: which network made them is not looked at."""
    from tuwen.training.inputs import text_key

    keys = [value if use in MEDIA else text_key(value) for value in values]
    folders = [path for path in vectors_folder(dataset).glob("*") if path.is_dir()]
    return max((VectorCache(folder).holds(keys) for folder in folders), default=0)


def _value_ms(run: Run, name: str, values: list[str]) -> float:
    spec, encoder = run.modalities[name], run.modalities[name].encoder.use
    if encoder in FROZEN_MS and spec.use != "text":
        return FROZEN_MS[encoder]
    if spec.use != "text":
        return HUB_MS
    return text_ms(values, spec.options.get("length") or 100) * (1.0 if encoder in ONNX_GB else HUB_MS / 15)


def text_ms(texts: Sequence[str], length: int) -> float:
    """Milliseconds that e5-small takes for one of these texts, of which it reads ``length`` tokens."""
    tokens = np.mean([min(_tokens(text), length) for text in texts[:1000]] or [0.0])
    return float(TEXT_MS + TOKEN_MS * tokens)


def _tokens(text: str) -> float:
    wide = sum(ord(letter) > 0x2E80 for letter in text)
    return wide * 0.65 + (len(text) - wide) / LETTERS_A_TOKEN


def _spec(run: Run, name: str, dataset: Dataset, gathered: Gathered) -> ArraySpec | None:
    """The arrays of a modality that is not frozen, with a vocabulary as large as the texts make it."""
    if _is_frozen(run, name):
        return None
    modality, spec = built_modality(run, name), run.modalities[name]
    if ENCODERS.load(spec.encoder.use).pretrained or spec.use not in ("text", "table"):  # to fit others may take long
        return getattr(modality, "sketch", None) or (modality.spec if spec.use in MEDIA else None)
    raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
    rows = gathered.fitting
    some = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))]
    modality.fit(_at(raw, some))
    fitted = modality.spec
    if spec.use != "text":
        return fitted
    grown = (len(rows) / len(some)) ** GROWTH
    largest = getattr(modality, "vocabulary", fitted.sizes[0])
    return replace(fitted, sizes=(min(round(fitted.sizes[0] * grown), largest),))


def _at(raw: Raw, rows: np.ndarray) -> Any:
    return raw.values[rows] if not isinstance(raw.values, list) else [raw.values[i] for i in rows.tolist()]


def _parameters(run: Run, specs: Mapping[str, ArraySpec]) -> int:
    """Trained parameters of the network, built without numbers."""
    model = rehearsed(run, task_options(run), specs)
    return 0 if model is None else sum(p.numel() for p in model.parameters() if p.requires_grad)


def _row_ms(run: Run, name: str, spec: ArraySpec | None) -> float:
    """One row of a training step through a modality's encoder."""
    encoder = run.modalities[name].encoder.use
    if _is_frozen(run, name):
        return 0.02
    reference = TRAINED_MS.get(encoder) or STEP_MS.get(encoder, OTHER_MS)
    if ENCODERS.load(encoder).pretrained == "hub":
        reference = 3 * HUB_MS
    if spec is None or spec.kind not in SIZE:
        return reference
    size = int(np.prod(spec.shape[:2])) if spec.kind in ("pixels", "spectrogram") else int(sum(spec.shape[:1]))
    pictures = max(1, spec.set_size)
    return reference * pictures * (1.0 if spec.kind == "table" else size / SIZE[spec.kind])


def _trainings_inside(run: Run) -> float:
    """How often the network is trained: late fusion does it out of fold too."""
    if run.raters is not None:
        return 1.0
    options = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    folds = options.get("folds", 0) if FUSIONS.load(run.fusion.use).combines_answers else 0
    return 1.0 + max(0, int(folds) - 1) + (1.0 if run.gan is not None else 0.0)


def _memory(
    run: Run, vectors: Mapping[str, Any], specs: Mapping[str, ArraySpec], parameters: int, gathered: Gathered
) -> float:
    used = [run.modalities[name].encoder.use for name in vectors]
    export = 0.0
    for name, encoder in zip(vectors, used, strict=True):
        network = _onnx_gb(encoder)
        export = max(export, EXPORT_GB.get(encoder, 2 * network) if vectors[name]["made"] else 3 * network)
    pictures = 0.0
    for name, spec in specs.items():
        if spec.kind == "pixels" and run.modalities[name].use in MEDIA:
            pictures += min(PICTURES_GB, len(gathered.frame) * float(np.prod(spec.shape)) / 1e9)
    return BASE_GB + max(export, parameters * STATES / 1e9 + pictures + 0.2)


def _disk(run: Run, vectors: Mapping[str, Any], parameters: int) -> float:
    made = {run.modalities[name].encoder.use: bool(one["made"]) for name, one in vectors.items()}
    networks = sum(_onnx_gb(encoder) * (2 if new else 1) for encoder, new in made.items())
    kept = sum(one["made"] for one in vectors.values()) * 4 * WIDTH / 1e9
    return networks + 2 * 4 * parameters / 1e9 + kept  # weights stand in model.safetensors and in network.onnx


def _onnx_gb(encoder: str) -> float:
    """The file of a frozen network."""
    return ONNX_GB.get(encoder, HUB_GB if ENCODERS.load(encoder).pretrained else 0.001)


def _short(value: float) -> float:
    """Two digits: more would say too much."""
    return float(f"{value:.2g}")
