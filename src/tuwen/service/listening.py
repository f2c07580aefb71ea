"""Listening: on this machine only unless told otherwise, until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from tuwen.errors import ConfigError, InUse
from tuwen.service.application import app
from tuwen.service.guard import LOCAL_HOSTS
from tuwen.service.limits import Limits
from tuwen.service.predictor import Predictor

GRACE_SECONDS = 5


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse an address that other machines reach, unless that was asked for: there is no password yet.

    Raises:
        ConfigError: it is not this machine's own.
    """
    if allow_remote or _is_local(host):
        return
    raise ConfigError(
        "other machines could ask this service, and there is no password",
        where=f"--host {host}",
        allowed="127.0.0.1, ::1, localhost",
        todo="put it behind a proxy that checks who asks, or add --allow-remote",
    )


def serve(
    predictor: Predictor,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    allow_remote: bool = False,
    limits: Limits | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve ``predictor`` until Ctrl-C or SIGTERM; requests under way are finished.

    The model answers one empty row first: a bundle that cannot answer is found before anybody asks.

    Args:
        port: 0 takes a free one.
        ready: called with the address once it listens.

    Raises:
        ConfigError: an address that is not allowed or does not exist.
        InUse: something else listens there.
    """
    check_host(host, allow_remote=allow_remote)
    listener = _listen(host, port)
    with listener:
        predictor.predict([{entry["column"]: None for entry in predictor.inputs}])
        service = app(predictor, limits=limits, hosts=None if allow_remote else LOCAL_HOSTS)
        config = uvicorn.Config(
            service, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False
        )
        shown = f"[{host}]" if ":" in host else host
        server = _Server(config, f"http://{shown}:{listener.getsockname()[1]}", ready)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            return


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._url, self._ready = url, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and self._ready is not None:
            self._ready(self._url)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise InUse(
                "something else listens there already", where=where, todo="end it, or choose another: --port 8001"
            ) from None
        raise ConfigError("cannot listen there", where=where, seen=error.strerror or error) from None
    return listener
