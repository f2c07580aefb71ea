"""Conditions of run files: the same rows as SQL gives, and nothing of SQL but its expressions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tuwen.data.examples import where_rows
from tuwen.data.expression_tokens import CHARACTERS, DEPTH, TOKENS
from tuwen.data.expression_tree import FUNCTIONS, PARTS, columns
from tuwen.data.expressions import parse
from tuwen.data.predicates import _FUNCTIONS, rows_that_meet
from tuwen.errors import ConfigError

TABLE = pl.DataFrame(
    {
        "key": range(6),
        "rating": [1.0, 2.5, None, 4.0, -0.5, 5.0],
        "number": [1, 2, 3, None, -7, 0],
        "title": ["Red", "blue_x", None, "50% off\n", "it's", "红色 x"],
        "images": [["a"], [], None, ["a", "b"], ["b"], []],
        "time": [dt.datetime(2024, 1, 1, 10), dt.datetime(2024, 3, 2), None, dt.datetime(2025, 1, 1), None, None],
        "day": [dt.date(2024, 1, 1), None, dt.date(2024, 5, 1), dt.date(2025, 1, 1), None, dt.date(2024, 1, 1)],
        "good": [True, False, None, True, None, False],
    }
)
NAMES = {name: name for name in TABLE.columns}

numbers = st.one_of(
    st.sampled_from(["rating", "number", "number % 2", "rating / 2", "-number", "abs(rating)", "floor(rating)"]),
    st.sampled_from(["coalesce(number, 0)", "length(title)", "array_length(images)", "mod(number, 2)", "YEAR(time)"]),
    st.sampled_from(["EXTRACT(month FROM time)", "CAST(number AS FLOAT)", "round(rating, 1)", "number * 2 - 1"]),
    st.integers(-8, 8).map(str),
    st.sampled_from(["2.5", ".5", "1e0"]),
)
texts = st.one_of(
    st.sampled_from(["title", "lower(title)", "upper(title)", "trim(title)", "'Red'", "'it''s'", "'50% off\n'"]),
    st.sampled_from(["substr(title, 2, 3)", "left(title, 2)", "right(title, 2)", "title || 'x'"]),
    st.sampled_from(["concat(title, 'x')", "replace(title, 'e', '_')"]),
)
times = st.sampled_from(["time", "TIMESTAMP '2024-03-02 00:00:00'", "'2024-03-02'", "time", "'2024-01-01 10:00:00'"])
days = st.sampled_from(["day", "DATE '2024-05-01'", "'2024-01-01'", "CAST(time AS DATE)", "time::date"])
comparisons = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])


def compared(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(values, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{} {} {}".format, values, comparisons, values),
        st.builds("{} BETWEEN {} AND {}".format, values, values, values),
        st.builds("{} NOT BETWEEN {} AND {}".format, values, values, values),
        st.builds("{} IS{} NULL".format, values, st.sampled_from(["", " NOT"])),
        st.builds("({} IS{} DISTINCT FROM {})".format, values, st.sampled_from(["", " NOT"]), values),
        st.builds("{}{} IN ({})".format, values, st.sampled_from(["", " NOT"]), several),
    )


likes = st.builds(
    "title {} '{}'".format,
    st.sampled_from(["LIKE", "NOT LIKE", "ILIKE"]),
    st.text("Redblu_%x.*\n5", max_size=6),
)
leaves = st.one_of(
    compared(numbers),
    compared(texts),
    compared(times),
    compared(days),
    likes,
    st.sampled_from(["good", "good IS TRUE", "good IS NOT FALSE", "good = TRUE", "number IN (1, NULL)", "TRUE"]),
    st.sampled_from(["number NOT IN (1, NULL)", "starts_with(title, 'R')", "array_contains(images, 'b')"]),
    st.sampled_from(["CASE WHEN number > 1 THEN good ELSE FALSE END", "CASE number WHEN 1 THEN TRUE END"]),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT {}".format, inner),
        st.builds("({})".format, inner),
    ),
    max_leaves=6,
)


def by_sql(condition: str) -> list[int] | None:
    """The rows that polars' own SQL gives; None where it refuses."""
    try:
        result = pl.SQLContext({"reviews": TABLE}, eager=True).execute(f"SELECT * FROM reviews WHERE {condition}")
    except (pl.exceptions.PolarsError, TypeError):
        return None
    return list(result["key"])


@settings(max_examples=400)
@given(conditions)
def test_a_condition_chooses_the_rows_that_sql_chooses(condition: str) -> None:
    expected = by_sql(condition)
    try:
        rows = list(rows_that_meet(TABLE, parse(condition), NAMES)["key"])
    except ConfigError:
        rows = None
    if rows is not None and expected is not None:
        assert rows == expected
    event(f"{'chosen' if rows is not None else 'refused'}, by SQL {'chosen' if expected is not None else 'refused'}")
    if rows is None:
        assert expected is None


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("rating >= 4", [3, 5]),
        ("reviews.rating >= 4", [3, 5]),
        ('"reviews.rating" >= 4', [3, 5]),
        ("`rating` == 4", [3]),
        ("images IS NULL OR len(images) = 0", [1, 2, 5]),
        ("time >= '2024-02-01' AND day < DATE '2026-01-01'", [3]),
        ("NOT NOT rating > 4", [5]),
        ("-rating = 0.5", [4]),
        ("title LIKE '50\\%%'", []),
        (" OR ".join(f"key = {i % 7}" for i in range(900)), [0, 1, 2, 3, 4, 5]),
        (f"key IN ({','.join(map(str, range(1, 1500)))})", [1, 2, 3, 4, 5]),
    ],
)
def test_known_conditions(condition: str, expected: list[int]) -> None:
    assert list(where_rows(TABLE, "reviews", condition)["key"]) == expected


@pytest.mark.parametrize(
    ("condition", "todo"),
    [
        ("time > 5", "write time > '2025-06-01'"),
        ("5 < reviews.time", "write '2025-06-01' < reviews.time"),
        ("day BETWEEN 1 AND 5", "write day >= '2025-06-01'"),
        ("time BETWEEN '2024-01-01' AND 5", "write time <= '2025-06-01'"),
        ("day NOT IN (1, 2)", "write day IN ('2025-06-01')"),
        ("time IN ('2024-03-02', number)", "write time IN ('2025-06-01')"),
        ("time IS DISTINCT FROM 5", "write time IS NOT DISTINCT FROM '2025-06-01'"),
        ("nullif(time, 5) IS NULL", "write nullif(time, '2025-06-01')"),
        ("CASE time WHEN 5 THEN TRUE END", "write time = '2025-06-01'"),
        ("CAST(time AS DATE) > rating", "write CAST(time AS date) > '2025-06-01'"),
    ],
)
def test_a_date_is_not_compared_with_a_number(condition: str, todo: str) -> None:
    with pytest.raises(ConfigError, match="a date cannot be compared with a number") as refusal:
        where_rows(TABLE, "reviews", condition)
    assert refusal.value.todo == todo and refusal.value.where == "events.where"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("title > rating", "a text cannot be compared with a number"),
        ("rating = '5'", "a number cannot be compared with a text"),
        ("images = 'a'", "a list cannot be compared with a text"),
        ("time = good", "a date cannot be compared with a boolean"),
        ("time - day > 5", "a length of time cannot be compared with a number"),
        ("CASE WHEN good THEN time ELSE 5 END > time", "a date cannot be compared with a number"),
    ],
)
def test_values_of_different_kinds_are_not_compared(condition: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        rows_that_meet(TABLE, parse(condition), NAMES)
    assert refusal.value.where == "rows.where" and "single quotes" in str(refusal.value.allowed)


@pytest.mark.parametrize(
    ("condition", "seen"),
    [
        ("lower(rating) = 'x'", "lower(rating), where rating is a number"),
        ("time + 5 > time", "time + 5, where time is a date"),
        ("good AND NOT rating", "NOT (rating), where rating is a number"),
        ("-title = 'x' OR good", "-title, where title is a text"),
        ("CAST('x' AS INT) = number", "CAST('x' AS integer)"),
        ("CAST(title AS INT) > 1", "CAST(title AS integer) > 1, where title is a text"),
        ("upper(NULL) = 'A'", "upper(NULL)"),
        ("title", "title, where title is a text"),
        ("NULL", "NULL"),
        ("time > '2025-06-01T00:00:00+08:00'", "time > '2025-06-01T00:00:00+08:00'"),
        ("day = TIMESTAMP '2024-01-01T00:00:00Z'", "day = TIMESTAMP '2024-01-01T00:00:00Z'"),
    ],
)
def test_a_refusal_shows_the_part_of_the_condition(condition: str, seen: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        rows_that_meet(TABLE, parse(condition), NAMES)
    assert refusal.value.seen == seen and refusal.value.where == "rows.where" and refusal.value.allowed
    assert not any(word in str(refusal.value) for word in ("dtype", "series", "Float64", "str`", "literal"))


@pytest.mark.parametrize("rows", [0, 1, 2, 6])
@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("title IN (NULL)", False),
        ("title NOT IN (NULL)", False),
        ("1 IN (NULL)", False),
        ("(1 IN (NULL)) IS NULL", True),
        ("upper('ß') = 'SS'", True),
        ("upper('ß') = 'SS' AND key >= 0", True),
        ("NOT abs(-1) = 1", False),
        ("lower('A') IN ('a')", True),
    ],
)
def test_a_constant_condition_holds_for_all_rows_or_none(condition: str, met: bool, rows: int) -> None:
    table = TABLE.head(rows)
    assert rows_that_meet(table, parse(condition), NAMES).equals(table if met else table.clear())


@pytest.mark.parametrize(("condition", "count"), [("text IN (NULL)", 0), ("upper('ß') = 'SS'", 300_000)])
def test_a_constant_condition_holds_for_rows_that_polars_filters_in_parts(condition: str, count: int) -> None:
    table = pl.DataFrame({"text": ["a", "b", None] * 100_000})
    assert len(rows_that_meet(table, parse(condition), {"text": "text"})) == count


@pytest.mark.parametrize("condition", ['title = "purchase"', "title = purchase", "title IN (`purchase`)"])
def test_a_text_in_other_quotes_is_explained(condition: str) -> None:
    with pytest.raises(ConfigError, match="not a condition over these columns") as refusal:
        where_rows(TABLE, "reviews", condition)
    assert refusal.value.todo == "a text stands in single quotes: 'purchase'"


def refuse_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a condition reached SQL")

    for name in ("SQLContext", "sql", "sql_expr", "read_csv", "scan_csv"):
        monkeypatch.setattr(pl, name, never)


@pytest.mark.parametrize(
    "condition",
    [
        "rating > (SELECT count(*) FROM read_csv('/etc/passwd'))",
        "EXISTS (SELECT * FROM read_csv('/etc/passwd'))",
        "rating IN (SELECT 1)",
        "read_csv('/etc/passwd')",
        "read_csv('/etc/passwd') IS NULL",
        "rating > 1; DROP TABLE reviews",
        "rating > 1;",
        "rating > 1 -- and more",
        "rating > 1 /* and more */",
        "rating > 1 UNION SELECT * FROM read_csv('/etc/passwd')",
        "rating > 1 ORDER BY rating",
        "rating > ALL (1)",
        "max(rating) > 1",
        "row_number() OVER () = 1",
        "now() > time",
        "title REGEXP '(a+)+$'",
        "DROP TABLE x",
        "rating >",
        "rating > 1)",
        "(rating > 1",
        "rating",
        "rating + 1",
        "rating LIKE title",
        "rating IN ()",
        "round(rating, number) > 1",
        "length() > 1",
        "length(title, title) > 1",
        "time > 'yesterday'",
        "time > '2024-13-01'",
        "rating > 1e999",
        "title = 'open",
        'title = "open',
        "",
        "\0",
    ],
)
def test_what_is_more_than_a_condition_is_refused(condition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sql(monkeypatch)
    with pytest.raises(ConfigError) as refusal:
        rows_that_meet(TABLE, parse(condition), NAMES)
    assert refusal.value.seen is not None and refusal.value.allowed


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("(" * (DEPTH + 1) + "good" + ")" * (DEPTH + 1), "nested too deeply"),
        ("(" * 10_000, "nested too deeply"),
        ("NOT " * 1_000 + "good", "nested too deeply"),
        ("- " * 1_000 + "1 = 1", "nested too deeply"),
        ("abs(" * 500 + "1" + ")" * 500 + " = 1", "nested too deeply"),
        ("number" + " + 1" * 1_000 + " = 1", "nested too deeply"),
        ("number = 1" + " = 1" * 500, "compared twice"),
        ("CASE" + " WHEN good THEN good" * 500 + " END", "nested too deeply"),
        ("good::int" + "::int" * 500 + " = 1", "nested too deeply"),
        ("good AND " * TOKENS + "good", "too long"),
        ("title = '" + "a" * CHARACTERS + "'", "too long"),
    ],
)
def test_a_long_or_deep_condition_is_refused_before_it_is_evaluated(condition: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(condition)


def test_a_refusal_names_the_character_and_what_was_probably_meant() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse("rating > 2 AND lowr(title) = 'x'")
    assert "'lowr' at character 16" in str(refusal.value.seen) and refusal.value.todo == "did you mean 'lower'?"
    with pytest.raises(ConfigError, match="did you mean 'rating'"):
        where_rows(TABLE, "reviews", "ratng > 2")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("number / 0 > 1", []),
        ("number / (number - 1) >= 0", [1, 2, 4, 5]),  # the first is divided by 0
        ("NOT number / 0 > 1", []),
        ("0 / 0 IS NULL", [0, 1, 2, 3, 4, 5]),
        ("rating % 0 = 0 OR mod(number, 0) = 0", []),
        ("CAST('inf' AS FLOAT) > 1 OR 'nan'::double > 1", []),
    ],
)
def test_what_is_divided_by_zero_is_missing(condition: str, expected: list[int]) -> None:
    assert list(rows_that_meet(TABLE, parse(condition), NAMES)["key"]) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("rating > .5", [0, 1, 3, 5]),
        ("rating < 3.", [0, 1, 4]),
        ("rating < 2.e0", [0, 4]),
        ("number > - 1", [0, 1, 2, 5]),
        ("number > +1", [1, 2]),
        ("number < ２", [0, 4, 5]),
        ("rating > 25E-1", [3, 5]),
        ("number\u3000=\u00a02", [1]),
        ("number == 2", [1]),
        ("number <> 2", [0, 2, 4, 5]),
        ("number!=2", [0, 2, 4, 5]),
        ("title = '“x”，≥' OR number = 0", [5]),
    ],
)
def test_other_ways_to_write_a_condition(condition: str, expected: list[int]) -> None:
    assert list(rows_that_meet(TABLE, parse(condition), NAMES)["key"]) == expected


@pytest.mark.parametrize(
    ("condition", "seen", "todo"),
    [
        ("number < 1_000", "'1_000' at character 10", "write 1000"),
        ("number<2_5", "'2_5' at character 8", "write 25"),
        ("number < 0x1F", "'0x1F'", "write 31"),
        ("number < 0b11", "'0b11'", "write 3"),
        ("number < 0o17", "'0o17'", "write 15"),
        ("number < 30k", "'30k'", "in digits: 30"),
        ("number < 30元", "'30元'", "in digits: 30"),
        ("number < 2e", "'2e'", "in digits: 2"),
        ("number < 2,500", "','", "write 2500, without a comma"),
        ("number < 2 500", "'500'", "write 2500, without a space"),
        ("number IN (2,050)", "'050'", "write 2050, without a comma; or 2, 50, if these are two"),
        ("number = 007", "'007'", "write 7; or '007' in quotes"),
        ("number = 00.5", "'00.5'", "write 0.5"),
        ("number < ￥30", "'￥'", "without a currency"),
        ("number < $30", "'$'", "without a currency"),
        ("number > 2025-06-01", "'2025-06-01'", "write '2025-06-01'"),
        ("time > 2025/6/1", "'2025/6/1'", "write '2025-06-01'"),
        ("number ＞ 2", "'＞' at character 8", "write > instead of ＞"),
        ("number ＜＝ 2", "'＜'", "write < instead of ＜"),
        ("number ＝ 2", "'＝'", "write = instead of ＝"),
        ("number ≥ 2", "'≥'", "write >= instead of ≥"),
        ("number ≤ 2", "'≤'", "write <= instead of ≤"),
        ("number ≠ 2", "'≠'", "write != instead of ≠"),
        ("number ！＝ 2", "'！'", "write != instead of ！"),
        ("number ! = 2", "'!'", "write != instead of !"),
        ("!good", "'!'", "write NOT instead of !"),
        ("number => 2", "'=>'", "write >= instead of =>"),
        ("number =< 2", "'=<'", "write <= instead of =<"),
        ("number === 2", "'==='", "write = instead of ==="),
        ("good && good", "'&&'", "write AND instead of &&"),
        ("good 且 good", "'且'", "write AND instead of 且"),
        ("good 或 good", "'或'", "write OR instead of 或"),
        ("number IN （1)", "'（'", "write ( instead of （"),
        ("number IN (1，2)", "'，'", "write , instead of ，"),
        ("number IN (1、2)", "'、'", "write , instead of 、"),
        ("number － 1 = 0", "'－'", "write - instead of －"),
        ("number − 1 = 0", "'−'", "write - instead of −"),
        ("number × 2 = 2", "'×'", "write * instead of ×"),
        ("title = “Red”", "'“'", "write ' instead of “"),
        ("title = ‘Red’", "'‘'", "write ' instead of ‘"),
        ("title = ＇Red＇", "'＇'", "write ' instead of ＇"),
        ("title = 「Red」", "'「'", "write ' instead of 「"),
        ("title = 'Red’", '"\'" at character 9', "close it with '"),
        ("number\u200b = 2", "U+200B", "delete it"),
        ("number = 2；", "'；'", "delete it"),
        ("number = NaN", "NaN", "value IS NULL"),
        ("number < Infinity", "Infinity", "value IS NULL"),
        ("0 < number < 5", "'<' at character 12", "a < b AND b < c"),
        ("number = 12345678901234567890", "'12345678901234567890'", None),
        ("number < 2e309", "'2e309'", None),
    ],
)
def test_a_sign_that_is_none_of_a_condition(condition: str, seen: str, todo: str | None) -> None:
    with pytest.raises(ConfigError) as refusal:
        rows_that_meet(TABLE, parse(condition), NAMES)
    assert seen in str(refusal.value.seen) and refusal.value.allowed
    assert refusal.value.todo is None if todo is None else todo in str(refusal.value.todo)


def test_a_whole_number_of_19_digits_is_not_rounded() -> None:
    table = pl.DataFrame({"number": [2**62, 2**62 + 1]})
    assert rows_that_meet(table, parse(f"number = {2**62 + 1}"), {"number": "number"}).height == 1


def test_every_function_of_the_grammar_is_evaluated() -> None:
    special = {"length", "round", "substr", *PARTS}
    assert set(FUNCTIONS) == {name for name in _FUNCTIONS if name not in ("not", "negative", "is null")} | special


def test_columns_are_listed_once_and_in_order() -> None:
    assert columns(parse('"items.brand" = \'x\' AND users.age > 3 OR "items.brand" IS NULL')) == [
        "items.brand",
        "users.age",
    ]


@given(st.text(st.sampled_from("()'\"-+,.%=<>!|:*/ aANDORnotin1;`\n"), max_size=60))
def test_any_text_is_parsed_or_refused_in_words(text: str) -> None:
    try:
        parse(text)
    except ConfigError as refusal:
        assert refusal.seen is not None


def test_a_run_file_of_somebody_else_opens_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(ConfigError, match="not a condition"):
        where_rows(TABLE, "reviews", f"rating > (SELECT a FROM read_csv('{secret}'))")
