"""Room on the disk and in memory: what would need more is refused before there is none, what gives room back is not.

A full disk stops everything that writes, removals too. So new events and items are refused while some room is left:
with 507, as Vespa and Qdrant refuse them. Removals, consent and forgetting go on, and so does every answer.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from tuwen.service.limits import Limits
from tuwen.service.problems import RequestError

# routes that store data from POST and PUT
KEEPING = ("/v1/events", "/v1/feedback", "/v1/items", "/v1/operator/promote")
COSTLY = (
    "/v1/predict",
    "/v1/explain",
    "/v1/embed",
    "/v1/search",
    "/v1/items",
    "/v1/operator/promote",
)  # of POST: pictures are decoded, networks run, parts are loaded
LEAST_FILES = 100  # new files that a file system must still take: it can be full of names as well
FRESH_SECONDS = 0.5  # for which a look at memory counts
CGROUP = Path("/sys/fs/cgroup")
STATM, MEMINFO, OWN_CGROUP = Path("/proc/self/statm"), Path("/proc/meminfo"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Disk:
    """Attributes:
    free: bytes that this user may still write.
    needed: bytes below which nothing new is kept.
    files: whether it takes new files.
    """

    free: int
    needed: int
    files: bool

    @property
    def low(self) -> bool:
        return self.free < self.needed or not self.files


class Room:
    """Args:
    folder: on the disk that is written to; None where nothing is.
    limits: the marks.
    """

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._memory, self._looked = 0.0, -FRESH_SECONDS

    def disk(self) -> Disk | None:
        """None where nothing is written, or the disk cannot be looked at."""
        if self.folder is None:
            return None
        try:
            status = os.statvfs(self.folder)
        except OSError:
            return None
        needed = min(self.limits.free_bytes, int(self.limits.free_share * status.f_blocks * status.f_frsize))
        return Disk(status.f_bavail * status.f_frsize, needed, not status.f_files or status.f_favail >= LEAST_FILES)

    def memory(self) -> float:
        """The share that is in use of the narrowest limit: of this process, its control groups, or the machine."""
        now = time.monotonic()
        if now - self._looked >= FRESH_SECONDS:
            self._memory, self._looked = max(_shares(), default=0.0), now
        return self._memory

    @property
    def short_of_memory(self) -> bool:
        return self.memory() >= self.limits.memory_share

    def full(self) -> list[str]:
        """Return the resources that are nearly full: ``disk``, ``memory``."""
        disk = self.disk()
        low = {"disk": disk is not None and disk.low, "memory": self.short_of_memory}
        return [name for name, is_low in low.items() if is_low]

    def check(self, method: str, path: str) -> None:
        """Raises:
        RequestError: 507 where the disk is nearly full and the request would keep something; 503 where memory is, and
            the request is a costly one.
        """
        if method not in ("POST", "PUT"):
            return
        if path.startswith(KEEPING) and (disk := self.disk()) is not None and disk.low:
            raise RequestError(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "the disk of the service is nearly full, and nothing new is kept",
                allowed="removals, consent and forgetting",
                todo="send it again later, and tell who runs this service",
            )
        if path.startswith(COSTLY) and self.short_of_memory:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "the service is short of memory", todo="try again later")


class RoomGuard:
    """ASGI middleware, inside :class:`tuwen.service.guard.Guard`, which answers what this one raises."""

    def __init__(self, app: ASGIApp, *, room: Room) -> None:
        self.app, self.room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.room.check(scope["method"], scope["path"])
        await self.app(scope, receive, send)


def _shares() -> Iterator[float]:
    """Yield the used share of each memory limit of this process. Nothing without ``/proc``."""
    pages = _numbers(STATM)
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if pages and soft != resource.RLIM_INFINITY and soft > 0:
        yield pages[0] * resource.getpagesize() / soft
    for folder in _groups():
        most = _numbers(folder / "memory.max") or _numbers(folder / "memory.limit_in_bytes")
        used = _numbers(folder / "memory.current") or _numbers(folder / "memory.usage_in_bytes")
        if most and used and 0 < most[0] < 1 << 60:
            yield (used[0] - _cache_of(folder)) / most[0]
    memory = _table(MEMINFO)
    if memory.get("MemTotal:") and "MemAvailable:" in memory:
        yield 1 - memory["MemAvailable:"] / memory["MemTotal:"]


def _groups() -> list[Path]:
    """Return the control groups of this process up to the root, of versions 2 and 1."""
    groups: list[Path] = []
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return groups
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers in ("", "memory"):
            root = CGROUP if not controllers else CGROUP / "memory"
            own = root / path.lstrip("/")
            groups += [own, *(parent for parent in own.parents if root in (parent, *parent.parents))]
    return groups


def _cache_of(folder: Path) -> int:
    """Return the bytes of the file cache, which the kernel can reclaim."""
    statistics = _table(folder / "memory.stat")
    return statistics.get("inactive_file", statistics.get("total_inactive_file", 0))


def _numbers(file: Path) -> list[int]:
    try:
        return [int(word) for word in file.read_text(encoding="ascii").split() if word.isdecimal()]
    except (OSError, ValueError):
        return []


def _table(file: Path) -> dict[str, int]:
    try:
        lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
