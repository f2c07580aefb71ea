"""A small HTTP/1.1 client over open connections: the load must cost less than what it measures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What came of one kind of request.

    Attributes:
        milliseconds: of each answer.
        failed: answers that were not 2xx, and connections that broke.
    """

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def told(self, seconds: float) -> dict[str, Any]:
        times = sorted(self.milliseconds) or [float("nan")]

        def at(share: float) -> float:
            return round(times[min(len(times) - 1, int(share * len(times)))], 2)

        return {
            "requests": len(self.milliseconds),
            "per_second": round(len(self.milliseconds) / seconds, 1),
            "p50_ms": at(0.5),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
            "failed": len(self.failed),
            "first_failure": self.failed[0] if self.failed else None,
        }


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    kind: str
    data: bytes

    @classmethod
    def of(cls, kind: str, method: str, path: str, body: Any = None) -> Request:
        sent = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(sent)}\r\n"
        head += "Content-Type: application/json\r\n\r\n"
        return cls(kind, head.encode() + sent)


async def _ask(host: str, port: int, draw: Callable[[], Request], until: float, tallies: dict[str, Tally]) -> None:
    reader = writer = None
    while time.perf_counter() < until:
        request = draw()
        tally = tallies.setdefault(request.kind, Tally())
        began = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, port)
            assert reader is not None
            writer.write(request.data)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 2"):
                tally.failed.append(f"{head[9:12].decode()} {body[:200].decode(errors='replace')}")
            tally.milliseconds.append(1000 * (time.perf_counter() - began))
            if b"connection: close" in head.lower():
                writer.close()
                writer = None
        except (OSError, EOFError, TimeoutError, IndexError) as error:
            tally.failed.append(repr(error))
            if writer is not None:
                writer.close()
            writer = None
    if writer is not None:
        writer.close()


def load(port: int, draw: Callable[[], Request], *, connections: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Ask for ``seconds`` over ``connections`` at once, each waiting for its answer; kind → what came of it."""
    tallies: dict[str, Tally] = {}

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_ask("127.0.0.1", port, draw, until, tallies) for _ in range(connections)))

    asyncio.run(run())
    return {kind: tally.told(seconds) for kind, tally in tallies.items()}
