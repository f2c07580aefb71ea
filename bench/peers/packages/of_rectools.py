"""RecTools: PureSVD (Cremonesi, Koren and Turrin, 2010), and ALS with the items' columns as features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from rectools.dataset import Dataset
from rectools.models import ImplicitALSWrapperModel, PureSVDModel


def pure_svd(known: Any, **options: Any) -> np.ndarray:
    """Without a seed: it goes on until it is exact, and this release cannot hand one to this SciPy."""
    return _scores(known, PureSVDModel(**options), features=False)


def als(known: Any, *, features: bool = False, **options: Any) -> np.ndarray:
    model = AlternatingLeastSquares(num_threads=1, random_state=0, **options)
    return _scores(known, ImplicitALSWrapperModel(model, fit_features_together=True), features=features)


def _scores(known: Any, model: Any, *, features: bool) -> np.ndarray:
    counts, who, what = known.compact()
    pairs = counts.tocoo()
    table = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col, "weight": pairs.data, "datetime": "2000-01-01"})
    more: dict[str, Any] = {}
    if features and known.facts.size:
        columns = [f"c{place}" for place in range(known.facts.shape[1])]
        told = pd.DataFrame(known.facts[what], columns=columns).assign(id=np.arange(len(what)))
        more = {"item_features_df": told.melt("id", var_name="feature"), "cat_item_features": columns}
    data = Dataset.construct(table, **more)
    model.fit(data)
    if isinstance(model, ImplicitALSWrapperModel):
        users, items = model.get_vectors()
    else:
        users, items = model.user_factors, model.item_factors
    row = data.user_id_map.convert_to_internal(np.arange(len(who)))
    column = data.item_id_map.convert_to_internal(np.arange(len(what)))
    return known.spread(lambda rows: users[row[rows]] @ items[column].T, who, what)
