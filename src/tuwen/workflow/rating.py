"""A run with ``raters``: which of its columns are users, items and facts, and what may stand beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuwen.config import Run
from tuwen.errors import ConfigError
from tuwen.models import ENCODERS, RATERS
from tuwen.models.assemble import Part
from tuwen.models.raters.ensemble import Raters
from tuwen.models.raters.rater import SIDES, Side
from tuwen.models.raters.sides import Sides
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.table import Table
from tuwen.training.raters import Stacked
from tuwen.workflow.preparing import encoder_options, modality_options

KEYS: dict[Side, str] = {"user": "reviews.user", "item": "reviews.item"}
OWNERS: dict[str, Side] = {"users": "user", "items": "item"}


def check_raters(run: Run) -> None:
    """Raters of users and items, and nothing that needs a network.

    Raises:
        ConfigError: with file and line.
    """
    if run.raters is None:
        return
    if run.task.use != "rate":
        raise ConfigError("raters are of the task rate", where=run.where("raters"), seen=f"task: {run.task.use}")
    if run.rows.table != "reviews":
        raise ConfigError(
            "raters learn from reviews: who gave what to what",
            where=run.where("rows"),
            seen=f"table: {run.rows.table}",
            todo="rows: {table: reviews}",
        )
    for name, asked in (("gan", run.gan), ("init", run.init)):
        if asked is not None:
            raise ConfigError(
                f"'{name}' is about a network, and raters take its place", where=run.where(name), todo="take it out"
            )
    for side in SIDES:
        _key_modality(run, side)
    for name in run.modalities:
        _side_of(run, name)
        _check_readable(run, name)
    for name, options in raters_options(run).items():
        RATERS.build(run.raters[name].use, options, where=run.where("raters", name))


def raters_options(run: Run) -> dict[str, dict[str, Any]]:
    """The complete options of each rater."""
    return {
        name: RATERS.options(part.use, part.options, run.where("raters", name))
        for name, part in (run.raters or {}).items()
    }


def can_rate(run: Run) -> bool:
    """Whether the run has no raters, or modalities with users and items for them."""
    return run.raters is None or all(_holders(run, side) for side in SIDES)


def raters_of(run: Run, modalities: Mapping[str, Modality]) -> Raters:
    """The raters of a checked run, not fitted, for its fitted modalities."""
    ids: dict[Side, tuple[str, int]] = {}
    for side in SIDES:
        name = _key_modality(run, side)
        table = modalities[name]
        assert isinstance(table, Table)
        ids[side] = name, list(table.fitted["categories"]).index(KEYS[side])
    facts: dict[Side, list[str]] = {side: [] for side in SIDES}
    for name in run.modalities:
        facts[_side_of(run, name)].append(name)
    assert run.raters is not None
    members = {
        name: Part(run.raters[name].use, options, run.where("raters", name))
        for name, options in raters_options(run).items()
    }
    return Raters(members, Sides(ids, facts, {name: modality.spec for name, modality in modalities.items()}))


def account(raters: Raters, stacked: Stacked) -> dict[str, Any]:
    """What bundle.json tells of the blend: of each member its weight and its RMSE out of fold, and that of all."""
    weights = dict(zip(raters.raters, raters.weights.tolist(), strict=True))
    members = {name: {"weight": weights[name], "rmse": stacked.rmse.get(name)} for name in weights}
    return {"members": members, "rmse": stacked.blended}


def _holders(run: Run, side: Side) -> list[str]:
    """The tables that read the key of a side."""
    return [name for name, spec in run.modalities.items() if spec.use == "table" and KEYS[side] in spec.columns]


def _key_modality(run: Run, side: Side) -> str:
    found = _holders(run, side)
    if len(found) != 1:
        told = {"user": "users.age, users.gender", "item": "items.category"}[side]
        raise ConfigError(
            f"raters need one table that reads '{KEYS[side]}'",
            where=run.where("modalities"),
            seen=f"in {', '.join(found)}" if found else "none",
            todo=f"{side}: {{use: table, columns: [{KEYS[side]}, {told}], encoder: table}}",
        )
    options = modality_options(run, found[0])
    for kind in ("numbers", "dates", "lists"):
        if KEYS[side] in (options.get(kind) or ()):
            raise ConfigError(
                f"'{KEYS[side]}' is a key, and no {kind.removesuffix('s')}",
                where=run.where("modalities", found[0], kind),
                todo="take it out of there",
            )
    return found[0]


def _side_of(run: Run, name: str) -> Side:
    """Whether a modality tells of users or of items."""
    found = set()
    for column in run.modalities[name].columns:
        known = {KEYS[side]: side for side in SIDES}
        side = known.get(column) or OWNERS.get(column.partition(".")[0])
        if side is None:
            raise ConfigError(
                f"raters know users and items, and '{column}' is of a single review",
                where=run.where("modalities", name, "columns"),
                allowed="columns of users, columns of items, reviews.user, reviews.item",
                todo="take it out; or leave out raters: a network reads reviews",
            )
        found.add(side)
    if len(found) > 1:
        raise ConfigError(
            f"the modality '{name}' tells of users and of items, and raters need to know which",
            where=run.where("modalities", name, "columns"),
            todo="make two modalities of it",
        )
    return found.pop()


def _check_readable(run: Run, name: str) -> None:
    spec = run.modalities[name]
    if spec.use == "table":
        return
    encoder = ENCODERS.load(spec.encoder.use, run.where("modalities", name, "encoder"))
    if not encoder.is_frozen(encoder_options(run, name)):
        raise ConfigError(
            f"raters read finished vectors, and the encoder '{spec.encoder.use}' of '{name}' has to be trained",
            where=run.where("modalities", name, "encoder"),
            allowed="frozen encoders, as e5-small or efficientnet-lite0; and use: table",
        )
    if modality_options(run, name).get("pictures", 1) > 1:
        raise ConfigError(
            f"raters read one picture of each item, and '{name}' gives several",
            where=run.where("modalities", name, "pictures"),
            todo="take pictures out",
        )
