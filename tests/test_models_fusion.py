"""The fusion laws, for every registered fusion: what is absent cannot matter, order cannot, rows don't mix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import ConfigError
from tuwen.models import FUSIONS

WIDTHS = {"picture": 5, "text": 3, "table": 4}
EVERY = sorted(FUSIONS.entries())


def fusion_of(name, widths=WIDTHS, seed=0, absent="zero"):
    torch.manual_seed(seed)
    fusion = FUSIONS.build(name, {"width": 8, "dropout": 0.5, "absent": absent}, widths).eval()
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
@settings(max_examples=25, deadline=None)
def test_what_is_absent_cannot_change_the_answer(name, absent, seed, value):
    fusion = fusion_of(name, absent=absent)
    vectors, present = drawn(seed)
    poisoned = {m: torch.where(present[m][:, None], v, value) for m, v in vectors.items()}
    assert torch.equal(fusion(vectors, present), fusion(poisoned, present))


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000), order=st.permutations(list(WIDTHS)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_modalities_cannot_matter(name, seed, order):
    vectors, present = drawn(seed)
    one = fusion_of(name)
    other = fusion_of(name, {m: WIDTHS[m] for m in order})
    shuffled = {m: vectors[m] for m in order}, {m: present[m] for m in order}
    assert torch.equal(one(vectors, present), other(*shuffled))


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
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


@pytest.mark.parametrize("name", EVERY)
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
