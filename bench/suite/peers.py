"""The peers of the suite: what each is, its environment, and its jobs of one fold after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from suite.exchange import Array, Fold, read_answers
from tuwen.files import write_json

HERE = Path(__file__).resolve().parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Peer:
    """One peer.

    Attributes:
        about: what the page says of it.
        own: whether it needs an environment of its own, from ``requirements/NAME.txt``.
    """

    name: str
    about: str
    own: bool = True


PEERS = (
    Peer("linear", "TF-IDF of the text, ridge or logistic regression (scikit-learn)", own=False),
    Peer("lightgbm", "LightGBM on the table and 64 axes of TF-IDF", own=False),
    Peer("autogluon-tabular", "AutoGluon Tabular on the table and tuwen's frozen vectors"),
    Peer("pytorch-frame", "PyTorch Frame's ResNet on the table and tuwen's frozen vectors"),
    Peer("ludwig", "Ludwig: CNNs over words and pictures, dense layers over the table"),
    Peer("autogluon-multimodal", "AutoGluon MultiModal on text, picture and table"),
)


def environment(peer: Peer, folder: Path, seconds: float) -> str:
    """The interpreter of a peer, installed once.

    Raises:
        RuntimeError: it cannot be installed; with what pip says.
    """
    if not peer.own:
        return sys.executable
    needs = (HERE / "requirements" / f"{peer.name}.txt").read_text(encoding="utf-8")
    python, done = folder / peer.name / "bin" / "python", folder / f"{peer.name}.done"
    if done.is_file() and done.read_text(encoding="utf-8") == needs and python.is_file():
        return str(python)
    print(f"installing {peer.name}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / peer.name)], check=True)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "-q", "-r"]
    command.append(str(HERE / "requirements" / f"{peer.name}.txt"))
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not installed in {seconds:g} s") from None
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.startswith(("ERROR", "error"))]
        raise RuntimeError(f"cannot be installed: {' / '.join(lines[-1:])[:240]}")
    done.write_text(needs, encoding="utf-8")
    return str(python)


def answers_of(
    peer: Peer, python: str | None, folds: list[Fold], out: Path, seconds: float
) -> list[Array] | str | None:
    """A peer's answers of every fold, those that are there read; or why there are none; None where it was never asked.

    Args:
        python: its interpreter; None where only what is there is read.
        out: folder for the answers of this run.
        seconds: what a peer is told that one fold may take; it is ended at twice that and two minutes more.
    """
    found: list[Array] = []
    for number, fold in enumerate(folds):
        file = out / peer.name / f"fold-{number}.npz"
        outputs, account = read_answers(file)
        if outputs is None and not account:
            if python is None:
                return None
            print(f"{out.parent.name}: {peer.name}, fold {number + 1} of {len(folds)}", flush=True)
            _work(peer, python, fold, file, seconds)
            outputs, account = read_answers(file)
        if outputs is None:
            return str(account["error"])
        found.append(outputs)
    return found


def seconds_of(peer: Peer, folds: int, out: Path) -> float:
    """What all folds took together."""
    return sum(read_answers(out / peer.name / f"fold-{number}.npz")[1].get("seconds", 0.0) for number in range(folds))


def forget_errors(out: Path) -> None:
    """Remove what peers failed at, so that it is tried again."""
    for file in out.glob("*/fold-*.json"):
        if read_answers(file.with_suffix(".npz"))[1].get("error"):
            file.unlink()


def _work(peer: Peer, python: str, fold: Fold, file: Path, seconds: float) -> None:
    """One fold in the peer's own process, on one thread so that seconds compare, without a hub."""
    file.parent.mkdir(parents=True, exist_ok=True)
    limit = 2 * seconds + 120
    own = dict.fromkeys(THREADS, "1") | {"HF_HUB_OFFLINE": "1", "RAY_memory_monitor_refresh_ms": "0"}
    values = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
    command = [python, str(HERE / "worker.py"), peer.name, str(fold.folder), str(file), str(seconds)]
    with file.with_suffix(".log").open("ab") as log:
        try:
            subprocess.run(command, env=values, stdout=log, stderr=log, timeout=limit, check=False)
            error = "ended without an answer (see the log; often for want of memory)"
        except subprocess.TimeoutExpired:
            error = f"not done in {limit:g} s a fold"
    if not file.with_suffix(".json").is_file():
        write_json(file.with_suffix(".json"), {"error": error, "seconds": limit})
