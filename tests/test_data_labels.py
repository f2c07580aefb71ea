"""``rows.labels``: fewer labels are a part of more, every class keeps some, and nothing else about the rows changes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen import workflow
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import labelled
from tuwen.data.sample import write_sample_shop
from tuwen.errors import ConfigError
from tuwen.workflow.gathering import gather

rows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=120)
shares = st.floats(0.001, 1.0)


def kept(drawn: list[tuple[int, int]], share: float) -> np.ndarray:
    content, labels = zip(*drawn, strict=True)
    return labelled(pl.Series(map(str, content)), pl.Series(labels), share)


@given(drawn=rows, one=shares, other=shares)
@settings(max_examples=100)
def test_a_smaller_share_lies_inside_a_larger_one(drawn, one, other) -> None:
    small, large = kept(drawn, min(one, other)), kept(drawn, max(one, other))
    assert not (small & ~large).any()
    assert kept(drawn, 1.0).all()


@given(drawn=rows, share=shares)
@settings(max_examples=100)
def test_every_class_keeps_its_share_and_at_least_one_row(drawn, share) -> None:
    labels, chosen = np.array([label for _, label in drawn]), kept(drawn, share)
    for label in set(labels.tolist()):
        of, left = (labels == label).sum(), chosen[labels == label].sum()
        assert left == max(1, np.floor(share * of + 0.5))


@given(drawn=st.lists(st.tuples(st.integers(), st.integers(0, 4)), min_size=1, max_size=60, unique_by=lambda r: r[0]))
@settings(max_examples=50)
def test_the_choice_does_not_depend_on_the_order_of_the_rows(drawn) -> None:
    turned = drawn[::-1]
    assert kept(drawn, 0.3).tolist() == kept(turned, 0.3)[::-1].tolist()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(folder, items=40, seed=1)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


def test_a_run_with_fewer_labels_keeps_its_test_part_and_its_modalities(shop, tmp_path) -> None:
    dataset, quick = Dataset.open(shop / "dataset"), ["training.epochs=1", "modalities.picture.size=32"]
    runs = [Run.read(shop / "RUN.yaml", [*quick, f"rows.labels={share}"]) for share in (1, 0.1, 0.01)]
    all_, tenth, hundredth = (gather(run, dataset) for run in runs)
    for fewer in (tenth, hundredth):
        assert fewer.frame["row"].equals(all_.frame["row"])
        for part in ("validation", "test"):
            assert fewer.rows(part).tolist() == all_.rows(part).tolist()
        assert fewer.fitting.tolist() == all_.rows("train").tolist()
    assert "unlabelled" not in all_.counts()
    assert tenth.counts()["train"] == round(0.1 * all_.counts()["train"])
    assert set(hundredth.rows("train")) < set(tenth.rows("train")) < set(all_.rows("train"))
    states = []
    for i, run in enumerate(runs[:2]):
        bundle = workflow.train(run, dataset, tmp_path / str(i))
        states.append((bundle / "modalities" / "text" / "state.json").read_text(encoding="utf-8"))
    assert states[0] == states[1]  # the words of the rows without labels are read too


@pytest.mark.parametrize("share", ["0", "1.1", "-1", "few"])
def test_a_share_that_is_none_is_refused(shop, share) -> None:
    with pytest.raises(ConfigError, match=r"rows\.labels"):
        Run.read(shop / "RUN.yaml", [f"rows.labels={share}"])
