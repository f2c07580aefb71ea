"""What tune searches: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` and ``KEY=VALUE,VALUE``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from tuwen.config import Run, one_line
from tuwen.errors import ConfigError, MissingExtra, TuwenError
from tuwen.workflow.checking import complete
from tuwen.workflow.idle import idle_in
from tuwen.workflow.variants import Base, Value, Varied, parse, refuse_fixed, run_of, spelt_out, variant

if TYPE_CHECKING:
    from optuna import Trial

FLAG = "--search"
FORMS = (
    "KEY=LOW:HIGH, as in fusion.dropout=0:0.5; KEY=LOW:HIGH:log, as in training.learning_rate=0.0001:0.01:log; "
    "KEY=A,B,C, as in fusion=sum,concat"
)
MIXED = 64  # combinations with other settings that a value is tried in before it is refused
_ALMOST = re.compile(r"\s*[+-]?[\d.]+(e[+-]?\d+)?\s*(:|\.\.|…|-|–|to)[^,\[\]{}\"']*", re.I)  # begins like a range
_RANGE = re.compile(r"\s*([^\s:,\[\]{}\"']+)\s*:\s*([^\s:,]+)\s*(?::\s*(\w+)\s*)?")


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``: whole ones where both ends are written as whole."""

    key: str
    text: str
    low: float
    high: float
    log: bool

    @property
    def where(self) -> str:
        return f"{FLAG} {self.key}={self.text}"

    @property
    def values(self) -> tuple[Value, Value]:
        """Its ends."""
        low, high = (Value(str(end), end, self.where) for end in (self.low, self.high))
        return low, high

    def holds(self, value: Any) -> bool:
        """Whether it is one of these numbers."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and not (self.whole and value != int(value))

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Dimension = Range | Varied


def dimensions(texts: Sequence[str]) -> list[Dimension]:
    """Read and check what is to be searched.

    Raises:
        ConfigError: nothing, a range that is none, a key that may not be varied.
    """
    if not texts:
        raise ConfigError("tune needs to know what to search", where=FLAG, allowed=FORMS)
    found = [dimension(text) for text in texts]
    refuse_fixed([one if isinstance(one, Varied) else Varied(one.key, (), one.where) for one in found])
    return found


def dimension(text: str) -> Dimension:
    """One ``--search``.

    Raises:
        ConfigError: none of the three forms; shows them.
    """
    key, _, values = text.partition("=")
    match, where = _RANGE.fullmatch(values), f"{FLAG} {text}"
    if not key.strip() or not values.strip():
        raise ConfigError("a search is a key and what to try", where=where, allowed=FORMS)
    if match is None and _ALMOST.fullmatch(values):
        raise ConfigError("this is no range", where=where, seen=values.strip(), allowed=FORMS)
    if match is None:
        try:
            return parse(text, FLAG)
        except ConfigError as error:
            raise ConfigError(error.what, where=where, seen=error.seen, allowed=FORMS, todo=error.todo) from None
    low, high, how = match.groups()
    try:
        ends = _number(low), _number(high)
    except ValueError:
        raise ConfigError("the ends of a range are numbers", where=where, seen=values.strip(), allowed=FORMS) from None
    if not ends[0] < ends[1]:
        raise ConfigError("a range begins with its smaller end", where=where, seen=values.strip(), allowed=FORMS)
    if how not in (None, "log"):
        raise ConfigError("a range is even or log", where=where, seen=how, allowed=FORMS)
    if how and ends[0] <= 0:
        raise ConfigError("a log range begins above 0", where=where, seen=low, todo=f"{key}=0.0001:{high}:log")
    return Range(key.strip(), values.strip(), *ends, log=how == "log")


def refuse_impossible(base: Base, searched: Sequence[Dimension]) -> None:
    """Each listed value and both ends of each range make a run: with the run's other settings as they are written, or
    with others that are searched too.

    Raises:
        TuwenError: what is wrong with one of them; names its ``--search``.
    """
    for one in searched:
        seen: dict[str, Value] = {}
        for value in one.values:
            found = _tried(base, {one.key: value})
            if isinstance(found, Run):
                twin = seen.setdefault(spelt_out(found), value)
                if twin is not value:
                    told = f"{twin.text} and {value.text}"
                    raise ConfigError("two of the values make the same run", where=one.where, seen=told)
            elif found is not None and not any(
                isinstance(_tried(base, values), Run) for values in _mixed(one, value, searched)
            ):
                raise _of_search(found, one, value)


def _tried(base: Base, values: Mapping[str, Value]) -> Run | TuwenError | None:
    """The run with these values, or what is wrong with it; None where a plug-in has a fault, which its trial tells."""
    try:
        return run_of(base, variant(base, values))
    except TuwenError as error:
        return error
    except Exception:  # a plug-in raises what it likes
        return None


def idle_of(base: Base, searched: Sequence[Dimension]) -> list[dict[str, Any]]:
    """``note``: a setting without effect (:mod:`tuwen.workflow.idle`), ``note_zh`` the same in Chinese, and the
    searched ``values`` that make it so: ``KEY=VALUE``, or ``KEY=LOW:HIGH`` where an end does; none where it is so in
    every trial. Listed values and both ends of each range are looked at, up to :data:`MIXED` combinations.
    """
    keys, looked = [one.key for one in searched], list[dict[str, Value]]()
    carried: dict[tuple[str, str], list[dict[str, Value]]] = {}
    for values in islice(product(*(one.values for one in searched)), MIXED):
        combination = dict(zip(keys, values, strict=True))
        if not isinstance(run := _tried(base, combination), Run):
            continue
        looked.append(combination)
        for note in idle_in(run):
            carried.setdefault(note, []).append(combination)
    return [
        {
            "note": note,
            "note_zh": chinese,
            "values": [] if len(some) == len(looked) else _making(some, looked, searched),
        }
        for (note, chinese), some in carried.items()
    ]


def _making(
    carriers: Sequence[Mapping[str, Value]], looked: Sequence[Mapping[str, Value]], searched: Sequence[Dimension]
) -> list[str]:
    """The values that carry something in whatever company; where none does, all that were among the carriers."""
    pairs = [(one, value) for one in searched for value in one.values]
    alone = [
        (one, value)
        for one, value in pairs
        if (having := [each for each in looked if each[one.key] == value]) and all(each in carriers for each in having)
    ]
    among = alone or [(one, value) for one, value in pairs if any(each[one.key] == value for each in carriers)]
    told = [f"{one.key}={one.text if isinstance(one, Range) else value.text}" for one, value in among]
    return list(dict.fromkeys(told))


def _mixed(one: Dimension, value: Value, searched: Sequence[Dimension]) -> Iterator[dict[str, Value]]:
    """The value with those of one other key, then with those of all."""
    others = [other for other in searched if other is not one]
    for other in others:
        yield from ({one.key: value, other.key: beside} for beside in other.values)
    for values in islice(product(*(other.values for other in others)), MIXED):
        yield {one.key: value} | {other.key: beside for other, beside in zip(others, values, strict=True)}


def _of_search(error: TuwenError, one: Dimension, value: Value) -> TuwenError:
    if isinstance(error, MissingExtra):
        return error
    seen = value.text if error.seen is None else error.seen
    return type(error)(error.what, where=one.where, seen=seen, allowed=error.allowed, todo=error.todo)


def suggested(trial: Trial, searched: Sequence[Dimension]) -> dict[str, Value]:
    """The values of a trial; what was tried lies in its ``params`` as numbers and as texts."""
    found = {}
    for one in searched:
        if isinstance(one, Varied):
            text = trial.suggest_categorical(one.key, [value.text for value in one.values])
            found[one.key] = next(value for value in one.values if value.text == text)
        elif one.whole:
            whole = trial.suggest_int(one.key, int(one.low), int(one.high), log=one.log)
            found[one.key] = Value(str(whole), whole, one.where)
        else:
            drawn = trial.suggest_float(one.key, one.low, one.high, log=one.log)
            number = min(max(float(f"{drawn:.4g}"), one.low), one.high)  # as a person would write it
            found[one.key] = Value(f"{number:g}", number, one.where)
    return found


def as_written(base: Base, searched: Sequence[Dimension]) -> tuple[dict[str, Any], dict[str, str]]:
    """The run's own values as a trial's ``params``; and key → own value, as it is written, of those that lie outside
    what is searched.

    Raises:
        TuwenError: the run itself cannot be.
    """
    own = run_of(base, variant(base, {}))
    same, inside, outside = spelt_out(own), {}, {}
    for one in searched:
        value = _at(complete(own), one.key)
        if isinstance(one, Range):
            found = value if one.holds(value) else None
        else:
            runs = ((text.text, _tried(base, {one.key: text})) for text in one.values)
            found = next((text for text, run in runs if isinstance(run, Run) and spelt_out(run) == same), None)
        if found is None:
            outside[one.key] = one_line(_at(base.data, one.key, value))
        else:
            inside[one.key] = float(found) if isinstance(one, Range) and not one.whole else found
    return inside, outside


def _at(data: Mapping[str, Any], key: str, otherwise: Any = None) -> Any:
    value: Any = data
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return otherwise
        value = value[part]
    return value


def _number(text: str) -> int | float:
    number = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    if not math.isfinite(number):
        raise ValueError
    return number
