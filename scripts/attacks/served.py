"""A home for one attack: a copy of the given home, and a server process for it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

CODE = "from tuwen.cli import main; main()"  # the command ``tuwen`` as code, so that it needs no installed script


class Served:
    """A process that serves a home, and an HTTP client for it.

    At the end of a ``with`` block the process is asked to stop, and must do so within a minute.

    Args:
        home: the folder to serve.
        options: more options of ``tuwen serve``.

    Attributes:
        process: the process. With ``--workers`` it is the parent of the workers.
        client: a client whose base address is the server's.

    Raises:
        SystemExit: the server did not start.
    """

    def __init__(self, home: Path, *options: str) -> None:
        command = [sys.executable, "-c", CODE, "serve", str(home), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        match = re.search(r"at (http://[\d.]+:\d+)", line)
        if match is None:
            raise SystemExit(f"the home could not be served: {line}")
        self.client = httpx.Client(base_url=match[1], timeout=60)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        """Kill the process at once, and close the client."""
        self.process.kill()
        self.process.communicate()
        self.client.close()

    def workers(self) -> list[int]:
        """Return the process ids of the children."""
        command = ["ps", "-o", "pid=", "--ppid", str(self.process.pid)]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return [int(pid) for pid in process.stdout.split()]


@contextmanager
def copy_of(home: Path, folder: Path | None = None, *, store: bool = True) -> Iterator[Path]:
    """Copy a home into a temporary folder, and remove the folder at the end.

    Args:
        home: the home to copy.
        folder: where to make the temporary folder. Default: the system's.
        store: whether to copy the store and the journal too.
    """
    ignore = None if store else shutil.ignore_patterns("store.db*", "journal.log*")
    with tempfile.TemporaryDirectory(prefix="tuwen-attack-", dir=folder) as parent:
        copy = Path(parent) / "home"
        shutil.copytree(home, copy, ignore=ignore)
        yield copy
