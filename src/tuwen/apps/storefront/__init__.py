"""A shop's bundle, recommender, index, dataset and store as one: every answer that the service gives.

Loaded on first use: a service that only predicts has neither SciPy nor Arrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuwen.apps.storefront.parts import Parts
    from tuwen.apps.storefront.storefront import Storefront

__all__ = ["Parts", "Storefront"]
_PLACES = {"Parts": "tuwen.apps.storefront.parts", "Storefront": "tuwen.apps.storefront.storefront"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"tuwen.apps.storefront has no '{name}'")
    return getattr(import_module(_PLACES[name]), name)
