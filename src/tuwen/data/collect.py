"""COLLECT: a shop's own files → a dataset folder.

The order of things makes every moment safe: media go into the append-only store as they come; tables are written
beside the old ones and put in place together at the very end. So whatever stops a collect (Ctrl-C, a full disk,
kill -9), the dataset that was there still opens, and the next collect goes on with every one that got in.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from tuwen import __version__
from tuwen.config import Shop, TableSource
from tuwen.data import joins, summary
from tuwen.data.dataset import FORMAT, Dataset, read_manifest
from tuwen.data.doubts import doubts
from tuwen.data.download import Limits
from tuwen.data.gather import Sheet, gather, joined, state_of, with_keys
from tuwen.data.intake import Intake
from tuwen.data.kinds import COLUMNS, MEDIA, Medium
from tuwen.data.placeholders import placeholders, without_named
from tuwen.data.refusals import OF_SHOPPERS, Refusals, leave_out
from tuwen.data.schema import TABLES, Table, with_rating_range
from tuwen.data.store import MediaWriter
from tuwen.data.validate import FILE, ROW
from tuwen.errors import ConfigError, DataError, did_you_mean
from tuwen.files import json_bytes, room_on_disk
from tuwen.outputs import PLACING, Ready, finish, held, sweep
from tuwen.private import private
from tuwen.progress import Progress, Silent

Media = Mapping[str, Intake]  # by column
ORDER = ("users", "events", "reviews", "items")  # what carries media comes last: other mistakes show first


@dataclass(frozen=True)
class Additions:
    """What came to a shop beside its own files, as the store of a running service wrote it down.

    Attributes:
        folder: of the files.
        tables: table → Parquet file, with tuwen's own names of columns.
        gone: items that were taken out of the shop.
        refusals: shoppers whose rows are left out, of the shop's own files too.
    """

    folder: Path
    tables: Mapping[str, str]
    gone: frozenset[str] = frozenset()
    refusals: Refusals | None = None


def collect(
    shop: Shop, out: str | Path, *, progress: Progress | None = None, additions: Additions | None = None
) -> dict[str, Any]:
    """Read the shop's tables and media into the dataset folder ``out``, and only what is new there.

    Rows that are no good go to ``rejected.parquet`` with their reason, media to ``quarantine.parquet``; neither
    stops the rest.

    Args:
        additions: rows that join those of the shop's files. Of one key an item's addition counts, and the shop's own
            event or review.

    Returns:
        The manifest, as ``manifest.json`` holds it.

    Raises:
        ConfigError: the shop has no table.
        DataError: ``out`` holds something else, a root folder or a source is missing, a source is unreadable, a mapped
            column is not there, a table has no good row, or the disk is full.
        InUse: another process writes to ``out``.
    """
    out, begun = Path(out), time.monotonic()
    progress = progress or Silent()
    more = additions or Additions(out, {})
    named = [name for name in TABLES if name in shop.tables() or name in more.tables]
    if not named:
        raise ConfigError("the shop names no table", where=shop.where(), allowed=list(TABLES))
    for name, source in shop.tables().items():
        if source.duplicates == "sum" and name != "events":
            raise ConfigError("only events can be summed", where=shop.where(name, "duplicates"), seen=name)
    _need_folders(shop)
    _need_own_place(out)
    with private(out), room_on_disk(out), held(out), MediaWriter(out / "media") as store:
        for folder in (out, out / "media"):
            finish(folder)
            sweep(folder)
        old = _previous(out)
        media = {medium.column: _intake(medium, shop, store) for medium in MEDIA.values()}
        collected = {name: _Collected(name, shop, old, media, progress, more) for name in ORDER if name in named}
        collected = {name: collected[name] for name in TABLES if name in collected}
        _join_keys(collected, shop)
        places: dict[str, str] = {}
        for column, intake in media.items():
            used = _places([c.sheet.frame for c in collected.values()], column)
            intake.resolve(used["reference"], progress)
            places |= {
                intake.medium.named(reference): f"{file}, row {row}" for reference, file, row in used.iter_rows()
            }
        store.settle(places)
        store.commit()
        with Ready(out) as ready:
            manifest = _written(shop, ready, collected, media)
            manifest["seconds"] = round(time.monotonic() - begun, 3)
            ready.add("manifest.json", json_bytes(manifest))
            ready.place()
    return manifest


class _Collected:
    """One table, read from its source or, where nothing about that has changed, taken from the dataset."""

    def __init__(
        self, name: str, shop: Shop, old: Dataset | None, media: Media, progress: Progress, more: Additions
    ) -> None:
        table = _table(name, shop)
        sources = [(shop.tables()[name], shop.folder())] if name in shop.tables() else []
        if name in more.tables:
            sources.append((TableSource(source=more.tables[name]), more.folder))
        states = [state_of(source, table, folder, __version__) for source, folder in sources]
        self.files = [file for files, _ in states for file in files]
        refusals = more.refusals if name in OF_SHOPPERS and more.refusals and more.refusals.state else None
        left_out = more.gone if name == "items" else [] if refusals is None else [refusals.state]
        self.state = _joined_state([state for _, state in states], left_out)
        sheet = None if old is None or self.state is None else _kept(name, self.state, old, media)
        self.reused = sheet is not None
        if sheet is None:
            others = {other: source for other, source in shop.tables().items() if other != name}
            sheets = [gather(name, source, table, folder, media, progress, others) for source, folder in sources]
            sheet = sheets[0] if len(sheets) == 1 else joined(sheets[0], sheets[1], table.key, last=name == "items")
            if name == "items" and more.gone:
                sheet.frame = sheet.frame.filter(~pl.col("item").is_in(list(more.gone)))
            if refusals is not None:
                leave_out(sheet, name, refusals)
            if sheet.shared:
                self.state = None  # read anew next time: another table may say something else
        self.sheet = sheet


def _join_keys(collected: Mapping[str, _Collected], shop: Shop) -> None:
    """Let reviews and events name items and users as their own tables do."""
    for name in ("reviews", "events"):
        source = shop.tables().get(name)
        for column, other in joins.LISTED.items():
            if name not in collected or other not in collected or column not in collected[name].sheet.frame.columns:
                continue
            table = collected[name]
            join = joins.join_keys(name, column, table.sheet.frame, collected[other].sheet.frame[column])
            table.sheet.notes += [] if join.note is None else [join.note]
            if join.joined:
                table.state = None  # read anew next time: another table of items may say something else
                summed = source is not None and source.duplicates == "sum"
                with_keys(table.sheet, join.frame, name, _table(name, shop), summed=summed)


def _joined_state(states: Sequence[str | None], left_out: Collection[str]) -> str | None:
    """Of several sources; that of one is its own."""
    if None in states:
        return None
    if len(states) == 1 and not left_out:
        return states[0]
    return hashlib.sha256(repr((states, sorted(left_out))).encode()).hexdigest()


def _need_folders(shop: Shop) -> None:
    """Refuse a root folder that is not there, rather than every single file under it."""
    for place, folder in ((("root",), shop.folder()), (("media", "root"), _media_root(shop))):
        if not folder.is_dir():
            beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
            raise DataError(
                f"'{'.'.join(place)}' is not a folder"
                if folder.exists()
                else f"there is no folder '{'.'.join(place)}'",
                where=shop.where(*place),
                seen=folder,
                todo=did_you_mean(folder.name, beside) or "give the folder that holds the files",
            )


def _need_own_place(out: Path) -> None:
    """Refuse a folder that holds anything but a dataset, whole or begun, before anything is written into it."""
    if (out / "media" / "index.sqlite").exists() or (out / PLACING).exists():
        return
    with room_on_disk(out):
        if not out.is_dir():
            return
        there = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        media = out / "media"  # without its index: a power cut may keep a shard or a journal, and not the index
        begun = there == ["media"] and all(path.suffix in (".shard", ".sqlite-journal") for path in media.iterdir())
    if not there or begun or _is_dataset(out):
        return
    seen = f"{', '.join(there[:5])}{', …' if len(there) > 5 else ''}"
    raise DataError(
        "the folder is not empty and holds no dataset", where=str(out), seen=seen, todo="name an empty or a new folder"
    )


def _is_dataset(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except DataError as error:
        return "newer" in error.what
    return True


def _table(name: str, shop: Shop) -> Table:
    if name == "reviews" and shop.rating_range is not None:
        return with_rating_range(TABLES[name], *shop.rating_range)
    return TABLES[name]


def _previous(out: Path) -> Dataset | None:
    """The dataset that is there already; None where there is none to build on."""
    if not (out / "manifest.json").exists():
        return None
    try:
        return Dataset.open(out)
    except DataError as error:
        if "newer" in error.what:
            raise
        return None


def _kept(name: str, state: str, old: Dataset, media: Media) -> Sheet | None:
    """The table as the last collect left it, its media as references again; None if it cannot be had whole."""
    about = old.manifest["tables"].get(name)
    if about is None or about.get("state") != state:
        return None
    try:
        frame, rejected = old.table(name), old.rejected().filter(pl.col("table") == name)
        listed = [column for column in COLUMNS if column in frame.columns]
        if listed:
            references = pl.read_parquet(old.folder / "media" / f"{name}.parquet")
            frame = frame.with_columns(references)
            if not all(media[c].has_all(references[c].explode().drop_nulls().unique()) for c in listed):
                return None
        else:
            frame = frame.with_columns(pl.lit("").alias(FILE), pl.lit(0).alias(ROW))
    except (DataError, OSError, pl.exceptions.PolarsError):
        return None
    return Sheet(frame, rejected, about["read"], about["merged"], about["notes"])


def _places(frames: list[pl.DataFrame], column: str) -> pl.DataFrame:
    """``reference``, ``file``, ``row`` of everything that ``column`` speaks of, each once."""
    parts = [
        frame.select(
            pl.col(column).alias("reference"), pl.col(FILE).alias("file"), pl.col(ROW).cast(pl.Int64).alias("row")
        )
        .explode("reference")
        .drop_nulls("reference")
        for frame in frames
        if column in frame.columns
    ]
    empty = pl.DataFrame(schema={"reference": pl.String, "file": pl.String, "row": pl.Int64})
    return pl.concat([empty, *parts]).unique("reference", keep="first", maintain_order=True)


def _written(shop: Shop, ready: Ready, collected: dict[str, _Collected], media: Media) -> dict[str, Any]:
    """Write all tables beside their places; returns the manifest without its time."""
    frames: dict[str, pl.DataFrame] = {}
    tables: dict[str, Any] = {}
    for name, one in collected.items():
        frame = one.sheet.frame
        listed = [column for column in COLUMNS if column in frame.columns]
        if listed:
            ready.add(f"media/{name}.parquet", _parquet(frame.select(*listed, FILE, ROW)))
        for column in listed:
            media_keys = media[column].keys
            if column == "images" and shop.media.placeholders:
                media_keys = without_named(media_keys, shop.media.placeholders)
            keys = pl.col(column).list.eval(
                pl.element().replace_strict(media_keys, default=None, return_dtype=pl.String)
            )
            frame = frame.with_columns(keys.list.drop_nulls().list.unique(maintain_order=True))
        frames[name] = frame.drop(FILE, ROW)
        data = _parquet(frames[name])
        tables[name] = {
            **summary.of_table(name, frames[name], one.sheet),
            "sha256": ready.add(f"{name}.parquet", data),
            "state": one.state,
            "files": one.files,
            "reused": one.reused,
        }
    rejected = pl.concat([one.sheet.rejected for one in collected.values()])
    quarantine = media["images"].store.quarantine()
    ready.add("quarantine.parquet", _parquet(quarantine))
    sheets = [one.sheet.frame for one in collected.values()]
    told = "".join(f"{name} {tables[name]['sha256']}\n" for name in sorted(tables))
    about = summary.of_media(media.values(), sheets, quarantine)
    shared = placeholders(frames["items"]) if "items" in frames else {}
    about["pictures"]["placeholders"] = list(shared)
    return {
        "format": FORMAT,
        "tuwen": __version__,
        "shop": shop.name,
        "hash": hashlib.sha256(told.encode()).hexdigest(),
        "tables": tables,
        "rejected": {"rows": rejected.height, "sha256": ready.add("rejected.parquet", _parquet(rejected))},
        **about,
        "media_limits": shop.media.limits(),
        "warnings": [
            *(n for table in collected.values() for n in table.sheet.notes),
            *doubts(frames, shared, media["images"].keys),
        ],
    }


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _intake(medium: Medium, shop: Shop, store: MediaWriter) -> Intake:
    limits = medium.limited(shop.media.limits())
    web = Limits(**shop.media.model_dump(include=set(Limits.__dataclass_fields__)) | {"max_bytes": limits["max_bytes"]})
    return Intake(medium, store, _media_root(shop), limits, web, anywhere=shop.media.allow_outside_root)


def _media_root(shop: Shop) -> Path:
    return shop.folder() / (shop.media.root or ".")
