"""OpenAPI links: what may be asked with an answer in hand. People read them, and ``make fuzz`` follows them, so that
what one request leaves behind is asked for by the next.
"""

from __future__ import annotations

from typing import Any

ITEM = "$response.body#/item"
FIRST = "$response.body#/items/0/item"
REPORT = "$response.body#/reports/0/name"


def _link(operation: str, body: Any = None, **parameters: str) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": operation}
    return found | ({"parameters": parameters} if parameters else {}) | ({} if body is None else {"requestBody": body})


def _answered(**links: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"links": links}}


READ = "get_v1_items__item__get"
CHANGED = _answered(
    read=_link(READ, item=ITEM),
    remove=_link("remove_v1_items__item__delete", item=ITEM),
    similar=_link("similar_v1_similar_get", item=ITEM),
    goes_with=_link("goes_with_v1_goes_with_post", {"items": [ITEM]}),
    like=_link("search_v1_search_get", like=ITEM),
    recommend=_link("recommend_v1_recommend_post", {"clicked": [ITEM]}),
)
LISTED = _answered(
    read=_link(READ, item=FIRST),
    remove=_link("remove_v1_items__item__delete", item=FIRST),
    again=_link("recommend_v1_recommend_post", {"clicked": [FIRST]}),
)
KEPT = _answered(
    recommend=_link("recommend_v1_recommend_post", {"user": "$request.body#/events/0/user"}),
    forget=_link("forget_v1_users__user__delete", user="$request.body#/events/0/user"),
)
SAID = _answered(
    recommend=_link("recommend_v1_recommend_post", {"user": "$request.path.user"}),
    forget=_link("forget_v1_users__user__delete", user="$request.path.user"),
)
REPORTED = _answered(
    whole=_link("report_v1_report__name__get", name=REPORT),
    short=_link("short_v1_operator_report__name__get", name=REPORT),
    page=_link("whole_v1_operator_report__name__page_get", name=REPORT),
)
