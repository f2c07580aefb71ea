"""The commands that find items: index and search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tuwen.cli.commands import DatasetFolder, Json, Out, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.errors import ConfigError

if TYPE_CHECKING:
    from tuwen.apps.matching import Fuse, Mode
    from tuwen.index.vectors import Kind

FUSES = ("scores", "reciprocal-rank")
SHOWN = ("title", "brand", "price", "colour")
IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", show_default=False)]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="brand=HP|Dell, brand!=HP, price<=100, price=10..50; several: all.",
        show_default=False,
    ),
]


@app.command(rich_help_panel="Find")
def index(
    dataset: DatasetFolder,
    out: Out,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=WEIGHT", help="Words to search; default: every column of words, title=3."),
    ] = None,
    text: Annotated[str, typer.Option(metavar="ENCODER", help="Vectors of the words: e5-small, minilm, none.")] = (
        "e5-small"
    ),
    picture: Annotated[
        str, typer.Option(metavar="ENCODER", help="Vectors of the pictures: efficientnet-lite0, none.")
    ] = "efficientnet-lite0",
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE", help="A contrast bundle: words find pictures. It is copied.", show_default=False
        ),
    ] = None,
    picture_text: Annotated[
        bool,
        typer.Option("--picture-text", help="Also find items by the words in their first four pictures (extra ocr)."),
    ] = False,
    where: Where = None,
    kind: Annotated[str, typer.Option(help="Of vectors: exact, approximate, auto.")] = "auto",
    fuse: Annotated[
        str | None,
        typer.Option(
            metavar="HOW", help="How words and vectors become one from now on: scores (at first), reciprocal-rank."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Anew, also over one made in another way.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the items of a dataset searchable. The same command again takes in what changed, while others search."""
    from tuwen import workflow
    from tuwen.workflow.indexing import Recipe

    _one_of("kind", kind, "auto", "exact", "approximate")
    if fuse is not None:
        _one_of("fuse", fuse, *FUSES)
    screen = Screen(as_json=json, quiet=quiet)
    place = None if bundle is None else str(bundle.resolve())
    weights = dict(map(_weight, field or []))
    recipe = Recipe(weights, text, picture, place, tuple(where or ()), cast("Kind", kind), picture_text)
    told = workflow.index(dataset, out, recipe, screen.progress(), replace, fuse=cast("Fuse | None", fuse))
    screen.answer({"index": str(out), **told})
    screen.say(f"{told['items']:,} items; {told['added']:,} taken in, {told['removed']:,} removed")
    if told["items"] and (items := told.get("with_picture_text")) is not None:
        screen.say(f"{items:,} of them have words in their pictures ({100 * items / told['items']:.0f} %)")
    screen.say(f"index: {out}", f'next: tuwen search {out} "WORDS"')


def _one_of(option: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ConfigError(f"there is no such {option}", where=f"--{option}", seen=value, allowed=allowed)


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise ConfigError("this is no weight", where="--field", seen=text, allowed="COLUMN=WEIGHT") from None


@app.command(rich_help_panel="Find")
def update(
    index: IndexFolder,
    add: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV, JSONL or Parquet: item, title, …",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="ITEM", help="Its key; several: each.")] = None,
    shop: Annotated[
        Path | None,
        typer.Option(metavar="SHOP.yaml", help="Where FILE has the shop's own names of columns.", show_default=False),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make one part of all; others search on.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add single items to an index or remove some; every process finds them from its next question on."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    told = workflow.update_index(
        index, add, remove=remove or (), shop=shop, rebuild=rebuild, progress=screen.progress()
    )
    screen.answer({"index": str(index), **told})
    screen.say(*(f"note: there was no item {item}" for item in told["unknown"]))
    if told["left_out"]:
        screen.say(f"note: {told['left_out']:,} items do not meet the conditions of the index and are left out")
    screen.say(*(f"note: {text}" for text in told["notes"][:20]))
    screen.say(*(f"rejected: row {one['row']}: {one['column']}: {one['reason']}" for one in told["rejected"][:20]))
    screen.say(f"{told['added']:,} added ({told['replaced']:,} in place of others), {told['removed']:,} removed")
    screen.say(f"{told['items']:,} items in {index}")


@app.command(rich_help_panel="Find")
def search(
    index: IndexFolder,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORDS", help="Chinese or English; may be left out.")
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items that look like it; with words: like it, but …")
    ] = None,
    like: Annotated[str | None, typer.Option(metavar="ITEM", help="Items similar to this one.")] = None,
    where: Where = None,
    sort: Annotated[str, typer.Option(metavar="COLUMN", help="relevance, popular, price, -price, …")] = "relevance",
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000, help="Hits a page.")] = 10,
    mode: Annotated[str, typer.Option(help="hybrid, words, vectors.")] = "hybrid",
    fuse: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="How words and vectors become one: scores, reciprocal-rank; default: what the index keeps.",
        ),
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines: tv, television, 电视; default INDEX/synonyms.txt.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search an index by words, a photo, or both."""
    from tuwen import workflow
    from tuwen.apps.search import Question

    _one_of("mode", mode, "hybrid", "words", "vectors")
    screen = Screen(as_json=json, quiet=quiet)
    how = cast("Mode", mode), cast("Fuse | None", fuse)
    question = Question(" ".join(words or ()), None, like, where or (), sort, page, size, *how)
    answer = workflow.search(index, question, picture=photo, synonyms=synonyms)
    screen.answer(answer)
    _show(screen, answer)


@app.command(rich_help_panel="Find")
def judge(
    index: IndexFolder,
    judgments: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="Parquet or CSV: query, item, rating from 0.")
    ],
    out: Out,
    learn: Annotated[
        bool, typer.Option("--learn", help="Keep the weights that did best on all queries in the index.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Also over a report that is in DIR.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge an index by graded judgments: words, vectors and both, with intervals over queries: a report."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    report = workflow.judge_search(index, judgments, out, screen.progress(), learn=learn, replace=replace)
    screen.answer(report)
    names = [name for name in report["metrics"] if not name.startswith("burges")]
    model = report["search"]["model"]
    systems = {model: report["metrics"], **report["baselines"]}
    rows = [(name, *(_figure(metrics[one]) for one in names)) for name, metrics in systems.items()]
    screen.table(("system", *names), rows)
    compared = {f"{model} minus {name}": found for name, found in report["comparisons"].items()}
    compared |= report["search"]["comparisons"]
    rows = [(name, *(_figure(metrics[one]) for one in names)) for name, metrics in compared.items()]
    screen.table(("difference", *names), rows)
    screen.say(*(f"warning: {one['en']}" for one in report["warnings"]))
    if learn:
        blend = report["search"]["learned"]["blend"]
        told = ", ".join(f"{name} {weight:g}" for name, weight in blend["weights"].items())
        screen.say(f"kept in {index}: {told}; feedback {blend['feedback']:g}. How good they are says the row hybrid.")
    screen.say(f"report: {(out / 'report.html').resolve()}")


def _figure(told: dict[str, Any]) -> str:
    value = next(told[key] for key in ("value", "difference") if key in told)
    if value is None or told["low"] is None:
        return "–" if value is None else f"{value:.4f}"
    return f"{value:.4f} ({told['low']:.4f} to {told['high']:.4f})"


def _show(screen: Screen, answer: dict[str, Any]) -> None:
    if answer["left_out"]:
        left = ", ".join(answer["left_out"])
        screen.say(f"NOT ALL CONDITIONS ARE MET: these items are found without {left}")
    screen.say(*(f"note: {note['en']}" for note in answer["notes"]))
    screen.say(*(f"did you mean: {text}" for text in answer["suggestions"]))
    shown = [name for name in SHOWN if any(hit.get(name) is not None for hit in answer["hits"])]
    rows = [
        (hit["item"], *(hit[name] for name in shown), hit["score"], "; ".join(one["en"] for one in hit["reasons"]))
        for hit in answer["hits"]
    ]
    if rows:
        screen.table(("item", *shown, "score", "because"), rows, whole=("item", "title"))
    for name, values in answer["facets"].items():
        if values:
            screen.say(f"{name}: " + ", ".join(f"{_label(one)} ({one['count']:,})" for one in values))
    if not answer["total"]:
        screen.say("the index has no items" if not answer["left_out"] else "no items")
        return
    near = answer["total"] - answer["holding"]
    parts = (
        f" ({answer['holding']:,} with the words, {near:,} near in meaning or looks)"
        if answer["holding"] and near
        else ""
    )
    screen.say(f"page {answer['page']:,} of {answer['pages']:,}, {answer['total']:,} items{parts}")


def _label(one: dict[str, Any]) -> str:
    if "value" in one:
        return f"{one['value']} {one['zh']}" if "zh" in one else str(one["value"])
    low, high = ("" if one[side] is None else f"{one[side]:g}" for side in ("low", "high"))
    return f"{low}..{high}"
