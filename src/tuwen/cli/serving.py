"""The commands of a running service: serve, promote, key, ab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli.commands import Json, Quiet, app
from tuwen.cli.screen import Screen
from tuwen.errors import ConfigError, TuwenError

HomeFolder = Annotated[Path, typer.Argument(metavar="HOME", show_default=False)]
PANEL = "Serve"
WAYS = "tuwen promote FOLDER HOME, tuwen promote --back HOME, tuwen promote --drop NAME HOME"
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="Where events are kept; default: HOME/store.db.")
]


@app.command(rich_help_panel=PANEL)
def serve(
    folder: Annotated[Path, typer.Argument(metavar="HOME|BUNDLE", show_default=False)],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="With --host: let other machines in, who have a key.")
    ] = False,
    name: Annotated[list[str] | None, typer.Option(metavar="HOST", help="A name that it answers to.")] = None,
    origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A site whose pages may ask from a browser (CORS).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    keys: Annotated[bool, typer.Option("--keys", help="Ask for a key on this machine too.")] = False,
    rate: Annotated[
        float,
        typer.Option(min=0, help="Requests a second of each who asks, of all processes together; 0 for no limit."),
    ] = 0.0,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="What is too much; docs/limits.md lists them all."),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", metavar="ADDRESS", help="A proxy (or network) whose X-Forwarded-For counts."),
    ] = None,
    store: StoreUrl = None,
    log: Annotated[bool, typer.Option("--log", help="One line of JSON on stderr for each request.")] = False,
    quiet: Quiet = False,
) -> None:
    """Serve a home (or one bundle alone) over HTTP until Ctrl-C."""
    import logging

    from tuwen.bundle.files import MANIFEST
    from tuwen.masking import MaskedFormatter
    from tuwen.service import Limits, Listening, check_host, serve_home
    from tuwen.service import serve as serve_bundle
    from tuwen.service.limits import with_options

    check_host(host, allow_remote=allow_remote)
    burst = max(10, int(2 * rate)) if rate else Limits.burst
    limits = with_options(Limits(rate=rate, burst=burst), limit or ())
    screen = Screen(quiet=quiet)
    alone = (folder / MANIFEST).is_file()
    if alone:
        of_a_home: dict[str, object] = {"--allow-remote": allow_remote, "--name": name, "--origin": origin}
        of_a_home |= {"--workers": workers > 1, "--trusted-proxy": trusted_proxy}
        _refuse_of_a_home(folder, of_a_home | {"--keys": keys, "--rate": rate, "--store": store, "--log": log})
    else:
        _need_home(folder)
    handler = logging.StreamHandler()
    handler.setFormatter(MaskedFormatter())
    logging.getLogger("tuwen").addHandler(handler)
    if log:  # of others' loggers nothing: they may name a shopper
        logging.getLogger("tuwen.requests").setLevel(logging.INFO)
    if alone:
        from tuwen import workflow

        predictor = workflow.load(folder)
        serve_bundle(
            predictor,
            host,
            port,
            limits=limits,
            ready=lambda url: screen.say(f"serving {predictor.manifest['name']} at {url}   (Ctrl-C ends)"),
        )
    else:
        how = Listening(host, port, allow_remote, name or (), origin or (), workers, keys, log, trusted_proxy or ())
        serve_home(
            folder,
            how,
            store=store,
            limits=limits,
            ready=lambda url: screen.say(f"serving {folder} at {url}   operator: {url}/operator   (Ctrl-C ends)"),
        )
    screen.say("stopped")


@app.command(rich_help_panel=PANEL)
def promote(
    source: Annotated[Path | None, typer.Argument(metavar="FOLDER", show_default=False)] = None,
    home: Annotated[Path | None, typer.Argument(metavar="HOME", show_default=False)] = None,
    back: Annotated[bool, typer.Option("--back", help="Make what was live before live again: --back HOME.")] = False,
    revision: Annotated[int | None, typer.Option(min=1, help="With --back: which revision.")] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a report or a comparison; default: its run's. One of that name goes."),
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="NAME", help="Let a report or a comparison go: --drop NAME HOME.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a bundle, an index, a dataset, a report or a comparison live in HOME, once its copy there has answered; a
    service that runs takes it up without dropping a request. Whatever fails its self-test changes nothing. Of reports
    a home holds as many as have names, of all else one.
    """
    from tuwen import workflow

    screen = Screen(as_json=json, quiet=quiet)
    if back:
        if source is None or home is not None:
            raise ConfigError("--back takes the home alone", allowed="tuwen promote --back HOME")
        done = workflow.roll_back(source, revision)
    elif drop is not None:
        if source is None or home is not None:
            raise ConfigError("--drop takes the home alone", allowed="tuwen promote --drop NAME HOME")
        _need_home(source)
        done = workflow.drop_report(source, drop)
    elif source is None or home is None:
        raise ConfigError("what to promote, and where", allowed=WAYS)
    else:
        done = workflow.promote(source, home, name=name)
    screen.answer(vars(done))
    screen.say(f"revision {done.number}: {done.note}")


@app.command(rich_help_panel=PANEL)
def key(
    home: HomeFolder,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Make a key for this one.")] = None,
    role: Annotated[str, typer.Option(help="shop: asks and tells events. operator: everything.")] = "shop",
    end: Annotated[str | None, typer.Option(metavar="NAME", help="End a key: it opens nothing any more.")] = None,
    store: StoreUrl = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make an API key (it is shown once), end one, or list them."""
    from tuwen.bundle.home import Home
    from tuwen.store import Store
    from tuwen.store.keys import ROLES

    screen = Screen(as_json=json, quiet=quiet)
    if role not in ROLES:
        raise ConfigError("there is no such role", seen=role, allowed=ROLES)
    if store is None:  # which a store that is named needs not
        _need_home(home)
    with Store(store or Home(home).store) as opened:
        if name is not None:
            made = opened.keys.make(name, role)
            screen.answer({"name": name, "role": role, "key": made})
            screen.say(made, "Keep it: it is not kept here, and not shown again.")
        elif end is not None:
            opened.keys.end(end)
            screen.answer({"ended": end})
            screen.say(f"ended: {end}")
        else:
            known = opened.keys.all()
            screen.answer({"keys": known})
            screen.table(("name", "role"), [(one["name"], one["role"]) for one in known])


def _refuse_of_a_home(bundle: Path, given: dict[str, object]) -> None:
    """A bundle alone keeps nothing and knows nobody: it stays on this machine, and what would guard it is refused."""
    asked = [option for option, value in given.items() if value]
    if asked:
        raise ConfigError(
            "a bundle alone is served to this machine, without keys, limits, a store or several processes",
            where=str(bundle),
            seen=", ".join(asked),
            todo=f"tuwen promote {bundle} HOME, and serve the home",
        )


def _need_home(home: Path) -> None:
    """A slip of the keys must not make a home."""
    from tuwen.bundle.parts import kind_of
    from tuwen.bundle.revisions import is_home

    if is_home(home):
        return
    try:
        kind: str | None = kind_of(home)
    except TuwenError:
        kind = None
    names = {"search": "an index", "recommend": "a bundle", "predict": "a bundle", "dataset": "a dataset"}
    if kind is not None:
        seen, todo = names.get(kind, "a report or a comparison"), f"tuwen promote {home} HOME puts it into a home"
    else:
        seen = "something else" if home.exists() else "no such folder"
        todo = "name the home; tuwen promote FOLDER HOME makes one"
    raise ConfigError("there is no home here", where=str(home), seen=seen, allowed="a home", todo=todo)


@app.command(rich_help_panel=PANEL)
def ab(
    home: HomeFolder,
    bundle: Annotated[Path | None, typer.Option("--against", metavar="BUNDLE", help="Begin: the other one.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the experiment.")] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="With --against: of shoppers that the other one answers, above 0 and below 1; default: half.",
            show_default=False,
        ),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Let the first one answer everybody again.")] = False,
    kind: Annotated[str, typer.Option(help="The events that count.")] = "purchase",
    store: StoreUrl = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let two recommenders answer a part of the shoppers each, and tell which one brings more, with an interval. What
    shoppers do after the experiment has ended does not count.
    """
    from tuwen import workflow
    from tuwen.bundle.home import Home
    from tuwen.store import Store

    screen = Screen(as_json=json, quiet=quiet)
    _need_home(home)
    if share is not None and bundle is None:
        raise ConfigError(
            "--share says how an experiment begins", seen=f"--share {share:g}", todo="add --against BUNDLE"
        )
    if bundle is not None or end:
        if bundle is not None and name is None:
            raise ConfigError("an experiment has a name", allowed="--name NAME")
        how = {} if share is None else {"share": share}
        done = workflow.end_experiment(home) if bundle is None else workflow.begin_experiment(home, name, bundle, **how)
        screen.answer(vars(done))
        screen.say(f"revision {done.number}: {done.note}")
        return
    known = [one.experiment["name"] for one in Home(home).revisions() if one.experiment]
    if name is None and not known:
        raise ConfigError("no experiment ran here", where=str(home), todo="begin one: --against BUNDLE --name NAME")
    with Store(store or Home(home).store) as opened:
        found = workflow.experiment_result(home, opened, name or known[-1], kind)
    screen.answer(found)
    rows = [(arm, o["shoppers"], o["events"], o["rate"], o["active"]) for arm, o in found["arms"].items()]
    screen.table(("arm", "shoppers", f"{kind} events", "a shopper", "share active"), rows, title=found["experiment"])
    empty = [arm for arm, one in found["arms"].items() if not one["shoppers"]]
    if empty:
        yet = "" if found["ended"] else " yet"
        screen.say(f"nobody took part{yet}" if len(empty) > 1 else f"nobody was answered by arm {empty[0]}{yet}")
    elif not any(one["events"] for one in found["arms"].values()):
        screen.say(f"nobody of either arm had an event of the kind '{kind}' yet: the zeros say nothing")
    screen.say(f"began {found['began']}, " + (f"ended {found['ended']}" if found["ended"] else "still runs"))
    if found["outside"]:
        screen.say(f"{found['outside']} {kind} events came while it did not run: they do not count")
    if not empty:
        screen.say(f"b − a: {found['difference']:+.4f} a shopper ({found['low']:+.4f} to {found['high']:+.4f})")
