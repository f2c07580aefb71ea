"""Conditions on columns, what there is to choose from (facets), and the order of rows. Frames in, masks out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from tuwen.amounts import TWO_MEANINGS, amounts
from tuwen.errors import ConfigError, did_you_mean
from tuwen.unicode import nfkc

Array = npt.NDArray[Any]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
_CONDITION = re.compile(
    r"([^=!<>＝！＜＞≠≤≥]++)(==|!=|<>|<=|>=|＝＝|！＝|＜＞|＜＝|＞＝|[=<>＝＜＞≠≤≥])(.*+)", re.DOTALL
)
_SAME = {"==": "=", "<>": "!="}
_WIDE = str.maketrans({"＝": "=", "！": "!", "＜": "<", "＞": ">", "≠": "!=", "≤": "<=", "≥": ">="})
ALLOWED = "COLUMN=VALUE, COLUMN=VALUE|VALUE, COLUMN!=VALUE, COLUMN=LOW..HIGH, or COLUMN<NUMBER with <, <=, >, >="


@dataclass(frozen=True)
class FilterLimits:
    """How long a filter may be; checked before any of it is read.

    Attributes:
        conditions: of one filter.
        values: of one condition, between ``|``.
        characters: of one condition.
    """

    conditions: int = 50
    values: int = 1_000
    characters: int = 20_000


DEFAULT_LIMITS = FilterLimits()


@dataclass(frozen=True)
class Condition:
    """What a column must be: one of the values, or on one side of a number.

    ``brand=HP|Dell``, ``brand!=HP``, ``price<=100``, ``price=10..50`` (from 10, below 50), ``price=50..``.
    Words are compared without regard to case and width; a row without a value meets only ``!=``.
    """

    column: str
    operator: Operator
    value: str

    @classmethod
    def read(cls, text: str, limits: FilterLimits = DEFAULT_LIMITS) -> Condition:
        """From the text of a person.

        Raises:
            ConfigError: it is not one, or it is longer or has more values than the limits allow.
        """
        length, values = len(text), text.count("|") + 1
        if length > limits.characters:
            allowed = f"up to {limits.characters} characters"
            raise ConfigError("a condition is too long", where="--where", seen=length, allowed=allowed)
        if values > limits.values:
            allowed = f"up to {limits.values}"
            raise ConfigError("a condition has too many values", where="--where", seen=values, allowed=allowed)
        parts = _CONDITION.fullmatch(text)
        if parts is None or not parts[1].strip():
            raise ConfigError("this is not a condition", where="--where", seen=text[:200], allowed=ALLOWED)
        value = parts[3].strip()
        if value.translate(_WIDE)[:1] in ("=", "<", ">", "!"):  # brand=>HP
            raise ConfigError("this is not a condition", where="--where", seen=text[:200], allowed=ALLOWED)
        sign = parts[2].translate(_WIDE)
        return cls(parts[1].strip(), cast(Operator, _SAME.get(sign, sign)), value)

    @classmethod
    def read_all(cls, texts: Sequence[str], limits: FilterLimits = DEFAULT_LIMITS) -> list[Condition]:
        """All conditions of one filter.

        Raises:
            ConfigError: there are too many, or one of them is not a condition.
        """
        if len(texts) > limits.conditions:
            allowed = f"up to {limits.conditions}"
            raise ConfigError("there are too many conditions", where="--where", seen=len(texts), allowed=allowed)
        return [cls.read(text, limits) for text in texts]

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"


def mask(table: pl.DataFrame, conditions: Sequence[Condition]) -> Array:
    """bool [rows]: which rows meet all conditions.

    Raises:
        ConfigError: a column that the table lacks, or a number that is none.
    """
    if not conditions:
        return np.ones(len(table), bool)
    expressions = [_expression(table, one) for one in conditions]
    met: Array = table.select(pl.all_horizontal(expressions).fill_null(False)).to_series().to_numpy()
    return met


def masks(table: pl.DataFrame, conditions: Sequence[Condition]) -> list[Array]:
    """bool [rows] for each condition. A column that several name is folded once.

    Raises:
        ConfigError: a column that the table lacks, or a number that is none.
    """
    each = [
        _expression(table, condition).fill_null(False).alias(str(index)) for index, condition in enumerate(conditions)
    ]
    return [column.to_numpy() for column in table.lazy().select(each).collect()] if each else []


def _expression(table: pl.DataFrame, condition: Condition) -> pl.Expr:
    dtype = column_type(table, condition.column)
    column = pl.col(condition.column)
    if dtype.is_numeric() or dtype == pl.Boolean:
        return _number_expression(column.cast(pl.Float64), condition)
    if condition.operator not in ("=", "!="):
        raise ConfigError(
            f"the column '{condition.column}' holds words, which have no order",
            where="--where",
            seen=str(condition)[:200],
            allowed=f"{condition.column}=VALUE, {condition.column}!=VALUE",
        )
    values = [_plain(value) for value in condition.value.split("|")]
    if isinstance(dtype, pl.List):
        met = column.list.eval(_folded(pl.element().cast(pl.String)).is_in(values)).list.any()
    else:
        met = _folded(column.cast(pl.String)).is_in(values)
    met = met.fill_null(False)
    return ~met if condition.operator == "!=" else met


def _number_expression(column: pl.Expr, condition: Condition) -> pl.Expr:
    first, dots, last = (part.strip() for part in condition.value.partition(".."))
    if dots and condition.operator in ("=", "!="):
        low = _numbers([first], condition)[0] if first else -math.inf
        high = _numbers([last], condition)[0] if last else math.inf
        met = ((column >= low) & (column < high)).fill_null(False)
        return ~met if condition.operator == "!=" else met
    if condition.operator in ("=", "!="):
        met = column.is_in(_numbers(condition.value.split("|"), condition)).fill_null(False)
        return ~met if condition.operator == "!=" else met
    value = _numbers([condition.value], condition)[0]
    sides = {"<": column < value, "<=": column <= value, ">": column > value, ">=": column >= value}
    return sides[condition.operator].fill_null(False)


def _numbers(texts: Sequence[str], condition: Condition) -> list[float]:
    """Read numbers as a program writes them (``1.299`` has a decimal point), else as the tables of a shop are read.

    Raises:
        ConfigError: one is no number, or it can be read in two ways: ``1,299``.
    """
    plain = [_plain(text) for text in texts]
    numbers = [_program_number(text) for text in plain]
    rest = [i for i, number in enumerate(numbers) if number is None]
    if rest:
        read, reasons = amounts(pl.Series("number", [plain[i] for i in rest], pl.String))
        for i, number, reason in zip(rest, read, reasons, strict=True):
            if reason == TWO_MEANINGS:
                raise ConfigError(
                    f"the column '{condition.column}' holds numbers, and this one can be read in two ways",
                    where="--where",
                    seen=str(condition)[:200],
                    allowed="1299 or 1.299: a point before decimals, and nothing between thousands",
                )
            numbers[i] = number
    if not all(number is not None and math.isfinite(number) for number in numbers):
        raise ConfigError(
            f"the column '{condition.column}' holds numbers, and this is none",
            where="--where",
            seen=str(condition)[:200],
            allowed=ALLOWED,
        )
    return cast(list[float], numbers)


def _program_number(text: str) -> float | None:
    if text in ("true", "false"):
        return float(text == "true")
    try:
        return None if "_" in text else float(text)  # 1_000 is Python's alone
    except ValueError:
        return None


def column_type(table: pl.DataFrame, name: str) -> pl.DataType:
    """The type of a column.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in table.columns:
        raise ConfigError(
            f"the items have no column '{name[:100]}'", allowed=table.columns, todo=did_you_mean(name, table.columns)
        )
    return table.schema[name]


def _plain(text: str) -> str:
    return nfkc(text).strip().lower()


def _folded(column: pl.Expr) -> pl.Expr:
    return column.str.normalize("NFKC").str.strip_chars().str.to_lowercase()


# --- Facets -------------------------------------------------------------------------------------------------------

MOST_VALUES = 500  # different ones: a column with more is no choice for a person
LONGEST = 40  # characters of such a value, on average: sentences are no choice either
SHOWN = 10
PRICE = "price"
STEPS = 5


def facet_columns(table: pl.DataFrame) -> list[str]:
    """The columns that a shopper can choose by: short words with a few different values, and numbers; category, brand,
    price and colour first."""
    known = [name for name in ("category", "brand", "price", "colour") if name in table.columns]
    found = []
    for name in [*known, *(column for column in table.columns if column not in known)]:
        dtype, values = table.schema[name], table[name].drop_nulls()
        if name == "item" or name.startswith("_") or not len(values):
            continue
        different = values.n_unique() if dtype == pl.String or dtype.is_numeric() else 0
        if dtype == pl.String and float(values.str.len_chars().mean()) > LONGEST:  # type: ignore[arg-type]
            continue
        repeated = 2 <= different <= min(MOST_VALUES, len(values) // 2)
        if (dtype.is_numeric() and different > 1) or repeated or (name in known and different > 1):
            found.append(name)
    return found


def facet(column: pl.Series) -> list[dict[str, Any]]:
    """What there is to choose from, with how many rows each: the most frequent values, or ranges of a number.

    Ranges are from ``low`` to below ``high``, at round numbers that part the rows into about equal shares; a whole
    number stays one. Nobody looks for one price, so prices are told in ranges however few they are, unless they lie
    too close together.
    """
    values = column.drop_nulls()
    if not len(values):
        return []
    if values.dtype.is_numeric() and values.n_unique() > (1 if column.name == PRICE else SHOWN):
        ranges = _ranges(values.to_numpy().astype(np.float64))
        if len(ranges) > 1:
            return ranges
    if values.dtype.is_float() and bool((values == values.round()).all()):
        values = values.cast(pl.Int64, strict=False).drop_nulls()
    counts = values.alias("value").value_counts(name="count").sort(["count", "value"], descending=[True, False])
    return [{"value": value, "count": count} for value, count in counts.head(SHOWN).rows()]


def _ranges(values: Array) -> list[dict[str, Any]]:
    values = values[np.isfinite(values)]
    inner = np.quantile(values, np.arange(1, STEPS) / STEPS)
    unit = _unit(float(inner[-1] - inner[0]) / STEPS, whole=bool((values == np.round(values)).all()))
    edges = sorted({float(f"{round(float(edge) / unit) * unit:.12g}") for edge in inner})
    edges = [edge for edge in edges if values.min() < edge <= values.max()]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).tolist()
    bounds = [None, *edges, None]
    return [{"low": bounds[i], "high": bounds[i + 1], "count": count} for i, count in enumerate(counts) if count]


def _unit(step: float, *, whole: bool) -> float:
    """Of edges that are about ``step`` apart: 1, 5, 10, 50, …, and at least 1 of whole numbers."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    unit = power * 5 if step >= 5 * power else power
    return max(unit, 1.0) if whole else unit


# --- Order --------------------------------------------------------------------------------------------------------


def ordered(table: pl.DataFrame, rows: Array, sort: str) -> Array:
    """``rows`` by a column: ``price`` rising, ``-price`` falling; no value stands last, equals stay as they are.

    Raises:
        ConfigError: there is no such column, or it cannot be sorted.
    """
    name = sort.removeprefix("-")
    dtype = column_type(table, name)
    if dtype.is_nested():
        raise ConfigError(f"the column '{name}' cannot be sorted by: it holds lists", seen=dtype)
    taken = table[name][rows]
    order = taken.to_frame("value").with_row_index("at")
    key = pl.col("value").fill_nan(None) if dtype.is_float() else pl.col("value")
    order = order.sort(key, descending=sort.startswith("-"), nulls_last=True, maintain_order=True)
    by_value: Array = rows[order["at"].to_numpy()]
    return by_value
