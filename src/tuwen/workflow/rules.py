"""What makes a run one that can be trained, told before anything is: by the run alone, and against a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tuwen.config import Run
from tuwen.data import SPLITS
from tuwen.data.dataset import Dataset
from tuwen.data.examples import KEYS, check_condition
from tuwen.data.schema import TABLES
from tuwen.data.splits import Column, Split
from tuwen.errors import ConfigError, DataError, TuwenError, did_you_mean
from tuwen.models import ENCODERS, FUSIONS, TASKS
from tuwen.models.encoder import COMES_FROM
from tuwen.preprocess import MODALITIES
from tuwen.registry import signature_model
from tuwen.workflow.contents import contrast_options, is_contrast
from tuwen.workflow.generating import check_generator
from tuwen.workflow.preparing import modality_options, raw_values
from tuwen.workflow.rating import check_raters
from tuwen.workflow.rehearsal import expected, rehearse
from tuwen.workflow.stacking import is_stack

Place = tuple[str | int, ...]
SHOWN_VALUES = 10  # of a column that an error lists
KEY_ROWS, KEY_SHARE = 20, 0.9  # rows from which a target with so many different values is a key


def task_options(run: Run) -> dict[str, Any]:
    """The task's complete options.

    Raises:
        ConfigError: an option that the task does not know, or a target that is also an input.
    """
    if is_contrast(run):
        return contrast_options(run)
    options = TASKS.options(run.task.use, run.task.options, run.where("task"))
    for name, spec in run.modalities.items():
        if options["target"] in spec.columns:
            raise ConfigError(
                f"the modality '{name}' reads '{options['target']}', which is what is to be predicted",
                where=run.where("modalities", name, "columns"),
                todo="take the target out of the inputs",
            )
    return options


def split_of(run: Run) -> Split:
    """How the run divides its rows.

    Raises:
        ConfigError: no such split, or options that it does not take.
    """
    split: Split = SPLITS.build(run.split.use, run.split.options, where=run.where("split"))
    return split


def validates(run: Run) -> bool:
    """Whether the run's split means some rows to validate; one of a plug-in may not tell."""
    return bool(getattr(split_of(run), "validates", True))


def placed(error: TuwenError, where: str) -> TuwenError:
    """The same error, told at a place of the run."""
    return type(error)(error.what, where=where, seen=error.seen, allowed=error.allowed, todo=error.todo)


# --- The run alone ------------------------------------------------------------------------------------------------


def check_settings(run: Run) -> None:
    """Names of columns, encoders, fusion and head that go together, the generator, and the condition of ``rows.where``,
    without any data.

    Raises:
        ConfigError: with file and line.
    """
    for column, place in named_columns(run):
        _check_name(run, column, place)
    for name in run.modalities:
        _check_encoder(run, name)
    check_generator(run)
    check_raters(run)
    if run.raters is None:
        rehearse(run, task_options(run))
    _check_calibrate(run)
    if not validates(run):
        refuse_unvalidated(run)
    need_condition(run.rows.where, run.where("rows", "where"))


def need_condition(condition: str | None, where: str) -> None:
    """That a condition of a run reads as one; ``where`` is its place.

    Raises:
        ConfigError: it does not.
    """
    if condition is not None:
        try:
            check_condition(condition)
        except ConfigError as error:
            raise placed(error, where) from None


def named_columns(run: Run) -> Iterator[tuple[str, Place]]:
    """Every column that the run names, and the key that names it."""
    for name, spec in run.modalities.items():
        for i, column in enumerate(spec.columns):
            yield column, ("modalities", name, "columns", i)
    if not is_contrast(run):
        yield task_options(run)["target"], ("task", "target")
    for column in split_of(run).columns:
        yield column, ("split", "stratify" if "stratify" in run.split.options else "column")
    for i, column in enumerate(run.content or ()):
        yield column, ("content", i)
    if run.evaluation.groups:
        yield run.evaluation.groups, ("evaluation", "groups")


def _check_name(run: Run, name: str, place: Place) -> None:
    table, dot, column = name.partition(".")
    if not dot or not column:
        holders = [t for t in (run.rows.table, *KEYS) if name in TABLES[t].columns] or [run.rows.table]
        raise ConfigError(
            f"a column is named TABLE.COLUMN, not '{name}'",
            where=run.where(*place),
            allowed="items.title, reviews.text, users.age, …",
            todo=f"did you mean '{holders[0]}.{name.strip('.')}'?",
        )
    if table not in KEYS:
        near = did_you_mean(table, KEYS)
        raise ConfigError(
            f"there is no table '{table}' of examples",
            where=run.where(*place),
            seen=name,
            allowed=KEYS,
            todo=near and near.replace("'?", f".{column}'?"),
        )
    if table == "reviews" and run.rows.table == "items":
        raise ConfigError(
            f"the rows are items, and an item has many reviews: which '{name}' is meant?",
            where=run.where(*place),
            todo="rows: {table: reviews}, or a column of items",
        )


def _check_encoder(run: Run, name: str) -> None:
    """Build the modality (which checks its options) and see whether the encoder reads what it gives."""
    spec, where = run.modalities[name], run.where("modalities", name)
    encoder = ENCODERS.load(spec.encoder.use, run.where("modalities", name, "encoder"))
    options = modality_options(run, name)
    accepts = getattr(encoder, "accepts", ())
    if options.get("tokens") == "hub" and not options.get("model"):
        raise ConfigError(
            "'tokens: hub' needs 'model'",
            where=run.where("modalities", name, "tokens"),
            allowed="a folder or a name on the hub",
            todo="model: FOLDER, or an encoder that names it: {use: transformers, model: FOLDER}",
        )
    known = signature_model(MODALITIES.load(spec.use, where)).model_fields
    if options.keys() - known - spec.options.keys():  # the encoder brings options for another kind of modality
        kind: str | None = f"use: {spec.use}"
    else:
        arrays = expected(MODALITIES.build(spec.use, options, where=where))
        kind = None if arrays is None else str(arrays.kind)
    if accepts and kind is not None and kind not in accepts:
        raise ConfigError(
            f"the encoder '{spec.encoder.use}' cannot read what the modality '{name}' gives",
            where=run.where("modalities", name, "encoder"),
            seen=kind,
            allowed=accepts,
            todo="; or ".join(COMES_FROM[one] for one in accepts if one in COMES_FROM),
        )


def _check_calibrate(run: Run) -> None:
    if run.training.calibrate and not TASKS.load(run.task.use).probabilistic:
        raise ConfigError(
            f"the task '{run.task.use}' has no probabilities to calibrate",
            where=run.where("training", "calibrate"),
            todo="leave training.calibrate out",
        )


def refuse_unvalidated(run: Run) -> None:
    """Refuse a run without rows to validate if it cannot do without.

    Raises:
        ConfigError: late fusion without folds, or ``calibrate``.
    """
    if run.raters is not None or is_stack(run):
        return
    late = FUSIONS.load(run.fusion.use, run.where("fusion")).combines_answers
    late = late and not TASKS.load(run.task.use).replaces_fusion
    if late and FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion")).get("folds") == 0:
        key: Place = ("fusion", "folds") if "folds" in run.fusion.options else ("fusion",)
        raise _unvalidated(run, key, "late fusion without folds", "fusion.folds: 5")
    if run.training.calibrate:
        raise _unvalidated(run, ("training", "calibrate"), "calibrate", "training.calibrate: false")


def _unvalidated(run: Run, key: Place, what: str, otherwise: str) -> ConfigError:
    share = "validation_share" if run.split.use == "column" else "validation"
    return ConfigError(
        f"{what} needs a validation part, and there is none",
        where=run.where(*key),
        seen=f"split: {run.split.use}" + "".join(f", {k}: {v}" for k, v in run.split.options.items() if k == share),
        todo=f"split: {{…, {share}: 0.1}}, or {otherwise}",
    )


# --- Against a dataset --------------------------------------------------------------------------------------------


def check_columns(run: Run, dataset: Dataset) -> None:
    """Every column that the run names is there.

    Raises:
        ConfigError: with file and line, and what was probably meant.
    """
    tables = [t for t in KEYS if dataset.has(t) and not (t == "reviews" and run.rows.table == "items")]
    known = [f"{t}.{column}" for t in tables for column in dataset.table(t).columns]
    if run.rows.table not in tables:
        raise ConfigError(
            f"the dataset has no table '{run.rows.table}'",
            where=run.where("rows", "table"),
            seen=str(dataset.folder),
            allowed=tables,
            todo=f"add '{run.rows.table}' to SHOP.yaml and collect again",
        )
    for name, place in named_columns(run):
        if name not in known:
            table = name.partition(".")[0]
            raise ConfigError(
                f"the dataset has no column '{name}'",
                where=run.where(*place),
                seen=str(dataset.folder),
                allowed=[column for column in known if column.startswith(f"{table}.")] or known,
                todo=did_you_mean(name, known) or f"map it in the {table} of SHOP.yaml and collect again",
            )


def check_kinds(run: Run, frame: pl.DataFrame, dataset: Dataset) -> None:
    """The columns hold what their modalities read, and the target what the task predicts.

    Raises:
        DataError: with file and line.
    """
    for name, spec in run.modalities.items():
        try:
            raw_values(spec.use, spec.columns, frame.head(0), dataset)
        except DataError as error:
            raise placed(error, run.where("modalities", name, "columns")) from None
    if is_contrast(run):
        return
    options = task_options(run)
    target, dtype = options["target"], frame[options["target"]].dtype
    numeric = run.task.use == "rate" or (run.task.use == "binary" and options.get("equals") is None)
    if dtype.is_nested() or (numeric and dtype.is_temporal()):
        raise DataError(
            f"the task '{run.task.use}' cannot predict '{target}'",
            where=run.where("task", "target"),
            seen="a list of values" if dtype.is_nested() else "a time",
            allowed="a column of numbers" if numeric else "a column of numbers or texts",
        )


def check_split_values(run: Run, split: Split, frame: pl.DataFrame, target: str) -> None:
    """Every value that ``split.test`` and ``split.validation`` name stands in a row that has a target.

    Raises:
        DataError: with file and line, and what was probably meant.
    """
    if not isinstance(split, Column):
        return
    known = frame.filter(pl.col(target).is_not_null())
    for option, position, value in split.unknown(known):
        counts = known[split.column].cast(pl.String).drop_nulls().value_counts(sort=True, name="rows")
        values = counts[split.column].to_list()
        listed = ", ".join(map(str, values[:SHOWN_VALUES])) + (", …" if len(values) > SHOWN_VALUES else "")
        seen, todo = f"{option}: [{', '.join(getattr(split, option))}]", "take it out, or look at rows.where"
        todo, which = did_you_mean(value, values) or todo, "no row has"
        if value in set(frame[split.column].cast(pl.String).to_list()):
            which, todo = f"no row with a '{target}' has", "choose another target, or take it out"
            seen += f"; {len(frame) - len(known):,} of {len(frame):,} rows have no '{target}'"
        raise DataError(
            f"{which} '{value}' in '{split.column}', so it adds nothing to the {option} part",
            where=run.where("split", option, position),
            seen=seen,
            allowed=listed or "nothing: the column is empty in every row",
            todo=todo,
        )


def fitted_target(run: Run, truth: pl.Series, options: dict[str, Any]) -> Any:
    """What the task learns of its target (:mod:`tuwen.preprocess.target`).

    Raises:
        DataError: values that the task cannot predict, only one answer, or hardly two rows of any class; with file and
            line.
    """
    try:
        target = TASKS.load(run.task.use).fit(truth, options)
    except DataError as error:
        raise placed(error, run.where("task", "target")) from None
    if not is_contrast(run):
        _check_target(run, truth)
    return target


def _check_target(run: Run, truth: pl.Series) -> None:
    """Refuse a target that tells nothing, or is a key."""
    different, rows, where = truth.n_unique(), len(truth), run.where("task", "target")
    if run.task.use == "rate" and rows > 1 and different == 1:
        raise DataError(
            f"'{truth.name}' has the same value in every row of the train part, so there is nothing to predict",
            where=where,
            seen=f"{truth[0]:g} in {rows:,} rows" if truth.dtype.is_numeric() else f"'{truth[0]}' in {rows:,} rows",
            todo="choose another target, or look at rows.where",
        )
    if run.task.use == "classify" and rows >= KEY_ROWS and different >= KEY_SHARE * rows:
        raise DataError(
            f"'{truth.name}' looks like a key, not like classes: hardly two rows have the same value",
            where=where,
            seen=f"{different:,} values in {rows:,} rows of the train part, as {truth[0]!r}",
            allowed="a column whose values repeat; for numbers, task: {use: rate}",
            todo="choose another target",
        )
