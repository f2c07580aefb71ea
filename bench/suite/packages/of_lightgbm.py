"""LightGBM on the table and 64 main axes of the TF-IDF of the text."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from packages.of_linear import vectoriser
from sklearn.decomposition import TruncatedSVD

OBJECTIVES = {"rate": "regression", "binary": "binary", "classify": "multiclass"}


def features(given: Any) -> tuple[np.ndarray, list[int]]:
    """f64 [rows, features], and which of them are categories."""
    columns = [given.numbers]
    texts = np.array(given.text, dtype=object)
    if given.has_text:
        tfidf = vectoriser(texts[given.train].tolist())
        words = tfidf.fit_transform(texts[given.train].tolist())
        every, width = tfidf.transform(texts.tolist()), min(64, min(words.shape) - 1)
        axes = TruncatedSVD(width, random_state=0).fit(words) if width > 1 else None
        columns.append(axes.transform(every) if axes is not None else every.toarray())
    start = sum(column.shape[1] for column in columns)
    for cells in given.categories.values():
        present = {cell for cell, learned in zip(cells, given.train, strict=True) if learned and cell}
        levels = {level: at for at, level in enumerate(sorted(present))}
        columns.append(np.array([levels.get(cell, np.nan) for cell in cells], float)[:, None])
    x = np.concatenate(columns, axis=1)
    if not x.shape[1]:
        given.need_text()
    return x, list(range(start, x.shape[1]))


def answer(given: Any) -> np.ndarray:
    """Trees are counted on a holdout of the train part."""
    x, categories = features(given)
    known, (fit, stop) = given.known, given.holdout()
    options = {
        "objective": OBJECTIVES[given.task],
        "learning_rate": 0.05,
        "num_leaves": 31,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 0,
    } | ({"num_class": given.classes} if given.task == "classify" else {})
    train = x[given.train]

    def data(rows: np.ndarray) -> lightgbm.Dataset:
        return lightgbm.Dataset(train[rows], known[rows], categorical_feature=categories, free_raw_data=False)

    early = lightgbm.early_stopping(50, verbose=False)
    trial = lightgbm.train(options, data(fit), 1000, valid_sets=[data(stop)], callbacks=[early])
    model = lightgbm.train(options, data(np.arange(len(known))), max(1, trial.best_iteration))
    return np.asarray(model.predict(x[~given.train]))
