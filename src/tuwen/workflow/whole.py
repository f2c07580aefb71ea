"""A run from end to end: collect, train (every fold), evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuwen.bundle.files import read_manifest
from tuwen.config import Run, Shop
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError, ConfigError
from tuwen.progress import Progress, Silent, Within
from tuwen.workflow.contents import contrast_target, is_contrast
from tuwen.workflow.evaluation import evaluate_folds
from tuwen.workflow.kinds import own_task, part_of
from tuwen.workflow.rules import split_of
from tuwen.workflow.steps import collected
from tuwen.workflow.training import train_once


def run(
    run_yaml: str | Path,
    out: str | Path,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Collect the run's shop anew into ``out/dataset``, train ``out/bundle`` (or one a fold) and write
    ``out/report.json`` and ``.html``.

    Every step goes on where it was stopped when the same command is given again, and what is done is not done twice.
    ``out`` belongs to the run of that name: after a change of its settings, its shop or tuwen, its bundles there are
    replaced.

    Args:
        replace: also replace the bundles of another run.

    Raises:
        BundleError: ``out`` holds a bundle of a run with another name; told before anything is written.
    """
    path, out = Path(run_yaml), Path(out)
    overrides = list(overrides)
    if task := own_task(path, overrides):
        report: dict[str, Any] = part_of(task, "run")(path, out, overrides, progress)
        return report
    spec = Run.read(path, overrides)
    if spec.shop is None:
        raise ConfigError(
            "the run names no shop to collect from",
            where=str(path),
            allowed="shop: PATH/TO/SHOP.yaml",
            todo="tuwen train",
        )
    if is_contrast(spec) and not contrast_target(spec).directions:
        raise ConfigError(
            "there would be nothing to evaluate: a kind of modality is paired with itself only",
            where=spec.where("task", "pairs"),
            todo="tuwen train, and a run that starts from its bundle: init",
        )
    folds = split_of(spec).folds
    places = [out / "bundle"] if folds == 1 else [out / "folds" / f"bundle-{fold}" for fold in range(folds)]
    if not replace:
        for place in places:
            _refuse_another_run(spec, place)
    collected(Shop.read((path.parent / spec.shop).resolve()), out / "dataset", progress)
    dataset = Dataset.open(out / "dataset")
    bundles = []
    for fold, place in enumerate(places):
        shown = Within(progress or Silent(), f"fold {fold + 1} of {folds}") if folds > 1 else progress
        bundles.append(train_once(spec, dataset, place, fold, shown))
    return evaluate_folds(bundles, dataset, out, progress)


def _refuse_another_run(spec: Run, place: Path) -> None:
    try:
        name = read_manifest(place)["name"]
    except (BundleError, KeyError):  # nothing there yet, or damaged
        return
    if name != spec.name:
        raise BundleError(
            "the folder holds the bundle of another run",
            where=str(place),
            seen=f"the run '{name}'",
            allowed=f"the run '{spec.name}'",
            todo="name another --out, or run over it with --replace",
        )
