"""Runs that write themselves: what is composed of which columns, and what is left out with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from shops import png, refused
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.cli import app
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.workflow.column_roles import gives_away, role_of
from tuwen.workflow.composing import compose

ROWS = 120


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("composing")
    rng = np.random.default_rng(0)
    stars = rng.integers(1, 6, ROWS)
    pl.DataFrame(
        {
            "item": [f"i{i}" for i in range(30)],
            "title": [f"Fine porcelain teapot number {i}" for i in range(30)],
            "price": rng.random(30) * 50,
            "brand": [f"b{i % 5}" for i in range(30)],
            "barcode": [f"{40000000 + 7 * i}x" for i in range(30)],
            "images": [f"p{i % 3}.png" for i in range(30)],
        }
    ).write_parquet(folder / "items.parquet")
    for i, colour in enumerate(("red", "green", "blue")):
        (folder / f"p{i}.png").write_bytes(png(colour))
    pl.DataFrame(
        {
            "user": [f"u{i % 40}" for i in range(ROWS)],
            "item": [f"i{i}" for i in rng.integers(0, 30, ROWS)],
            "rating": stars,
            "points": 20 * stars,
            "verdict": ["poor" if s < 3 else "good" for s in stars],
            "text": [f"it is {'bad' if s < 3 else 'lovely'} and that is review {i}" for i, s in enumerate(stars)],
            "constant": ["same"] * ROWS,
        }
    ).write_parquet(folder / "reviews.parquet")
    (folder / "SHOP.yaml").write_text(
        "name: composing\nitems: {source: items.parquet}\nreviews: {source: reviews.parquet}\nrating_range: [1, 5]\n"
    )
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder / "dataset"


def test_every_column_that_may_tell_something_stands_in_the_run(dataset: Path) -> None:
    composition = compose(Dataset.open(dataset), "rating")
    run = composition.run
    assert run.task.options["target"] == "reviews.rating"
    assert run.task.use == "rate"
    assert run.fusion.use == "auto"
    columns = {name: modality.columns for name, modality in run.modalities.items()}
    assert columns["reviews-words"] == columns["reviews-meaning"] == ["reviews.text"]
    assert columns["items-picture"] == ["items.images"]
    assert columns["items-facts"] == ["items.price", "items.brand"]
    assert columns["reviews-facts"] == ["reviews.verdict", "reviews.user", "reviews.item"]
    assert [note.split(":")[0] for note in composition.notes] == ["reviews.points is left out"]


def test_what_was_composed_can_be_read_again(dataset: Path, tmp_path: Path) -> None:
    composition = compose(Dataset.open(dataset), "items.brand")
    path = workflow.write_composed(composition, tmp_path / "bundle")
    assert Run.read(path, []).plain() == composition.run.plain()
    path.write_text(path.read_text() + "seed: 3\n")
    with refused("another one"):
        workflow.write_composed(composition, tmp_path / "bundle")
    assert workflow.write_composed(composition, tmp_path / "bundle", replace=True).read_text() == composition.text


def test_an_encoder_that_takes_too_long_is_left_out_with_what_would_allow_it(dataset: Path) -> None:
    composition = compose(Dataset.open(dataset), "rating", minutes=0.001)
    assert not any(spec.encoder.use == "e5-small" for spec in composition.run.modalities.values())
    assert any("--minutes" in note for note in composition.notes)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("reviews.constant", "has one value"),
        ("items.barcode", "looks like an id"),
        ("ratting", "no column 'ratting'"),
        ("title", "looks like an id"),
        ("items.images", "no value to learn from"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(dataset: Path, target: str, what: str) -> None:
    with refused(what):
        compose(Dataset.open(dataset), target)


@pytest.mark.parametrize(
    ("values", "role"),
    [
        (["red", "blue"] * 20, "category"),
        ([f"a long sentence with words {i}" for i in range(40)], "text"),
        ([f"很好的商品质量不错值得购买{i}" for i in range(40)], "text"),
        ([f"A{i:05}" for i in range(40)], "none"),
        (["same"] * 40, "none"),
        ([None] * 40, "none"),
        (list(range(40)), "number"),
    ],
)
def test_roles(values: list[object], role: str) -> None:
    assert role_of(pl.Series("column", values), key=False) == role


def test_what_gives_the_target_away() -> None:
    rng = np.random.default_rng(1)
    truth = pl.Series(rng.integers(0, 5, 200))
    assert gives_away(truth * 3 + 1, truth)
    assert gives_away(truth.cast(pl.String).replace("1", "one"), truth)
    assert gives_away(pl.Series(rng.normal(size=200)), truth) is None
    assert gives_away(pl.Series([str(i) for i in range(200)]), truth) is None  # an id tells nothing of new rows


def test_one_command_trains_without_a_run(dataset: Path, tmp_path: Path) -> None:
    args = ["train", str(dataset), "--target", "verdict", "--out", str(tmp_path / "b"), "--minutes", "0.1", "--quiet"]
    result = CliRunner().invoke(app, [*args, "--set", "seed=1"])
    assert result.exit_code == 0, result.output
    bundle = Bundle.open(tmp_path / "b")
    assert (tmp_path / "b" / "RUN.yaml").is_file()
    answers = bundle.predict([{"reviews.text": "it is bad"}, {"reviews.text": "it is lovely"}])
    assert answers[0]["prediction"] != answers[1]["prediction"]


def test_a_run_and_a_target_are_too_much_and_neither_is_too_little(dataset: Path, tmp_path: Path) -> None:
    for arguments in ([str(dataset)], ["RUN.yaml", str(dataset), "--target", "rating"]):
        result = CliRunner().invoke(app, ["train", *arguments, "--out", str(tmp_path / "b")])
        assert result.exit_code == 2
        assert "todo" in result.output + result.stderr


@pytest.mark.parametrize("pandas", [False, True])
def test_three_lines_of_python(tmp_path: Path, pandas: bool) -> None:
    rng = np.random.default_rng(2)
    for i, colour in enumerate(("red", "blue")):
        (tmp_path / f"{i}.png").write_bytes(png(colour))
    kind = rng.integers(0, 2, 80)
    frame = pl.DataFrame(
        {
            "words": [f"a {'warm' if k else 'cold'} place to stay, number {i}" for i, k in enumerate(kind)],
            "photo": [f"{k}.png" for k in kind],
            "rooms": rng.integers(1, 5, 80),
            "rent": 500 + 300 * kind + rng.normal(size=80),
        }
    )
    if pandas:
        pytest.importorskip("pandas", reason="pandas is not installed")
    data = frame.to_pandas() if pandas else frame
    bundle = workflow.fit(data, target="rent", out=tmp_path / "bundle", root=tmp_path, minutes=0.1)
    warm, cold = bundle.predict([{"words": "a warm place"}, {"words": "a cold place"}])
    assert warm["prediction"] > cold["prediction"] + 150
