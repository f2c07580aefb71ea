"""The commands that keep a home: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli.commands import Json, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.cli.serving import PANEL, HomeFolder, StoreUrl, _need_home


@app.command(rich_help_panel=PANEL)
def backup(
    home: HomeFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    store: StoreUrl = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all that HOME is to one FILE, while it is served: what is live and can come back, the index, and the store
    where it is SQLite. Of PostgreSQL make a dump of its own: pg_dump.
    """
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    _need_home(home)
    done = workflow.backup(home, file, store=store, progress=screen.progress())
    screen.answer(done)
    screen.say(f"{done['files']:,} files of revision {done['revision']}, {done['bytes'] / 1e6:,.1f} MB, in {file}")
    if done["store"]["kind"] == "postgresql":
        screen.say("not in it: the store in PostgreSQL. Dump it after this, not before: pg_dump --format=custom URL")
    elif not done["store"]["included"]:
        screen.say("note: there is no store yet")


@app.command(rich_help_panel=PANEL)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    home: HomeFolder,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the HOME that a backup holds. All of FILE is checked before anything is written."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    done = workflow.restore(file, home, progress=screen.progress())
    screen.answer(done)
    screen.say(f"{done['files']:,} files, revision {done['revision']}, in {home}: a backup of {done['made']}")
    if isinstance(done["store"], dict) and done["store"].get("kind") == "postgresql":
        screen.say("not in it: the store in PostgreSQL; restore its own dump: pg_restore")
    screen.say(f"tuwen serve {home}")
