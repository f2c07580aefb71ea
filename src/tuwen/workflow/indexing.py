"""A dataset's items into an index: words, vectors by frozen encoders or a contrast bundle, and what shoppers chose."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.apps.matching import Fuse
from tuwen.apps.picture_words import BOXES, PICTURE_TEXT
from tuwen.data.behaviour import crawlers, standing
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture
from tuwen.data.kinds import MEDIA
from tuwen.data.placeholders import without_placeholders
from tuwen.errors import ConfigError, DataError, did_you_mean
from tuwen.files import sync_tree
from tuwen.index.filters import Condition, facet_columns, mask
from tuwen.index.manifest import MANIFEST
from tuwen.index.segments import Batch
from tuwen.index.store import ABANDONED, Index, Snapshot
from tuwen.index.vectors import Kind
from tuwen.outputs import nothing_left_of
from tuwen.preprocess.colours import colour_of_picture, colour_of_texts, is_colour_column
from tuwen.preprocess.terms import terms
from tuwen.progress import Progress, Silent
from tuwen.workflow.picture_words import keep_reader, reader_of, with_picture_text
from tuwen.workflow.spaces import fingerprint_of, vectors_of

WEIGHTS = {"title": 3.0}  # of the columns of words; the others have 1
MEDIA_COLUMNS = {kind.column for kind in MEDIA.values()}
ENCODERS = "encoders-"  # and a number: folder of an index
KEPT = "synonyms.txt"  # a shop's own file in an index
COLOUR = "colour"  # the column that an index makes itself where the shop has none
TELLING = ("title", "attributes", "specifications", "specification", "features", "options")  # columns that name colours


@dataclass(frozen=True)
class Recipe:
    """How an index is made.

    Attributes:
        fields: column of words → weight; empty: every column of words, the title three times.
        text, picture: encoders of the two spaces of vectors; ``none`` for none.
        where: conditions; only items that meet them are in the index.
        bundle: a contrast bundle for a space where words and pictures meet; the index keeps a copy of it.
        kind: of the vectors: exact, approximate, or by their number.
        picture_text: whether the words in an item's first pictures are read and found.
    """

    fields: Mapping[str, float] = field(default_factory=dict)
    text: str = "e5-small"
    picture: str = "efficientnet-lite0"
    bundle: str | None = None
    where: tuple[str, ...] = ()
    kind: Kind = "auto"
    picture_text: bool = False


def index(
    dataset: str | Path,
    out: str | Path,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
    replace: bool = False,
    renew: bool = False,
    *,
    fuse: Fuse | None = None,
) -> dict[str, Any]:
    """Make the index ``out`` of the items of a dataset, or bring one that stands there up to date.

    An index of the same recipe takes in what is new or changed, what shoppers did since too, and loses what is gone;
    vectors are kept in the dataset, so a run that was stopped goes on. Where the items have no column of colours, one
    is made: of the words that name one, else of the picture (``colour``; see :mod:`tuwen.preprocess.colours`).

    Args:
        replace: make it anew, whatever index stands there.
        renew: make it anew where one of another recipe stands there.
        fuse: how words and vectors become one where a question does not say; None leaves it as it is, by ``scores`` at
            first. Nothing is made anew for it.

    Returns:
        ``items``, ``added``, ``removed``, ``spaces``, ``fields``, ``facets``; with ``picture_text`` also
        ``with_picture_text``, the items in whose pictures words stand.

    Raises:
        DataError: ``out`` holds something else. ConfigError: another recipe and no ``replace``; an unknown column.
    """
    opened, out, progress = Dataset.open(dataset), Path(out), progress or Silent()
    recipe = recipe or Recipe()
    table = items_of(opened)
    table = table.filter(pl.Series(mask(table, Condition.read_all(recipe.where)), dtype=pl.Boolean))
    fields = _fields(table, recipe.fields, picture_text=recipe.picture_text)
    bundle = None if recipe.bundle is None else fingerprint_of(recipe.bundle)
    settings: dict[str, Any] = {
        "recipe": json.loads(json.dumps(asdict(recipe) | {"fields": fields, "bundle": bundle})),
        "fields": fields,
        "derived": _derived(table, recipe),
        "media": {k: v for k, v in opened.manifest["media_limits"].items() if isinstance(v, int)},
        "dataset": opened.manifest["hash"],
        "encoders": f"{ENCODERS}{uuid.uuid4().hex[:12]}",  # those of an index that is replaced stay until it is
    }
    settings |= {} if fuse is None else {"fuse": fuse}
    standing = None if replace else _standing(out, settings, renew=renew)
    if standing is not None:
        _refuse_another(standing, settings, out)
        if fuse is not None and fuse != standing.settings.get("fuse", "scores"):
            standing.keep(fuse=fuse)
        return _updated(standing, table, opened, fields, progress)
    there = [path.name for path in out.iterdir()] if out.is_dir() else []
    strange = sorted(name for name in there if name != ".lock" and not name.startswith((ENCODERS, KEPT)))
    if not (out / MANIFEST).exists() and strange:
        raise DataError(
            "the folder holds something else than an index", where=str(out), seen=strange[0], todo="name another --out"
        )
    encoders = out / settings["encoders"]
    with nothing_left_of(out), _removed_on_failure(encoders):
        made = batch_of(table, opened, settings, encoders, progress, bundle=recipe.bundle)
        settings["facets"] = facet_columns(made.table.drop(PICTURE_TEXT, strict=False))
        if encoders.is_dir():
            sync_tree(encoders)  # before the manifest names it
        with progress.task("index", None):
            found = Index.create(out, made, settings, weights=fields, kind=recipe.kind)
    for other in out.glob(f"{ENCODERS}*"):
        if other != encoders and (other.name in there or time.time() - other.stat().st_mtime > ABANDONED):
            shutil.rmtree(other, ignore_errors=True)
    return _told(found, len(table), 0)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def items_of(dataset: Dataset) -> pl.DataFrame:
    """The items with what search needs beside them: ``_popularity`` (events and reviews) and ``_content`` (a hash)."""
    table = without_placeholders(dataset.table("items"), dataset.manifest)
    chosen = [(name, dataset.table(name)) for name in ("events", "reviews") if dataset.has(name)]
    counts = [_choices(table).group_by("item").len(name=name) for name, table in chosen]
    found = table
    for one in counts:
        found = found.join(one, on="item", how="left", maintain_order="left")
    names = [one.columns[1] for one in counts]
    number = pl.sum_horizontal([pl.col(name).fill_null(0) for name in names]) if names else pl.lit(0)
    content = [
        hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest() for row in table.rows()
    ]
    return found.with_columns(
        number.cast(pl.Int64).alias("_popularity"), pl.Series("_content", content, dtype=pl.String)
    ).drop(names)


def _choices(table: pl.DataFrame) -> pl.DataFrame:
    """Events that count for popularity: not what was given back, and each item once for one who is no person."""
    table = standing(table) if {"item", "time", "user"} <= set(table.columns) else table
    many = list(crawlers(table["user"])) if "user" in table.columns else []
    if not many:
        return table
    inside = pl.col("user").is_in(many)
    return pl.concat([table.filter(~inside.fill_null(False)), table.filter(inside).unique(["user", "item"])])


def _derived(table: pl.DataFrame, recipe: Recipe) -> list[str]:
    """The columns that the index makes itself."""
    columns = [] if any(map(is_colour_column, table.columns)) else [COLOUR]
    if not recipe.picture_text:
        return columns
    if PICTURE_TEXT in table.columns:
        raise ConfigError(
            f"the items have a column '{PICTURE_TEXT}' of their own",
            where="--picture-text",
            todo="map it to another name in SHOP.yaml, or index without --picture-text",
        )
    return [*columns, PICTURE_TEXT]


def derived_columns(settings: Mapping[str, Any]) -> set[str]:
    """The columns of the table that the index makes itself."""
    derived = set(settings["derived"])
    return derived | {BOXES} if PICTURE_TEXT in derived else derived


def _fields(table: pl.DataFrame, asked: Mapping[str, float], *, picture_text: bool) -> dict[str, float]:
    known = [name for name in table.columns if not name.startswith("_") and name not in MEDIA_COLUMNS]
    known += [PICTURE_TEXT] if picture_text else []
    for name, weight in asked.items():
        if name not in known:
            todo = did_you_mean(name, known)
            raise ConfigError(f"the items have no column '{name}'", where="--field", allowed=known, todo=todo)
        if not 0 < weight <= 1000:
            raise ConfigError("this is no weight", where=f"--field {name}", seen=weight, allowed="above 0, up to 1000")
    own_field = {PICTURE_TEXT: 1.0} if picture_text else {}
    if asked:
        return own_field | dict(asked)
    words = [name for name in table.columns if name in known and table.schema[name] == pl.String and name != "item"]
    if not words and not own_field:
        raise DataError("the items have no column of words", seen=", ".join(known), todo="map title in SHOP.yaml")
    return {name: WEIGHTS.get(name, 1.0) for name in words} | own_field


# --- One that stands there ----------------------------------------------------------------------------------------


def _standing(out: Path, settings: Mapping[str, Any], *, renew: bool) -> Index | None:
    """The index in ``out``; with ``renew`` None also where it is of another recipe, or damaged."""
    if not (out / MANIFEST).exists():
        return None
    try:
        found = Index(out)
    except DataError:
        if renew:
            return None
        raise
    return None if renew and _other_way(found, settings) is not None else found


def _other_way(standing: Index, settings: Mapping[str, Any]) -> str | None:
    """The first key in which the recipe of the index is another."""
    was = {"picture_text": False} | standing.settings["recipe"]  # an index of an earlier tuwen does not say
    now = settings["recipe"]
    return next((key for key, value in now.items() if was.get(key) != value), None)


def _refuse_another(standing: Index, settings: Mapping[str, Any], out: Path) -> None:
    key = _other_way(standing, settings)
    if key is not None:
        told = [f"{key}: {one['recipe'].get(key, False)}" for one in (standing.settings, settings)]
        raise ConfigError(
            "the index there was made in another way",
            where=str(out),
            seen=told[0],
            allowed=told[1],
            todo="ask for the same, or make it anew: --replace",
        )


def _updated(
    standing: Index, table: pl.DataFrame, dataset: Dataset, fields: dict[str, float], progress: Progress
) -> dict[str, Any]:
    now = standing.snapshot
    living = now.table.filter(pl.Series(now.living, dtype=pl.Boolean)).select("item", "_content")
    known = dict(living.rows())
    fresh = table.filter(
        pl.Series(
            [known.get(item) != content for item, content in table.select("item", "_content").rows()],
            dtype=pl.Boolean,
        )
    )
    gone = sorted(known.keys() - set(table["item"].to_list()))
    if len(fresh):
        standing.add(batch_of(fresh, dataset, standing.settings, encoders_of(standing), progress))
    if gone:
        standing.remove(gone)
    popularity = _changed_popularity(standing, table)
    if standing.worn or popularity:
        with progress.task("index: parts made one", None):
            standing.rebuild(popularity=popularity)
    return _told(standing, len(fresh), len(gone))


def _changed_popularity(standing: Index, table: pl.DataFrame) -> dict[str, int]:
    """Item → how popular it is by now, of those that the index has another number of: events come in every day, and
    nothing of the item itself need be read or encoded again for them.
    """
    now = standing.snapshot
    living = now.table.filter(pl.Series(now.living, dtype=pl.Boolean)).select("item", "_popularity")
    known = dict(living.rows())
    return {item: count for item, count in table.select("item", "_popularity").rows() if known.get(item) != count}


def encoders_of(index: Index) -> Path:
    """The folder of what encodes the items and questions of an index."""
    return index.folder / str(index.settings["encoders"])


def _told(found: Index, added: int, removed: int) -> dict[str, Any]:
    now = found.snapshot
    health = {} if PICTURE_TEXT not in found.settings["derived"] else {"with_picture_text": _with_words(now)}
    return {
        "items": len(found.snapshot),
        "added": added,
        "removed": removed,
        "spaces": found.snapshot.spaces,
        "fields": found.settings["fields"],
        "facets": found.settings["facets"],
    } | health


def _with_words(now: Snapshot) -> int:
    """Items in whose pictures words stand."""
    return int((now.table[PICTURE_TEXT].is_not_null() & pl.Series(now.living, dtype=pl.Boolean)).sum())


# --- Words and vectors --------------------------------------------------------------------------------------------


def batch_of(
    table: pl.DataFrame,
    dataset: Dataset,
    settings: Mapping[str, Any],
    encoders: Path,
    progress: Progress,
    bundle: str | None = None,
) -> Batch:
    """Items as an index of these settings takes them: words, colours where it makes them, vectors.

    Args:
        table: of :func:`items_of`; its pictures are keys of the dataset's.
        encoders: the folder of the index that holds them; filled where it is not there yet.
        bundle: where a contrast bundle lies that the index does not hold yet.
    """
    reader = reader_of(encoders) if PICTURE_TEXT in settings["derived"] else None
    if reader is not None:
        table = with_picture_text(table, dataset, reader, progress)
    found: dict[str, list[list[str]]] = {}
    for name in settings["fields"]:
        with progress.task(f"words of {name}", len(table)) as bar:
            found[name] = []
            for value in table[name].to_list():
                found[name].append(terms(plain_text(value)))
                bar.advance()
    if COLOUR in settings["derived"]:
        table = table.with_columns(pl.Series(COLOUR, _colours(table, dataset, progress), dtype=pl.String))
    recipe = settings["recipe"]
    vectors = vectors_of(
        table,
        dataset,
        text=recipe["text"],
        picture=recipe["picture"],
        joint=recipe["bundle"] is not None,
        bundle=bundle,
        folder=encoders,
        progress=progress,
    )
    if reader is not None:  # behind the others: a folder of encoders that is there already stands for an index that is
        keep_reader(reader, encoders)
    return Batch(table, found, vectors)


def _colours(table: pl.DataFrame, dataset: Dataset, progress: Progress) -> list[str | None]:
    """Of each item the colour that its words name, else that of its first picture."""
    columns = [name for name in TELLING if name in table.columns and not table.schema[name].is_nested()]
    texts = table.select(pl.col(name).cast(pl.String) for name in columns).rows() if columns else [()] * len(table)
    pictures = first_picture(table, ["images"]) if "images" in table.columns else [None] * len(table)
    found: list[str | None] = []
    with progress.task("colours", len(table)) as bar:
        for told, key in zip(texts, pictures, strict=True):
            colour = colour_of_texts(told)
            if colour is None and key is not None:
                colour = colour_of_picture(dataset.media.read(key))
            found.append(colour)
            bar.advance()
    return found


def plain_text(value: Any) -> str | None:
    """A cell as words: a list joined, of a JSON object its values."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str) and value.startswith("{"):
        try:
            told = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return " | ".join(map(str, told.values()))
    return None if value is None else str(value)
