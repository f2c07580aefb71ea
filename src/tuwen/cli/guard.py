"""What happens when a command cannot go on: a person reads what and why and what to do, never a traceback."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from tuwen.cli.screen import told
from tuwen.errors import DataError, TuwenError
from tuwen.files import final_name, full_disk, is_full
from tuwen.masking import masked, masked_fields, write_log
from tuwen.workflow.memory import out_of_memory

INTERRUPTED = 130  # 128 + SIGINT, as shells count
LEAST_BYTES = 1 << 20  # below which SQLite's "disk I/O error" means a full disk: it makes files of its own
OF_A_FULL_DISK = ("disk is full", "disk I/O error", "unable to open database file")
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


class Guarded(TyperGroup):
    """The commands, with every way of failing turned into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        arguments = [*ctx._protected_args, *ctx.args]
        try:
            return super().invoke(ctx)
        except TuwenError as told:
            error = _of_a_full_disk(told) or told
            show_error(error, as_json="--json" in arguments)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            show_interrupted(arguments)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # `tuwen list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            show_error(_of_the_machine(error), as_json="--json" in arguments)
            raise typer.Exit(DataError.exit_code) from None
        except Exception as error:
            if _is_control_flow(error):
                raise
            if is_full(error):
                show_error(full_disk(tempfile.gettempdir(), error), as_json="--json" in arguments)
                raise typer.Exit(DataError.exit_code) from None
            if (known := out_of_memory(error)) is not None:
                show_error(known, as_json="--json" in arguments)
                raise typer.Exit(known.exit_code) from None
            show_unexpected(error, arguments, as_json="--json" in arguments)
            raise typer.Exit(UNEXPECTED) from None


def _of_the_machine(error: OSError) -> DataError:
    """A folder that cannot be made, a file that may not be read: not tuwen's fault, so no log."""
    if is_full(error):
        return full_disk(final_name(error.filename or tempfile.gettempdir()), error.strerror or error)
    where = None if error.filename is None else final_name(error.filename)
    todo = "check that the path exists and may be read and written, or name another"
    return DataError("a file or folder cannot be used", where=where, seen=error.strerror or error, todo=todo)


def _of_a_full_disk(error: TuwenError) -> TuwenError | None:
    """A store on a full disk, in the words of every other command; None for any other error."""
    path = (error.where or "").removeprefix("sqlite:///")
    if not (error.where or "").startswith("sqlite:///") or not Path(path).parent.is_dir():
        return None
    no_room = shutil.disk_usage(Path(path).parent).free < LEAST_BYTES
    if no_room and any(words in (error.seen or "") for words in OF_A_FULL_DISK):
        return full_disk(path, error.seen)
    return None


def _is_control_flow(error: Exception) -> bool:
    """Typer's own ways of saying "exit" and "wrong usage"."""
    return type(error).__module__.startswith("typer")


def show_error(error: TuwenError, *, as_json: bool) -> None:
    """The fields of ``error`` on stderr: labelled lines, or one JSON document."""
    _show(error.fields(), as_json=as_json)


def _show(fields: dict[str, str], *, as_json: bool) -> None:
    fields = masked_fields(fields)
    if as_json:
        print(json.dumps({"error": fields}, ensure_ascii=False), file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    line = Text("error ", style="bold red")
    line.append(told(fields["what"], len(line)), style="bold")
    console.print(line)
    for name, text in fields.items():
        if name != "what":
            label = Text(f"{name:>9}  ", style="dim")
            console.print(label.append(told(text, len(label)), style="default"))


def show_interrupted(arguments: list[str]) -> None:
    command = told(masked(shlex.join(["tuwen", *arguments])))
    print(f"\nStopped. What was finished is kept; the same command goes on from there:\n  {command}", file=sys.stderr)


def show_unexpected(error: BaseException, arguments: list[str], *, as_json: bool) -> None:
    """A fault of tuwen's own, as any other error, and under ``log`` where the details are."""
    log = Path(tempfile.gettempdir()) / f"tuwen-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    details = "".join(traceback.format_exception(error))
    reason = str(error).strip().splitlines()
    fields = {
        "what": "tuwen ran into a fault of its own",
        "seen": f"{type(error).__name__}: {reason[0][:200] if reason else ''}",
        "todo": "please report it with the log; tuwen doctor --json says what is installed",
    }
    try:
        write_log(log, f"{shlex.join(['tuwen', *arguments])}\n\n{details}")
        fields["log"] = str(log)
    except OSError as failed:
        fields["log"] = f"could not be written to {log}: {failed.strerror}"
    _show(fields, as_json=as_json)
