"""Batches whose elements are validated one by one: a bad element is refused by its index.

Analytics send many events at once. Refusing them all for one would lose the good ones, since nobody sends them again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler

from tuwen.service.invalid_values import Fields, invalid_value
from tuwen.service.language import said
from tuwen.service.parsing import BodyRoute, media_type

Element = TypeVar("Element")


class Refusal:
    """An element that could not be read.

    Attributes:
        errors: of pydantic, with places within the element.
    """

    def __init__(self, error: ValidationError) -> None:
        self.errors = error.errors(include_url=False)


class RefusedElement(BaseModel):
    """Why an element of a batch was not kept."""

    index: int = Field(description="its place in the batch, from 0")
    where: str = Field(description="the place in the body", examples=["body.events.1.item"])
    what: str
    seen: str | None = None
    allowed: str | None = None


def or_refusal(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Return the element, or a :class:`Refusal` if it is invalid. Use with ``pydantic.WrapValidator``."""
    try:
        return read(value)
    except ValidationError as error:
        return Refusal(error)


def kept_and_refused(
    name: str, elements: Sequence[Element | Refusal], language: Literal["en", "zh"], fields: Fields | None = None
) -> tuple[list[Element], list[RefusedElement]]:
    """Return the valid elements of the field ``name``, and a refusal for each other element.

    Args:
        fields: of an element.

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
            error = invalid_value(element.errors[0], fields or {}, ("body", name, index)).fields()
            words = {field: said(error[field], language) for field in ("what", "seen", "allowed") if field in error}
            refused.append(RefusedElement(index=index, where=error["where"], **words))
    return accepted, refused


class BeaconRoute(BodyRoute):
    """A route that also reads JSON which is called text/plain: what ``navigator.sendBeacon`` makes of a string.

    Browsers send such a request to another site without asking it first; which sites may is the guard's to say.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            if media_type(request) == "text/plain":
                others = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
                headers = [*others, (b"content-type", b"application/json")]
                request = Request({**request.scope, "headers": headers}, request.receive)
            return await handle(request)

        return read
