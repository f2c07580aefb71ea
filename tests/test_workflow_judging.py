"""Another row's modality is another row's, and the same one every time."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tuwen.workflow.judging import swapped


@given(rows=st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=60, unique=True), seed=st.randoms())
def test_no_row_keeps_its_own_and_none_is_used_twice(rows, seed):
    other = swapped(pl.Series("row", rows))
    assert sorted(other) == list(range(len(rows)))
    assert all(other[i] != i for i in range(len(rows)))
    partner = {row: rows[other[i]] for i, row in enumerate(rows)}
    seed.shuffle(rows)  # whose it is depends on the rows, not on their order
    assert {row: rows[j] for row, j in zip(rows, swapped(pl.Series("row", rows)), strict=True)} == partner
