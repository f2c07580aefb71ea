"""Ask a bundle of the task rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen.cli.commands import BundleFolder, Json, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.errors import ConfigError, DataError

ANSWERS = "tuwen.workflow.recommendations"
RULES = "What may be listed"
ALONE = ("--like", "--beside", "--everybody")  # asked for by itself


@app.command(rich_help_panel="Ask")
def recommend(
    bundle: BundleFolder,
    shopper: Annotated[str | None, typer.Option(metavar="USER", help="What this shopper may buy next.")] = None,
    clicked: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="What somebody may want who looked at these items, the latest last."),
    ] = None,
    review: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What somebody may want who wrote this; also with --shopper.")
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What looks like this photo; also with --shopper.")
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
    about: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="What is known of her: users.gender=female; several. Alone, or with --shopper or --clicked.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Items in a list.")] = 20,
    again: Annotated[
        bool | None,
        typer.Option(
            "--again/--no-again",
            help="List what was bought before; default: as the run says.",
            rich_help_panel=RULES,
        ),
    ] = None,
    only: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only these items, one a line: what is in stock.", rich_help_panel=RULES),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="ITEM", help="Never this item; several.", rich_help_panel=RULES)
    ] = None,
    boost: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM=NUMBER", help="Added to this item's score; several.", rich_help_panel=RULES),
    ] = None,
    explore: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of the places drawn by chance; default: as the run says.", rich_help_panel=RULES
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The store that knows who refused recommendations; default: that of the home BUNDLE stands in.",
            rich_help_panel=RULES,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Items for a shopper, a session of clicks, a review or photo, an item or a basket; or lists for everybody."""
    from tuwen.apps.recommend.told import unheard
    from tuwen.workflow.kinds import part_of

    asked: dict[str, Any] = {
        "--shopper": shopper,
        "--clicked": clicked,
        "--review": review,
        "--photo": photo,
        "--about": about,
        "--like": like,
        "--beside": beside,
        "--everybody": everybody,
    }
    given = [name for name, value in asked.items() if value is not None and value != []]
    _one_question(given, by)
    order = {"--again/--no-again": again, "--boost": boost or None, "--explore": explore}
    _order_by_itself(given, [name for name, value in order.items() if value is not None])
    screen = Screen(as_json=json, quiet=quiet)
    notes: list[str] = []
    how: dict[str, Any] = {
        "again": again,
        "explore": explore,
        "notes": notes,
        "only": None if only is None else _lines(only),
        "exclude": exclude or (),
        "boost": dict(map(_boost, boost or ())),
        "store": store,
    }
    if everybody is not None:
        shoppers = part_of("rank", "recommend_to_everybody", ANSWERS)(
            bundle, everybody, count, screen.progress(), **how
        )
        screen.answer({"shoppers": shoppers, "file": str(everybody), "notes": notes})
        screen.say(*(f"note: {note}" for note in notes))
        screen.say(f"lists of {shoppers:,} shoppers: {everybody}")
        return
    shelf, rules = part_of("rank", "recommend", ANSWERS)(bundle, **how)
    screen.say(*(f"note: {note}" for note in notes))
    if shopper is not None and shopper not in shelf:
        told = "the answer goes by what is asked alone" if review or photo else "this is what one without a past gets"
        if shopper in shelf.refused:
            screen.say(f"note: the shopper {shopper!r} refused recommendations; {told}")
        else:
            screen.say(f"note: the bundle does not know the shopper {shopper!r}; {told}")
    known = _told(about or ())
    answers: dict[str, Callable[[], list[Any]]] = {
        "--like": lambda: shelf.similar(like, count, by, rules),
        "--beside": lambda: shelf.goes_with(beside, count, rules),
        "--shopper": lambda: shelf.for_shopper(shopper, count, rules, known),
        "--clicked": lambda: shelf.for_session(clicked, count, rules, known),
        "--about": lambda: shelf.for_session([], count, rules, known),
    }
    if review is None and photo is None:
        listed = answers[given[0]]()
    else:
        from tuwen.apps.recommend.questions import Question

        question = Question(review, None if photo is None else _bytes(photo))
        listed = shelf.for_question(question, count, rules, user=shopper, clicked=clicked or ())
    for note in unheard(known, shelf.history):
        screen.say(f"note: {note['en']}")
    _show(screen, listed, explored=bool(rules.explore) and like is None and beside is None)
    if not listed:
        may = "nothing" if rules.allowed is None else "nothing that may be listed"
        nothing = f"{may} was ever bought beside that" if beside else "nothing that may be listed is left"
        if like is not None or review is not None or photo is not None:
            nothing = "nothing that may be listed can be compared with that"
        if like is not None and not shelf.similar(like, 1, by):
            nothing = f"{like} has no {' or '.join(by or shelf.catalogue.vectors)} to compare by; try --beside {like}"
        screen.say(nothing)


def _one_question(given: list[str], by: list[str] | None) -> None:
    alone = [name for name in given if name in ALONE]
    shown = {"--review", "--photo"} & set(given)
    both = {"--shopper", "--clicked"} <= set(given)
    if not given or (alone and len(given) > 1) or both or (shown and "--about" in given):
        raise ConfigError(
            "ask one thing at a time",
            seen=", ".join(given) or "nothing",
            allowed="--shopper, --clicked, --about, --like, --beside or --everybody; --review and --photo together, "
            "and beside --shopper or --clicked; --about beside --shopper or --clicked",
        )
    if by and given != ["--like"]:
        raise ConfigError("--by says by what items are alike", seen=given[0], allowed="--like ITEM --by picture")


def _order_by_itself(given: list[str], rules: list[str]) -> None:
    """What is alike, or bought beside, is so whoever asks and whatever a shop pushes."""
    if rules and given[0] in ("--like", "--beside"):
        raise ConfigError(
            f"{given[0]} lists by how near items are, in that order",
            seen=", ".join(rules),
            allowed="--only and --exclude",
            todo="leave it out, or ask by --shopper, --clicked, --review, --photo or --everybody",
        )


def _told(about: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in about:
        column, _, value = (part.strip() for part in text.partition("="))
        if not column or not value:
            raise ConfigError("this tells nothing of a shopper", where="--about", seen=text, allowed="users.age=30")
        if column in found:
            raise ConfigError(f"'{column}' is given twice", where="--about", todo="leave one of them out")
        found[column] = value
    return found


def _boost(text: str) -> tuple[str, float]:
    item, _, number = text.rpartition("=")
    try:
        push = float(number)
        if not item or not math.isfinite(push):
            raise ValueError
        return item, push
    except ValueError:
        raise ConfigError("this pushes no item", where="--boost", seen=text, allowed="ITEM=NUMBER") from None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError("the file cannot be read", where=str(file), seen=error.strerror) from None


def _lines(file: Path) -> list[str]:
    """The keys in a file, one a line, as exports write them."""
    import polars as pl

    from tuwen.data.keys import plain_keys

    try:
        lines = pl.Series(_bytes(file).decode("utf-8-sig").splitlines(), dtype=pl.String)
    except UnicodeDecodeError:
        raise DataError("the file is no text", where=str(file), allowed="UTF-8, one item a line") from None
    return plain_keys(lines).drop_nulls().to_list()


def _show(screen: Screen, listed: list[Any], *, explored: bool) -> None:
    chances = [{"explored": one.explored, "probability": one.probability} if explored else {} for one in listed]
    screen.answer(
        [{"item": one.item, "score": one.score, **more, **one.about} for one, more in zip(listed, chances, strict=True)]
    )
    if not listed:
        return
    columns = list(dict.fromkeys(name for one in listed for name in one.about))
    screen.table(
        ("", "item", "score", *(["chance"] if explored else []), *columns),
        [
            (
                place,
                one.item,
                one.score,
                *([f"{one.probability:.3g}" if one.explored else ""] if explored else []),
                *(one.about.get(name, "") for name in columns),
            )
            for place, one in enumerate(listed, start=1)
        ],
    )
