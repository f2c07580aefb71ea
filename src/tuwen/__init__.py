"""tuwen (图文): a shop's pictures, words and clicks, turned into predicted ratings, recommendations and search."""

__version__ = "0.1.0"
