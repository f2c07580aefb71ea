"""A power cut, modelled: what a process wrote is recorded by ``strace``, and every disk that a cut may leave is made.

The rules are POSIX' own, stricter than those of most file systems (Pillai et al., OSDI 2014; Mohan et al., OSDI 2018):
a file's data is safe after ``fsync`` of the file, a name after ``fsync`` of its folder. What is not safe yet may be
there, or not, or in part, in any order. A rename happens whole or not at all.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STRACE = shutil.which("strace")
CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,ftruncate,fallocate,lseek,fsync,fdatasync,sendfile,"
    "copy_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
LINE = re.compile(r"^(\d+)\s+(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\)\s+=\s+(-?\d+)(?:<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?)?")
DATA = ("lost", "whole", "half", "zeros")  # what becomes of data that was not synced
PASSING = {"store.db-shm"}  # SQLite's index of its log: shared memory, made anew at each opening


def strace_works() -> bool:
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-e", "trace=fsync", "true"], capture_output=True).returncode == 0


def text(quoted: str) -> bytes:
    """Decode a string of ``strace -xx``."""
    return bytes.fromhex(quoted.replace("\\x", ""))


@dataclass(eq=False)
class File:
    data: bytearray = field(default_factory=bytearray)


@dataclass(eq=False)
class Folder:
    names: dict[str, File | Folder] = field(default_factory=dict)


Node = File | Folder


@dataclass(frozen=True)
class Names:
    """One change of names, whole or not at all: (folder, name, node or None for a name that goes)."""

    changes: tuple[tuple[Folder, str, Node | None], ...]

    def apply(self, names: dict[Folder, dict[str, Node]]) -> None:
        for folder, name, node in self.changes:
            entries = names.setdefault(folder, {})
            if node is None:
                entries.pop(name, None)
            else:
                entries[name] = node


@dataclass(frozen=True)
class Write:
    file: File
    offset: int
    data: bytes | None  # None: the file gets the length ``offset``

    def apply(self, data: bytearray) -> None:
        if self.data is None:
            data[:] = data[: self.offset].ljust(self.offset, b"\0")
            return
        if len(data) < self.offset:
            data.extend(bytes(self.offset - len(data)))
        data[self.offset : self.offset + len(self.data)] = self.data


@dataclass(frozen=True)
class Sync:
    node: Node


@dataclass(frozen=True)
class Done:
    """From here on the work counts as done: a cut takes nothing back."""


Step = Names | Write | Sync | Done


def tree_of(root: Path) -> Folder:
    """Read a folder from the disk."""
    folder = Folder()
    for path in sorted(root.iterdir()):
        if path.name not in PASSING:
            folder.names[path.name] = tree_of(path) if path.is_dir() else File(bytearray(path.read_bytes()))
    return folder


def digest(node: Node) -> str:
    if isinstance(node, File):
        return hashlib.sha256(node.data).hexdigest()
    entries = sorted((name, digest(inner)) for name, inner in node.names.items())
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def write_tree(node: Node, target: Path) -> None:
    if isinstance(node, File):
        target.write_bytes(node.data)
        return
    target.mkdir()
    for name, inner in node.names.items():
        write_tree(inner, target / name)


class Recording:
    """The steps that a traced process took below ``root``, of which ``before`` is a copy of what stood there."""

    def __init__(self, root: Path, done: Path, before: Folder) -> None:
        self.root, self.done, self.before = root, done, before
        self.names: dict[Folder, dict[str, Node]] = {}
        self.now: dict[File, bytearray] = {}
        self._at: dict[File, int] = {}
        self._read: dict[str, int] = {}
        self.steps: list[Step] = []
        self._enter(before)

    def _enter(self, node: Node) -> None:
        if isinstance(node, File):
            self.now[node] = bytearray(node.data)
            return
        self.names[node] = dict(node.names)
        for inner in node.names.values():
            self._enter(inner)

    def take(self, step: Step) -> None:
        self.steps.append(step)
        if isinstance(step, Names):
            step.apply(self.names)
        elif isinstance(step, Write):
            step.apply(self.now[step.file])

    def parent(self, path: Path) -> tuple[Folder, str] | None:
        """The folder and the name of a path below the root, as things stand now."""
        if self.root not in path.parents:
            return None
        node: Node = self.before
        for name in path.relative_to(self.root).parts[:-1]:
            node = self.names[node][name]  # type: ignore[index]
        assert isinstance(node, Folder)
        return node, path.name

    def node(self, path: Path) -> Node | None:
        if path == self.root:
            return self.before
        entry = self.parent(path)
        return None if entry is None else self.names[entry[0]].get(entry[1])

    def after(self) -> Folder:
        """The tree as the process sees it at its end."""
        return built(self.before, self.names, self.now)

    # --- One call ---------------------------------------------------------------------------------------------

    def call(self, name: str, arguments: str, result: int, opened: str | None) -> None:
        if name in ("openat", "open", "creat"):
            if opened is not None:
                self._open(Path(text(opened).decode()), arguments)
        elif name in ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir"):
            self._name(name, paths(arguments), "RENAME_EXCHANGE" in arguments)
        elif name in ("mkdir", "mkdirat"):
            path = paths(arguments)[0]
            if path == self.done:
                self.take(Done())
            elif (entry := self.parent(path)) is not None:
                node = Folder()
                self.names[node] = {}
                self.take(Names(((*entry, node),)))
        else:
            self._data(name, arguments, result)

    def _open(self, path: Path, arguments: str) -> None:
        entry = self.parent(path)
        if entry is None or path.name in PASSING:
            return
        node = self.names[entry[0]].get(entry[1])
        if node is None and "O_CREAT" in arguments:
            node = File()
            self.now[node] = bytearray()
            self.take(Names(((*entry, node),)))
        if isinstance(node, File):
            if "O_TRUNC" in arguments and self.now[node]:
                self.take(Write(node, 0, None))
            self._at[node] = -1 if "O_APPEND" in arguments else 0

    def _name(self, name: str, file_paths: list[Path], exchange: bool) -> None:
        entries = [self.parent(path) for path in file_paths]
        if any(entry is None for entry in entries) or file_paths[0].name in PASSING:
            return
        first, last = entries[0], entries[-1]
        assert first is not None and last is not None
        node = self.names[first[0]][first[1]]
        if name.startswith("rename") and exchange:
            self.take(Names(((*first, self.names[last[0]][last[1]]), (*last, node))))
        elif name.startswith("rename"):
            self.take(Names(((*first, None), (*last, node))))
        elif name.startswith("link"):
            self.take(Names(((*last, node),)))
        else:
            self.take(Names(((*first, None),)))

    def _data(self, name: str, arguments: str, result: int) -> None:
        match = re.match(r"\d+<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?", arguments)
        if match is None or match[2]:
            return
        path = Path(text(match[1]).decode(errors="replace"))
        node = self.node(path) if path == self.root or self.root in path.parents else None
        if name in ("fsync", "fdatasync"):
            if node is not None:
                self.take(Sync(node))
            return
        if name == "copy_file_range":
            name, path, arguments, node = self._range(arguments)
        if not isinstance(node, File):
            return
        rest = arguments[match.end() :]
        if name == "lseek":
            self._at[node] = result
        elif name == "ftruncate":
            self.take(Write(node, int(rest.split(",")[1]), None))
        elif name == "fallocate":
            offset, length = (int(number) for number in rest.split(",")[2:4])
            if offset + length > len(self.now[node]):
                self.take(Write(node, offset + length, None))
        else:
            self._write(node, name, arguments, rest, result)

    def _write(self, node: File, name: str, arguments: str, rest: str, result: int) -> None:
        if name in ("sendfile", "copy_file_range"):
            source = re.findall(r"\d+<((?:\\x[0-9a-f]{2})*)>", arguments)[1 if name == "sendfile" else 0]
            data = self._copied(text(source).decode(), result)
        else:
            strings = re.findall(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?', rest)
            assert not any(cut for _, cut in strings), "strace cut a string"
            data = b"".join(text(string) for string, _ in strings)[:result]
        if name.startswith("pwrite"):
            self.take(Write(node, int(rest.rpartition(",")[2]), data))
            return
        at = self._at.get(node, 0)
        begin = len(self.now[node]) if at < 0 else at
        self.take(Write(node, begin, data))
        if at >= 0:
            self._at[node] = begin + len(data)

    def _range(self, arguments: str) -> tuple[str, Path, str, Node | None]:
        """copy_file_range names its target second."""
        target = Path(text(re.findall(r"\d+<((?:\\x[0-9a-f]{2})*)>", arguments)[1]).decode())
        node = self.node(target) if self.root in target.parents else None
        return "copy_file_range", target, arguments, node

    def _copied(self, source: str, count: int) -> bytes:
        node = self.node(Path(source)) if self.root in Path(source).parents else None
        whole = bytes(self.now[node]) if isinstance(node, File) else Path(source).read_bytes()
        begin = self._read.get(source, 0) % max(1, len(whole))
        self._read[source] = begin + count
        return whole[begin : begin + count]


def paths(arguments: str) -> list[Path]:
    """The paths of a call on names, relative ones from the folder that the call names."""
    matches = re.findall(r'(?:(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"', arguments)
    return [Path(text(folder).decode()) / text(name).decode() for folder, name in matches]


def record(code: str, roots: dict[Path, Path]) -> dict[Path, Recording]:
    """Run Python ``code`` and record what it does below each root.

    Args:
        roots: root → the folder that the code makes when its work below the root is done.
    """
    assert STRACE is not None
    recordings = {root: Recording(root, done, tree_of(root)) for root, done in roots.items()}
    log = next(iter(roots)).parent / "strace.log"
    how = [STRACE, "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(1 << 26), "-e", f"trace={CALLS}", "-o", str(log)]
    done = subprocess.run([*how, sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for call in calls_in(log):
        for recording in recordings.values():
            recording.call(*call)
    log.unlink()
    return recordings


def calls_in(log: Path) -> Iterator[tuple[str, str, int, str | None]]:
    """(name, arguments, result, path of what was opened) of each call that did something, in their order."""
    begun: dict[str, str] = {}
    with log.open(encoding="ascii", errors="replace") as file:
        for line in file:
            match = LINE.match(line)
            if match is None:
                continue
            process, words = match[1], match[2]
            if words.endswith("<unfinished ...>"):
                begun[process] = words.removesuffix("<unfinished ...>").rstrip()
                continue
            if words.startswith("<... "):
                words = begun.pop(process) + words.partition("resumed>")[2]
            call = CALL.match(words)
            if call is not None and int(call[3]) >= 0:
                yield call[1], call[2], int(call[3]), call[4]


# --- The disks that a cut may leave ---------------------------------------------------------------------------


def built(root: Node, names: dict[Folder, dict[str, Node]], data: dict[File, bytearray]) -> Folder:
    """A tree of its own from names and data."""

    def copy(node: Node) -> Node:
        if isinstance(node, File):
            return File(data.get(node, bytearray()))
        return Folder({name: copy(inner) for name, inner in names.get(node, {}).items()})

    root_copy = copy(root)
    assert isinstance(root_copy, Folder)
    return root_copy


@dataclass(frozen=True)
class Cut:
    """A disk after a power cut.

    Attributes:
        disk: what stands there.
        done: whether the work counted as done before the cut.
        how: for a person.
    """

    disk: Folder
    done: bool
    how: str


class _Disk:
    """What is safe, and what waits, after some of the steps."""

    def __init__(self, recording: Recording) -> None:
        fresh = Recording(recording.root, recording.done, recording.before)
        self.root, self.names, self.data = recording.before, fresh.names, fresh.now
        self.waiting: list[Names] = []
        self.writes: dict[File, list[Write]] = {}
        self.done = False

    def take(self, step: Step) -> None:
        if isinstance(step, Names):
            self.waiting.append(step)
        elif isinstance(step, Write):
            self.writes.setdefault(step.file, []).append(step)
        elif isinstance(step, Done):
            self.done = True
        elif isinstance(step.node, File):
            for write in self.writes.pop(step.node, []):
                write.apply(self.data.setdefault(step.node, bytearray()))
        else:
            safe = [pending for pending in self.waiting if pending.changes[-1][0] is step.node]
            self.waiting = [pending for pending in self.waiting if pending not in safe]
            for pending in safe:
                pending.apply(self.names)

    def orders(self) -> Iterator[tuple[str, list[Names]]]:
        """Which changes of names, not safe yet, are there: each prefix, and all but one."""
        for count in range(len(self.waiting) + 1):
            yield f"names {count} of {len(self.waiting)}", self.waiting[:count]
        for i in range(len(self.waiting) - 1):
            yield f"names without {i}", [*self.waiting[:i], *self.waiting[i + 1 :]]

    def after(self, changes: list[Names], how: str) -> Folder:
        names = {folder: dict(entries) for folder, entries in self.names.items()}
        for change in changes:
            change.apply(names)
        data = dict(self.data)
        for file, writes in self.writes.items():
            data[file] = _cut(data.get(file, bytearray()), writes, how)
        return built(self.root, names, data)


def _cut(safe: bytearray, writes: list[Write], how: str) -> bytearray:
    """A file of which some writes were not synced."""
    content = bytearray(safe)
    if how == "lost":
        return content
    for write in writes[: len(writes) // 2] if how == "half" else writes:
        write.apply(content)
    if how == "half" and writes[len(writes) // 2].data is not None:
        last = writes[len(writes) // 2]
        Write(last.file, last.offset, (last.data or b"")[: len(last.data or b"") // 2]).apply(content)
    if how == "zeros":
        for write in writes:
            if write.data is not None:
                Write(write.file, write.offset, bytes(len(write.data))).apply(content)
    return content


def cuts(recording: Recording, most: int | None, seed: int = 0) -> Iterator[Cut]:
    """Every disk that a cut may leave, each once; with ``most``, that many of them, the same ones each time."""
    points = range(len(recording.steps) + 1)
    choices = [(point, order, how) for point, orders in _orders(recording, points) for order in orders for how in DATA]
    if most is not None and len(choices) > most:
        rng = random.Random(seed)
        last = [choice for choice in choices if choice[0] == points[-1]][: most // 4]
        choices = sorted({*rng.sample(choices, most), *last}, key=lambda choice: choice[0])
    disk, taken, marks = _Disk(recording), 0, set()
    for point, order, how in choices:
        while taken < point:
            disk.take(recording.steps[taken])
            taken += 1
        words, changes = list(disk.orders())[order]
        folder = disk.after(changes, how)
        mark = digest(folder), disk.done
        if mark not in marks:
            marks.add(mark)
            yield Cut(folder, disk.done, f"after step {point} of {points[-1]}, {words}, data {how}")


def _orders(recording: Recording, points: range) -> Iterator[tuple[int, range]]:
    """How many orders of names there are at each point."""
    disk = _Disk(recording)
    for point in points:
        yield point, range(sum(1 for _ in disk.orders()))
        if point < len(recording.steps):
            disk.take(recording.steps[point])
