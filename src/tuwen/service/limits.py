"""What is too much: one table of limits, which the command line changes and ``docs/limits.md`` shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from tuwen.errors import ConfigError, did_you_mean

BYTES, SECONDS, COUNT = "bytes", "seconds", ""
MOST_CONDITIONS = 1_000


def _limit(
    default: float, unit: str, low: float, high: float, what: str, above: str, *, option: str = ""
) -> Any:  # of the type of the field
    """One line of the table.

    Args:
        low, high: the values that are allowed.
        what: what is counted.
        above: what the service does above it.
        option: the option of ``tuwen serve`` that sets it, where it is not ``--limit``.
    """
    return field(
        default=default,
        metadata={"unit": unit, "low": low, "high": high, "what": what, "above": above, "option": option},
    )


@dataclass(frozen=True)
class Limits:
    """How much one request, one client, and all of them together may take. ``docs/limits.md`` says what each is."""

    # --- One request
    header_bytes: int = _limit(65_536, BYTES, 1_024, 1_048_576, "the address and all headers", "400 or 431")
    body_bytes: int = _limit(
        32_000_000, BYTES, 1, 1_000_000_000, "a body on a route that takes pictures, files included", "413"
    )
    text_bytes: int = _limit(4_000_000, BYTES, 1, 1_000_000_000, "a body on every other route that takes one", "413")
    picture_bytes: int = _limit(20_000_000, BYTES, 1, 1_000_000_000, "one picture, sound or shape", "413")
    pixels: int = _limit(
        200_000_000, "pixels", 1_000, 10_000_000_000, "all pictures together, by their headers, before any is decoded",
        "422",
    )  # fmt: skip
    rows: int = _limit(256, COUNT, 1, 100_000, "rows to predict", "422")
    json_values: int = _limit(100_000, COUNT, 100, 10_000_000, "names and values of a body in JSON", "422")
    json_escapes: int = _limit(
        1_000_000, COUNT, 100, 100_000_000, "escaped characters (backslashes) of a body in JSON", "422"
    )
    json_depth: int = _limit(32, COUNT, 2, 200, "lists and objects within one another in JSON", "422")
    conditions: int = _limit(50, COUNT, 1, MOST_CONDITIONS, "conditions (`where`) of a search", "422")
    condition_values: int = _limit(1_000, COUNT, 1, 1_000_000, "values of one condition, between `|`", "422")
    condition_characters: int = _limit(
        20_000, "characters", 10, 1_000_000, "all conditions of a search together", "422"
    )
    # --- Time
    request_seconds: float = _limit(
        20.0, SECONDS, 0.1, 3_600, "from the end of the body to the answer; promoting and stepping back are not ended",
        "the work is ended; 503",
    )  # fmt: skip
    header_seconds: float = _limit(
        20.0, SECONDS, 0.1, 3_600, "from the first byte of a request, or a new connection, to the end of the headers",
        "the connection is closed",
    )  # fmt: skip
    read_seconds: float = _limit(30.0, SECONDS, 0.01, 3_600, "until the whole body must have arrived", "408")
    stall_seconds: float = _limit(
        5.0, SECONDS, 0.01, 3_600, "in which at least `stall_bytes` of a body must arrive", "408"
    )
    stall_bytes: int = _limit(20_000, BYTES, 0, 100_000_000, "of a body in each `stall_seconds`", "408 below it")
    write_seconds: float = _limit(
        30.0, SECONDS, 0.1, 3_600, "in which a client must take some 50 kB of an answer", "the connection is closed"
    )
    keep_seconds: float = _limit(
        120.0, SECONDS, 0.1, 86_400, "a connection stays open between two requests", "the connection is closed"
    )
    grace_seconds: float = _limit(
        5.0, SECONDS, 0.1, 600, "requests under way may take after SIGTERM; two seconds later the process ends",
        "they are ended",
    )  # fmt: skip
    # --- All requests of the service
    flight_bytes: int = _limit(
        128_000_000, BYTES, 1_000, 1_000_000_000_000,
        "bodies that have arrived and are not answered, of all processes together; each has an equal part",
        "503, Retry-After",
    )  # fmt: skip
    connections: int = _limit(
        10_000, COUNT, 8, 1_000_000, "connections of one process; fewer where the machine allows fewer open files",
        "the one that is idle longest is closed, else the new one",
    )  # fmt: skip
    workers: int = _limit(1, COUNT, 1, 64, "predictions of one process at a time; the network uses every core", "wait")
    waiting: int = _limit(64, COUNT, 1, 100_000, "requests that wait for a thread", "503, Retry-After")
    decoder_bytes: int = _limit(
        2_000_000_000, BYTES, 300_000_000, 1_000_000_000_000,
        "memory of the process that decodes pictures, sounds and shapes", "422",
    )  # fmt: skip
    # --- Room: below or above these marks new work is refused, and what gives room back is not
    free_bytes: int = _limit(
        200_000_000, BYTES, 0, 10**15, "free on the disk of the home, or `free_share`, whichever is less",
        "below it 507 to new events and items",
    )  # fmt: skip
    free_share: float = _limit(0.02, "share", 0, 0.9, "free on the disk of the home", "see `free_bytes`")
    memory_share: float = _limit(
        0.95,
        "share",
        0.05,
        1,
        "in use, of the narrowest limit: process, control group or machine",
        "503 to costly requests",
    )
    # --- One client
    rate: float = _limit(
        0.0, "a second", 0, 1_000_000, "requests of each client to all routes that may ask for a key; 0: any number",
        "429, Retry-After", option="--rate",
    )  # fmt: skip
    burst: int = _limit(
        100, COUNT, 1, 1_000_000, "of them at once; `--rate` makes it twice the rate, at least 10", "429"
    )
    open_rate: float = _limit(
        200.0, "a second", 0, 1_000_000, "requests of each address to pages and health; 0: any number",
        "429, Retry-After",
    )  # fmt: skip


def lines() -> Iterator[Field[Any]]:
    """The limits in the order of the table."""
    yield from fields(Limits)


def with_options(limits: Limits, options: Iterable[str]) -> Limits:
    """``limits`` changed as ``--limit NAME=VALUE`` says, the last one of a name.

    Raises:
        ConfigError: no such limit, no number, or one that is not allowed.
    """
    by_name = {limit.name: limit for limit in lines()}
    for option in options:
        name, _, text = option.partition("=")
        name = name.strip().replace("-", "_")
        if name not in by_name:
            raise ConfigError(
                "there is no such limit",
                where=f"--limit {option[:100]}",
                allowed=by_name,
                todo=did_you_mean(name[:100], by_name),
            )
        value: Any = _value(by_name[name], text.strip(), option)
        limits = replace(limits, **{name: value})
    return limits


def _value(limit: Field[Any], text: str, option: str) -> float:
    low, high = limit.metadata["low"], limit.metadata["high"]
    whole = isinstance(limit.default, int)
    try:
        value = int(text.replace("_", "")) if whole else float(text.replace("_", ""))
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigError(
            "the limit cannot be that",
            where=f"--limit {option[:100]}",
            allowed=f"{_formatted(low)} to {_formatted(high)}{', a whole number' if whole else ''}",
        )
    return value


def table() -> str:
    """All limits as a table in Markdown."""
    head = "| limit | default | unit | allowed | what it is of | above it |\n|---|---:|---|---|---|---|\n"
    rows = []
    for limit in lines():
        metadata = limit.metadata
        name = f"`{limit.name}`" + (f" (`{metadata['option']}`)" if metadata["option"] else "")
        allowed = f"{_formatted(metadata['low'])} to {_formatted(metadata['high'])}"
        unit, what, above = metadata["unit"], metadata["what"], metadata["above"]
        rows.append(f"| {name} | {_formatted(limit.default)} | {unit} | {allowed} | {what} | {above} |")
    return head + "\n".join(rows) + "\n"


def _formatted(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"
