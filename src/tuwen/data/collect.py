"""COLLECT: a shop's own files → a dataset folder."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import polars as pl

from tuwen import __version__, files
from tuwen.config import Shop, TableSource
from tuwen.data import mapping, validate
from tuwen.data.dataset import FORMAT
from tuwen.data.pictures import Pictures
from tuwen.data.references import references
from tuwen.data.schema import TABLES, with_rating_range
from tuwen.data.sources import ParquetFile
from tuwen.data.store import MediaWriter
from tuwen.errors import DataError
from tuwen.progress import Progress, Silent


def collect(shop: Shop, out: str | Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Read the shop's tables and pictures into the dataset folder ``out``; returns the manifest."""
    out, begun = Path(out), time.monotonic()
    progress = progress or Silent()
    limits = shop.media.model_dump(include={"max_bytes", "max_pixels", "max_side", "min_side"})
    with files.held(out), files.room_on_disk(out):
        with MediaWriter(out / "media") as store:
            pictures = Pictures(store, limits)
            frames, rejected = {}, []
            for name, source in shop.tables().items():
                frames[name], bad = _gather(name, source, shop, pictures, progress)
                rejected += bad
        tables = {}
        for name, frame in frames.items():
            tables[name] = {"rows": frame.height, "sha256": _write(frame, out / f"{name}.parquet")}
        bad = pl.concat([pl.DataFrame(schema=validate.REJECTED), *rejected])
        digest = hashlib.sha256("".join(f"{n} {t['sha256']}\n" for n, t in sorted(tables.items())).encode()).hexdigest()
        manifest = {
            "format": FORMAT,
            "tuwen": __version__,
            "shop": shop.name,
            "hash": digest,
            "tables": tables,
            "rejected": {"rows": bad.height, "sha256": _write(bad, out / "rejected.parquet")},
            "media_limits": limits,
            "seconds": round(time.monotonic() - begun, 3),
        }
        files.write_json(out / "manifest.json", manifest)
    return manifest


def _gather(
    name: str, source: TableSource, shop: Shop, pictures: Pictures, progress: Progress
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    table = TABLES[name]
    if name == "reviews" and shop.rating_range is not None:
        table = with_rating_range(table, *shop.rating_range)
    path = shop.folder() / source.source
    file = ParquetFile(path, source.source)
    plan = mapping.plan(
        file.columns, table, file.name, columns=source.columns, constants=source.constants, keep=source.keep
    )
    good, rejected = [], []
    with progress.task(f"collect {name}", file.rows) as task:
        for batch in file.batches(plan.sources()):
            frame = batch.frame.select(pl.col(c[0]).alias(n) for n, c in plan.names.items() if n != "images")
            contents: dict[str, bytes] = {}
            if "images" in plan.names:
                images, contents = references(batch.frame, plan.names["images"])
                frame = frame.with_columns(images)
            frame = frame.with_columns(pl.lit(v).alias(n) for n, v in plan.constants.items())
            frame = frame.with_columns(pl.lit(file.name).alias(validate.FILE), batch.rows.alias(validate.ROW))
            checked = validate.check_rows(frame, name, table)
            pictures.add_bytes(contents, {})
            good.append(checked.good)
            rejected += checked.rejected
            task.advance(frame.height)
    frame = pl.concat(good, how="diagonal_relaxed")
    if name == "reviews" and "review" not in frame.columns:
        frame = frame.insert_column(0, _review_ids(frame, list(table.columns)))
    unique = validate.check_keys(frame, name, table)
    if unique.good.is_empty():
        raise DataError(f"no row of {name} is usable", where=source.source)
    frame = unique.good.drop(validate.FILE, validate.ROW)
    if "images" in frame.columns:
        keys = pl.col("images").list.eval(pl.element().replace_strict(pictures.keys, default=None)).list.drop_nulls()
        frame = frame.with_columns(keys)
    return frame, rejected + unique.rejected


def _review_ids(frame: pl.DataFrame, known: list[str]) -> pl.Series:
    """A key from each review's own content; the same content again gets a number behind it."""
    parts = [pl.col(c).cast(pl.String).fill_null("") for c in known if c in frame.columns and c != "images"]
    texts = frame.select(pl.concat_str(parts, separator="\0")).to_series()
    ids = pl.Series("review", [hashlib.sha256(text.encode()).hexdigest()[:20] for text in texts])
    copy = ids.to_frame().select(pl.int_range(pl.len()).over("review")).to_series()
    return ids.zip_with(copy == 0, pl.select(pl.format("{}-{}", ids, copy + 1)).to_series())


def _write(frame: pl.DataFrame, path: Path) -> str:
    with files.whole(path) as file:
        frame.write_parquet(file)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
