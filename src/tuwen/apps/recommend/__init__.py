"""Recommendation: retrievers propose items, a ranker orders them. What is not known at a moment has no part in it."""

from tuwen.registry import Registry

RETRIEVERS = Registry(
    "retriever",
    {
        "popularity": ("tuwen.apps.recommend.popularity:Popularity", "what was bought most, recent purchases first"),
        "segment": ("tuwen.apps.recommend.popularity:Segment", "what is bought most by shoppers like this one"),
        "favourites": ("tuwen.apps.recommend.popularity:Favourites", "what sells in the categories the shopper buys"),
        "again": ("tuwen.apps.recommend.again:Again", "what the shopper bought before"),
        "item-knn": ("tuwen.apps.recommend.together:ItemKnn", "what is bought by those who bought the same"),
        "ease": ("tuwen.apps.recommend.together:Ease", "the same, by a linear model of all items at once"),
        "content": ("tuwen.apps.recommend.content:Content", "what looks or reads like what the shopper bought"),
        "two-tower": ("tuwen.apps.recommend.tower:TwoTower", "what lies near what the shopper bought, as learned"),
        "newcomers": ("tuwen.apps.recommend.content:Newcomers", "what nobody bought yet, in the shopper's categories"),
    },
)

RANKERS = Registry(
    "ranker",
    {
        "lambdarank": (
            "tuwen.apps.recommend.ranker:LambdaRank",
            "gradient boosted trees that learn the order of lists",
        ),
        "linear": ("tuwen.apps.recommend.linear:Linear", "a weighted sum of features; needs no LightGBM"),
        "blend": ("tuwen.apps.recommend.blend:Blend", "reciprocal rank of the retrievers; learns nothing"),
    },
)
