"""A rank run from end to end: learn at every cut what was known then, and hold the lists against what was bought."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen import __version__
from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.history import Array, Asked, Catalogue, History
from tuwen.apps.recommend.ranker import Lists
from tuwen.apps.recommend.recommender import Recommender, Windows, candidates
from tuwen.apps.recommend.rules import Rules
from tuwen.apps.recommend.scores import Retriever
from tuwen.apps.recommend.shelf import Shelf
from tuwen.bundle.files import refuse_others, writing
from tuwen.config import Component, RankRun, Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError
from tuwen.evaluation.ranking import Chosen
from tuwen.evaluation.recommendation import MODEL, Cut, recommendation_report
from tuwen.evaluation.render import render
from tuwen.evaluation.report import write_report
from tuwen.files import held, room_on_disk
from tuwen.progress import Progress, Silent
from tuwen.workflow.evaluation import commit
from tuwen.workflow.history import frozen_options, history_of
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.steps import answers_file

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    collect(Shop.read((path.parent / spec.shop).resolve()), out / "dataset", progress=progress)
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
    return found | {"ranker": {"use": run.ranker.use, **options}}


def _check_retriever(run: RankRun, section: str, name: str, spec: Component) -> None:
    where = run.where(section, name)
    retriever = RETRIEVERS.build(spec.use, spec.options, where=where)
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
    cuts = [written_day(cut) for cut in moments(run, history)]
    return {"events": len(history.item), "shoppers": len(users), "items": len(history.catalogue), "cuts": cuts}


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


def moments(run: RankRun, history: History) -> list[float]:
    """The cuts, earliest first, in days.

    Raises:
        ConfigError: the events do not reach back so far.
    """
    end = history.now
    if run.split.end is not None:
        end = float((datetime(*run.split.end.timetuple()[:3], tzinfo=UTC) - EPOCH).days) + 1.0
    found = [end - run.task.horizon * turn for turn in range(run.split.cuts, 0, -1)]
    least = run.task.horizon + run.windows.least
    begin = float(history.day[0])
    if found[0] - begin < least or end > history.now:
        raise ConfigError(
            f"the events do not hold {run.split.cuts} cuts",
            where=run.where("split"),
            seen=f"from {written_day(begin)} to {written_day(history.now - 1)}; first cut {written_day(found[0])}",
            allowed=f"a first cut {least:g} days after the first event or later (a horizon and windows.least)",
            todo="ask for fewer cuts, a shorter horizon, or less history before a moment",
        )
    return found


def written_day(day: float) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()


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
        shelf = Shelf.of(recommender_of(run).fit(history, progress), history, users, _about(dataset))
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
        }
        with writing(out, manifest) as folder:
            shelf.write(folder)
    return out


def _about(dataset: Dataset) -> dict[str, Array]:
    """What a person reads of an item, in the order of the table."""
    items = dataset.table("items")
    return {
        name: items[name].cast(pl.String).fill_null("").to_numpy().astype(np.str_)
        for name in ("title", "category")
        if name in items.columns
    }


def recommend(bundle: str | Path, again: bool | None = None) -> tuple[Shelf, Rules]:
    """A bundle of the task rank, checked and ready to answer, and the rules its run asks for.

    Args:
        again: whether what was bought before may be listed, in place of what the run says.
    """
    shelf, manifest = Shelf.open(bundle)
    rules = rules_of(manifest["run"])
    return shelf, rules if again is None else replace(rules, again=again)


def recommend_to_everybody(
    bundle: str | Path, out: str | Path, count: int = 20, again: bool | None = None, progress: Progress | None = None
) -> int:
    """One list for each shopper the bundle knows: ``user``, ``place`` (from 1), ``item``, ``score``.

    Args:
        out: by its ending .parquet, .csv or .jsonl; written whole or not at all.
        again: see :func:`recommend`.

    Returns:
        the number of shoppers.

    Raises:
        DataError: ``out`` cannot be written; told before a list is made.
    """
    shelf, rules = recommend(bundle, again)
    rows: list[tuple[str, int, str, float]] = []
    with room_on_disk(Path(out)), answers_file(Path(out)) as (file, write):
        with (progress or Silent()).task("lists", len(shelf.users)) as bar:
            for user, listed in shelf.for_everybody(count, rules):
                rows += [(user, place, one.item, one.score) for place, one in enumerate(listed, start=1)]
                bar.advance(1)
        schema = {"user": pl.String, "place": pl.Int32, "item": pl.String, "score": pl.Float32}
        write(pl.DataFrame(rows, schema=schema, orient="row"), file)
    return len(shelf.users)


def rules_of(run: Mapping[str, Any]) -> Rules:
    """The rules that a bundle's run asks for."""
    return Rules(**run["rules"])


def judge(run: RankRun, dataset: Dataset, out: Path, progress: Progress) -> dict[str, Any]:
    """Judge a recommender on a dataset; see :func:`run`."""
    with room_on_disk(out), room_in_memory(), held(out):
        began = time.perf_counter()
        history, users = history_of(run, dataset, progress)
        prepared = time.perf_counter() - began
        cuts = moments(run, history)
        views = _views(run, history.catalogue)
        lists: dict[str, dict[float, Lists]] = {name: {} for name in views}
        found: list[Cut] = []
        importance: dict[str, float] = {}
        began = time.perf_counter()
        for turn, cut in enumerate(cuts):
            with progress.task(f"cut {turn + 1} of {len(cuts)}, {written_day(cut)}", None):
                one, importance, latency = _at(run, history, users, cut, views, lists)
            found.append(one)
        cost = {
            "prepare_seconds": round(prepared, 2),
            "train_seconds": round(time.perf_counter() - began, 2),
            **latency,
        }
        with progress.task("bootstrap", None):
            report = recommendation_report(
                found,
                depth=run.task.depth,
                horizon=run.task.horizon,
                knock_out={name: name for name in views if name != MODEL},
                cost=cost,
                run=run.plain(),
                provenance=_provenance(run, dataset),
                name=run.name,
                split="rolling",
                importance=importance,
                samples=run.evaluation.samples,
                confidence=run.evaluation.confidence,
                seed=run.seed,
            )
        write_report(out, report, render(report))
    return report


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
    history: History,
    users: list[str],
    cut: float,
    views: dict[str, Catalogue],
    lists: dict[str, dict[float, Lists]],
) -> tuple[Cut, dict[str, float], dict[str, float]]:
    """Every system at one cut, with the importance of the ranker's features and how long an answer takes."""
    known, depth = history.before(cut), run.task.depth
    who, bought = history.buying(cut, cut + run.task.horizon)
    if not len(who):
        raise DataError(
            "nobody bought anything after a cut",
            where=run.where("split"),
            seen=f"no events from {written_day(cut)} on, for {run.task.horizon:g} days",
            todo="name the last day that counts: split.end; or ask for fewer cuts",
        )
    systems: dict[str, Array] = {}
    importance: dict[str, float] = {}
    notes: dict[str, Any] = {}
    latency: dict[str, float] = {}
    for name, catalogue in views.items():
        recommender = recommender_of(run).fit(known.on(catalogue), made=lists[name])
        asked = known.on(catalogue).asked(who)
        systems[name] = recommender.recommend(asked, depth, Rules(**dict(run.rules))).items
        if name == MODEL:
            importance = recommender.importance()
            notes["proposed_share"] = _proposed(recommender, asked, bought)
            latency = _latency(recommender, asked, depth)
    asked = known.asked(who)
    for name, spec in run.baselines.items():
        retriever = _maker(spec, run.where("baselines", name))()
        retriever.fit(known)
        systems[name] = retriever.score(asked).top(depth)
    found = Cut(
        day=written_day(cut),
        shoppers=[users[one] for one in who],
        events=np.diff(asked.begins),
        chosen=Chosen.of(bought),
        demand=known.demand(None),
        buyers=len(np.unique(known.shopper)),
        vectors=history.catalogue.vectors,
        systems=systems,
        notes=notes,
    )
    return found, importance, latency


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
        "split": f"{run.split.cuts} global cuts in time, {run.task.horizon:g} days apart; pooled",
    }
