"""What goes over the wire of a shop's service, with examples for the OpenAPI page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WrapValidator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from tuwen.amounts import TWO_MEANINGS, amounts
from tuwen.data.keys import is_nothing
from tuwen.service.batches import RefusedElement, or_refusal
from tuwen.service.limits import MOST_CONDITIONS
from tuwen.service.messages import EXAMPLE_PICTURE, Strict
from tuwen.store.events import KINDS

FIRST, AHEAD = datetime(1990, 1, 1, tzinfo=UTC), timedelta(days=1)  # small numbers are no seconds: 45352 is a day
Key = Annotated[  # collect strips keys too
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")
]


def _something(key: str) -> str:
    """A program that has no shopper may send the word for it: all who have none would be one."""
    if is_nothing(key.strip()):
        raise PydanticCustomError("nothing", "this is a program's word for nothing, and no key")
    return key


Named = Annotated[Key, AfterValidator(_something)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
# PostgreSQL keeps no NUL, and nothing half of a character that takes two surrogates
Words = Annotated[str, AfterValidator(lambda text: text.replace("\0", "").encode("utf-8", "replace").decode())]
Fuse = Literal["scores", "reciprocal-rank"]
FUSE = "how words and vectors become one; default: what the index keeps"
Told = Annotated[str, StringConstraints(min_length=1, max_length=200)]
LONGEST_VALUE = 512
Value = Annotated[str, StringConstraints(max_length=LONGEST_VALUE)]
Count = Annotated[int, Field(ge=1, le=200, description="items of the list")]


def _plausible(moment: datetime) -> datetime:
    """One wrong clock would move what a recommender takes for today."""
    try:
        aware = moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise PydanticCustomError("time_range", "the time is out of range") from None
    if not FIRST <= aware <= datetime.now(UTC) + AHEAD:
        raise PydanticCustomError("time_range", "the time is out of range")
    return aware


Moment = Annotated[datetime, AfterValidator(_plausible)]


def _plain(value: Any) -> Any:
    """Of a value that may be several things pydantic would tell what each of them is not, at a place of its own."""
    if not isinstance(value, str | int | float | None):
        raise PydanticCustomError("plain", "the value is not a text or a number")
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        raise PydanticKnownError("string_too_long", {"max_length": LONGEST_VALUE})
    return value


def _number(value: Any) -> Any:
    """Of JSON: true is no number, and a text is one only where it means one thing."""
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    if isinstance(value, str) and amounts(pl.Series([value]))[1][0] == TWO_MEANINGS:
        raise PydanticCustomError("number", "the number can have a point or a comma for decimals")
    return value


Amount = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False), BeforeValidator(_number)]
Money = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False), BeforeValidator(_number)]
Position = Annotated[int, Field(ge=0, le=1_000_000_000), BeforeValidator(_number)]
Probability = Annotated[float, Field(ge=0, le=1), BeforeValidator(_number)]
Rating = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False), BeforeValidator(_number)]
Plain = Annotated[int | float | Value | bool | None, BeforeValidator(_plain)]


class RecommendRequest(Strict):
    """For whom: a shopper, somebody who just clicked on items, or both."""

    user: Key | None = Field(None, examples=["U0001"])
    clicked: list[Key] = Field([], max_length=1000, description="items looked at just now, the latest last")
    count: Count = 20
    about: dict[Told, Plain] = Field(
        {},
        max_length=100,
        description="columns of users that the recommender reads; of one who is known they take the place of the table",
        examples=[{"users.age": 30, "users.gender": "female"}],
    )


class GoesWithRequest(Strict):
    items: list[Key] = Field(min_length=1, max_length=100, examples=[["SKU-0001"]])
    count: Count = 20


class ListedItem(BaseModel):
    """An item of a list; what the shop's table has beside these comes along."""

    model_config = ConfigDict(extra="allow")
    item: str
    score: float
    pictures: int = Field(0, description="GET /v1/items/ITEM/pictures/0 is the first")
    title: str | None = None
    category: str | None = None
    price: float | None = None
    reason: dict[str, str] | None = Field(None, description="why it is shown, in en and zh")


class ListResponse(BaseModel):
    """Items, best first."""

    items: list[ListedItem]
    revision: int = Field(description="of what is served")
    arm: str | None = Field(None, description="of the experiment, where one runs")
    notes: list[dict[str, str]] | None = Field(
        None, description="what was told of a shopper and tells nothing, in en and zh"
    )


class SearchRequest(Strict):
    """What is looked for: words, a photo, an item to be like, or several of these."""

    words: str | None = Field(None, max_length=20_000, examples=["红色 茶壶"])
    picture: str | None = Field(None, description="base64 of a photo", examples=[EXAMPLE_PICTURE])
    like: Key | None = Field(None, description="an item that hits are to be like")
    where: list[Words] = Field([], max_length=MOST_CONDITIONS, examples=[["price<=500"]])
    sort: str = Field("relevance", max_length=100, examples=["-price"])
    page: int = Field(1, ge=1, le=100_000)
    size: int = Field(20, ge=1, le=200)
    mode: Literal["hybrid", "words", "vectors"] = "hybrid"
    fuse: Fuse | None = Field(None, description=FUSE)


class SearchResponse(BaseModel):
    """Hits of one page, facets, and what was done to the question."""

    model_config = ConfigDict(extra="allow")
    total: int = Field(description="items that were found, on all pages together")
    page: int = Field(description="that was asked for")
    pages: int = Field(description="the number of the last page: beyond it there are no hits, and a note says so")
    hits: list[dict[str, JsonValue]]
    facets: dict[str, list[dict[str, JsonValue]]]
    suggestions: list[str]
    notes: list[dict[str, str]] = Field(description="what was done to the question, in en and zh")
    milliseconds: float


class Event(Strict):
    """Something a shopper did."""

    event: Key = Field(description="your own key: sent again, the event is kept once", examples=["0d9c1f"])
    user: Named = Field(examples=["U0001"])
    item: Named = Field(examples=["SKU-0001"])
    kind: Name = Field(description=f"{', '.join(KINDS)}, …", examples=["click"])
    time: Moment | None = Field(
        None,
        description="default: now; without an offset UTC; from 1990 to a day ahead",
        examples=["2026-01-31T20:05Z"],
    )
    quantity: Amount | None = Field(None, description="below 0: given back, and no sale")
    value: Money | None = Field(None, description="what was paid")
    session: Key | None = None
    position: Position | None = None
    query: Words | None = Field(None, max_length=10_000)
    channel: Words | None = Field(None, max_length=512)
    propensity: Probability | None = None


class EventsRequest(Strict):
    events: list[Annotated[Event, WrapValidator(or_refusal)]] = Field(min_length=1, max_length=1000)


class EventsResponse(BaseModel):
    """They are on the disk, all that were accepted: whoever sends them again does no harm."""

    received: int = Field(description="accepted and refused together")
    accepted: int = Field(0, description="new and known together")
    new: int = Field(description="kept by this request")
    known: int = Field(description="were there already, or stood twice in this request: left as they were")
    journal: int = Field(0, description="wait on the disk for the store, which is away; the answer is 202 then")
    unknown_items: list[str] = Field(
        [], description="not in the shop (the first 100): kept, and of use only once such an item comes"
    )
    unknown_kinds: list[str] = Field(
        [], description=f"none of {', '.join(KINDS)}: kept, and counted as what a shopper wants; slips of the keys?"
    )
    refused: list[RefusedElement] = Field([], description="not kept, each by its place; the status is 207 then")


class Feedback(Strict):
    """What a shopper says of an item."""

    feedback: Key = Field(description="your own key: sent again, it is kept once")
    user: Named | None = None
    item: Named
    rating: Rating | None = None
    text: Words | None = Field(None, max_length=100_000)


class ItemRequest(Strict):
    """An item, new or changed. Of one that is there, what is not named stays; null empties a column."""

    item: Key = Field(examples=["NEW-0001"])
    columns: dict[Annotated[str, StringConstraints(min_length=1, max_length=200)], JsonValue] = Field(
        {}, max_length=200, examples=[{"title": "手工茶壶 hand-made teapot", "price": 199}]
    )
    pictures: list[str] | None = Field(
        None, max_length=16, description="base64 of photos, all of them; none: they stay", examples=[[EXAMPLE_PICTURE]]
    )


class ItemResponse(BaseModel):
    """Everything that is known of an item."""

    item: str
    columns: dict[str, JsonValue]
    pictures: int
    reviews: list[dict[str, JsonValue]] = []
    prediction: dict[str, JsonValue] | None = Field(None, description="what the bundle says of it, where it can")


class ChangeResponse(BaseModel):
    item: str
    change: int = Field(
        description="the number of the change: higher than that of any before; other workers take it in within a second"
    )
    findable: bool = Field(description="whether search finds it now")
    pending: bool = Field(
        False, description="whether the change waits for the index, which takes it in by itself; the answer is 202 then"
    )


class ExplainRequest(Strict):
    row: dict[str, JsonValue] = Field(min_length=1, examples=[{"items.title": "手工茶壶"}])


class ExplainResponse(BaseModel):
    """The answer, and what it would be without each kind of input."""

    model_config = ConfigDict(extra="allow")
    prediction: float | int | str
    without: dict[str, dict[str, Any]]


class EmbedRequest(Strict):
    text: str | None = Field(None, max_length=20_000, examples=["红色 茶壶"])
    picture: str | None = Field(None, examples=[EXAMPLE_PICTURE])


class EmbedResponse(BaseModel):
    """One vector for each space of the index that what was sent has a place in."""

    spaces: dict[str, list[float]]


class ReadyResponse(BaseModel):
    ready: bool
    revision: int
    parts: dict[str, bool]
    fault: str | None = None
    outbox: int = Field(0, description="changes of items that the index has not taken in yet")
    full: list[Literal["disk", "memory"]] = Field(
        default_factory=list,
        description="what is nearly full: with `disk` new events and items are refused, with `memory` costly requests",
    )
    journal: int = Field(0, description="bytes of events that wait for the store")


class OutboxBacklog(BaseModel):
    """Changes of items that wait for the index."""

    items: int
    oldest_seconds: float | None = Field(None, description="for which the oldest has waited")
    fault: str | None = Field(None, description="why the last attempt to take them in failed")


class JournalBacklog(BaseModel):
    """Events that wait for the store."""

    events: int
    bytes: int
    most_bytes: int = Field(description="beyond which events are refused")
    oldest_seconds: float | None = Field(None, description="for which the oldest has waited")


class BacklogResponse(BaseModel):
    """What is acknowledged and not yet where it belongs."""

    store: bool = Field(description="whether the store answers")
    outbox: OutboxBacklog | None = Field(None, description="null where the store is away, or nothing is kept")
    journal: JournalBacklog | None = Field(None, description="null where nothing is kept")


class ShopResponse(BaseModel):
    """What a page needs to know before it asks anything else."""

    name: str | None = Field(None, description="of the shop, where a dataset is served")
    items: int = Field(description="of the dataset")
    revision: int
    parts: dict[str, bool]
    keeps: bool = Field(description="whether events are kept")
    photos: bool = Field(description="whether the index can be searched with a photo")
    similar_by: list[str] = Field(description="kinds of likeness that /v1/similar knows: picture, text")
    rating_range: list[float] | None = Field(None, description="of what the bundle predicts, where it is a rating")


class ConsentRequest(Strict):
    purpose: Name = Field(examples=["recommend"])
    given: bool
