"""Processes that are really stopped, killed or kept short: each is forked from one that has loaded torch already, which
takes a fresh Python some four seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(
    [
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
    ]
)


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
