"""The commands. Each parses, calls one function of :mod:`tuwen.workflow`, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen import __version__
from tuwen.cli.guard import Guarded
from tuwen.cli.screen import Screen, shown
from tuwen.errors import ConfigError

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="图文 tuwen: a shop's pictures, words and clicks, turned into predicted ratings: one multimodal model, "
    "measured and served.",
    epilog="Try it: tuwen sample shop · tuwen collect shop/SHOP.yaml --out dataset · tuwen build dataset home · "
    "tuwen serve home",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no text; errors only.")]
Override = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: --set training.epochs=3.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Train anew, over a finished bundle of this run, another one or other data.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write.", show_default=False)]
RunYaml = Annotated[Path, typer.Argument(metavar="RUN.yaml", show_default=False)]
ShopYaml = Annotated[Path, typer.Argument(metavar="SHOP.yaml", show_default=False)]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", show_default=False)]
DatasetFolder = Annotated[Path, typer.Argument(metavar="DATASET", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tuwen {__version__}")
        raise typer.Exit()


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    return None


@app.command(rich_help_panel="Begin")
def sample(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)],
    items: Annotated[int, typer.Option(min=8, max=100_000, help="How many items.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another shop.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a sample shop as a shop would export it: CSV files, photographs, SHOP.yaml and RUN.yaml."""
    from tuwen.data.sample import write_sample_shop

    screen = Screen(as_json=json, quiet=quiet)
    shop = write_sample_shop(folder, items=items, seed=seed)
    screen.answer({"shop": str(shop), "run": str(shop.with_name("RUN.yaml"))})
    screen.say(
        f"A sample shop of {items} items is in {folder}.", f"next: tuwen collect {shop} --out {folder / 'dataset'}"
    )


@app.command(rich_help_panel="The five steps")
def collect(shop_yaml: ShopYaml, out: Out, override: Override = None, json: Json = False, quiet: Quiet = False) -> None:
    """Read a shop's own files into a dataset: validated tables and a media store."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    manifest = workflow.collect(shop_yaml, out, override or (), screen.progress())
    screen.answer(manifest)
    _show_dataset(screen, manifest, out)


def _show_dataset(screen: Screen, manifest: dict[str, Any], out: Path) -> None:
    from tuwen.cli.summaries import dataset_notes, dataset_rows

    screen.table(("table", "rows", "rejected", "without text", "without picture"), dataset_rows(manifest))
    screen.say(*dataset_notes(manifest, out))
    screen.say(f"dataset: {out}", f"next: tuwen build {out} HOME")


@app.command(rich_help_panel="The five steps")
def train(
    run_yaml: Annotated[Path, typer.Argument(metavar="RUN.yaml | DATASET", show_default=False)],
    dataset: Annotated[Path | None, typer.Argument(metavar="DATASET", show_default=False)] = None,
    out: Out = ...,  # type: ignore[assignment]
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Without RUN.yaml: what to predict; the run is composed from the columns."),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="With --target: that reading texts and pictures may take.")
    ] = 10.0,
    override: Override = None,
    replace: Replace = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a run on a dataset and write a bundle. A training that was stopped goes on.

    Without RUN.yaml, `tuwen train DATASET --target COLUMN` composes the run from the dataset's columns.
    """
    from tuwen import workflow
    from tuwen.bundle.files import read_manifest
    from tuwen.bundle.graph import torch_only

    screen = Screen(as_json=json, quiet=quiet)
    if target is not None:
        run_yaml, dataset = _composed(screen, run_yaml, dataset, out, target, minutes, replace)
    if dataset is None:
        raise ConfigError(
            "'train' needs a run and a dataset, or a dataset and what to predict",
            seen=str(run_yaml),
            todo=f"tuwen train RUN.yaml {run_yaml} --out {out}; or tuwen train {run_yaml} --target COLUMN --out {out}",
        )
    screen.say(*(f"note: {text}" for text in workflow.without_effect(run_yaml, override or ())))
    done = not replace and workflow.is_trained(run_yaml, dataset, out, override or ())
    bundle = workflow.train(run_yaml, dataset, out, override or (), screen.progress(), replace=replace)
    manifest = read_manifest(bundle)
    warnings = [*manifest.get("generator", manifest).get("warnings", []), *filter(None, [torch_only(manifest)])]
    screen.answer({"bundle": str(bundle), "already_trained": done, "warnings": warnings})
    screen.say(*(f"warning: {text['en']}" for text in warnings))
    if done:
        screen.say("already trained: the same run on the same data (--replace trains it again)")
    ranks = manifest["task"] == "rank"
    then = f"tuwen recommend {bundle} --shopper USER" if ranks else f"tuwen evaluate {bundle} {dataset} --out DIR"
    screen.say(f"bundle: {bundle}", f"next: {then}")


def _composed(
    screen: Screen, dataset: Path, other: Path | None, out: Path, target: str, minutes: float, replace: bool
) -> tuple[Path, Path]:
    """The RUN.yaml that was composed beside the bundle, and the dataset."""
    from tuwen import workflow

    if other is not None:
        raise ConfigError(
            "--target composes the run, and a RUN.yaml is one already",
            seen=str(dataset),
            todo=f"tuwen train {other} --target {target} --out {out}; or leave --target out",
        )
    composition = workflow.compose(dataset, target, minutes=minutes)
    path = workflow.write_composed(composition, out, replace=replace)
    screen.say(*(f"note: {note}" for note in composition.notes), f"run: {path}")
    return path, dataset


@app.command(rich_help_panel="The five steps")
def evaluate(bundle: BundleFolder, dataset: DatasetFolder, out: Out, json: Json = False, quiet: Quiet = False) -> None:
    """Judge a bundle on the test part, beside its baselines: report.json and report.html."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    report = workflow.evaluate(bundle, dataset, out, screen.progress())
    screen.answer(report)
    _show_report(screen, report, out)


def _show_report(screen: Screen, report: dict[str, Any], out: Path) -> None:
    from tuwen.evaluation.report import summary

    rows = [
        (row.metric, row.value, _interval(row.low, row.high), row.best_baseline or "–", row.baseline_value)
        for row in summary(report)
    ]
    screen.table(("metric", "value", "interval", "best baseline", "its value"), rows)
    screen.say(*(f"warning: {text['en']}" for text in report["warnings"]))
    screen.say(f"report: {(out / 'report.html').resolve()}")


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{shown(low)} to {shown(high)}"


@app.command(rich_help_panel="The five steps")
def predict(
    bundle: BundleFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="CSV, JSONL or Parquet.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write the answers: .csv (for Excel too), .jsonl or .parquet."
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private-addresses", help="Fetch media from inside your own network too.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer every row of a file. Picture columns hold paths relative to the file, or web addresses."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    frame = workflow.predict(bundle, file, out, screen.progress(), private=private)
    screen.answer(frame.to_dicts())
    screen.table(frame.columns, frame.head(20).rows(), whole=("prediction", "probability", "problem"))
    if len(frame) > 20:
        screen.say(f"… and {len(frame) - 20:,} more rows")
    if out is not None:
        screen.say(f"answers: {out}")


@app.command(rich_help_panel="Whole runs")
def run(
    run_yaml: RunYaml,
    out: Out,
    override: Override = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also over the bundle of another run in DIR.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Collect, train and evaluate a run anew: DIR/report.json and DIR/report.html."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    screen.say(*(f"note: {text}" for text in workflow.without_effect(run_yaml, override or ())))
    report = workflow.run(run_yaml, out, override or (), screen.progress(), replace)
    screen.answer(report)
    _show_report(screen, report, out)


@app.command(rich_help_panel="Whole runs")
def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the run files.")] = Path("runs"),
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A folder a run is written here.")] = Path(
        "out/runs"
    ),
    results: Annotated[Path, typer.Option(metavar="FILE", help="The page that tells all scores.")] = Path(
        "docs/results.md"
    ),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Repeat every run of a folder and write the page of their results."""
    from tuwen.cli.results import repeat, write_results

    screen = Screen(as_json=json, quiet=quiet)
    reports, compared = repeat(folder, out, screen)
    write_results(results, folder, reports, compared)
    screen.answer({name: report["metrics"] for name, report in reports.items()})
    screen.say(f"results: {results}")


@app.command("list", rich_help_panel="Look")
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="encoders, fusions, generators, tasks, modalities, splits, retrievers, rankers, raters; default: all.",
        ),
    ] = "all",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What there is to choose from in a run file."""
    from tuwen.cli.summaries import components

    screen = Screen(as_json=json, quiet=quiet)
    found = components(kind)
    screen.answer(found)
    for name, entries in found.items():
        screen.table(("use", "what it is"), entries.items(), title=name)


@app.command(rich_help_panel="Look")
def check(
    run_yaml: RunYaml,
    dataset: Annotated[
        Path | None, typer.Argument(metavar="DATASET", show_default=False, help="Also check the run against it.")
    ] = None,
    override: Override = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a run file without training: every name, every option, every default; with a dataset every column too."""
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    found = workflow.check(run_yaml, override or (), dataset)
    idle = workflow.without_effect(run_yaml, override or ())
    screen.answer(found | {"without_effect": idle})
    if not (json or quiet):
        import yaml

        from tuwen.workflow.estimating import said

        data = found.get("data", {})
        warnings = data.pop("warnings", [])
        data.pop("leaks", None)
        costs = data.pop("estimate", None)
        screen.say(yaml.safe_dump(found, allow_unicode=True, sort_keys=False))
        screen.say(*(f"warning: {text}" for text in warnings))
        if costs:
            screen.say(said(costs))
        notes = f"; {len(idle)} note{'s' if len(idle) > 1 else ''} above" if idle else ""
        also = "" if dataset is None else f" and can be trained on {dataset}"
        screen.say(*(f"note: {text}" for text in idle), f"{run_yaml} is in order{also}{notes}")


@app.command(rich_help_panel="Look")
def doctor(json: Json = False, quiet: Quiet = False) -> None:
    """What is installed, what is missing and how to get it; exits with 1 if tuwen cannot work."""
    from tuwen.doctor import examine

    screen = Screen(as_json=json, quiet=quiet)
    found = examine()
    screen.answer(found.plain())
    screen.table(("machine", ""), found.machine.items())
    screen.table(("part", "state", "found"), [(part.name, part.state, part.seen) for part in found.parts])
    todo = dict.fromkeys(part.todo for part in found.parts if part.todo)
    screen.say(*(f"to do: {line}" for line in todo))
    screen.say("tuwen can work" if found.well else "tuwen cannot work: see above")
    if not found.well:
        raise typer.Exit(1)
