"""Where results may be written."""

from __future__ import annotations

from pathlib import Path

from tuwen.bundle.files import MANIFEST
from tuwen.errors import DataError


def refuse_occupied(out: Path) -> None:
    """A report, a comparison or a search is not written among the files of a dataset or a bundle.

    Raises:
        DataError: ``out`` is one of these.
    """
    kinds = {"a bundle": MANIFEST, "a dataset": "manifest.json"}
    found = next((kind for kind, file in kinds.items() if (out / file).is_file()), None)
    if found is not None:
        raise DataError(f"the folder holds {found}", where=str(out), todo="name another folder with --out")
