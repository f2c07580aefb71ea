"""Processes that are really stopped, killed or kept short: each is forked from one that has loaded torch already, which
takes a fresh Python some four seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    [
        "tuwen.cli",
        "tuwen.workflow.training",
        "tuwen.workflow.comparing",
        "tuwen.workflow.tuning",
        "tuwen.service.listening",
        "tuwen.service.shop",
        "tuwen.workflow.serving",
        "tuwen.apps.storefront.storefront",
        "alembic.command",
        "sqlalchemy.dialects.sqlite",
        "faiss",
        "lightgbm",
    ]
)
TUWEN = "from tuwen.cli import main; main()"


class Command:
    """A command of tuwen as a process of its own, with its own standard output and error.

    Args:
        arguments: of the command.
        code: Python that runs with them.
        limits: resource (``resource.RLIMIT_…``) → (soft, hard) limit.
    """

    def __init__(self, *arguments: str, code: str = TUWEN, limits: Mapping[int, tuple[int, int]] | None = None) -> None:
        self._output = [Connection(os.memfd_create(name), readable=False) for name in ("stdout", "stderr")]
        state = (str(Path.cwd()), dict(os.environ), dict(limits or {}))
        self._process = WARM.Process(target=_command, args=(code, arguments, self._output, *state), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def stdout(self) -> str:
        """What it wrote until now."""
        return _text(self._output[0])

    @property
    def stderr(self) -> str:
        return _text(self._output[1])

    def readline(self, seconds: float = 60) -> str:
        """Wait for the first line of its output, or for its end."""
        deadline = time.monotonic() + seconds
        while "\n" not in self.stdout and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.stdout.partition("\n")[0]

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end, and return its exit status; -N: signal N ended it."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"it runs still after {seconds} s"
        return self._process.exitcode


def _text(connection: Connection) -> str:
    return os.pread(connection.fileno(), 1 << 24, 0).decode()


def _command(
    code: str,
    arguments: tuple[str, ...],
    output: list[Connection],
    folder: str,
    environment: dict[str, str],
    limits: dict[int, tuple[int, int]],
) -> None:
    for number, connection in enumerate(output, start=1):
        os.dup2(connection.fileno(), number)
        connection.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for kind, limit in limits.items():
        resource.setrlimit(kind, limit)
    sys.argv = ["tuwen", *arguments]
    exec(code, {"__name__": "__main__"})


def begun(
    command: str, *arguments: Any, said: Path = Path(os.devnull), limits: Mapping[int, int] | None = None, **more: Any
) -> ForkServerProcess:
    """``workflow.COMMAND(*arguments, **more)`` in a process and a session of its own.

    Args:
        said: the file that gets what it writes to stdout and stderr.
        limits: the most of a resource (``resource.RLIMIT_…``) that it gets.
    """
    process = WARM.Process(target=_work, args=(command, arguments, more, said, dict(limits or {})), daemon=True)
    process.start()
    return process


def _work(
    command: str, arguments: tuple[Any, ...], more: dict[str, Any], said: Path, limits: Mapping[int, int]
) -> None:
    os.setsid()
    with said.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails like one on a full disk
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))
    from tuwen import workflow
    from tuwen.errors import TuwenError

    try:
        getattr(workflow, command)(*arguments, **more)
    except TuwenError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
