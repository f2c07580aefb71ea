"""How good made vectors are, beside true ones that their maker did not see. NumPy alone.

Two-sample accuracy tells whether they can be told apart, coverage and variance whether they are as diverse, and the
error whether a filled vector is nearer to the truth than a guess that needs no network. In many dimensions a generator
that only makes the middle is near to everything: there the variance alone shows the collapse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuwen.evaluation.words import Text, thing

Vectors = np.ndarray  # f32 or f64 [rows, width]

NEIGHBOURS = 5
FEW = 20  # rows that a judgement needs
MOST = 1000  # rows that it takes
LEAST_COVERAGE, LEAST_VARIANCE = 0.5, 0.25  # below: collapse
LEAST_GAIN = 0.98  # above: the filling is as good as the mean vector, whose error is 1
PENALTIES = 10.0 ** np.arange(-3, 6)  # of the ridge regression, times the mean of the kernel's diagonal

MEASURED = ("two_sample_accuracy", "coverage", "variance", "error", "linear")

NONE_RARE: Text = (
    "No class is rare enough for the generator to make rows: it was not trained.",
    "没有足够稀少的类别需要生成样本：未训练生成器。",
)
FEW_HELD: Text = (
    f"Too few rows could be held back to judge the generator: fewer than {FEW}.",
    f"可留出的行太少（不足 {FEW} 行），无法评判生成器。",
)


def two_sample_accuracy(real: Vectors, made: Vectors) -> float:
    """How often the nearest other row tells true from made (Lopez-Paz and Oquab, 2017): 0.5 is best, 1 is worst.

    Below 0.5 made rows are nearer to true ones than true ones to each other: copies.
    """
    rows = np.concatenate([real, made])
    truth = np.arange(len(rows)) < len(real)
    away = distances(rows, rows)
    np.fill_diagonal(away, np.inf)
    return float(np.mean(truth[away.argmin(axis=1)] == truth))


def coverage(real: Vectors, made: Vectors, neighbours: int = NEIGHBOURS) -> float:
    """Share of true rows with a made one among their neighbourhood (Naeem et al., 2020): 1 is best.

    A neighbourhood is the ball that reaches to the ``neighbours``-th nearest true row.
    """
    between = distances(real, real)
    np.fill_diagonal(between, np.inf)
    reach = np.partition(between, neighbours - 1, axis=1)[:, neighbours - 1]
    return float(np.mean(distances(real, made).min(axis=1) <= reach))


def variance_ratio(real: Vectors, made: Vectors) -> float:
    """Variance of the made rows over that of the true ones, summed over the width: 1 is best, 0 is one single row."""
    of_real = float(real.var(axis=0, dtype=np.float64).sum())
    return float(made.var(axis=0, dtype=np.float64).sum()) / of_real if of_real else 1.0


def distances(one: Vectors, other: Vectors) -> Vectors:
    """Squared Euclidean distances f64 [rows of one, rows of other]."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    centre = one.mean(axis=0)  # near the origin the difference of squares loses fewer digits
    one, other = one - centre, other - centre
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None]
    return np.asarray(np.maximum(squares - 2.0 * one @ other.T, 0.0))


def judged(real: Vectors, made: Vectors) -> dict[str, Any]:
    """``rows``, ``two_sample_accuracy``, ``coverage``, ``variance``: equally many true and made rows."""
    return {
        "rows": len(real),
        "two_sample_accuracy": round(two_sample_accuracy(real, made), 4),
        "coverage": round(coverage(real, made), 4),
        "variance": round(variance_ratio(real, made), 4),
    }


def error(truth: Vectors, guess: Vectors, mean: Vectors) -> float:
    """Squared error of ``guess``, where always guessing ``mean`` [width] has 1: below 1 is a gain."""
    of_mean = float(((truth - mean) ** 2).sum(dtype=np.float64))
    return float(((truth - guess) ** 2).sum(dtype=np.float64)) / of_mean if of_mean else 1.0


def linear_guess(seen: Vectors, truth: Vectors, asked: Vectors) -> Vectors:
    """Ridge regression of ``truth`` on ``seen``, answered for ``asked``: what needs no generator.

    The penalty is the one with the least leave-one-out error, which for a linear smoother needs no second fit
    (Allen, 1974, PRESS).
    """
    seen, truth, asked = (a.astype(np.float64) for a in (seen, truth, asked))
    centre, mean = seen.mean(axis=0), truth.mean(axis=0)
    seen, truth, asked = seen - centre, truth - mean, asked - centre
    kernel = seen @ seen.T
    values, directions = np.linalg.eigh(kernel)
    turned, unit = directions.T @ truth, max(float(np.trace(kernel)) / len(kernel), 1e-12)
    best, least = 0.0, np.inf
    for penalty in PENALTIES * unit:
        kept = np.maximum(values, 0.0) / (np.maximum(values, 0.0) + penalty)
        itself = (directions**2 * kept).sum(axis=1) + 1.0 / len(seen)  # the weight of a row in its own answer
        out = (truth - directions @ (turned * kept[:, None])) / np.maximum(1.0 - itself, 1e-6)[:, None]
        if (found := float((out**2).sum())) < least:
            best, least = penalty, found
    weights = directions @ (turned / (np.maximum(values, 0.0) + best)[:, None])
    return np.asarray(asked @ (seen.T @ weights) + mean)


def warnings(account: Mapping[str, Any]) -> list[Text]:
    """What is wrong with a generator, in plain words.

    Args:
        account: ``use``, ``made`` (class → rows) and ``quality``: a list of what :func:`judged` gave, each with
            ``modalities`` or ``class``, and for a filled modality ``error``.
    """
    if account["use"] == "augment" and not account["made"]:
        return [NONE_RARE]
    if not account["quality"]:
        return [FEW_HELD]
    found: list[Text] = []
    for entry in account["quality"]:
        english, chinese = of(entry)
        if short := _short_of(entry):
            found.append(
                (
                    f"The generator has collapsed on {english}: what it makes {' and '.join(s[0] for s in short)}.",
                    f"生成器在{chinese}上发生坍缩：生成的向量{'，'.join(s[1] for s in short)}。",
                )
            )
        if entry.get("error") is not None and entry["error"] > LEAST_GAIN:
            found.append(
                (
                    f"Filling {english} from the other inputs is hardly better than always taking its mean.",
                    f"由其他输入补全{chinese}，几乎不比总取其平均值更好。",
                )
            )
    return found


def _short_of(entry: Mapping[str, Any]) -> list[Text]:
    """What made vectors lack; nothing where they are as diverse as they should be."""
    share, varied = f"{entry['coverage']:.0%}", f"{entry['variance']:.0%}"
    found: list[Text] = []
    if entry["coverage"] < LEAST_COVERAGE:
        found.append((f"covers only {share} of the true rows", f"只覆盖 {share} 的真实行"))
    if entry["variance"] < LEAST_VARIANCE:
        found.append((f"has only {varied} of their variance", f"方差只有真实的 {varied}"))
    return found


def pooled(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The accounts of several folds as one: means, made rows added up, and warnings of the worst fold."""
    entries: dict[str, list[Mapping[str, Any]]] = {}
    made: dict[str, int] = {}
    for account in accounts:
        for entry in account["quality"]:
            entries.setdefault(of(entry)[0], []).append(entry)
        for name, rows in account["made"].items():
            made[name] = made.get(name, 0) + rows
    means, worst = [], []
    for found in entries.values():
        numbers = [name for name, value in found[0].items() if isinstance(value, int | float)]
        mean = {name: round(float(np.mean([entry[name] for entry in found])), 4) for name in numbers}
        means.append({**found[0], **mean, "rows": sum(entry["rows"] for entry in found)})
        low = {name: min(entry[name] for entry in found) for name in ("coverage", "variance")}
        worst.append({**means[-1], **low})
    one = {"use": accounts[0]["use"], "folds": len(accounts), "made": made}
    said = warnings({**one, "quality": worst})
    return {**one, "quality": means, "warnings": [{"en": english, "zh": chinese} for english, chinese in said]}


def over_trainings(accounts: Sequence[Mapping[str, Any]], folds: int) -> dict[str, Any]:
    """The accounts of all seeds and folds of one cell of a comparison as one.

    Returns:
        what :func:`pooled` gives, made rows and rows of one seed; ``trainings``, and how many of them ``warned``; each
        entry of ``quality`` also ``least`` and ``most``: number → that of a single training.
    """
    one = pooled(accounts)
    seeds = max(len(accounts) // folds, 1)
    single: dict[str, list[Mapping[str, Any]]] = {}
    for account in accounts:
        for entry in account["quality"]:
            single.setdefault(of(entry)[0], []).append(entry)
    quality = []
    for entry in one["quality"]:
        each = single[of(entry)[0]]
        numbers = [name for name in MEASURED if isinstance(entry.get(name), int | float)]
        ends = {end: {n: pick(e[n] for e in each) for n in numbers} for end, pick in (("least", min), ("most", max))}
        quality.append({**entry, "rows": round(entry["rows"] / seeds), **ends})
    said = list(one["warnings"])
    unjudged = {"en": FEW_HELD[0], "zh": FEW_HELD[1]}
    if any(unjudged in account["warnings"] for account in accounts) and unjudged not in said:
        said.append(unjudged)
    return {
        **one,
        "folds": folds,
        "trainings": len(accounts),
        "made": {name: round(rows / seeds) for name, rows in one["made"].items()},
        "quality": quality,
        "warned": sum(bool(account["warnings"]) for account in accounts),
        "warnings": said,
    }


def of(entry: Mapping[str, Any]) -> Text:
    """What an entry is about: a modality or a class."""
    if "class" in entry:
        return f"class “{entry['class']}”", f"类别“{entry['class']}”"
    words = [thing(name) for name in entry["modalities"]]
    return " and ".join(w[0] for w in words), "和".join(w[1] for w in words)
