"""What a shop tells the service: events, items, feedback, consent, and whom to forget."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Path, Request, Response

from tuwen.apps.storefront.held import promoted
from tuwen.data.behaviour import is_return_kind
from tuwen.errors import DataError
from tuwen.service.batches import BeaconRoute, kept_and_refused
from tuwen.service.language import asked_for
from tuwen.service.links import CHANGED, KEPT, SAID
from tuwen.service.served import PROBLEMS, Served
from tuwen.service.shop_messages import (
    ChangeResponse,
    ConsentRequest,
    Event,
    EventsRequest,
    EventsResponse,
    Feedback,
    ItemRequest,
    ItemResponse,
    Key,
)
from tuwen.store import Store, moments
from tuwen.store.engine import StoreUnavailable
from tuwen.store.events import KINDS

ItemKey = Annotated[Key, Path()]
NAMED = 100  # unknown items of one request that its answer names
# kept by a browser, and asked about before it is shown again: a picture may be replaced under its address
PICTURES = {"Cache-Control": "private, no-cache"}
SHORT = 256 * 1024  # bytes of a journal that a request empties by itself; a longer one the watcher does
WAITING: dict[int | str, dict[str, Any]] = {
    202: {
        "model": EventsResponse,
        "description": "they are on the disk, and wait for the store: no need to send them again",
    }
}
LATER: dict[int | str, dict[str, Any]] = {
    202: {
        "model": ChangeResponse,
        "description": "it is on the disk, and waits for the index: no need to send it again",
    }
}
PICTURE = {
    **PROBLEMS,
    200: {"content": {"image/jpeg": {}}, "description": "JPEG, with an ETag"},
    304: {"description": "still the one that If-None-Match names"},
}
SOME: dict[int | str, dict[str, Any]] = {
    207: {"model": EventsResponse, "description": "some were kept; `refused` names the others by their place"}
}


def add_shop(service: FastAPI, served: Served) -> None:
    _add_events(service, served)
    _add_items(service, served)
    _add_people(service, served)


def _add_events(service: FastAPI, served: Served) -> None:
    router = APIRouter(route_class=BeaconRoute)

    @router.post(
        "/v1/events",
        summary="What shoppers did; the next recommendation knows it",
        responses=PROBLEMS | KEPT | WAITING | SOME,
    )
    async def events(sent: EventsRequest, request: Request, response: Response) -> EventsResponse:
        accepted, refused = kept_and_refused("events", sent.events, asked_for(request.headers), Event.model_fields)
        rows = [_row(event) for event in accepted]
        store, front = served.store, served.front

        def keep() -> EventsResponse:
            new = _kept_or_waiting(served, store, rows)
            return EventsResponse(
                received=len(sent.events),
                accepted=len(rows),
                new=new or 0,
                known=0 if new is None else len(rows) - new,
                journal=len(rows) if new is None else 0,
                unknown_items=front.cards.unknown(event.item for event in accepted)[:NAMED],
                unknown_kinds=sorted(
                    kind for kind in {event.kind for event in accepted} - set(KINDS) if not is_return_kind(kind)
                ),
                refused=refused,
            )

        kept = await served.write(keep)
        response.status_code = HTTPStatus.ACCEPTED if kept.journal else HTTPStatus.OK
        for event in accepted:
            served.measures.event(event.kind)
        if refused:
            response.status_code = HTTPStatus.MULTI_STATUS
        return kept

    @router.post("/v1/feedback", summary="What a shopper says of an item", responses=PROBLEMS)
    async def feedback(sent: Feedback) -> EventsResponse:
        store, front = served.store, served.front

        def keep() -> EventsResponse:
            new = store.people.say(sent.feedback, user=sent.user, item=sent.item, rating=sent.rating, text=sent.text)
            unknown = front.cards.unknown([sent.item])
            return EventsResponse(received=1, accepted=1, new=int(new), known=int(not new), unknown_items=unknown)

        return await served.write(keep)

    service.include_router(router)


def _kept_or_waiting(served: Served, store: Store, rows: list[dict[str, object]]) -> int | None:
    """How many of the events are new in the store; None where they wait in the journal, behind those before them."""
    journal = served.live.journal
    if journal is None:
        return store.events.add(rows)
    try:
        if not journal.size() or (journal.size() <= SHORT and journal.empty(store.events.add)):
            return store.events.add(rows)
    except StoreUnavailable as error:
        if error.full:  # it would fill what is left, and be refused soon
            raise
    journal.write(rows)
    return None


def _row(event: Event) -> dict[str, object]:
    told = event.model_dump()
    told["time"] = moments.now() if event.time is None else moments.to_moment(event.time)
    return told


def _add_items(service: FastAPI, served: Served) -> None:

    @service.post("/v1/items", summary="A new item, or another text of one", responses=PROBLEMS | CHANGED | LATER)
    async def put(sent: ItemRequest, response: Response) -> ChangeResponse:
        store, front = served.store, served.front

        def write() -> ChangeResponse:
            columns, pictures = front.as_it_stands(sent.item)
            columns = {k: v for k, v in columns.items() if k not in sent.columns} | front.columns.read(sent.columns)
            if sent.pictures is not None:
                pictures = served.normalised({f"pictures, {i + 1}": text for i, text in enumerate(sent.pictures)})
            if not columns.get("title") and not pictures:
                raise DataError(
                    "an item needs a title or a picture", where="columns", allowed="columns.title, pictures"
                )
            change, findable, pending = front.put(store, sent.item, columns, pictures)
            return ChangeResponse(item=sent.item, change=change, findable=findable, pending=pending)

        return _changed(await served.predict(write), response)

    @service.get(
        "/v1/items/{item:path}/pictures/{place}",
        summary="A picture of an item",
        response_class=Response,
        responses=PICTURE,
    )
    async def picture(
        item: ItemKey,
        place: Annotated[int, Path(ge=0, le=1000)],
        if_none_match: Annotated[str | None, Header(max_length=10_000, include_in_schema=False)] = None,
    ) -> Response:
        cards = served.front.cards

        def read() -> Response:
            # the version first: of a picture that is replaced meanwhile the old name goes out, and is asked about again
            headers = {**PICTURES, "ETag": f'"{cards.picture_version(item, place)}"'}
            known = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
            if headers["ETag"] in known:
                return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
            return Response(cards.picture(item, place), media_type="image/jpeg", headers=headers)

        return await served.work(read)

    @service.get(
        "/v1/items/{item:path}",
        summary="What is known of an item",
        responses=PROBLEMS,
        response_model_exclude_none=True,
    )
    async def get(item: ItemKey) -> ItemResponse:
        front = served.front

        def read() -> ItemResponse:
            card = dict(front.cards.full(item))
            pictures = card.pop("pictures")
            return ItemResponse(
                item=card.pop("item"),
                columns={name: _plain(value) for name, value in card.items()},
                pictures=pictures,
                reviews=[dict(one) for one in front.cards.reviews(item)],
                prediction=front.rating_of(item),
            )

        return await served.work(read)

    @service.delete(
        "/v1/items/{item:path}",
        summary="Take an item out of the shop; again, where it was taken out before",
        responses=PROBLEMS | CHANGED | LATER,
    )
    async def remove(item: ItemKey, response: Response) -> ChangeResponse:
        store, front = served.store, served.front

        def write() -> ChangeResponse:
            change, pending = front.remove(store, item)
            return ChangeResponse(item=item, change=change, findable=False, pending=pending)

        return _changed(await served.predict(write), response)


def _changed(done: ChangeResponse, response: Response) -> ChangeResponse:
    """202 where the change is on the disk and waits for the index."""
    response.status_code = HTTPStatus.ACCEPTED if done.pending else HTTPStatus.OK
    return done


def _add_people(service: FastAPI, served: Served) -> None:
    @service.put("/v1/users/{user:path}/consent", summary="What a shopper allows", responses=PROBLEMS | SAID)
    async def consent(user: ItemKey, sent: ConsentRequest) -> ConsentRequest:
        store = served.store
        await served.write(lambda: store.people.allow(user, sent.purpose, sent.given))
        return sent

    @service.get(
        "/v1/users/{user:path}",
        summary="Everything that the store and the promoted parts hold of a shopper",
        responses=PROBLEMS,
    )
    async def show(user: ItemKey) -> dict[str, list[dict[str, object]]]:
        store, parts = served.store, served.front.parts

        def read() -> dict[str, list[dict[str, object]]]:
            _without_journal(served, store)
            return {**store.people.show(user), **promoted(parts, user)}

        return await served.work(read)

    @service.delete(
        "/v1/users/{user:path}",
        summary="Forget a shopper, not what she refused; rows that are gone",
        responses=PROBLEMS,
    )
    async def forget(user: ItemKey) -> dict[str, int]:
        store = served.store

        def delete() -> dict[str, int]:
            _without_journal(served, store)
            return store.people.forget(user)

        return await served.write(delete)


def _without_journal(served: Served, store: Store) -> None:
    """Whoever asks for a shopper's events means those too that wait.

    Raises:
        StoreUnavailable: they still do.
    """
    if served.live.journal is not None and not served.live.journal.empty(store.events.add):
        raise StoreUnavailable("the store does not answer")


def _plain(value: object) -> object:
    """As JSON holds it."""
    return value if isinstance(value, str | int | float | bool | list | dict) or value is None else str(value)
