"""Models by name: a folder here, or a name on a hub. Only JSON, plain text and safetensors are ever read. No torch."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tuwen.errors import ConfigError, DataError

READ = ("*.json", "*.txt", "*.safetensors")  # what is fetched: no pickle, no code


@cache
def folder(model: str) -> Path:
    """The folder of a model: ``model`` itself, or what the hub has under ``owner/name`` (``owner/name@revision``).

    Raises:
        ConfigError: there is no such folder, and no hub answers to the name.
        DataError: the folder holds weights that are not safetensors.
    """
    path = Path(model).expanduser()
    if not path.is_dir():
        path = _fetched(model)
    pickled = [file for file in path.rglob("*.bin") if not any(file.parent.glob("*.safetensors"))]
    if pickled or not any(path.rglob("*.safetensors")):
        raise DataError(
            "the model has no weights that can be read",
            where=str(path),
            seen=", ".join(sorted(file.name for file in path.iterdir())[:8]) or "an empty folder",
            allowed="safetensors (no pickle is opened)",
            todo="save it again: model.save_pretrained(FOLDER)",
        )
    return path


def _fetched(model: str) -> Path:
    name, _, revision = model.partition("@")
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ConfigError("there is no such folder", seen=model, todo="name a folder, or a model as owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=list(READ), etag_timeout=5)
    except (OSError, ValueError, HTTPError) as error:
        raise ConfigError(
            "the model is neither a folder here nor to be had from the hub",
            seen=f"{model} ({str(error).splitlines()[0]})",
            todo="fetch it where the hub can be reached, and name its folder",
        ) from None
    return Path(str(found))


def settings(model: str, name: str = "config.json") -> dict[str, Any]:
    """A JSON file of the model's folder; empty where it has none."""
    path = folder(model) / name
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def read_json(path: Path) -> Any:
    """What a JSON file of a model says.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError("a file of the model cannot be read", where=str(path), seen=error) from None


def fingerprint(model: str) -> str:
    """Hex name of the model's files, for what is made from them."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in READ for p in folder(model).rglob(pattern)):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def tokenizer(model: str) -> Tokenizer:
    """The tokeniser beside the weights, without truncation or padding.

    Raises:
        DataError: there is no ``tokenizer.json``, or it is none.
    """
    path = folder(model) / "tokenizer.json"
    if not path.is_file():
        raise DataError(
            "the model has no tokenizer.json",
            where=str(path.parent),
            todo="save its fast tokenizer beside it: AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)",
        )
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises bare exceptions
        raise DataError("the tokenizer cannot be read", where=str(path), seen=error) from None
    found.no_padding()
    found.no_truncation()
    return found
