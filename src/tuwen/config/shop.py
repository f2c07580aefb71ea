"""SHOP.yaml: where a shop's own files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from tuwen.config.strict import Document, Strict


def can_separate(character: str) -> bool:
    """Whether a character can stand between the cells of CSV: no quote, escape, line end, letter or digit."""
    return character.isascii() and not character.isalnum() and character not in "\"'\\\r\n\0"


class TableSource(Strict):
    """Where one table comes from.

    ``source`` is a path or glob (relative to ``root``) or, with ``query``, a database URL. ``columns`` maps tuwen's
    names to the shop's: ``{item: sku, images: [photo1, photo2]}``. ``constants`` gives every row the same value in a
    column the shop has not: ``{kind: purchase}``. ``keep``: which other columns come along. ``duplicates``: what
    happens to an event whose key came before: it is rejected, or ``sum`` makes one event of them, with ``quantity`` (1
    where the shop says nothing) and ``value`` added up.
    """

    source: str = Field(description="path or glob below `root`, or with `query` a database URL")
    format: Literal["csv", "jsonl", "parquet", "sql"] | None = Field(None, description="default: told by the name")
    encoding: str | None = Field(None, description="default: found out (UTF-8, GBK, UTF-16, …)")
    separator: str | None = Field(None, min_length=1, max_length=1, description="default: found out")
    skip: int | None = Field(
        None, ge=0, description="lines of a CSV file above its header; default: found out by the names of columns"
    )
    escape: Literal["backslash", "quote"] | None = Field(
        None, description="what stands before a quote inside quotes of a CSV file; default: found out"
    )
    dates: Literal["day-first", "month-first"] | None = Field(
        None, description="the order of `05/03/2024`; default: told by the other dates of the column"
    )
    decimal: Literal[".", ","] | None = Field(
        None,
        description="what stands before decimals in `1.299`; default: told by the other numbers of the column, or "
        "of the shop; where nothing tells it, such numbers are left out",
    )
    query: str | None = Field(None, description="SELECT that gives the rows; it cannot write")
    columns: dict[str, str | list[str]] = Field(
        {}, description="tuwen's name: the shop's name, as in `{item: sku, images: [photo1, photo2]}`"
    )
    constants: dict[str, str | int | float] = Field({}, description="columns the shop has not: `{kind: purchase}`")
    duplicates: Literal["reject", "sum"] = Field("reject", description="events whose key came before")
    timezone: str | None = Field(
        None,
        description="of times that name none, or that name this clock (`IST`): `Asia/Shanghai`; "
        "default: UTC, with a warning where others name one",
    )
    lists: dict[Literal["images", "sounds", "shapes"], str] = Field(
        {},
        description="the characters between several pictures of one cell, `{images: ','}`; `''`: a cell is one; "
        "default: found out",
    )
    keep: Literal["all", "none"] | list[str] = Field("all", description="which other columns come along")

    @field_validator("separator")
    @classmethod
    def _can_separate(cls, value: str | None) -> str | None:
        if value is not None and not can_separate(value):
            raise ValueError("one character that no value has, such as ; or , or | or \\t")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and (zones := available_timezones()) and value not in zones:
            raise ValueError("a name such as Asia/Shanghai, Europe/Berlin or UTC")
        return value


class SoundLimits(Strict):
    """How sounds are kept, and what is too much."""

    max_bytes: int = Field(50_000_000, ge=1, description="of a sound file")
    max_seconds: float = Field(300.0, gt=0, le=7200, description="longer sounds are quarantined")
    max_channels: int = Field(8, ge=1, le=64, description="they are averaged")
    rate: int = Field(16_000, ge=1_000, le=192_000, description="samples a second that are kept")


class ShapeLimits(Strict):
    """What is too much of a 3D shape."""

    max_bytes: int = Field(50_000_000, ge=1, description="of an OBJ, STL or PLY file")
    max_vertices: int = Field(1_000_000, ge=1, le=5_000_000, description="of one shape")
    max_faces: int = Field(1_000_000, ge=1, le=5_000_000, description="of one shape")


class Media(Strict):
    """How pictures, sounds and shapes are read, and what is too much."""

    root: str | None = Field(
        None, description="folder that relative paths of media start from; default: the shop's root"
    )
    placeholders: list[str] = Field(
        [], description="pictures that stand for 'no picture', by name: `[no-image.jpg]`; items go without them"
    )
    allow_private_addresses: bool = Field(False, description="download from inside the shop's own network")
    allow_outside_root: bool = Field(False, description="read paths that lead out of the root folder")
    max_bytes: int = Field(20_000_000, ge=1, description="of a picture file")
    max_pixels: int = Field(50_000_000, ge=1, description="of a picture, before it is decoded")
    max_side: int = Field(512, ge=16, description="stored pictures are shrunk to this")
    min_side: int = Field(2, ge=1, description="smaller pictures are quarantined")
    timeout: float = Field(10.0, gt=0, description="seconds without a byte before a download is given up")
    deadline: float = Field(60.0, gt=0, description="seconds a whole download may take")
    retries: int = Field(2, ge=0, description="of a download that failed in a way that may pass")
    parallel: int = Field(8, ge=1, le=64, description="downloads at once")
    sound: SoundLimits = Field(SoundLimits(), description="how sounds are kept, and what is too much")
    shape: ShapeLimits = Field(ShapeLimits(), description="what is too much of a 3D shape")

    def limits(self) -> dict[str, Any]:
        """What may be stored, as the manifest keeps it: the pictures' limits, and the others' under their words."""
        return self.model_dump(include={"max_bytes", "max_pixels", "max_side", "min_side", "sound", "shape"})


class Shop(Document):
    """A shop's own files. Paths are relative to ``root``, and ``root`` to the YAML file's folder."""

    name: str
    root: str = Field(".", description="folder that sources are relative to")
    items: TableSource | None = None
    users: TableSource | None = None
    reviews: TableSource | None = None
    events: TableSource | None = None
    media: Media = Media()
    store: str | None = Field(
        None,
        description="of a running service (path below the YAML's folder, or a URL): its events, items and feedback "
        "are collected too",
    )
    rating_range: tuple[float, float] | None = Field(None, description="lowest and highest rating; others are rejected")

    @field_validator("rating_range")
    @classmethod
    def _low_before_high(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("low before high, as in [1, 5]")
        return value

    def folder(self) -> Path:
        """The absolute folder that sources are relative to."""
        return (Path(self._path).resolve().parent / self.root).resolve()

    def store_url(self) -> str | None:
        """Where the store is; a path is relative to the YAML file."""
        if self.store is None or "://" in self.store:
            return self.store
        return str(Path(self._path).resolve().parent / self.store)

    def tables(self) -> dict[str, TableSource]:
        named = {"items": self.items, "users": self.users, "reviews": self.reviews, "events": self.events}
        return {name: source for name, source in named.items() if source is not None}
