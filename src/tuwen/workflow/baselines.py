"""What a bundle is compared with: answers that look at nothing, and the same run with one kind of modality."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from tuwen.bundle.bundle import Bundle
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.evaluation.baselines import trivial
from tuwen.evaluation.predictions import Predictions
from tuwen.progress import Progress, Within
from tuwen.workflow.contents import modalities_by_kind
from tuwen.workflow.gathering import content_columns
from tuwen.workflow.generating import can_fill
from tuwen.workflow.judging import Judged, judge, pooled, widened
from tuwen.workflow.plain_baselines import plain_runs
from tuwen.workflow.rating import can_rate
from tuwen.workflow.starting import can_start
from tuwen.workflow.training import fingerprint, train_once


def baselines(
    run: Run,
    bundles: list[Bundle],
    judged: list[Judged],
    model: Predictions,
    dataset: Dataset,
    out: Path,
    progress: Progress,
) -> dict[str, Predictions]:
    """What the run's baselines answer on the rows of ``model``, by name.

    A one-modality baseline is trained here. Its bundle goes as soon as its answers are kept in
    ``out/baselines/NAME/``, under the fingerprint of its training: the next evaluation of the same run and data reads
    them, and one that was killed goes on.
    """
    found: dict[str, Predictions] = {}
    if "trivial" in run.evaluation.baselines:
        parts: dict[str, list[Predictions]] = {}
        for bundle, one in zip(bundles, judged, strict=True):
            truth = one.gathered.truth[one.gathered.rows("train")]
            truth = pl.Series("target", bundle.target.encode(truth)) if run.task.use == "binary" else truth
            known = truth.cast(pl.String).unique().to_list() if run.task.use == "classify" else []  # of this data
            for name, predictions in trivial(truth, widened(one.predictions, known)).items():
                parts.setdefault(name, []).append(predictions)
        found |= {name: pooled(predictions) for name, predictions in parts.items()}
    if "members" in run.evaluation.baselines:
        found |= {name: pooled([one.members[name] for one in judged]) for name in judged[0].members}
    if "plain" in run.evaluation.baselines:
        for name, alone in plain_runs(run).items():
            found[name] = _same_rows(_pooled_answers(alone, name, bundles, dataset, out, progress), model)
    kinds = modalities_by_kind(run)
    if "unimodal" in run.evaluation.baselines and len(kinds) > 1 and can_start(run):
        taken = set((bundles[0].manifest.get("init") or {}).get("taken", ()))
        for kind, names in kinds.items():
            alone = _only(run, names, taken)
            if not can_rate(alone):  # raters without users or items are none
                continue
            name = f"{kind}_only"
            found[name] = _same_rows(_pooled_answers(alone, name, bundles, dataset, out, progress), model)
    return found


def _pooled_answers(
    run: Run, name: str, bundles: list[Bundle], dataset: Dataset, out: Path, progress: Progress
) -> Predictions:
    """What a baseline answers in all folds."""
    answers = []
    for bundle in bundles:
        fold = bundle.manifest["data"]["fold"]
        shown = Within(progress, name.replace("_", " ") + (f", fold {fold + 1}" if len(bundles) > 1 else ""))
        answers.append(_answers_of(run, dataset, out / "baselines" / name, fold, shown))
    return pooled(answers)


def _answers_of(run: Run, dataset: Dataset, folder: Path, fold: int, progress: Progress) -> Predictions:
    """Read the kept answers of a baseline, or train it and keep them."""
    kept, bundle = folder / f"fold-{fold}-{fingerprint(run, dataset, fold)[:16]}.parquet", folder / f"fold-{fold}"
    try:
        answers = Predictions.read(kept)
    except DataError:  # none yet, or damaged
        trained = Bundle.open(train_once(run, dataset, bundle, fold, progress))
        answers = judge(run, trained, dataset, progress, knock_out=False).predictions
        answers.write(kept)
    shutil.rmtree(bundle, ignore_errors=True)
    for other in folder.glob(f"fold-{fold}-*.parquet"):  # of an earlier run or dataset
        if other != kept:
            other.unlink()
    return answers


def _only(run: Run, names: list[str], taken: set[str]) -> Run:
    """The run with some of its modalities; the rows and the split stay those of the whole run.

    It starts from the same bundle, where any of these modalities was ``taken`` over from it.
    """
    kept = {name: run.modalities[name] for name in names}
    init = run.init if taken & set(names) else None
    alone = run.model_copy(update={"modalities": kept, "content": content_columns(run), "init": init})
    return alone if can_fill(alone) else alone.model_copy(update={"gan": None})


def _same_rows(other: Predictions, model: Predictions) -> Predictions:
    order = model.frame.select("row").join(other.frame, on="row", how="left", maintain_order="left")
    return Predictions(other.task, order.select(other.frame.columns), other.classes)
