"""What makes schemathesis come further than the first refusal, in half of the cases: items with columns that the shop
has, rows that the bundle reads, photos that are photos, a report that is there. It is loaded by schemathesis
(SCHEMATHESIS_HOOKS), in an environment where tuwen is not; ``TUWEN_FUZZ`` names a JSON file with what is good.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import schemathesis

COLUMNS = {"title": "手工茶壶 hand-made teapot", "price": 199}
GOOD = json.loads(Path(os.environ["TUWEN_FUZZ"]).read_text(encoding="utf-8"))


def chosen(drawn: Any) -> bool:
    """By what was drawn, so that the same seed gives the same requests."""
    return sum(repr(drawn).encode()) % 2 == 1


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    path, photo = context.operation.path, GOOD["photo"]
    if not chosen(body):
        return body
    if path == "/v1/search/photo":
        return {**(body if isinstance(body, dict) else {}), "photo": base64.b64decode(photo)}
    if not isinstance(body, dict):
        return body
    if path == "/v1/items":
        return {**body, "columns": COLUMNS, "pictures": [photo] if chosen(body.get("item")) else None}
    if path in ("/v1/embed", "/v1/search"):
        return {**body, "picture": photo}
    if path == "/v1/explain":
        return {"row": GOOD["row"]}
    if path == "/v1/predict" and isinstance(body.get("rows"), list):
        return {"rows": [GOOD["row"], *body["rows"]][: 1 + chosen(body["rows"])]}
    if path == "/v1/goes-with":
        return {**body, "items": [GOOD["item"]]}
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    if not chosen(path_parameters) or not isinstance(path_parameters, dict):
        return path_parameters
    known = {"item": GOOD["item"], "name": GOOD["report"]}
    never = "delete" if "item" in path_parameters else ""  # else the shop would soon be empty
    if context.operation.method.lower() == never:
        return path_parameters
    return {name: known.get(name, value) for name, value in path_parameters.items()}
