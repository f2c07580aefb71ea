"""Numbers, categories, lists and dates."""

import datetime
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import DataError
from tuwen.preprocess.table import Table


def fitted(frame: pl.DataFrame, **options) -> Table:
    table = Table(**options)
    table.fit(frame)
    return table


def test_numbers_are_centred_scaled_and_their_gaps_marked():
    frame = pl.DataFrame({"x": [1.0, 3.0, None, float("inf")]})
    arrays, present = fitted(frame).encode(frame)
    np.testing.assert_allclose(arrays["numbers"][:2], [[-1.0, 0], [1.0, 0]], atol=0.03)
    assert not arrays["numbers"][2:].any()  # the row's only column is missing: absent
    assert present.tolist() == [True, True, False, False]
    beside = frame.with_columns(y=pl.lit("a"))
    arrays, present = fitted(beside).encode(beside)
    assert arrays["numbers"][2].tolist() == [0, 1]
    assert present.all()


def test_texts_are_read_as_the_train_part_writes_them(tmp_path):
    train = pl.DataFrame({"x": ["1.299", "12,50", "3"], "d": ["05/03/2024", "31/12/2024", None]})
    plain = pl.DataFrame({"x": [1299.0, 12.5, 3.0], "d": ["2024-03-05", "2024-12-31", None]})
    table, other = (fitted(frame, numbers=["x"], dates=["d"]) for frame in (train, plain))
    np.testing.assert_array_equal(table.encode(train)[0]["numbers"], other.encode(plain)[0]["numbers"])
    table.save(tmp_path)
    alone = train.head(1)  # a row is read as in training, whatever stands beside it
    np.testing.assert_array_equal(
        Table.load(tmp_path).encode(alone)[0]["numbers"], other.encode(plain)[0]["numbers"][:1]
    )
    assert other.dialects == {} and Table.load(tmp_path).dialects == table.dialects


def test_one_absurd_number_does_not_flatten_the_rest():
    values = [*np.linspace(0, 100, 500), 1e12]
    frame = pl.DataFrame({"x": values})
    numbers = fitted(frame).encode(frame)[0]["numbers"][:, 0]
    assert numbers[499] - numbers[0] > 2
    assert numbers[500] == 5


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(10**9), 10**9)), min_size=1, max_size=20))
def test_any_numbers_give_finite_arrays(values):
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64, strict=False)})
    numbers = fitted(frame).encode(frame)[0]["numbers"]
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() <= 5


def test_categories_are_numbered_and_strangers_are_zero():
    frame = pl.DataFrame({"c": ["红", "blue", "红", None, " red ", "rare"]})
    table = fitted(frame.head(5), min_count=1)
    assert table.spec.sizes == (4,)
    ids = table.encode(frame)[0]["categories"][:, 0]
    assert len(set(ids[[0, 1, 4]])) == 3
    assert ids[0] == ids[2]
    assert ids[3] == ids[5] == 0
    assert fitted(frame, min_count=2).spec.sizes == (2,)


def test_lists_become_one_number_each():
    frame = pl.DataFrame({"genres": ["drama|war", "war", "", None, "comedy"]})
    table = fitted(frame, lists=["genres"], widest=2)
    assert table.fitted["lists"] == {"genres": ["war", "drama"]} or table.fitted["lists"]["genres"][0] == "war"
    arrays, present = table.encode(frame)
    assert arrays["numbers"][:, 0].tolist() == [1, 1, 0, 0, 0]
    assert present.tolist() == [True, True, False, False, True]
    polars_lists = pl.DataFrame({"genres": [["drama", "war"], ["war"], [], None, ["comedy"]]})
    assert fitted(polars_lists, widest=2).encode(polars_lists)[0]["numbers"].tolist() == arrays["numbers"].tolist()


def test_dates_are_read_in_every_dress_and_clocks_close():
    same = [
        "2021-06-05",
        "2021/06/05 00:00",
        "2021-06-05T00:00:00Z",
        "2021-06-05T08:00:00+08:00",
        " 2021-06-05 00:00:00 ",
    ]
    frame = pl.DataFrame({"d": [*same, "2020-12-31 23:59:59", "2021-01-01 00:00:00", "5th of June"]})
    arrays, present = fitted(frame, dates=["d"]).encode(frame)
    numbers = arrays["numbers"]
    assert (numbers[: len(same)] == numbers[0]).all()
    assert np.abs(numbers[5] - numbers[6]).max() < 0.9  # only the weekday turns a whole day
    assert np.abs(numbers[5, [0, 1, 2, 5, 6]] - numbers[6, [0, 1, 2, 5, 6]]).max() < 0.03
    assert present.tolist() == [True] * 7 + [False]
    typed = pl.DataFrame({"d": [datetime.datetime(2021, 6, 5)] * 5 + [None] * 3})
    assert fitted(typed).encode(typed)[0]["numbers"][0].tolist() == numbers[0].tolist()


def orders(*rows: tuple[str | None, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["paid", "promised", "delivered"], orient="row")


def test_the_days_between_every_two_dates_are_numbers_of_their_own(tmp_path):
    late = [("2024-03-01", f"2024-03-{10 + late:02}", "2024-03-12") for late in range(5)]
    frame = orders(*late, (None, "2024-03-12", "2024-03-12"), (None, None, None))
    table = fitted(frame, dates=["paid", "promised", "delivered"])
    numbers = table.encode(frame)[0]["numbers"]
    assert table.spec.shape == (3 * 7 + 3 * 2, 0) and numbers.shape == (7, 27)
    paid_promised, delay = numbers[:, 21:23], numbers[:, 25:27]
    assert np.diff(delay[:5, 0]) == pytest.approx(np.diff(delay[:5, 0])[0]) and delay[0, 0] > 0 > delay[4, 0]
    assert delay[5].tolist() == delay[2].tolist()  # the day of payment is no part of it
    assert paid_promised[5].tolist() == [0, 1] and not numbers[6].any()
    table.save(tmp_path)
    np.testing.assert_array_equal(Table.load(tmp_path).encode(frame)[0]["numbers"], numbers)
    hours = fitted(orders(*late), dates=["promised", "delivered"]).encode(
        orders(("", "2024-03-12 06:00", "2024-03-12T18:00+00:00"), ("", "2024-03-12 18:00", "2024-03-12 18:00"))
    )[0]["numbers"]
    assert hours[0, 14] - hours[1, 14] == pytest.approx(0.5 / np.std([0, 1, 2, 3, 4]), rel=0.05)


def test_one_date_seven_dates_and_an_older_state_have_no_days_between(tmp_path):
    frame = orders(("2024-03-01", "2024-03-10", "2024-03-12"))
    assert fitted(frame, dates=["paid"], categories=["promised", "delivered"]).spec.shape == (7, 2)
    seven = pl.DataFrame({f"d{i}": ["2024-03-01", "2024-04-01"] for i in range(7)})
    assert fitted(seven, dates=list(seven.columns)).spec.shape == (49, 0)
    six = seven.drop("d6")
    assert fitted(six, dates=list(six.columns)).spec.shape == (42 + 30, 0)
    fitted(frame, dates=["paid", "promised", "delivered"]).save(tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["fitted"]["days"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    old = Table.load(tmp_path)
    assert old.spec.shape == (21, 0) and old.encode(frame)[0]["numbers"].shape == (1, 21)


def test_kinds_are_guessed_once_and_replayed():
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [datetime.date(2020, 1, 1)] * 2, "d": [True, False]})
    table = fitted(frame)
    assert table.spec.shape == (2 + 7, 2)
    served = pl.DataFrame({"d": ["true", None], "b": ["y", "z"], "a": ["1", "oops"], "c": ["2020-01-01", None]})
    arrays, present = table.encode(served)
    np.testing.assert_array_equal(arrays["numbers"][0], table.encode(frame)[0]["numbers"][0])
    assert arrays["categories"].tolist() == [[2, 2], [0, 0]]
    assert present.tolist() == [True, True]


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="prize"):
        fitted(pl.DataFrame({"price": [1]}), numbers=["prize"])
    with pytest.raises(DataError, match="price"):
        fitted(pl.DataFrame({"price": [1]})).encode(pl.DataFrame({"x": [1]}))


def test_a_column_called_like_ours_is_no_trouble():
    frame = pl.DataFrame({"n": ["a", "b"], "value": ["c", "c"], "t": ["2020-01-01", None]})
    assert fitted(frame, dates=["t"]).encode(frame)[0]["categories"].tolist() == [[1, 1], [2, 1]]


def test_a_price_asked_about_reads_as_the_price_that_was_learned():
    table = fitted(pl.DataFrame({"price": [10.0, 20.0, 1299.0, 4.5]}), numbers=["price"])
    asked = pl.DataFrame({"price": ["10", "￥20", "¥1,299.00", "4,5元"]})
    told = table.encode(pl.DataFrame({"price": [10.0, 20.0, 1299.0, 4.5]}))[0]["numbers"]
    np.testing.assert_allclose(table.encode(asked)[0]["numbers"], told)


def test_a_date_asked_about_reads_as_the_date_that_was_learned():
    told = pl.DataFrame({"time": [datetime.datetime(2025, 1, 2)] * 5})
    table = fitted(told)
    expected = table.encode(told)[0]["numbers"]
    written = ["2025年1月2日", "2025/1/2", "1735776000", "1735776000000", "20250102"]
    for asked in (written, [1735776000] * 5, [1735776000.0] * 5, [1735776000000] * 5, [datetime.date(2025, 1, 2)] * 5):
        np.testing.assert_array_equal(table.encode(pl.DataFrame({"time": asked}))[0]["numbers"], expected)


WRITTEN_DATES = st.sampled_from(
    ["2025年1月2日", "1735776000", "2025/1/2", "2025-01-02T08:00:00+08:00", "soon", "", None]
)


@settings(max_examples=40)
@given(st.lists(WRITTEN_DATES, min_size=1, max_size=6))
def test_a_date_is_read_by_itself_whatever_stands_beside_it(values):
    table = fitted(pl.DataFrame({"d": ["2024-05-06"]}), dates=["d"])
    together = table.encode(pl.DataFrame({"d": pl.Series(values, dtype=pl.String)}))[0]["numbers"]
    alone = [table.encode(pl.DataFrame({"d": pl.Series([v], dtype=pl.String)}))[0]["numbers"][0] for v in values]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_a_category_of_whole_numbers_is_the_same_with_and_without_its_point():
    learned = pl.DataFrame({"c": [7.0, 8.5, None]})  # whole numbers beside a gap: what data frames make of integers
    table = fitted(learned, categories=["c"])
    assert table.encode(pl.DataFrame({"c": ["7", "7.0", "8.5", "8"]}))[0]["categories"][:, 0].tolist() == [
        *[table.encode(learned)[0]["categories"][0, 0]] * 2,
        table.encode(learned)[0]["categories"][1, 0],
        0,
    ]
    assert fitted(pl.DataFrame({"c": [7]}), categories=["c"]).encode(pl.DataFrame({"c": ["7.0"]}))[0]["categories"] == 1
