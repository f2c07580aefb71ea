"""The two strict YAML files: a Shop (where the data is) and a Run (everything needed to repeat a training).

Below ``workflow`` nobody sees these classes: floors take plain arguments. Component options (``use: NAME`` and what
stands beside it) are checked by :mod:`tuwen.registry` against the component's own signature; here only their place in
the file is kept, so that every error names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tuwen.errors import ConfigError, did_you_mean
from tuwen.slips import first_slip

Lines = dict[tuple[str | int, ...], int]


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


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """``use: NAME`` and its options; a bare string is a component without options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


# --- Run ----------------------------------------------------------------------------------------------------------


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
    where: str | None = Field(None, description="SQL condition over the table's columns: `rating <= 3`")
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
        None, gt=0, description="for pretrained encoders that are fine-tuned; default: a twentieth of learning_rate"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="each layer of a pretrained encoder learns at this share of the one above it"
    )
    unfreeze_epoch: int = Field(0, ge=0, description="pretrained layers stand still before this epoch (0 is the first)")
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


class Evaluation(Strict):
    """How the test part is judged."""

    samples: int = Field(1000, ge=100, description="bootstrap resamples")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    groups: str | None = Field(
        None, description="column whose values are resampled whole (reviews.user), not row by row"
    )
    baselines: list[Literal["trivial", "unimodal"]] = Field(
        ["trivial", "unimodal"],
        description="trivial: mean and median, or majority; unimodal: the same run with one modality",
    )


class Run(Strict):
    """One training, whole. ``shop`` is the SHOP.yaml that ``make run`` collects from."""

    name: RunName = Field(description="letters, digits, _ . and -")
    shop: str | None = Field(None, description="SHOP.yaml that `tuwen run` collects from")
    rows: Rows = Rows()
    content: list[str] | None = Field(
        None, description="columns whose normalised content decides the side of a row; default: its texts and pictures"
    )
    init: str | None = Field(
        None,
        description="bundle whose encoders this run starts from: a path, relative to this file (in `--set` to where you "
        "are); what it has of the same name, kind, options and encoder is taken over, with its vocabulary",
    )
    modalities: dict[ModalityName, ModalitySpec] = Field(min_length=1)
    fusion: Component = Component(use="concat")
    gan: Component | None = Field(None, description="off, or a generator of vectors: impute, augment")
    task: Component
    split: Component = Component(use="hash")
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    seed: int = Field(0, ge=0, description="of everything random in it")

    _lines: Lines = PrivateAttr(default_factory=dict)
    _path: str = PrivateAttr(default="run")

    @field_validator("gan", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """``gan: off``, which YAML reads as false."""
        used = value.get("use") if isinstance(value, dict) else value
        return None if used is False or used == "off" else value

    @classmethod
    def read(cls, path: str | Path, overrides: list[str] | None = None) -> Run:
        """Read ``path``; ``overrides`` are ``dotted.key=VALUE`` strings as ``--set`` takes them."""
        return _read(cls, path, overrides or [])

    @classmethod
    def from_written(cls, data: dict[str, Any], lines: Lines, path: str) -> Run:
        """The run of what :func:`written` gave, changed or not; ``path`` is told as its place."""
        return _validated(cls, data, lines, path)

    @classmethod
    def from_plain(cls, plain: dict[str, Any], place: str) -> Run:
        """The run that :meth:`plain` described; ``place`` is where it is kept, for messages."""
        run = cls.model_validate(plain)
        run._path = place
        return run

    def where(self, *loc: str | int) -> str:
        """``file:line`` of a key of this run."""
        return _place(self._path, self._lines, loc)

    def plain(self) -> dict[str, Any]:
        """The run as plain data, for the bundle and the report."""
        return self.model_dump(mode="json")


# --- Shop ---------------------------------------------------------------------------------------------------------


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
    query: str | None = Field(None, description="SELECT that gives the rows; it cannot write")
    columns: dict[str, str | list[str]] = Field(
        {}, description="tuwen's name: the shop's name, as in `{item: sku, images: [photo1, photo2]}`"
    )
    constants: dict[str, str | int | float] = Field({}, description="columns the shop has not: `{kind: purchase}`")
    duplicates: Literal["reject", "sum"] = Field("reject", description="events whose key came before")
    keep: Literal["all", "none"] | list[str] = Field("all", description="which other columns come along")


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


class Shop(Strict):
    """A shop's own files. Paths are relative to ``root``, and ``root`` to the YAML file's folder."""

    name: str
    root: str = Field(".", description="folder that sources are relative to")
    items: TableSource | None = None
    users: TableSource | None = None
    reviews: TableSource | None = None
    events: TableSource | None = None
    media: Media = Media()
    rating_range: tuple[float, float] | None = Field(None, description="lowest and highest rating; others are rejected")

    @field_validator("rating_range")
    @classmethod
    def _low_before_high(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("low before high, as in [1, 5]")
        return value

    _lines: Lines = PrivateAttr(default_factory=dict)
    _path: str = PrivateAttr(default="shop")

    @classmethod
    def read(cls, path: str | Path, overrides: list[str] | None = None) -> Shop:
        return _read(cls, path, overrides or [])

    def where(self, *loc: str | int) -> str:
        return _place(self._path, self._lines, loc)

    def folder(self) -> Path:
        """The absolute folder that sources are relative to."""
        return (Path(self._path).resolve().parent / self.root).resolve()

    def tables(self) -> dict[str, TableSource]:
        named = {"items": self.items, "users": self.users, "reviews": self.reviews, "events": self.events}
        return {name: source for name, source in named.items() if source is not None}


# --- Reading ------------------------------------------------------------------------------------------------------

Spec = TypeVar("Spec", Run, Shop)


def _read(kind: type[Spec], path: str | Path, overrides: list[str]) -> Spec:
    if Path(path).is_dir():
        raise _folder(kind, Path(path))
    return _validated(kind, *written(path, overrides), str(path))


def written(path: str | Path, overrides: Iterable[str] = ()) -> tuple[dict[str, Any], Lines]:
    """What stands in the file, changed by ``overrides``, and the line of every key."""
    data, lines = load_yaml(path)
    for text in overrides:
        _override(data, text)
    return data, lines


def _validated(kind: type[Spec], data: dict[str, Any], lines: Lines, path: str) -> Spec:
    try:
        spec = kind.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, kind, path, lines) from None
    if isinstance(spec, Run) and spec.init is not None:
        spec = spec.model_copy(update={"init": str((Path(path).parent / spec.init).resolve())})
    spec._lines, spec._path = lines, path
    return spec


def _folder(kind: type[Spec], folder: Path) -> ConfigError:
    """A folder where a file should be: the file in it, or how to get one."""
    name = f"{kind.__name__.upper()}.yaml"
    found = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml"))
    if found:
        todo = f"name the file in it: {folder / (name if name in found else found[0])}"
    else:
        todo = f"write one: README, 'Your own shop'; 'tuwen sample FOLDER' writes a shop with a {name} to copy from"
    return ConfigError(f"this is a folder, not a {name}", where=str(folder), todo=todo)


def load_yaml(path: str | Path) -> tuple[dict[str, Any], Lines]:
    """Plain data and the line of every key.

    Raises:
        ConfigError: unreadable, not YAML, a repeated key, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError("cannot read the file", where=str(path), seen=error.strerror) from None
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8", where=str(path), seen=str(error), todo="save it as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError("the file holds no settings", where=f"{path}:1", allowed="key: value lines")
        lines: Lines = {}
        _walk(node, (), lines, str(path))
        return yaml.safe_load(text), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(
            "not valid YAML", where=place, seen=getattr(error, "problem", str(error)), todo=_YAML
        ) from None


_YAML = "check the indentation, and put quotes around text that holds ': ', '#' or brackets"


def _walk(node: yaml.Node, loc: tuple[str | int, ...], lines: Lines, path: str) -> None:
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*loc, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                raise ConfigError(
                    f"the key '{key.value}' stands twice", where=f"{path}:{line}", todo="keep one of them"
                )
            lines[here] = line
            _walk(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(value, (*loc, i), lines, path)


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("an override must be KEY=VALUE", where=f"--set {text}", allowed="--set training.epochs=3")
    try:
        plain = yaml.safe_load(value)
        if key.strip() == "init" and isinstance(plain, str):  # a path of the command line starts where the person is
            plain = str(Path(plain).absolute())
        put(data, key.strip(), plain, f"--set {text}")
    except yaml.YAMLError:
        raise ConfigError("the value is not valid YAML", where=f"--set {text}", seen=value) from None


def put(data: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set ``dotted.key`` in settings as they are written; a bare component name on the way becomes ``{use: NAME}``.

    Raises:
        ConfigError: a key on the way holds no keys; ``where`` is told as the place.
    """
    *parents, last = key.split(".")
    for i, parent in enumerate(parents):
        inner = data.setdefault(parent, {})
        if isinstance(inner, str):  # a bare component name
            inner = data[parent] = {"use": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"'{'.'.join(parents[: i + 1])}' has no keys below it", where=where)
        data = inner
    data[last] = value


def _explain(error: ValidationError, data: Any, kind: type[BaseModel], path: str, lines: Lines) -> ConfigError:
    slip = first_slip(error.errors(), data)
    loc, name, allowed, todo = slip.place, slip.name, slip.allowed, slip.todo
    where = _place(path, lines, loc)
    if slip.kind == "extra_forbidden":
        known = _fields(kind, loc[:-1])
        return ConfigError(f"unknown key '{name}'", where=where, allowed=known, todo=did_you_mean(str(loc[-1]), known))
    if slip.kind == "missing":  # a component takes any key, so a misspelt one only shows as the missing one
        written = [str(place[-1]) for place in lines if place and place[:-1] == loc[:-1]]
        near = get_close_matches(str(loc[-1]), written, n=1, cutoff=0.6)
        todo = f"is '{near[0]}' meant to be '{loc[-1]}'?" if near else None
    return ConfigError(f"'{name}'{slip.wrong}", where=where, seen=slip.seen, allowed=allowed, todo=todo)


def _fields(kind: Any, loc: tuple[str | int, ...]) -> list[str]:
    """The field names of the model found by following ``loc`` down from ``kind``."""
    for part in loc:
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None:
            return []
        kind = next((a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_model(a)), None)
    return list(getattr(kind, "model_fields", {}))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _place(path: str, lines: Lines, loc: tuple[str | int, ...]) -> str:
    while loc and loc not in lines:
        loc = loc[:-1]
    return f"{path}:{lines[loc]}" if loc in lines else path
