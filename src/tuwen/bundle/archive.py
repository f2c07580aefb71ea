"""A backup as one file: a zip archive without compression, whose manifest names every file with its SHA-256.

    manifest.json              what it is, and files: name → sha256, bytes
    blobs/SHA256 ...           the content of the files, each once

A backup may come from a stranger. So the reader checks the whole archive before it writes a file. It checks every name,
decompresses nothing, and never uses a name of the archive as a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tuwen import __version__
from tuwen.errors import DataError
from tuwen.files import make_folder, whole
from tuwen.progress import Progress

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
MOST_FILES = 250_000
MOST_MANIFEST = 64 << 20  # bytes: some 200 a file
MOST_NAME = 1000
_BLOB = re.compile(r"blobs/[0-9a-f]{64}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
ZIP = b"PK\x03\x04"  # how each begins
AGAIN = "take another backup; copy it again where it was copied"


@dataclass
class Source:
    """A file to back up. It is already open, so its content stays readable if somebody deletes it."""

    name: str
    open: Any  # () -> IO[bytes], at its begin
    size: int = 0
    digest: str = ""


@dataclass
class Archive:
    """A fully checked archive.

    Attributes:
        about: the fields of the manifest other than ``files``.
        files: name → (sha256, bytes).
    """

    file: Path
    about: Mapping[str, Any]
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Total bytes of the files after extraction."""
        return sum(size for _, size in self.files.values())


def write(file: Path, sources: list[Source], about: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Write an archive, whole or not at all. Returns its manifest.

    Raises:
        DataError: a file changed while it was read, or its name could not be restored.
    """
    for source in sources:
        if not is_safe(source.name):
            raise DataError("a file has a name that no backup holds", where=source.name, todo="rename it")
    with progress.task("backup: files checked", len(sources)) as task:
        for source in sources:
            with source.open() as opened:
                source.digest, source.size = _digest(opened)
            task.advance()
    files = {source.name: {"sha256": source.digest, "bytes": source.size} for source in sources}
    manifest = {"format": FORMAT, "tuwen": __version__, **about, "files": files}
    blobs = {source.digest: source for source in sources}
    with whole(file) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, ensure_ascii=False, allow_nan=False).encode())
        with progress.task("backup: megabytes written", sum(source.size for source in blobs.values()) // CHUNK) as task:
            for digest, source in blobs.items():
                with source.open() as opened, archive.open(_entry(f"blobs/{digest}"), "w", force_zip64=True) as member:
                    sha256 = hashlib.sha256()
                    while data := opened.read(CHUNK):
                        sha256.update(data)
                        member.write(data)
                        task.advance(len(data) // CHUNK)
                if sha256.hexdigest() != digest:
                    raise DataError("a file changed while it was read", where=source.name, todo="run it again")
    return manifest


def read(file: Path, progress: Progress) -> Archive:
    """Check a whole archive.

    Raises:
        DataError: it is damaged, cut short, made by a newer tuwen, or not what :func:`write` makes.
    """
    with _opened(file) as archive:
        entries = archive.infolist()
        _check_entries(file, entries)
        manifest = _manifest(file, archive)
        files = _files(file, manifest)
        stored = {entry.filename.removeprefix("blobs/"): entry for entry in entries if entry.filename != MANIFEST}
        sizes = dict(files.values())
        if stored.keys() != sizes.keys() or any(entry.file_size != sizes[name] for name, entry in stored.items()):
            raise _damaged(file, "its files are not those of its manifest")
        with progress.task("restore: megabytes checked", sum(sizes.values()) // CHUNK) as task:
            for digest, entry in stored.items():
                with archive.open(entry) as opened:
                    if _digest(opened, task.advance) != (digest, entry.file_size):
                        raise _damaged(file, f"content {digest[:16]}… is not what was written")
    return Archive(file, {name: value for name, value in manifest.items() if name != "files"}, files)


def is_backup(file: Path) -> bool:
    """Whether a file says of itself that it is a backup; its contents are not checked."""
    try:
        with _opened(file) as archive:
            _manifest(file, archive)
    except DataError:
        return False
    return True


def extract(archive: Archive, folder: Path, progress: Progress) -> None:
    """Make ``folder``, write the files of a checked archive into it, and check each file again.

    Raises:
        DataError: the archive changed since it was checked, or the disk is too small for it.
    """
    make_folder(folder)
    room = shutil.disk_usage(folder).free
    if room < archive.size:
        raise DataError(
            "the disk is full",
            where=str(folder),
            seen=f"{room:,} bytes are free",
            allowed=f"{archive.size:,} bytes",
            todo="make room and run the same command again: what was there before is untouched",
        )
    first: dict[str, Path] = {}
    with _opened(archive.file) as opened, progress.task("restore: files written", len(archive.files)) as task:
        for name, (digest, _) in archive.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if digest in first and target.suffix == ".shard":  # the files shared one content before, too
                os.link(first[digest], target)
            else:
                _extract(opened, digest, target, archive.file)
            first.setdefault(digest, target)
            task.advance()


def _extract(archive: zipfile.ZipFile, digest: str, target: Path, file: Path) -> None:
    sha256 = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with archive.open(f"blobs/{digest}") as opened, os.fdopen(descriptor, "wb") as out:
        while data := opened.read(CHUNK):
            sha256.update(data)
            out.write(data)
    if sha256.hexdigest() != digest:
        raise _damaged(file, "it changed while it was read")


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        raise _unreadable(file, error) from None
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(file), todo="tuwen backup HOME FILE writes one") from None
    except IsADirectoryError:
        raise DataError("a folder is no backup", where=str(file), todo="name the file") from None


def _check_entries(file: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse whatever :func:`write` never makes, before a byte of it is read: links, other names, anything
    compressed, two of one name, and entries that lie over one another, which is how a small file becomes a huge one.
    """
    if len(entries) > MOST_FILES or len({entry.filename for entry in entries}) != len(entries):
        raise _damaged(file, f"{len(entries)} entries, some twice")
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.filename != MANIFEST and not _BLOB.fullmatch(entry.filename):
            raise _damaged(file, f"an entry '{entry.filename[:100]}'")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise _damaged(file, f"'{entry.filename}' is compressed or encrypted")
        if entry.external_attr >> 16 & 0o170000 not in (0, 0o100000):
            raise _damaged(file, f"'{entry.filename}' is no plain file")
        if entry.header_offset < end:
            raise _damaged(file, "its entries overlap")
        end = entry.header_offset + entry.file_size
    if end > file.stat().st_size:
        raise _damaged(file, "it is cut short")


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST:
        raise _damaged(file, "its manifest is too large")
    try:
        manifest = json.loads(archive.read(MANIFEST))
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(file, "its manifest cannot be read") from None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(file, f"format {version!r}"[:100])
    if version > FORMAT:
        raise DataError(
            "the backup was made by a newer tuwen",
            where=str(file),
            seen=f"format {version}",
            allowed=f"format {FORMAT}",
            todo="upgrade: pip install --upgrade tuwen",
        )
    return dict(manifest)


def _files(file: Path, manifest: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    entries: dict[str, tuple[str, int]] = {}
    files = manifest.get("files")
    if not isinstance(files, dict) or not files or len(files) > MOST_FILES:
        raise _damaged(file, "its manifest names no files")
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    sizes: dict[str, int] = {}
    for name, entry in files.items():
        digest, size = (entry.get("sha256"), entry.get("bytes")) if isinstance(entry, dict) else (None, None)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise _damaged(file, f"no checksum of '{name[:100]}'")
        if not isinstance(size, int) or isinstance(size, bool) or sizes.setdefault(digest, size) != size:
            raise _damaged(file, f"no size of '{name[:100]}'")
        if not is_safe(name) or name in folders:
            raise _damaged(file, f"a file '{name[:100]}'")
        entries[name] = digest, size
    return entries


def is_safe(name: str) -> bool:
    """Whether a name is a relative path that stays inside its folder and has no hidden part."""
    parts = name.split("/")
    plain = all(part and not part.startswith(".") and part.isprintable() for part in parts)
    return plain and len(name) <= MOST_NAME and not set(name) & {"\\"}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o100600 << 16
    return entry


def _digest(opened: IO[bytes], advance: Any = None) -> tuple[str, int]:
    sha256, size = hashlib.sha256(), 0
    while data := opened.read(CHUNK):
        sha256.update(data)
        size += len(data)
        if advance is not None:
            advance(len(data) // CHUNK)
    return sha256.hexdigest(), size


def _unreadable(file: Path, error: Exception) -> DataError:
    """Why a file is no archive: it is empty, cut short, damaged, or something else."""
    with file.open("rb") as opened:
        begin = opened.read(len(ZIP))
    if begin == ZIP:
        is_cut = isinstance(error, zipfile.BadZipFile) and "not a zip" in str(error)
        return _damaged(file, "it is cut short: its end is missing" if is_cut else error)
    seen = "it is empty" if not begin else "something else"
    return DataError("this file is no backup", where=str(file), seen=seen, todo="name a file that tuwen backup wrote")


def _damaged(file: Path, seen: object) -> DataError:
    return DataError("the backup is damaged, or is none", where=str(file), seen=seen, todo=AGAIN)
