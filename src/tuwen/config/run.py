"""RUN.yaml: one training, whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tuwen.config.strict import Component, Document, Strict
from tuwen.config.yaml import Lines, place_of
from tuwen.errors import ConfigError


def _run_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", name):  # it becomes a file name
        raise ValueError("a run is named with letters, digits, _ . and -, and does not begin with . or -")
    return name


def _modality_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w-]*", name):  # it becomes a folder and the name of a part of the network
        raise ValueError("a modality is named with letters, digits, _ and -, and does not begin with -")
    return name


RunName = Annotated[str, AfterValidator(_run_name)]
ModalityName = Annotated[str, AfterValidator(_modality_name)]


OF_THEIR_OWN = ("rank", "search", "photo-search")  # tasks whose runs are no Run


class ModalitySpec(Component):
    """One modality: what kind (``use``), which columns, which encoder; other keys are the modality's own options."""

    columns: list[str] = Field(min_length=1, description="TABLE.COLUMN, one or several")
    encoder: Component = Field(description="what turns the modality's arrays into a vector")

    @field_validator("columns", mode="before")
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Rows(Strict):
    """Which rows are the examples."""

    table: Literal["items", "reviews"] = Field("items", description="one row of it is one example")
    where: str | None = Field(None, description="condition over the table's columns, as SQL writes it: `rating <= 3`")
    balance: bool = Field(
        False, description="keep equally many rows of every class, chosen by content hash, never by a random draw"
    )
    labels: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the train rows whose labels are used: by content hash, class by class (at least one row "
        "each), a smaller share inside a larger one; words and pictures of the others still fit the modalities",
    )


class Training(Strict):
    """How the parameters are found; see :func:`tuwen.training.loop.train`."""

    epochs: int = Field(10, ge=1, description="how often every row of the train part is seen")
    batch_size: int = Field(32, ge=1, description="rows a step")
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    encoder_learning_rate: float | None = Field(
        None,
        gt=0,
        description="for pretrained encoders that are fine-tuned, and for those that init brings; default: a twentieth "
        "of learning_rate, and learning_rate itself for what init brings",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="each layer of an encoder that is pretrained, or that init brings, learns at this share of the one "
        "above it",
    )
    unfreeze_epoch: int = Field(
        0,
        ge=0,
        description="pretrained layers, and those that init brings, stand still before this epoch (0 is the first)",
    )
    unfreeze: Literal["all", "gradual"] = Field(
        "all", description="gradual: then one more layer each epoch, from the top down"
    )
    modality_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of what is there that is hidden while training, never all of a row"
    )
    average_epochs: int = Field(
        0, ge=0, description="keep the mean of the weights after the last so many epochs instead of the best epoch's"
    )
    calibrate: bool = Field(
        False, description="one temperature for the probabilities, fitted on the validation part after training"
    )
    weight_decay: float = Field(0.0, ge=0, description="pull towards zero, not on biases and norms")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="how the learning rate falls after warm_up"
    )
    warm_up: float = Field(0.0, ge=0, lt=1, description="share of all steps in which the learning rate rises")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the whole gradient")
    patience: int | None = Field(None, ge=1, description="epochs without a better validation score before stopping")
    average: float | None = Field(None, gt=0, lt=1, description="decay of the exponential average of the weights")
    monitor: Literal["loss", "score"] = Field(
        "loss", description="what the kept epoch is best in, on the validation part: the loss, or accuracy / RMSE"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: mixed, about twice as fast where the processor knows it"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = Field(60.0, gt=0, description="how much work a kill can cost")

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        for other in ("average", "patience"):
            if self.average_epochs and getattr(self, other) is not None:
                raise ValueError(f"average_epochs and {other} exclude each other: take one of them out")
        return self


class Stacking(Strict):
    """How the weights of ``raters`` are found."""

    folds: int = Field(
        5, ge=2, le=20, description="pieces of the train part; each is answered by raters that learned from the others"
    )


class Evaluation(Strict):
    """How the test part is judged."""

    samples: int = Field(1000, ge=100, description="bootstrap resamples")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    groups: str | None = Field(
        None, description="column whose values are resampled whole (reviews.user), not row by row"
    )
    baselines: list[Literal["trivial", "plain", "unimodal", "members"]] = Field(
        ["trivial", "plain", "unimodal", "members"],
        description="trivial: mean and median, or majority; plain: what a good engineer writes first, TF-IDF and a "
        "linear model, or a linear model of picture vectors or of a table; unimodal: the same run with one kind of "
        "modality; members: each of the raters alone",
    )


class Export(Strict):
    """What the bundle's ``network.onnx`` holds; it is always written, where the network can be."""

    int8: bool = Field(
        False,
        description="the network's large matrices in 8 bits, where the validation part allows: a third of the size",
    )
    margin: float = Field(
        0.005, ge=0, le=1, description="share of its validation score that the network may lose by int8"
    )


class Run(Document):
    """One training, whole. ``shop`` is the SHOP.yaml that ``make run`` collects from."""

    name: RunName = Field(description="letters, digits, _ . and -")
    shop: str | None = Field(None, description="SHOP.yaml that `tuwen run` collects from")
    rows: Rows = Rows()
    content: list[str] | None = Field(
        None,
        description="columns whose normalised content decides the side of a row; default: its texts and "
        "pictures; of raters who rates what",
    )
    init: str | None = Field(
        None,
        description="bundle whose encoders this run starts from: a path, relative to this file (in `--set` to where "
        "you are); what it has of the same name, kind, options and encoder is taken over, with its vocabulary",
    )
    modalities: dict[ModalityName, ModalitySpec] = Field(min_length=1)
    fusion: Component = Component(use="auto")
    gan: Component | None = Field(None, description="off, or a generator of vectors: impute, augment")
    task: Component
    raters: dict[ModalityName, Component] | None = Field(
        None,
        min_length=1,
        description="of the task rate, by names of your own: small models of who gave what to what, blended, in the "
        "place of a network",
    )
    stacking: Stacking = Stacking()
    split: Component = Component(use="hash")
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    export: Export = Export()
    seed: int = Field(0, ge=0, description="of everything random in it")

    @field_validator("fusion", "split", mode="before")
    @classmethod
    def _of_the_default(cls, value: Any, info: ValidationInfo) -> Any:
        """Options without ``use`` are those of the default component."""
        default = cls.model_fields[str(info.field_name)].default.use
        return {"use": default, **value} if isinstance(value, dict) and "use" not in value else value

    @field_validator("gan", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """``gan: off``, which YAML reads as false."""
        used = value.get("use") if isinstance(value, dict) else value
        return None if used is False or used == "off" else value

    @classmethod
    def from_written(cls, data: dict[str, Any], lines: Lines, path: str) -> Self:
        if task_of(data) in OF_THEIR_OWN:
            raise ConfigError(
                f"a run of the task {task_of(data)} trains no network: it is made and judged in one go",
                where=place_of(path, lines, ("task",)),
                todo=f"tuwen run {path} --out DIR",
            )
        return super().from_written(data, lines, path)

    @classmethod
    def from_plain(cls, plain: dict[str, Any], place: str) -> Run:
        """The run that :meth:`plain` described; ``place`` is where it is kept, for messages."""
        run = cls.model_validate(plain)
        run._path = place
        return run

    def beside(self, folder: Path) -> Self:
        return self if self.init is None else self.model_copy(update={"init": str((folder / self.init).resolve())})

    def plain(self) -> dict[str, Any]:
        """The run as plain data, for the bundle and the report."""
        return self.model_dump(mode="json")


def task_of(data: dict[str, Any]) -> str | None:
    """The task that what stands in a RUN.yaml names; None where it names none."""
    task = data.get("task")
    use = task.get("use") if isinstance(task, dict) else task
    return use if isinstance(use, str) else None
