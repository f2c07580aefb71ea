"""Listening: on this machine only unless told otherwise, until Ctrl-C, in one process or several."""

from __future__ import annotations

import errno
import gc
import ipaddress
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tuwen.bundle.home import Home
from tuwen.errors import ConfigError, InUse, MissingExtra
from tuwen.private import private, sweep_scratch
from tuwen.service.access import Access
from tuwen.service.application import app
from tuwen.service.guard import LOCAL_HOSTS, Rules
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures, shared_between_processes
from tuwen.service.predictor import Predictor
from tuwen.service.rate import Rate
from tuwen.service.workers import Workers
from tuwen.store import Store

GRACE_SECONDS = 5
# for which a connection stays open between requests. A proxy must let go first (nginx: 60), or it sends into a closed
# one; so must a client that asked while this process was busy: 7 of 632 failed with 5 s, 0 of 759 with this
KEEP_SECONDS = 120
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
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allow_remote: bool = False
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    workers: int = 1
    keys: bool = False
    log: bool = False


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
    with _listen(host, port) as listener:
        predictor.predict([{entry["column"]: None for entry in predictor.inputs}])
        service = app(predictor, limits=limits, hosts=LOCAL_HOSTS)
        _run(service, listener, _address(host, listener), ready)


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
    rate = Rate(limits.rate, limits.burst)  # before workers are forked: it is one for all of them
    with private(home.folder), _listen(how.host, how.port) as listener:
        address = _address(how.host, listener)
        if how.workers > 1:
            with shared_between_processes():
                work = partial(_worker, home, store, how, limits, rate, asked, listener)
                Workers(work, how.workers).run(lambda: ready(address) if ready else None)
        else:
            _worker(home, store, how, limits, rate, asked, listener, lambda: ready(address) if ready else None)


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
    rate: Rate,
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
            rate=rate,
            measures=measures,
            log=how.log,
            limits=limits,
        )
        try:
            _run(shop_app(Served(live, limits, measures), rules), listener, "", lambda _: told())
        finally:
            live.end()


def _run(service: FastAPI, listener: socket.socket, address: str, ready: Callable[[str], None] | None) -> None:
    config = uvicorn.Config(
        service,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    try:
        _Server(config, address, ready).run(sockets=[listener])
    except KeyboardInterrupt:
        return


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._url, self._ready = url, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        _settle()
        if self.started and self._ready is not None:
            self._ready(self._url)


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
