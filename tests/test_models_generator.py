"""Generators between encoders and fusion: the fusion laws hold, answers never change, nothing is made of nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from test_models_fusion import EVERY, WIDTHS, drawn
from tuwen.models.assemble import Part, connect
from tuwen.models.generator import Augment, Given, Impute
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput
from tuwen.training.out_of_fold import fit_late_on

GROUPS = [["picture"], ["table", "text"]]


def model_of(fusion, order=tuple(WIDTHS), generator=Impute, **options):
    torch.manual_seed(0)
    made_by = generator(WIDTHS, 2 if generator is Augment else 0, GROUPS, noise=4, **{"hidden": 8, **options})
    for name, scaling in made_by.standardise.items():
        scaling.mean.fill_(len(name))
        scaling.scale.fill_(0.5)
    torch.manual_seed(1)
    encoders = {m: Given(ArraySpec("vector", (WIDTHS[m],))) for m in order}
    target = BinaryTarget(1.0, None, 0.4)
    return connect(encoders, Part(fusion, {"width": 8}), Part("binary", {"target": "y"}), target, made_by).eval()


def asked(model, vectors, present):
    return model({m: {"vector": v} for m, v in vectors.items()}, present)


@pytest.mark.parametrize("fusion", EVERY)
@given(seed=st.integers(0, 10_000), value=st.sampled_from([0.0, 1e9, float("nan"), float("inf")]))
@settings(max_examples=15)
def test_what_is_absent_cannot_change_the_answer(fusion, seed, value):
    model = model_of(fusion)
    vectors, present = drawn(seed)
    poisoned = {m: torch.where(present[m][:, None], v, value) for m, v in vectors.items()}
    found = asked(model, vectors, present)
    assert found.isfinite().all()
    assert torch.equal(found, asked(model, poisoned, present))


def test_a_filling_is_the_mean_of_what_each_fixed_noise_makes():
    made_by = model_of("sum", hidden=32, draws=5).generator
    vectors, present = drawn(3)
    seen = made_by.standardised(vectors, present)
    bits = torch.stack([present[m] for m in made_by.widths], dim=1).float()
    each = [made_by(seen, bits, noise.expand(len(bits), -1)) for noise in made_by.fixed]
    assert not torch.allclose(each[0]["text"], each[1]["text"])
    for m, filled in made_by.filling(vectors, present).items():
        mean = torch.stack([made[m] for made in each]).mean(dim=0)
        torch.testing.assert_close(filled, made_by.restored({m: mean})[m], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", EVERY)
def test_the_order_of_modalities_cannot_matter_and_rows_do_not_mix(fusion):
    model, other = model_of(fusion), model_of(fusion, tuple(reversed(WIDTHS)))
    vectors, present = drawn(1)
    whole = asked(model, vectors, present)
    assert torch.equal(whole, asked(other, vectors, present))
    for row in range(len(whole)):
        one = slice(row, row + 1)
        alone = asked(model, {m: v[one] for m, v in vectors.items()}, {m: p[one] for m, p in present.items()})
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-5, atol=1e-6)


def test_the_fusion_sees_what_is_there_as_it_is_and_the_rest_filled():
    made_by = model_of("concat").generator
    vectors, present = drawn(2)
    present["text"][0] = True
    present["picture"][0] = False
    filled, counted = made_by.complete(vectors, present)
    any_there = torch.stack(list(present.values())).any(dim=0)
    for m in WIDTHS:
        assert torch.equal(filled[m][present[m]], vectors[m][present[m]])
        assert torch.equal(counted[m], any_there)
    assert not torch.equal(filled["picture"][0], vectors["picture"][0])
    changed = vectors | {"text": vectors["text"] + 1}
    assert not torch.equal(made_by.complete(changed, present)[0]["picture"][0], filled["picture"][0])


def test_a_row_in_which_nothing_is_there_is_left_alone():
    model = model_of("concat")
    vectors, _ = drawn(3)
    nothing = {m: torch.zeros(6, dtype=torch.bool) for m in WIDTHS}
    assert not any(counted.any() for counted in model.generator.complete(vectors, nothing)[1].values())
    found = asked(model, vectors, nothing)
    assert torch.equal(found, found[:1].expand_as(found))


def test_in_training_groups_are_dropped_together_and_never_a_whole_row():
    made_by = model_of("concat", drop=0.5).generator
    present = {m: torch.ones(2000, dtype=torch.bool) for m in WIDTHS}
    kept = made_by.dropped(present)
    assert torch.equal(kept["table"], kept["text"])
    assert (kept["picture"] | kept["text"]).all()
    assert (~kept["picture"]).float().mean() == pytest.approx(0.25, abs=0.05)  # dropped, and text was not


def test_only_the_fusion_and_the_task_learn_once_the_generator_is_trained():
    model = model_of("concat").train()
    model.generator.requires_grad_(False)
    vectors, present = drawn(4)
    model.for_loss({m: {"vector": v} for m, v in vectors.items()}, present).sum().backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.fusion.parameters())


def test_one_that_makes_rows_leaves_answers_alone():
    vectors, present = drawn(5)
    model, plain = model_of("sum", generator=Augment), model_of("sum", generator=Augment)
    plain.generator = None
    assert torch.equal(asked(model, vectors, present), asked(plain, vectors, present))


def test_late_weighs_what_was_filled():
    """The text is absent in every row and filled: its head is calibrated like the others."""
    model = model_of("late")
    vectors, _ = drawn(7, rows=60)
    inputs = {
        m: EncodedInput({"vector": v.numpy()}, np.full(60, m != "text"), np.arange(60)) for m, v in vectors.items()
    }
    fit_late_on(model, Examples(inputs, (vectors["picture"][:, 0] > 0).float().numpy()))
    assert (model.fusion.temperature != 1).all()
