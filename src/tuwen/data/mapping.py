"""From the shop's column names to tuwen's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tuwen.data.kinds import COLUMNS
from tuwen.data.schema import Table
from tuwen.errors import DataError, close_names, did_you_mean


@dataclass(frozen=True)
class Plan:
    """Which of a file's columns become which of the table's.

    Attributes:
        names: tuwen's name → the shop's columns; more than one only for those that list media.
        constants: tuwen's name → the one value of every row.
        doubts: what looks like a slip but may be meant, one sentence each.
    """

    names: dict[str, list[str]]
    constants: dict[str, str | int | float] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def sources(self) -> list[str]:
        """The columns to read from the file."""
        return list(dict.fromkeys(column for columns in self.names.values() for column in columns))


def plan(
    given: Sequence[str],
    table: Table,
    where: str,
    *,
    columns: Mapping[str, str | list[str]],
    constants: Mapping[str, str | int | float],
    keep: Literal["all", "none"] | list[str],
) -> Plan:
    """Which of the columns ``given`` in a file are read, and as what.

    Mapped columns first, then known ones under their own name, then the others that ``keep`` lets along.

    Raises:
        DataError: a mapped or kept column is not in the file, a key is neither there nor mapped, or several columns are
            mapped to something other than media.
    """
    names: dict[str, list[str]] = {}
    _need_direction(columns, given, table, where)
    for name, mapped in columns.items():
        names[name] = [mapped] if isinstance(mapped, str) else list(mapped)
        if len(names[name]) != 1 and name not in COLUMNS:
            raise DataError(
                f"'{name}' takes one column",
                where=where,
                seen=names[name],
                allowed=f"several for {', '.join(COLUMNS)} only",
            )
        for column in names[name]:
            _need(column, given, where, f"the column '{column}', mapped to '{name}', is not there")
    used = {column for mapped in names.values() for column in mapped}
    for column in given:
        if column in table.columns and column not in names and column not in constants and column not in used:
            names[column] = [column]
    for name in table.key:
        if name not in names and name not in constants and name != "review":
            near = did_you_mean(name, given)
            raise DataError(
                f"no column gives '{name}', which every row needs",
                where=where,
                seen=", ".join(given),
                todo=f"{near + ' ' if near else ''}map it in SHOP.yaml: columns: {{{name}: YOUR_COLUMN}}{_BELOW}",
            )
    used = {column for mapped in names.values() for column in mapped}
    others = [c for c in given if c not in used and c not in names and c not in constants]
    doubts = [f"{where}: {doubt}" for doubt in _doubtful_directions(columns, given, table)]
    for column in others if keep == "all" else ():
        close = close_names(column.lower(), [c for c in table.columns if c not in names], cutoff=0.75)
        doubts += [f"{where}: the column '{column}' is kept as it is; if it is '{name}', map it" for name in close]
    if isinstance(keep, list):
        for column in keep:
            _need(column, given, where, f"the column '{column}', listed in keep, is not there")
    others = [] if keep == "none" else others if keep == "all" else [c for c in others if c in keep]
    names.update({column: [column] for column in others})
    order = {name: i for i, name in enumerate(dict.fromkeys([*table.columns, *names]))}
    return Plan(dict(sorted(names.items(), key=lambda n: order[n[0]])), dict(constants), doubts)


def names_of(table: Table, columns: Mapping[str, str | list[str]]) -> set[str]:
    """What a file's columns may be called: tuwen's names, and the shop's that SHOP.yaml maps."""
    mapped = ([column] if isinstance(column, str) else column for column in columns.values())
    return {*table.columns, *(name for listed in mapped for name in listed)}


def slips(given: Iterable[str], found: Plan, table: Table) -> list[str]:
    """A sentence for every mapped name that tuwen does not know but that is close to one it does and has not got.

    Args:
        given: the names on the left of SHOP.yaml's ``columns`` and ``constants``.
    """
    missing = [name for name in table.columns if name not in found.names and name not in found.constants]
    told = []
    for name in given:
        if name not in table.columns and (close := close_names(name.lower(), missing, cutoff=0.75)):
            told.append(f"'{name}' is kept as a column of the shop's own; did you mean '{close[0]}'?")
    return told


_BELOW = "; where lines of a CSV file stand above its header, skip: 1 leaves one out"


def _need_direction(columns: Mapping[str, str | list[str]], header: Sequence[str], table: Table, where: str) -> None:
    """Refuse a mapping that is written the other way round.

    Raises:
        DataError: the file has the column on the left and tuwen the name on the right.
    """
    reversed_names = {
        name: mapped
        for name, mapped in columns.items()
        if isinstance(mapped, str) and mapped not in header and name in header and mapped in table.columns
    }
    if reversed_names:
        seen = ", ".join(f"{name}: {mapped}" for name, mapped in reversed_names.items())
        right = ", ".join(f"{mapped}: {name}" for name, mapped in reversed_names.items())
        raise DataError(
            "the mapping is written the other way round",
            where=where,
            seen=f"columns: {{{seen}}}",
            allowed="TUWEN'S NAME: YOUR COLUMN",
            todo=f"write columns: {{{right}}} in SHOP.yaml",
        )


def _doubtful_directions(columns: Mapping[str, str | list[str]], header: Sequence[str], table: Table) -> list[str]:
    """A sentence for every known column that SHOP.yaml gives a name of the shop's own."""
    return [
        f"the column '{mapped}' is read as '{name}', a column of the shop's own; tuwen knows '{mapped}'; "
        f"if '{name}' is meant by it, write columns: {{{mapped}: {name}}}"
        for name, mapped in columns.items()
        if isinstance(mapped, str) and name not in table.columns and mapped in table.columns and name in header
    ]


def _need(column: str, given: Sequence[str], where: str, what: str) -> None:
    if column not in given:
        raise DataError(what, where=where, seen=column, allowed=given, todo=did_you_mean(column, given))
