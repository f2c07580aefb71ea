"""The command line: each command parses, calls one function, prints. Nothing heavy is imported until it is needed."""

from tuwen.cli.commands import app


def main() -> None:
    """The entry point ``tuwen``."""
    app(prog_name="tuwen")


__all__ = ["app", "main"]
