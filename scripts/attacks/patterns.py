"""Attacks by text alone, with their times before and after patterns became linear and lengths were limited.

``PYTHONPATH=scripts python -m attacks.patterns`` measures them in this process. Each attack ends by itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tuwen.errors import TuwenError


class Figure(NamedTuple):
    """Args:
    name: of the attack.
    seconds: that it takes.
    before: what it took, measured on the same machine.
    answer: the sentence of the refusal, or "read".
    """

    name: str
    seconds: float
    before: str
    answer: str


def measured(name: str, before: str, attack: Callable[[], object]) -> Figure:
    begin, answer = time.process_time(), "read"
    try:
        attack()
    except TuwenError as refusal:
        answer = refusal.what
    return Figure(name, time.process_time() - begin, before, answer)


def figures() -> list[Figure]:
    """Every attack of this module."""
    return [*_texts(), *_filters(), *_conditions(), *_settings(), *_names()]


def _texts() -> Iterator[Figure]:
    from tuwen.data.references import split
    from tuwen.preprocess.cleaning import clean
    from tuwen.preprocess.colours import colour_of_texts

    marks = "a" + "\u0300" * 50_000 + "\u0316" * 50_000
    yield measured("a text of 25,000 begun comments", "12.1 s", lambda: clean("<!--" * 25_000))
    yield measured("a text of 25,000 open scripts", "18.1 s", lambda: clean("<script>" * 25_000))
    yield measured("a letter with 100,000 marks", "15.3 s", lambda: clean(marks))
    yield measured("a title of 240 times 'color'", "1.7 s", lambda: colour_of_texts(["color" * 240]))
    yield measured("a cell of 20,000 blanks", "1.8 s", lambda: split("a" + " " * 20_000 + "b"))


def _filters() -> Iterator[Figure]:
    import polars as pl

    from tuwen.index.filters import Condition, mask

    table = pl.DataFrame({"brand": [f"brand {number}" for number in range(10_000)]})

    def many() -> None:
        values = "|".join(f"x{number}" for number in range(100_000))
        mask(table, [Condition.read(f"brand={values}") for _ in range(50)])

    yield measured("a condition of 1,000 blanks", "2.2 s", lambda: Condition.read(" " * 1_000))
    yield measured("50 conditions of 100,000 values", "2.9 s with 10,000 rows", many)


def _conditions() -> Iterator[Figure]:
    import polars as pl

    from tuwen.data.examples import where_rows

    table = pl.DataFrame({"rating": [1.0, 5.0]})
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret.csv"
        secret.write_text("a\n1\n")
        where = f"rating > (SELECT a FROM read_csv('{secret}'))"
        yield measured(
            "rows.where with a file of this machine", "the file was read", lambda: where_rows(table, "reviews", where)
        )
    deep = "(" * 2_000 + "rating > 1" + ")" * 2_000
    yield measured("rows.where with 2,000 brackets", "0.001 s, refused", lambda: where_rows(table, "reviews", deep))


def _settings() -> Iterator[Figure]:
    from tuwen.config import load_yaml

    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{old}'] * 8)}]" for old, name in pairwise(names)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "SHOP.yaml"
        file.write_text("\n".join(lines[:8]))
        yield measured("a settings file with 8 levels of aliases", "no end in 60 s", lambda: load_yaml(file))
        deep = Path(folder) / "RUN.yaml"
        deep.write_text("a: " + "[" * 100_000)
        yield measured("a settings file with 100,000 brackets", "a traceback (RecursionError)", lambda: load_yaml(deep))


def _names() -> Iterator[Figure]:
    from tuwen.errors import did_you_mean

    names = [f"SKU-{number:06d}" for number in range(200_000)]
    yield measured("an unknown item of a shop of 200,000", "2.2 s", lambda: did_you_mean("SKU-0x1y31", names))


if __name__ == "__main__":
    for figure in figures():
        print(f"{figure.seconds:9.3f} s  {figure.name} (before: {figure.before}; now: {figure.answer})")
