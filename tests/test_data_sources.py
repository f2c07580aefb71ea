"""Files and databases: every row comes out once, with its number, or is named as unreadable."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from shops import refused
from tuwen.config import Shop
from tuwen.data.batch import Part, joined_frames, series
from tuwen.data.delimited import DelimitedFile
from tuwen.data.jsonlines import JsonLinesFile
from tuwen.data.mapping import plan
from tuwen.data.parquet import ParquetFile
from tuwen.data.references import BYTES, references, split
from tuwen.data.schema import TABLES
from tuwen.data.sources import files_of, format_of
from tuwen.data.sql import Query
from tuwen.errors import DataError


def read(part: Part) -> tuple[list[dict[str, Any]], list[int], list[tuple[int, str]]]:
    """(good rows, their numbers, unreadable rows)."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    unread: list[tuple[int, str]] = []
    for batch in part.batches(part.columns):
        rows += batch.frame.to_dicts()
        numbers += batch.rows.to_list()
        unread += [(row.row, row.reason) for row in batch.unread]
    return rows, numbers, unread


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Any]:
    def _write(data: str | bytes, name: str = "t.csv", **options: Any) -> Any:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return (JsonLinesFile if name.endswith("jsonl") else DelimitedFile)(path, name, **options)

    yield _write


def test_csv_rows_and_numbers(write: Any) -> None:
    rows, numbers, unread = read(write('a,b,c\n1,"x\ny",3\n\n4,5\n6,7,\n9,10,11,12\n"13 ""14""",,15\n'))
    assert rows == [
        {"a": "1", "b": "x\ny", "c": "3"},
        {"a": "4", "b": "5", "c": None},
        {"a": "6", "b": "7", "c": None},
        {"a": '13 "14"', "b": None, "c": "15"},
    ]
    assert numbers == [1, 2, 3, 5]
    assert unread == [(4, "too many cells")]


def test_an_open_quote_costs_its_own_line_only(write: Any) -> None:
    text = 'a,b\n1,2\n"open,3\n4,5\n6,"x"y\n7,8\n"open too,9\n'
    rows, numbers, unread = read(write(text))
    assert [row["a"] for row in rows] == ["1", "4", "7"]
    assert numbers == [1, 3, 5]
    assert unread == [(2, "a quote is not closed"), (4, "a quote is not closed"), (6, "a quote is not closed")]


cells = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff\ufdd0\ufdd1"), max_size=8)


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=10),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_python_writes_as_csv_comes_back(
    rows: list[tuple[str, str, str]],
    separator: str,
    ending: str,
    quoting: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # Python leaves a lone carriage return unquoted where lines end otherwise, and nobody can tell it from a line's end.
    assume(quoting == csv.QUOTE_ALL or ending == "\r\n" or "\r" not in "".join(c for row in rows for c in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=ending, quoting=quoting)
    writer.writerows([("a", "b", "c"), *rows])
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_bytes(buffer.getvalue().encode())
    got, numbers, unread = read(DelimitedFile(path, "round.csv"))
    assert unread == [] and numbers == list(range(1, len(rows) + 1))
    assert [tuple(row[c] or "" for c in "abc") for row in got] == rows


@settings(max_examples=150)
@given(body=st.text(st.sampled_from('ab,"\n\r1 '), max_size=60))
def test_any_csv_ends_in_rows_or_reasons(body: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("x,y\n" + body, newline="")
    _, numbers, unread = read(DelimitedFile(path, "any.csv"))
    together = sorted([*numbers, *(row for row, _ in unread)])
    assert together == list(range(1, len(together) + 1))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str, write: Any) -> None:
    part = write(separator.join(["sku", '"a,b;c"', "名称"]) + "\n" + separator.join("123") + "\n")
    assert part.columns == ["sku", "a,b;c", "名称"]


def test_spreadsheet_and_gbk(write: Any) -> None:
    rows, _, _ = read(write("sep=;\r\nsku;名称\r\n1;衬衫\r\n2;红色连衣裙\r\n".encode("gbk")))
    assert rows == [{"sku": "1", "名称": "衬衫"}, {"sku": "2", "名称": "红色连衣裙"}]


def test_mixed_encodings_reject_their_lines(write: Any) -> None:
    data = "sku,title\n1,蓝色衬衫\n".encode() + "2,红色连衣裙\n".encode("gbk") + "3,书包\n".encode()
    part = write(data)
    rows, numbers, _ = read(part)
    assert ([row["title"] for row in rows], numbers) == (["蓝色衬衫", "书包"], [1, 3])
    (bad,) = next(iter(part.batches(part.columns))).unread
    assert (bad.row, bad.reason) == (2, "wrong encoding")
    assert bad.text.startswith("2 \\xba\\xec")


@pytest.mark.parametrize("text", ["", "\n\n", " \n"])
def test_an_empty_file_is_an_error(text: str, write: Any) -> None:
    for name in ("t.csv", "t.jsonl"):
        with pytest.raises(DataError, match="the file is empty"):
            write(text, name)


def test_csv_headers(write: Any) -> None:
    assert write(",b\n1,2\n").columns == ["column_1", "b"]
    assert read(write("a,b\n"))[0] == []
    with pytest.raises(DataError, match="the header cannot be read"):
        write("x" * 200_000 + "\n1\n")


def test_jsonl(write: Any) -> None:
    lines = [
        '{"item": "1", "price": 5, "tags": ["a", "b"], "more": {"x": 1}}',
        "",
        "{broken",
        "[1, 2]",
        '{"item": 2, "price": 5.5, "new": true}',
        '{"item": "3", "price": "free"}',
    ]
    part = write("\n".join(lines), "t.jsonl")
    assert part.columns == ["item", "price", "tags", "more", "new"]
    rows, numbers, unread = read(part)
    assert numbers == [1, 5, 6]
    assert [row["item"] for row in rows] == ["1", "2", "3"]
    assert [row["price"] for row in rows] == ["5", "5.5", "free"]
    assert rows[0]["tags"] == ["a", "b"] and json.loads(rows[0]["more"]) == {"x": 1}
    assert unread == [(3, "not JSON"), (4, "not a JSON object")]
    with pytest.raises(DataError, match="no line of the file is a JSON object"):
        write("[1]\n[2]\n", "t.jsonl")


@pytest.mark.parametrize(
    ("one", "other", "texts"),
    [
        ([["a"]], ["s"], ['["a"]', "s"]),
        ([["a"]], [[1]], ['["a"]', "[1]"]),
        ([{"a": 1}], [{"b": 2}], ['{"a": 1}', '{"b": 2}']),
        ([1.0], ["s"], ["1", "s"]),
        ([True], ["s"], ["true", "s"]),
        ([None], [["a"]], [None, ["a"]]),
        ([1], [2.5], [1.0, 2.5]),
    ],
)
def test_batches_of_several_types_are_one_column(one: list[Any], other: list[Any], texts: list[Any]) -> None:
    frames = [pl.DataFrame({"x": one}), pl.DataFrame({"x": other, "y": [1]})]
    assert joined_frames(frames)["x"].to_list() == texts
    assert joined_frames(frames[::-1])["x"].to_list() == texts[::-1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_jsonl_with_any_line_ends_and_marks(end: str, encoding: str, write: Any) -> None:
    rows, numbers, unread = read(write(end.join(['{"a": "é"}', '{"a": 2}', '{"a": "茶"}']).encode(encoding), "t.jsonl"))
    assert ([row["a"] for row in rows], numbers, unread) == (["é", "2", "茶"], [1, 2, 3], [])


def test_series_loses_nothing() -> None:
    assert series("x", [1, None, 2]).dtype == pl.Int64
    assert series("x", [1, 2.5]).to_list() == [1.0, 2.5]
    assert series("x", [2**70, 1]).to_list() == [str(2**70), "1"]
    assert series("x", [2**60 + 1, 2.5]).to_list() == [str(2**60 + 1), "2.5"]
    assert series("x", [2**60 + 1, None]).to_list() == [2**60 + 1, None]
    assert series("x", [1.0, "a", 2.5, 1e300]).to_list() == ["1", "a", "2.5", "1e+300"]
    assert series("x", [1, "a", None]).to_list() == ["1", "a", None]
    assert series("x", [datetime(2024, 1, 1), None]).dtype == pl.Datetime("us")
    assert series("x", [Decimal("7.00"), None, Decimal("8")]).to_list() == [7, None, 8]
    assert series("x", [Decimal("1.50"), None, Decimal("1E+999999")]).to_list() == [1.5, None, float("inf")]
    assert str(series("x", [Decimal("NaN")])[0]) == "nan"
    assert series("x", [Decimal("1.50"), "a"]).to_list() == ["1.50", "a"]
    assert series("x", [b"a", None]).dtype == pl.Binary
    key = UUID(int=7)
    assert series("x", [key, None]).to_list() == [str(key), None]
    assert series("x", [time(12, 30), None]).to_list() == ["12:30:00", None]
    assert series("x", [memoryview(b"a"), None]).to_list() == [b"a", None]
    assert series("x", [True, "a", {"b": 1}, ["c", 1]]).to_list() == ["true", "a", '{"b": 1}', '["c", 1]']
    assert series("x", [True, None]).dtype == pl.Boolean
    assert series("x", [["a"], []]).dtype == pl.List(pl.String)
    assert series("x", [None]).null_count() == 1


def test_parquet_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuwen.data.parquet.BATCH_BYTES", 100)
    table = pl.DataFrame({"item": [str(i) for i in range(1000)], "image": [bytes(10)] * 1000})
    table.write_parquet(tmp_path / "t.parquet")
    part = ParquetFile(tmp_path / "t.parquet", "t.parquet")
    batches = list(part.batches(["image", "item"]))
    assert len(batches) > 5 and part.rows == 1000
    assert pl.concat([b.frame for b in batches]).equals(table.select("image", "item"))
    assert pl.concat([b.rows for b in batches]).to_list() == list(range(1, 1001))


@pytest.mark.parametrize("cut", [0, 10, -10])
def test_damaged_parquet(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"item": [str(i) for i in range(1000)]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="Parquet" if cut else "the file is empty"):
        ParquetFile(path, "t.parquet")


def test_parquet_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"item": [f"{i * 7919 % 1000}" for i in range(1000)]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    with pytest.raises(DataError, match="the Parquet file is damaged"):
        read(ParquetFile(path, "t.parquet"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE goods (sku TEXT, name TEXT, price, photo BLOB)")
        rows = [("1", "a:b 50%", 1.5, b"x"), ("2", "衬衫", "free", None), ("3", None, None, b"y")]
        connection.executemany("INSERT INTO goods VALUES (?, ?, ?, ?)", rows)
    connection.close()
    return tmp_path


def test_sql(database: Path) -> None:
    part = Query("sqlite:///shop.db", "SELECT sku, name AS title, price, photo FROM goods ORDER BY sku", database)
    rows, numbers, _ = read(part)
    assert numbers == [1, 2, 3]
    assert rows[0] == {"sku": "1", "title": "a:b 50%", "price": "1.5", "photo": b"x"}
    assert rows[1]["price"] == "free" and rows[2]["title"] is None
    colons = Query("sqlite:///shop.db", "SELECT '12:30' AS item, name FROM goods WHERE name LIKE '%50%'", database)
    assert read(colons)[0] == [{"item": "12:30", "name": "a:b 50%"}]


def test_a_name_that_stands_twice_in_a_query_or_a_parquet_file(database: Path) -> None:
    part: Part = Query("sqlite:///shop.db", "SELECT sku, name AS sku FROM goods WHERE sku = '1'", database)
    assert read(part)[0] == [{"sku": "1", "sku_2": "a:b 50%"}]
    assert part.notes == ["sqlite:///shop.db: columns share a name; the later ones are read as 'sku_2'"]
    table = pa.table([pa.array(["1"]), pa.array(["x"]), pa.array([2])], names=["sku", "a", "a"])
    parquet.write_table(table, database / "t.parquet")
    part = ParquetFile(database / "t.parquet", "t.parquet")
    assert read(part)[0] == [{"sku": "1", "a": "x", "a_2": 2}]
    assert part.notes == ["t.parquet: columns share a name; the later ones are read as 'a_2'"]


def test_sql_faults(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, query, what in [
        ("sqlite:///no.db", "SELECT 1", "there is no such database"),
        ("sqlite:///shop.db", "SELECT * FROM nothing", "does not answer the query"),
        ("nonsense://x/y", "SELECT 1", "no driver"),
        ("not a url://", "SELECT 1", "not a database URL"),
    ]:
        with pytest.raises(DataError, match=what):
            Query(url, query, database)
    assert not (database / "no.db").exists()
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    with pytest.raises(DataError) as error:
        Query("postgresql://me:$SHOP_PASSWORD@127.0.0.1:1/shop", "SELECT 1", database)
    assert "s3cret" not in str(error.value)


def test_formats_and_patterns(tmp_path: Path) -> None:
    assert format_of("a.CSV", None) == "csv"
    assert format_of("a.dat", "jsonl") == "jsonl"
    assert format_of("postgresql://x/y", None) == "sql"
    with pytest.raises(DataError, match="format of the source"):
        format_of("a.xlsx", None)
    for name in ("b-2.csv", "b-1.csv", "items.csv"):
        (tmp_path / name).write_text("x")
    assert [name for _, name in files_of("b-*.csv", tmp_path)] == ["b-1.csv", "b-2.csv"]
    with pytest.raises(DataError, match="did you mean 'items"):
        files_of("itmes.csv", tmp_path)


def test_the_plan_of_columns() -> None:
    given_ = ["sku", "title", "photo1", "photo2", "colour"]
    made = plan(
        given_,
        TABLES["items"],
        "f",
        columns={"item": "sku", "images": ["photo1", "photo2"]},
        constants={"brand": "x"},
        keep="all",
    )
    assert made.names == {"item": ["sku"], "title": ["title"], "images": ["photo1", "photo2"], "colour": ["colour"]}
    assert plan(given_, TABLES["items"], "f", columns={"item": "sku"}, constants={}, keep="none").sources() == [
        "sku",
        "title",
    ]
    assert plan(given_, TABLES["items"], "f", columns={"item": "sku"}, constants={}, keep=["colour"]).sources() == [
        "sku",
        "title",
        "colour",
    ]


@pytest.mark.parametrize(
    ("columns", "keep", "what", "todo"),
    [
        ({"item": "skuu"}, "all", "'skuu', mapped to 'item', is not there", "did you mean 'sku'?"),
        ({}, "all", "no column gives 'item'", "columns: {item:"),
        ({"item": "sku", "title": ["title", "colour"]}, "all", "takes one column", ""),
        ({"item": "sku"}, ["colr"], "listed in keep, is not there", "did you mean 'colour'?"),
    ],
)
def test_a_column_that_is_not_there(columns: dict[str, Any], keep: Any, what: str, todo: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        plan(["sku", "title", "colour"], TABLES["items"], "f.csv", columns=columns, constants={}, keep=keep)
    assert error.value.where == "f.csv"
    assert todo in (error.value.todo or "")


@pytest.mark.parametrize(
    ("columns", "right"),
    [
        ({"name": "title"}, "write columns: {title: name}"),
        ({"sku": "item", "name": "title"}, "write columns: {item: sku, title: name}"),
        ({"item": "sku", "name": "title"}, "write columns: {title: name}"),
        ({"name": "images"}, "write columns: {images: name}"),
    ],
)
def test_a_mapping_the_other_way_round_is_named(columns: dict[str, Any], right: str) -> None:
    with pytest.raises(DataError, match="written the other way round") as error:
        plan(["sku", "name"], TABLES["items"], "f.csv", columns=columns, constants={}, keep="all")
    assert (error.value.where, error.value.todo) == ("f.csv", f"{right} in SHOP.yaml")


def test_a_known_column_under_a_name_of_the_shop_s_own_is_noted() -> None:
    given_ = ["item", "title", "name"]
    made = plan(given_, TABLES["items"], "f.csv", columns={"name": "title"}, constants={}, keep="all")
    assert "if 'name' is meant by it, write columns: {title: name}" in made.doubts[0]
    assert plan(given_, TABLES["items"], "f", columns={"kept": "title"}, constants={}, keep="all").doubts == []


def test_a_column_that_looks_like_a_slip_is_named() -> None:
    made = plan(["item", "titel", "weight"], TABLES["items"], "f.csv", columns={}, constants={}, keep="all")
    assert made.doubts == ["f.csv: the column 'titel' is kept as it is; if it is 'title', map it"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.jpg", ["a.jpg"]),
        (" a.jpg | b c.jpg ", ["a.jpg", "b c.jpg"]),
        ("a.jpg;b.jpg;", ["a.jpg", "b.jpg"]),
        ('["a.jpg", "b;c.jpg"]', ["a.jpg", "b;c.jpg"]),
        ("http://x/a.jpg;v=1?b|c", ["http://x/a.jpg;v=1?b|c"]),
        ("http://x/a.jpg; https://y/b.jpg", ["http://x/a.jpg", "https://y/b.jpg"]),
        ("http://x/a.jpg|https://y/b.jpg", ["http://x/a.jpg", "https://y/b.jpg"]),
        ("[not json", ["[not json"]),
        ("", []),
    ],
)
def test_references_in_one_cell(text: str, parts: list[str]) -> None:
    assert split(text) == parts


def test_references_of_a_row() -> None:
    frame = pl.DataFrame(
        {
            "one": ["a.jpg|b.jpg", None],
            "two": [["b.jpg", "c.jpg"], []],
            "raw": [b"jpeg", None],
            "struct": [{"bytes": b"jpeg", "path": None}, {"bytes": None, "path": "d.jpg"}],
        }
    )
    images, contents = references(frame, ["one", "two", "raw", "struct"])
    (reference,) = contents
    assert contents == {reference: b"jpeg"} and reference.startswith(BYTES)
    assert images.to_list() == [["a.jpg", "b.jpg", "c.jpg", reference], ["d.jpg"]]


@pytest.mark.parametrize(
    "query", ["DROP TABLE goods", "CREATE TABLE evil (a)", "DELETE FROM goods", "UPDATE goods SET name = 'x'"]
)
def test_a_query_cannot_change_the_shops_database(database: Path, query: str) -> None:
    before = (database / "shop.db").read_bytes()
    with pytest.raises(DataError):
        Query("sqlite:///shop.db", query, database)
    assert (database / "shop.db").read_bytes() == before


@pytest.mark.parametrize("separator", ['"', "'", "\\", "\n", "\r", "a", "7", "\0", "；"])
def test_what_cannot_separate_is_refused(separator: str, write: Any) -> None:
    with refused("'items.separator': "):
        Shop.from_written({"name": "s", "items": {"source": "i.csv", "separator": separator}}, {}, "SHOP.yaml")
    with refused("this cannot separate cells"):
        write("sku,name\n1,cup\n", separator=separator)


@pytest.mark.parametrize("separator", ['"', "a", "7"])
def test_a_line_that_announces_what_cannot_separate_says_nothing(separator: str, write: Any) -> None:
    assert write(f"sep={separator}\nsku,name\n1,cup\n").columns == ["sku", "name"]
