"""What a build keeps in a home: the runs it wrote, and which steps are done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tuwen import __version__

HEADER = """\
# Written by tuwen build for the dataset {shop}. Edit it, and give the same command again: it is taken as you leave it.
"""


def run_text(run: Mapping[str, Any], shop: str) -> str:
    """A run as the text of a RUN.yaml."""
    body = yaml.safe_dump(dict(run), allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)
    return HEADER.format(shop=json.dumps(shop, ensure_ascii=False)) + body


def read_state(path: Path) -> dict[str, dict[str, str]]:
    """What an earlier build did; nothing where the file is absent or damaged, so that all is done again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        state = {name: dict(found[name]) for name in ("done", "composed")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"done": {}, "composed": {}}
    return state


def step_key(part: str, dataset: str, settings: Mapping[str, Any]) -> str:
    """Everything that a part depends on."""
    return sha256_of(json.dumps([__version__, part, dataset, settings], sort_keys=True).encode())


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
