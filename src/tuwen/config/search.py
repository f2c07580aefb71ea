"""RUN.yaml of the tasks search and photo-search: an index made of a shop, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from tuwen.config.run import RunName
from tuwen.config.strict import Document, Strict


class SearchTask(Strict):
    """Queries of words, judged by people."""

    use: Literal["search"] = "search"
    judgments: str = Field(
        description="Parquet or CSV with query, item and rating (0 is not relevant); relative to this file"
    )


class PhotoTask(Strict):
    """Photos of items that are not in the index: how many of the first hits are of the same kind."""

    use: Literal["photo-search"] = "photo-search"
    label: str = Field(description="column of items; a hit is right where it is that of the photo's item")
    asked: list[str] = Field(min_length=1, description="conditions of the items asked with: `split=test`")
    depth: int = Field(10, ge=1, le=100, description="hits that are judged")


class SearchIndex(Strict):
    """What stands in the index; the options of `tuwen index`."""

    fields: dict[str, float] = Field({}, description="column of words: weight; default: all, the title three times")
    text: str = Field("e5-small", description="encoder of words; none for none")
    picture: str = Field("efficientnet-lite0", description="encoder of pictures; none for none")
    picture_text: bool = Field(
        False, description="read the words in an item's first four pictures, and find items by them (extra `ocr`)"
    )
    bundle: str | None = Field(
        None, description="contrast bundle, where words and pictures meet; relative to this file"
    )
    fuse: Literal["scores", "reciprocal-rank"] = Field(
        "scores",
        description="how words and vectors become one: by scores with learned or built-in weights, or by rank",
    )
    where: list[str] = Field([], description="only items that meet these conditions: `split=train`")


class SearchEvaluation(Strict):
    """How the answers are judged."""

    samples: int = Field(2000, ge=100, description="bootstrap resamples, of queries or photos")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")


class SearchRun(Document):
    """An index and how it is judged, whole."""

    name: RunName = Field(description="letters, digits, _ . and -")
    shop: str = Field(description="SHOP.yaml that `tuwen run` collects from")
    task: Annotated[SearchTask | PhotoTask, Field(discriminator="use")]
    index: SearchIndex = SearchIndex()
    evaluation: SearchEvaluation = SearchEvaluation()
    seed: int = Field(0, ge=0, description="of the resamples")

    def beside(self, folder: Path) -> Self:
        task: Any = self.task
        if isinstance(task, SearchTask):
            task = task.model_copy(update={"judgments": str((folder / task.judgments).resolve())})
        index = self.index
        if index.bundle is not None:
            index = index.model_copy(update={"bundle": str((folder / index.bundle).resolve())})
        return self.model_copy(update={"task": task, "index": index})

    def plain(self) -> dict[str, Any]:
        """The run as plain data, for the report."""
        return self.model_dump(mode="json")
