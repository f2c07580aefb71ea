"""The trials of a search, kept in ``study.db`` (optuna, SQLite)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.errors import ConfigError, DataError
from tuwen.files import full_disk, is_full

if TYPE_CHECKING:
    from optuna import Study

FILE = "study.db"
STOPPED = "stopped"  # names the trials that a kill cut off, and that are done again
STARTS = 5  # trials before any is given up early


def opened_study(folder: Path, fingerprint: str, *, seed: int, patience: int, first: Mapping[str, Any] | None) -> Study:
    """The study of ``folder``, made if there is none; a trial that a kill cut off waits to be done again.

    Args:
        fingerprint: of what is searched on which data.
        seed: of the first sitting; each later one has another, which would else draw the same values again.
        patience: epochs before a trial may be given up.
        first: the values of the first trial of a new study.

    Raises:
        ConfigError: the folder holds another search.
        DataError: the file is damaged, or another optuna's.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    _refuse_damaged(folder / FILE)
    try:
        study = optuna.create_study(
            study_name="tune",
            storage=f"sqlite:///{(folder / FILE).resolve()}",
            direction="minimize",
            load_if_exists=True,
        )
    except (RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        if any(map(is_full, _causes(error))):
            raise full_disk(folder / FILE) from None
        raise _unreadable(folder / FILE, error) from None
    found = study.user_attrs.get("fingerprint")
    if found not in (None, fingerprint):
        raise ConfigError(
            "the folder holds another search: another run, other data, other ranges or another tuwen",
            where=str(folder),
            todo="name another --out",
        )
    study.set_user_attr("fingerprint", fingerprint)
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTS, n_warmup_steps=patience)
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:  # its process was killed: this one holds the folder
            study.set_user_attr(STOPPED, [*study.user_attrs.get(STOPPED, []), trial.number])
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs=_only_own(trial.user_attrs))
    if not study.trials and first is not None:
        study.enqueue_trial(dict(first), user_attrs={"as_written": True})
    return study


@contextmanager
def room_for_trials(folder: Path) -> Iterator[None]:
    """Turn a full disk, on which a trial cannot be noted, into a :class:`DataError` that says so."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except Exception as error:
        causes = list(_causes(error))
        if any(isinstance(cause, SQLAlchemyError) for cause in causes) and any(map(is_full, causes)):
            raise full_disk(folder / FILE) from None
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, SQLite's own at last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def finished(study: Study) -> list[Any]:
    """The trials that need not be done again."""
    stopped = study.user_attrs.get(STOPPED, [])
    return [trial for trial in study.trials if trial.state.is_finished() and trial.number not in stopped]


def _only_own(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the trial that is done again has from the one that was cut off."""
    return {"as_written": True} if attributes.get("as_written") else {}


def _refuse_damaged(file: Path) -> None:
    """SQLite finds damage only where it reads; this reads everything.

    Raises:
        DataError: it is damaged, or no database.
    """
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file)) as database:
            (told,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise _unreadable(file, error) from None
    if told != "ok":
        raise _unreadable(file, told)


def _unreadable(file: Path, seen: object) -> DataError:
    return DataError(
        "the trials of the search cannot be read",
        where=str(file),
        seen=next(iter(str(seen).splitlines()), None),
        todo="put back a copy that is whole; or move the file away, and the same command begins anew",
    )
