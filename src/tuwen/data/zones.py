"""Convert local times of a shop to UTC, and find times that name their own zone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from tuwen.data.dates import NAMED_ZONE
from tuwen.data.schema import Table
from tuwen.data.validate import ROW, Emptied

_OFFSET = r"(?i)(?:\d{1,2}:\d{2}|t\d{4,6}).*[+-]\d{2}(?::?\d{2})?\s*(?:[\[(].*)?$"
_UTC = r"(?i)[\d\s](?:z|utc|gmt)\s*(?:[\[(].*)?$"
_EPOCH = r"^\s*-?\d{9,20}(?:\.\d+)?\s*$"
_WRITTEN = r"^\s*(?:19|20)\d{10}(?:\d{2})?(?:\.0+)?\s*$"  # YYYYMMDDhhmm(ss)
_GAPS = ("1h", "30m", "24h")  # by which clocks were put forward: such local times never were


def is_local(values: pl.Series) -> pl.Series:
    """Whether each time is one of a clock that it does not name, as a Boolean; null where there is none.

    Args:
        values: as the shop wrote them: strings, numbers, dates or moments.
    """
    kind = values.dtype
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        zoned = isinstance(kind, pl.Datetime) and kind.time_zone is not None
        return values.is_not_null().set(values.is_null(), None) & (not zoned)
    if kind.is_numeric():
        values = values.cast(pl.Float64).round().cast(pl.Int64, strict=False)
    if kind.is_nested() or kind == pl.Binary:
        return pl.Series(values.name, [None], pl.Boolean).new_from_index(0, len(values))
    text = values.cast(pl.String)
    epoch = text.str.contains(_EPOCH) & ~text.str.contains(_WRITTEN)
    return ~(epoch | text.str.contains(_OFFSET) | text.str.contains(_UTC))


def from_zone(times: pl.Series, zone: str) -> pl.Series:
    """Convert local times of a time zone to naive UTC.

    An hour that comes twice in autumn is the first of the two; one that is left out in spring goes by the offset before
    it, as Python's ``fold=0`` does.

    Args:
        times: naive datetime[us].
        zone: its name, ``Europe/Berlin``.
    """
    moments = _localised(times, zone)
    for gap in _GAPS:
        lost = moments.is_null() & times.is_not_null()
        if not lost.any():
            break
        earlier = _localised(times.filter(lost).dt.offset_by(f"-{gap}"), zone).dt.offset_by(gap)
        moments = moments.scatter(lost.arg_true(), earlier)
    return moments


def zone_words(zone: str) -> dict[str, str]:
    """What a place has called its clock since 2000 → the offset of it: ``CET`` → ``+01:00``.

    A word that meant two offsets is left out.

    Args:
        zone: its name, ``Europe/Berlin``.
    """
    try:
        clock = ZoneInfo(zone)
    except ZoneInfoNotFoundError:
        return {}
    words: dict[str, set[str]] = {}
    for year in range(2000, datetime.now(UTC).year + 1):
        for month in (1, 4, 7, 10):
            moment = datetime(year, month, 1, tzinfo=clock)
            words.setdefault(moment.strftime("%Z"), set()).add(moment.isoformat()[19:])
    return {word: min(offsets) for word, offsets in words.items() if word.isalpha() and len(offsets) == 1}


class ShopClock:
    """The clock of one table: converts local times, and counts times without a known zone.

    Args:
        name: of the table.
        zone: of times that name none; None where the shop does not say.

    Attributes:
        local: times without a zone where the shop says none.
    """

    def __init__(self, name: str, table: Table, zone: str | None) -> None:
        self.local = 0
        self._zoned, self._example = 0, ""
        self._name, self._zone = name, zone
        self._columns = [column for column, kind in table.columns.items() if kind.kind == "time"]
        self._words = {} if zone is None else zone_words(zone)

    def with_offsets(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Write the offset for each word that the shop's own clock goes by: ``10:00 IST`` → ``10:00 +05:30``.

        Args:
            rows: as the shop wrote them.
        """
        columns = [column for column in self._columns if rows.schema.get(column) == pl.String]
        for word, offset in self._words.items():
            pattern = rf"(?i)([0-9:]\s*){word}\s*(?:\(.*\))?$"
            rows = rows.with_columns(pl.col(columns).str.replace(pattern, f"${{1}}{offset}"))
        return rows

    def utc(self, good_rows: pl.DataFrame, source_rows: pl.DataFrame) -> pl.DataFrame:
        """Convert the local times of checked rows to UTC.

        Args:
            good_rows: the rows that passed the checks, with moments. They have the column ROW.
            source_rows: the rows as the shop wrote them. They have the column ROW.
        """
        for column in self._columns:
            if column not in good_rows.columns:
                continue
            written = source_rows.filter(source_rows[ROW].is_in(good_rows[ROW].implode()))[column]
            local = (is_local(written) & good_rows[column].is_not_null()).fill_null(False)
            if self._zone is None:
                self._count(written, local, good_rows[column])
            elif local.any():
                moments = from_zone(good_rows[column].filter(local), self._zone)
                good_rows = good_rows.with_columns(good_rows[column].scatter(local.arg_true(), moments))
        return good_rows

    def _count(self, written: pl.Series, local: pl.Series, moments: pl.Series) -> None:
        count = int(local.sum())
        self.local += count
        self._zoned += int(moments.is_not_null().sum()) - count
        if count and not self._example:
            self._example = str(written.filter(local)[0])

    def notes(self) -> list[str]:
        """Return a note if only some times name their zone."""
        if not self.local or not self._zoned:
            return []
        return [
            f"{self._name}: {self.local:,} times name no time zone, as {self._example!r}, and {self._zoned:,} do: "
            "those without are taken as UTC; if they are of the shop's own clock, say so in SHOP.yaml: "
            f"{self._name}: {{timezone: Asia/Shanghai}}"
        ]


def named_zone_notes(name: str, rejected: pl.DataFrame, emptied: Mapping[str, Collection[Emptied]]) -> list[str]:
    """Return one note if words name the zones of times that could not be used.

    Args:
        name: of the table.
        rejected: its rejected rows, as in ``rejected.parquet``.
        emptied: its cells that could not be read, by column.
    """
    rows = rejected.filter(pl.col("reason").str.starts_with(NAMED_ZONE))
    cells = [
        part
        for parts in emptied.values()
        for part in parts
        if any(reason.startswith(NAMED_ZONE) for reason in part.reasons)
    ]
    if rows.is_empty() and not cells:
        return []
    seen = rows["seen"][0] if len(rows) else cells[0].first
    return [
        f"{name}: a word names the time zone, as in {seen}: such times cannot be used; say whose clock it is in "
        f"SHOP.yaml, {name}: {{timezone: Asia/Kolkata}}, or write the offset, +05:30"
    ]


def _localised(times: pl.Series, zone: str) -> pl.Series:
    moments = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
