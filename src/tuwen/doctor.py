"""What is installed, what is missing and how to get it, and whether this machine will do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from tuwen import __version__
from tuwen.errors import MissingExtra, TuwenError, install_command
from tuwen.preprocess.weights import WEIGHTS, find

State = Literal["fine", "missing", "wrong"]
NEEDED_FREE = 2_000_000_000  # bytes; a small shop's dataset, its vectors and a bundle
PURPOSE = {
    "collect": "CSV and Parquet files, in tuwen collect and tuwen predict",
    "train": "training and evaluating (serving needs it only for a bundle without network.onnx)",
    "pretrained": "the encoders efficientnet-lite0 and e5-small",
    "minilm": "the encoder minilm (English only)",
    "ocr": "words in pictures: use: picture-text, and tuwen index --picture-text",
    "hub": "encoders by name: transformers, sentence-transformers, timm and open_clip",
    "serve": "tuwen serve",
    "audio": "sounds: WAV, FLAC and Ogg files",
    "shape": "3D shapes: OBJ, STL and PLY files",
    "postgres": "collecting from PostgreSQL",
    "recommend": "runs of the task rank: recommendations",
    "search": "tuwen index and tuwen search",
    "tune": "tuwen tune",
    "dev": "working on tuwen itself",
}


@dataclass(frozen=True)
class Part:
    """One thing tuwen uses.

    Attributes:
        name: what it is.
        state: fine, missing or wrong.
        seen: its version, or what is wrong with it.
        todo: how to get it.
        needed: whether tuwen cannot work at all without it.
    """

    name: str
    state: State
    seen: str
    todo: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Findings:
    machine: dict[str, str]
    parts: list[Part]

    @property
    def well(self) -> bool:
        """Whether everything that tuwen cannot do without is fine."""
        return all(part.state == "fine" for part in self.parts if part.needed)

    def plain(self) -> dict[str, Any]:
        return {"well": self.well, "machine": self.machine, "parts": [vars(part) for part in self.parts]}


def examine() -> Findings:
    """Look at this machine and what is installed on it. Imports none of what it looks at."""
    return Findings(machine(), [*core(), *extras(), *weights(), *disk()])


def machine() -> dict[str, str]:
    """Python, system, cores and memory."""
    return {
        "tuwen": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{memory() / 2**30:.1f} GiB",
    }


def memory() -> int:
    """Bytes this process may use: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def requirements() -> dict[str, list[Requirement]]:
    """extra ("" is the core) → what it asks for, as tuwen's own metadata says."""
    found: dict[str, list[Requirement]] = {"": []}
    for name in metadata("tuwen").get_all("Provides-Extra") or []:
        found[name] = []
    for line in metadata("tuwen").get_all("Requires-Dist") or []:
        wanted = Requirement(line)
        for extra, collected in found.items():
            applies = not extra if wanted.marker is None else wanted.marker.evaluate({"extra": extra})
            if applies:
                collected.append(wanted)
    return found


def core() -> list[Part]:
    """What tuwen cannot work without; only what is not fine stands by itself."""
    return _judged("core", requirements()[""], install_command(), needed=True)


def extras() -> list[Part]:
    """Each optional part and what it is for; the tools of tuwen's own developers only where they are installed."""
    found = [
        (extra, part)
        for extra, wanted in requirements().items()
        if extra
        for part in _judged(f"{extra}: {_purpose(extra)}", wanted, _advice(extra), needed=False)
    ]
    return [part for extra, part in found if extra != "dev" or part.state != "missing"]


def _purpose(extra: str) -> str:
    return PURPOSE.get(extra, "a plug-in")


def _advice(extra: str) -> str:
    return f"for {_purpose(extra)}: {install_command(extra)}"


def _judged(name: str, wanted: list[Requirement], todo: str, *, needed: bool) -> list[Part]:
    missing: list[str] = []
    wrong: list[str] = []
    there: list[str] = []
    for requirement in wanted:
        try:
            seen = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        fits = requirement.specifier.contains(seen, prereleases=True)
        (there if fits else wrong).append(f"{requirement.name} {seen}")
    if missing:
        return [Part(name, "missing", f"not installed: {', '.join(missing)}", todo, needed)]
    if wrong:
        return [Part(name, "wrong", f"another version is needed: {', '.join(wrong)}", todo, needed)]
    return [Part(name, "fine", ", ".join(there), "", needed)]


def weights() -> list[Part]:
    """The pretrained weights: found, and byte for byte the tested ones?"""
    parts = []
    for name, known in WEIGHTS.items():
        try:
            path = find(name)
        except MissingExtra as error:
            parts.append(Part(f"weights {name}", "missing", error.what, _advice(error.extra)))
        except TuwenError as error:
            parts.append(Part(f"weights {name}", "wrong", error.what, error.todo or ""))
        else:
            parts.append(
                Part(f"weights {name}", "fine", f"{path.stat().st_size / 1e6:.0f} MB, {known.licence}, sha256 ok")
            )
    return parts


def disk() -> list[Part]:
    """Free space where the user stands."""
    free = shutil.disk_usage(Path.cwd()).free
    seen = f"{free / 1e9:.1f} GB free in {Path.cwd()}"
    if free < NEEDED_FREE:
        return [Part("disk", "wrong", seen, f"make room: {NEEDED_FREE / 1e9:.0f} GB or more", needed=False)]
    return [Part("disk", "fine", seen)]
