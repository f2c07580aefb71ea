"""A name that stands twice in one JSON object is refused, never the last of the two taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homes import Shop, problem
from shops import Desk
from tuwen.data.json_names import RepeatedName, need_single_names

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a":\\ \t{}[],é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab": \\', max_size=3), inner),
    max_leaves=8,
)


def written(value: Any, draw: Any, twice: bool) -> str:
    """A value as JSON with blanks where they may stand; with ``twice`` the first name of each object stands twice."""
    blank = lambda: draw(st.sampled_from(["", " ", "\t", "\n", "  ", "\r\n"]))  # noqa: E731
    if isinstance(value, dict):
        pairs = [(name, written(part, draw, twice)) for name, part in value.items()]
        pairs += pairs[:1] if twice else []
        inner = ",".join(f"{blank()}{json.dumps(name)}{blank()}:{blank()}{part}{blank()}" for name, part in pairs)
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(part, draw, twice) for part in value) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@given(value=VALUES, data=st.data(), twice=st.booleans())
def test_a_text_is_refused_exactly_if_a_name_stands_twice(value: Any, data: st.DataObject, twice: bool) -> None:
    text = written(value, data.draw, twice).encode()
    repeated = twice and "{" in text.decode().replace('"{', "") and _has_names(value)
    if repeated:
        with pytest.raises(RepeatedName):
            need_single_names(text, json.loads(text))
    else:
        need_single_names(text, json.loads(text))


def _has_names(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(map(_has_names, value))


def test_a_line_with_a_name_twice_is_rejected_and_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    lines = [
        '{"item": "1", "title": "at 12:30 \\":", "price": 5}',
        '{"item": "2", "price": 5, "price": 7}',
        '{"item": "3", "size": {"w": 1, "w": 2}}',
        '{"item" : "4", "title" : "a" , "title"\t: "b"}',
    ]
    desk.write("items.jsonl", "\n".join(lines))
    desk.collect(items={"source": "items.jsonl"})
    assert desk.dataset().table("items")["item"].to_list() == ["1"]
    assert desk.dataset().rejected()["reason"].to_list() == [
        f"the name '{name}' stands twice in one object" for name in ("price", "w", "title")
    ]


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/items", '{"item": "J1", "columns": {"title": "pot", "title": "cup"}}', "title"),
        ("/v1/events", '{"events": [{"event": "j", "user": "u", "user": "v", "item": "1", "kind": "click"}]}', "user"),
        ("/v1/recommend", '{"count": 2, "count" : 3}', "count"),
        ("/v1/predict", '{"rows": [], "rows": [{"reviews.text": "a"}]}', "rows"),
        ("/v1/predict", '{"rows": [{"text": "a", "text": "b"}, {}]}', "text"),
        ("/v1/predict", '{"rows": [{"reviews.text": "a", "reviews.text": "b"}]}', "reviews.text"),
    ],
)
def test_a_request_with_a_name_twice_is_refused_and_named(shop: Shop, path: str, body: str, name: str) -> None:
    headers = {"Content-Type": "application/json"}
    told = problem(shop.ask("POST", path, content=body, headers=headers), 422)
    assert told["what"] == f"the name '{name}' stands twice in one object"
    told = problem(shop.ask("POST", path, content=body, headers=headers | {"Accept-Language": "zh"}), 422)
    assert told["what"] == f"同一个对象中出现了两次“{name}”"
