"""Who looks at what, buys it and says what: the sample shop's simulation, and the best anybody could predict.

Stars are ``clip(round(3 + 0.9 · pattern + 0.65 · sentiment + user + noise), 1, 5)``. The pattern (−1 … 1) is only in
the picture, the sentiment (−2 … 2: two clauses of −1, 0 or 1) only in the words, ``user`` and ``noise`` are normal
with standard deviations 0.3 and 0.4. So the expected error of a reader of pictures, of words, of both, is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from tuwen.data.sample.pictures import Pattern
from tuwen.data.sample.words import BRANDS, COLOURS, KINDS, SENTENCES, Language, Sentiment, item_title, review_text

PATTERNS: tuple[Pattern, ...] = ("plain", "checks", "stripes", "dots")
PATTERN_EFFECT: dict[Pattern, float] = {"plain": -1.0, "checks": -1 / 3, "stripes": 1 / 3, "dots": 1.0}
PATTERN_WEIGHT, SENTIMENT_WEIGHT, USER_DEVIATION, NOISE_DEVIATION = 0.9, 0.65, 0.3, 0.4
CLAUSE_ODDS: dict[Sentiment, float] = {-1: 0.3, 0: 0.3, 1: 0.4}
OPENING = datetime(2025, 1, 1)
DAYS = 360


@dataclass(frozen=True)
class Item:
    sku: str
    kind: str
    colour: str
    pattern: Pattern
    brand: int
    language: str
    title: str
    description: str
    price: float


@dataclass(frozen=True)
class User:
    name: str
    language: Language
    bias: float
    kinds: np.ndarray  # [kinds] liking
    colours: np.ndarray  # [colours]
    patterns: np.ndarray  # [patterns]


@dataclass(frozen=True)
class Event:
    user: str
    sku: str
    time: datetime
    action: str
    quantity: int | None
    amount: float | None
    session: str


@dataclass(frozen=True)
class Review:
    number: str
    user: str
    sku: str
    time: datetime
    stars: int
    text: str
    sentiment: int | None  # None: only stars, no words


@dataclass
class Shopping:
    events: list[Event] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)


def make_items(count: int, rng: np.random.Generator) -> list[Item]:
    """``count`` items; the pattern is drawn apart from all that words tell."""
    items = []
    for i in range(count):
        kind = list(KINDS)[rng.integers(len(KINDS))]
        colour = list(COLOURS)[rng.integers(len(COLOURS))]
        brand = int(rng.integers(len(BRANDS)))
        language = ("en", "zh", "both")[rng.choice(3, p=(0.45, 0.45, 0.1))]
        written: tuple[Language, ...] = ("en", "zh") if language == "both" else (language,)  # type: ignore[assignment]
        two = rng.choice(len(SENTENCES["en"]), 2, replace=False)
        price = KINDS[kind].price * BRANDS[brand].level * float(rng.uniform(0.85, 1.2))
        items.append(
            Item(
                sku=f"SKU-{i + 1:04d}",
                kind=kind,
                colour=colour,
                pattern=PATTERNS[rng.integers(len(PATTERNS))],
                brand=brand,
                language=language,
                title=item_title(KINDS[kind], BRANDS[brand], int(rng.integers(8)), colour, language),  # type: ignore[arg-type]
                description="\n".join(("" if w == "zh" else " ").join(SENTENCES[w][n] for n in two) for w in written),
                price=round(price) - 0.1,
            )
        )
    return items


def make_users(count: int, rng: np.random.Generator) -> list[User]:
    return [
        User(
            name=f"U{i + 1:04d}",
            language=("en", "zh")[int(rng.integers(2))],
            bias=float(rng.normal(0, USER_DEVIATION)),
            kinds=rng.normal(0, 1.3, len(KINDS)),
            colours=rng.normal(0, 0.9, len(COLOURS)),
            patterns=rng.normal(0, 0.7, len(PATTERNS)),
        )
        for i in range(count)
    ]


def go_shopping(items: list[Item], users: list[User], rng: np.random.Generator) -> Shopping:
    """Every user's sessions: views, clicks, carts, purchases by taste; then reviews of what was bought."""
    kinds = np.array([list(KINDS).index(item.kind) for item in items])
    colours = np.array([list(COLOURS).index(item.colour) for item in items])
    patterns = np.array([PATTERNS.index(item.pattern) for item in items])
    popularity = rng.normal(0, 0.8, len(items))
    shopping = Shopping()
    for user in users:
        liking = user.kinds[kinds] + user.colours[colours] + user.patterns[patterns]  # [items]
        odds = np.exp(0.9 * liking + popularity)
        sessions = 1 + int(rng.poisson(9))
        starts = np.sort(rng.uniform(0, DAYS * 86_400, sessions))
        for number, start in enumerate(starts):
            seen = rng.choice(len(items), min(len(items), 1 + int(rng.poisson(9))), replace=False, p=odds / odds.sum())
            session = f"{user.name}-{number + 1}"
            _browse(
                shopping,
                user,
                session,
                OPENING + timedelta(seconds=int(start)),
                [items[i] for i in seen],
                liking[seen],
                rng,
            )
    shopping.events.sort(key=lambda e: (e.time, e.user))
    shopping.reviews.sort(key=lambda r: (r.time, r.user))
    shopping.reviews = [_numbered(review, i) for i, review in enumerate(shopping.reviews)]
    return shopping


def _browse(
    shopping: Shopping,
    user: User,
    session: str,
    now: datetime,
    items: list[Item],
    liking: np.ndarray,
    rng: np.random.Generator,
) -> None:
    wish = 1 / (1 + np.exp(-liking))  # [seen]
    luck = rng.uniform(0, 1, (len(items), 3))
    for item, chance, (click, cart, purchase) in zip(items, wish, luck, strict=True):

        def log(action: str, quantity: int | None = None, item: Item = item) -> None:
            nonlocal now
            amount = None if quantity is None else round(quantity * item.price, 2)
            shopping.events.append(Event(user.name, item.sku, now, action, quantity, amount, session))
            now += timedelta(seconds=int(rng.integers(4, 90)))

        log("view")
        if click < 0.25 + 0.5 * chance:
            log("click")
            if cart < 0.1 + 0.5 * chance:
                log("cart", 1)
                if purchase < 0.75:
                    log("purchase", 1 + int(rng.uniform() < 0.1))
                    if rng.uniform() < 0.5:
                        shopping.reviews.append(_review(user, item, now, rng))


def _review(user: User, item: Item, bought: datetime, rng: np.random.Generator) -> Review:
    sentiments = [list(CLAUSE_ODDS)[i] for i in rng.choice(3, 2, p=list(CLAUSE_ODDS.values()))]
    first, step = int(rng.integers(8)), int(rng.integers(1, 8))
    clauses = [(sentiments[0], first), (sentiments[1], (first + step) % 8)]
    mean = (
        3
        + PATTERN_WEIGHT * PATTERN_EFFECT[item.pattern]
        + SENTIMENT_WEIGHT * sum(sentiments)
        + user.bias
        + rng.normal(0, NOISE_DEVIATION)
    )
    language: Language = user.language if rng.uniform() < 0.9 else "en"
    text = review_text(KINDS[item.kind], language, int(rng.integers(6)), clauses)
    silent = rng.uniform() < 0.03
    return Review(
        number="",
        user=user.name,
        sku=item.sku,
        time=bought + timedelta(seconds=int(rng.integers(2 * 86_400, 20 * 86_400))),
        stars=int(np.clip(np.rint(mean), 1, 5)),
        text="" if silent else text,
        sentiment=None if silent else sum(sentiments),
    )


def _numbered(review: Review, i: int) -> Review:
    return Review(f"R{i + 1:05d}", review.user, review.sku, review.time, review.stars, review.text, review.sentiment)


# --- What is the best that can be done ----------------------------------------------------------------------------


def star_odds(pattern: Pattern, sentiment: int) -> np.ndarray:
    """The probabilities of 1 … 5 stars, the user unknown: float64 [5]."""
    mean = 3 + PATTERN_WEIGHT * PATTERN_EFFECT[pattern] + SENTIMENT_WEIGHT * sentiment
    deviation = math.hypot(USER_DEVIATION, NOISE_DEVIATION)
    below = [0.5 * (1 + math.erf((cut - mean) / (deviation * math.sqrt(2)))) for cut in (1.5, 2.5, 3.5, 4.5)]
    return np.diff([0.0, *below, 1.0])


def best_rmse(rows: Iterable[tuple[Pattern, int | None, bool]]) -> dict[str, float]:
    """The expected RMSE of the best possible reader of nothing, the picture, the text, and both.

    Args:
        rows: of every review its item's pattern, its sentiment (None: no words), and whether there is a picture.
    """
    rows = list(rows)
    shares = np.array([sum(r[0] == p for r in rows) for p in PATTERNS]) / max(1, len(rows))
    one = np.array(list(CLAUSE_ODDS.values()))
    moods = np.convolve(one, one)  # [5], sentiment −2 … 2
    odds = np.array([[star_odds(p, s) for s in range(-2, 3)] for p in PATTERNS])  # [patterns, sentiments, stars]
    joint = odds * shares[:, None, None] * moods[None, :, None]
    seen = float(np.mean([r[2] for r in rows])) if rows else 0.0
    read = float(np.mean([r[1] is not None for r in rows])) if rows else 0.0
    nothing, picture = _spread(joint.sum((0, 1), keepdims=True)), _spread(joint.sum(1, keepdims=True))
    text, both = _spread(joint.sum(0, keepdims=True)), _spread(joint)
    return {
        "nothing": math.sqrt(nothing),
        "picture": math.sqrt(seen * picture + (1 - seen) * nothing),
        "text": math.sqrt(read * text + (1 - read) * nothing),
        "picture_and_text": math.sqrt(
            seen * read * both
            + seen * (1 - read) * picture
            + (1 - seen) * read * text
            + (1 - seen) * (1 - read) * nothing
        ),
    }


def _spread(joint: np.ndarray) -> float:
    """The mean variance of the stars within the cells of ``joint`` [.., .., stars]."""
    stars = np.arange(1, 6)
    weight = joint.sum(-1)
    mean = (joint * stars).sum(-1) / np.where(weight, weight, 1)
    return float((joint * stars**2).sum() - (weight * mean**2).sum())
