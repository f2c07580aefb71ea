"""The fusion laws, for every registered fusion: what is absent cannot matter, order cannot, rows don't mix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import ConfigError
from tuwen.models import FUSIONS

WIDTHS = {"picture": 5, "text": 3, "table": 4}
EVERY = sorted(FUSIONS.entries())


def fusion_of(name, widths=WIDTHS, seed=0):
    torch.manual_seed(seed)
    return FUSIONS.build(name, {"width": 8, "dropout": 0.5}, widths).eval()


def drawn(seed, rows=6):
    generator = torch.Generator().manual_seed(seed)
    vectors = {m: torch.randn(rows, w, generator=generator) for m, w in WIDTHS.items()}
    present = {m: torch.rand(rows, generator=generator) < 0.6 for m in WIDTHS}
    return vectors, present


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 10_000), value=st.sampled_from([0.0, 1e9, float("nan"), float("inf")]))
@settings(max_examples=25, deadline=None)
def test_what_is_absent_cannot_change_the_answer(name, seed, value):
    fusion = fusion_of(name)
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


def test_unknown_activation_names_what_is_allowed():
    with pytest.raises(ConfigError, match="relu"):
        FUSIONS.build("sum", {"activation": "swish"}, WIDTHS)
