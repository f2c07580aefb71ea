"""One table from its source: every row read, checked, and either good or rejected with its reason."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.config import TableSource
from tuwen.data import mapping, sources, validate, variants
from tuwen.data.batch import Batch, Part, joined_frames
from tuwen.data.blanks import BlankRows
from tuwen.data.dates import NAMED_ZONE, SHORT_YEAR, TWO_ORDERS
from tuwen.data.encoding import WRONG, other_encoding
from tuwen.data.intake import Intake
from tuwen.data.kinds import COLUMNS
from tuwen.data.ratings import SCALES
from tuwen.data.references import references
from tuwen.data.rounded import rounded_notes
from tuwen.data.schema import TABLES, TEXT_LIMIT, Table
from tuwen.data.source_dialects import SourceDialects
from tuwen.data.validate import FILE, ROW
from tuwen.data.values import inferred, times
from tuwen.data.zones import ShopClock, named_zone_notes
from tuwen.errors import DataError
from tuwen.progress import Progress


@dataclass
class Sheet:
    """A table on its way.

    Attributes:
        frame: good rows, typed; ``images``, ``sounds`` and ``shapes`` still hold references; FILE and ROW say where
            each row stood.
        rejected: the others, as in ``rejected.parquet``.
        read: rows read in all.
        merged: rows that became part of another one.
        notes: what a person should know, one sentence each.
        local: times that name no time zone where none is said, so that they are taken as UTC.
        shared: whether the shop's other tables were looked at, so that it may change when they do.
    """

    frame: pl.DataFrame
    rejected: pl.DataFrame
    read: int
    merged: int = 0
    notes: list[str] = field(default_factory=list)
    local: int = 0
    shared: bool = False


def gather(
    name: str,
    source: TableSource,
    table: Table,
    folder: Path,
    media: Mapping[str, Intake],
    progress: Progress,
    others: Mapping[str, TableSource] | None = None,
) -> Sheet:
    """Read the table ``name`` from ``source``; media that come as bytes go to the store on the way.

    Args:
        media: by column.
        others: the shop's other tables; what they prove about decimals counts where this one proves nothing.

    Raises:
        DataError: a column is missing, a source is empty or unreadable, or no row is good.
    """
    kind = sources.format_of(source.source, source.format)
    good: list[pl.DataFrame] = []
    bad: list[pl.DataFrame] = [pl.DataFrame(schema=validate.REJECTED)]
    notes: list[str] = []
    emptied: dict[str, list[validate.Emptied]] = {}
    read = cut = merged = 0
    blanks = BlankRows()
    clock = ShopClock(name, table, source.timezone)
    speech = SourceDialects(
        name,
        table,
        decimal=source.decimal,
        dates=source.dates,
        parts=lambda: ((part, _plan(part, source, table)) for part in _parts(source, table, folder, kind, [])),
        others=lambda: _others(others or {}, folder),
    )
    for part in _parts(source, table, folder, kind, notes):
        plan = _plan(part, source, table)
        slips = mapping.slips([*source.columns, *source.constants], plan, table)
        notes += part.notes + plan.doubts + [f"{name}: {slip}" for slip in slips]
        dialects = speech.of(part, plan)
        with progress.task(f"read {part.name}", part.rows) as task:
            columns = part.columns if kind in ("csv", "jsonl") else plan.sources()
            for batch in blanks.left_out(_batches(name, part, columns)):
                frame, contents = _mapped(batch, plan, part.name, notes, media, source.lists)
                height = frame.height
                if name == "items":
                    frame, fewer, variant_notes = variants.filled(frame)
                    merged, notes = merged + fewer, notes + variant_notes
                frame = clock.with_offsets(frame)
                checked = validate.check_rows(frame, name, table, dialects)
                checked.good = clock.utc(checked.good, frame)
                bad += [*checked.rejected, validate.unread(batch.unread, name, part.name)]
                for column, given in contents.items():
                    media[column].add(_wanted(given, checked.good[column]))
                good.append(checked.good)
                read += height + len(batch.unread)
                cut += checked.cut
                for cells in checked.emptied:
                    emptied.setdefault(cells.column, []).append(cells)
                task.advance(height + len(batch.unread))
    if not read:
        seen = "blank rows only" if blanks.count else "a header only"
        raise DataError(f"there is no row of {name}", where=source.source, seen=seen, todo="check the export")
    frame = _one_frame(good, list(table.columns), text=kind in ("csv", "jsonl"))
    if name == "reviews" and "review" not in frame.columns:
        frame = frame.insert_column(0, _review_ids(frame, table))
    if name == "items":
        frame, fewer, variant_notes = variants.gathered(frame)
        merged, notes = merged + fewer, notes + variant_notes
    if source.duplicates == "sum":
        frame, merged = _summed(frame, table)
    notes += rounded_notes(frame.drop(FILE, ROW), name, table)
    unique = validate.check_keys(frame, name, table)
    rejected = pl.concat([*bad, *unique.rejected]).sort("file", "row", maintain_order=True)
    notes += [*named_zone_notes(name, rejected, emptied), *blanks.notes(name), *speech.notes, *clock.notes()]
    notes += [validate.emptied_note(name, cells) for cells in emptied.values()]
    notes += _cut_note(name, cut)
    if unique.good.is_empty():
        raise _nothing_left(name, source.source, rejected, source.encoding)
    return Sheet(unique.good, rejected, read, merged, list(dict.fromkeys(notes)), clock.local, speech.shared)


def _others(tables: Mapping[str, TableSource], folder: Path) -> Iterator[tuple[str, Part]]:
    """Each file of other tables, with the table's name."""
    for name, source in tables.items():
        for part in _parts(source, TABLES[name], folder, sources.format_of(source.source, source.format), []):
            yield name, part


def _cut_note(name: str, cut: int) -> list[str]:
    return [f"{name}: {cut} texts were longer than {TEXT_LIMIT:,} characters and were cut"] if cut else []


def _batches(name: str, part: Part, columns: Sequence[str]) -> Iterator[Batch]:
    """The batches of a file; those of items as one, since an item may stand over several rows.

    Rows with pictures in them come as they are: together they might fill the memory.
    """
    batches = part.batches(columns)
    if name != "items":
        yield from batches
        return
    all_batches: list[Batch] = []
    for batch in batches:
        all_batches.append(batch)
        if any(_holds_bytes(kind) for kind in batch.frame.schema.values()):
            yield from all_batches
            yield from batches
            return
    if not all_batches:
        return
    try:
        frame = joined_frames([batch.frame for batch in all_batches])
    except pl.exceptions.PolarsError:  # a column of lists here and of texts there
        yield from all_batches
        return
    rows = pl.concat([batch.rows for batch in all_batches])
    yield Batch(frame, rows, [row for batch in all_batches for row in batch.unread])


def _plan(part: Part, source: TableSource, table: Table) -> mapping.Plan:
    return mapping.plan(
        part.columns, table, part.name, columns=source.columns, constants=source.constants, keep=source.keep
    )


def joined(own: Sheet, more: Sheet, key: Sequence[str], *, last: bool) -> Sheet:
    """Two sheets of one table as one. Of rows of one key one stays, without a word: what a running service tells again
    in the shop's next export is no mistake.

    Args:
        last: whether that of ``more`` stays.
    """
    frame = joined_frames([own.frame, more.frame])
    kept = frame.unique(list(key), keep="last" if last else "first", maintain_order=True)
    rejected = pl.concat([own.rejected, more.rejected])
    merged = own.merged + more.merged + frame.height - kept.height
    notes = [*own.notes, *more.notes]
    if own.local and more.local:
        notes.append(
            f"{own.local:,} times of the shop's own files name no time zone, and those of its service are UTC: all are "
            "taken as UTC; say timezone: Asia/Shanghai, or timezone: UTC, beside their source in SHOP.yaml"
        )
    return Sheet(kept, rejected, own.read + more.read, merged, notes, shared=own.shared or more.shared)


def with_keys(sheet: Sheet, frame: pl.DataFrame, name: str, table: Table, *, summed: bool) -> None:
    """Give a sheet rows whose keys have changed: those that now share one are summed or rejected as ever."""
    if summed:
        frame, merged = _summed(frame, table)
        sheet.merged += merged
    unique = validate.check_keys(frame, name, table)
    sheet.frame, sheet.rejected = unique.good, pl.concat([sheet.rejected, *unique.rejected])


def _parts(source: TableSource, table: Table, folder: Path, kind: sources.Format, notes: list[str]) -> Iterator[Part]:
    """Each file of the source, or its query. Of several files an empty one is no harm."""
    if kind == "sql":
        if source.query is None:
            raise DataError("a database needs a 'query'", where=source.source.split("://")[0] + "://...")
        yield sources.query(source.source, source.query, folder)
        return
    files = sources.files_of(source.source, folder)
    for path, name in files:
        if len(files) > 1 and path.stat().st_size == 0:
            notes.append(f"{name}: the file is empty")
        else:
            options = source.model_dump(include={"encoding", "separator", "skip", "escape"})
            yield sources.open_file(path, name, kind, names=mapping.names_of(table, source.columns), **options)


def _mapped(
    batch: Batch,
    plan: mapping.Plan,
    file: str,
    notes: list[str],
    media: Mapping[str, Intake],
    lists: Mapping[Any, str],
) -> tuple[pl.DataFrame, dict[str, dict[str, bytes]]]:
    """The batch under tuwen's names, its media as references, and the bytes of those that came as bytes, by column."""
    columns: list[pl.Series] = []
    contents: dict[str, dict[str, bytes]] = {}
    for name, given in plan.names.items():
        if name in COLUMNS:
            exists, separators = media[name].files.exists, lists.get(name)
            listed, contents[name] = references(batch.frame, given, exists=exists, separators=separators)
            columns.append(listed.alias(name))
        elif name == given[0] and _holds_bytes(batch.frame[name].dtype):
            notes.append(
                f"{file}: the column '{name}' holds bytes and is left out; pictures: columns: {{images: {name}}}"
            )
        else:
            columns.append(batch.frame[given[0]].alias(name))
    height = batch.frame.height
    columns += [pl.Series(name, [value]).new_from_index(0, height) for name, value in plan.constants.items()]
    columns += [pl.Series(FILE, [file]).new_from_index(0, height), batch.rows.alias(ROW)]
    return pl.DataFrame(columns), contents


def _holds_bytes(kind: pl.DataType) -> bool:
    """Whether there are bytes anywhere in a type."""
    inner = [field.dtype for field in kind.fields] if isinstance(kind, pl.Struct) else [getattr(kind, "inner", None)]
    return kind == pl.Binary or any(_holds_bytes(part) for part in inner if isinstance(part, pl.DataType))


def _wanted(contents: dict[str, bytes], good: pl.Series) -> dict[str, bytes]:
    """Only those of good rows."""
    if not contents:
        return {}
    used = set(good.explode().drop_nulls())
    return {reference: data for reference, data in contents.items() if reference in used}


def _one_frame(parts: list[pl.DataFrame], known: list[str], *, text: bool) -> pl.DataFrame:
    """All batches as one: known columns first, and a shop's own ones of a type that Parquet keeps well."""
    frame = joined_frames(parts)
    columns = []
    for column in frame.columns:
        values = frame[column]
        if values.dtype in (pl.Null, pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        elif isinstance(values.dtype, pl.Decimal):
            values = values.cast(pl.Float64)
        elif isinstance(values.dtype, pl.Datetime) and column not in known:
            values, _ = times(values)
        if text and column not in known and column not in (FILE, ROW):
            values = inferred(values)
        columns.append(values)
    order = {column: i for i, column in enumerate(known)}
    return pl.DataFrame(sorted(columns, key=lambda values: order.get(values.name, len(order))))


def _review_ids(frame: pl.DataFrame, table: Table) -> pl.Series:
    """A key from each review's own content; the same content again gets a number behind it."""
    parts = [pl.col(c).cast(pl.String).fill_null("") for c in table.columns if c in frame.columns and c not in COLUMNS]
    texts = frame.select(pl.concat_str(parts or [pl.lit("")], separator="\0")).to_series()
    ids = pl.Series("review", [hashlib.sha256(text.encode()).hexdigest()[:20] for text in texts], pl.String)
    copy = ids.to_frame().select(pl.int_range(pl.len()).over("review")).to_series()
    return ids.zip_with(copy == 0, pl.select(pl.format("{}-{}", ids, copy + 1)).to_series())


def _summed(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, int]:
    """Events of one key as one: ``quantity`` (1 where nothing is said) and ``value`` added up, the rest the first's."""
    if "quantity" not in frame.columns:
        frame = frame.with_columns(pl.lit(None, pl.Float64).alias("quantity"))
    sums = [pl.col("quantity").fill_null(1.0).sum()]
    if "value" in frame.columns:
        sums.append(pl.when(pl.col("value").is_not_null().any()).then(pl.col("value").sum()))
    rest = [pl.col(c).first() for c in frame.columns if c not in (*table.key, "quantity", "value")]
    merged = frame.group_by(table.key, maintain_order=True).agg(*sums, *rest)
    order = [c for c in table.columns if c in frame.columns] + [c for c in frame.columns if c not in table.columns]
    return merged.select(order), frame.height - merged.height


_ORDERS = "say dates: day-first or dates: month-first in SHOP.yaml; "
_CLOCK = "say whose clock it is in SHOP.yaml, timezone: Asia/Kolkata, or write the offset, +05:30; "


def _nothing_left(name: str, where: str, rejected: pl.DataFrame, encoding: str | None) -> DataError:
    first = rejected.row(0, named=True)
    column = f", column '{first['column']}'" if first["column"] else ""
    reasons = Counter(rejected["reason"].to_list()).most_common()
    advice = f"{other_encoding(encoding)}; " if encoding and reasons[0][0] == WRONG else ""
    advice += _ORDERS if reasons[0][0] in (TWO_ORDERS, SHORT_YEAR) else ""
    advice += "write all ratings on one scale; " if reasons[0][0] == SCALES else ""
    advice += _CLOCK if reasons[0][0].startswith(NAMED_ZONE) else ""
    return DataError(
        f"no row of {name} is good",
        where=where,
        seen=", ".join(f"{count} × {reason}" for reason, count in reasons),
        todo=f"{advice}look at {first['file']}, row {first['row']}{column}: {first['seen']}",
    )


def state_of(source: TableSource, table: Table, folder: Path, version: str) -> tuple[list[dict[str, Any]], str | None]:
    """The source's files, and a hash of all that decides what the table will be; None for a database."""
    if sources.format_of(source.source, source.format) == "sql":
        return [], None
    files = sources.fingerprint(sources.files_of(source.source, folder))
    told = [version, source.model_dump(mode="json"), repr(table), files]
    return files, hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
