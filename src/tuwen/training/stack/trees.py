"""Gradient-boosted trees of a stack: LightGBM grows them, matrices run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tuwen.models.stack.members import Trees
from tuwen.training.stack.linear import Truth

ROUNDS = 200
PATIENCE = 20
LEAVES = 8
MOST_OUTPUTS = 20  # a tree for each and round: with more, linear members and networks are left
PARAMETERS = {
    "learning_rate": 0.08, "num_leaves": LEAVES, "min_data_in_leaf": 10, "feature_fraction": 0.7,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0, "max_bin": 63, "verbose": -1, "num_threads": 1,
    "deterministic": True, "force_row_wise": True,
}  # fmt: skip
OBJECTIVES = {"rate": "regression", "binary": "binary", "classify": "multiclass"}


@dataclass(frozen=True)
class Boosted:
    """One booster a fold and one of all rows, cut at the number of rounds that is best out of fold."""

    folds: list[Any]
    whole: Any
    rounds: int
    outputs: int

    def out_of_fold(self, features: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """f32 [rows, outputs], each row by the booster that did not learn from it."""
        scores = np.zeros((len(features), self.outputs), np.float32)
        for k, booster in enumerate(self.folds):
            rows = np.flatnonzero(folds == k)
            if len(rows):
                answers = booster.predict(features[rows], raw_score=True, num_iteration=self.rounds)
                scores[rows] = answers.reshape(len(rows), self.outputs)
        return scores


def fit_trees(features: np.ndarray, truth: Truth, folds: np.ndarray, seed: int) -> Boosted:
    """Grow trees out of fold, choose the number of rounds by all folds together, then grow them on all rows.

    Args:
        features: f32 [rows, features]; scores among them are out of fold.

    Raises:
        ImportError, OSError: LightGBM, or the libgomp that it needs, is not installed.
    """
    import lightgbm

    settings = {**PARAMETERS, "objective": OBJECTIVES[truth.kind], "seed": seed}
    if truth.kind == "classify":
        settings["num_class"] = truth.outputs
    boosters, curves = [], []
    for k in range(int(folds.max()) + 1):
        rest, rows = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        data = lightgbm.Dataset(features[rest], truth.values[rest], weight=truth.weights[rest], params=settings)
        unseen = data.create_valid(features[rows], truth.values[rows], weight=truth.weights[rows])
        curve: dict[str, Any] = {}
        callbacks: list[Any] = [lightgbm.record_evaluation(curve), lightgbm.early_stopping(PATIENCE, verbose=False)]
        boosters.append(lightgbm.train(settings, data, ROUNDS, valid_sets=[unseen], callbacks=callbacks))
        (figures,) = curve["valid_0"].values()
        curves.append(np.asarray(figures))
    shortest = min(map(len, curves))
    rounds = int(np.mean([curve[:shortest] for curve in curves], axis=0).argmin()) + 1
    data = lightgbm.Dataset(features, truth.values, weight=truth.weights, params=settings)
    return Boosted(boosters, lightgbm.train(settings, data, rounds), rounds, truth.outputs)


def as_matrices(boosted: Boosted, features: int) -> Trees:
    """The booster of all rows as :class:`Trees`; thresholds are rounded down to float32, where the features live."""
    model = boosted.whole.dump_model()
    roots = [tree["tree_structure"] for tree in model["tree_info"]]
    trees = Trees(len(roots), LEAVES - 1, features, boosted.outputs)
    for t, root in enumerate(roots):
        _write_tree(trees, t, root)
    return trees


def _write_tree(trees: Trees, t: int, root: dict[str, Any]) -> None:
    path, lefts = trees.get_buffer("path"), trees.get_buffer("lefts")
    splits, leaves = 0, 0
    waiting: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [(root, [])]
    while waiting:
        node, way = waiting.pop()
        if "split_feature" not in node:
            for split, side in way:
                path[t, split, leaves] = side
            lefts[t, leaves] = sum(side > 0 for _, side in way)
            trees.get_buffer("value")[t, leaves] = node["leaf_value"]
            leaves += 1
            continue
        trees.get_buffer("feature")[t, splits] = node["split_feature"]
        trees.get_buffer("threshold")[t, splits] = float(_rounded_down(node["threshold"]))
        waiting += [(node["left_child"], [*way, (splits, 1)]), (node["right_child"], [*way, (splits, -1)])]
        splits += 1


def _rounded_down(threshold: float) -> np.float32:
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
