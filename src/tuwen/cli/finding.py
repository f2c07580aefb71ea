"""The commands that find items: index and search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tuwen.cli.commands import DatasetFolder, Json, Out, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.errors import ConfigError

if TYPE_CHECKING:
    from tuwen.apps.search import Mode
    from tuwen.index.vectors import Kind

SHOWN = ("title", "brand", "price")


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
        Path | None, typer.Option(metavar="BUNDLE", help="A contrast bundle: words find pictures.", show_default=False)
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="CONDITION", help="Only items like this: stock>0, split=train.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Of vectors: exact, approximate, auto.")] = "auto",
    replace: Annotated[bool, typer.Option("--replace", help="Anew, also over one made in another way.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the items of a dataset searchable. The same command again takes in what changed, while others search."""
    from tuwen import workflow
    from tuwen.workflow.indexing import Recipe

    if kind not in ("auto", "exact", "approximate"):
        raise ConfigError("there is no such kind", where="--kind", seen=kind, allowed="auto, exact, approximate")
    screen = Screen(as_json=json, quiet=quiet)
    place = None if bundle is None else str(bundle.resolve())
    weights = dict(map(_weight, field or []))
    recipe = Recipe(weights, text, picture, place, tuple(where or ()), cast("Kind", kind))
    told = workflow.index(dataset, out, recipe, screen.progress(), replace)
    screen.answer({"index": str(out), **told})
    screen.say(f"{told['items']:,} items; {told['added']:,} taken in, {told['removed']:,} removed")
    screen.say(f"index: {out}", f'next: tuwen search {out} "WORDS"')


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise ConfigError("this is no weight", where="--field", seen=text, allowed="COLUMN=WEIGHT") from None


@app.command(rich_help_panel="Find")
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", show_default=False)],
    words: Annotated[str, typer.Argument(metavar="WORDS", help="Chinese or English; may be left out.")] = "",
    photo: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items that look like it; with words: like it, but …")
    ] = None,
    like: Annotated[str | None, typer.Option(metavar="ITEM", help="Items similar to this one.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="brand=HP|Dell, brand!=HP, price<=100, price=10..50; several: all."),
    ] = None,
    sort: Annotated[str, typer.Option(metavar="COLUMN", help="relevance, popular, price, -price, …")] = "relevance",
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000, help="Hits a page.")] = 10,
    mode: Annotated[str, typer.Option(help="hybrid, words, vectors.")] = "hybrid",
    synonyms: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Lines: tv, television, 电视; default INDEX/synonyms.txt.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search an index by words, a photo, or both."""
    from tuwen import workflow
    from tuwen.apps.search import Question

    if mode not in ("hybrid", "words", "vectors"):
        raise ConfigError("there is no such mode", where="--mode", seen=mode, allowed="hybrid, words, vectors")
    screen = Screen(as_json=json, quiet=quiet)
    question = Question(words, None, like, where or (), sort, page, size, cast("Mode", mode))
    answer = workflow.search(index, question, picture=photo, synonyms=synonyms)
    screen.answer(answer)
    _show(screen, answer)


@app.command(rich_help_panel="Find")
def judge(
    index: Annotated[Path, typer.Argument(metavar="INDEX", show_default=False)],
    judgments: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="Parquet or CSV: query, item, rating from 0.")
    ],
    out: Out,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge an index by graded judgments: words, vectors and both, with intervals over queries: a report."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    report = workflow.judge_search(index, judgments, out, screen.progress())
    screen.answer(report)
    names = [name for name in report["metrics"] if not name.startswith("burges")]
    systems = {"hybrid": report["metrics"], **report["baselines"]}
    rows = [(name, *(_figure(metrics[one]) for one in names)) for name, metrics in systems.items()]
    screen.table(("system", *names), rows)
    compared = {f"hybrid minus {name}": found for name, found in report["comparisons"].items()}
    compared |= report["search"]["comparisons"]
    rows = [(name, *(_figure(metrics[one]) for one in names)) for name, metrics in compared.items()]
    screen.table(("difference", *names), rows)
    screen.say(f"report: {(out / 'report.html').resolve()}")


def _figure(told: dict[str, Any]) -> str:
    value = next(told[key] for key in ("value", "difference") if key in told)
    if value is None or told["low"] is None:
        return "–" if value is None else f"{value:.4f}"
    return f"{value:.4f} ({told['low']:.4f} to {told['high']:.4f})"


def _show(screen: Screen, answer: dict[str, Any]) -> None:
    screen.say(*(f"note: {note['en']}" for note in answer["notes"]))
    screen.say(*(f"did you mean: {text}" for text in answer["suggestions"]))
    shown = [name for name in SHOWN if any(hit.get(name) is not None for hit in answer["hits"])]
    rows = [
        (hit["item"], *(hit[name] for name in shown), hit["score"], "; ".join(one["en"] for one in hit["reasons"]))
        for hit in answer["hits"]
    ]
    screen.table(("item", *shown, "score", "because"), rows, whole=("item", "title"))
    for name, values in answer["facets"].items():
        if values:
            screen.say(f"{name}: " + ", ".join(f"{_label(one)} ({one['count']:,})" for one in values))
    screen.say(f"page {answer['page']} of {answer['pages']:,}, {answer['total']:,} items")


def _label(one: dict[str, Any]) -> str:
    if "value" in one:
        return str(one["value"])
    low, high = ("" if one[side] is None else f"{one[side]:g}" for side in ("low", "high"))
    return f"{low}..{high}"
