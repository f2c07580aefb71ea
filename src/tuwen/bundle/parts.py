"""The kinds of folders that a home takes in, told apart by what they hold; and the content of a report."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from tuwen.bundle.copying import copy_folder
from tuwen.bundle.files import MANIFEST, read_manifest
from tuwen.bundle.revisions import LIVE, STORE
from tuwen.errors import BundleError, DataError, TuwenError
from tuwen.files import sync, sync_tree
from tuwen.private import give_to_owner

Kind = Literal["predict", "recommend", "search", "dataset", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REPORT, COMPARISON = "report.json", "compare.json"
REPORT_FILES = {REPORT, "report.html", COMPARISON, "compare.html"}  # copied of its folder: no table, no training


def promotable(folder: Path) -> list[dict[str, str]]:
    """``name`` and ``kind`` of what stands in a folder and can be served. Links are left out."""
    entries = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(TuwenError):
            if not path.is_symlink():
                entries.append({"name": path.name, "kind": kind_of(path)})
    return entries


def copy_tested(
    source: Path, target: Path, test: Callable[[Kind, Path], None], kind: Kind, owner: os.stat_result, *, follow: bool
) -> None:
    """Copy a folder that can be served, durably, and keep the copy if it answers.

    Args:
        test: raises where the copy cannot answer.
        owner: who gets the copy.
        follow: whether ``source`` may be a link.

    Raises:
        BundleError: the copy failed its test.
    """
    files = REPORT_FILES if kind == "report" else None
    try:
        copy_folder(source, target, files, follow=follow)
        _run_test(test, kind, source, target)
        give_to_owner(target, owner)
        sync_tree(target)  # with what the test wrote
        sync(target.parent)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _run_test(test: Callable[[Kind, Path], None], kind: Kind, source: Path, target: Path) -> None:
    try:
        test(kind, target)
    except TuwenError as error:
        error.rename(str(target), str(source))  # the copy is gone
        raise BundleError(
            f"it failed its self-test, and what is live stays: {error.what}",
            where=error.where or str(source),
            seen=error.seen,
            allowed=error.allowed,
            todo=error.todo,
        ) from None


def store_beside(part: str | Path) -> Path | None:
    """The store of the home in which a promoted part stands; None where it stands in none, or that has no store."""
    home = Path(part).resolve().parent.parent
    store = home / STORE
    return store if (home / LIVE).is_file() and store.is_file() else None


def kind_of(folder: Path) -> Kind:
    """What a folder is, by what it holds.

    Raises:
        DataError: nothing that can be served.
    """
    if (folder / MANIFEST).is_file():
        return "recommend" if read_manifest(folder)["task"] == "rank" else "predict"
    if (folder / "index.json").is_file():
        return "search"
    if (folder / "manifest.json").is_file() and (folder / "media").is_dir():
        return "dataset"
    if (folder / REPORT).is_file() or (folder / COMPARISON).is_file():
        return "report"
    raise DataError(
        "there is nothing here that can be served",
        where=str(folder),
        seen="no such folder" if not folder.exists() else None,
        allowed="a bundle, an index, a dataset, or the folder of a report or a comparison",
        todo="tuwen train, tuwen index, tuwen collect, tuwen evaluate and tuwen compare write them",
    )


def read_report(folder: Path) -> tuple[Mapping[str, Any], Path]:
    """Read the content of the report or the comparison in a folder, and its page, which need not be there.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = folder / REPORT if (folder / REPORT).is_file() else folder / COMPARISON
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError("the report cannot be read", where=str(file), todo="make it anew, and promote it") from None
    if not isinstance(content, dict):
        raise DataError("the report cannot be read", where=str(file), seen=type(content).__name__)
    return content, file.with_suffix(".html")


def report_name(folder: Path, source: Path) -> str:
    """How a report is called that nobody named: two of one run and of one kind are the same one, made anew."""
    content, page = read_report(folder)
    names = (
        re.sub(r"[^\w.-]+", "-", name).strip(".-") for name in (str(content.get("name") or ""), source.resolve().name)
    )
    own = next((name[:80] for name in names if name), "report")
    return f"{own}-compared" if page.stem == Path(COMPARISON).stem else own
