"""Recommend, similar, goes-with, search, predict, explain, embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from starlette.datastructures import UploadFile

from tuwen.apps.search import Question
from tuwen.apps.storefront.answer import Answer
from tuwen.apps.storefront.storefront import Storefront
from tuwen.errors import DataError
from tuwen.service.invalid_values import as_sent
from tuwen.service.language import asked_for
from tuwen.service.limits import MOST_CONDITIONS
from tuwen.service.links import LISTED
from tuwen.service.messages import PredictResponse
from tuwen.service.parsing import AS_FORM, media_type
from tuwen.service.predictor import Predictor
from tuwen.service.problems import RequestError
from tuwen.service.reading import content, sent_rows
from tuwen.service.rows import to_rows
from tuwen.service.served import PROBLEMS, Served
from tuwen.service.shop_messages import (
    FUSE,
    Count,
    EmbedRequest,
    EmbedResponse,
    ExplainRequest,
    ExplainResponse,
    Fuse,
    GoesWithRequest,
    Key,
    ListResponse,
    RecommendRequest,
    SearchRequest,
    SearchResponse,
)

PHOTO_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {
                    "photo": {"type": "string", "contentMediaType": "image/*", "format": "binary"},
                    "words": {"type": "string"},
                    "size": {"type": "string", "description": "hits, 1 to 200; default: 20"},
                },
            }
        }
    },
}


def add_answers(service: FastAPI, served: Served) -> None:
    _add_lists(service, served)
    _add_search(service, served)
    _add_predictions(service, served)


def _add_lists(service: FastAPI, served: Served) -> None:
    options = {"responses": PROBLEMS, "response_model_exclude_none": True}

    @service.post(
        "/v1/recommend",
        summary="Items for a shopper, or for who just clicked",
        response_model=ListResponse,
        responses=PROBLEMS | LISTED,
    )
    async def recommend(asked: RecommendRequest) -> Response:
        front = served.front
        known = front.remembered(asked.user, asked.clicked, asked.count, asked.about)
        if known is None:
            known = await served.work(lambda: _made(front, asked))
        return Response(known.json(), media_type="application/json")

    @service.get("/v1/similar", summary="Items that look or read like one", **options)  # type: ignore[arg-type]
    async def similar(item: Key, count: Count = 20, by: Literal["picture", "text"] | None = None) -> ListResponse:
        front = served.front
        return _listed(await served.work(lambda: front.similar(item, count, by)))

    @service.post("/v1/goes-with", summary="What is bought beside items", **options)  # type: ignore[arg-type]
    async def goes_with(asked: GoesWithRequest) -> ListResponse:
        front = served.front
        return _listed(await served.work(lambda: front.goes_with(asked.items, asked.count)))


def _listed(answer: Answer) -> ListResponse:
    return ListResponse(items=answer.items, revision=answer.revision, arm=answer.arm)


def _made(front: Storefront, asked: RecommendRequest) -> Answer:
    """Written in the thread that made it. It goes out as it stands (a test holds it against :class:`ListResponse`): to
    check every card first took as long as the trees do.
    """
    answer = front.recommend(asked.user, asked.clicked, asked.count, asked.about)
    answer.json()
    return answer


def _add_search(service: FastAPI, served: Served) -> None:
    async def answered(question: Callable[[], Question], *, picture: bool = False) -> SearchResponse:
        front, lane = served.front, served.predict if picture else served.work
        return await lane(lambda: SearchResponse.model_validate(front.search(question())))

    @service.get("/v1/search", summary="The search box", responses=PROBLEMS)
    async def search(
        words: Annotated[str, Query(max_length=20_000, examples=["茶壶 teapot"])] = "",
        where: Annotated[list[str] | None, Query(max_length=MOST_CONDITIONS)] = None,
        sort: Annotated[str, Query(max_length=100)] = "relevance",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        size: Annotated[int, Query(ge=1, le=200)] = 20,
        like: Key | None = None,
        fuse: Annotated[Fuse | None, Query(description=FUSE)] = None,
    ) -> SearchResponse:
        served.need_conditions(where or ())
        return await answered(
            lambda: Question(words, None, like, where or (), sort, page, size, fuse=fuse, limits=served.filter_limits)
        )

    @service.post("/v1/search", summary="Words, a photo, or both", responses=PROBLEMS)
    async def search_more(asked: SearchRequest) -> SearchResponse:
        def question() -> Question:
            photo = None if asked.picture is None else served.normalised({"picture": asked.picture})[0]
            return Question(**{**asked.model_dump(), "picture": photo, "limits": served.filter_limits})

        served.need_conditions(asked.where)
        return await answered(question, picture=asked.picture is not None)

    @service.post(
        "/v1/search/photo",
        summary="A photo as a file of a form, with words beside it",
        responses=PROBLEMS,
        openapi_extra={"requestBody": PHOTO_FORM},
    )
    async def search_photo(request: Request) -> SearchResponse:
        if media_type(request) != "multipart/form-data":
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "a photo comes in a form",
                where="Content-Type header",
                seen=media_type(request)[:100] or "nothing",
                allowed="multipart/form-data",
                todo=AS_FORM,
            )
        async with request.form(max_files=2, max_fields=8, max_part_size=served.limits.body_bytes) as form:
            photo, words = form.get("photo"), form.get("words")
            data = await content(photo, "photo", served.limits) if isinstance(photo, UploadFile) else b""
            if not data:
                raise DataError("there is no photo in the form", where="photo", allowed="a file named 'photo'")
        text, size = words if isinstance(words, str) else None, hits_asked(form.get("size"))
        return await answered(lambda: Question(text, served.shrunk(data), size=size), picture=True)


def hits_asked(sent: object) -> int:
    """How many hits a form asks for; 20 where it does not say.

    Raises:
        DataError: that is no number of hits.
    """
    text = sent.strip() if isinstance(sent, str) else ""
    if not text:
        return 20
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 200):
        raise DataError("there is no such number of hits", where="size", seen=as_sent(text), allowed="1 to 200")
    return int(text)


def _inputs(predictor: Predictor) -> Sequence[Any]:
    return predictor.inputs


def _add_predictions(service: FastAPI, served: Served) -> None:
    options = {"responses": PROBLEMS, "response_model_exclude_none": True}

    @service.post("/v1/predict", summary="Answer rows: JSON, or one row as a form", **options)  # type: ignore[arg-type]
    async def predict(request: Request) -> PredictResponse:
        predictor = served.front.parts.need_predictor()
        raw = await sent_rows(request, served.limits, predictor)

        def predicted() -> list[dict[str, Any]]:
            return predictor.predict(to_rows(raw(), _inputs(predictor), served.limits.picture_bytes))

        answers = await served.predict(predicted)
        return PredictResponse.of(predictor.manifest["name"], answers, asked_for(request.headers))

    @service.post("/v1/explain", summary="A prediction, and what it would be without each input", **options)  # type: ignore[arg-type]
    async def explain(asked: ExplainRequest) -> ExplainResponse:
        front = served.front
        inputs = _inputs(front.parts.need_predictor())

        def explained() -> dict[str, Any]:
            (row,) = to_rows([asked.row], inputs, served.limits.picture_bytes)
            return front.explain(row)

        return ExplainResponse.model_validate(await served.predict(explained))

    @service.post("/v1/embed", summary="Vectors of words and of a photo", responses=PROBLEMS)
    async def embed(asked: EmbedRequest) -> EmbedResponse:
        if not asked.text and not asked.picture:
            raise DataError("there is nothing to embed", allowed="text, picture, or both")
        encoders = served.front.parts.need_searcher().matcher.encoders

        def vectors() -> dict[str, list[float]]:
            photo = served.picture(asked.picture, "picture")
            found: dict[str, list[float]] = {}
            for space, encoder in encoders.items():
                asked_of = [encoder.of_text(asked.text)] if asked.text else []
                asked_of += [encoder.of_picture(photo)] if photo is not None else []
                there = [one for one in asked_of if one is not None]
                if there:
                    mean = np.mean(there, axis=0)
                    found[space] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(float).tolist()
            return found

        return EmbedResponse(spaces=await served.predict(vectors))
