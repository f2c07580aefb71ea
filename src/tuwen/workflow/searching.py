"""What tune searches: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` and ``KEY=VALUE,VALUE``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuwen.errors import ConfigError
from tuwen.workflow.variants import Value, Varied, parse, refuse_fixed

if TYPE_CHECKING:
    from optuna import Trial

FLAG = "--search"
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
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Dimension = Range | Varied


def dimensions(texts: Sequence[str]) -> list[Dimension]:
    """Read and check what is to be searched.

    Raises:
        ConfigError: nothing, a range that is none, a key that may not be varied.
    """
    if not texts:
        raise ConfigError(
            "tune needs to know what to search",
            allowed="--search training.learning_rate=0.0001:0.01:log --search fusion.width=64,128",
        )
    found = [dimension(text) for text in texts]
    refuse_fixed([one if isinstance(one, Varied) else Varied(one.key, ()) for one in found], FLAG)
    return found


def dimension(text: str) -> Dimension:
    """One ``--search``."""
    key, _, values = text.partition("=")
    match = _RANGE.fullmatch(values)
    if match is None:
        return parse(text, FLAG)
    where, (low, high, how) = f"{FLAG} {text}", match.groups()
    try:
        ends = _number(low), _number(high)
    except ValueError:
        raise ConfigError("the ends of a range are numbers", where=where, allowed=f"{key}=0.0001:0.01:log") from None
    if not ends[0] < ends[1]:
        raise ConfigError("a range begins with its smaller end", where=where, seen=values.strip())
    if how not in (None, "log"):
        raise ConfigError("a range is even or log", where=where, seen=how, allowed=f"{key}={low}:{high}:log")
    if how and ends[0] <= 0:
        raise ConfigError("a log range begins above 0", where=where, seen=low)
    return Range(key.strip(), values.strip(), *ends, log=how == "log")


def suggested(trial: Trial, searched: Sequence[Dimension]) -> dict[str, Value]:
    """The values of a trial; what was tried lies in its ``params`` as numbers and as texts."""
    found = {}
    for one in searched:
        if isinstance(one, Varied):
            text = trial.suggest_categorical(one.key, [value.text for value in one.values])
            found[one.key] = next(value for value in one.values if value.text == text)
        elif one.whole:
            whole = trial.suggest_int(one.key, int(one.low), int(one.high), log=one.log)
            found[one.key] = Value(str(whole), whole)
        else:
            drawn = trial.suggest_float(one.key, one.low, one.high, log=one.log)
            number = min(max(float(f"{drawn:.4g}"), one.low), one.high)  # as a person would write it
            found[one.key] = Value(f"{number:g}", number)
    return found


def as_written(complete: Mapping[str, Any], searched: Sequence[Dimension]) -> dict[str, Any] | None:
    """The run's own values as a trial's ``params``; None where one of them lies outside what is searched."""
    found: dict[str, Any] = {}
    for one in searched:
        value: Any = complete
        for part in one.key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(one, Range):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not one.low <= value <= one.high or (one.whole and value != int(value)):
                return None
            found[one.key] = int(value) if one.whole else float(value)
            continue
        text = next((v.text for v in one.values if _is(v, value, one.key)), None)
        if text is None:
            return None
        found[one.key] = text
    return found


def _is(one: Value, value: Any, key: str) -> bool:
    """Whether the run's own ``value`` is this one of the values that are searched."""
    if key == "modalities" and not isinstance(one.value, Mapping):
        names = [one.value] if isinstance(one.value, str) else one.value
        return bool(names == list(value))
    used = value.get("use") if isinstance(value, Mapping) else value
    return one.value in (value, used) or one.text == value


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
