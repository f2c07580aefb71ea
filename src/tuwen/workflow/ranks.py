"""Which runs are of the task rank; they go their own way, and need an extra that other runs do not."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tuwen.config import is_rank, written
from tuwen.errors import MissingExtra


def asks_rank(run_yaml: str | Path, overrides: Iterable[str] = ()) -> bool:
    """Whether a RUN.yaml asks for recommendations. A file that cannot be read asks for nothing: who reads it next says
    what is wrong.
    """
    return Path(run_yaml).is_file() and is_rank(written(run_yaml, list(overrides))[0])


def rank_part(name: str) -> Any:
    """A function of :mod:`tuwen.workflow.recommending`.

    Raises:
        MissingExtra: what it stands on is not installed.
    """
    try:
        import_module("lightgbm")  # the ranker itself asks for it only after minutes of work
        return getattr(import_module("tuwen.workflow.recommending"), name)
    except ImportError:
        raise MissingExtra("recommend", "the task rank") from None
