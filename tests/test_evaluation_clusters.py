"""The design effect of rows that belong together."""

import numpy as np
import pytest

from tuwen.evaluation.clusters import clustered, design_effect


@pytest.mark.parametrize("size", [2, 5, 20])
def test_copies_of_a_row_count_once(size):
    values = np.repeat(np.random.default_rng(0).normal(size=40), size)
    assert design_effect(values, np.repeat(np.arange(40), size)) == pytest.approx(size)


def test_rows_that_have_nothing_to_do_with_each_other_have_the_effect_one():
    rng = np.random.default_rng(1)
    effects = [design_effect(rng.normal(size=600), rng.integers(0, 30, 600)) for _ in range(40)]
    assert 1.0 <= np.mean(effects) < 1.3


def test_a_group_that_explains_nothing_is_not_chosen():
    rng = np.random.default_rng(2)
    chosen = 0
    for seed in range(40):
        groups = {"a": rng.integers(0, 12, 400), "b": np.arange(400) // 2}
        chosen += clustered([rng.normal(size=400)], groups, seed) is not None
    assert chosen <= 2


def test_the_group_with_the_largest_effect_is_chosen():
    rng = np.random.default_rng(3)
    shop = rng.integers(0, 15, 500)
    values = rng.normal(size=15)[shop] + rng.normal(0, 0.5, 500)
    found = clustered([values], {"noise": rng.integers(0, 15, 500), "shop": shop, "pair": np.arange(500) // 2})
    assert found is not None and (found.column, found.groups) == ("shop", 15) and found.effect > 10
