"""Ask a bundle of the task rank."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen.cli.commands import BundleFolder, Json, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.errors import ConfigError


@app.command(rich_help_panel="Ask")
def recommend(
    bundle: BundleFolder,
    shopper: Annotated[str | None, typer.Option(metavar="USER", help="What this shopper may buy next.")] = None,
    clicked: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="What somebody may want who looked at these items, the latest last."),
    ] = None,
    like: Annotated[str | None, typer.Option(metavar="ITEM", help="Items that look or read like this one.")] = None,
    by: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Of --like: picture, text; without it all.")
    ] = None,
    beside: Annotated[list[str] | None, typer.Option(metavar="ITEM", help="What is bought beside these items.")] = None,
    everybody: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One list for each shopper, into a .parquet, .csv or .jsonl file."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Items in a list.")] = 20,
    again: Annotated[
        bool | None, typer.Option("--again/--no-again", help="List what was bought before; default: as the run says.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Items for a shopper, a session of clicks, an item or a basket; or lists for everybody."""
    from tuwen.workflow.kinds import part_of

    asked = {
        "--shopper": shopper,
        "--clicked": clicked,
        "--like": like,
        "--beside": beside,
        "--everybody": everybody,
    }
    given = [name for name, value in asked.items() if value]
    if len(given) != 1:
        raise ConfigError("ask one thing at a time", seen=", ".join(given) or "nothing", allowed=list(asked))
    if by and like is None:
        raise ConfigError("--by says by what items are alike", seen=given[0], allowed="--like ITEM --by picture")
    screen = Screen(as_json=json, quiet=quiet)
    if everybody is not None:
        shoppers = part_of("rank", "recommend_to_everybody")(bundle, everybody, count, again, screen.progress())
        screen.answer({"shoppers": shoppers, "file": str(everybody)})
        screen.say(f"lists of {shoppers:,} shoppers: {everybody}")
        return
    shelf, rules = part_of("rank", "recommend")(bundle, again)
    if shopper is not None and shopper not in shelf:
        screen.say(f"note: the bundle does not know {shopper}; this is what a shopper without a past gets")
    listed = _answer(shelf, rules, count, shopper, clicked, like, by, beside)
    screen.answer([{"item": one.item, "score": one.score, **one.about} for one in listed])
    columns = list(dict.fromkeys(name for one in listed for name in one.about))
    screen.table(
        ("", "item", "score", *columns),
        [
            (place, one.item, one.score, *(one.about.get(name, "") for name in columns))
            for place, one in enumerate(listed, start=1)
        ],
    )
    if not listed:
        screen.say("nothing was ever bought beside that")


def _answer(
    shelf: Any,
    rules: Any,
    count: int,
    shopper: str | None,
    clicked: list[str] | None,
    like: str | None,
    by: list[str] | None,
    beside: list[str] | None,
) -> list[Any]:
    if shopper is not None:
        return list(shelf.for_shopper(shopper, count, rules))
    if clicked:
        return list(shelf.for_session(clicked, count, rules))
    if like is not None:
        return list(shelf.similar(like, count, by))
    return list(shelf.goes_with(beside, count))
