"""Find files on disk by the names that tables use.

Another machine wrote the table: Windows writes ``\\`` and ignores case, macOS takes letters with marks apart, and web
shops write blanks as ``%20``.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from tuwen.unicode import nfc

NAME_LIMIT = 4096  # characters of a path; systems take no longer ones


class FileNames:
    """The files below a folder, by names that may be written in another way.

    Folders are listed once and remembered: make one for each collect.

    Args:
        root: the folder that relative paths start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[Path, dict[str, list[str]]] = {}

    def path(self, name: str) -> Path:
        """Where the file ``name`` is; the path as it stands where there is none, or none that is the only one.

        Tried in this order: as it stands, with ``/`` for ``\\``, with ``%20`` and its like decoded, and each of them
        in another case or Unicode form, where exactly one file has such a name.
        """
        if len(name) > NAME_LIMIT or "\0" in name:
            return self._root / name
        spellings = [name]
        if "\\" in name:
            spellings.append(name.replace("\\", "/"))
        if "%" in name:
            spellings.append(unquote(spellings[-1]))
        spellings = [spelling for spelling in spellings if "\0" not in spelling]
        for spelling in spellings:
            if _exists(self._root / spelling):
                return self._root / spelling
        for spelling in spellings:
            path = self._folded(spelling)
            if path is not None:
                return path
        return self._root / name

    def exists(self, name: str) -> bool:
        """Whether a file has this name in any spelling."""
        return bool(name) and len(name) <= NAME_LIMIT and os.path.isfile(self.path(name))  # noqa: PTH113

    def _folded(self, name: str) -> Path | None:
        """Return the only file whose name differs in case or Unicode form. None if there is none or several."""
        if os.path.isabs(name):  # noqa: PTH117
            return None
        path = self._root
        for part in name.split("/"):
            if part in ("", "."):
                continue
            if part == ".." or _exists(path / part):
                path = path / part
                continue
            matches = self._names(path).get(fold(part), [])
            if len(matches) != 1:
                return None
            path = path / matches[0]
        return path

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Folded name → the names in ``folder`` that it stands for."""
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        names.setdefault(fold(entry.name), []).append(entry.name)
            except OSError:
                names = {}
            self._folders[folder] = names
        return self._folders[folder]


def fold(name: str) -> str:
    """Return one spelling for names that differ in case or Unicode form.

    >>> fold("GRÜN.JPG") == fold("gru\\u0308n.jpg")
    True
    """
    return nfc(nfc(name).casefold())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
