"""What the operator's page asks for: quantiles of a histogram, a report in short, who may see it, whom it names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation_tables import drawn_classes, drawn_rate
from test_evaluation_comparison_page import result_of
from tuwen.evaluation.baselines import trivial
from tuwen.evaluation.curves import curves
from tuwen.evaluation.outline import brief, outline
from tuwen.evaluation.report import build_report
from tuwen.service.guard import needed
from tuwen.service.measures import BUCKETS, Measures, quantile


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.01, 1))
@example(7, 24, 1 / 3)
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seed: int, rows: int, share: float) -> None:
    values = np.random.default_rng(seed).lognormal(-4, 2, rows)
    edges = (*BUCKETS, float("inf"))
    counted = {edge: float(np.sum(values <= edge)) for edge in edges}
    true = float(np.quantile(values, share, method="inverted_cdf"))
    top = next(edge for edge in edges if true <= edge)
    low = max((edge for edge in edges if edge < top), default=0.0)
    found = quantile(counted, share)
    assert found is not None and low <= found <= top


def test_a_quantile_of_nothing_is_none_and_beyond_the_last_edge_it_is_said_to_be_more() -> None:
    assert quantile({}, 0.5) is None and quantile({1.0: 0.0, float("inf"): 0.0}, 0.5) is None
    assert quantile({1.0: 0.0, float("inf"): 4.0}, 0.5) == float("inf")
    measures = Measures()
    for seconds in [0.004] * 96 + [30.0] * 4:
        measures.begin()
        measures.end("GET", "/v1/search", 200, seconds)
    told = measures.traffic()
    assert (told["p99"], told["beyond"]) == (BUCKETS[-1], ["p99"]) and told["p95"] < 0.01


def test_traffic_counts_what_shoppers_ask_and_not_what_the_page_itself_asks() -> None:
    measures = Measures()
    for route, status, seconds in (
        ("/v1/search", 200, 0.004),
        ("/v1/search", 500, 0.004),
        ("/v1/similar", 422, 0.2),
        ("/v1/operator/traffic", 200, 0.1),
        ("/web/shop.js", 200, 0.1),
    ):
        measures.begin()
        measures.end("GET", route, status, seconds)
    told = measures.traffic()
    assert [(row["route"], row["requests"], row["failed"]) for row in told["routes"]] == [
        ("/v1/search", 2, 1),
        ("/v1/similar", 1, 0),
    ]
    assert (told["requests"], told["failed"], told["under_way"]) == (3, 1, 0)
    assert told["p50"] == pytest.approx(0.005 * 0.75, rel=0.34) and 0.1 < told["p95"] <= 0.25


@pytest.mark.parametrize("task", ["rate", "classify"])
def test_a_report_in_short_says_everything_in_both_languages(task: str) -> None:
    part = np.array(["zh", "en"] * 60)
    if task == "rate":
        model, other = (drawn_rate(120, noise, seed, slice_language=part) for noise, seed in ((0.4, 1), (0.9, 2)))
    else:
        model, other = (drawn_classes(120, 4, sharp, seed, slice_language=part) for sharp, seed in ((2.5, 1), (0.9, 2)))
    baselines = {**trivial(model.frame["target"], model), "text_only": other}
    knocked = {"text": dict.fromkeys(("absent", "half", "swapped"), other)}
    report = build_report(model, baselines, knock_out=knocked, samples=50, cost={"train_seconds": 3.0})
    told = outline(report)
    assert told["metrics"][0]["metric"] == report["primary"] and len(told["metrics"]) == len(report["metrics"])
    first = told["metrics"][0]
    assert first["value"] == report["metrics"][report["primary"]]["value"] and first["low"] <= first["value"]
    assert {one["outcome"] for one in first["baselines"]} == {"better"}
    assert len(told["knock_out"]) == 3 and len(told["slices"]) == 2
    words = [
        *told["said"],
        *told["checks"],
        first["name"],
        first["meaning"],
        *(one["way"] for one in told["knock_out"]),
    ]
    assert all(one["en"] and one["zh"] for one in words)
    short = brief(report)
    assert (short["kind"], short["value"], short["low"]) == ("report", first["value"], first["low"])


def test_a_comparison_in_short_says_each_cell_beside_the_reference() -> None:
    result = result_of("classify")
    told, short = outline(result), brief(result)
    first = told["metrics"][0]
    assert told["kind"] == short["kind"] == "comparison" and first["metric"] == result["primary"] == short["primary"]
    assert [one["reference"] for one in first["cells"]] == [True, False, False]
    assert "difference" not in first["cells"][0] and first["cells"][2]["outcome"] == "worse"
    for one, cell in zip(first["cells"], result["cells"], strict=True):
        assert one["value"] == cell["metrics"][result["primary"]]["value"]
    assert (short["seeds"], short["alone"]) == (3, False) and brief(result_of("rate", ("sum",), failures=[]))["alone"]
    assert short["value"] == first["cells"][0]["value"] and told["failed"] == ["late"]
    assert [one["what"]["en"] for one in told["missing"]] == ["half without text", "all without text"]
    assert told["costs"][0]["values"][0] == {"en": "1.5 s", "zh": "1.5 秒"}


def test_learning_curves_know_both_parts_and_the_loss_comes_first() -> None:
    history = [
        {"epoch": i, "rmse": 1 / i, "train": {"loss": i, "seconds": 1}, "validation_loss": 2 * i} for i in (1, 2)
    ]
    loss, rmse = curves(history)
    assert (loss.name[0], loss.parts) == ("Loss", {"train": [1, 2], "validation": [2, 4]})
    assert rmse.parts == {"validation": [1, 0.5]} and rmse.epochs == [1, 2]
    assert curves(history[:1]) == curves([]) == []


@pytest.mark.parametrize("path", ["data", "report", "report/stars/page", "traffic", "revisions"])
def test_only_operators_see_it(path: str) -> None:
    assert needed("GET", f"/v1/operator/{path}") == "operator"
    assert (
        needed("GET", "/v1/users") == needed("GET", "/v1/report/stars") == "operator"
        and needed("GET", "/v1/shop") == "shop"
    )
    assert needed("GET", "/operator") == "nobody"  # the page itself tells nothing
