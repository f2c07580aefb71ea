"""The command that makes a whole shop of a dataset: build."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen.cli.commands import DatasetFolder, Json, Quiet, app
from tuwen.cli.screen import Screen, shown

FAILED = 1  # exit code where a part could have been made, and was not
REPORTS = {"index": "search", "recommender": "recommendations", "predictor": "predicted ratings"}


@app.command(rich_help_panel="Begin")
def build(
    dataset: DatasetFolder,
    home: Annotated[Path, typer.Argument(metavar="HOME", show_default=False)],
    only: Annotated[
        str | None, typer.Option(metavar="PARTS", help="Of index,recommender,predictor; default: all that can be.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="A budget: texts that a network reads too slowly for it are read as n-grams alone."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a home of a dataset: index, recommender and predictor, each judged, tested and promoted, as far as the data
    carry them. A build that was stopped goes on; the runs it writes into HOME/build may be edited.
    """
    from tuwen import workflow
    from tuwen.workflow.building import PARTS

    screen, began = Screen(as_json=json, quiet=quiet), time.perf_counter()

    def announce(step: str) -> None:
        screen.say(f"{time.perf_counter() - began:4.0f} s  {step}")

    wanted = PARTS if only is None else [name.strip() for name in only.split(",") if name.strip()]
    built = workflow.build(dataset, home, wanted, minutes, screen.progress(), announce)
    screen.answer(built)
    _show(screen, built)
    if any(part["state"] == "failed" for part in built["parts"].values()):
        raise typer.Exit(FAILED)


def _show(screen: Screen, built: dict[str, Any]) -> None:
    screen.table(("part", "state", "metric", "value", "interval", "best baseline", "its value"), _rows(built))
    for name, part in built["parts"].items():
        if part["reason"]:
            screen.say(f"{name}: {part['state']}: {part['reason']}")
    screen.say(*(f"note: {note}" for note in built["notes"]))
    screen.say(*(f"run: {file}" for file in built["runs"].values()))
    screen.say(f"home: {built['home']}", f"next: tuwen serve {built['home']}, open the address it prints, and")
    screen.say(*(f"  - {text}" for text in _suggestions(built)))


def _rows(built: dict[str, Any]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, part in built["parts"].items():
        if not part["figures"]:
            rows.append((name, part["state"], "–", None, "–", "–", None))
            continue
        first = part["figures"][0]
        interval = "–" if first["low"] is None else f"{shown(first['low'])} to {shown(first['high'])}"
        baseline = first["best_baseline"] or "–"
        rows.append((name, part["state"], first["metric"], first["value"], interval, baseline, first["baseline_value"]))
    return rows


def _suggestions(built: dict[str, Any]) -> list[str]:
    """What to try in the browser, of what is there."""
    live = [name for name, part in built["parts"].items() if part["state"] in ("built", "unchanged")]
    texts = []
    if "index" in live:
        words = " or ".join(built["try"]) or "what you sell"
        texts.append(f"search for {words}, or with a photo (the camera beside the search box)")
    if "recommender" in live:
        texts.append("open and buy a few items: what the home page shows follows them")
    if "predictor" in live:
        texts.append("open an item: below its price stands the rating that the model expects of a new review")
    reports = ", ".join(REPORTS[name] for name in live)
    texts.append(f"add /operator to the address: the reports of {reports}; on this machine it asks for no key")
    return texts
