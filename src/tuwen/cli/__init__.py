"""The command line: each command parses, calls one function, prints. Nothing heavy is imported until it is needed."""

import io
import os
import sys
from typing import Any

from tuwen.cli import backups, building, experiments, finding, recommending, serving
from tuwen.cli.commands import app


class Lasting(io.FileIO):
    """What a person sees. Where nobody looks any more (``tuwen update … | head``) the work goes on all the same."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(data)


def main() -> None:
    """The entry point ``tuwen``."""
    # Threads that wait by spinning take the core that the others need: with anything else running beside it, training
    # on two cores was ten times slower (54 s against 5 s). Read by OpenMP when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A terminal in GBK or ASCII has no ᵀ and no emoji; a question mark is better than no answer.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            lasting = io.BufferedWriter(Lasting(stream.fileno(), "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(lasting, stream.encoding, "replace", line_buffering=True))
    app(prog_name="tuwen")


__all__ = ["app", "backups", "building", "experiments", "finding", "main", "recommending", "serving"]
