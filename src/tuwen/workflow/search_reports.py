"""What the reports of judged searches have in common: where the index is from, how they are drawn, their two files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tuwen import __version__
from tuwen.evaluation.render import render
from tuwen.evaluation.report import write_report
from tuwen.evaluation.search import search_report
from tuwen.files import room_on_disk
from tuwen.index.store import Index
from tuwen.outputs import held
from tuwen.workflow.evaluation import commit


@dataclass(frozen=True)
class Shown:
    """How a report is drawn.

    Attributes:
        name, run: of the run, where there is one.
        samples, confidence, seed: of the bootstrap over queries.
    """

    name: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 2000
    confidence: float = 0.95
    seed: int = 0


def written(
    out: str | Path,
    systems: Mapping[str, Mapping[str, np.ndarray]],
    index: Index,
    shown: Shown,
    *,
    began: float,
    provenance: Mapping[str, Any],
    **told: Any,
) -> dict[str, Any]:
    """Write ``out/report.json`` and ``out/report.html`` of an index that was judged, and return the report.

    Args:
        systems, told: as :func:`~tuwen.evaluation.search.search_report` takes them.
        began: of :func:`time.perf_counter`, when judging began.
        provenance: what is told beside where the index is from.
    """
    report = search_report(
        systems,
        **told,
        **vars(shown),
        cost={"evaluate_seconds": round(time.perf_counter() - began, 1)},
        provenance={
            "tuwen": __version__,
            "commit": commit(),
            "data_hash": index.settings["dataset"],
            "recipe": index.settings["recipe"],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **provenance,
        },
    )
    with room_on_disk(out), held(out):
        write_report(out, report, render(report))
    return report
