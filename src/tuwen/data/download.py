"""Pictures by http(s): side by side, politely, within limits, and never from an address inside one's own network.

The address that a name stands for is looked up once, checked, and connected to, for every hop of every redirect; so
neither a redirect nor a name server that changes its mind leads inside. Host header and TLS name stay those of the URL.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpcore
import httpx
from anyio.from_thread import start_blocking_portal
from anyio.streams.memory import MemoryObjectSendStream

from tuwen.errors import DataError

PER_HOST = 4  # connections to one host at a time
REDIRECTS = 5
BACK_OFF = 0.5  # seconds before the second attempt; twice as long before each further one
GIVE_UP = 20  # attempts failed in a row before a host is asked no more
AGAIN = {408, 425, 429, 500, 502, 503, 504}
HEADERS: Mapping[bytes | str, bytes | str] = {
    "User-Agent": "tuwen (picture collector)",
    "Accept": "image/*,*/*;q=0.1",
    "Accept-Encoding": "identity",
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Outcome = tuple[str, bytes | DataError]


@dataclass(frozen=True)
class Limits:
    """What a download may cost.

    Attributes:
        max_bytes: of one file.
        timeout: seconds without a byte.
        deadline: seconds for one file, all attempts together.
        retries: after a failed connection, a broken answer or a busy server.
        parallel: downloads at a time.
        allow_private_addresses: whether loopback, private, link-local and other special addresses may be asked.
    """

    max_bytes: int
    timeout: float
    deadline: float
    retries: int
    parallel: int
    allow_private_addresses: bool = False


NOT_PUBLIC = "address not allowed"


def download(urls: Iterable[str], limits: Limits) -> Generator[Outcome]:
    """(URL, its bytes or why not) for each URL, in the order they finish. Closing the generator ends the downloads."""
    with start_blocking_portal() as portal:
        send, receive = anyio.create_memory_object_stream[Outcome](limits.parallel)
        with send, receive:
            done = portal.start_task_soon(_all, list(urls), limits, send.clone())
            send.close()
            while True:
                try:
                    outcome = portal.call(receive.receive)
                except anyio.EndOfStream:
                    break
                yield outcome
            done.result()


def is_inside(address: str) -> bool:
    """Whether an IP address is anything but a public one, also when it hides an IPv4 address inside."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    hidden: list[Any] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        hidden += [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            hidden.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return any(h is not None and (not h.is_global or h.is_multicast) for h in hidden)


@dataclass
class _Host:
    """One host's downloads still to come, and how many attempts failed in a row."""

    urls: list[str] = field(default_factory=list)
    failed: int = 0


async def _all(urls: list[str], limits: Limits, send: MemoryObjectSendStream[Outcome]) -> None:
    hosts: dict[str, _Host] = {}
    for url in reversed(urls):
        hosts.setdefault(_host(url), _Host()).urls.append(url)
    gate = anyio.Semaphore(limits.parallel)

    async def work(host: _Host) -> None:
        while host.urls:
            async with gate:
                if host.urls:
                    url = host.urls.pop()
                    await send.send((url, await _one(pool, url, limits, host)))

    async with send, _pool(limits) as pool, anyio.create_task_group() as group:
        for host in hosts.values():
            for _ in range(min(PER_HOST, len(host.urls))):
                group.start_soon(work, host)


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return ""


async def _one(pool: httpcore.AsyncConnectionPool, url: str, limits: Limits, host: _Host) -> bytes | DataError:
    """One file with all its attempts, or why not."""
    error = DataError("the host does not answer", seen=f"{GIVE_UP} attempts in a row failed")
    if host.failed >= GIVE_UP:
        return error
    with anyio.move_on_after(limits.deadline):
        for attempt in range(limits.retries + 1):
            pause = BACK_OFF * 2**attempt
            try:
                data = await _get(pool, url, limits)
                host.failed = 0
                return data
            except _Busy as busy:
                host.failed = 0
                error, pause = DataError(f"HTTP {busy.status}"), max(pause, busy.pause)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                host.failed += 1
                error = DataError("no connection", seen=str(failure) or type(failure).__name__)
            except httpcore.TimeoutException:
                host.failed += 1
                error = DataError("no answer in time", allowed=f"{limits.timeout:g} seconds without a byte")
            except (httpcore.NetworkError, httpcore.ProtocolError) as failure:
                error = DataError("the connection broke", seen=failure)
            except DataError as final:
                return final
            if attempt < limits.retries:
                await anyio.sleep(pause)
        return error
    return DataError("took too long", allowed=f"{limits.deadline:g} seconds in all")


class _Busy(Exception):
    """The server asks to come again later."""

    def __init__(self, status: int, pause: float) -> None:
        super().__init__(status)
        self.status, self.pause = status, pause


async def _get(pool: httpcore.AsyncConnectionPool, url: str, limits: Limits) -> bytes:
    """The body behind ``url``, redirects followed."""
    waits = dict.fromkeys(("connect", "read", "write"), limits.timeout)
    try:
        place = httpx.URL(url)
        for _ in range(REDIRECTS + 1):
            if place.scheme not in ("http", "https") or not place.host:
                raise DataError("not a web address", seen=str(place)[:200], allowed="http://..., https://...")
            target = httpcore.URL(scheme=place.raw_scheme, host=place.raw_host, port=place.port, target=place.raw_path)
            async with pool.stream("GET", target, headers=HEADERS, extensions={"timeout": waits}) as answer:
                headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
                if answer.status in (301, 302, 303, 307, 308) and b"location" in headers:
                    place = place.join(headers[b"location"])
                    continue
                return await _body(answer, headers, limits.max_bytes)
    except (httpx.InvalidURL, ValueError) as error:
        raise DataError("not a web address", seen=error) from None
    raise DataError("too many redirects", seen=str(place)[:200], allowed=f"at most {REDIRECTS}")


async def _body(answer: httpcore.Response, headers: dict[bytes, str], max_bytes: int) -> bytes:
    if answer.status in AGAIN:
        pause = headers.get(b"retry-after", "")
        raise _Busy(answer.status, float(pause) if pause.isdecimal() else 0.0)
    if answer.status != 200:
        raise DataError(f"HTTP {answer.status}")
    if headers.get(b"content-encoding", "identity").lower() != "identity":
        raise DataError("a compressed answer, not a picture", seen=headers[b"content-encoding"])
    length = headers.get(b"content-length", "")
    parts: list[bytes] = []
    size = int(length) if length.isdecimal() else 0
    _check_size(size, max_bytes)
    size = 0
    async for part in answer.aiter_stream():
        parts.append(part)
        size += len(part)
        _check_size(size, max_bytes)
    return b"".join(parts)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLarge("too many bytes", seen=f"{size:,} bytes or more", allowed=f"at most {max_bytes:,} bytes")


class TooLarge(DataError):
    """A file over the limit: the same next time, unlike other failures."""


def _pool(limits: Limits) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(),
        max_connections=limits.parallel,
        network_backend=_Checked(limits.allow_private_addresses),
    )


class _Checked(httpcore.AsyncNetworkBackend):
    """Looks a name up once, and connects to what it checked."""

    def __init__(self, allow_private_addresses: bool) -> None:
        self._allow_private_addresses = allow_private_addresses
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"no such host: {error}") from None
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        if not self._allow_private_addresses:
            inside = [address for address in addresses if is_inside(address)]
            addresses = [address for address in addresses if address not in inside]
            if not addresses:
                raise DataError(
                    NOT_PUBLIC,
                    seen=f"{host} is {', '.join(inside)}",
                    allowed="public addresses",
                    todo="media: {allow_private_addresses: true} in SHOP.yaml, if the pictures are your own",
                )
        last: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                last = failure
        raise last

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
