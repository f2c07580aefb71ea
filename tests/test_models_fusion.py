"""The fusion laws, for every registered fusion: what is absent cannot matter, order cannot, rows don't mix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import ConfigError
from tuwen.models import FUSIONS
from tuwen.models.tasks import Binary, Classify, Rate
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, RateTarget

WIDTHS = {"picture": 5, "text": 3, "table": 4}
EVERY = sorted(FUSIONS.entries())


def head(width):
    return Binary(width, BinaryTarget(1.0, None, 0.4), target="y")


def fusion_of(name, widths=WIDTHS, seed=0, absent="zero"):
    torch.manual_seed(seed)
    options = {"width": 8, "dropout": 0.5}
    if FUSIONS.load(name).combines_answers:
        return FUSIONS.build(name, options, widths, head).eval()
    fusion = FUSIONS.build(name, options | {"absent": absent}, widths).eval()
    for token in sorted(fusion.tokens):
        torch.nn.init.normal_(fusion.tokens[token])
    return fusion


def drawn(seed, rows=6):
    generator = torch.Generator().manual_seed(seed)
    vectors = {m: torch.randn(rows, w, generator=generator) for m, w in WIDTHS.items()}
    present = {m: torch.rand(rows, generator=generator) < 0.6 for m in WIDTHS}
    return vectors, present


@pytest.mark.parametrize("absent", ["zero", "learned"])
@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000), value=st.sampled_from([0.0, 1e9, float("nan"), float("inf")]))
@settings(max_examples=25)
def test_what_is_absent_cannot_change_the_answer(name, absent, seed, value):
    fusion = fusion_of(name, absent=absent)
    vectors, present = drawn(seed)
    poisoned = {m: torch.where(present[m][:, None], v, value) for m, v in vectors.items()}
    assert torch.equal(fusion(vectors, present), fusion(poisoned, present))


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000), order=st.permutations(list(WIDTHS)))
@settings(max_examples=15)
def test_the_order_of_modalities_cannot_matter(name, seed, order):
    vectors, present = drawn(seed)
    one = fusion_of(name)
    other = fusion_of(name, {m: WIDTHS[m] for m in order})
    shuffled = {m: vectors[m] for m in order}, {m: present[m] for m in order}
    assert torch.equal(one(vectors, present), other(*shuffled))


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_rows_do_not_mix(name, seed):
    fusion = fusion_of(name)
    vectors, present = drawn(seed)
    whole = fusion(vectors, present)
    for row in range(len(whole)):
        alone = fusion(
            {m: v[row : row + 1] for m, v in vectors.items()}, {m: p[row : row + 1] for m, p in present.items()}
        )
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_present_does_change_the_answer(name):
    fusion = fusion_of(name)
    vectors, present = drawn(3)
    present = {m: torch.ones_like(p) for m, p in present.items()}
    for modality in WIDTHS:
        changed = vectors | {modality: vectors[modality] + 1.0}
        assert not torch.equal(fusion(vectors, present), fusion(changed, present))


@pytest.mark.parametrize("name", EVERY)
def test_the_width_is_as_told(name):
    fusion = fusion_of(name)
    assert fusion(*drawn(0)).shape == (6, fusion.width)


def test_pairwise_is_the_factorisation_machine():
    """Linear time equals the sum over all pairs that its paper defines."""
    fusion = fusion_of("pairwise")
    vectors, present = drawn(1)
    present = {m: torch.ones_like(p) for m, p in present.items()}
    factors = [fusion.factors[m](vectors[m]) for m in sorted(WIDTHS)]
    pairs = sum(factors[i] * factors[j] for i in range(3) for j in range(i + 1, 3))
    torch.testing.assert_close(fusion(vectors, present)[:, 8:], pairs)


# --- Late ---------------------------------------------------------------------------------------------------------


def late_of(task, target, fused="none"):
    torch.manual_seed(0)
    widths = {"picture": 5, "text": 3}
    return FUSIONS.build("late", {"fused": fused}, widths, lambda width: task(width, target, target="y")).eval()


def test_late_trusts_the_member_that_is_right():
    """One member knows the class, one is as loud and knows nothing: out of fold, the weights find out."""
    fusion, rng = late_of(Classify, ClassifyTarget(("a", "b", "c"), (1, 1, 1))), np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 3, 900))
    knows = torch.nn.functional.one_hot(truth, 3) * 3.0 + torch.from_numpy(rng.normal(size=(900, 3))).float()
    noise = torch.from_numpy(rng.normal(0, 3, (900, 3))).float()
    there = {m: torch.ones(900, dtype=torch.bool) for m in ("picture", "text")}
    task = Classify(3, ClassifyTarget(("a", "b", "c"), (1, 1, 1)), target="y")
    fusion.fit_combination(torch.stack([noise, knows], dim=1), there, truth, task)
    assert fusion.temperature[0] > 10 > 1 > fusion.temperature[1]  # noise is cooled down to nothing, knowledge is not
    with torch.no_grad():
        combined = fusion._combined(torch.stack([noise, knows], dim=1), fusion.there(there))
    assert float(task.loss(combined, truth)) <= float(task.loss(knows / fusion.temperature[1], truth)) + 1e-3


def test_late_is_no_worse_than_its_best_member_and_calibrated_when_one_is_left():
    rng = np.random.default_rng(1)
    target = BinaryTarget(1.0, None, 0.5)
    fusion, task = late_of(Binary, target), Binary(1, target, target="y")
    truth = torch.from_numpy(rng.integers(0, 2, 2000)).float()
    members = [(truth * 2 - 1) * s + torch.from_numpy(rng.normal(0, 1, 2000)).float() for s in (1.0, 0.7)]
    answers = torch.stack([3 * m for m in members], dim=1).unsqueeze(2)  # both far too sure of themselves
    there = {m: torch.ones(2000, dtype=torch.bool) for m in ("picture", "text")}
    fusion.fit_combination(answers, there, truth, task)

    def loss_of(present):
        with torch.no_grad():
            return float(task.loss(fusion._combined(answers, fusion.there(present)), truth))

    both = loss_of(there)
    alone = [float(task.loss(answers[:, i] / best, truth)) for i, best in enumerate(fusion.temperature)]
    assert both < min(alone)
    one = there | {"text": torch.zeros(2000, dtype=torch.bool)}
    left = loss_of(one)
    assert left == pytest.approx(alone[0], rel=1e-5)


def test_late_rates_by_a_weighted_mean():
    fusion, task = late_of(Rate, RateTarget(1, 5, 3)), Rate(1, RateTarget(1, 5, 3), target="y")
    truth = torch.linspace(1, 5, 500)
    noisy = truth + torch.sin(torch.arange(500.0)) * 2
    there = {m: torch.ones(500, dtype=torch.bool) for m in ("picture", "text")}
    answers = torch.stack([noisy, truth + 0.1 * torch.cos(torch.arange(500.0))], dim=1).unsqueeze(2)
    fusion.fit_combination(answers, there, truth, task)
    with torch.no_grad():
        combined = fusion._combined(answers, fusion.there(there)).squeeze(1)
    torch.testing.assert_close(combined, (answers.squeeze(2) * fusion.weight).sum(dim=1))
    assert fusion.weight[1] > 0.8


@pytest.mark.parametrize("options", [{"fused": "late"}, {"folds": 1}, {"fused": "conct"}])
def test_late_refuses_what_it_cannot_be(options):
    with pytest.raises(ConfigError):
        FUSIONS.build("late", options, WIDTHS, head)


def test_late_members_learn_apart():
    """No member's loss moves another's head; the fused one learns beside them."""
    fusion = late_of(Binary, BinaryTarget(1.0, None, 0.5), fused="concat").train()
    vectors = {"picture": torch.randn(4, 5), "text": torch.randn(4, 3)}
    there = {m: torch.ones(4, dtype=torch.bool) for m in vectors}
    task = Binary(1, BinaryTarget(1.0, None, 0.5), target="y")
    answers = fusion.for_loss(vectors, there, task)
    assert answers.shape == (4, 3, 1)
    task.loss(answers[:, 0], torch.ones(4)).backward()
    assert fusion.heads["picture"].dense.weight.grad is not None
    assert not fusion.heads["text"].dense.weight.grad.any() and not fusion.together_head.dense.weight.grad.any()


@pytest.mark.parametrize("name", [n for n in EVERY if not FUSIONS.load(n).combines_answers])
def test_a_learned_token_stands_for_what_is_absent(name):
    fusion = fusion_of(name, absent="learned")
    vectors, present = drawn(2)
    gone = {**present, "text": torch.zeros_like(present["text"])}
    before = fusion(vectors, gone)
    with torch.no_grad():
        fusion.tokens["text"].add_(1.0)
    assert not torch.allclose(fusion(vectors, gone), before)


def test_low_rank_is_the_tensor_product_through_factors():
    """With rank one and two modalities: (W₁v₁ + b₁) ∘ (W₂v₂ + b₂)."""
    torch.manual_seed(0)
    fusion = FUSIONS.build("low-rank", {"width": 8, "rank": 1}, {"a": 5, "b": 3}).eval()
    a, b = torch.randn(4, 5), torch.randn(4, 3)
    there = torch.ones(4, dtype=torch.bool)
    expected = fusion.norm(fusion.factors["a"](a) * fusion.factors["b"](b))
    torch.testing.assert_close(fusion({"a": a, "b": b}, {"a": there, "b": there}), expected)


def test_attention_wants_a_width_that_its_heads_divide():
    with pytest.raises(ConfigError, match="multiple of heads"):
        FUSIONS.build("attention", {"width": 10, "heads": 4}, WIDTHS)


def test_unknown_activation_names_what_is_allowed():
    with pytest.raises(ConfigError, match="relu"):
        FUSIONS.build("sum", {"activation": "swish"}, WIDTHS)
