"""Short accounts of what commands made, for a person to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuwen.data.kinds import MEDIA
from tuwen.errors import ConfigError, did_you_mean


def components(kind: str) -> dict[str, dict[str, str]]:
    """kind → name → one line, for one kind of component or all.

    Raises:
        ConfigError: there is no such kind.
    """
    from tuwen.apps.recommend import RANKERS, RETRIEVERS
    from tuwen.data import SPLITS
    from tuwen.models import ENCODERS, FUSIONS, GENERATORS, RATERS, TASKS
    from tuwen.preprocess import MODALITIES

    registries = {
        "modalities": MODALITIES,
        "encoders": ENCODERS,
        "fusions": FUSIONS,
        "generators": GENERATORS,
        "tasks": TASKS,
        "raters": RATERS,
        "splits": SPLITS,
        "retrievers": RETRIEVERS,
        "rankers": RANKERS,
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


def dataset_rows(manifest: dict[str, Any]) -> list[tuple[object, ...]]:
    """One line a table: rows kept and rejected, shares without text and without picture."""

    def share(found: dict[str, Any], what: str) -> str:
        return f"{found[what]:.1%}" if what in found else "–"

    return [
        (name, found["rows"], found["rejected"], share(found, "without_text"), share(found, "without_picture"))
        for name, found in manifest["tables"].items()
    ]


def dataset_notes(manifest: dict[str, Any], out: Path) -> list[str]:
    """What was left out and why, and what looks odd."""
    lines = [
        f"rejected {name}: {_counted(found['reasons'])}"
        for name, found in manifest["tables"].items()
        if found["reasons"]
    ]
    if lines:
        lines.append(f"  each such row is in {out / 'rejected.parquet'}")
    for word in (medium.word for medium in MEDIA.values() if f"{medium.word}s" in manifest):
        media = manifest[f"{word}s"]
        if media["references"]:
            lines.append(f"{word}s: {media['stored']:,} stored, {media['read_now']:,} read now")
        if media["quarantined"]:
            lines.append(f"not readable: {_counted(media['quarantined'])}")
            lines.append(f"  each such {word} is in {out / 'quarantine.parquet'}")
    return lines + [f"note: {warning}" for warning in manifest["warnings"]]


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
