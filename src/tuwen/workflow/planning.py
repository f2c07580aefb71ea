"""What a comparison will train: all that can be told of it before any data is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.config import Run, written
from tuwen.errors import ConfigError, TuwenError
from tuwen.workflow.idle import idle_in
from tuwen.workflow.knock_out import Together, inputs_of
from tuwen.workflow.rules import split_of
from tuwen.workflow.trainings import failure
from tuwen.workflow.variants import Base, Value, Varied, combinations, name_of, refuse_fixed, run_of, spelt_out, variant


@dataclass(frozen=True)
class Planned:
    """One combination of values, before it is trained; ``run`` is None where its settings are wrong."""

    name: str
    values: Mapping[str, Value]
    kept: Mapping[str, Mapping[str, Any]]
    run: Run | None


@dataclass
class Plan:
    """What is to be trained.

    Attributes:
        run: the run as it is written.
        seeds: of the trainings of each cell.
        failures: why cells have no numbers; grows while training.
        faults: cell → what a plug-in raised when its network was built for a look.
    """

    run: Run
    varied: Sequence[Varied]
    cells: list[Planned]
    reference: str
    seeds: list[int]
    folds: int
    failures: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Together]:
        """Every input that a cell reads; it is called alike in all of them."""
        return inputs_of(*(cell.run for cell in self.cells if cell.run is not None))

    def notes(self) -> list[dict[str, Any]]:
        """``note``: a setting without effect (:mod:`tuwen.workflow.idle`), ``note_zh`` the same in Chinese, and the
        ``cells`` that carry it.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for name, run in self.living():
            for note in idle_in(run):
                found.setdefault(note, []).append(name)
        return [{"note": note, "note_zh": chinese, "cells": cells} for (note, chinese), cells in found.items()]

    def living(self) -> list[tuple[str, Run]]:
        """The cells that have not failed."""
        failed = {one["cell"] for one in self.failures}
        return [(cell.name, cell.run) for cell in self.cells if cell.run is not None and cell.name not in failed]


def plan_of(
    run_yaml: str | Path, varied: Sequence[Varied], seeds: int, reference: Sequence[Varied], overrides: Sequence[str]
) -> Plan:
    """The cells of a comparison, each with its run; a cell whose settings are wrong has failed already.

    Args:
        varied: without any there is one cell, the run as it is, under its own name.
        reference: keys with the value that the reference has.

    Raises:
        ConfigError: a key that may not be varied, two cells that are the same, a reference that is no cell, or one
            training in all.
        TuwenError: the settings of the reference itself are wrong.
    """
    if not 1 <= seeds <= 1000:
        raise ConfigError("that is no number of seeds", where="--seeds", seen=seeds, allowed="1 to 1000")
    if seeds == 1 and not varied:
        raise ConfigError(
            "nothing varies and there is one seed: that is one training, with nothing beside it",
            where=str(run_yaml),
            allowed="--vary KEY=VALUE,VALUE, or more seeds than one",
            todo=f"tuwen run {run_yaml} --out DIR, or tuwen train and tuwen evaluate",
        )
    base = Base(*written(run_yaml, overrides), str(run_yaml))
    refuse_fixed(varied)
    run = base.run
    chosen = _reference(varied, reference)
    named = {name_of(values) or run.name: values for values in combinations(varied)}  # nothing varied: the run itself
    plan = Plan(run, varied, [], name_of(chosen) or run.name, [run.seed + i for i in range(seeds)], split_of(run).folds)
    for name, values in named.items():
        try:
            made = variant(base, values)
            plan.cells.append(Planned(name, values, made.kept, run_of(base, made)))
        except Exception as error:  # a plug-in raises what it likes: its cell fails, the others go on
            if name == plan.reference:
                raise
            plan.cells.append(Planned(name, values, {}, None))
            plan.failures.append(failure(error, name))
            if not isinstance(error, TuwenError):
                plan.faults[name] = error
    _refuse_twins(plan)
    return plan


def _reference(varied: Sequence[Varied], asked: Sequence[Varied]) -> dict[str, Value]:
    """The first combination, with the values that were asked for."""
    chosen = {one.key: one.values[0] for one in varied}
    known = {one.key: one.values for one in varied}
    if asked and not varied:
        raise ConfigError(
            "nothing varies, so there is one cell and no reference",
            where=asked[0].where,
            todo="leave the reference out, or name what varies: --vary KEY=VALUE,VALUE",
        )
    for wanted in asked:
        found = next((value for value in known.get(wanted.key, ()) if value.bare == wanted.values[0].bare), None)
        if found is None:
            allowed = [f"{name}={value.text}" for name, values in known.items() for value in values]
            raise ConfigError("the reference is none of the cells", where=wanted.where, allowed=allowed)
        chosen[wanted.key] = found
    return chosen


def _refuse_twins(plan: Plan) -> None:
    """Each cell is another run: one that is written in two ways would stand there twice.

    Raises:
        ConfigError: names both ways.
    """
    seen: dict[str, Planned] = {}
    for cell in plan.cells:
        if cell.run is None:
            continue
        twin = seen.setdefault(spelt_out(cell.run), cell)
        if twin is not cell:
            apart = next(one for one in plan.varied if twin.values[one.key].text != cell.values[one.key].text)
            raise ConfigError(
                "two of the values make the same run",
                where=apart.where,
                seen=f"{twin.values[apart.key].text} and {cell.values[apart.key].text}",
                todo="take one of them out",
            )


def refuse_another(plan: Plan, file: Path, data: str | None = None) -> None:
    """A comparison may go on and grow; numbers of another one that stand in ``file`` are not written over.

    Args:
        data: the hash of the dataset, as soon as it is known.

    Raises:
        ConfigError: another run, other keys, other data, or cells or seeds that are no longer asked for.
    """
    if not file.exists():
        return
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        lost = _lost(plan, told, data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        lost = "a file that is no comparison"
    if lost is not None:
        raise ConfigError(
            "the folder holds another comparison, whose numbers would be lost",
            where=str(file),
            seen=lost,
            allowed="the same run, keys and data, with the same values and seeds or more",
            todo="name another --out, or write over it with --replace (finished trainings stay)",
        )


def _lost(plan: Plan, told: Mapping[str, Any], data: str | None) -> str | None:
    """What of an earlier result this plan would not measure again; None where it is all there."""
    if told["name"] != plan.run.name:
        return f"a comparison of the run '{told['name']}'"
    if set(told["varied"]) != {one.key for one in plan.varied}:
        return f"a comparison of {', '.join(told['varied']) or 'nothing that varies'}"
    planned = {cell.name for cell in plan.cells}
    cells = [cell["name"] for cell in told["cells"] if cell["name"] not in planned]
    if cells:
        return f"also the cell {cells[0]}" + (f" and {len(cells) - 1} more" if cells[1:] else "")
    seeds = [seed for seed in told["seeds"] if seed not in plan.seeds]
    if seeds:
        return f"also seed {', '.join(map(str, seeds))}"
    earlier = told["provenance"]["data_hash"]
    if data is not None and earlier != data:
        return f"numbers of data {earlier[:12]}: the dataset has changed since, to {data[:12]}"
    return None
