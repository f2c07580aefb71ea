"""The commands that train many times: compare and tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen.cli.commands import Json, Out, Override, Quiet, RunYaml, app
from tuwen.cli.screen import Screen, alike, shown
from tuwen.errors import ConfigError

MaybeDataset = Annotated[
    Path | None,
    typer.Argument(metavar="[DATASET]", show_default=False, help="Without it the run's shop is collected."),
]


@app.command(rich_help_panel="Whole runs")
def compare(
    run_yaml: RunYaml,
    out: Out,
    dataset: MaybeDataset = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V,V",
            help="Values of a setting: --vary fusion=sum,concat. Several: every pair. None: the run as it is.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Trainings of each combination: 5, or what a file says.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V", help="What the others are compared with; otherwise the first combination."),
    ] = None,
    override: Override = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Also over another comparison in DIR, or one of other data; finished trainings stay."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every combination of some settings several times and compare them on the same test rows: DIR/compare.json
    and DIR/compare.html. What is finished is not trained again; a combination that fails does not lose the others.
    Without --vary the run as it is, over several seeds: how much of its score is chance.

    Instead of RUN.yaml and --vary it takes a file that says run, vary and seeds, as those in runs/compare; --seeds and
    --set go before what such a file says.
    """
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    if workflow.is_comparison(run_yaml):
        _refuse_beside_a_file(run_yaml, vary=vary, reference=reference)
        result = workflow.compare_as_written(
            run_yaml, out, dataset, override or (), screen.progress(), seeds=seeds, replace=replace
        )
    else:
        result = workflow.compare(
            run_yaml,
            out,
            dataset,
            vary=vary or (),
            seeds=5 if seeds is None else seeds,
            reference=reference or (),
            overrides=override or (),
            replace=replace,
            progress=screen.progress(),
        )
    screen.answer({key: value for key, value in result.items() if key != "run"})
    _show_comparison(screen, result, out)


def _refuse_beside_a_file(file: Path, **given: list[str] | None) -> None:
    """What decides which cells there are stands in one place.

    Raises:
        ConfigError: it was given on the command line too.
    """
    for key, values in given.items():
        if values:
            raise ConfigError(
                f"--{key} stands beside a file that says what is compared",
                where=str(file),
                seen=f"--{key} {values[0]}",
                allowed="--seeds, --set, --replace",
                todo=f"change '{key}' in the file; or name its RUN.yaml instead, with all that varies as --vary",
            )


@app.command(rich_help_panel="Whole runs")
def tune(
    run_yaml: RunYaml,
    out: Out,
    dataset: MaybeDataset = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW:HIGH",
            help="Values to search: training.learning_rate=0.0001:0.01:log, fusion.width=64,128.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="How many in all.")] = 30,
    override: Override = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for the settings that answer the validation part best: DIR/best.yaml, DIR/tune.json and DIR/tune.html. The
    test part is not touched. The same command goes on where it was stopped.
    """
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    result = workflow.tune(
        run_yaml,
        out,
        dataset,
        search=search or (),
        trials=trials,
        overrides=override or (),
        progress=screen.progress(),
    )
    screen.answer({key: value for key, value in result.items() if key != "run"})
    _show_tuning(screen, result, out)


def _show_tuning(screen: Screen, result: dict[str, Any], out: Path) -> None:
    from tuwen.evaluation.tuning_page import carried, ordered, outside

    keys = list(result["search"])
    rows = [
        (t["number"], t["value"], *(t["values"].get(key, "") for key in keys), t["failure"] or t["state"], t["epochs"])
        for t in ordered(result)[:10]
    ]
    screen.table(("trial", result["metric"], *keys, "state", "epochs"), rows)
    if len(result["trials"]) > len(rows):
        screen.say(f"… and {len(result['trials']) - len(rows)} more trials, none better")
    if result["as_written"] is not None:
        screen.say(f"the run as it is written: {result['metric']} {shown(result['as_written'])} on the validation part")
    if result["outside"]:
        screen.say(outside(result)[0])
    screen.say(*(f"note: {note}" for note, _ in carried(result["notes"])))
    screen.say(f"best: {out / 'best.yaml'}", f"trials: {(out / 'tune.html').resolve()}")


def _show_comparison(screen: Screen, result: dict[str, Any], out: Path) -> None:
    from tuwen.evaluation.comparison_page import shortened
    from tuwen.evaluation.comparison_words import alone, lead, never_learned, noted, too_few_samples

    brief, primary, kinds = shortened(result)[1], result["primary"], result["kinds"]
    several = not alone(result)
    rows: list[tuple[object, ...]] = []
    lost: list[tuple[object, ...]] = []
    for cell in brief["cells"]:
        name, found, against = cell["name"], cell["metrics"][primary], cell["difference"]
        told = ("reference", "") if name == brief["reference"] else _against(result, against)
        told = told if several else (", ".join(map(shown, found["seeds"])), shown(found["spread"]))
        rows.append((name, found["value"], _interval(found), *told, cell["cost"]["train_seconds"]))
        missing = [_missing(cell, kind, how, primary) for kind in kinds for how in ("half", "all")]
        lost.append((name, found["value"], *missing))
    heads = ("difference", "clearly") if several else ("by seed", "spread")
    whole = ("cell", primary, "interval", heads[0])
    screen.table((*whole, heads[1], "train s"), rows, whole=whole)
    few, lost_classes = too_few_samples(result), never_learned(brief)
    screen.say(lead(brief)[0], *([] if few is None else [few.text[0]]))
    screen.say(*([] if lost_classes is None else [f"warning: {lost_classes[0]}"]))
    without = [f"{how} without {kind}" for kind in kinds for how in ("half", "all")]
    screen.table(("cell", primary, *without), lost, title="when an input is missing")
    _show_generators(screen, brief["cells"])
    failed = {one["cell"] for one in result["failures"] if one["seed"] is not None}
    screen.say(*noted(brief["notes"], len(failed | {cell["name"] for cell in result["cells"]})))
    for one in result["failures"]:
        at = "" if one["seed"] is None else f", seed {one['seed']}, fold {one['fold']}"
        screen.say(f"failed: {one['cell']}{at}: {one['what']}", *(f"  {one[k]}" for k in ("where", "todo") if k in one))
    screen.say(f"comparison: {(out / 'compare.html').resolve()}")


def _missing(cell: dict[str, Any], kind: str, how: str, metric: str) -> object:
    found = cell["missing"].get(kind)
    return found[how]["metrics"][metric]["value"] if found else "–"


def _show_generators(screen: Screen, cells: list[dict[str, Any]]) -> None:
    """How good what each cell's generator makes is, over all its trainings, and what is wrong with it."""
    from tuwen.evaluation import samples
    from tuwen.evaluation.samples_page import spread, warned

    made = [(cell["name"], cell["generator"]) for cell in cells if "generator" in cell]
    rows = [
        (
            name,
            samples.of(entry)[0],
            *(_spread(spread(number, entry)) for number in ("two_sample_accuracy", "coverage")),
        )
        for name, account in made
        for entry in account["quality"]
    ]
    if rows:
        screen.table(("cell", "generator of", "told apart", "coverage"), rows, title="what generators make")
    for name, account in made:
        screen.say(*(f"warning: {name}: {warned(account, said)[0]}" for said in account["warnings"]))


def _spread(found: tuple[str, str]) -> str:
    return f"{found[0]} ({found[1]})" if found[1] else found[0]


def _interval(found: dict[str, Any]) -> str:
    return "–" if found["low"] is None else " to ".join(alike(found["low"], found["high"]))


def _against(result: dict[str, Any], differences: dict[str, Any] | None) -> tuple[str, str]:
    """A cell's difference to the reference, and whether the corrected p calls it clear."""
    from tuwen.evaluation.comparison_words import decided

    found = differences and differences[result["primary"]]
    if not found or found["low"] is None:
        return "–", "–"
    difference, low, high = alike(found["difference"], found["low"], found["high"])
    told = decided(result, found, result["primary"]).replace("unclear", "no")
    return f"{'+' if found['difference'] > 0 else ''}{difference} ({low} to {high})", told
