"""Tables of predictions: what is refused, and that a file gives back what was written."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from evaluation_tables import binary, classify, drawn_binary, drawn_classes, rate
from tuwen.errors import DataError
from tuwen.evaluation.predictions import Predictions, check_same_rows

RATE = {"row": ["a", "b"], "target": [1.0, 2.0], "prediction": [1.5, 2.0]}
BINARY = {"row": ["a", "b"], "target": [0, 1], "prediction": [0, 1], "probability": [0.2, 0.9]}
CLASSIFY = {
    "row": ["a", "b"],
    "target": ["x", "y"],
    "prediction": ["x", "x"],
    "probabilities": [[0.9, 0.1], [0.6, 0.4]],
}


@pytest.mark.parametrize(
    ("task", "values", "says"),
    [
        ("rate", RATE | {"prediction": [float("nan"), 1.0]}, "row 'a', column 'prediction'"),
        ("rate", RATE | {"target": [1.0, float("inf")]}, "row 'b', column 'target'"),
        ("rate", RATE | {"target": [None, 1.0]}, "'target' is empty"),
        ("rate", RATE | {"target": ["one", "two"]}, "not a number"),
        ("rate", RATE | {"row": ["a", "a"]}, "stands twice"),
        ("rate", {"row": ["a"], "target": [1.0]}, "a column is missing"),
        ("rate", {"row": [], "target": [], "prediction": []}, "no predictions to evaluate"),
        ("binary", BINARY | {"target": [0, 2]}, "neither 0 nor 1"),
        ("binary", BINARY | {"probability": [0.2, 1.2]}, "not between 0 and 1"),
        ("binary", RATE, "a column is missing"),
        ("classify", CLASSIFY | {"prediction": ["x", "z"]}, "not one of the classes"),
        ("classify", CLASSIFY | {"probabilities": [[0.9, 0.3], [0.6, 0.4]]}, "do not make 1"),
        ("classify", CLASSIFY | {"probabilities": [[0.9, float("nan")], [0.6, 0.4]]}, "do not make 1"),
        ("classify", CLASSIFY | {"probabilities": [[0.9], [0.6]]}, "one probability for each class"),
        ("rank", RATE, "unknown task"),
    ],
)
def test_bad_tables_are_refused_with_the_place(task: str, values: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Predictions(task, pl.DataFrame(values), ("x", "y") if task == "classify" else ())  # type: ignore[arg-type]


def test_classes_are_needed_once_each() -> None:
    with pytest.raises(DataError, match="names of its classes"):
        Predictions("classify", pl.DataFrame(CLASSIFY), ("x", "x"))
    with pytest.raises(DataError, match="two classes"):
        Predictions("binary", pl.DataFrame(BINARY), ("no", "maybe", "yes"))


@pytest.mark.parametrize(
    "predictions",
    [
        rate([1, 2, 3], [1, 2, 2.5], slice_language=["zh", "en", None]),
        binary([0, 1, 1], [0.1, 0.4, 0.9]),
        classify([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]], ("衣服", "shoes", "c")),
    ],
    ids=["rate", "binary", "classify"],
)
def test_a_file_gives_back_what_was_written(predictions: Predictions, tmp_path) -> None:
    path = tmp_path / "new" / "predictions.parquet"
    predictions.write(path)
    back = Predictions.read(path)
    assert (back.task, back.classes) == (predictions.task, predictions.classes)
    assert back.frame.equals(predictions.frame)
    assert [p.name for p in path.parent.iterdir()] == ["predictions.parquet"]


def test_other_files_are_refused(tmp_path) -> None:
    pl.DataFrame(RATE).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    for name in ("other.parquet", "text.parquet", "absent.parquet"):
        with pytest.raises(DataError, match=name):
            Predictions.read(tmp_path / name)


def test_a_class_that_was_never_learned_has_probability_0() -> None:
    frame = pl.DataFrame(CLASSIFY | {"target": ["x", "new"]})
    predictions = Predictions("classify", frame, ("x", "y"))
    assert predictions.labels == ("x", "y", "new")
    assert predictions.target.tolist() == [0, 2]
    assert predictions.probabilities[:, 2].tolist() == [0.0, 0.0]


def test_probabilities_of_a_half_precision_network_are_scaled_to_1() -> None:
    single = np.float32([[0.2, 0.3004, 0.5], [1, 0, 0]])
    assert np.allclose(classify([0, 1], single).probabilities.sum(axis=1), 1.0, atol=1e-15)


def test_systems_must_hold_the_same_rows() -> None:
    one, two = drawn_classes(10, 3, 1.0, 1), drawn_classes(10, 3, 1.0, 2)
    check_same_rows({"model": one, "other": two})
    shuffled = Predictions("classify", two.frame.reverse(), two.classes)
    with pytest.raises(DataError, match="rows in the same order"):
        check_same_rows({"model": one, "other": shuffled})
    with pytest.raises(DataError, match="same rows"):
        check_same_rows({"model": one, "other": two.take(np.arange(10) < 5)})
    with pytest.raises(DataError, match="task"):
        check_same_rows({"model": one, "other": rate([1.0], [1.0])})


def test_single_precision_takes_half_the_room_and_reads_as_the_same_answers(tmp_path) -> None:
    table = drawn_classes(400, 40, 1.0, 3)
    table.write(tmp_path / "double.parquet")
    table.write(tmp_path / "single.parquet", single=True)
    sizes = [(tmp_path / f"{name}.parquet").stat().st_size for name in ("double", "single")]
    assert sizes[1] < 0.65 * sizes[0]
    again = Predictions.read(tmp_path / "single.parquet")
    assert again.frame.drop("probabilities").equals(table.frame.drop("probabilities"))
    assert np.abs(again.probabilities - table.probabilities).max() < 1e-6
    drawn_binary(10, 1.0, 1).write(tmp_path / "binary.parquet", single=True)
    assert Predictions.read(tmp_path / "binary.parquet").frame.equals(drawn_binary(10, 1.0, 1).frame)
