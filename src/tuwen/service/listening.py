"""Listening: on this machine only unless told otherwise, until Ctrl-C, in one process or several."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import gc
import ipaddress
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from tuwen.bundle.home import Home
from tuwen.data.decoder import kill_decoders
from tuwen.errors import ConfigError, InUse, MissingExtra
from tuwen.private import private, sweep_scratch
from tuwen.service.access import Access
from tuwen.service.application import app
from tuwen.service.body import Flight
from tuwen.service.connections import Faults, connection_class
from tuwen.service.guard import LOCAL_HOSTS, Rules
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures, shared_between_processes
from tuwen.service.predictor import Predictor
from tuwen.service.rate import Rate
from tuwen.service.workers import Workers
from tuwen.store import Store

log = logging.getLogger("tuwen.service")
LAST_SECONDS = 2.0  # after the grace: a thread in a call of C that does not return must not keep the process
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 262_144  # of malloc.h; bytes
OPEN_FILES = 65_536  # of a process, where the machine allows it; every connection is one
# in which Python lets another thread run: by default 5 ms, in which a list is made, and a list that is remembered waits
# for it. bench/load, 15 % events, three runs each in turns: 139, 101, 178 lists a second with 5 ms, 175, 133, 203 so
SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class Listening:
    """Where and how a service listens.

    Attributes:
        port: 0 takes a free one.
        allow_remote: whether an address that other machines reach is allowed.
        hosts: names that the service answers to beside those of this machine; with ``allow_remote`` and none, any.
        origins: pages of other sites that may ask from a browser.
        workers: processes.
        keys: whether a key is asked for on this machine too.
        log: whether each request is a line of JSON on stderr.
        proxies: addresses or networks of proxies, whose ``X-Forwarded-For`` says who asks; of nobody else it counts.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allow_remote: bool = False
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    workers: int = 1
    keys: bool = False
    log: bool = False
    proxies: Sequence[str] = ()


def check_proxies(proxies: Sequence[str]) -> None:
    """Raises:
    ConfigError: one is neither an address nor a network.
    """
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise ConfigError(
                "that is no address of a proxy",
                where=f"--trusted-proxy {proxy}",
                seen=error,
                allowed="127.0.0.1, 10.0.0.0/8, ::1",
            ) from None


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse an address that other machines reach, unless that was asked for.

    Raises:
        ConfigError: it is not this machine's own, or it is, and other machines were to be let in.
    """
    if allow_remote and _is_local(host):
        raise ConfigError(
            "other machines are to be let in, and no address is listened on that they reach",
            where=f"--host {host}",
            todo="add --host 0.0.0.0 for all; behind a proxy on this machine take --name shop.example instead",
        )
    if not allow_remote and not _is_local(host):
        raise ConfigError(
            "other machines could ask this service",
            where=f"--host {host}",
            allowed="127.0.0.1, ::1, localhost",
            todo="add --allow-remote: a home then asks for keys; a bundle alone has none and stays on this machine",
        )


def serve(
    predictor: Predictor,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    limits: Limits | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve one bundle, on this machine alone, until Ctrl-C or SIGTERM; requests under way are finished.

    The model answers one empty row first: a bundle that cannot answer is found before anybody asks.

    Args:
        port: 0 takes a free one.
        ready: called with the address once it listens.

    Raises:
        ConfigError: an address that is not allowed or does not exist.
        InUse: something else listens there.
    """
    check_host(host, allow_remote=False)
    limits = limits or Limits()
    _open_files()
    _return_large_blocks()
    with _listen(host, port) as listener:
        predictor.predict([{entry["column"]: None for entry in predictor.inputs}])
        service = app(predictor, limits=limits, hosts=LOCAL_HOSTS)
        _run(service, listener, _address(host, listener), ready, limits)


def serve_home(
    folder: str | Path,
    how: Listening,
    *,
    store: str | None = None,
    limits: Limits | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a home until Ctrl-C or SIGTERM. What is promoted meanwhile is loaded while requests go on.

    Args:
        store: a URL; default: ``store.db`` in the home.
        ready: called with the address once all workers listen.

    Raises:
        ConfigError: an address that is not allowed, or keys are asked for and there is none.
        InUse: something else listens there.
        MissingExtra: the extra recommend is not installed.
    """
    try:  # once, before workers are forked; one bundle alone needs none of it
        import tuwen.service.shop
        import tuwen.workflow.serving  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("scipy", "pyarrow"):
            raise
        raise MissingExtra("recommend", "serving a home") from None
    check_host(how.host, allow_remote=how.allow_remote)
    check_proxies(how.proxies)
    home, limits = Home(folder), limits or Limits()
    sweep_scratch()
    home.sweep()
    asked = how.keys or not _is_local(how.host)
    with Store(store or home.store) as opened:
        if asked and not opened.keys.all():
            raise ConfigError(
                "this service would ask for a key, and there is none",
                where=opened.name,
                todo=f"tuwen key {folder} --name till --role shop   (and one of the role operator)",
            )
    _open_files()
    _return_large_blocks()
    # before workers are forked: they are one for all of them
    rates = Rate(limits.rate, limits.burst), Rate(limits.open_rate, max(1, int(2 * limits.open_rate)))
    with private(home.folder), _listen(how.host, how.port) as listener:
        address = _address(how.host, listener)
        if how.workers > 1:
            with shared_between_processes():
                work = partial(_worker, home, store, how, limits, rates, asked, listener)
                Workers(work, how.workers, limits.grace_seconds + LAST_SECONDS + 1.0).run(
                    lambda: ready(address) if ready else None
                )
        else:
            _worker(home, store, how, limits, rates, asked, listener, lambda: ready(address) if ready else None)


def _return_large_blocks() -> None:
    """Large blocks of memory go back to the system as soon as they are freed.

    By default glibc raises its threshold to the largest block that was ever freed, and keeps such blocks in its heaps
    from then on. ``make attack`` with two workers: 1,300 to 1,740 MB by default, 1,280 to 1,450 MB with a fixed one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc alone
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _open_files() -> None:
    """As many connections as the machine allows: where a shell allows 1,024 files, silent clients would use them up."""
    try:
        import resource
    except ModuleNotFoundError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _worker(
    home: Home,
    store: str | None,
    how: Listening,
    limits: Limits,
    rates: tuple[Rate, Rate],
    asked: bool,
    listener: socket.socket,
    told: Callable[[], None],
) -> None:
    from tuwen.service.served import Served
    from tuwen.service.shop import shop_app
    from tuwen.workflow.serving import Live

    sys.setswitchinterval(SWITCH_SECONDS)
    with Store(store or home.store) as opened:
        live, measures = Live(home, opened, loaded=_settle), Measures()
        live.watch()
        rules = Rules(
            hosts=_hosts(how),
            origins=how.origins,
            access=Access(opened, required=asked),
            rate=rates[0],
            open_rate=rates[1],
            flight=Flight(max(limits.body_bytes, limits.flight_bytes // how.workers)),
            measures=measures,
            log=how.log,
            limits=limits,
        )
        try:
            served = Served(live, limits, measures)
            _run(shop_app(served, rules), listener, "", lambda _: told(), limits, how.proxies, served.warm)
        finally:
            live.end()


def _run(
    service: FastAPI,
    listener: socket.socket,
    address: str,
    ready: Callable[[str], None] | None,
    limits: Limits,
    proxies: Sequence[str] = (),
    warm: Callable[[], None] | None = None,
) -> None:
    config = uvicorn.Config(
        service,
        log_level="warning",
        access_log=False,
        # A proxy must let go first (nginx: 60 s), or it sends into a closed connection; so must a client that asked
        # while this process was busy: 7 of 632 failed with 5 s, 0 of 759 with 120
        timeout_keep_alive=limits.keep_seconds,  # type: ignore[arg-type]
        timeout_graceful_shutdown=limits.grace_seconds,  # type: ignore[arg-type]
        server_header=False,
        http=connection_class(limits),
        h11_max_incomplete_event_size=limits.header_bytes,
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
    )
    try:
        _Server(config, address, ready, limits.grace_seconds + LAST_SECONDS, warm).run(sockets=[listener])
    except KeyboardInterrupt:
        return


class _Server(uvicorn.Server):
    """Args:
    seconds: between the signal to end and the end, whatever threads do.
    warm: called when it listens; what need not be there before.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        url: str,
        ready: Callable[[str], None] | None,
        seconds: float,
        warm: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._url, self._ready, self._seconds, self._warm = url, ready, seconds, warm

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(Faults())
        await super().startup(sockets=sockets)
        _settle()
        if self._warm is not None:
            self._warm()
        if self.started and self._ready is not None:
            self._ready(self._url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            watch = threading.Timer(self._seconds, _end_now)
            watch.daemon = True
            watch.start()
        super().handle_exit(sig, frame)


def _end_now() -> None:
    """Whatever was acknowledged is on the disk; what a stuck thread does is nobody's any more."""
    log.error("a thread does not end: the process ends without it")
    kill_decoders()
    os._exit(1)


def _settle() -> None:
    """What was loaded stays, so the garbage collector need not walk through it again: with 200 items that took 215 ms
    of processor time, in which nobody was answered. What was loaded before and is not served any more
    goes with this one collection.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _hosts(how: Listening) -> Sequence[str] | None:
    if how.allow_remote and not how.hosts:
        return None
    return (*LOCAL_HOSTS, *how.hosts)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named, because asyncio sets TCP_NODELAY only then: without it each answer waits 40 ms for an ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise InUse(
                "something else listens there already", where=where, todo="end it, or choose another: --port 8001"
            ) from None
        raise ConfigError("cannot listen there", where=where, seen=error.strerror or error) from None
    return listener
