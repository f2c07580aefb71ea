"""Build a home of a dataset: index, recommender and predictor, made, judged, tested and promoted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tuwen import __version__
from tuwen.bundle.home import Home
from tuwen.bundle.parts import REPORT
from tuwen.config import RankRun, Run
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError, InUse, MissingExtra, TuwenError, did_you_mean
from tuwen.evaluation.report import summary
from tuwen.files import DiskFull, make_folder, room_on_disk, whole, write_json
from tuwen.outputs import held, nothing_left_of
from tuwen.progress import Progress, Silent, Within
from tuwen.workflow.composing_predictor import Encoders, installed_encoders, rating_run, within_minutes
from tuwen.workflow.composing_recommender import recommender_run
from tuwen.workflow.evaluation import evaluate
from tuwen.workflow.indexing import Recipe, index
from tuwen.workflow.kinds import part_of
from tuwen.workflow.known_items import example_words, write_known_items
from tuwen.workflow.search_evaluation import judge_search
from tuwen.workflow.spaces import NONE
from tuwen.workflow.training import fingerprint, train

PARTS = ("index", "recommender", "predictor")
WORK = "build"  # folder of a home: the runs, and what was made of them
STATE = "build.json"
HEADER = """\
# Written by tuwen build for the dataset {shop}. Edit it, and give the same command again: it is taken as you leave it.
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one part.

    Attributes:
        state: ``built``, ``unchanged``, ``left out`` or ``failed``.
        reason: why it was left out, or failed.
        figures: the report's, the primary one first: ``metric``, ``value``, ``low``, ``high``, ``best_baseline`` and
            ``baseline_value``.
        seconds: of this build.
    """

    state: str
    reason: str | None = None
    figures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def build(
    dataset: str | Path,
    home: str | Path,
    only: Collection[str] = PARTS,
    minutes: float | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Make a home that serves everything that a dataset can carry.

    The runs are written to ``home/build/predictor.yaml`` and ``recommender.yaml``; one that was edited since is taken
    as it stands. What is done for the same dataset and settings is not done again, so a build that was stopped goes
    on, and a second one does nothing.

    Args:
        only: the parts to make, of :data:`PARTS`.
        minutes: a budget; where reading all texts by a pretrained network would take more than half of it, n-grams
            alone read them.
        announce: is told each step as it begins.

    Returns:
        ``home``, ``dataset`` (its hash), ``parts`` (name → :class:`Outcome` as a dict), ``notes``, ``runs`` (name →
        file), ``try`` (words to search for), ``revision``.

    Raises:
        ConfigError: no such part.
        DataError: nothing could be built.
        InUse: another process builds the same home.
    """
    wanted = _read_parts(only)
    opened, work = Dataset.open(dataset), Path(home).absolute() / WORK
    with nothing_left_of(home):
        standing = Home(home)
        make_folder(work)
        with room_on_disk(work), held(work):
            builder = Builder(opened, standing, work, minutes, progress or Silent(), announce or (lambda step: None))
            outcomes = {name: builder.part(name) for name in wanted}
            _need_anything(outcomes, str(dataset))
    return {
        "home": str(home),
        "dataset": opened.hash,
        "parts": {name: asdict(one) for name, one in outcomes.items()},
        "notes": builder.notes,
        "runs": {path.stem: str(path) for path in sorted(work.glob("*.yaml"))},
        "try": example_words(opened),
        "revision": standing.live().number,
    }


def _need_anything(outcomes: Mapping[str, Outcome], dataset: str) -> None:
    if all(one.state in ("left out", "failed") for one in outcomes.values()):
        raise DataError(
            "nothing could be built",
            where=dataset,
            seen="; ".join(f"{name}: {one.reason}" for name, one in outcomes.items()),
            todo="map items with words, events, or reviews with ratings in SHOP.yaml, and collect again",
        )


def _read_parts(only: Collection[str]) -> list[str]:
    for name in only:
        if name not in PARTS:
            raise ConfigError(
                "there is no such part", where="--only", seen=name, allowed=PARTS, todo=did_you_mean(name, PARTS)
            )
    if not only:
        raise ConfigError("no part is asked for", where="--only", allowed=PARTS)
    return [name for name in PARTS if name in only]


class Builder:
    """One build: what is done is written to ``build.json`` after each step, and skipped the next time."""

    def __init__(
        self,
        dataset: Dataset,
        home: Home,
        work: Path,
        minutes: float | None,
        progress: Progress,
        announce: Callable[[str], None],
    ) -> None:
        self.dataset, self.home, self.work, self.progress, self._announce = dataset, home, work, progress, announce
        self.state = _read_state(work / STATE)
        self.encoders, notes = installed_encoders()
        self.encoders, too_slow = within_minutes(dataset, self.encoders, minutes)
        self.notes = notes + too_slow
        self._worked = False

    def part(self, name: str) -> Outcome:
        """Make one part; what it lacks is its reason, and does not keep the others from being made."""
        began, self._worked = time.perf_counter(), False
        makers: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Path]]] = {
            "index": (self._compose_index, self._index),
            "recommender": (self._compose_recommender, self._recommender),
            "predictor": (self._compose_predictor, self._predictor),
        }
        compose, make = makers[name]
        try:
            composed = compose()
        except (DataError, MissingExtra) as error:
            return Outcome("left out", _reason(error))
        except ConfigError as error:  # in a run that a person edited
            return Outcome("failed", _reason(error))
        try:
            figures = _figures(make(composed))
        except (InUse, DiskFull):
            raise
        except TuwenError as error:
            return Outcome("failed", _reason(error), seconds=round(time.perf_counter() - began, 1))
        state = "built" if self._worked else "unchanged"
        return Outcome(state, None, figures, round(time.perf_counter() - began, 1))

    # --- Steps ------------------------------------------------------------------------------------------------

    def _once(self, step: str, key: str, do: Callable[[Progress], object]) -> None:
        """Do a step, unless it was done with the same key."""
        if self.state["done"].get(step) == key:
            return
        self._worked = True
        self._announce(step)
        do(Within(self.progress, step))
        self.state["done"][step] = key
        write_json(self.work / STATE, self.state)

    def _live(self, name: str, key: str, source: Path) -> None:
        """Promote a folder, and the dataset before the first."""
        shop = self.dataset.folder
        self._once("dataset: promoted", self.dataset.hash, lambda progress: _promote(shop, self.home))
        self._once(f"{name}: promoted", key, lambda progress: _promote(source, self.home))

    # --- The index --------------------------------------------------------------------------------------------

    def _compose_index(self) -> Recipe:
        if not self.dataset.table("items").height:
            raise DataError("the dataset has no items")
        part_of("search", "run")  # tells what is not installed
        return Recipe(text=self.encoders.text or NONE, picture=self.encoders.picture or NONE)

    def _index(self, recipe: Recipe) -> Path:
        folder, report = self.work / "index", self.work / "search"
        judgments = report / "judgments.parquet"
        key = _key("index", self.dataset.hash, asdict(recipe))
        self._once("index", key, lambda progress: index(self.dataset.folder, folder, recipe, progress, renew=True))
        self._live("index", key, folder)

        def judge(progress: Progress) -> None:
            make_folder(report)
            write_known_items(self.dataset, judgments)
            judge_search(folder, judgments, report, progress, replace=True)

        try:
            self._once("index: report", key, judge)
            self._live("index: report", key, report)
        except DataError as error:
            self.notes.append(f"no report of search: {_reason(error)}")
        return report

    # --- The recommender --------------------------------------------------------------------------------------

    def _compose_recommender(self) -> RankRun:
        part_of("rank", "run")  # tells what is not installed
        return RankRun.read(self._written("recommender", recommender_run))

    def _recommender(self, run: RankRun) -> Path:
        folder = self.work / "recommender"
        complete = part_of("rank", "completed")(run)
        key = _key("recommender", self.dataset.hash, complete)
        learn, judge = part_of("rank", "learn"), part_of("rank", "judge")
        self._once("recommender", key, lambda progress: learn(run, self.dataset, folder / "bundle", progress))
        self._live("recommender", key, folder / "bundle")
        self._once("recommender: report", key, lambda progress: judge(run, self.dataset, folder, progress))
        self._live("recommender: report", key, folder)
        return folder

    # --- The predictor ----------------------------------------------------------------------------------------

    def _compose_predictor(self) -> Run:
        return Run.read(self._written("predictor", rating_run))

    def _predictor(self, run: Run) -> Path:
        folder = self.work / "predictor"
        bundle, dataset = folder / "bundle", self.dataset
        key = fingerprint(run, dataset, 0)
        self._once("predictor", key, lambda progress: train(run, dataset, bundle, progress=progress, replace=True))
        self._live("predictor", key, bundle)
        self._once("predictor: report", key, lambda progress: evaluate(bundle, dataset, folder, progress))
        self._live("predictor: report", key, folder)
        return folder

    # --- Runs as files ----------------------------------------------------------------------------------------

    def _written(self, name: str, compose: Callable[[Dataset, Encoders], tuple[dict[str, Any], list[str]]]) -> Path:
        """The file of a run: composed anew, or as a person left it."""
        path = self.work / f"{name}.yaml"
        before = _sha(path.read_bytes()) if path.is_file() else None
        is_changed = before not in (None, self.state["composed"].get(name))
        try:
            run, notes = compose(self.dataset, self.encoders)
            text = run_text(run, str(self.dataset.manifest.get("shop") or self.dataset.folder.name)).encode()
        except DataError:
            if is_changed:
                return self._as_edited(path)
            raise
        if is_changed and before != _sha(text):  # equal: a build was killed after it wrote the file
            return self._as_edited(path)
        self.notes += notes
        with whole(path) as file:
            file.write(text)
        self.state["composed"][name] = _sha(text)
        write_json(self.work / STATE, self.state)
        return path

    def _as_edited(self, path: Path) -> Path:
        self.notes.append(f"{path} was edited: it is taken as it stands")
        return path


def _promote(source: Path, home: Home) -> None:
    try:
        from tuwen.workflow.serving import promote
    except ImportError:
        raise MissingExtra("recommend", "a home") from None
    promote(source, home.folder)


def run_text(run: Mapping[str, Any], shop: str) -> str:
    """A run as the text of a RUN.yaml."""
    body = yaml.safe_dump(dict(run), allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)
    return HEADER.format(shop=json.dumps(shop, ensure_ascii=False)) + body


def _read_state(path: Path) -> dict[str, dict[str, str]]:
    """What an earlier build did; nothing where the file is absent or damaged, so that all is done again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        state = {name: dict(found[name]) for name in ("done", "composed")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"done": {}, "composed": {}}
    return state


def _key(part: str, dataset: str, settings: Mapping[str, Any]) -> str:
    """Everything that a part depends on."""
    return _sha(json.dumps([__version__, part, dataset, settings], sort_keys=True).encode())


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _reason(error: TuwenError) -> str:
    """An error in one line."""
    seen = f" ({error.seen})" if error.seen else ""
    return f"{error.what}{seen}" + (f"; {error.todo}" if error.todo else "")


def _figures(folder: Path) -> list[dict[str, Any]]:
    """The summary of the report in a folder; nothing where there is none."""
    file = folder / REPORT
    if not file.is_file():
        return []
    return [row._asdict() for row in summary(json.loads(file.read_text(encoding="utf-8")))]
