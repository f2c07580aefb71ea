"""The rows of a request to predict, as JSON or as a form."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from tuwen.data.json_names import RepeatedName, need_single_names
from tuwen.errors import DataError
from tuwen.service.invalid_values import invalid_value
from tuwen.service.limits import Limits
from tuwen.service.messages import PredictRequest
from tuwen.service.parsing import AS_JSON, media_type
from tuwen.service.predictor import Predictor
from tuwen.service.problems import RequestError
from tuwen.service.rows import too_large

EXAMPLE = '{"rows": [{"COLUMN": "VALUE"}]}'


async def sent_rows(request: Request, limits: Limits, predictor: Predictor) -> Callable[[], list[dict[str, Any]]]:
    """What gives the rows of a request as they were sent; it parses for as long as a body is large, so it is called
    beside the event loop.
    """
    kind = media_type(request)
    if kind == "application/json":
        body = await request.body()
        return lambda: _from_json(body, limits)
    if kind == "multipart/form-data":
        row = await _from_form(request, limits, predictor)
        return lambda: [row]
    raise RequestError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "neither JSON nor a form",
        where="Content-Type header",
        seen=kind[:100] or "nothing",
        allowed="application/json, multipart/form-data",
        todo=AS_JSON,
    )


def _from_json(body: bytes, limits: Limits) -> list[dict[str, Any]]:
    try:
        rows = PredictRequest.model_validate_json(body).rows
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        invalid = invalid_value(first, PredictRequest.model_fields, ("body",))
        invalid.allowed = EXAMPLE
        raise invalid from None
    try:
        need_single_names(body, rows, names=1)
    except RepeatedName as error:
        raise DataError(str(error), where="body", todo="leave one of them out") from None
    if len(rows) > limits.rows:
        raise DataError("too many rows in one request", seen=len(rows), allowed=f"up to {limits.rows}")
    return [dict(row) for row in rows]


async def _from_form(request: Request, limits: Limits, predictor: Predictor) -> dict[str, Any]:
    """One row: every field a column, files are pictures, sounds or shapes; a field sent several times is a list."""
    row: dict[str, Any] = {}
    most = len(predictor.inputs) * 8 + 8
    async with request.form(max_files=most, max_fields=most, max_part_size=limits.body_bytes) as form:
        for name in form:
            sent = form.getlist(name)
            values = [await content(value, name, limits) if isinstance(value, UploadFile) else value for value in sent]
            # an empty field of a web form is a column that was not filled in
            row[name] = (values if len(values) > 1 else values[0]) or None
    return row


async def content(file: UploadFile, name: str, limits: Limits) -> bytes:
    if file.size is not None and file.size > limits.picture_bytes:
        raise too_large("file", f"row 1, '{name}'", file.size, limits.picture_bytes)
    return await file.read()
