"""Schemathesis over the whole API of a served home, request by request and along walks from one to the next: no answer
may be a fault, and each must be what the schema says.

Schemathesis lives in an environment of its own (out/fuzz), made once: it is no dependency of tuwen.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from load.__main__ import running, told_port
from tuwen import workflow
from tuwen.bundle.revisions import LIVE
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.workflow.kinds import part_of

NEXT = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 10, horizon: 28}
events: {where: kind = 'purchase'}
facts: [items.category, items.price]
retrievers:
  bought lately: {use: popularity, half_life: 30}
  bought together: item-knn
  looks alike: {use: content, kind: picture}
modalities:
  picture: {use: image, columns: [items.images], encoder: efficientnet-lite0}
per: 20
ranker: {use: lambdarank, rounds: 10, smallest_leaf: 10}
windows: {count: 2, least: 60, negatives: 20}
"""
KIND = """\
name: kind
shop: SHOP.yaml
rows: {table: items}
modalities:
  words: {use: text, columns: [items.title], tokens: word-ngram, length: 16, encoder: {use: ngram, width: 8}}
  picture: {use: image, columns: [items.images], size: 32, encoder: {use: cnn, channels: [8, 8]}}
  table: {use: table, columns: [items.price], encoder: table}
fusion: {use: concat, width: 8}
task: {use: classify, target: items.category}
split: {use: hash, test: 0.2, validation: 0.2}
training: {epochs: 2, batch_size: 16}
evaluation: {samples: 100}
"""
VERSION = "4.32.5"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def schemathesis(folder: Path) -> Path:
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", f"schemathesis=={VERSION}"]
        subprocess.run([folder / "bin" / "python", *install], check=True)
    return program


def make_home(folder: Path, items: int) -> Path:
    """A home of which every route has something to answer: words and pictures are encoded by what the wheels bring."""
    write_sample_shop(folder / "shop", items=items, seed=0)
    for name, run in (("NEXT", NEXT), ("KIND", KIND)):
        (folder / "shop" / f"{name}.yaml").write_text(run, encoding="utf-8")
    workflow.collect(folder / "shop" / "SHOP.yaml", folder / "dataset")
    workflow.index(folder / "dataset", folder / "index")
    part_of("rank", "train")(folder / "shop" / "NEXT.yaml", folder / "dataset", folder / "next")
    workflow.train(folder / "shop" / "KIND.yaml", folder / "dataset", folder / "kind")
    workflow.evaluate(folder / "kind", folder / "dataset", folder / "report")
    for name in ("dataset", "index", "next", "kind", "report", "report"):
        workflow.promote(folder / name, folder / "home")
    live = folder / "home" / LIVE
    told = json.loads(live.read_text(encoding="utf-8"))
    told["revisions"] = told["revisions"][-2:]  # both whole: a step back that is drawn must not take a part away
    live.write_text(json.dumps(told), encoding="utf-8")
    return folder / "home"


def good_of(folder: Path) -> dict[str, Any]:
    """An item of the shop with a picture, its row as the bundle reads it, and the name of the report."""
    found = Dataset.open(folder)
    row = found.table("items").filter(found.table("items")["images"].list.len() > 0).row(0, named=True)
    photo = base64.b64encode(found.media.read(row["images"][0])).decode()
    told = {"items.title": row["title"], "items.price": row["price"], "items.images": photo}
    return {"item": row["item"], "row": told, "photo": photo, "report": "kind"}


def need_answers(port: int, good: dict[str, Any]) -> None:
    """What is not served is refused at once, and would be fuzzed without a fault ever showing.

    Raises:
        SystemExit: a good request of a route is not answered with 200.
    """
    item, photo, report = good["item"], good["photo"], good["report"]
    asked: list[tuple[str, Any]] = [
        ("/v1/predict", {"rows": [good["row"]]}),
        ("/v1/explain", {"row": good["row"]}),
        ("/v1/embed", {"text": "红色 茶壶", "picture": photo}),
        ("/v1/search", {"words": "teapot", "picture": photo}),
        ("/v1/recommend", {"clicked": [item]}),
        ("/v1/goes-with", {"items": [item]}),
        (f"/v1/similar?item={item}&by=picture", None),
        (f"/v1/items/{item}", None),
        (f"/v1/items/{item}/pictures/0", None),
        ("/v1/report", None),
        (f"/v1/report/{report}", None),
        (f"/v1/operator/report/{report}/page", None),
        ("/v1/operator/data", None),
        ("/v1/operator/traffic", None),
        ("/readyz", None),
    ]
    for path, body in asked:
        data = None if body is None else json.dumps(body).encode()
        sent = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(sent, timeout=60).close()
        except HTTPError as error:
            raise SystemExit(f"{path}: {error.code} for a good request: {error.read().decode()[:500]}") from None


def need_whole(port: int) -> None:
    """Items may be gone, for that was asked for; a part of what is served may not.

    Raises:
        SystemExit: one is.
    """
    for path in ("/readyz", "/v1/report"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            told = json.load(answer)
        if not all(told.get("parts", told).values()) or told.get("fault"):
            raise SystemExit(f"the home is not whole any more, so not all was fuzzed: {path} says {told}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--examples", type=int, default=30, help="of each operation, and of walks from one to the next")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--phases", default="examples,coverage,fuzzing stateful", help="of schemathesis, a run each")
    how = asked.parse_args()
    program = schemathesis(Path("out/fuzz").absolute())
    with tempfile.TemporaryDirectory(prefix="tuwen-fuzz-") as folder:
        began = time.monotonic()
        home = make_home(Path(folder), 40)
        command = [str(Path(sys.executable).with_name("tuwen")), "serve", str(home), "--port", "0"]
        with running(command, told_port) as (port, _):
            good = good_of(Path(folder) / "dataset")
            need_answers(port, good)
            (Path(folder) / "good.json").write_text(json.dumps(good), encoding="utf-8")
            print(f"a whole shop is served after {time.monotonic() - began:.0f} s", flush=True)
            codes = [fuzz(program, port, phases, Path(folder), how) for phases in how.phases.split()]
            need_whole(port)
    sys.exit(next((code for code in codes if code), 0))  # one that was killed is below 0


def fuzz(program: Path, port: int, phases: str, folder: Path, how: argparse.Namespace) -> int:
    """The exit status of one run. Walks follow the links of the OpenAPI page and those that schemathesis infers: an
    item is made, read, found, recommended, taken out; an event is kept and a list asked for.
    ``fuzz_hooks`` makes half of what is sent good enough to be answered.
    """
    hooks = {"PYTHONPATH": str(Path(__file__).parent), "SCHEMATHESIS_HOOKS": "fuzz_hooks"}
    hooks["TUWEN_FUZZ"] = str(folder / "good.json")
    tested = subprocess.run(
        [
            *(program, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", CHECKS),
            *("--max-examples", str(how.examples), "--seed", str(how.seed), "--continue-on-failure"),
            *("--phases", phases, "--suppress-health-check", "all"),
        ],
        check=False,
        cwd=folder,
        env=os.environ | hooks,
    )
    return tested.returncode


if __name__ == "__main__":
    main()
