"""Short accounts of what commands made, for a person to read."""

from __future__ import annotations

from typing import Any

from tuwen.errors import ConfigError, did_you_mean


def components(kind: str) -> dict[str, dict[str, str]]:
    """kind → name → one line, for one kind of component or all.

    Raises:
        ConfigError: there is no such kind.
    """
    from tuwen.data import SPLITS
    from tuwen.models import ENCODERS, FUSIONS, TASKS
    from tuwen.preprocess import MODALITIES

    registries = {
        "modalities": MODALITIES,
        "encoders": ENCODERS,
        "fusions": FUSIONS,
        "tasks": TASKS,
        "splits": SPLITS,
    }
    if kind not in (*registries, "all"):
        raise ConfigError(
            f"there is no kind '{kind}'", allowed=registries, todo=did_you_mean(kind, registries) or "tuwen list"
        )
    return {
        name: {use: summary for use, (_, summary) in registry.entries().items()}
        for name, registry in registries.items()
        if kind in (name, "all")
    }


def dataset_rows(manifest: dict[str, Any]) -> list[tuple[str, int]]:
    """Table → rows, as a dataset's manifest counts them."""
    return [(name, found["rows"]) for name, found in manifest["tables"].items()]
