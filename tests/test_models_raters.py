"""Raters: each against an oracle or a planted truth, and the laws that all of them keep."""

import copy

import numpy as np
import pytest
import torch

from tuwen.errors import DataError
from tuwen.models import RATERS
from tuwen.models.raters.biases import Biases
from tuwen.models.raters.factors import Factors
from tuwen.models.raters.gibbs import _turned, _wishart
from tuwen.models.raters.neighbours import Neighbours, _place
from tuwen.models.raters.rater import Asked, Facts, Ratings, restore
from tuwen.training.raters import answers_of

USERS, ITEMS, NOISE = 60, 80, 0.3
SHORT = {"width": 3, "samples": 40, "warm_up": 30, "kept": 40}
EVERY = {
    "biases": Biases,
    "neighbours": Neighbours,
    "factors": lambda: Factors(width=3, samples=6, warm_up=2, facts=3),
}


def facts_of(values, absent=()):
    """Facts of everybody; place 0 is nobody."""
    rows = np.vstack([np.zeros((1, values.shape[1])), values]).astype(np.float32)
    there = np.ones(len(rows), bool)
    there[[0, *absent]] = False
    return Facts(torch.from_numpy(rows), torch.from_numpy(there))


class Planted:
    """Ratings of a known bias and a vector of two numbers; those of items follow from what is known of them."""

    def __init__(self, seed=0, share=0.5):
        rng = np.random.default_rng(seed)
        self.told = rng.normal(size=(ITEMS, 4))
        users = rng.normal(size=(USERS, 2))
        items = self.told @ rng.normal(size=(4, 2)) * 0.4
        generous, liked = rng.normal(size=USERS) * 0.5, self.told[:, 0] * 0.4
        self.truth = 3.0 + generous[:, None] + liked + users @ items.T
        user, item = np.nonzero(rng.random(self.truth.shape) < share)
        self.value = self.truth[user, item] + rng.normal(size=len(user)) * NOISE
        facts = {"user": [], "item": [facts_of(self.told)]}
        self.ratings = Ratings(user + 1, item + 1, self.value, USERS, ITEMS, facts)

    def rmse_of(self, rater, rows, about=None):
        """Against the truth without noise."""
        some = (about or self.ratings).take(rows)
        whole = self.ratings.take(rows)
        return float(np.sqrt(np.mean((answers_of(rater, some) - self.truth[whole.user - 1, whole.item - 1]) ** 2)))


def fitted(rater, ratings, seed=0):
    rater.fit(ratings, np.random.default_rng(seed), lambda n: None)
    return rater


def stars_of(planted):
    return planted.ratings.__class__(
        **{**vars(planted.ratings), "value": np.clip(np.round(planted.value), 1, 5).astype(float)}
    )


# --- Each against what is known -----------------------------------------------------------------------------------


def test_biases_are_the_ridge_regression_of_users_and_items():
    ratings = Planted().ratings
    rater = fitted(Biases(user=5, item=3), ratings)
    design = np.zeros((len(ratings), USERS + ITEMS))
    design[np.arange(len(ratings)), ratings.user - 1] = 1
    design[np.arange(len(ratings)), USERS + ratings.item - 1] = 1
    pull = np.diag([5.0] * USERS + [3.0] * ITEMS)
    exact = np.linalg.solve(design.T @ design + pull, design.T @ (ratings.value - ratings.value.mean()))
    assert rater.of_user[1:].numpy() == pytest.approx(exact[:USERS], abs=1e-4)
    assert rater.of_item[1:].numpy() == pytest.approx(exact[USERS:], abs=1e-4)
    assert rater.of_user[0] == rater.of_item[0] == 0


@pytest.mark.parametrize("of", ["items", "users"])
def test_neighbours_say_what_the_formula_says(of):
    ratings = Planted().ratings
    rater = fitted(Neighbours(of=of, neighbours=7, shrink=10, doubt=0.5), ratings)
    biases = fitted(Biases(), ratings)
    rest = np.zeros((USERS + 1, ITEMS + 1))
    rest[ratings.user, ratings.item] = ratings.value - answers_of(biases, ratings)
    there = np.zeros_like(rest)
    there[ratings.user, ratings.item] = 1
    if of == "users":
        rest, there = rest.T, there.T
    for user, item in [(1, 1), (5, 40), (60, 80)]:
        one, other = (item, user) if of == "items" else (user, item)
        alike = []
        for near in range(1, rest.shape[1]):
            both = there[:, one] * there[:, near]
            norm = np.sqrt((both * rest[:, one] ** 2).sum() * (both * rest[:, near] ** 2).sum())
            found = (both * rest[:, one] * rest[:, near]).sum() / max(norm, 1e-12) * both.sum() / (both.sum() + 10)
            alike.append((0.0 if near == one else found, near))
        said = sorted(alike, reverse=True)[:7]
        said = [(max(weight, 0.0) * there[other, near], rest[other, near]) for weight, near in said]
        expected = sum(weight * value for weight, value in said) / (sum(weight for weight, _ in said) + 0.5)
        ask = Asked(torch.tensor([user]), torch.tensor([item]), {"user": [], "item": []})
        assert float(rater(ask) - biases(ask)) == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def planted():
    return Planted()


@pytest.fixture(scope="module")
def factors(planted):
    return fitted(Factors(**SHORT), planted.ratings)


def test_factors_find_a_planted_truth_far_below_the_noise(planted, factors):
    rows = np.arange(len(planted.ratings))
    assert planted.rmse_of(factors, rows) < 0.6 * NOISE
    assert planted.rmse_of(fitted(Biases(), planted.ratings), rows) > 2 * NOISE


def test_factors_rate_a_new_item_by_what_is_known_of_it(planted):
    held = planted.ratings.item > ITEMS - 20
    seen = planted.ratings.take(np.flatnonzero(~held))
    known = Ratings(
        seen.user, seen.item, seen.value, USERS, ITEMS - 20, {"user": [], "item": [facts_of(planted.told[:-20])]}
    )
    rater = fitted(Factors(**SHORT), known)
    rows = planted.ratings.take(np.flatnonzero(held))
    ask = rows.asked()
    told = rater(Asked(ask.user, torch.zeros_like(ask.item), ask.facts)).numpy()
    blank = [Facts(fact.values, torch.zeros_like(fact.present)) for fact in ask.facts["item"]]
    blind = rater(Asked(ask.user, torch.zeros_like(ask.item), {"user": [], "item": blank})).numpy()
    truth = planted.truth[rows.user - 1, rows.item - 1]
    assert np.sqrt(np.mean((told - truth) ** 2)) < 0.45 * np.sqrt(np.mean((blind - truth) ** 2))
    assert np.sqrt(np.mean((told - truth) ** 2)) < 1.3 * NOISE


def test_ordered_answers_are_found_as_their_means(planted):
    stars = stars_of(planted)
    rater = fitted(Factors(answers="levels", **SHORT), stars)
    found = answers_of(rater, stars)
    numbers = answers_of(fitted(Factors(**SHORT), stars), stars)
    assert found.min() >= 1 and found.max() <= 5
    assert found.mean() == pytest.approx(stars.value.mean(), abs=0.03)
    truth = np.clip(planted.truth[stars.user - 1, stars.item - 1], 1, 5)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 1.1 * np.sqrt(np.mean((numbers - truth) ** 2))


def test_levels_need_few_values(planted):
    with pytest.raises(DataError, match="a few different values") as error:
        fitted(Factors(answers="levels"), planted.ratings)
    assert error.value.todo == "answers: numbers"


def test_facts_are_turned_and_turned_back():
    for shape in [(9, 4), (4, 9)]:
        facts = np.random.default_rng(1).normal(size=shape)
        turned, size, back = _turned(facts)
        assert turned.T @ turned == pytest.approx(np.diag(size), abs=1e-9)
        assert facts @ back == pytest.approx(turned, abs=1e-9)


def test_wishart_draws_have_the_mean_that_they_should():
    scale = np.array([[1.0, 0.4], [0.4, 0.5]])
    rng = np.random.default_rng(2)
    mean = np.mean([_wishart(scale, 7, rng) for _ in range(4000)], axis=0)
    assert mean == pytest.approx(7 * scale, rel=0.05)


# --- Laws of all of them ------------------------------------------------------------------------------------------


def test_every_rater_is_in_this_test():
    assert set(EVERY) == set(RATERS.entries())


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_the_ratings_changes_nothing(name, planted):
    ratings = planted.ratings
    shuffled = ratings.take(np.random.default_rng(3).permutation(len(ratings)))
    one, two = fitted(EVERY[name](), ratings), fitted(EVERY[name](), shuffled)
    assert answers_of(one, ratings) == pytest.approx(answers_of(two, ratings), abs=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_a_row_is_answered_alone_and_new_ones_are_too(name, planted):
    rater = fitted(EVERY[name](), planted.ratings)
    some = planted.ratings.take(np.arange(0, 200, 7))
    some.user[::3], some.item[::4] = 0, 0
    together = answers_of(rater, some)
    alone = np.concatenate([answers_of(rater, some.take(np.array([i]))) for i in range(len(some))])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(together).all()
    nobody = some.take(np.array([0]))
    nobody.user[:], nobody.item[:] = 0, 0
    assert answers_of(rater, nobody) == pytest.approx([planted.value.mean()], abs=0.6)


@pytest.mark.parametrize("name", EVERY)
def test_what_was_fitted_is_all_in_the_state(name, planted):
    rater = fitted(EVERY[name](), planted.ratings)
    again = EVERY[name]()
    restore(again, copy.deepcopy(rater.state_dict()))
    assert (answers_of(again, planted.ratings) == answers_of(rater, planted.ratings)).all()


@pytest.mark.parametrize("name", EVERY)
def test_who_rates_twice_and_who_is_nobody_is_no_fault(name):
    user, item = np.array([1, 1, 2, 0, 2, 1]), np.array([1, 1, 1, 2, 0, 2])
    facts = {"user": [], "item": [facts_of(np.ones((2, 2)), absent=(1, 2))]}
    ratings = Ratings(user, item, np.array([1.0, 3, 2, 5, 4, 4]), 2, 2, facts)
    assert np.isfinite(answers_of(fitted(EVERY[name](), ratings), ratings)).all()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("count", [1, 2, 7, 8, 100])
def test_places_are_found_alike_in_an_exported_graph(count):
    rng = np.random.default_rng(count)
    keys = torch.from_numpy(np.sort(rng.choice(300, count, replace=False)))
    wanted = torch.from_numpy(rng.integers(-5, 305, (40, 6)))
    exported = torch.jit.trace(lambda asked: _place(keys, asked), wanted[:2])
    assert torch.equal(exported(wanted), torch.searchsorted(keys, wanted))
