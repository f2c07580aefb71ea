"""What Prometheus reads: requests, their time, what is live. No shopper and no item stands in a label."""

from __future__ import annotations

import os
import tempfile

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def share_between_processes() -> None:
    """Before several workers start: a folder in which their numbers are added up. prometheus_client reads where it is
    when it is imported.
    """
    os.environ.setdefault(SHARED, tempfile.mkdtemp(prefix="tuwen-metrics-"))


class Measures:
    """The numbers of one service."""

    def __init__(self) -> None:
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
        self._events = Counter("tuwen_events", "events kept", ["kind"], registry=registry)

    def begin(self) -> None:
        self._under_way.inc()

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        self._under_way.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def event(self, kind: str) -> None:
        self._events.labels(kind if kind in KINDS else "other").inc()

    def text(self, revision: int) -> bytes:
        """In Prometheus' own format."""
        self._revision.set(revision)
        return generate_latest(self._registry)


KINDS = {"view", "click", "cart", "purchase", "impression", "search"}
