"""What pydantic finds wrong with a setting is told in plain sentences, with what is allowed in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuwen.config import Run, Shop
from tuwen.errors import ConfigError
from tuwen.slips import SENTENCES

LIBRARY = ("input should", "valid dictionary", "valid string", "valid tuple", "field required", "value error", "{")
TEXT = "a text, in quotes where it looks like a number, a date or yes"
SHOP = "name: s\nitems:\n  source: a.csv\n"
RUN = """\
name: s
task: {use: rate, target: reviews.rating}
modalities:
  t:
    use: text
    columns: reviews.text
    encoder: lstm
"""


def slip(kind: type[Run] | type[Shop], text: str, folder: Path) -> ConfigError:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        kind.read(path)
    assert not any(words in caught.value.what.lower() for words in LIBRARY)
    return caught.value


@pytest.mark.parametrize(
    ("text", "what", "seen", "allowed"),
    [
        ("name: s\nitems: 5", "'items' must be a section", "5", "key: value lines"),
        ("name:", "'name' must be a text", "nothing", TEXT),
        ("name: yes", "'name' must be a text", "true", TEXT),
        ("items:", "'name' is missing", None, None),
        (f"{SHOP}  columns: [a]", "'items.columns' must be a section", "['a']", "key: value lines"),
        (
            f"{SHOP}  columns: {{item: 5}}",
            "'items.columns.item' is of the wrong kind",
            "5",
            f"{TEXT}; or a list, as in [one, two]",
        ),
        (f"{SHOP}  columns: {{item: [1]}}", "'items.columns.item.0' must be a text", "1", TEXT),
        (f"{SHOP}  columns: {{1: a}}", "'items.columns.1' must be a text", "1", TEXT),
        (
            f"{SHOP}  keep: {{a: b}}",
            "'items.keep' is of the wrong kind",
            "a section with a",
            "'all' or 'none'; or a list, as in [one, two]",
        ),
        (f"{SHOP}  separator: ab", "'items.separator' must be at most 1 long", "'ab'", None),
        ("name: s\nrating_range: 5", "'rating_range' must be a list", "5", "a list, as in [one, two]"),
        ("name: s\nrating_range: [1]", "'rating_range' holds too few values", "[1]", None),
        ("name: s\nrating_range: [1, 2, 3]", "'rating_range' holds too many values", "[1, 2, 3]", "2 or fewer"),
        ("name: s\nrating_range: [5, 1]", "'rating_range': low before high, as in [1, 5]", "[5, 1]", None),
        ("name: s\nmedia: {timeout: soon}", "'media.timeout' must be a number", "'soon'", "a number, as in 0.5"),
        ("name: s\nmedia: {timeout: 0}", "'media.timeout' must be above 0", "0", None),
        ("name: s\nmedia: {parallel: 99}", "'media.parallel' must be at most 64", "99", None),
        (
            "name: s\nmedia: {max_bytes: 1.5}",
            "'media.max_bytes' must be a whole number",
            "1.5",
            "a whole number, as in 32",
        ),
        (
            "name: s\nmedia: {allow_outside_root: maybe}",
            "'media.allow_outside_root' must be true or false",
            "'maybe'",
            "true, false",
        ),
    ],
)
def test_a_slip_in_a_shop(text: str, what: str, seen: str | None, allowed: str | None, tmp_path: Path) -> None:
    error = slip(Shop, text, tmp_path)
    assert (error.what, error.seen, error.allowed) == (what, seen, allowed)


@pytest.mark.parametrize(
    ("old", "new", "what", "seen", "allowed", "todo"),
    [
        (
            "encoder: lstm",
            "encoder: 5",
            "'modalities.t.encoder' must be a name or a section",
            "5",
            "a name, or {use: NAME, OPTION: VALUE}",
            None,
        ),
        (
            "columns: reviews.text",
            "columns: []",
            "'modalities.t.columns' holds too few values",
            "[]",
            "1 or more",
            None,
        ),
        (
            "  t:",
            "  a/b:",
            "'modalities.a/b': a modality is named with letters, digits, _ and -, and does not begin with -",
            "'a/b'",
            None,
            None,
        ),
        (
            "name: s",
            "name: s\nrows: {table: review}",
            "'rows.table' is none of the values it may have",
            "'review'",
            "'items' or 'reviews'",
            "did you mean 'reviews'?",
        ),
        (
            "name: s",
            "name: s\nevaluation: {baselines: [trivail]}",
            "'evaluation.baselines.0' is none of the values it may have",
            "'trivail'",
            "'trivial', 'plain', 'unimodal' or 'members'",
            "did you mean 'trivial'?",
        ),
        ("use: text", "usr: text", "'modalities.t.use' is missing", None, None, "is 'usr' meant to be 'use'?"),
        ("name: s", "name: s\nseed: -1", "'seed' must be at least 0", "-1", None, None),
        ("name: s", f"name: [{'a, ' * 200}a]", "'name' must be a text", "['a', 'a'", TEXT, None),
    ],
)
def test_a_slip_in_a_run(
    old: str, new: str, what: str, seen: str | None, allowed: str | None, todo: str | None, tmp_path: Path
) -> None:
    error = slip(Run, RUN.replace(old, new), tmp_path)
    assert (error.what, error.allowed, error.todo) == (what, allowed, todo)
    assert error.seen == seen or (seen is not None and (error.seen or "").startswith(seen))
    assert len(error.seen or "") <= 100


def test_the_table_knows_only_kinds_that_pydantic_has() -> None:
    from typing import get_args

    from pydantic_core.core_schema import ErrorType

    known: tuple[Any, ...] = get_args(ErrorType)
    assert set(SENTENCES) <= set(known)
