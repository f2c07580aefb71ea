"""Look for leaks in the rows of a run: between its parts, and from its inputs to its target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data.alike import look_alikes
from tuwen.data.dataset import Dataset
from tuwen.data.examples import all_media, joined_text, normalised
from tuwen.data.kinds import MEDIA
from tuwen.data.near_duplicates import near_duplicates
from tuwen.data.splits import Time
from tuwen.evaluation.clusters import clustered
from tuwen.evaluation.giveaways import contained, giveaway, spellings
from tuwen.evaluation.leaks import Kind, Leak, beginning
from tuwen.workflow.contents import is_contrast
from tuwen.workflow.gathering import Gathered, input_columns
from tuwen.workflow.groups import agreement, candidates, group_columns

LEAST_SHARE, LEAST_ROWS = 0.01, 2  # of the test rows, from which a leak between parts is told
NEAR_TEXTS = 40_000  # texts of both sides that are compared for near duplicates; more are not
NEAR_PICTURES = 4_000  # pictures of both sides
LOOKED_FOR = 5_000  # rows whose texts are searched for their target
MISSING = 0.5  # share of rows without a target that is told
DATELESS = 0.05  # share of rows without a date that is told
FEW_GROUPS = 30  # groups of test rows that are told before there are answers
ALIKE = 0.95  # share of the train rows with one and the same picture or text that is told
OF_SOME = 50  # pictures that show whether all look the same
DISTINCT = 0.2  # share of different rows from which equal rows of a table are no accident


def leaks_of(run: Run, dataset: Dataset, gathered: Gathered) -> list[Leak]:
    """The leaks of one fold, but for those that only answers show (:mod:`tuwen.workflow.groups`)."""
    if is_contrast(run):
        return []
    sides = Sides(run, dataset, gathered)
    return [
        *_texts(sides),
        *_pictures(sides),
        *_rows(sides),
        *_groups(sides),
        *_giveaways(sides),
        *_target(sides),
        *_time(sides),
        *_inputs(sides),
    ]


class Sides:
    """The rows of a run as two sides: the test part, and all that a training may see.

    Attributes:
        test, train: positions of rows; ``train`` holds the validation part too.
        learned: positions of the train part alone.
        truth: what is to be predicted, of every row: numbers, or names of classes.
    """

    def __init__(self, run: Run, dataset: Dataset, gathered: Gathered) -> None:
        self.run, self.dataset, self.gathered = run, dataset, gathered
        self.frame, self.keys = gathered.frame, gathered.frame["row"].to_list()
        self.test, self.learned = gathered.rows("test"), gathered.rows("train")
        self.train = np.flatnonzero((gathered.parts != "test").to_numpy())
        self.truth = truth_of(run, gathered)
        self.target = str(gathered.options["target"])

    def columns(self, uses: Sequence[str]) -> list[str]:
        """The columns of some kinds of modalities. Where the rows' own table has texts or media, those of other tables
        are no content of a row: an item's picture is in many reviews.
        """
        found = [c for spec in self.run.modalities.values() if spec.use in uses for c in spec.columns]
        contents = set(input_columns(self.run))
        return [c for c in dict.fromkeys(found) if c in contents or "table" in uses]

    def across(self, kind: Kind, column: str, partners: Mapping[int, int], shown: Sequence[str]) -> Iterator[Leak]:
        """The leak of test rows that have a partner on the other side, where they are enough to be told.

        Args:
            partners: position of a test row → position of a row of the other side.
            shown: the content of every row.
        """
        if len(partners) < max(LEAST_ROWS, LEAST_SHARE * len(self.test)):
            return
        row, other = next(iter(partners.items()))
        example = {"row": self.keys[row], "content": beginning(shown[row])}
        example |= {"other": self.keys[other], "other_content": beginning(shown[other])}
        touched = frozenset(self.keys[i] for i in partners)
        yield Leak(kind, column, len(partners), len(self.test), example, {"target": self.target}, touched)

    def partners(self, contents: Sequence[object]) -> dict[int, int]:
        """Test rows → the first row of the other side with an equal content; None and "" are no content."""
        first: dict[object, int] = {}
        for row in self.train.tolist():
            first.setdefault(contents[row], row)
        return {row: first[contents[row]] for row in self.test.tolist() if contents[row] and contents[row] in first}


def truth_of(run: Run, gathered: Gathered) -> pl.Series:
    """What is to be predicted: numbers of the task rate, else names; of yes or no ``yes`` and ``no``."""
    truth, options = gathered.truth, gathered.options
    if run.task.use == "rate":
        return truth.cast(pl.Float64)
    if run.task.use == "binary":
        equals, least = options.get("equals"), options.get("at_least")
        yes = truth.cast(pl.String) == equals if equals is not None else truth.cast(pl.Float64) >= (least or 1.0)
        return pl.Series(truth.name, np.where(yes.to_numpy(), "yes", "no"))
    return truth.cast(pl.String)


# --- Between the parts --------------------------------------------------------------------------------------------


def _texts(sides: Sides) -> Iterator[Leak]:
    columns = sides.columns(["text"])
    if not columns:
        return
    shown = [text or "" for text in joined_text(sides.frame, columns)]
    texts = [normalised(text) for text in shown]
    equal, label = sides.partners(texts), " + ".join(columns)
    if not _is_category(sides, texts):
        yield from sides.across("equal_text", label, equal, shown)
    own = list(dict.fromkeys(texts[row] for row in sides.test.tolist() if row not in equal and texts[row]))
    first: dict[str, int] = {}
    for row in sides.train.tolist():
        first.setdefault(texts[row], row)
    if len(own) + len(first) > NEAR_TEXTS:
        return
    others = list(first)
    twins = {own[a]: first[others[b]] for a, b in near_duplicates(own, others).items()}
    near = {row: twins[texts[row]] for row in sides.test.tolist() if texts[row] in twins}
    yield from sides.across("near_text", label, near, shown)


def _is_category(sides: Sides, texts: Sequence[str]) -> bool:
    """Whether the texts are few and short, as brands are, and rows with the same one have different targets."""
    there = [text for text in texts if text]
    if not there or len(set(there)) > 0.1 * len(there) or sum(map(len, there)) > 30 * len(there):
        return False
    return agreement(pl.Series(texts), sides.truth) < 0.5


def _pictures(sides: Sides) -> Iterator[Leak]:
    columns = sides.columns(["image"])
    if not columns:
        return
    pictures = all_media(sides.frame, columns, MEDIA["image"])
    first: dict[str, int] = {}
    for row in sides.train.tolist():
        for key in pictures[row]:
            first.setdefault(key, row)
    label = " + ".join(columns)
    equal = {row: first[key] for row in sides.test.tolist() for key in pictures[row] if key in first}
    shown = [f"picture {keys[0][:12]}…" if keys else "" for keys in pictures]
    yield from sides.across("equal_picture", label, equal, shown)
    own = list(dict.fromkeys(k for row in sides.test.tolist() if row not in equal for k in pictures[row][:1]))
    if not own or len(own) + len(first) > NEAR_PICTURES:
        return
    twins = look_alikes(own, list(first), sides.dataset.media.read)
    near = {row: first[twins[k]] for row in sides.test.tolist() for k in pictures[row][:1] if k in twins}
    yield from sides.across("near_picture", label, near, shown)


def _rows(sides: Sides) -> Iterator[Leak]:
    """Equal rows of a run that reads tables only."""
    columns = sides.columns(["table"])
    if not columns or sides.columns(["text", *MEDIA]):
        return
    contents = contents_of("table", columns, sides.frame)
    if len({contents[row] for row in sides.train.tolist()}) >= DISTINCT * len(sides.train):
        shown = [content or "" for content in contents]
        yield from sides.across("equal_row", " + ".join(columns), sides.partners(contents), shown)


def _groups(sides: Sides) -> Iterator[Leak]:
    for column, values in group_columns(sides.run, sides.dataset, sides.gathered).items():
        contents = values.to_list()
        partners = sides.partners(contents)
        if not partners or (alike := agreement(values, sides.truth)) < 0.9:
            continue
        for leak in sides.across("group", column, partners, ["" if c is None else str(c) for c in contents]):
            detail = {**leak.detail, "agreement": f"{100 * alike:.0f} %"}
            yield Leak(leak.kind, leak.column, leak.rows, leak.of, leak.example, detail, leak.touched)


# --- From inputs to the target ------------------------------------------------------------------------------------


def _giveaways(sides: Sides) -> Iterator[Leak]:
    columns = dict.fromkeys(c for s in sides.run.modalities.values() if s.use not in MEDIA for c in s.columns)
    for column in columns:
        values = sides.frame[column]
        if values.dtype.is_nested():
            values = values.cast(pl.List(pl.String)).list.join("|")
        found = giveaway(values, sides.truth, sides.train, sides.test)
        if found is not None:
            row = int(sides.test[0])
            example = {"row": sides.keys[row], "content": beginning(values[row]), "other": beginning(sides.truth[row])}
            detail = {"target": sides.target, "metric": found.metric, "score": found.score}
            yield Leak("giveaway", column, len(sides.test), len(sides.test), example, detail)
        elif values.dtype == pl.String and any(
            column in s.columns for s in sides.run.modalities.values() if s.use == "text"
        ):
            yield from _in_text(sides, column)


def _in_text(sides: Sides, column: str) -> Iterator[Leak]:
    """A text that names the target."""
    rows = np.flatnonzero(sides.frame[column].is_not_null().to_numpy())
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_FOR).astype(np.int64))] if len(rows) else rows
    texts = [normalised(text) for text in sides.frame[column][rows].to_list()]
    written = {value: spellings(value, normalised) for value in sides.gathered.truth.unique().to_list()}
    holds = contained(texts, [written[value] for value in sides.gathered.truth[rows].to_list()])
    if holds is None:
        return
    row = int(rows[np.flatnonzero(holds)[0]])
    value = sides.gathered.truth[row]
    example = {"row": sides.keys[row], "content": beginning(sides.frame[column][row]), "other": beginning(value)}
    yield Leak("text_giveaway", column, int(holds.sum()), len(holds), example, {"target": sides.target})


def _target(sides: Sides) -> Iterator[Leak]:
    rows, missing = len(sides.frame), sides.gathered.without_truth
    if missing > MISSING * (rows + missing):
        yield Leak("target_missing", sides.target, missing, rows + missing)
    if sides.run.task.use == "classify":
        counts = sides.truth.value_counts(name="rows").sort("rows", sides.truth.name)
        single = counts.filter(pl.col("rows") == 1)[sides.truth.name].to_list()
        if single:
            row = sides.truth.to_list().index(single[0])
            example = {"row": sides.keys[row], "content": beginning(single[0])}
            yield Leak("target_single", sides.target, len(single), len(counts), example)


def _time(sides: Sides) -> Iterator[Leak]:
    split = sides.gathered.split
    if not isinstance(split, Time):
        return
    empty = np.flatnonzero(sides.frame[split.column].is_null().to_numpy())
    rows = len(sides.frame)
    if len(empty) < max(1, DATELESS * rows):
        return
    counts = sides.gathered.counts()
    of_dated = (sides.gathered.parts[np.setdiff1d(np.arange(rows), empty)] == "train").sum()
    detail = {"dated": rows - len(empty), "train": int(of_dated)} | {k: counts[k] for k in ("validation", "test")}
    example = {"row": sides.keys[int(empty[0])], "content": ""}
    yield Leak("time_missing", split.column, len(empty), rows, example, detail)


# --- Inputs that say nothing --------------------------------------------------------------------------------------

WORDS = {
    "text": ("text", "文字"),
    "image": ("picture", "图片"),
    "audio": ("sound", "声音"),
    "shape": ("3D shape", "三维形状"),
    "table": ("table", "表格"),
}


def _inputs(sides: Sides) -> Iterator[Leak]:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for spec in sides.run.modalities.values():
        if spec.use not in WORDS or (spec.use, tuple(spec.columns)) in seen:
            continue
        seen.add((spec.use, tuple(spec.columns)))
        contents = contents_of(spec.use, spec.columns, sides.frame[sides.gathered.fitting])
        word, chinese = WORDS[spec.use]
        detail = {"word": word, "word_zh": chinese}
        there, label = [content for content in contents if content], " + ".join(spec.columns)
        if not there:
            yield Leak("absent_input", label, len(contents), len(contents), {}, detail)
            continue
        value, rows = pl.Series(there).value_counts(sort=True).row(0)
        if spec.use == "image" and rows < ALIKE * len(there) and _look_the_same(sides, there):
            value, rows = there[0], len(there)
        if len(there) > 1 and rows >= ALIKE * len(there) and (spec.use != "table" or rows == len(there)):
            row = sides.keys[int(sides.gathered.fitting[contents.index(value)])]
            content = f"picture {value[:12]}…" if spec.use in MEDIA else beginning(value)
            yield Leak("constant_input", label, rows, len(there), {"row": row, "content": content}, detail)


def contents_of(use: str, columns: Sequence[str], frame: pl.DataFrame) -> list[str | None]:
    """What a modality reads of each row as one text, None where there is nothing: of media the keys."""
    if use in MEDIA:
        return ["|".join(keys) or None for keys in all_media(frame, columns, MEDIA[use])]
    if use == "text":
        return [None if text is None else normalised(text) or None for text in joined_text(frame, columns)]
    lists = {c for c in columns if frame[c].dtype.is_nested()}
    texts = frame.select(
        pl.col(c).cast(pl.List(pl.String)).list.join(";") if c in lists else pl.col(c).cast(pl.String) for c in columns
    )
    return [" | ".join("" if v is None else v for v in row) if any(row) else None for row in texts.iter_rows()]


def _look_the_same(sides: Sides, contents: Sequence[str]) -> bool:
    """Whether all of some pictures look like the first of them."""
    keys = list(dict.fromkeys(content.partition("|")[0] for content in contents))[: OF_SOME + 1]
    return len(keys) > 2 and len(look_alikes(keys[1:], keys[:1], sides.dataset.media.read)) == len(keys) - 1


def few_groups(run: Run, dataset: Dataset, gathered: Gathered) -> list[Leak]:
    """Test rows that are really few groups, as their targets show before there are answers."""
    if run.evaluation.groups or is_contrast(run):
        return []
    rows, truth = gathered.rows("test"), truth_of(run, gathered)[gathered.rows("test")]
    values = truth if truth.dtype.is_float() else (truth == truth.mode().sort()[0]).cast(pl.Float64)
    found = clustered([values.to_numpy()], candidates(run, dataset, gathered, rows), run.seed)
    if found is None or found.groups > FEW_GROUPS:
        return []
    return [
        Leak("few_groups", found.column, len(rows), len(rows), {}, {"groups": found.groups, "effect": found.effect})
    ]
