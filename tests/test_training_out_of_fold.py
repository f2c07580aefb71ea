"""Late fusion is combined by what its members answer on rows they did not see."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuwen.models import TASKS
from tuwen.models.assemble import Part, assemble
from tuwen.models.late import Copies, EveryCopy
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, RateTarget
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, network_of, train
from tuwen.training.out_of_fold import Cut, fit_late, fit_late_on

ROWS = 400
SETTINGS = Settings(epochs=15, batch_size=20, learning_rate=0.02)


def examples(seed=0, frozen=False):
    """The picture says it in its first number; the text has 60 numbers of noise, enough to learn the rows by heart."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, ROWS).astype(np.float32)
    picture = np.stack([truth * 2 - 1 + rng.normal(0, 0.8, ROWS), rng.normal(size=ROWS)], axis=1).astype(np.float32)
    text = rng.normal(size=(ROWS, 60)).astype(np.float32)
    none = np.zeros((ROWS, 0), np.int32)
    made = {
        name: EncodedInput(
            {"vector": x} if frozen else {"numbers": x, "categories": none}, np.ones(ROWS, bool), np.arange(ROWS)
        )
        for name, x in (("picture", picture), ("text", text))
    }
    return Examples(made, truth)


def model_of(frozen=False):
    torch.manual_seed(0)
    if frozen:
        encoders = {n: (Part("e5-small"), ArraySpec("vector", (w,))) for n, w in (("picture", 2), ("text", 60))}
        return assemble(encoders, Part("late"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))
    encoders = {
        name: (Part("table", {"width": 32, "hidden": 64}), ArraySpec("table", (count, 0)))
        for name, count in (("picture", 2), ("text", 60))
    }
    return assemble(encoders, Part("late"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))


def fitted(folder, progress=None, epochs=15, frozen=False):
    model, training = model_of(frozen), examples(frozen=frozen)
    cut = Cut(np.arange(ROWS), folder, "f")
    fit_late(model, training, None, replace(SETTINGS, epochs=epochs), seed=3, cut=cut, progress=progress)
    return model, training


def test_a_member_that_only_learned_by_heart_is_not_believed(tmp_path):
    """On its own training rows the text is always right; out of fold it is at chance, and that is what counts."""
    model, training = fitted(tmp_path)
    first, text = model.fusion.temperature.tolist()
    assert text > 5 * first
    train(model, training, None, SETTINGS, seed=3)
    test = examples(1)
    answers = outputs_of(network_of(model.eval(), torch.device("cpu")), test.inputs)[:, 0]
    combined = ((answers > 0) == (test.targets > 0.5)).mean()
    model.fusion.temperature.fill_(1.0), model.fusion.sharpness.fill_(1.0), model.fusion.weight.fill_(0.5)
    naive = outputs_of(network_of(model, torch.device("cpu")), test.inputs)[:, 0]
    assert combined > ((naive > 0) == (test.targets > 0.5)).mean() + 0.05


def test_pieces_that_train_as_one_believe_the_same_members(tmp_path):
    first, text = fitted(tmp_path, epochs=8, frozen=True)[0].fusion.temperature.tolist()
    assert text > 5 * first


def test_a_validation_part_chooses_the_epoch_of_pieces_that_train_as_one(tmp_path):
    """With patience they stop where the text has only learned by heart, as each piece would by itself."""
    found = []
    for clip in (1e9, None):  # a clipped gradient trains one piece after the other
        model, unseen = model_of(frozen=True), examples(2, frozen=True)
        settings = replace(SETTINGS, epochs=4, patience=1, gradient_clip=clip)
        cut = Cut(np.arange(ROWS), tmp_path / str(clip), "f")
        fit_late(model, examples(frozen=True), unseen, settings, seed=3, cut=cut)
        found.append(model.fusion.temperature)
    apart, together = found
    assert together[1] > 5 * together[0]
    torch.testing.assert_close(apart[0], together[0], rtol=0.2, atol=0)


class Dies:
    """A progress that ends the process after so many steps."""

    def __init__(self, steps):
        self.steps, self.most = 0, steps

    def task(self, name, total=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, n=1):
        self.steps += n
        if self.steps > self.most:
            raise KeyboardInterrupt


def test_stopped_in_the_third_piece_it_goes_on_to_the_same_weights(tmp_path):
    unbroken, _ = fitted(tmp_path / "one", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "two", Dies(2.3 * 3 * 16), epochs=3)
    assert len(list((tmp_path / "two").glob("answers-*"))) == 2
    resumed, _ = fitted(tmp_path / "two", epochs=3)
    for name, value in unbroken.fusion.state_dict().items():
        assert torch.equal(value, resumed.fusion.state_dict()[name]), name


def test_stopped_among_the_pieces_that_train_as_one_it_goes_on_to_the_same_weights(tmp_path):
    unbroken, _ = fitted(tmp_path / "one", epochs=3, frozen=True)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "two", Dies(1.5 * 16), epochs=3, frozen=True)
    assert not list((tmp_path / "two").glob("answers-*"))
    resumed, _ = fitted(tmp_path / "two", epochs=3, frozen=True)
    for name, value in unbroken.fusion.state_dict().items():
        assert torch.equal(value, resumed.fusion.state_dict()[name]), name


TASKS_OF = {
    "rate": (Part("rate", {"target": "y", "loss": "huber"}), RateTarget(3.0, 1.0, 5.0)),
    "binary": (Part("binary", {"target": "y", "class_weights": "balanced"}), BinaryTarget(1.0, None, 0.3)),
    "classify": (
        Part("classify", {"target": "y", "class_weights": "balanced", "label_smoothing": 0.1}),
        ClassifyTarget(("a", "b", "c"), (5, 3, 2)),
    ),
}


def truth_of(task, rows, rng):
    if task == "classify":
        return torch.from_numpy(rng.integers(0, 3, rows))
    return torch.from_numpy((rng.integers(0, 2, rows) if task == "binary" else rng.normal(3, 1, rows)).astype("f4"))


@pytest.mark.parametrize("task", TASKS_OF)
def test_each_copy_learns_what_it_would_learn_alone_from_the_rows_of_the_other_pieces(task):
    """The gradients of separate late fusions, whatever is absent; rows of piece -1 were made by a generator."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    part, target = TASKS_OF[task]
    encoders = {n: (Part("e5-small"), ArraySpec("vector", (w,))) for n, w in (("picture", 3), ("text", 5))}
    model = assemble(encoders, Part("late", {"folds": 3, "fused": "concat", "width": 4}), part, target)
    vectors = {n: torch.from_numpy(rng.normal(size=(24, w)).astype("f4")) for n, w in (("picture", 3), ("text", 5))}
    present = {n: torch.from_numpy(rng.random(24) < 0.7) for n in vectors}
    truth, piece = truth_of(task, 24, rng), torch.from_numpy(rng.integers(-1, 3, 24))
    copies, every = Copies(model.fusion), EveryCopy(model.task)
    outputs = copies.for_loss(vectors, present, every)
    copies.loss(outputs, torch.stack([truth, piece.to(truth.dtype)], dim=1), present, every).backward()
    for i in range(3):
        rows, late = piece != i, copy.deepcopy(model.fusion)
        there = {m: p[rows] for m, p in present.items()}
        alone = late.for_loss({m: v[rows] for m, v in vectors.items()}, there, model.task)
        members = late.there(there)
        sum(
            model.task.loss(alone[members[:, m], m], truth[rows][members[:, m]]) for m in range(late.members)
        ).backward()
        torch.testing.assert_close(outputs[rows, i], alone)
        for name, head in late.heads.items():
            wide = copies.heads[name].weight.grad.unflatten(0, (3, -1))[i]
            torch.testing.assert_close(wide, head.dense.weight.grad)
        torch.testing.assert_close(
            copies.together[i].fusion.dense.weight.grad, late.together.dense.weight.grad, atol=1e-6, rtol=1e-4
        )


@pytest.mark.parametrize("frozen", [False, True])
def test_what_a_generator_made_is_learned_from_and_never_combined_by(tmp_path, frozen):
    """In made rows only the text is right; who is believed is a matter of the true rows (by all rows: both alike)."""
    true, made, rng = examples(frozen=frozen), examples(7, frozen), np.random.default_rng(0)
    name = "vector" if frozen else "numbers"
    made.inputs["picture"].arrays[name][:] = rng.normal(size=(ROWS, 2))
    made.inputs["text"].arrays[name][:, 0] = 4 * made.targets - 2
    inputs = {
        m: EncodedInput(
            {n: np.concatenate([a, made.inputs[m].arrays[n]]) for n, a in source.arrays.items()},
            np.ones(2 * ROWS, bool),
            np.arange(2 * ROWS),
        )
        for m, source in true.inputs.items()
    }
    model = model_of(frozen)
    both, settings = Examples(inputs, np.concatenate([true.targets, made.targets])), replace(SETTINGS, epochs=1)
    fit_late(model, both, None, settings, seed=3, cut=Cut(np.arange(ROWS), tmp_path, "f"))
    picture, text = model.fusion.temperature.tolist()
    assert text > 5 * picture


@pytest.mark.parametrize("task", TASKS_OF)
def test_a_loss_is_its_rows_losses_over_their_weights(task):
    part, target = TASKS_OF[task]
    head = TASKS.build(part.use, part.options, 4, target)
    outputs, truth = torch.randn(30, target.outputs), truth_of(task, 30, np.random.default_rng(1))
    losses, weights = head.row_losses(outputs, truth)
    torch.testing.assert_close(losses.sum() / weights.sum(), head.loss(outputs, truth))


def test_without_folds_the_combination_is_fitted_on_rows_that_were_not_trained_on():
    model, training, unseen = model_of(), examples(), examples(2)
    train(model, training, None, SETTINGS, seed=3)
    fit_late_on(model, unseen)
    first, text = model.fusion.temperature.tolist()
    assert text > 5 * first


@given(groups=st.lists(st.integers(0, 30), min_size=20, max_size=120), count=st.integers(2, 6), seed=st.integers(0, 9))
def test_rows_of_one_group_stay_on_one_side(groups, count, seed):
    found = Cut(np.array(groups), None, "f").folds(count, seed, len(groups))  # type: ignore[arg-type]
    for group in set(groups):
        assert len(set(found[np.array(groups) == group])) == 1
    assert set(found) <= set(range(count))
