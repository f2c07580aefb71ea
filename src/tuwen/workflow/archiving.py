"""Back up a home to one file while it is served, and restore a home from such a file."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tuwen.bundle.archive import Source, extract, read, write
from tuwen.bundle.archive_targets import need_backup_target, need_restore_target
from tuwen.bundle.copying import IGNORED
from tuwen.bundle.home import Home
from tuwen.bundle.revisions import LIVE, STORE
from tuwen.errors import DataError
from tuwen.files import is_full, publish, room_on_disk
from tuwen.index.manifest import MANIFEST as INDEX
from tuwen.index.manifest import files_of
from tuwen.outputs import folders_above
from tuwen.private import private, scratch
from tuwen.progress import Progress, Silent

TRIES = 50  # tries to read an index that others write to
OF_INDEX = (".arrow", ".faiss", ".safetensors", ".npy")  # files that index.json names, or that are left over


def backup(
    home: str | Path, file: str | Path, *, store: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a home to one file, during service and promotions.

    What is in it: the revisions that can come back with their parts, the index as one moment saw it, and after it the
    store as one later moment saw it, so that the store knows of every change of the index and, when the copy is
    served, brings the index up to itself. What waits in ``incoming`` is not.

    Args:
        file: its name; an earlier backup of that name is replaced.
        store: a URL or a path; default: ``store.db`` of the home. PostgreSQL is not in the file: see ``store``.

    Returns:
        ``file``, ``bytes``, ``files``, ``revision``, ``seconds``, and ``store``: ``kind`` and whether it is
        ``included``.

    Raises:
        DataError: there is no home, the disk is full, a part is damaged, or the file is something else than a backup.
        ConfigError: the file would stand in the home.
    """
    opened, file, progress = Home(home), Path(file).absolute(), progress or Silent()
    began = time.monotonic()
    need_backup_target(opened.folder, file)
    url = str(store or opened.store)
    with room_on_disk(file), scratch("backup") as work, ExitStack() as stack:
        stack.enter_context(private(work))
        live = stack.enter_context(opened.pinned())
        sources = [Source(LIVE, lambda: io.BytesIO(live))]
        number = json.loads(live)["revisions"][-1]["number"] if live else 0
        for part in opened.parts_of(live):
            sources += _part(opened.folder, part, stack)
        others = list(_others(opened.folder, work))  # before the store: a waiting event is in one of them, or in both
        store_copy = _store(url, work)
        if store_copy is not None:
            sources.append(_of_file(STORE, store_copy))
        kind = "sqlite" if "://" not in url or url.startswith("sqlite:") else "postgresql"
        about = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "revision": number,
            "store": {"kind": kind, "included": store_copy is not None},
        }
        sources += others
        manifest = write(file, sources, about, progress)
    size = file.stat().st_size
    description = {name: about[name] for name in ("revision", "store")}
    return {
        "file": str(file),
        "bytes": size,
        "files": len(manifest["files"]),
        **description,
        "seconds": round(time.monotonic() - began, 2),
    }


def restore(file: str | Path, home: str | Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Make the home that a backup holds. All of the file is checked before anything is written, and the home appears
    whole or not at all.

    Raises:
        DataError: the file is damaged or no backup, the disk is too small, or something stands at ``home``.
    """
    file, home, progress = Path(file), Path(home).absolute(), progress or Silent()
    began = time.monotonic()
    need_restore_target(home)
    archive = read(file, progress)
    half = home.with_name(f".{home.name}.{os.getpid()}.half")
    shutil.rmtree(half, ignore_errors=True)
    try:
        with room_on_disk(home), private(half), folders_above(home):
            extract(archive, half, progress)
            (half / "parts").mkdir(exist_ok=True)
            live = Home(half).live()
            _check_store(half / STORE, file)
            publish(half, home)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    result = {"home": str(home), "files": len(archive.files), "bytes": archive.size, "revision": live.number}
    about = {name: archive.about.get(name) for name in ("made", "tuwen", "store")}
    return {**result, **about, "seconds": round(time.monotonic() - began, 2)}


def _of_file(name: str, path: Path) -> Source:
    return Source(name, lambda: path.open("rb"))


def _part(home: Path, part: str, stack: ExitStack) -> Iterator[Source]:
    """Yield the files of a part. Of an index, the files of one state."""
    folder = home / part
    if not folder.is_dir():
        return
    names: set[str] | None = None
    if (folder / INDEX).is_file():
        state, opened = _index(folder, stack)
        names = set(opened)
        yield Source(f"{part}/{INDEX}", lambda: io.BytesIO(state))
        for name, descriptor in opened.items():
            yield Source(f"{part}/{name}", _again(descriptor))
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_symlink() or not path.is_file() or any(segment.startswith(".") for segment in inside.parts):
            continue
        if names is not None and len(inside.parts) == 1 and (path.name == INDEX or path.suffix in OF_INDEX):
            continue
        if not IGNORED & set(inside.parts):
            yield _of_file(f"{part}/{inside.as_posix()}", path)


def _index(folder: Path, stack: ExitStack) -> tuple[bytes, dict[str, int]]:
    """``index.json`` and the files that it names, open: a rebuild may delete them, and what is open stays.

    Raises:
        DataError: it names a file that is not there.
    """
    missing = ""
    for _ in range(TRIES):
        state = (folder / INDEX).read_bytes()
        with ExitStack() as files:
            try:
                opened = {}
                for name in sorted(files_of(json.loads(state))):
                    opened[name] = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
                    files.callback(os.close, opened[name])
            except FileNotFoundError as error:  # replaced since index.json was read
                missing = str(error.filename)
                time.sleep(0.02)
                continue
            stack.push(files.pop_all())
            return state, opened
    raise DataError("a file of the index is missing", where=missing, todo="tuwen index DATASET --out INDEX --replace")


def _again(descriptor: int) -> Callable[[], IO[bytes]]:
    """Return a function that opens an open file again, at its start. Closing one leaves the other open."""

    def opened() -> IO[bytes]:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.fdopen(os.dup(descriptor), "rb")

    return opened


def _others(home: Path, work: Path) -> Iterator[Source]:
    """Yield copies of the other files of the home, such as the journal of events."""
    for path in sorted(home.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.startswith((".", STORE, LIVE)):
            yield _of_file(path.name, Path(shutil.copyfile(path, work / path.name)))


def _store(url: str, work: Path) -> Path | None:
    """Copy a SQLite store at one moment with SQLite's own backup. None for another database, or no store.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(url.removeprefix("sqlite:///"))
    if "://" in url and not url.startswith("sqlite:///"):
        return None
    if not path.is_file():
        return None
    copy = work / STORE
    try:
        with closing(sqlite3.connect(path.absolute(), timeout=10)) as begin, closing(sqlite3.connect(copy)) as end:
            begin.backup(end)
            end.execute("PRAGMA journal_mode = DELETE")  # one file, with all that the log holds
    except sqlite3.DatabaseError as error:
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy)) from None
        raise DataError("the store cannot be read", where=str(path), seen=error, todo="sqlite3 FILE .recover") from None
    return copy


def _check_store(path: Path, file: Path) -> None:
    """Raises:
    DataError: the store of a backup is damaged, though its checksum is right.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as store:
            result = store.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise DataError("the store in the backup is damaged", where=str(file), seen=result)
