"""Find events that show no preference: returned purchases, and events of programs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

SEEN_ONLY = frozenset(("view", "click", "cart", "impression", "search"))  # event kinds without a sale
_RETURNED = (
    "return returns returned refund refunds refunded chargeback cancel cancelled canceled cancellation rma "
    "retoure rückgabe rücksendung erstattung storno storniert retour remboursement annulation devolución devolucion "
    "reembolso reso rimborso devolução devolucao retorno zwrot возврат возвращено 退货 退貨 退款 退单 退單 返品 "
    "返金 반품 환불"
)
RETURN_KINDS = frozenset(_RETURNED.split())  # event kinds that take a sale back, whatever the sign of their quantity
LEAST_EVENTS = 200  # of one shopper
LEAST_SHARE = 0.1  # of all events
TIMES_MEDIAN = 20.0  # as many events as the median shopper
LEAST_SHOPPERS = 10


class Event(NamedTuple):
    """What decides whether an event was given back.

    Attributes:
        pair: of shopper and item.
        quantity: below 0 for a return; of a kind in RETURN_KINDS whatever its sign.
    """

    pair: Hashable
    kind: str
    quantity: float


def returns(events: Sequence[Event]) -> list[int | None]:
    """Return for each event the index of its return, or None. A return has its own index.

    A return takes back what the shopper bought last of the item, as many as it says: of its own kind, or where nothing
    is of its kind (``refund``), of any that sells. A purchase of several stands until all are given back.

    Args:
        events: oldest first.
    """
    events = [event._replace(quantity=signed_quantity(event.kind, event.quantity)) for event in events]
    back: list[int | None] = [None] * len(events)
    returning = {event.pair for event in events if event.quantity < 0}
    sold: dict[Hashable, list[int]] = {}
    remaining: dict[int, float] = {}
    for index, event in enumerate(events):
        if event.pair not in returning:
            continue
        if event.quantity >= 0:
            sold.setdefault(event.pair, []).append(index)
            remaining[index] = max(event.quantity, 1.0)
            continue
        back[index] = index
        open_sales = [at for at in sold.get(event.pair, ()) if back[at] is None]
        same = [at for at in open_sales if events[at].kind == event.kind]
        rest = -event.quantity
        for at in reversed(same or [at for at in open_sales if events[at].kind not in SEEN_ONLY]):
            taken = min(rest, remaining[at])
            rest, remaining[at] = rest - taken, remaining[at] - taken
            back[at] = index if remaining[at] <= 0 else None
            if rest <= 0:
                break
    return back


def signed_quantity(kind: str | None, quantity: float) -> float:
    """The quantity of an event, below 0 where its kind says that it is a return.

    >>> signed_quantity("Refund", 2.0), signed_quantity("purchase", 2.0)
    (-2.0, 2.0)
    """
    return -abs(quantity or 1.0) if is_return_kind(kind) else quantity


def is_return_kind(kind: str | None) -> bool:
    """Whether events of a kind take a sale back."""
    return kind is not None and kind.strip().lower() in RETURN_KINDS


def is_return(events: pl.DataFrame) -> pl.Series:
    """Whether each event is a return: by a ``quantity`` below 0, or by its ``kind``."""
    which = pl.repeat(False, events.height, dtype=pl.Boolean, eager=True)
    if "quantity" in events.columns:
        which = which | (events["quantity"] < 0).fill_null(False)
    if "kind" in events.columns:
        kinds = [kind for kind in events["kind"].unique().cast(pl.String) if is_return_kind(kind)]
        if kinds:
            which = which | events["kind"].cast(pl.String).is_in(kinds).fill_null(False)
    return which.alias("return")


def in_order(events: pl.DataFrame) -> pl.DataFrame:
    """The events by time, sales of a moment before its returns."""
    order = pl.select(pl.lit(events["time"]).alias("time"), pl.lit(is_return(events)).alias("back"))
    return events[order.with_row_index("row").sort("time", "back", maintain_order=True)["row"]]


def standing_events(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one shopper's events, oldest first, without returns and returned purchases."""
    rows = [Event(e["item"], e["kind"], 1.0 if (n := e.get("quantity")) is None else n) for e in events]
    if not any(signed_quantity(row.kind, row.quantity) < 0 for row in rows):
        return list(events)
    return [event for event, back in zip(events, returns(rows), strict=True) if back is None]


def returned_at(events: pl.DataFrame) -> pl.Series:
    """Return the time when each event was returned, null if it was not. A return has its own time.

    Args:
        events: with ``user``, ``item``, ``time`` and perhaps ``kind`` and ``quantity``, in the order of time.
    """
    nothing = pl.Series("returned", [None], events.schema["time"]).new_from_index(0, events.height)
    if not is_return(events).any():
        return nothing
    blank = pl.Series([None], dtype=pl.String).new_from_index(0, events.height)
    kinds = events["kind"] if "kind" in events.columns else blank
    quantity = events["quantity"] if "quantity" in events.columns else blank.cast(pl.Float64)
    rows = zip(events["user"], events["item"], kinds, quantity.fill_null(1.0), strict=True)
    back = returns([Event((user, item), kind or "", quantity) for user, item, kind, quantity in rows])
    return events["time"].gather(pl.Series(back, dtype=pl.Int64)).alias("returned")


def standing(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events without returns and returned purchases, in order of time."""
    if not is_return(events).any():
        return events
    ordered = in_order(events)
    return ordered.filter(returned_at(ordered).is_null())


def crawlers(users: pl.Series) -> dict[str, float]:
    """Return shopper → share of all events, for shoppers with far more events than a person: programs, shared tills.

    Args:
        users: of the events.
    """
    counts = users.drop_nulls().alias("user").value_counts(sort=True)
    if len(counts) < LEAST_SHOPPERS:
        return {}
    total, median = int(counts["count"].sum()), float(counts["count"].median() or 0)  # type: ignore[arg-type]
    least = max(LEAST_EVENTS, LEAST_SHARE * total, TIMES_MEDIAN * median)
    return {user: count / total for user, count in counts.filter(pl.col("count") >= least).iter_rows()}


def behaviour_warnings(events: pl.DataFrame) -> list[tuple[str, str]]:
    """Return warnings about the events, in English and Chinese."""
    warnings = []
    below = (events["quantity"] < 0).fill_null(False) if "quantity" in events.columns else pl.Series([False])
    if count := int(below.sum()):
        warnings.append(
            (
                f"events: {count:,} have a quantity below 0: they count as returns, and what they give back is no sale",
                f"events：{count:,} 条的 quantity 小于 0：算作退货，被退的不算售出",
            )
        )
    named = is_return(events) & ~below if len(below) == events.height else is_return(events)
    if count := int(named.sum()):
        kinds = ", ".join(sorted(set(events["kind"].filter(named)))[:5])
        warnings.append(
            (
                f"events: {count:,} are of a kind that takes a sale back ({kinds}): they count as returns, whatever "
                "their quantity",
                f"events：{count:,} 条属于退货类的 kind（{kinds}）：无论 quantity 正负，都算作退货",
            )
        )
    for user, share in crawlers(events["user"]).items():
        warnings.append(
            (
                f"events: one shopper, {user[:60]!r}, made {share:.0%} of them: a program or a shared account? For "
                "popularity each item counts once for this shopper; leave such events out of the export",
                f"events：顾客“{user[:60]}”占全部行为的 {share:.0%}：是程序或共用账号吗？统计热度时其每件商品只计一次；"
                "请在导出时去掉这些行为",
            )
        )
    return warnings
