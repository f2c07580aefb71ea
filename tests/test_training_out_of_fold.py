"""Late fusion is combined by what its members answer on rows they did not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuwen.models.assemble import Part, assemble
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput
from tuwen.training.loop import Settings, network_of, train
from tuwen.training.out_of_fold import Cut, fit_late, fit_late_on

ROWS = 400
SETTINGS = Settings(epochs=30, batch_size=20, learning_rate=0.02)


def examples(seed=0):
    """The picture says it in its first number; the text has 60 numbers of noise, enough to learn the rows by heart."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, ROWS).astype(np.float32)
    picture = np.stack([truth * 2 - 1 + rng.normal(0, 0.8, ROWS), rng.normal(size=ROWS)], axis=1).astype(np.float32)
    text = rng.normal(size=(ROWS, 60)).astype(np.float32)
    none = np.zeros((ROWS, 0), np.int32)
    made = {
        name: EncodedInput({"numbers": x, "categories": none}, np.ones(ROWS, bool), np.arange(ROWS))
        for name, x in (("picture", picture), ("text", text))
    }
    return Examples(made, truth)


def model_of():
    torch.manual_seed(0)
    encoders = {
        name: (Part("table", {"width": 32, "hidden": 64}), ArraySpec("table", (count, 0)))
        for name, count in (("picture", 2), ("text", 60))
    }
    return assemble(encoders, Part("late"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))


def fitted(folder, progress=None, epochs=30):
    model, training = model_of(), examples()
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


class Dies:
    """A progress that ends the process in the third piece."""

    def __init__(self):
        self.steps = 0

    def task(self, name, total=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, n=1):
        self.steps += n
        if self.steps > 2.3 * 3 * 16:
            raise KeyboardInterrupt


def test_stopped_in_the_third_piece_it_goes_on_to_the_same_weights(tmp_path):
    unbroken, _ = fitted(tmp_path / "one", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "two", Dies(), epochs=3)
    assert len(list((tmp_path / "two").glob("answers-*"))) == 2
    resumed, _ = fitted(tmp_path / "two", epochs=3)
    for name, value in unbroken.fusion.state_dict().items():
        assert torch.equal(value, resumed.fusion.state_dict()[name]), name


def test_without_folds_the_combination_is_fitted_on_rows_that_were_not_trained_on():
    model, training, unseen = model_of(), examples(), examples(2)
    train(model, training, None, SETTINGS, seed=3)
    fit_late_on(model, unseen)
    first, text = model.fusion.temperature.tolist()
    assert text > 5 * first


@given(groups=st.lists(st.integers(0, 30), min_size=20, max_size=120), count=st.integers(2, 6), seed=st.integers(0, 9))
def test_rows_of_one_group_stay_on_one_side(groups, count, seed):
    found = Cut(np.array(groups), None, "f").folds(count, seed)  # type: ignore[arg-type]
    for group in set(groups):
        assert len(set(found[np.array(groups) == group])) == 1
    assert set(found) <= set(range(count))
