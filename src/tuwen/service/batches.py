"""Batches whose elements are validated one by one: a bad element is refused by its index.

Analytics send many events at once. Refusing them all for one would lose the good ones, since nobody sends them again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler

from tuwen.service.language import said
from tuwen.service.parsing import BodyRoute
from tuwen.service.problems import as_sent, place_in

Element = TypeVar("Element")
UNEXPECTED = "the request is not what was expected: {0}"


class Refusal:
    """An element that could not be read.

    Attributes:
        errors: of pydantic, with places within the element.
    """

    def __init__(self, error: ValidationError) -> None:
        self.errors = error.errors(include_url=False, include_context=False)


class RefusedElement(BaseModel):
    """Why an element of a batch was not kept."""

    index: int = Field(description="its place in the batch, from 0")
    where: str = Field(description="the place in the body", examples=["body.events.1.item"])
    what: str
    seen: str | None = None


def or_refusal(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Return the element, or a :class:`Refusal` if it is invalid. Use with ``pydantic.WrapValidator``."""
    try:
        return read(value)
    except ValidationError as error:
        return Refusal(error)


def kept_and_refused(
    name: str, elements: Sequence[Element | Refusal], language: Literal["en", "zh"]
) -> tuple[list[Element], list[RefusedElement]]:
    """Return the valid elements of the field ``name``, and a refusal for each other element.

    Raises:
        RequestValidationError: none is good.
    """
    accepted = [element for element in elements if not isinstance(element, Refusal)]
    if not accepted:
        first = next(element for element in elements if isinstance(element, Refusal))
        raise RequestValidationError([{**error, "loc": ("body", name, 0, *error["loc"])} for error in first.errors])
    refused = []
    for index, element in enumerate(elements):
        if isinstance(element, Refusal):
            error = element.errors[0]
            refused.append(
                RefusedElement(
                    index=index,
                    where=place_in(("body", name, index, *error["loc"])),
                    what=said(UNEXPECTED.format(error["msg"].lower()), language),
                    seen=None if isinstance(error.get("input"), dict | list | bytes) else as_sent(error.get("input")),
                )
            )
    return accepted, refused


class BeaconRoute(BodyRoute):
    """A route that also reads JSON which is called text/plain: what ``navigator.sendBeacon`` makes of a string.

    Browsers send such a request to another site without asking it first; which sites may is the guard's to say.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/plain":
                others = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
                headers = [*others, (b"content-type", b"application/json")]
                request = Request({**request.scope, "headers": headers}, request.receive)
            return await handle(request)

        return read
