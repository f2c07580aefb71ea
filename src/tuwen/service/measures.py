"""What Prometheus reads: requests, their time, what is live. No shopper and no item stands in a label."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tuwen.private import scratch
from tuwen.store.events import KINDS

log = logging.getLogger("tuwen.service")
SHARED = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@contextmanager
def shared_between_processes() -> Iterator[None]:
    """Around several workers: a folder in which their numbers are added up. prometheus_client reads where it is when it
    is imported, so nothing may have imported it before.
    """
    with scratch("metrics") as folder:
        os.environ[SHARED] = str(folder)
        try:
            yield
        finally:
            del os.environ[SHARED]


class Measures:
    """The numbers of one service."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.multiprocess import MultiProcessCollector

        shared = SHARED in os.environ
        self._registry = CollectorRegistry()
        registry = None if shared else self._registry
        if shared:
            MultiProcessCollector(self._registry)
        labels = ["method", "route", "status"]
        self._requests = Counter("tuwen_requests", "requests answered", labels, registry=registry)
        self._seconds = Histogram(
            "tuwen_request_seconds",
            "until the last byte was sent",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._under_way = Gauge(
            "tuwen_requests_under_way", "requests not answered yet", registry=registry, multiprocess_mode="livesum"
        )
        self._revision = Gauge("tuwen_revision", "of the home that is live", registry=registry, multiprocess_mode="max")
        self._outbox = Gauge(
            "tuwen_outbox", "changes of items that the index lacks", registry=registry, multiprocess_mode="mostrecent"
        )
        self._free = Gauge("tuwen_disk_free_bytes", "of the home", registry=registry, multiprocess_mode="mostrecent")
        self._memory = Gauge(
            "tuwen_memory_share", "in use, of the narrowest limit", registry=registry, multiprocess_mode="mostrecent"
        )
        self._full = Gauge(
            "tuwen_nearly_full", "1: new is refused", ["what"], registry=registry, multiprocess_mode="mostrecent"
        )
        self._journal = Gauge(
            "tuwen_journal_bytes", "of events that wait", registry=registry, multiprocess_mode="mostrecent"
        )
        self._of_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._events = Counter("tuwen_events", "events kept", ["kind"], registry=registry)

    def begin(self) -> None:
        self._under_way.inc()

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        self._under_way.dec()
        with _counted_or_not():
            found = self._of_route.get((method, route, status))
            if found is None:
                found = self._requests.labels(method, route, str(status)), self._seconds.labels(route)
                self._of_route[method, route, status] = found
            found[0].inc()
            found[1].observe(seconds)

    def event(self, kind: str) -> None:
        with _counted_or_not():
            self._events.labels(kind if kind in KINDS else "other").inc()

    def outbox(self, changes: int) -> None:
        with _counted_or_not():
            self._outbox.set(changes)

    def journal(self, size: int) -> None:
        with _counted_or_not():
            self._journal.set(size)

    def traffic(self) -> dict[str, Any]:
        """What shoppers and shops asked the API: ``requests`` ``failed`` (5xx) ``under_way`` ``p50`` ``p95`` ``p99``
        (seconds), ``beyond``: which of these are more than the histogram's last edge, that stands in their place; and
        ``routes``: the same by route, the busiest first. Quantiles are read off the histogram, linear in a bucket.
        """
        requests: Counted = {}
        buckets: dict[str, dict[float, float]] = {}
        under_way = 0.0
        for family in self._registry.collect():
            for name, labels, value, *_ in family.samples:
                if name == "tuwen_requests_total":
                    total, failed = requests.get(labels["route"], (0.0, 0.0))
                    requests[labels["route"]] = (total + value, failed + value * (labels["status"] >= "500"))
                elif name == "tuwen_request_seconds_bucket":
                    buckets.setdefault(labels["route"], {})[float(labels["le"])] = value
                elif name == "tuwen_requests_under_way":
                    under_way += value
        asked = {
            route: both for route, both in requests.items() if route.startswith("/v1/") and "/operator/" not in route
        }
        routes = [_row(route, *both, buckets.get(route, {})) for route, both in asked.items()]
        summed = {edge: sum(buckets.get(r, {}).get(edge, 0.0) for r in asked) for edge in (*BUCKETS, float("inf"))}
        whole = _row("", sum(t for t, _ in asked.values()), sum(f for _, f in asked.values()), summed)
        return {
            **whole,
            "under_way": int(under_way),
            "routes": sorted(routes, key=lambda row: (-row["requests"], row["route"])),
        }

    def room(self, free: int | None, memory: float, full: Collection[str]) -> None:
        """What is left on the disk and in memory."""
        with _counted_or_not():
            if free is not None:
                self._free.set(free)
            self._memory.set(memory)
            for what in ("disk", "memory"):
                self._full.labels(what).set(what in full)

    def text(self, revision: int) -> bytes:
        """In Prometheus' own format."""
        from prometheus_client import generate_latest

        self._revision.set(revision)
        return generate_latest(self._registry)


@contextmanager
def _counted_or_not() -> Iterator[None]:
    """Where numbers are shared in files and the disk is full, an answer goes out uncounted."""
    try:
        yield
    except OSError as error:
        log.warning("a request was not counted: %s", error)


def _row(route: str, requests: float, failed: float, buckets: Mapping[float, float]) -> dict[str, Any]:
    found = {"requests": int(requests), "failed": int(failed)}
    read = {name: quantile(buckets, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    beyond = [name for name, value in read.items() if value == float("inf")]
    return {"route": route, **found, **read, **dict.fromkeys(beyond, BUCKETS[-1]), "beyond": beyond}


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which ``share`` of what was measured lies.

    Args:
        buckets: upper edge → how many lie below it, as a histogram of Prometheus holds them.

    Returns:
        None where nothing was measured; infinity where it lies beyond the last finite edge.
    """
    edges = sorted(buckets)
    if not edges or not buckets[edges[-1]]:
        return None
    wanted = share * buckets[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            inside = buckets[edge] - below
            if edge == float("inf") or not inside:
                return edge
            return min(edge, low + (edge - low) * (wanted - below) / inside)  # rounding must not leave the bucket
        low, below = edge, buckets[edge]
    return low


Counted = dict[str, tuple[float, float]]
