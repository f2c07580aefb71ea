"""``init: BUNDLE``: a run whose encoders start from another bundle's, with that bundle's vocabularies and statistics.

An encoder is taken over where the modality of the same name is of the same kind, with the same options and the same
encoder: then the arrays, and the shapes of all weights, are the same too. The task's head and the fusion start anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from tuwen.bundle.bundle import Bundle
from tuwen.bundle.files import MANIFEST, read_manifest
from tuwen.bundle.network import WEIGHTS
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.kinds import MEDIA
from tuwen.errors import BundleError, ConfigError
from tuwen.models.encoder import Encoder
from tuwen.models.model import Model
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.sets import as_set, of_each, pictures_of
from tuwen.progress import Progress
from tuwen.workflow.preparing import Raw, built_modality, encoder_options, fitted_modality

# what may differ: it changes how the weights are trained on, not what they are
FREE_OF_ENCODER = ("dropout", "word_dropout", "train_layers")
COMPARED = ("hash", "split", "fold")  # of the data: alike where two bundles hold out the same rows
FREE_OF_MODALITY = ("flip", "shift", "brightness", "contrast", "gain", "turn", "jitter")


@dataclass(frozen=True)
class Start:
    """What a run takes over.

    Attributes:
        bundle: where from.
        taken: modality → its encoder's parameters and buffers.
        left: modality of the run → why it starts anew.
    """

    bundle: Bundle
    taken: dict[str, dict[str, Tensor]]
    left: dict[str, str]

    def plain(self) -> dict[str, Any]:
        """What bundle.json remembers of it; ``init`` is what that bundle itself started from."""
        manifest = self.bundle.manifest
        return {
            "name": manifest["name"],
            "task": manifest["task"],
            "fingerprint": manifest["fingerprint"],
            "data": {key: manifest["data"].get(key) for key in COMPARED},
            "taken": sorted(self.taken),
            "left": self.left,
            "init": manifest.get("init"),
        }

    def told(self) -> str:
        """One line for a person."""
        new = "; ".join(f"{name} starts anew: {why}" for name, why in self.left.items())
        return f"starts from {self.bundle.manifest['name']}: {', '.join(sorted(self.taken))}" + (
            f" ({new})" if new else ""
        )


def start_of(run: Run) -> Start | None:
    """What the run starts from; None without ``init``.

    Raises:
        BundleError: there is no whole bundle at ``init``.
        ConfigError: nothing of it fits the run.
    """
    if run.init is None:
        return None
    bundle = _opened(run.init, init_fingerprint(run) or "")
    known: dict[str, Any] = bundle.architecture["modalities"]
    reasons = {name: _difference(run, name, bundle) for name in run.modalities}
    left = {name: why for name, why in reasons.items() if why is not None}
    if len(left) == len(reasons):
        raise ConfigError(
            "nothing of the bundle fits this run",
            where=run.where("init"),
            seen="; ".join(f"{name}: {why}" for name, why in left.items()),
            allowed=", ".join(f"{name} ({found['use']}, {found['encoder']['use']})" for name, found in known.items()),
            todo="give a modality the name, the options and the encoder that it has there, or take init out",
        )
    weights = _weights(bundle.folder, init_fingerprint(run) or "")
    taken = {
        name: {
            key.removeprefix(f"encoders.{name}."): t
            for key, t in weights.items()
            if key.startswith(f"encoders.{name}.")
        }
        for name in run.modalities
        if name not in left
    }
    return Start(bundle, taken, left)


def init_fingerprint(run: Run) -> str | None:
    """The fingerprint of the bundle that the run starts from; None without ``init``.

    Raises:
        BundleError: there is no such bundle; names the key of the run.
    """
    if run.init is None:
        return None
    try:
        return str(read_manifest(run.init)["fingerprint"])
    except (BundleError, KeyError) as error:
        what = error.what if isinstance(error, BundleError) else "the bundle does not say what it was made from"
        raise BundleError(
            f"the run cannot start from this bundle: {what}",
            where=run.where("init"),
            seen=run.init,
            todo="name the folder of a bundle; in a run file the path is relative to the file",
        ) from None


def can_start(run: Run) -> bool:
    """Whether the bundle that the run starts from, if any, is where it was."""
    return run.init is None or (Path(run.init) / MANIFEST).is_file()


@lru_cache(maxsize=2)
def _opened(folder: str, fingerprint: str) -> Bundle:
    """Checked and read once for all modalities of a run; another fingerprint is another bundle."""
    return Bundle.open(folder)


@lru_cache(maxsize=2)
def _weights(folder: Path, fingerprint: str) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def _difference(run: Run, name: str, bundle: Bundle) -> str | None:
    """Why a modality cannot be taken over; None where it can."""
    found = bundle.architecture["modalities"].get(name)
    spec = run.modalities[name]
    if found is None:
        return "the bundle has no modality of that name"
    if "raters" in bundle.architecture:
        return "the bundle has raters, which train no encoder"
    if found["use"] != spec.use:
        return f"it is {found['use']} there"
    if found["encoder"]["use"] != spec.encoder.use:
        return f"its encoder is {found['encoder']['use']} there"
    other = _unlike(encoder_options(run, name), found["encoder"]["options"], FREE_OF_ENCODER)
    if other is None:
        there = of_each(bundle.modalities[name])
        inner, own = there.modality if isinstance(there, Frozen) else there, built_modality(run, name)
        here = {"pictures": getattr(own, "pictures", 1)} | own.options  # type: ignore[attr-defined]
        known = {"pictures": pictures_of(bundle.modalities[name])} | inner.options  # type: ignore[attr-defined]
        other = _unlike(here, known, FREE_OF_MODALITY)
    return other


def _unlike(here: dict[str, Any], there: dict[str, Any], free: tuple[str, ...]) -> str | None:
    for key in (*here, *(k for k in there if k not in here)):
        a, b = here.get(key), there.get(key)
        if key not in free and _listed(a) != _listed(b):
            return f"{key} is {b} there, {a} here"
    return None


def _listed(value: Any) -> Any:
    """Tuples as lists: one of the two came out of JSON."""
    return [_listed(one) for one in value] if isinstance(value, tuple | list) else value


def origins(run: Run, bundles: Sequence[Bundle]) -> list[dict[str, Any]]:
    """What bundles of one run (one a fold) started from, and what that started from in turn, for the report.

    ``same_split`` tells whether it was trained on the same data, split alike: only then are the test rows new to it;
    ``gone`` whether it is no longer where the run found it.
    """
    found: list[dict[str, Any]] = []
    init = bundles[0].manifest.get("init")
    own = [{key: bundle.manifest["data"].get(key) for key in COMPARED} for bundle in bundles]
    while init is not None:
        found.append(
            {
                "name": init["name"],
                "task": init["task"],
                "data": str(init["data"]["hash"])[:12],
                "taken": init["taken"],
                "same_split": all(one == init["data"] for one in own),
                "gone": not found and not can_start(run),
            }
        )
        init = init["init"]
    return found


# --- Taking over --------------------------------------------------------------------------------------------------


def modality_for(
    run: Run, name: str, raw: Raw, train_rows: np.ndarray, dataset: Dataset, progress: Progress
) -> Modality:
    """The modality ``name``, fitted: by the bundle that the run starts from where it is taken over, else on the train
    rows.
    """
    start = start_of(run)
    if start is None or name not in start.taken:
        return fitted_modality(run, name, raw, train_rows, dataset, progress)
    there = start.bundle.modalities[name]
    if run.modalities[name].use not in MEDIA or isinstance(of_each(there), Frozen):
        return there
    # of media nothing is fitted, and the run may augment them in its own way
    return as_set(built_modality(run, name), pictures_of(there))


def take_over(run: Run, model: Model, progress: Progress) -> set[str]:
    """Put the bundle's weights into the encoders that are taken over, and tell what was and what was not.

    Returns:
        the modalities whose encoders are ready, statistics included.
    """
    start = start_of(run)
    if start is None:
        return set()
    for name, weights in start.taken.items():
        encoder = model.encoders[name]
        encoder.load_state_dict(weights)
        assert isinstance(encoder, Encoder)
        encoder.brought = True
    with progress.task(start.told()):
        pass
    return set(start.taken)
