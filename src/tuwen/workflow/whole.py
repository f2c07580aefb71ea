"""A run from end to end: collect, train (every fold), evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuwen.config import Run, Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError
from tuwen.progress import Progress, Silent, Within
from tuwen.workflow.evaluation import evaluate_folds
from tuwen.workflow.gathering import split_of
from tuwen.workflow.training import train_once


def run(
    run_yaml: str | Path, out: str | Path, overrides: Iterable[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Collect the run's shop anew into ``out/dataset``, train ``out/bundle`` (or one a fold) and write
    ``out/report.json`` and ``.html``.

    Every step goes on where it was stopped when the same command is given again.
    """
    path, out = Path(run_yaml), Path(out)
    spec = Run.read(path, list(overrides))
    if spec.shop is None:
        raise ConfigError(
            "the run names no shop to collect from",
            where=str(path),
            allowed="shop: PATH/TO/SHOP.yaml",
            todo="tuwen train",
        )
    collect(Shop.read((path.parent / spec.shop).resolve()), out / "dataset", progress=progress)
    dataset = Dataset.open(out / "dataset")
    folds = split_of(spec).folds
    bundles = []
    for fold in range(folds):
        folder = out / "bundle" if folds == 1 else out / "folds" / f"bundle-{fold}"
        shown = Within(progress or Silent(), f"fold {fold + 1} of {folds}") if folds > 1 else progress
        bundles.append(train_once(spec, dataset, folder, fold, shown))
    return evaluate_folds(bundles, dataset, out, progress)
