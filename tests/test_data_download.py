"""Downloads against a real server: what is good arrives once, what is bad has a reason, and nothing leads inside."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import httpcore
import pytest

from tuwen.data import download as module
from tuwen.data.download import Limits, download, is_inside
from tuwen.errors import DataError
from web import Web

LIMITS = Limits(max_bytes=1_000_000, timeout=0.5, deadline=2.0, retries=2, parallel=8, allow_private_addresses=True)
FILES = {"/a.jpg": b"picture a", "/b.jpg": b"picture b" * 1000, "/page.jpg": b"<html>no picture</html>"}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(module, "BACK_OFF", 0.01)
    with Web(dict(FILES)) as server:
        yield server


def fetched(web: Web, *paths: str, **changes: Any) -> dict[str, bytes | str]:
    """path → its bytes or the reason why not."""
    urls = {path if "://" in path else web.url + path: path for path in paths}
    found = dict(download(urls, replace(LIMITS, **changes)))
    assert set(found) == set(urls)
    return {urls[url]: data.what if isinstance(data, DataError) else data for url, data in found.items()}


def test_good_files_arrive(web: Web) -> None:
    paths = ["/a.jpg", "/b.jpg", "/to//a.jpg", "/page.jpg", "/x y/ü/a.jpg"]
    found = fetched(web, *paths)
    assert found == {
        "/a.jpg": FILES["/a.jpg"],
        "/b.jpg": FILES["/b.jpg"],
        "/to//a.jpg": FILES["/a.jpg"],
        "/page.jpg": FILES["/page.jpg"],
        "/x y/ü/a.jpg": FILES["/a.jpg"],
    }


def test_a_busy_server_and_a_broken_answer_are_asked_again(web: Web) -> None:
    assert fetched(web, "/busy/a.jpg", "/short/b.jpg") == {
        "/busy/a.jpg": FILES["/a.jpg"],
        "/short/b.jpg": FILES["/b.jpg"],
    }
    assert web.asked["/busy/a.jpg"] == 3 and web.asked["/short/b.jpg"] == 2


def test_faults_have_reasons(web: Web) -> None:
    found = fetched(
        web, "/nothing.jpg", "/loop", "/always-busy", "/large", "/flood", "/gzip.jpg", "ftp://x/a.jpg", "http://"
    )
    assert found == {
        "/nothing.jpg": "HTTP 404",
        "/loop": "too many redirects",
        "/always-busy": "HTTP 500",
        "/large": "too many bytes",
        "/flood": "too many bytes",
        "/gzip.jpg": "a compressed answer, not a picture",
        "ftp://x/a.jpg": "not a web address",
        "http://": "not a web address",
    }
    assert web.asked["/nothing.jpg"] == 1 and web.asked["/always-busy"] == 3
    assert web.asked["/loop"] == module.REDIRECTS + 1


def test_an_endless_drip_and_silence_end(web: Web) -> None:
    begun = time.monotonic()
    found = fetched(web, "/drip", "/hang", "/a.jpg", deadline=0.8, timeout=0.2, retries=1)
    assert found == {"/drip": "took too long", "/hang": "no answer in time", "/a.jpg": FILES["/a.jpg"]}
    assert time.monotonic() - begun < 3


def test_a_host_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/a.jpg"
    ((_, error),) = download([url], replace(LIMITS, retries=0))
    assert isinstance(error, DataError) and error.what == "no connection"
    ((_, error),) = download(["http://no.such.host.invalid/a.jpg"], replace(LIMITS, retries=0))
    assert isinstance(error, DataError) and error.what == "no connection" and "no such host" in (error.seen or "")


def test_a_dead_host_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    urls = [f"http://127.0.0.1:{port}/{i}.jpg" for i in range(60)]
    reasons = [error.what for _, error in download(urls, replace(LIMITS, retries=0)) if isinstance(error, DataError)]
    assert len(reasons) == 60
    assert reasons.count("no connection") <= module.GIVE_UP + module.PER_HOST
    assert reasons.count("the host does not answer") >= 60 - module.GIVE_UP - module.PER_HOST


def test_a_host_is_asked_politely(web: Web) -> None:
    assert len(fetched(web, *(f"/slow/{i}/a.jpg" for i in range(24)), parallel=32)) == 24
    assert 2 <= web.most <= module.PER_HOST


def test_private_addresses_are_refused_unless_allowed(web: Web) -> None:
    port = web.url.rsplit(":", 1)[1]
    urls = [
        web.url + "/a.jpg",
        f"http://localhost:{port}/a.jpg",
        f"http://2130706433:{port}/a.jpg",
        f"http://0x7f.1:{port}/a.jpg",
        f"http://[::ffff:127.0.0.1]:{port}/a.jpg",
        f"http://0.0.0.0:{port}/a.jpg",
    ]
    found = fetched(web, *urls, allow_private_addresses=False)
    assert set(found.values()) == {"address not allowed"}
    assert not web.asked


def test_a_redirect_does_not_lead_inside(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop looks public (as far as the check can see); the second is the loopback itself."""
    hops: list[str] = []

    def once(address: str) -> bool:
        hops.append(address)
        return len(hops) > 1

    monkeypatch.setattr(module, "is_inside", once)
    target = web.url.replace("127.0.0.1", "localhost") + "/a.jpg"
    url = f"{web.url}/to/{target}"
    assert fetched(web, url, allow_private_addresses=False) == {url: "address not allowed"}
    assert len(hops) > 1
    assert "/a.jpg" not in web.asked


def test_a_name_is_looked_up_once_and_connected_to_as_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers a public address first and a private one later gains nothing."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1", "93.184.216.34"]])
    connected: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    class Recorder(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, *_: Any, **__: Any) -> Any:
            connected.append(host)
            raise httpcore.ConnectError("recorded")

    monkeypatch.setattr(module.anyio, "getaddrinfo", getaddrinfo)
    backend = module._Checked(allow_private_addresses=False)
    backend._inner = Recorder()  # type: ignore[assignment]

    async def connect() -> str:
        try:
            await backend.connect_tcp("changing.example", 80)
        except (DataError, httpcore.ConnectError) as error:
            return getattr(error, "what", str(error))
        return "connected"

    assert [anyio.run(connect) for _ in range(3)] == ["recorded", "address not allowed", "recorded"]
    assert connected == ["93.184.216.34", "93.184.216.34"]


def test_host_header_is_the_name(web: Web) -> None:
    url = web.url.replace("127.0.0.1", "localhost") + "/a.jpg"
    assert fetched(web, url) == {url: FILES["/a.jpg"]}
    assert web.hosts == {url.split("/")[2]}


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("8.8.8.8", False),
        ("2606:4700:4700::1111", False),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("fc00::1", True),
        ("ff02::1", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("64:ff9b::7f00:1", True),
        ("64:ff9b::808:808", False),
        ("2002:7f00:1::", True),
    ],
)
def test_what_is_inside(address: str, inside: bool) -> None:
    assert is_inside(address) is inside


def test_ending_early_ends_the_downloads(web: Web) -> None:
    urls = [f"{web.url}/slow/{i}/a.jpg" for i in range(200)]
    begun = time.monotonic()
    for _ in download(urls, LIMITS):
        break
    assert time.monotonic() - begun < 1.5
    assert sum(web.asked.values()) < 60
