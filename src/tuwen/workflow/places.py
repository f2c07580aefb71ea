"""Where results may be written."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
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


def refuse_strange(out: Path, what: str, own: Collection[str], marks: Collection[str]) -> None:
    """Nothing is written into a folder of somebody else's files: of a shop's sources, say.

    Args:
        what: ``a comparison``, for the message.
        own: the names that stand in such a folder, ``*`` for any end; hidden ones may too.
        marks: a folder that holds one of these was begun as ``what``, and notes beside it are nobody's harm.

    Raises:
        DataError: ``out`` holds something else; names the first.
    """
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    strange = sorted(name for name in there if not any(fnmatchcase(name, one) for one in (".*", *own)))
    if strange and there.isdisjoint(marks):
        raise DataError(
            f"the folder holds something else than {what}",
            where=str(out),
            seen=strange[0],
            todo="name another --out",
        )
