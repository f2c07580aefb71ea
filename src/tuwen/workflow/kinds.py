"""What a YAML file asks for. Recommendations and searches train no network: they go their own way, and need extras that
others do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tuwen.config import load_yaml, task_of, written
from tuwen.errors import MissingExtra, unloadable

PARTS = {  # task → extra, a library it stands on (asked for only after minutes of work), module
    "rank": ("recommend", "scipy", "tuwen.workflow.recommending"),
    "search": ("search", "faiss", "tuwen.workflow.searches"),
    "photo-search": ("search", "faiss", "tuwen.workflow.searches"),
}


def own_task(run_yaml: str | Path, overrides: Iterable[str] = ()) -> str | None:
    """The task of a RUN.yaml that is no :class:`~tuwen.config.Run`; None for all others. A file that cannot be read has
    none: who reads it next says what is wrong.
    """
    task = task_of(written(run_yaml, list(overrides))[0]) if Path(run_yaml).is_file() else None
    return task if task in PARTS else None


def part_of(task: str, name: str, module: str | None = None) -> Any:
    """A function of the module that runs a task: ``run``, ``completed``, ``rows_of``, ``train``; or of another one that
    stands on the same.

    Raises:
        MissingExtra: what it stands on is not installed.
        DataError: it is installed, and the system lacks what it needs.
    """
    extra, library, own = PARTS[task]
    try:
        import_module(library)
        return getattr(import_module(module or own), name, None)
    except ImportError:
        raise MissingExtra(extra, f"the task {task}") from None
    except OSError as error:  # a library of the system that a wheel does not carry
        raise unloadable(library, error) from None


def is_comparison(path: str | Path) -> bool:
    """Whether the file is a comparison, not a run."""
    return Path(path).is_file() and bool({"run", "vary"} & load_yaml(path)[0].keys())
