"""What goes over the wire: requests and answers, with examples for the OpenAPI page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from tuwen.service.language import Language, said
from tuwen.service.predictor import Input, Kind

# a small grey picture, so that the example can be sent as it stands
EXAMPLE_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEUlEQVR42mOcxsDAwMSAQgAAC4YAnntK0aUAAAAASUVORK5CYII="
# eight samples of a tone, and a triangle as OBJ
EXAMPLE_SOUND = "UklGRjQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YRAAAAAAAEAfgD5AHwAAwOCAwcDg"
EXAMPLE_SHAPE = "diAwIDAgMAp2IDEgMCAwCnYgMCAxIDAKZiAxIDIgMwo="
EXAMPLES: dict[str, JsonValue] = {
    "image": EXAMPLE_PICTURE,
    "audio": EXAMPLE_SOUND,
    "shape": EXAMPLE_SHAPE,
    "text": "做工真的很好, it arrived two days early",
    "number": 49.9,
    "category": "Home 家居",
    "date": "2025-06-14",
    "list": ["Comedy", "Drama"],
}
MEDIA_TYPES = {"image": "image/*", "audio": "audio/*", "shape": "model/*"}


def _file(media_type: str) -> dict[str, Any]:
    one = {"type": "string", "contentEncoding": "base64", "contentMediaType": media_type}
    several = {"type": "array", "items": one}
    return {"anyOf": [one, several], "description": "of several the first one that can be read counts"}


SCHEMAS: dict[str, dict[str, Any]] = {
    **{kind: _file(media_type) for kind, media_type in MEDIA_TYPES.items()},
    "text": {"type": "string"},
    "number": {"type": ["number", "string"], "description": "also as collect reads it: ￥12, 1,299.00"},
    "category": {"type": ["string", "number", "boolean"]},
    "date": {"type": ["string", "number"], "description": "ISO 8601, 2025年1月2日, or seconds since 1970"},
    "list": {"type": ["array", "string"], "items": {"type": "string"}},
}


class Strict(BaseModel):
    """A body that names nothing but its fields."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _no_unknown(cls, body: Any) -> Any:
        """Of names that are unknown the first is refused; to refuse 100,000 took a second."""
        unknown = next((n for n in body if n not in cls.model_fields), None) if isinstance(body, dict) else None
        if unknown is not None:
            name = str(unknown).encode(errors="replace").decode()  # half of a character
            raise PydanticCustomError(
                "unknown_field", "there is no such field", {"name": name, "fields": ", ".join(cls.model_fields)}
            )
        return body


class PredictRequest(Strict):
    """Rows to answer. Columns by qualified name, or by their last part where that is unambiguous."""

    rows: list[dict[str, JsonValue]] = Field(min_length=1)


class Prediction(BaseModel):
    """The answer to one row."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"prediction": 4.2}]})
    prediction: float | int | str = Field(description="the rating, 0 or 1, or the name of the class")
    probability: float | None = Field(None, description="of 1, where the task is yes or no")
    probabilities: dict[str, float] | None = Field(None, description="by class, where the task is to classify")
    note: str | None = Field(None, description="how the row is unlike those that the bundle learned from")


class PredictResponse(BaseModel):
    """One prediction a row, in the order of the rows."""

    bundle: str
    predictions: list[Prediction]

    @classmethod
    def of(cls, bundle: str, answers: Sequence[dict[str, Any]], language: Language) -> PredictResponse:
        """The answers of a bundle, their notes in the language of the request."""
        told = [
            answer | {"note": "; ".join(said(note, language) for note in answer["note"].split("; "))}
            if "note" in answer
            else answer
            for answer in answers
        ]
        return cls(bundle=bundle, predictions=[Prediction.model_validate(answer) for answer in told])


class InputColumn(BaseModel):
    """A column that the bundle reads."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"column": "items.images", "kind": "image", "modality": "picture"}]}
    )
    column: str
    kind: Kind
    modality: str


class BundleResponse(BaseModel):
    """What is served."""

    name: str
    tuwen: str = Field(description="the version that made the bundle")
    format: int
    task: str
    target: str | None = Field(None, description="the column that it predicts")
    classes: list[str] | None = None
    range: tuple[float, float] | None = Field(None, description="the ratings seen in training, lowest and highest")
    inputs: list[InputColumn]
    limits: dict[str, int]


class HealthResponse(BaseModel):
    status: str = Field("ok", examples=["ok"])


def describe(manifest: dict[str, Any], inputs: Sequence[Input], limits: dict[str, int]) -> BundleResponse:
    """The public part of a bundle's manifest."""
    target = manifest.get("target", {})
    low, high = target.get("low"), target.get("high")
    return BundleResponse(
        name=manifest["name"],
        tuwen=manifest["tuwen"],
        format=manifest["format"],
        task=manifest["task"],
        target=manifest.get("architecture", {}).get("task", {}).get("options", {}).get("target"),
        classes=target.get("classes"),
        range=None if low is None or high is None else (low, high),
        inputs=[InputColumn(column=i["column"], kind=i["kind"], modality=i["modality"]) for i in inputs],
        limits=limits,
    )


def request_body(inputs: Sequence[Input]) -> dict[str, Any]:
    """The OpenAPI description of ``POST /v1/predict`` for this bundle's own columns, as JSON and as a form."""
    row = {"type": "object", "properties": {i["column"]: SCHEMAS[i["kind"]] for i in inputs}, "minProperties": 1}
    json_schema = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "minItems": 1, "items": row}},
        "additionalProperties": False,
    }
    files = {k: {"type": "string", "contentMediaType": t, "format": "binary"} for k, t in MEDIA_TYPES.items()}
    form = {i["column"]: files.get(i["kind"], SCHEMAS[i["kind"]]) for i in inputs}
    example = {"rows": [{i["column"]: EXAMPLES[i["kind"]] for i in inputs}]}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": json_schema, "example": example},
            "multipart/form-data": {"schema": {"type": "object", "properties": form}},
        },
    }
