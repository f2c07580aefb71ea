"""Collect and rows: what cannot be used is told with its place, and the good rest is kept."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from shops import NO_TEXT_FILES, Desk, jpeg, refused
from tuwen.data.blanks import blank_rows
from tuwen.data.sources import format_of, open_file
from tuwen.errors import DataError

ITEMS = {"source": "items.csv"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_ratings_out_of_range_and_absurd_numbers(desk: Desk) -> None:
    stars = ["5", "1", "5.5", "0", "NaN", "inf", "-inf", "1e300", "five", ""]
    desk.write("reviews.csv", "rating,text\n" + "".join(f"{s},t{i}\n" for i, s in enumerate(stars)))
    manifest = desk.collect(reviews={"source": "reviews.csv"}, rating_range=[1, 5])
    assert desk.dataset().table("reviews")["rating"].to_list() == [5.0, 1.0, None]
    assert manifest["tables"]["reviews"]["reasons"] == {
        "not a finite number": 3,
        "not a number": 1,
        "number out of range": 3,
    }
    wide = desk.collect(reviews={"source": "reviews.csv"})
    assert wide["tables"]["reviews"]["rows"] == 5


def test_an_optional_value_that_cannot_be_read_empties_its_cell_and_keeps_the_row(desk: Desk) -> None:
    desk.write("more.csv", "item,title,price\n7,帽子,12元起\n8,鞋,$3\n")
    lines = ["1,a,￥12", '2,b,"¥1,299.00"', "3,c,free", "4,d,-1", "5,e,NaN", "6,f,12元", ",g,dear"]
    desk.write("items.csv", "item,title,price\n" + "\n".join(lines) + "\n")
    desk.write("reviews.csv", "item,time,rating\n1,soon,4\n1,2024-01-01,four\n1,2024-01-01,４\n")
    shop = {"items": {"source": "[im]*.csv"}, "reviews": {"source": "reviews.csv"}}
    manifest = desk.collect(**shop)
    items = desk.dataset().table("items")
    assert items["item"].to_list() == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert items["price"].to_list() == [12.0, 1299.0, None, None, None, 12.0, None, 3.0]
    assert desk.dataset().table("reviews").select("time", "rating").rows() == [
        (None, 4.0),
        (datetime(2024, 1, 1), 4.0),
    ]
    assert desk.dataset().rejected().select("file", "row", "column", "seen").rows() == [
        ("items.csv", 7, "item", None),
        ("reviews.csv", 2, "rating", "four"),
    ]
    assert (
        "items: 4 values of 'price' could not be used and are left empty (2 not a number, 1 number out of range, "
        "1 not a finite number); the first: items.csv, row 3, 'free'"
    ) in manifest["warnings"]
    assert "reviews: 1 values of 'time'" in "".join(manifest["warnings"])
    assert desk.collect(**shop)["warnings"] == manifest["warnings"]  # also where the table is not read again


def test_a_mapping_to_nearly_a_known_name_is_noted_and_others_are_not(desk: Desk) -> None:
    for part in ("a", "b"):
        desk.write(f"{part}.csv", f"id,comment,note,sort\n{part},很好,x,y\n")
    columns = {"review": "id", "txt": "comment", "remark": "note"}
    manifest = desk.collect(reviews={"source": "?.csv", "columns": columns, "constants": {"tittle": "z"}, "keep": []})
    assert desk.dataset().table("reviews").columns == ["review", "txt", "remark", "tittle"]
    assert manifest["warnings"] == [
        "reviews: 'txt' is kept as a column of the shop's own; did you mean 'text'?",
        "reviews: 'tittle' is kept as a column of the shop's own; did you mean 'title'?",
    ]
    columns = {"review": "id", "txt": "comment", "text": "note"}  # text is there: txt is meant
    assert desk.collect(reviews={"source": "?.csv", "columns": columns, "keep": []})["warnings"] == []


def test_utf8_said_of_a_gbk_file_says_what_to_say_instead(desk: Desk) -> None:
    advice = "leave 'encoding' out of SHOP.yaml, or say gb18030"
    source = {"source": "items.csv", "encoding": "utf-8"}
    lines = [f"{i},蓝色衬衫和红色的连衣裙" for i in range(5)]
    desk.write("items.csv", "\n".join(["item,title", *lines]) + "\n", "gbk")
    with refused("no row of items is good") as caught:
        desk.collect(items=source)
    assert caught[0].todo is not None and caught[0].todo.startswith(f"{advice}; look at items.csv, row 1: ")
    desk.write("items.csv", "\n".join(["item,标题", *lines]) + "\n", "gbk")
    with refused("the header is not in utf-8") as caught:
        desk.collect(items=source)
    assert caught[0].todo == advice
    desk.write("items.csv", "\n".join(["item,title", *lines, "9,plain"]) + "\n", "gbk")
    warnings = desk.collect(items=source)["warnings"]
    assert warnings == [f"items.csv: 5 lines are not in utf-8, as SHOP.yaml has it; {advice}"]
    mixed = "\n".join(["item,title", *lines, ""]).encode() + "9,红色连衣裙\n".encode("gbk")
    desk.write("items.csv", mixed)  # it is UTF-8, but for one line: the setting is right
    assert desk.collect(items=source)["warnings"] == []


def test_duplicate_keys(desk: Desk) -> None:
    desk.write("items.csv", "item,title\n1,a\n2,b\n1,c\n 1 ,d\n")
    manifest = desk.collect(items=ITEMS)
    assert desk.dataset().table("items")["title"].to_list() == ["a", "b"]
    assert manifest["tables"]["items"]["reasons"] == {"duplicate key": 2}
    assert desk.dataset().rejected()["row"].to_list() == [3, 4]


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["4.00638E+12", "4.00638E+12", "4.00639E+12"], "4.00638E+12"),
        (["4,00638E+12", "4,00638E+12", "4,00639E+12"], "4,00638E+12"),
        (["4e+12", "4e+12", "5e+12"], "4e+12"),
        (["4006380000000", "4006380000000", "4006390000000"], "4006380000000"),
        (["4006381333931000", "4006381333931000", "4006381333932000"], "4006381333931000"),
    ],
)
def test_keys_that_a_spreadsheet_rounded_are_told(keys: list[str], shown: str, desk: Desk) -> None:
    desk.write("items.csv", "item;title\n" + "".join(f"{key};{i}\n" for i, key in enumerate(keys)))
    manifest = desk.collect(items=ITEMS)
    assert manifest["tables"]["items"]["reasons"] == {"duplicate key, rounded by a spreadsheet": 1}
    assert manifest["warnings"] == [
        f"items: 3 values of 'item' look rounded by a spreadsheet, as '{shown}'; their last digits are lost, and equal "
        "ones may be different; export 'item' as text"
    ]


def test_keys_that_only_look_like_rounded_ones(desk: Desk) -> None:
    desk.write("items.csv", "item\n1E5\n2E3\n1E5\n4006380000000\n4006381333931\n4006381333932\n100\n")
    manifest = desk.collect(items=ITEMS)
    assert manifest["tables"]["items"]["reasons"] == {"duplicate key": 1} and manifest["warnings"] == []


def test_reviews_without_an_id_keep_even_what_stands_twice(desk: Desk) -> None:
    desk.write("reviews.csv", "text,label\n很好,1\n很好,1\n不好,0\n")
    desk.collect(reviews={"source": "reviews.csv"})
    ids = desk.dataset().table("reviews")["review"].to_list()
    assert len(set(ids)) == 3 and ids[1] == ids[0] + "-2"
    desk.write("reviews.csv", "label,text,new\n1,很好,x\n0,不好,y\n")
    desk.collect(reviews={"source": "reviews.csv"})
    assert desk.dataset().table("reviews")["review"].to_list() == [ids[0], ids[2]]


def test_events_need_all_keys_and_may_be_summed(desk: Desk) -> None:
    lines = ["u,1,2024-01-01,2.5", "u,1,2024-01-01,", "u,2,2024-01-01,1", ",1,2024-01-01,1", "u,1,soon,1"]
    desk.write("events.csv", "user,item,time,value\n" + "\n".join(lines) + "\n")
    source = {"source": "events.csv", "constants": {"kind": "purchase"}}
    manifest = desk.collect(events=source)
    assert manifest["tables"]["events"]["reasons"] == {"duplicate key": 1, "missing key": 1, "not a date": 1}
    manifest = desk.collect(events={**source, "duplicates": "sum"})
    events = desk.dataset().table("events")
    assert events.select("item", "quantity", "value").rows() == [("1", 2.0, 2.5), ("2", 1.0, 1.0)]
    assert events["kind"].to_list() == ["purchase"] * 2
    about = manifest["tables"]["events"]
    assert (about["rows"], about["rejected"], about["merged"], about["read"]) == (2, 2, 1, 5)


def test_a_text_of_a_megabyte_and_emoji_only(desk: Desk) -> None:
    desk.write("items.csv", f"item,title\n1,{'很' * 400_000}\n2,😀😀😀\n3,\n")
    manifest = desk.collect(items=ITEMS)
    titles = desk.dataset().table("items")["title"].to_list()
    assert titles == ["很" * 100_000, "😀😀😀", None]
    assert manifest["tables"]["items"]["languages"] == {"zh": 1, "none": 2}
    assert "items: 1 texts were longer than 100,000 characters and were cut" in manifest["warnings"]


def test_mixed_encodings_lose_only_their_rows(desk: Desk) -> None:
    data = "item,title\n1,蓝色衬衫\n".encode() + "2,红色连衣裙\n".encode("gbk") + "3,书包\n".encode()
    desk.write("items.csv", data)
    desk.collect(items=ITEMS)
    assert desk.dataset().table("items")["title"].to_list() == ["蓝色衬衫", "书包"]
    (bad,) = desk.dataset().rejected().to_dicts()
    assert (bad["file"], bad["row"], bad["reason"]) == ("items.csv", 2, "wrong encoding")
    assert "\\xba\\xec" in bad["seen"] and json.loads(bad["record"])["text"] == bad["seen"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_shop_s_own_columns_stay_what_they_are(form: str, desk: Desk) -> None:
    rows = [
        {"item": "1", "model": "1E5", "shade": "90.750", "ean": "00123", "long": "12345678901234567890", "n": "7"},
        {"item": "2", "model": "2E3", "shade": "90.75", "ean": "4567", "long": "1", "n": "8"},
    ]
    lines = [",".join(row) for row in (rows[0], *(row.values() for row in rows))]
    desk.write("items.csv", "\n".join(lines))
    desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    desk.collect(items={"source": f"items.{form}"})
    assert desk.dataset().table("items").to_dicts() == [{**row, "n": int(row["n"])} for row in rows]


def test_long_numbers_of_json_stay_whole(desk: Desk) -> None:
    numbers = ["12345678901234567890", "9007199254740993", "7"]
    desk.write("items.jsonl", "".join(f'{{"item": {n}, "code": {n}}}\n' for n in numbers))
    desk.collect(items={"source": "items.jsonl"})
    assert desk.dataset().table("items").rows() == [(n, n) for n in numbers]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_columns_do_not_depend_on_how_files_are_cut(size: int, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [1, 2.5, "x", True, ["a"], None, 3.0, {"b": 1}, 2**70, ["a", 1]]
    for module in ("jsonlines", "delimited", "parquet"):
        monkeypatch.setattr(f"tuwen.data.{module}.BATCH_ROWS", size)
    monkeypatch.setattr("tuwen.data.sql.ROWS", size)
    rows = [
        {"item": str(i), "any": value, "number": v} for i, (value, v) in enumerate(zip(values, range(10), strict=True))
    ]
    desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    desk.collect(items={"source": "items.jsonl"})
    texts = ["1", "2.5", "x", "true", '["a"]', None, "3", '{"b": 1}', str(2**70), '["a", 1]']
    table = desk.dataset().table("items")
    assert table["any"].to_list() == texts and table["number"].to_list() == list(range(10))
    with sqlite3.connect(desk.shop / "shop.db") as connection:
        connection.execute("CREATE TABLE items (item, any)")
        scalars = [1, 2.5, None, 3.0, "x", 2**60 + 1]
        connection.executemany("INSERT INTO items VALUES (?, ?)", [(str(i), v) for i, v in enumerate(scalars)])
    connection.close()
    desk.collect(items={"source": "sqlite:///shop.db", "query": "SELECT * FROM items"})
    assert desk.dataset().table("items")["any"].to_list() == ["1", "2.5", None, "3", "x", str(2**60 + 1)]


def test_columns_of_bytes_that_nobody_asked_for_stay_out(desk: Desk) -> None:
    pl.DataFrame({"item": ["1"], "image": [jpeg(1)], "size": [3]}).write_parquet(desk.shop / "items.parquet")
    manifest = desk.collect(items={"source": "items.parquet"})
    assert desk.dataset().table("items").columns == ["item", "size"]
    assert any("'image' holds bytes" in warning for warning in manifest["warnings"])


def test_columns_of_every_type_are_kept_or_rejected_without_a_crash(desk: Desk) -> None:
    rows = {
        "item": ["1", None],
        "price": [1.5, -1.0],
        "a_list": [["x"], []],
        "a_struct": [{"x": 1}, None],
        "a_time": [time(12, 30), None],
        "a_day": [date(2024, 1, 1), None],
        "a_while": [timedelta(seconds=5), None],
        "a_money": [Decimal("1.50"), None],
        "a_moment": [datetime(2024, 1, 1, tzinfo=UTC), None],
        "some_bytes": [[b"x"], None],
        "nothing": [None, None],
    }
    frame = pl.DataFrame(rows).with_columns(pl.Series("a_kind", ["x", "y"], pl.Categorical))
    frame.write_parquet(desk.shop / "items.parquet")
    desk.collect(items={"source": "items.parquet"})
    schema = desk.dataset().table("items").schema
    assert schema["a_money"] == pl.Float64 and schema["a_moment"] == pl.Datetime("us") and schema["a_kind"] == pl.String
    assert "some_bytes" not in schema and len(schema) == 11
    (bad,) = desk.dataset().rejected().to_dicts()
    assert bad["reason"] == "missing key" and json.loads(bad["record"])["price"] == -1.0


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet", "sqlite:///shop.db"])
@pytest.mark.parametrize("keyed", [True, False])
def test_blank_rows_are_left_out_and_counted(keyed: bool, name: str, desk: Desk) -> None:
    columns = ["review", "item", "rating", "text"] if keyed else ["item", "rating", "text"]
    rows = [["1", "5", "good"], [None, None, None], ["2", "4", "fine"], ["", None, " "], [" ", "", "\u3000"]]
    rows = [[str(i) if row[0] in ("1", "2") else None, *row] if keyed else row for i, row in enumerate(rows)]
    if name.endswith("csv"):
        lines = [",".join(cell or "" for cell in row) for row in rows]
        desk.write(name, "\n".join([",".join(columns), *lines]) + "\n")
    elif name.endswith("jsonl"):
        desk.write(name, "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    elif name.endswith("parquet"):
        pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row").write_parquet(desk.shop / name)
    else:
        with sqlite3.connect(desk.shop / "shop.db") as database:
            database.execute(f"CREATE TABLE reviews ({', '.join(columns)})")
            database.executemany(f"INSERT INTO reviews VALUES ({', '.join('?' * len(columns))})", rows)
    query = {"query": "SELECT * FROM reviews"} if "://" in name else {}
    manifest = desk.collect(reviews={"source": name, **query})
    assert desk.dataset().table("reviews")["text"].to_list() == ["good", "fine"]
    assert manifest["tables"]["reviews"]["rejected"] == 0
    assert "reviews: 3 blank rows are left out" in manifest["warnings"]


def test_blank_rows_of_any_length_and_of_columns_that_are_not_kept(desk: Desk) -> None:
    lines = ["1,cup,3,red", ",,,,", " ,", ",,", ",,,blue", "2,pot,4,"]
    desk.write("items.csv", "item,title,price,colour\n" + "\n".join(lines) + "\n")
    manifest = desk.collect(items={"source": "items.csv", "keep": "none"})
    assert desk.dataset().table("items")["item"].to_list() == ["1", "2"]
    assert "items: 3 blank rows are left out" in manifest["warnings"]
    assert desk.dataset().rejected().select("row", "reason").rows() == [(5, "missing key")]


def test_a_table_of_blank_rows_only(desk: Desk) -> None:
    desk.write("items.csv", "item,title\n,\n , \n")
    with refused("blank rows only"):
        desk.collect(items={"source": "items.csv"})


def test_a_review_that_says_nothing_is_rejected(desk: Desk) -> None:
    lines = ["1,4,,,", "1,,good,,", "1,,,fine,", "1,,,,a.jpg", "1,, , ,", "2,,,,"]
    desk.write("reviews.csv", "item,rating,title,text,images\n" + "\n".join(lines) + "\n")
    manifest = desk.collect(reviews={"source": "reviews.csv"})
    assert manifest["tables"]["reviews"]["rows"] == 4
    assert desk.dataset().rejected().select("row", "column", "reason").rows() == [
        (5, "text", "a review that says nothing"),
        (6, "text", "a review that says nothing"),
    ]
    desk.write("reviews.csv", "user,item\nann,1\n")  # that somebody reviewed it at all
    assert desk.collect(reviews={"source": "reviews.csv"})["tables"]["reviews"]["rows"] == 1


def _binaries() -> dict[str, bytes]:
    workbook, table = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(workbook, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    pl.DataFrame({"item": ["1"]}).write_parquet(table)
    return {
        "workbook": workbook.getvalue(),
        "old": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        "parquet": table.getvalue(),
        "gzip": gzip.compress(b"item,title\n1,cup\n"),
    }


@pytest.mark.parametrize("encoding", [None, "utf-8", "gb18030"])
@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.txt"])
@pytest.mark.parametrize(
    ("kind", "what", "todo"),
    [
        ("workbook", "an Excel workbook or a ZIP archive", "save the sheet as CSV"),
        ("old", "an old Excel workbook", "save the sheet as CSV"),
        ("parquet", "a Parquet file", "format: parquet"),
        ("gzip", "a gzip archive", "unpack it"),
    ],
)
def test_a_binary_file_under_the_name_of_a_text_file(
    kind: str, what: str, todo: str, name: str, encoding: str | None, desk: Desk
) -> None:
    desk.write(name, _binaries()[kind])
    with refused(what) as caught:
        desk.collect(items={"source": name, **({"encoding": encoding} if encoding else {})})
    assert todo in str(caught[0].todo) and "\0" not in str(caught[0])
    with pytest.raises(DataError, match=what):  # as update and predict read it
        open_file(desk.shop / name, name, format_of(name, None))


def test_a_column_may_be_called_as_a_parquet_file_begins(desk: Desk) -> None:
    desk.write("items.csv", "PAR1,item\na,1\n")
    desk.collect(items={"source": "items.csv"})
    assert desk.dataset().table("items")["PAR1"].to_list() == ["a"]


def test_blank_cells_of_every_type() -> None:
    cells = {
        "texts": pl.Series([["", " "], ["a"]]),
        "bytes": pl.Series([b"", b"a"]),
        "number": pl.Series([float("nan"), 0.0]),
        "category": pl.Series([" ", "a"], dtype=pl.Categorical),
        "record": pl.Series([{"a": None, "b": ""}, {"a": 1, "b": None}]),
        "list": pl.Series([[], [1]]),
    }
    for name, values in cells.items():
        assert blank_rows(values.alias(name).to_frame()).to_list() == [True, False], name
    assert blank_rows(pl.DataFrame(cells)).to_list() == [True, False]


@pytest.mark.parametrize("name", ["items.csv", "items.tsv", "items.jsonl"])
@pytest.mark.parametrize(("data", "what"), NO_TEXT_FILES.values(), ids=NO_TEXT_FILES)
def test_what_is_no_text_is_named_whatever_its_ending(name: str, data: bytes, what: str, desk: Desk) -> None:
    desk.write(name, data)
    with refused(what) as caught:
        desk.collect(items={"source": name})
    assert caught[0].todo
