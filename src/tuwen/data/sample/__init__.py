"""A made-up shop, written as a real one would export it, with a known signal in its pictures and its words."""

from tuwen.data.sample.shop import write_sample_shop

__all__ = ["write_sample_shop"]
