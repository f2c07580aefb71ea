"""What is too much for one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much one request, and all of them together, may take.

    Attributes:
        body_bytes: a whole request body, files included.
        picture_bytes: one picture, sound or shape.
        rows: rows in one request.
        read_seconds: until the whole body must have arrived.
        workers: predictions made at the same time; the network itself uses every core.
        waiting: requests that may wait for a worker before the next is told to come back later.
        rate: requests a second of each who asks, on average, of all processes together; 0 for no limit.
        burst: of each who asks, at once.
        free_bytes, free_share: of the disk of the home; below the smaller of both nothing new is kept (507).
        memory_share: of the memory of the process, its control group or the machine; above it no costly work (503).
    """

    body_bytes: int = 32_000_000
    picture_bytes: int = 20_000_000
    rows: int = 256
    read_seconds: float = 30.0
    workers: int = 1
    waiting: int = 64
    rate: float = 0.0
    burst: int = 100
    free_bytes: int = 200_000_000
    free_share: float = 0.02
    memory_share: float = 0.95
