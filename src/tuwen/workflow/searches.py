"""Runs of the tasks search and photo-search: a shop's files, an index, a report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuwen.config import PhotoTask, SearchRun, Shop
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError
from tuwen.progress import Progress
from tuwen.workflow.indexing import Recipe, index, items_of
from tuwen.workflow.photo_evaluation import judge_photos
from tuwen.workflow.search_evaluation import judge_search
from tuwen.workflow.search_reports import Shown
from tuwen.workflow.steps import collected


def run(
    run_yaml: str | Path, out: str | Path, overrides: Iterable[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Collect the run's shop into ``out/dataset``, make ``out/index`` of it, and judge that: ``report.json`` and
    ``report.html``. What is done is not done twice; an index made in another way is made anew.
    """
    path, out = Path(run_yaml), Path(out)
    spec = SearchRun.read(path, list(overrides))
    completed(spec)
    collected(Shop.read((path.parent / spec.shop).resolve()), out / "dataset", progress)
    told = spec.index.model_dump() | {"where": tuple(spec.index.where)}
    fuse = told.pop("fuse")
    index(out / "dataset", out / "index", Recipe(**told), progress, renew=True, fuse=fuse)
    judged = spec.evaluation
    shown = Shown(spec.name, spec.plain(), judged.samples, judged.confidence, spec.seed)
    task = spec.task
    if isinstance(task, PhotoTask):
        given: dict[str, Any] = {"label": task.label, "where": task.asked, "depth": task.depth}
        return judge_photos(out / "index", out / "dataset", out, progress, **given, shown=shown)
    return judge_search(out / "index", task.judgments, out, progress, replace=True, shown=shown)


def completed(spec: SearchRun) -> dict[str, Any]:
    """The run as plain data.

    Raises:
        ConfigError: the judgments are not there.
    """
    if not isinstance(spec.task, PhotoTask) and not Path(spec.task.judgments).is_file():
        where = spec.where("task", "judgments")
        raise ConfigError("there is no such file", where=where, seen=spec.task.judgments)
    return spec.plain()


def rows_of(spec: SearchRun, dataset: Dataset) -> dict[str, Any]:
    """What the dataset holds for a run."""
    return {"items": len(items_of(dataset))}
