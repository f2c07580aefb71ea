"""Prove that a bundle is served without torch: a clean environment, a whole bundle, the same answer.

A sample shop is collected and a small bundle trained here. Then ``tuwen[serve]`` is installed from this checkout into
empty virtual environment, in the versions of requirements.lock and with nothing else, and there, over HTTP, the bundle
answers rows that were answered here: with picture and text, with one of them, with none.

    python scripts/serve_check.py            exit status 0: proved; 1: not; 77: no package index could be reached

``--keep DIR`` leaves environment and bundle in DIR.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MOST_MB = 600  # of the environment, pip left out
FORBIDDEN = ("torch", "lightning_fabric", "scipy", "sklearn", "onnx", "transformers")
TOLERANCE = 1e-4
NOT_REACHED = 77
UNREACHED = re.compile("NewConnectionError|ConnectTimeout|Name or service not known|Temporary failure in name")
TEXT = "Worth every penny, 做工真的很好。"
RUN = ["training.epochs=1", "modalities.picture.size=32"]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--keep", type=Path)
    keep = asked.parse_args().keep
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        return prove(keep.resolve())
    with tempfile.TemporaryDirectory() as folder:
        return prove(Path(folder))


def prove(folder: Path) -> int:
    python = install(folder / "venv")
    if python is None:
        print("no package index could be reached: nothing was proved")
        return NOT_REACHED
    bundle, rows, expected = trained_here(folder)
    faults = []
    seen = json.loads(said(python, "-c", LOOK, *FORBIDDEN))
    print(f"tuwen[serve]: {seen['megabytes']:.0f} MB in {seen['packages']} packages")
    if seen["megabytes"] >= MOST_MB:
        faults.append(f"the environment has {seen['megabytes']:.0f} MB, allowed are {MOST_MB}")
    faults += [f"'{name}' can be imported there" for name in seen["found"]]
    answers, memory = served(python, bundle, rows)
    difference = float(np.abs(np.array(answers) - expected).max())
    print(f"{len(rows)} rows: largest difference {difference:.1e}; the service takes {memory} MB")
    if not difference <= TOLERANCE:
        faults.append(f"answers differ by {difference:.2g}")
    print(*faults or ["served without torch: proved"], sep="\n")
    return 1 if faults else 0


def install(folder: Path) -> str | None:
    """A virtual environment with tuwen[serve] alone; None where there is nowhere to install from."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = folder / f"tuwen-{project['project']['version']}-py3-none-any.whl"
    # built by the environment that runs this, which has the backend; the clean one gets only the result
    pip("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    lock = folder / "constraints.txt"  # the versions alone: with hashes pip would ask for that of the wheel too
    pins = re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    lock.write_text("\n".join(pins), encoding="utf-8")
    done = pip("-m", "pip", "install", "-q", "-c", str(lock), f"{wheel}[serve]", python=python)
    return python if done else None


def pip(*arguments: str, python: str = sys.executable) -> bool:
    """False where pip could not reach an index; any other failure ends everything."""
    command = [python, *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=clean())
    if done.returncode and not UNREACHED.search(done.stderr):
        sys.exit(f"{' '.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.returncode == 0


def trained_here(folder: Path) -> tuple[Path, list[dict[str, Any]], np.ndarray]:
    """A bundle, rows as JSON has them, and what this environment's torch answers to them."""
    import torch

    from tuwen import workflow
    from tuwen.bundle.network import load_network
    from tuwen.data.sample import write_sample_shop
    from tuwen.data.sample.pictures import draw_item

    shop = write_sample_shop(folder / "shop", items=32)
    workflow.collect(shop, folder / "dataset")
    bundle = workflow.train(shop.with_name("RUN.yaml"), folder / "dataset", folder / "bundle", RUN, replace=True)
    photo = draw_item("mug", (198, 55, 52), "dots", np.random.default_rng(0))
    rows: list[dict[str, Any]] = [{"text": TEXT, "images": photo}, {"text": TEXT}, {"images": photo}, {"text": ""}]
    opened = workflow.load(bundle)
    assert opened.manifest["export"]["file"], opened.manifest["export"]
    opened.__dict__["network"] = load_network(bundle, opened.architecture, opened.target)  # torch's
    expected = np.array([answer["prediction"] for answer in opened.predict(rows)])
    print(f"here: torch {torch.__version__}, answers {expected.round(4).tolist()}")
    coded = [row | {"images": base64.b64encode(row["images"]).decode()} if "images" in row else row for row in rows]
    return bundle, coded, expected


LOOK = """
import importlib.util, json, sys
from importlib.metadata import distributions
from pathlib import Path
place = Path(next(p for p in sys.path if p.endswith("site-packages")))
left_out = {p for name in ("pip", "setuptools") for p in place.glob(f"{name}*")}
files = [f for top in place.iterdir() if top not in left_out for f in ([top] if top.is_file() else top.rglob("*"))]
print(json.dumps({
    "megabytes": sum(f.lstat().st_size for f in files if f.is_file()) / 1e6,
    "packages": sum(d.metadata["Name"] not in ("pip", "setuptools") for d in distributions()),
    "found": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
}))
"""


def served(python: str, bundle: Path, rows: list[dict[str, Any]]) -> tuple[list[float], int]:
    """What ``tuwen serve`` of the clean environment answers, and its resident memory in MB."""
    tuwen = str(Path(python).with_name("tuwen"))
    process = subprocess.Popen(
        [tuwen, "serve", str(bundle), "--port", "0"], stdout=subprocess.PIPE, text=True, env=clean()
    )
    assert process.stdout
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            sys.exit("the clean environment does not serve the bundle")
        answer = httpx.post(f"{found.group()}/v1/predict", json={"rows": rows}, timeout=60).raise_for_status().json()
        status = Path(f"/proc/{process.pid}/status")
        memory = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    finally:
        process.terminate()
        process.wait(timeout=30)
    return [row["prediction"] for row in answer["predictions"]], int(memory.group(1)) // 1000 if memory else 0


def said(*command: str) -> str:
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True, env=clean()).stdout


def clean() -> dict[str, str]:
    """This environment without what would let another Python's packages in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


if __name__ == "__main__":
    sys.exit(main())
