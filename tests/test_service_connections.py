"""What clients do to connections: headers that never end, answers that nobody takes, and too many of them."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from served import ServedHome, rest
from tuwen.errors import ConfigError
from tuwen.service.connections import LEAST, most_connections
from tuwen.service.limits import Limits
from tuwen.service.listening import check_proxies
from tuwen.service.workers import Workers

FILES = 160
SHORT = ("header_seconds=1", "write_seconds=1", "keep_seconds=2", "grace_seconds=1", "header_bytes=4000")
PROXY = "127.0.0.2"  # this machine too
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[ServedHome]:
    """One process for all of them, with little time and few files."""
    limits = [part for limit in SHORT for part in ("--limit", limit)]
    server = ServedHome(home, *limits, "--rate", "2", "--trusted-proxy", f"{PROXY}/32", files=FILES)
    yield server
    idle = server.connect()
    code, seconds, errors = server.end()
    assert code == -signal.SIGTERM and seconds < 5 and "Traceback" not in errors, errors
    idle.close()


def answer(connection: socket.socket) -> bytes:
    """The next answer of a connection that goes on: its head and a short body."""
    reply = b""
    while not reply.endswith(b"}"):
        reply += connection.recv(4096)
    return reply


def closed_after(connection: socket.socket) -> float:
    """Seconds until the other side closes."""
    began = time.monotonic()
    rest(connection)
    return time.monotonic() - began


@pytest.mark.parametrize("begin", [b"", b"GET", HEAD, HEAD + b"X: "])
def test_headers_that_never_end_are_closed(served: ServedHome, begin: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(begin)
        seconds = 0.0
        if begin.endswith(b"X: "):  # a byte now and then does not help
            began = time.monotonic()
            while seconds < 10:
                try:
                    connection.sendall(b"x")
                    time.sleep(0.2)
                except OSError:
                    break
                seconds = time.monotonic() - began
        assert seconds + closed_after(connection) < 6


def test_a_connection_is_kept_between_requests_and_not_for_ever(served: ServedHome) -> None:
    with served.connect() as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert b" 200 " in answer(connection)
            time.sleep(1.2)  # longer than headers may take
        assert closed_after(connection) < 6


def test_a_request_has_one_length(served: ServedHome) -> None:
    post = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    hidden = b"0\r\n\r\n" + HEAD + b"\r\n"
    for lengths in (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: \xc2\xb2\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
    ):
        reply = served.say(post + lengths + b"\r\n" + hidden)
        assert reply[9:12] in (b"400", b"413"), reply[:200]
        assert reply.count(b"HTTP/1.1") == 1, lengths  # what stood behind is no request


def test_headers_beyond_their_limit_are_refused(served: ServedHome) -> None:
    assert served.say(HEAD + b"X: " + b"y" * 5_000 + b"\r\n\r\n")[9:12] in (b"400", b"431")


def test_the_rest_of_a_body_that_nobody_reads_is_taken_for_a_moment(served: ServedHome) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000000\r\n\r\n")
        connection.sendall(b"x" * 3_000_000)
        assert answer(connection).startswith(b"HTTP/1.1 405")
        connection.sendall(HEAD + b"\r\n")  # and the connection goes on
        assert b" 200 " in answer(connection)
    with served.connect() as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000000\r\n\r\nx")
        assert answer(connection).startswith(b"HTTP/1.1 405")
        assert closed_after(connection) < 12


def test_an_answer_that_nobody_takes_is_not_kept(served: ServedHome) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", served.port))
    for _ in range(300):  # some 20 MB, more than the system keeps on its way
        try:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        except OSError:
            break
    began = time.monotonic()
    while time.monotonic() - began < 15:
        try:
            connection.sendall(b"x")
        except OSError:
            break
        time.sleep(0.2)
    else:
        raise AssertionError("it is open still")
    connection.close()


def test_where_open_files_run_out_the_service_goes_on(served: ServedHome) -> None:
    crowd = []
    try:
        for number in range(3 * FILES):
            connection = socket.socket()
            connection.settimeout(5)
            connection.connect(("127.0.0.1", served.port))
            if number % 3 == 0:
                connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
            crowd.append(connection)
            if number % 80 == 79:
                began = time.monotonic()
                assert served.status() == 200
                assert time.monotonic() - began < 3
    finally:
        for connection in crowd:
            connection.close()
    assert served.status("GET", "/readyz") == 200


def test_only_a_trusted_proxy_says_who_asks(served: ServedHome) -> None:
    def statuses(source: str, *clients: str) -> list[int]:
        return [served.status("GET", "/v1/shop", f"X-Forwarded-For: {client}", source=source) for client in clients]

    crowd = [f"203.0.113.{number}" for number in range(12)]
    assert 429 in statuses("127.0.0.1", *crowd)  # all of them are this machine, which is no trusted proxy
    assert set(statuses(PROXY, *crowd)) == {200}
    before = [f"198.51.100.{number}, 203.0.113.99" for number in range(12)]
    assert 429 in statuses(PROXY, *before)  # what the client itself wrote before the proxy's word does not count


def test_what_is_no_proxy_is_refused() -> None:
    check_proxies(["127.0.0.1", "10.0.0.0/8", "::1"])
    for proxy in ("proxy", "10.0.0.1/8", "*"):
        with pytest.raises(ConfigError, match="no address of a proxy"):
            check_proxies([proxy])


STUCK = """
import time
from tuwen.service import Limits, serve
from test_service import Shopkeeper
class Stuck(Shopkeeper):
    def predict(self, rows):
        time.sleep(600 if rows[0].get("reviews.text") == "stuck" else 0)
        return super().predict(rows)
serve(Stuck(), port=0, limits=Limits(grace_seconds=0.5), ready=lambda url: print(f"serving at {url} ", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_thread_that_never_ends_does_not_keep_the_process(number: int) -> None:
    server = ServedHome(Path(), code=STUCK)
    body = b'{"rows": [{"text": "stuck"}]}'
    with server.connect() as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.5)
        assert server.status() == 200
        code, seconds, _ = server.end(number)
    assert code in (1, -number) and seconds < 6


def test_a_worker_that_takes_no_signal_is_killed() -> None:
    def work(ready: Callable[[], None]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ready()
        time.sleep(60)

    began = time.monotonic()
    Workers(work, 2, seconds=0.3).run(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert time.monotonic() - began < 5


def test_connections_are_fewer_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr("tuwen.service.connections._open_files", lambda: 20)  # other tests may have left many
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))
    assert most_connections(Limits()) == LEAST
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    assert 200 < most_connections(Limits()) < 1000
    assert most_connections(Limits(connections=50)) == 50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert most_connections(Limits()) == Limits().connections
