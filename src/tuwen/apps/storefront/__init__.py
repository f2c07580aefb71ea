"""A shop's bundle, recommender, index, dataset and store as one: every answer that the service gives."""

from __future__ import annotations

from tuwen.apps.storefront.parts import Parts
from tuwen.apps.storefront.storefront import Storefront

__all__ = ["Parts", "Storefront"]
