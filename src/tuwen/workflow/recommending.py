"""A rank run from end to end: learn at every cut what was known then, and hold the lists against what was bought."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen import __version__
from tuwen.apps.recommend import RANKERS, RETRIEVERS, shelf_files
from tuwen.apps.recommend.history import Array, Asked, Catalogue
from tuwen.apps.recommend.lists import Lists
from tuwen.apps.recommend.recommender import Recommender, Windows, candidates
from tuwen.apps.recommend.rules import FEW_SALES, Rules
from tuwen.apps.recommend.scores import NOTHING, Retriever, Scores
from tuwen.apps.recommend.shelf import Shelf
from tuwen.bundle.files import refuse_others, writing
from tuwen.config import Component, PerUser, RankRun, Rolling, Shop
from tuwen.data.behaviour import behaviour_warnings
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, MissingExtra
from tuwen.evaluation import origin
from tuwen.evaluation.recommendation import MODEL, Cut, recommendation_report
from tuwen.evaluation.render import render
from tuwen.evaluation.report import write_report
from tuwen.files import room_on_disk
from tuwen.outputs import finish, held, sweep
from tuwen.progress import Progress, Silent
from tuwen.workflow.cuts import LISTS, Held, held_out, write_lists, written_day
from tuwen.workflow.evaluation import commit
from tuwen.workflow.history import frozen_options, history_of
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.steps import collected

LATENCY_SHOPPERS = 30


def run(
    run_yaml: str | Path, out: str | Path, overrides: Iterable[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Collect the run's shop into ``out/dataset``, learn from all of it (``out/bundle``), and judge the recommender at
    every cut anew: ``report.json`` and ``report.html``.
    """
    path, out = Path(run_yaml), Path(out)
    spec = RankRun.read(path, list(overrides))
    completed(spec)
    if spec.shop is None:
        raise ConfigError("the run names no shop to collect from", where=str(path), allowed="shop: PATH/TO/SHOP.yaml")
    collected(Shop.read((path.parent / spec.shop).resolve()), out / "dataset", progress)
    dataset, shown = Dataset.open(out / "dataset"), progress or Silent()
    learn(spec, dataset, out / "bundle", shown)
    return judge(spec, dataset, out, shown)


def completed(run: RankRun) -> dict[str, Any]:
    """The run as plain data with every default of its components; told before data is read.

    Raises:
        ConfigError: a name or option that cannot be, with file and line.
    """
    found = run.plain()
    for section in ("retrievers", "baselines"):
        for name, spec in getattr(run, section).items():
            _check_retriever(run, section, name, spec)
            options = RETRIEVERS.options(spec.use, spec.options, run.where(section, name))
            found[section][name] = {"use": spec.use, **options}
    for name in run.modalities:
        found["modalities"][name]["encoder"] |= frozen_options(run, name)
    options = RANKERS.options(run.ranker.use, run.ranker.options, run.where("ranker"))
    RANKERS.build(run.ranker.use, options, where=run.where("ranker"))  # tells what is not installed
    return found | {"ranker": {"use": run.ranker.use, **options}}


def _check_retriever(run: RankRun, section: str, name: str, spec: Component) -> None:
    where = run.where(section, name)
    retriever = RETRIEVERS.build(spec.use, spec.options, where=where)
    extra, library = getattr(retriever, "needs", ("", ""))
    if library and find_spec(library) is None:
        raise MissingExtra(extra, f"the retriever {spec.use}")
    column, kind = getattr(retriever, "column", None), getattr(retriever, "kind", None)
    if kind is not None and kind not in run.modalities:
        allowed = list(run.modalities) or "a name that stands in 'modalities'"
        raise ConfigError(f"there is no modality '{kind}'", where=where, allowed=allowed)
    key = "shoppers" if spec.use == "segment" else "facts"
    if column is not None and column not in getattr(run, key):
        raise ConfigError(
            f"the run does not read '{column}'",
            where=where,
            allowed=getattr(run, key) or f"a column that stands in '{key}'",
            todo=f"add it to '{key}'",
        )


def rows_of(run: RankRun, dataset: Dataset) -> dict[str, Any]:
    """What the dataset holds for a run: events, shoppers and items, and the days of the cuts."""
    history, users = history_of(run, dataset, Silent())
    cuts = [one.name for one in held_out(run, history)]
    warnings = behaviour_warnings(dataset.table("events")) if dataset.has("events") else []
    return {
        "events": len(history.item),
        "shoppers": len(users),
        "items": len(history.catalogue),
        "cuts": cuts,
        "warnings": [english for english, _ in warnings],
    }


def recommender_of(run: RankRun) -> Recommender:
    return Recommender(
        {name: _maker(spec, run.where("retrievers", name)) for name, spec in run.retrievers.items()},
        partial(RANKERS.build, run.ranker.use, run.ranker.options, where=run.where("ranker")),
        per=run.per,
        windows=Windows(
            horizon=run.task.horizon,
            count=run.windows.count,
            step=run.task.horizon,
            least=run.windows.least,
            negatives=run.windows.negatives,
            shoppers=run.windows.shoppers,
        ),
        seed=run.seed,
    )


def _maker(spec: Component, where: str) -> Callable[[], Retriever]:
    return partial(RETRIEVERS.build, spec.use, spec.options, where=where)


def train(
    run_yaml: str | Path,
    dataset: str | Path,
    out: str | Path,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Learn from everything that the dataset knows and write a bundle that ``tuwen recommend`` asks.

    Raises:
        BundleError: ``out`` holds something else than a bundle.
    """
    spec = RankRun.read(run_yaml, list(overrides))
    completed(spec)
    return learn(spec, Dataset.open(dataset), Path(out), progress or Silent())


def learn(run: RankRun, dataset: Dataset, out: Path, progress: Progress) -> Path:
    """:func:`train` of a run and a dataset that are open."""
    refuse_others(out)
    with room_in_memory():
        history, users = history_of(run, dataset, progress)
        began = time.perf_counter()
        shelf = Shelf.of(recommender_of(run).fit(history, progress), history.settled(), users, _about(dataset))
        manifest = {
            "name": run.name,
            "task": "rank",
            "run": completed(run),
            "data": {
                "hash": dataset.hash,
                "shop": dataset.manifest.get("shop"),
                "last_day": written_day(history.day[-1]),
            },
            "cost": {"train_seconds": round(time.perf_counter() - began, 2)},
            **_ordered_by(run, shelf.recommender),
        }
        with writing(out, manifest) as folder:
            shelf_files.write(shelf, folder)
    return out


def _ordered_by(run: RankRun, recommender: Recommender) -> dict[str, Any]:
    """For the manifest: the ranker that the bundle holds, and what is to be said where it is not the run's own."""
    if not recommender.blended:
        return {"ranker": completed(run)["ranker"], "warnings": []}
    english, chinese = origin.unlearned([])
    return {"ranker": {"use": "blend"}, "warnings": [{"en": english, "zh": chinese}]}


def _unlearned(cuts: list[Cut]) -> dict[str, list[str]]:
    """For the provenance: cuts at which the ranker learned nothing."""
    days = [cut.day for cut in cuts if cut.notes.get("blended")]
    return {"unlearned": days} if days else {}


def _about(dataset: Dataset) -> dict[str, Array]:
    """What a person reads of an item, in the order of the table."""
    items = dataset.table("items")
    return {
        name: items[name].cast(pl.String).fill_null("").to_numpy().astype(np.str_)
        for name in ("title", "category")
        if name in items.columns
    }


def judge(run: RankRun, dataset: Dataset, out: Path, progress: Progress) -> dict[str, Any]:
    """Judge a recommender on a dataset; see :func:`run`. ``lists.parquet`` keeps what every system listed."""
    with room_on_disk(out), room_in_memory(), held(out):
        finish(out)
        sweep(out)
        began = time.perf_counter()
        history, users = history_of(run, dataset, progress)
        prepared = time.perf_counter() - began
        parts = held_out(run, history)
        views = _views(run, history.catalogue)
        lists: dict[str, dict[float, Lists]] = {name: {} for name in views}
        found: list[Cut] = []
        importance: dict[str, float] = {}
        began = time.perf_counter()
        for turn, part in enumerate(parts):
            with progress.task(f"cut {turn + 1} of {len(parts)}, {part.name}", None):
                one, importance, latency = _at(run, part, users, views, lists)
            found.append(one)
        cost = {
            "prepare_seconds": round(prepared, 2),
            "train_seconds": round(time.perf_counter() - began, 2),
            **latency,
        }
        with progress.task("bootstrap", None):
            report = report_of(run, dataset, found, cost, importance, [name for name in views if name != MODEL])
        tables = {LISTS: lambda file: write_lists(file, found, history.catalogue.items)}
        write_report(out, report, render(report), tables)
    return report


def report_of(
    run: RankRun,
    dataset: Dataset,
    cuts: list[Cut],
    cost: Mapping[str, Any],
    importance: Mapping[str, float],
    without: Iterable[str] = (),
) -> dict[str, Any]:
    """The report of lists that were made.

    Args:
        without: what was taken away from systems of these names.
    """
    return recommendation_report(
        cuts,
        depth=run.task.depth,
        horizon=run.task.horizon,
        knock_out={name: name for name in without},
        cost=cost,
        run=run.plain(),
        provenance=_provenance(run, dataset) | _unlearned(cuts) | _behaviour(dataset),
        name=run.name,
        split=run.split.use,
        importance=importance,
        samples=run.evaluation.samples,
        confidence=run.evaluation.confidence,
        seed=run.seed,
    )


def _behaviour(dataset: Dataset) -> dict[str, Any]:
    """For the provenance: what must be known of the events."""
    warnings = behaviour_warnings(dataset.table("events")) if dataset.has("events") else []
    return {"data_warnings": [list(texts) for texts in warnings]} if warnings else {}


def _views(run: RankRun, catalogue: Catalogue) -> dict[str, Catalogue]:
    """The catalogue as the model sees it, and without each of its parts."""
    found = {MODEL: catalogue}
    if run.evaluation.knock_out:
        found |= {kind: catalogue.without(kind) for kind in run.modalities}
        if run.launch:
            found["launch"] = catalogue.without("launch")
    return found


def _at(
    run: RankRun,
    part: Held,
    users: list[str],
    views: dict[str, Catalogue],
    lists: dict[str, dict[float, Lists]],
) -> tuple[Cut, dict[str, float], dict[str, float]]:
    """Every system at one cut, with the importance of the ranker's features and how long an answer takes."""
    known, who, depth = part.known, part.who, run.task.depth
    systems: dict[str, Array] = {}
    importance: dict[str, float] = {}
    notes: dict[str, Any] = {}
    latency: dict[str, float] = {}
    for name, catalogue in views.items():
        recommender = recommender_of(run).fit(known.on(catalogue), made=lists[name])
        asked = known.on(catalogue).asked(who)
        rules = Rules(**dict(run.rules), few=known.demand(None) < FEW_SALES, draw=part.name)
        systems[name] = recommender.recommend(asked, depth, rules, [users[one] for one in who]).items
        if name == MODEL:
            importance = recommender.importance()
            notes["blended"] = recommender.blended
            notes["proposed_share"] = _proposed(recommender, asked, part.bought)
            latency = _latency(recommender, asked, depth)
    asked = known.asked(who)
    for name, spec in run.baselines.items():
        retriever = _maker(spec, run.where("baselines", name))()
        retriever.fit(known)
        systems[name] = _listed(retriever.score(asked), asked, depth, again=run.rules.again)
    return part.cut(users, systems, notes), importance, latency


def _listed(scores: Scores, asked: Asked, depth: int, *, again: bool) -> Array:
    """int64 [asked, depth]: the best of a baseline; where the run lists nothing twice, nor does a baseline."""
    if again:
        return scores.top(depth)
    had = [np.unique(asked.item[asked.begins[one] : asked.begins[one + 1]]) for one in range(len(asked))]
    found = np.full((len(asked), depth), NOTHING, np.int64)
    for row, listed in enumerate(scores.top(depth + max(map(len, had), default=0))):
        kept = listed[(listed != NOTHING) & ~np.isin(listed, had[row])][:depth]
        found[row, : len(kept)] = kept
    return found


def _proposed(recommender: Recommender, asked: Asked, bought: list[Array]) -> float:
    """The share of what was bought that any retriever proposed: no ranker can find more."""
    row, item = candidates(recommender.stage.scores(asked), recommender.per)
    size = len(asked.catalogue)
    wanted = np.concatenate([one * size + items for one, items in enumerate(bought)])
    return float(np.isin(wanted, row * size + item).mean())


def _latency(recommender: Recommender, asked: Asked, depth: int) -> dict[str, float]:
    """Milliseconds to answer for one shopper alone."""
    seconds = []
    for one in range(min(LATENCY_SHOPPERS, len(asked))):
        began = time.perf_counter()
        recommender.recommend(asked.rows(slice(one, one + 1)), depth)
        seconds.append(time.perf_counter() - began)
    warm = np.array(seconds[1:] or seconds) * 1000
    return {f"latency_p{p}_ms": round(float(np.quantile(warm, p / 100)), 2) for p in (50, 95)}


def _provenance(run: RankRun, dataset: Dataset) -> dict[str, Any]:
    return {
        "tuwen": __version__,
        "commit": commit(),
        "data_hash": dataset.hash,
        "shop": dataset.manifest.get("shop"),
        "seed": run.seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": _told(run),
    }


def _told(run: RankRun) -> str:
    split = run.split
    if isinstance(split, Rolling):
        return f"{split.cuts} global cuts in time, {run.task.horizon:g} days apart; pooled"
    if isinstance(split, PerUser):
        return f"the last {split.last} events of each shopper; what others did later is known"
    return f"{split.share:.0%} of the events at random; what was done later is known"
