"""The command line: each command parses, calls one function, prints. Nothing heavy is imported until it is needed."""

import os

from tuwen.cli.commands import app


def main() -> None:
    """The entry point ``tuwen``."""
    # Threads that wait by spinning take the core that the others need: with anything else running beside it, training
    # on two cores was ten times slower (54 s against 5 s). Read by OpenMP when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="tuwen")


__all__ = ["app", "main"]
