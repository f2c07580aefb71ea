"""Why an item is shown: the retriever that had it farthest in front says so."""

import numpy as np
import pytest

from tuwen.apps.recommend import RETRIEVERS
from tuwen.apps.recommend.recommender import proposed_by


def test_the_list_that_has_an_item_farthest_in_front_proposed_it() -> None:
    tops = [np.array([5, 7, 9, -1]), np.array([7, 5, 3, -1]), np.array([-1, -1, -1, -1])]
    assert proposed_by(tops, np.array([5, 7, 9, 3, 4, -1])).tolist() == [0, 1, 0, 1, -1, -1]


@pytest.mark.parametrize("name", list(RETRIEVERS.entries()))
def test_every_retriever_has_its_reason_in_both_languages(name) -> None:
    english, chinese = RETRIEVERS.load(name).reason if name != "content" else RETRIEVERS.build(name, {}).reason
    assert english.isascii() and not chinese.isascii()
