"""RUN.yaml of the task rank: recommendations, whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tuwen.config.run import ModalityName, ModalitySpec, RunName
from tuwen.config.strict import Component, Document, Strict


class RankTask(Strict):
    """What is asked for: the items that a shopper buys next, best first."""

    use: Literal["rank"] = "rank"
    depth: int = Field(20, ge=1, le=1000, description="items in a list, and k of every metric")
    horizon: float = Field(28.0, gt=0, description="days after a moment in which what is bought counts")


class Events(Strict):
    """What says that a shopper wanted an item."""

    table: Literal["events", "reviews"] = Field(
        "events", description="reviews: each one is an event at its time, where a shop knows nothing else"
    )
    where: str | None = Field(
        None, description="condition over the table's columns, as SQL writes it: `kind = 'purchase'`"
    )


class RankWindows(Strict):
    """What the ranker learns from: lists at moments of the past, judged by the days after each."""

    count: int = Field(12, ge=1, le=1000, description="moments, one horizon apart, the latest first")
    least: float = Field(120.0, ge=0, description="days of history that a moment needs")
    negatives: int = Field(300, ge=1, description="items of a list that were proposed and not bought, drawn at random")
    shoppers: int = Field(
        500, ge=1, description="shoppers at each moment, at most; drawn at random where there are more"
    )


class ListRules(Strict):
    """What a list is beside its order."""

    again: bool = Field(True, description="whether what a shopper bought before may be listed")
    newcomers: float = Field(
        0.0, ge=0, le=1, description="share of the places that items take which nobody bought before"
    )
    diversity: float = Field(
        0.0, ge=0, le=1, description="how much an item loses for being like one above it (maximal marginal relevance)"
    )
    explore: float = Field(
        0.0, ge=0, le=1, description="share of the places drawn by chance among candidates that sell little"
    )


class Rolling(Strict):
    """Global cuts in time, one horizon apart. At each of them a model knows what was before it and nothing else."""

    use: Literal["rolling"] = "rolling"
    cuts: int = Field(6, ge=1, le=1000, description="how many; the lists of all of them are pooled")
    end: date | None = Field(None, description="the last day that is judged; default: of the last event")
    least: int = Field(0, ge=0, description="events before a cut without which a shopper is not asked about at it")


class PerUser(Strict):
    """The last events of each shopper, whenever they were. What others did later is known: figures are too good."""

    use: Literal["per-user"] = "per-user"
    last: int = Field(1, ge=1, le=10_000, description="how many of each shopper who has more")


class RandomShare(Strict):
    """Events at random. What shoppers did later is known: such figures are too good."""

    use: Literal["random"] = "random"
    share: float = Field(0.2, gt=0, lt=1, description="of all events")


class RankEvaluation(Strict):
    """How the lists are judged."""

    samples: int = Field(1000, ge=100, description="bootstrap resamples, of whole shoppers")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    knock_out: bool = Field(True, description="also learn without each kind of vector, and without the order of launch")


class RankRun(Document):
    """A recommender, whole: retrievers propose items, a ranker orders them."""

    name: RunName = Field(description="letters, digits, _ . and -")
    shop: str | None = Field(None, description="SHOP.yaml that `tuwen run` collects from")
    task: RankTask = RankTask()
    events: Events = Events()
    modalities: dict[ModalityName, ModalitySpec] = Field(
        {}, description="of the items: pictures and texts, through frozen encoders; one vector each"
    )
    facts: list[str] = Field([], description="columns of items the ranker reads: categories, or numbers")
    shoppers: list[str] = Field(
        [], description="columns of users that it reads: numbers, or categories (gender, club, occupation)"
    )
    launch: str | None = Field(
        None,
        description="column of items whose order is the order in which they come to the shop: a date, or a number "
        "that is counted up; known before an item is first sold",
    )
    width: int = Field(128, ge=2, le=4096, description="numbers that are kept of each modality's vectors")
    retrievers: dict[str, Component] = Field(
        default_factory=lambda: {
            "bought lately": Component(use="popularity", half_life=30),
            "bought before": Component(use="again"),
            "bought together": Component(use="item-knn"),
        },
        min_length=1,
        description="by names of your own",
    )
    per: int = Field(150, ge=1, le=10_000, description="items that each retriever proposes")
    ranker: Component = Component(use="lambdarank")
    windows: RankWindows = RankWindows()
    rules: ListRules = ListRules()
    baselines: dict[str, Component] = Field(
        default_factory=lambda: {
            "popularity": Component(use="popularity"),
            "decayed_popularity": Component(use="popularity", half_life=30),
            "item_knn": Component(use="item-knn", half_life=None),
            "ease": Component(use="ease"),
        },
        description="retrievers that stand in the table alone",
    )
    split: Annotated[Rolling | PerUser | RandomShare, Field(discriminator="use")] = Field(
        Rolling(), description="what is held out"
    )
    evaluation: RankEvaluation = RankEvaluation()
    seed: int = Field(0, ge=0, description="of everything random in it")

    @field_validator("task", "split", mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @field_validator("split", mode="before")
    @classmethod
    def _in_time(cls, value: Any) -> Any:
        """Splits that know the future are asked for by name."""
        return {"use": "rolling", **value} if isinstance(value, Mapping) else value

    def plain(self) -> dict[str, Any]:
        """The run as plain data, for the report."""
        return self.model_dump(mode="json")
