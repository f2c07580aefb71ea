"""The command line: each command parses, calls one function, prints. Nothing heavy is imported until it is needed."""

import io
import os
import sys

from tuwen.cli import experiments, finding, recommending, serving
from tuwen.cli.commands import app


def main() -> None:
    """The entry point ``tuwen``."""
    # Threads that wait by spinning take the core that the others need: with anything else running beside it, training
    # on two cores was ten times slower (54 s against 5 s). Read by OpenMP when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A terminal in GBK or ASCII has no ᵀ and no emoji; a question mark is better than no answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="tuwen")


__all__ = ["app", "experiments", "finding", "main", "recommending", "serving"]
