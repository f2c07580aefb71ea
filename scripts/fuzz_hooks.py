"""What makes stateful runs of schemathesis come further than the first refusal: items with columns that the shop has,
in half of the cases. It is loaded by schemathesis (SCHEMATHESIS_HOOKS), in an environment where tuwen is not.
"""

from __future__ import annotations

from typing import Any

import schemathesis

COLUMNS = {"title": "手工茶壶 hand-made teapot", "price": 199}


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    if context.operation.path == "/v1/items" and isinstance(body, dict) and len(str(body.get("item"))) % 2:
        return {**body, "columns": COLUMNS, "pictures": None}
    return body
