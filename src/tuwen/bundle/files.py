"""A bundle as files: written whole or not at all, every file's checksum kept, refused when damaged or too new.

``bundle.json`` is the manifest. It lists every other file with its sha256, but for ``card.md``, which is for people,
is not read by tuwen, and is written anew when the bundle is evaluated.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from tuwen import __version__
from tuwen.errors import BundleError
from tuwen.files import former, publish, recover, room_on_disk, whole, write_json
from tuwen.outputs import folders_above
from tuwen.private import is_alive

FORMAT = 2
MANIFEST = "bundle.json"
CARD = "card.md"


@contextmanager
def writing(path: str | Path, manifest: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder that becomes the bundle ``path`` when the block ends well.

    On the way out every file is hashed, ``bundle.json`` is written (``manifest``, read at that moment, with ``format``,
    ``tuwen`` and ``files`` added), all is flushed to the disk and the folder renamed. A bundle that was there is
    replaced; if anything goes wrong it stays as it was.

    Raises:
        BundleError: ``path`` holds something that is not a bundle, or the block wrote a link or no file.
        DataError: the disk is full.
    """
    path = Path(path).absolute()
    recover(path)
    refuse_others(path)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    with room_on_disk(path), folders_above(path):
        _sweep_halves(path)
        try:
            half.mkdir()
            yield half
            sealed = {"format": FORMAT, "tuwen": __version__, **manifest, "files": _checksums(half)}
            write_json(half / MANIFEST, sealed)
            publish(half, path)
        finally:
            shutil.rmtree(half, ignore_errors=True)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The content of ``bundle.json``, without looking at the other files.

    Raises:
        BundleError: there is no bundle, its manifest is damaged, or another tuwen made it.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise BundleError("not a bundle", where=str(path), seen=_what_is_there(path), todo=_advice(path))
    place = str(path / MANIFEST)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError("the manifest cannot be read", where=place, seen=error.strerror) from None
    except ValueError:
        raise BundleError("the manifest is damaged", where=place, seen="not JSON", todo=_AGAIN) from None
    number = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise BundleError("the manifest is damaged", where=place, seen=f"format {number!r}", todo=_AGAIN)
    if number > FORMAT:
        raise BundleError(
            f"made by a newer tuwen: format {number}, this one reads {FORMAT}",
            where=str(path),
            seen=f"tuwen {manifest.get('tuwen', '?')}; this is {__version__}",
            todo="upgrade: pip install --upgrade tuwen",
        )
    if number < FORMAT:
        raise BundleError(
            f"made by an older tuwen: format {number}, this one reads {FORMAT}",
            where=str(path),
            seen=f"tuwen {manifest.get('tuwen', '?')}; this is {__version__}",
            todo="train it again",
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not files or not all(_is_safe(name) for name in files):
        raise BundleError("the manifest is damaged", where=place, seen="no usable list of files", todo=_AGAIN)
    return manifest


def verify(path: str | Path) -> dict[str, Any]:
    """:func:`read_manifest`, and the checksum of every file it lists.

    Raises:
        BundleError: also where a file is missing or is not the one that was written; names it.
    """
    path = Path(path)
    manifest = read_manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise BundleError("a file of the bundle is missing", where=str(file), todo=_AGAIN)
        try:
            found = sha256(file)
        except OSError as error:
            raise BundleError("a file of the bundle cannot be read", where=str(file), seen=error.strerror) from None
        if found != expected:
            raise BundleError(
                "a file of the bundle is damaged",
                where=str(file),
                seen=f"sha256 {found[:16]}…",
                allowed=f"sha256 {str(expected)[:16]}…",
                todo=_AGAIN,
            )
    return manifest


def refuse_others(path: Path) -> None:
    """Never replace what is not a bundle: a mistyped --out must not cost somebody a folder.

    Raises:
        BundleError: at ``path`` is something that is neither a bundle nor an empty folder.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir() or path.is_symlink() or (any(path.iterdir()) and not (path / MANIFEST).is_file()):
        raise BundleError(
            "something that is not a bundle is in the way",
            where=str(path),
            seen=_what_is_there(path),
            todo="name another folder",
        )


def write_card(path: str | Path, text: str) -> Path:
    """Put the model card of a finished bundle in its place; returns where."""
    card = Path(path) / CARD
    with room_on_disk(card), whole(card) as file:
        file.write(text.encode())
    return card


def sha256(file: Path) -> str:
    """The checksum of a file, hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


_AGAIN = "copy the bundle again from where it is whole, or train it again"


def _checksums(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            raise BundleError("a bundle holds files, not links", where=name)
        if file.is_file() and name not in (MANIFEST, CARD):
            found[name] = sha256(file)
    if not found:
        raise BundleError("the bundle would be empty", where=str(folder))
    return found


def _sweep_halves(path: Path) -> None:
    """Delete what writers of this bundle left behind that were killed; the number in the name is the process."""
    for half in path.parent.glob(f".{glob.escape(path.name)}.*.half"):
        number = half.name.removeprefix(f".{path.name}.").removesuffix(".half")
        if number.isdecimal() and (int(number) == os.getpid() or not is_alive(int(number))):
            shutil.rmtree(half, ignore_errors=True)


def _is_safe(name: str) -> bool:
    """A relative path that stays inside the bundle."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def _what_is_there(path: Path) -> str:
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file"
    names = sorted(child.name for child in path.iterdir())[:5]
    return f"a folder with {', '.join(names)}" if names else "an empty folder"


def _advice(path: Path) -> str:
    if not path.exists() and former(path).is_dir():
        return f"a replacement was cut off; the former bundle is whole: mv {former(path)} {path}"
    return f"name the folder that holds {MANIFEST}; tuwen train writes one"
