"""Write docs/limits.md: every limit of the service, from the code that keeps it."""

from __future__ import annotations

import sys
from pathlib import Path

from tuwen import errors, unicode
from tuwen.apps import query
from tuwen.config import yaml
from tuwen.data import expression_tokens
from tuwen.service import shop_messages
from tuwen.service.limits import table
from tuwen.service.messages import Strict

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limits.md"
HEAD = """\
# Limits

What a running service lets one request, one client and all of them together take. `make docs` writes this page from the
code; a test fails when it is stale. `tuwen serve HOME --limit pixels=500_000_000 --limit rows=64` changes them.

"""
FOOT = """
## What they promise

- Every request ends: with its answer, with a refusal that names the limit, or when its client hangs up. Work that runs
  then is ended: networks between two of their operations, pictures, sounds and shapes with the process that decodes
  them, searches between two of their steps. What is written to the store is written whole.
- Every regular expression of the code reads its text in time that grows with the text: a test finds them all, makes
  the worst input for each and times it. A condition of a run is an expression over the columns of its table: no table,
  file or address can be named in it.
- What costs nothing is looked at first: host, origin, key, rate, length. A body is read only of a request that may be
  answered, and not at all where a route takes none.
- `GET /healthz` is answered while all else waits. `scripts/attacks` holds it to 100 ms.
- SIGTERM ends the process within `grace_seconds` and two seconds, whatever its threads do.

## What they do not promise

- A thread that runs a call of C without letting Python go holds the event loop too. No part of tuwen that is known does
  so for longer than a tenth of a second; there is no watchdog against one that does.
- Limits of one process are of each: with `--workers 4` four predictions run at a time. `flight_bytes` and the rates are
  of all together.
- Addresses are not people: many clients behind one proxy are one client, unless `--trusted-proxy` names the proxy. An
  address of IPv6 counts by its first 64 bits.
"""


# limits that no option changes: subject, number, unit
TEXTS = (
    ("a settings file (SHOP.yaml, a run, a comparison, a search)", yaml.BYTES, "bytes"),
    ("its keys and values, those that aliases repeat counted too", yaml.NODES, ""),
    ("its sections and lists within one another", yaml.DEPTH, "levels"),
    ("one of its values", yaml.SCALAR, "characters"),
    ("a condition of a run (`rows.where`, `events.where`)", expression_tokens.CHARACTERS, "characters"),
    ("its words and signs", expression_tokens.TOKENS, ""),
    ("its brackets and operators within one another", expression_tokens.DEPTH, "levels"),
    ("`synonyms.txt`", query.FILE_BYTES, "bytes"),
    ("words that stand for one another in one of its lines", query.MOST_PHRASES, ""),
    ("a query: what is read of it", query.LONGEST, "characters"),
    ("a query: the words that are looked for", query.MOST, ""),
    ("names that an unknown one is compared with", errors.NAMES_COMPARED, ""),
    ("combining marks on one letter; the rest is dropped", unicode.MARKS, ""),
)


def texts() -> str:
    """Return the table of limits that no option changes."""
    rows = [f"| {what} | {most:,} | {unit} |\n" for what, most, unit in TEXTS]
    return "\n## Settings, conditions and texts\n\n| | at most | unit |\n|---|---|---|\n" + "".join(rows)


FIXED = """
## Fixed by the interface

`/openapi.json` says the same. What is longer is refused with 422.

| of | field | at most |
|---|---|---|
"""
WORDS = {"maxLength": "characters", "maxItems": "items", "maxProperties": "names", "maximum": ""}


def fixed() -> str:
    """Return the limits that the message schemas set."""
    rows = []
    for name, model in vars(shop_messages).items():
        if not (isinstance(model, type) and issubclass(model, Strict) and model is not Strict):
            continue
        for field, schema in model.model_json_schema()["properties"].items():
            kinds = [schema, *schema.get("anyOf", ())]
            most = [f"{kind[key]:,} {word}".strip() for kind in kinds for key, word in WORDS.items() if key in kind]
            if most:
                rows.append(f"| {name} | `{field}` | {', '.join(most)} |")
    return FIXED + "\n".join(rows) + "\n"


def page() -> str:
    """Return the whole page."""
    return HEAD + table() + fixed() + texts() + FOOT


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
