"""Tune: search for the settings that answer the validation part best. The test part is not touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tuwen import __version__
from tuwen.config import Run, written
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, MissingExtra, TuwenError
from tuwen.evaluation.metrics import METRICS, measure
from tuwen.evaluation.report import plain
from tuwen.evaluation.tuning_page import carried, render_tuning
from tuwen.files import DiskFull, json_bytes, room_on_disk
from tuwen.outputs import finish, held, sweep, write_files
from tuwen.preprocess.target import ContrastTarget
from tuwen.progress import Progress, Silent, Within
from tuwen.training.batches import outputs_of
from tuwen.training.loop import network_of
from tuwen.workflow.comparing import dataset_of
from tuwen.workflow.contents import contrast_target, is_contrast
from tuwen.workflow.evaluation import commit
from tuwen.workflow.fitting import Fitted, Prepared, fit_network
from tuwen.workflow.judging import base_of, predictions_of, primary_metric
from tuwen.workflow.memory import out_of_memory
from tuwen.workflow.places import refuse_occupied, refuse_strange
from tuwen.workflow.retrieval import score_of
from tuwen.workflow.rules import split_of
from tuwen.workflow.searching import Dimension, Range, as_written, dimensions, idle_of, refuse_impossible, suggested
from tuwen.workflow.sharing import Shared
from tuwen.workflow.study import FILE, finished, opened_study, room_for_trials
from tuwen.workflow.trainings import Training, failure
from tuwen.workflow.variants import Base, Value, name_of, run_of, variant

if TYPE_CHECKING:
    from optuna import Study, Trial

FORMAT = 1
OWN = ("best.yaml", "tune.json", "tune.html", "work", "dataset", f"{FILE}*")  # a damaged study may lie beside
SEEN = ("train", "validation", "unlabelled")  # all parts but the test part


@dataclass(frozen=True)
class Search:
    """What is searched and how it is judged.

    Attributes:
        outside: key → own value of the run, where that is not searched.
        metric: of the validation part: what the run's ``training.monitor`` stands for.
    """

    base: Base
    run: Run
    searched: Sequence[Dimension]
    outside: Mapping[str, str]
    metric: str
    dataset: Dataset
    shared: Shared

    @property
    def fingerprint(self) -> str:
        """Of the run as it is written, the data and the search, without the number of trials."""
        told = [__version__, self.run.plain(), self.dataset.hash, [repr(one) for one in self.searched]]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def worth(self, value: float) -> float:
        """The metric turned so that less is better."""
        return -value if METRICS[self.metric].greater_is_better else value


class _Hopeless(Exception):
    """A trial is given up: others were better after as many epochs."""


def tune(
    run_yaml: str | Path,
    out: str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    search: Iterable[str] = (),
    trials: int = 30,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search for the values with the best validation part and write ``best.yaml``, ``tune.json`` and ``tune.html``.

    The rows of the test part are dropped before anything is fitted, encoded or answered. The first trial is the run as
    it is written, where that lies inside the search. Trials are kept in ``out/study.db``; the same command goes on
    where it was, and with more ``trials`` it goes further. A trial is given up after an epoch in which it is behind the
    median of the others. With folds the first one is searched. A contrast run is judged by Recall@10, the mean of all
    directions.

    Args:
        dataset: without one, the run's shop is collected into ``out/dataset``.
        search: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=VALUE,VALUE``.
        trials: how many in all.

    Returns:
        the content of tune.json.

    Raises:
        ConfigError: a search that is none, a key or value that the run cannot have, a split without a validation part,
            or a folder with another search.
        DataError: the trials in the folder cannot be read, or it holds something else than a search.
        TuwenError: no trial could be completed.
        MissingExtra: optuna is not installed.
        InUse: another process searches in the same folder.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtra("tune", "tuwen tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not 1 <= trials <= 100_000:
        raise ConfigError("that is no number of trials", where="--trials", seen=trials, allowed="1 to 100000")
    base = Base(*written(run_yaml, overrides), str(run_yaml))
    searched, run = dimensions(list(search)), base.run
    _refuse(run)
    refuse_impossible(base, searched)
    notes = idle_of(base, searched)
    out, progress = Path(out), progress or Silent()
    refuse_occupied(out)
    refuse_strange(out, "a search", OWN, (FILE, "tune.json"))
    with room_on_disk(out), held(out):
        finish(out)
        sweep(out)
        for note, _ in carried(notes):
            with progress.task(f"note: {note}"):
                pass
        opened = dataset_of(run, run_yaml, dataset, out, progress)
        inside, outside = as_written(base, searched)
        what = Search(base, run, searched, outside, _metric(run), opened, Shared(opened, 0, progress, SEEN))
        rows = what.shared.gathered(run).counts()
        if not rows["validation"]:
            raise _without_validation(run)
        study = opened_study(
            out,
            what.fingerprint,
            seed=run.seed,
            patience=max(2, run.training.epochs // 5),  # a small learning rate begins slowly
            first=None if outside else inside,
        )
        with room_for_trials(out):
            _search(study, what, trials, out / "work", progress)
        result = _result(study, what, rows) | {"notes": notes}
        best = _best_yaml(what, result, study, out).encode()
        page = render_tuning(result).encode()
        write_files(out, {"best.yaml": best, "tune.json": json_bytes(result), "tune.html": page})
        shutil.rmtree(out / "work", ignore_errors=True)
    return result


def _refuse(run: Run) -> None:
    if is_contrast(run) and not contrast_target(run).directions:
        raise ConfigError(
            "nothing says which trial is better: a kind of modality is paired with itself only",
            where=run.where("task", "pairs"),
            todo="search a run that starts from this one's bundle (init)",
        )


def _without_validation(run: Run) -> ConfigError:
    return ConfigError(
        "the split has no validation part, and the test part is not for choosing",
        where=run.where("split"),
        seen=split_of(run).label,
        todo=f"split: {{use: {run.split.use}, …, validation: 0.1}}, or --set split.validation=0.1",
    )


def _metric(run: Run) -> str:
    if is_contrast(run):
        return "mean_recall@10"
    if run.training.monitor == "loss" and run.task.use in ("binary", "classify"):
        return "log_loss"
    return primary_metric(run)


# --- Trials -------------------------------------------------------------------------------------------------------


def _search(study: Study, what: Search, trials: int, work: Path, progress: Progress) -> None:
    from optuna.trial import TrialState

    with progress.task("trials", trials) as bar:
        bar.advance(min(trials, len(finished(study))))
        while (number := len(finished(study))) < trials:
            trial = study.ask()
            values = suggested(trial, what.searched)
            trial.set_user_attr("values", (told := {key: value.text for key, value in values.items()}))
            shown = Within(progress, f"trial {number + 1} of {trials}, {name_of(values)}")
            twin = next(
                (t for t in finished(study) if t.value is not None and t.user_attrs.get("values") == told), None
            )
            try:
                value = _tried(trial, values, what, work, shown) if twin is None else what.worth(twin.value)
            except _Hopeless:
                study.tell(trial, state=TrialState.PRUNED)
            except (OSError, DiskFull):  # the disk or the machine, not the trial: it is done again
                raise
            except Exception as error:
                reason = failure(out_of_memory(error) or error, name_of(values))["what"]
                trial.set_user_attr("failure", reason)
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, what.worth(value))
            bar.advance(1)


def _tried(trial: Trial, values: Mapping[str, Value], what: Search, work: Path, progress: Progress) -> float:
    """The metric of a trial on the validation part."""
    run = run_of(what.base, variant(what.base, values))
    prepared = what.shared.prepared(run)
    fingerprint = Training.of("", run, run.seed, 0, what.dataset).fingerprint
    folder = work / fingerprint[:12]

    one_scale = all(one.key != "task.scale" for one in what.searched)  # else scores halfway are of two metrics

    def watch(entry: dict[str, float]) -> None:
        if not one_scale:
            return
        trial.report(_halfway(run, what, entry), int(entry["epoch"]))
        if trial.should_prune():
            raise _Hopeless

    try:
        fitted = fit_network(run, prepared, work=folder, fingerprint=fingerprint, progress=progress, watch=watch)
    except _Hopeless:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    trial.set_user_attr("seconds", round(fitted.trained.seconds, 2))
    shutil.rmtree(folder, ignore_errors=True)
    return validated(run, prepared, fitted, what.metric)


def _halfway(run: Run, what: Search, entry: dict[str, float]) -> float:
    """How well a trial stands after an epoch, less is better. The task's loss only where all trials share it."""
    if what.metric == "log_loss" and not any(one.key.startswith("task") for one in what.searched):
        return entry["validation_loss"]
    return -entry["score"]


def validated(run: Run, prepared: Prepared, fitted: Fitted, metric: str) -> float:
    """A metric of the kept weights on the validation part."""
    rows = prepared.gathered.rows("validation")
    network = network_of(fitted.model)
    outputs = outputs_of(network, {name: source.take(rows) for name, source in prepared.inputs.items()})
    if isinstance(fitted.target, ContrastTarget):
        return score_of(fitted.target)(outputs, fitted.target.encode(prepared.gathered.truth[rows]))["score"]
    base = base_of(run, prepared.gathered, rows, fitted.target).select("row", "target")
    return measure(predictions_of(fitted.target, base, outputs), [metric])[metric]


# --- The result ---------------------------------------------------------------------------------------------------


def _result(study: Study, what: Search, rows: Mapping[str, int]) -> dict[str, Any]:
    trials = [_told(trial, what) for trial in finished(study)]
    known = [trial for trial in trials if trial["state"] == "complete"]
    if not known:
        first = next((trial["failure"] for trial in trials if trial["failure"]), None)
        raise TuwenError(
            "no trial could be completed",
            where=what.base.path,
            seen=first,
            todo="loosen the search, or look at what each trial says in the folder's study.db",
        )
    best = min(known, key=lambda trial: what.worth(trial["value"]))
    split = split_of(what.run)
    return dict(
        plain(
            {
                "format": FORMAT,
                "name": what.run.name,
                "task": what.run.task.use,
                "metric": what.metric,
                "rows": dict(rows),
                "folds": split.folds,
                "search": {one.key: _ranged(one) for one in what.searched},
                "trials": trials,
                "best": {key: best[key] for key in ("number", "value", "values")},
                "as_written": next((trial["value"] for trial in known if trial["as_written"]), None),
                "outside": what.outside,
                "provenance": {
                    "tuwen": __version__,
                    "commit": commit(),
                    "data_hash": what.dataset.hash,
                    "seed": what.run.seed,
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                    "split": split.label,
                },
                "run": what.run.plain(),
            }
        )
    )


def _told(trial: Any, what: Search) -> dict[str, Any]:
    state = {"COMPLETE": "complete", "PRUNED": "given up", "FAIL": "failed"}[trial.state.name]
    attributes = trial.user_attrs
    return {
        "number": trial.number + 1,
        "state": state,
        "value": what.worth(trial.value) if state == "complete" else None,
        "values": attributes.get("values", {key: str(value) for key, value in trial.params.items()}),
        "epochs": max(trial.intermediate_values, default=None),
        "seconds": attributes.get("seconds"),
        "as_written": attributes.get("as_written", False),
        "failure": attributes.get("failure"),
    }


def _ranged(one: Dimension) -> dict[str, Any]:
    if isinstance(one, Range):
        return {"low": one.low, "high": one.high, "log": one.log}
    return {"values": [value.text for value in one.values]}


def _best_yaml(what: Search, result: Mapping[str, Any], study: Study, out: Path) -> str:
    """The run with the best values, as it would be written."""
    from optuna.trial import FixedTrial

    best = next(trial for trial in study.trials if trial.number + 1 == result["best"]["number"])
    values = suggested(FixedTrial(best.params), what.searched)  # type: ignore[arg-type]
    data = variant(what.base, values).data
    home = Path(what.base.path).resolve().parent
    for key in ("shop", "init"):  # paths relative to the file
        if isinstance(data.get(key), str) and not Path(data[key]).is_absolute():
            data[key] = os.path.relpath(home / data[key], out.resolve())
    return _header(what, result) + yaml.safe_dump(data, allow_unicode=True, sort_keys=False, default_flow_style=None)


def _header(what: Search, result: Mapping[str, Any]) -> str:
    counts = [sum(t["state"] == state for t in result["trials"]) for state in ("complete", "given up", "failed")]
    was = "" if result["as_written"] is None else f"; as it was written: {result['as_written']:.5g}"
    was = "; as it was written it lies outside the search and was not tried" if result["outside"] else was
    folds = " (of the first fold: its settings have seen rows that other folds test)" if result["folds"] > 1 else ""
    lines = [
        f"{Path(what.base.path).name} with the values that tuwen tune found best on the validation part{folds}.",
        f"{what.metric} there: {result['best']['value']:.5g}{was}.",
        f"{counts[0]} trials completed, {counts[1]} given up early, {counts[2]} failed; tuwen {__version__}, "
        f"data {what.dataset.hash[:12]}, seed {what.run.seed}.",
        *(f"  {key} = {text}" for key, text in result["best"]["values"].items()),
        "The test part was not looked at: judge these settings there once, with tuwen run or tuwen evaluate.",
        "以上取值由 tuwen tune 仅在验证集上选出，未接触测试集；请只用测试集评估一次。",
    ]
    return "".join(f"# {line}\n" for line in lines)
