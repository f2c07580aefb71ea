"""A stack: members over planted features, and the law that it is never clearly worse than the best of its parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from tuwen.models.stack.members import Networks
from tuwen.models.stack.projection import Projection
from tuwen.models.stack.stack import Plan, Stack
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Silent
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import Arrays, EncodedInput
from tuwen.training.loop import network_of
from tuwen.training.stack.blocks import blocks_of
from tuwen.training.stack.combination import combine
from tuwen.training.stack.fit import Fit, fit_stack, linear_subsets, patterns_of
from tuwen.training.stack.linear import Kind, Truth, fit_linear
from tuwen.training.stack.rows import Rows
from tuwen.training.stack.search import fit_member
from tuwen.training.stack.trees import as_matrices, fit_trees

WIDTH = 6
VECTOR = ArraySpec("vector", (WIDTH,))


def vectors(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(size=(rows, WIDTH)).astype(np.float32)


def examples_of(
    features: Mapping[str, np.ndarray], targets: np.ndarray, present: Mapping[str, np.ndarray] | None = None
) -> Examples:
    rows = np.arange(len(targets))
    everywhere = np.ones(len(targets), bool)
    inputs = {
        name: EncodedInput({"vector": vector}, (present or {}).get(name, everywhere), rows)
        for name, vector in features.items()
    }
    return Examples(inputs, targets)


def fit_of(examples: Examples, kind: Kind, outputs: int = 1, seed: int = 0) -> Fit:
    return fit_stack(
        examples,
        dict.fromkeys(examples.inputs, VECTOR),
        kind,
        outputs,
        groups=np.arange(len(examples)),
        seed=seed,
        progress=Silent(),
    )


def answers_of(stack: Stack, examples: Examples) -> np.ndarray:
    return outputs_of(network_of(stack, torch.device("cpu")), examples.inputs)


def losses_of(fit: Fit, examples: Examples, kind: Kind) -> np.ndarray:
    """f64 [rows]: what the task counts."""
    answers = answers_of(fit.stack, examples)
    if kind == "rate":
        return np.asarray((answers[:, 0] - examples.targets) ** 2)
    return np.asarray(np.logaddexp(0, answers[:, 0]) - examples.targets * answers[:, 0])


def best_member(examples: Examples, unseen: Examples, kind: Kind) -> np.ndarray:
    """The losses of the best single modality on unseen rows, each modality with a stack of its own."""
    alone = []
    for name in examples.inputs:
        part = Examples({name: examples.inputs[name]}, examples.targets)
        rest = Examples({name: unseen.inputs[name]}, unseen.targets)
        alone.append(losses_of(fit_of(part, kind), rest, kind))
    return min(alone, key=lambda losses: float(losses.mean()))


def clearly_worse(losses: np.ndarray, others: np.ndarray) -> bool:
    """Whether the 95 % interval of the paired difference lies above 0."""
    difference = losses - others
    return bool(difference.mean() - 1.96 * difference.std() / np.sqrt(len(difference)) > 0)


def planted(name: str, rows: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], Kind]:
    """Features, targets and presence of a case with known truth."""
    rng = np.random.default_rng(seed)
    words, picture = vectors(rng, rows), vectors(rng, rows)
    noise = rng.normal(size=rows)
    present: dict[str, np.ndarray] = {}
    kind: Kind = "rate"
    if name == "noise":
        targets = words[:, 0] + 0.5 * noise
    elif name == "redundant":
        picture = words + 0.05 * picture
        targets = words[:, 0] - words[:, 1] + 0.5 * noise
    elif name == "both":
        targets = words[:, 0] + picture[:, 0] + 0.5 * noise
    elif name == "absent":
        targets = words[:, 0] + picture[:, 0] + 0.5 * noise
        present = {"picture": rng.random(rows) < 0.5}
    else:  # xor: neither tells anything alone
        targets = ((words[:, 0] > 0) ^ (picture[:, 0] > 0)).astype(np.float64)
        kind = "binary"
    return {"picture": picture, "words": words}, targets.astype(np.float32), present, kind


@pytest.mark.parametrize("case", ["noise", "redundant", "both", "absent", "xor"])
def test_fused_is_never_clearly_worse_than_the_best_modality(case: str) -> None:
    features, targets, present, kind = planted(case, 1400, seed=1)
    train, test = np.arange(600), np.arange(600, 1400)
    every = examples_of(features, targets, present)
    examples, unseen = every.take(train), every.take(test)

    fused = losses_of(fit_of(examples, kind), unseen, kind)
    single = best_member(examples, unseen, kind)

    assert not clearly_worse(fused, single)
    if case in ("both", "absent", "xor"):
        assert clearly_worse(single, fused)
    if case == "xor":
        assert np.log(2) - single.mean() < 0.05  # a modality alone knows nothing
        assert fused.mean() < 0.5


def test_fifty_rows_give_an_answer_that_is_not_worse() -> None:
    features, targets, _, kind = planted("both", 1050, seed=2)
    every = examples_of(features, targets)
    examples, unseen = every.take(np.arange(50)), every.take(np.arange(50, 1050))
    fused = losses_of(fit_of(examples, kind), unseen, kind)
    assert not clearly_worse(fused, best_member(examples, unseen, kind))
    assert fused.mean() < targets.var()


def test_a_noise_modality_is_worth_nothing_and_one_that_tells_is() -> None:
    features, targets, _, kind = planted("noise", 800, seed=3)
    worth = fit_of(examples_of(features, targets), kind).account["worth"]
    assert worth["picture"]["loss"] <= 2 * worth["picture"]["error"]
    assert worth["words"]["loss"] > 5 * worth["words"]["error"]


def test_what_is_absent_cannot_change_the_answer() -> None:
    features, targets, present, kind = planted("absent", 400, seed=4)
    stack = fit_of(examples_of(features, targets, present), kind).stack
    changed = {name: vector.copy() for name, vector in features.items()}
    changed["picture"][~present["picture"]] = 1e6
    same = answers_of(stack, examples_of(features, targets, present))
    assert np.array_equal(same, answers_of(stack, examples_of(changed, targets, present)))


def test_rows_do_not_mix_and_the_order_of_modalities_does_not_count() -> None:
    features, targets, _, kind = planted("both", 300, seed=5)
    examples = examples_of(features, targets)
    stack = fit_of(examples, kind).stack
    whole = answers_of(stack, examples)
    turned = examples_of(dict(reversed(features.items())), targets)
    np.testing.assert_allclose(answers_of(fit_of(turned, kind).stack, turned), whole, rtol=1e-5)
    rows = np.array([7, 3])
    np.testing.assert_allclose(answers_of(stack, examples.take(rows)), whole[rows], rtol=1e-5, atol=1e-5)


def test_without_any_modality_the_answer_is_the_mean() -> None:
    features, targets, _, kind = planted("both", 300, seed=6)
    stack = fit_of(examples_of(features, targets), kind).stack
    gone = {name: np.zeros(len(targets), bool) for name in features}
    answers = answers_of(stack, examples_of(features, targets, gone))
    np.testing.assert_allclose(answers[:, 0], targets.mean(), rtol=1e-5)


def test_the_same_seed_gives_the_same_stack() -> None:
    features, targets, _, kind = planted("xor", 200, seed=7)
    first, second = (fit_of(examples_of(features, targets), kind).stack.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("spec", "arrays"),
    [
        (VECTOR, {"vector": vectors(np.random.default_rng(0), 40)}),
        (
            ArraySpec("vector", (WIDTH,), set_size=3),
            {
                "vector": np.random.default_rng(1).normal(size=(40, 3, WIDTH)).astype(np.float32),
                "mask": np.arange(3) < np.random.default_rng(2).integers(1, 4, (40, 1)),
            },
        ),
        (
            ArraySpec("bag", (8,), (50,)),
            {
                "ids": np.random.default_rng(3).integers(1, 50, (40, 8)).astype(np.int32),
                "weights": np.random.default_rng(4).random((40, 8)).astype(np.float32),
            },
        ),
        (
            ArraySpec("table", (2, 2), (4, 3)),
            {
                "numbers": np.random.default_rng(5).normal(size=(40, 2)).astype(np.float32),
                "categories": np.random.default_rng(6).integers(0, 3, (40, 2)).astype(np.int32),
            },
        ),
    ],
    ids=["vector", "set", "bag", "table"],
)
def test_a_projection_is_the_map_of_the_block(spec: ArraySpec, arrays: Arrays) -> None:
    present = np.arange(40) % 5 != 0
    examples = Examples({"m": EncodedInput(arrays, present, np.arange(40))}, np.zeros(40, np.float32))
    block = blocks_of(examples, {"m": spec}, np.arange(40))["m"]
    weight = np.random.default_rng(9).normal(size=(block.width, 3))
    projection = Projection(spec, 3)
    block.load(projection, weight, slice(0, 3))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = np.asarray(block.matrix @ weight)
    np.testing.assert_allclose(projection(tensors, torch.from_numpy(present)).numpy(), expected, atol=2e-5)


def test_a_linear_member_is_the_ridge_regression_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    rng = np.random.default_rng(8)
    dense, targets = vectors(rng, 300), rng.normal(size=300)
    sparse = csr_matrix(rng.random((300, 20)) * (rng.random((300, 20)) < 0.3), dtype=np.float32)
    truth = Truth("rate", targets - targets.mean(), 1, np.ones(300))
    both = np.hstack([dense, sparse.toarray()])
    ours = fit_linear([dense, sparse], truth, [2.0, 2.0]).scores([dense, sparse])
    theirs = Ridge(alpha=2.0).fit(both, truth.values).predict(both)
    np.testing.assert_allclose(ours[:, 0], theirs, atol=0.02)

    classes = np.digitize(both[:, 0] + both[:, 7], [-0.5, 0.5])
    ours = fit_linear([dense, sparse], Truth("classify", classes, 3, np.ones(300)), [1.0, 1.0]).scores([dense, sparse])
    model = LogisticRegression(C=1.0, max_iter=1000).fit(both, classes)
    assert np.mean(ours.argmax(axis=1) == model.predict(both)) > 0.98


@pytest.mark.parametrize(("kind", "outputs"), [("rate", 1), ("binary", 1), ("classify", 3)])
def test_trees_as_matrices_are_those_of_lightgbm(kind: Kind, outputs: int) -> None:
    rng = np.random.default_rng(10)
    features = vectors(rng, 400)
    score = features[:, 0] * features[:, 1] + 0.1 * rng.normal(size=400)
    values = score if kind == "rate" else np.digitize(score, [0.0] if kind == "binary" else [-0.3, 0.3])
    truth = Truth(kind, values.astype(np.float64 if kind != "classify" else np.int64), outputs, np.ones(400))
    boosted = fit_trees(features, truth, np.arange(400) % 3, seed=0)
    trees = as_matrices(boosted, WIDTH)
    expected = boosted.whole.predict(features, raw_score=True).reshape(400, outputs)
    np.testing.assert_allclose(trees(torch.from_numpy(features)).numpy(), expected, atol=1e-5)


def test_one_member_stands_alone_where_the_blend_is_worth_no_more_than_chance() -> None:
    rng = np.random.default_rng(11)
    values = rng.normal(size=200)
    simple = (values + rng.normal(size=200))[:, None].astype(np.float32)
    costly = simple + 0.01 * rng.normal(size=(200, 1)).astype(np.float32)
    truth = Truth("rate", values, 1, np.ones(200))
    chosen = combine(np.stack([costly, simple], axis=1), truth, np.array([20, 10]))
    assert chosen.single
    assert chosen.weights.tolist() == [0.0, 1.0]


def test_weights_lie_on_the_simplex_and_beat_each_member() -> None:
    rng = np.random.default_rng(12)
    values = rng.normal(size=500)
    members = np.stack([(values + rng.normal(size=500))[:, None] for _ in range(3)], axis=1).astype(np.float32)
    truth = Truth("rate", values, 1, np.ones(500))
    chosen = combine(members, truth, np.array([10, 10, 10]))
    assert chosen.weights.min() >= 0
    assert chosen.weights.sum() == pytest.approx(1)
    assert chosen.losses.mean() < min(truth.losses(members[:, m]).mean() for m in range(3))


def test_in_use_the_answer_of_a_network_is_the_mean_of_its_copies() -> None:
    torch.manual_seed(0)
    network = Networks("sum", [3, 2], copies=4, hidden=5, outputs=2).eval()
    compact = [torch.randn(7, 3), torch.randn(7, 2)]
    torch.testing.assert_close(network(compact), network.answers(compact).mean(dim=1))
    assert network.answers(compact).std(dim=1).min() > 0


def test_each_modality_keeps_the_penalty_that_it_has_alone() -> None:
    rng = np.random.default_rng(15)
    features = {"narrow": vectors(rng, 300), "wide": vectors(rng, 300)}
    examples = examples_of(features, features["narrow"][:, 0] + rng.normal(size=300).astype(np.float32))
    blocks = blocks_of(examples, dict.fromkeys(features, VECTOR), np.arange(300))
    truth = Truth("rate", examples.targets.astype(np.float64), 1, np.ones(300))
    rows = Rows(blocks, truth, np.arange(300) % 5, 0.0, 1.0, 0)
    folds, _, chosen = fit_member(rows, ["narrow", "wide"], {"narrow": 0.1, "wide": 30.0})
    assert chosen[1] / chosen[0] == pytest.approx(300)
    assert len(folds) == 5
    heavy, light = np.abs(folds[0].weights[0]).sum(), np.abs(folds[0].weights[1]).sum()
    assert heavy > 10 * light


def test_a_row_is_combined_by_the_weights_of_what_it_has() -> None:
    plan = Plan(1, False, [["a"], ["b"]], patterns=[["a", "b"], ["a"], ["b"]])
    stack = Stack(plan, {"a": VECTOR, "b": VECTOR})
    stack.get_buffer("weight").copy_(torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.0, 1.0]]))
    answers = torch.tensor([[[4.0], [8.0]]] * 4)
    present = {"a": torch.tensor([True, True, False, False]), "b": torch.tensor([True, False, True, False])}
    assert stack.combined(answers, present).flatten().tolist() == [7.0, 4.0, 8.0, 0.0]


def test_subsets_and_patterns() -> None:
    assert linear_subsets(["a", "b", "c"]) == [["a"], ["b"], ["c"], ["a", "b"], ["a", "c"], ["b", "c"], ["a", "b", "c"]]
    assert linear_subsets(["a"]) == [["a"]]
    assert patterns_of(["a", "b"]) == [["a", "b"], ["a"], ["b"]]
    many = patterns_of(list("abcdefgh"))
    assert many[0] == list("abcdefgh")
    assert ["h"] in many
    assert len(many) == 1 + 8 + 8


@pytest.mark.parametrize("kind", ["rate", "binary"])
def test_a_level_that_moved_is_corrected_from_the_newest_rows(kind: Kind) -> None:
    rng = np.random.default_rng(13)
    rows = 3000
    words = vectors(rng, rows)
    moved = np.where(np.arange(rows) >= 2400, 0.8, 0.0)
    score = words[:, 0] + moved
    truth = score + 0.3 * rng.normal(size=rows) if kind == "rate" else rng.random(rows) < 1 / (1 + np.exp(-2 * score))
    every = examples_of({"words": words}, truth.astype(np.float32))
    examples, later = every.take(np.arange(2700)), every.take(np.arange(2700, rows))
    times = np.arange(2700, dtype=np.float64)
    times[::7] = np.nan

    def fitted(times: np.ndarray | None) -> Fit:
        groups = np.arange(len(examples))
        specs = {"words": VECTOR}
        return fit_stack(examples, specs, kind, 1, groups=groups, times=times, progress=Silent())

    plain, corrected = fitted(None), fitted(times)
    assert losses_of(corrected, later, kind).mean() < losses_of(plain, later, kind).mean()
    assert corrected.account["drift"]["level"] > 3 * corrected.account["drift"]["error"]
    assert plain.account["drift"] is None


def test_a_level_that_did_not_move_is_left_alone() -> None:
    features, targets, _, kind = planted("both", 800, seed=14)
    examples = examples_of(features, targets)
    specs = dict.fromkeys(features, VECTOR)
    fit = fit_stack(examples, specs, kind, 1, groups=np.arange(800), times=np.arange(800.0), progress=Silent())
    assert fit.account["drift"]["shift"] == 0
    assert fit.account["drift"]["rows"] == 80
