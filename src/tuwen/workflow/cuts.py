"""What is held out of a shop's history, and the lists that systems made without it, kept as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.recommend.history import Array, History
from tuwen.apps.recommend.scores import NOTHING
from tuwen.config import PerUser, RandomShare, RankRun, Rolling
from tuwen.errors import ConfigError, DataError
from tuwen.evaluation.ranking import Chosen
from tuwen.evaluation.recommendation import Cut
from tuwen.files import whole

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LISTS = "lists.parquet"
SCHEMA = {"cut": pl.String, "system": pl.String, "user": pl.String, "place": pl.Int32, "item": pl.String}


@dataclass(frozen=True)
class Held:
    """What a system may know, and what its lists are held against.

    Attributes:
        name: of the cut: its day, or that of the split.
        known: everything but what is held out; of a cut in time, what was before it.
        who: int64 [asked], shoppers.
        bought: what each of them bought of what is held out, each item once.
    """

    name: str
    known: History
    who: Array
    bought: list[Array]

    def cut(self, users: Sequence[str], systems: Mapping[str, Array], notes: Mapping[str, Any] | None = None) -> Cut:
        """For the report.

        Args:
            users: keys by position.
            systems: name → int64 [asked, depth].
        """
        return Cut(
            day=self.name,
            shoppers=[users[one] for one in self.who],
            events=np.diff(self.known.asked(self.who).begins),
            chosen=Chosen.of(self.bought),
            demand=self.known.demand(None),
            buyers=len(np.unique(self.known.shopper)),
            vectors=self.known.catalogue.vectors,
            systems=systems,
            notes=notes or {},
        )


def held_out(run: RankRun, history: History) -> list[Held]:
    """What the run's split holds out: one a cut in time, earliest first; one alone of the other splits.

    Raises:
        ConfigError: the events do not reach back so far.
        DataError: nothing is held out.
    """
    split = run.split
    if isinstance(split, Rolling):
        return [_at(run, history, moment) for moment in moments(run, history)]
    history = history.settled()
    kept = _all_but_last(history, split.last) if isinstance(split, PerUser) else _drawn(history, split, run.seed)
    who = np.unique(history.shopper[~kept])
    if not len(who):
        raise DataError("nothing is held out", where=run.where("split"), todo="hold out less of a shopper, or more")
    gone = history.only(~kept)
    return [Held(split.use, history.only(kept), who, gone.items_of(who))]


def _at(run: RankRun, history: History, moment: float) -> Held:
    assert isinstance(run.split, Rolling)
    known, least = history.before(moment), run.split.least
    who, bought = history.buying(moment, moment + run.task.horizon)
    before = np.bincount(known.shopper, minlength=history.shoppers.count)[who]
    bought = [items for items, events in zip(bought, before, strict=True) if events >= least]
    who = who[before >= least]
    if not len(who):
        whose = f" of shoppers with {least} before" if least else ""
        raise DataError(
            "nobody bought anything after a cut",
            where=run.where("split"),
            seen=f"no events from {written_day(moment)} on, for {run.task.horizon:g} days{whose}",
            todo="name the last day that counts: split.end; or ask for fewer cuts",
        )
    return Held(written_day(moment), known, who, bought)


def _all_but_last(history: History, last: int) -> Array:
    """bool [events]: all but the latest of each shopper who has more than so many."""
    count = np.bincount(history.shopper, minlength=history.shoppers.count)
    order = np.argsort(history.shopper, kind="stable")  # events are in the order of time
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - (np.cumsum(count) - count)[history.shopper[order]]
    kept: Array = (place < count[history.shopper] - last) | (count[history.shopper] <= last)
    return kept


def _drawn(history: History, split: RandomShare, seed: int) -> Array:
    """bool [events]: all but a share at random."""
    kept: Array = np.random.default_rng(seed).random(len(history.item)) >= split.share
    return kept


def moments(run: RankRun, history: History) -> list[float]:
    """The cuts in time, earliest first, in days; none where the split is another.

    Raises:
        ConfigError: the events do not reach back so far.
    """
    if not isinstance(run.split, Rolling):
        return []
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


# --- Lists --------------------------------------------------------------------------------------------------------


def write_lists(file: Path, cuts: Sequence[Cut], items: Array) -> None:
    """Every system's lists at every cut: ``cut``, ``system``, ``user``, ``place`` (from 1), ``item``.

    Args:
        items: keys by position.
    """
    tables = []
    for cut in cuts:
        for system, lists in cut.systems.items():
            row, place = np.nonzero(lists != NOTHING)
            tables.append(
                pl.DataFrame(
                    {
                        "cut": [cut.day] * len(row),
                        "system": [system] * len(row),
                        "user": np.asarray(cut.shoppers, object)[row].tolist(),
                        "place": place + 1,
                        "item": items[lists[row, place]].tolist(),
                    },
                    schema=SCHEMA,
                )
            )
    with whole(file) as target:
        pl.concat([pl.DataFrame(schema=SCHEMA), *tables]).write_parquet(target)


def read_lists(
    file: Path, held: Sequence[Held], users: Sequence[str], items: Array, depth: int
) -> list[dict[str, Array]]:
    """What :func:`write_lists` wrote: a cut after the other, system → int64 [asked, depth].

    Raises:
        DataError: there is no such file; lists of other cuts, shoppers or items.
    """
    if not file.is_file():
        raise DataError("there are no lists", where=str(file), todo="repeat the run: tuwen run RUN.yaml --out OUT")
    table = pl.read_parquet(file)
    place_of = {key: place for place, key in enumerate(items.tolist())}
    found = []
    for one in held:
        row_of = {users[who]: row for row, who in enumerate(one.who)}
        here = table.filter(pl.col("cut") == one.name, pl.col("place") <= depth)
        if here.is_empty() or set(here["user"]) - set(row_of) or set(here["item"]) - set(place_of):
            raise DataError("the lists are of another run, or other data", where=str(file), seen=f"cut {one.name}")
        systems = {}
        for (system,), part in here.group_by("system", maintain_order=True):
            lists = np.full((len(one.who), depth), NOTHING, np.int64)
            rows = [row_of[user] for user in part["user"].to_list()]
            lists[rows, part["place"].to_numpy() - 1] = [place_of[item] for item in part["item"].to_list()]
            systems[str(system)] = lists
        found.append(systems)
    return found
