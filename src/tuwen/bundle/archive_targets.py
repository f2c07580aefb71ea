"""Where a backup may be written, and where a home may be restored. Checked before anything is read or written."""

from __future__ import annotations

import os
from pathlib import Path

from tuwen.bundle.archive import is_backup
from tuwen.bundle.revisions import is_home
from tuwen.errors import ConfigError, DataError


def need_backup_target(home: Path, file: Path) -> None:
    """Refuse a name that a backup of ``home`` cannot have. Both paths are absolute.

    Raises:
        ConfigError: the file would stand in the home.
        DataError: it is a folder, or something else than a backup, or its folder is missing or may not be written.
    """
    if home in (file, *file.parents):
        todo = f"name a file outside of the home: {home.with_suffix('.backup')}"
        raise ConfigError("a backup inside of what it keeps is none", where=str(file), todo=todo)
    if file.is_dir():
        raise DataError(
            "a backup is one file, and this is a folder",
            where=str(file),
            allowed="a new file, or an earlier backup, which is replaced",
            todo=f"name a file in it: {file / home.name}.backup",
        )
    if not file.parent.is_dir():
        blocker = next((folder for folder in file.parents if folder.exists() and not folder.is_dir()), None)
        if blocker is not None:
            raise DataError("a file stands where the folder of the backup is to be", where=str(blocker), todo=ANOTHER)
        todo = f"make it: mkdir -p {file.parent}; or {ANOTHER}"
        raise DataError("the folder of the backup is missing", where=str(file.parent), todo=todo)
    _need_write_access(file.parent, ANOTHER)
    if file.exists() and not is_backup(file):
        raise DataError("something else than a backup has this name", where=str(file), todo=ANOTHER)


ANOTHER = "name a file in a folder that is there and may be written"


def need_restore_target(home: Path) -> None:
    """Refuse a place where no home can be made. The path is absolute.

    Raises:
        DataError: a file or a folder with something in it stands there, or the folder above may not be written.
    """
    todo = "name an empty or a new folder"
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not existing.is_dir():
        raise DataError("a file stands where the home is to be made", where=str(existing), todo=todo)
    names = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
    if names:
        seen = "a home" if is_home(home) else f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
        raise DataError("the folder is not empty, and nothing is overwritten", where=str(home), seen=seen, todo=todo)
    _need_write_access(home.parent if existing == home else existing, todo)


def _need_write_access(folder: Path, todo: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError("the folder may not be written", where=str(folder), todo=todo)
