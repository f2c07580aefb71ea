"""Learning from the shop of runs/hm.yaml, whole: tables, catalogue, retrievers, lists of the past, trees, a bundle.

    python bench/hm.py [--dataset DIR]

Prints one JSON line. Vectors of pictures and texts are cached: where they are not, they are made before the clock runs.
The dataset is that of `make run RUN=hm` where there is one, else it is collected into out/bench/hm and stays there. It
counts processor time, all threads together, so that busy neighbours do not (the clock's is told beside it). Where the
shared data is not at hand, it says so and ends well.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from tuwen.config import RankRun, Shop
from tuwen.data.dataset import Dataset
from tuwen.progress import Silent
from tuwen.workflow.history import history_of
from tuwen.workflow.recommending import learn
from tuwen.workflow.steps import collected

ROOT = Path(__file__).parents[1]
RUN, SHOP = ROOT / "runs" / "hm.yaml", ROOT / "runs" / "shops" / "hm.yaml"
MADE = ROOT / "out" / "runs" / "hm" / "dataset"
MOST = 180.0  # seconds


def dataset_of(given: Path | None) -> Dataset | None:
    """None where there is neither a dataset nor what it is made of."""
    folder = given or (MADE if MADE.exists() else ROOT / "out" / "bench" / "hm" / "dataset")
    if not folder.exists():
        shop = Shop.read(SHOP)
        if not shop.folder().exists():
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        collected(shop, folder, None)
    return Dataset.open(folder)


def measured(dataset: Dataset) -> dict[str, Any]:
    run = RankRun.read(RUN)
    history_of(run, dataset, Silent())  # what is not cached yet is made
    with tempfile.TemporaryDirectory() as folder:
        clock, busy = time.perf_counter(), time.process_time()
        learn(run, dataset, Path(folder) / "bundle", Silent())
        clock, busy = time.perf_counter() - clock, time.process_time() - busy
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "bench": "hm: learn, end to end, vectors cached",
        "limit": f"{MOST:g} s of processor time",
        "ratio": round(MOST / busy, 3),
        "target": 1.0,
        "met": busy <= MOST,
        "seconds": round(busy, 1),
        "seconds_on_the_clock": round(clock, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "bundle_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="a dataset of this shop")
    dataset = dataset_of(parser.parse_args().dataset)
    if dataset is None:
        print(json.dumps({"bench": "hm: learn", "skipped": f"no shared data beside {ROOT.name}"}))
        return
    print(json.dumps(measured(dataset)))


if __name__ == "__main__":
    main()
