"""Asking an endpoint the recorded examples of its dataset."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.errors import EvidenceIncompleteError
from steward.ports import Item, ObjectStore

ContentType = Literal["application/json", "text/csv"]


class Expectation(BaseModel):
    """What an answer must be."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    status: int
    predictions: int = 0
    field: str = ""
    task: Literal["binary", "regression"] = "binary"


class ExampleCase(BaseModel):
    """One recorded request."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    name: str
    kind: Literal["valid", "bad_input"]
    content_type: ContentType
    body: dict[str, Any] | str
    expect: Expectation

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


def recorded_cases(version: Item, objects: ObjectStore) -> list[ExampleCase]:
    """Return the cases that ``build_dataset`` recorded beside the manifest of a version.

    Raises:
        EvidenceIncompleteError: There are none, or nothing valid is among them.
    """
    manifest = str(version.get("manifest_uri", ""))
    uri = f"{manifest.rsplit('/', 1)[0]}/examples.json"
    recorded = json.loads(objects.read(uri))
    cases = [ExampleCase.model_validate(case) for case in recorded["cases"]]
    if not any(case.kind == "valid" for case in cases):
        raise EvidenceIncompleteError(
            f"{uri} holds no valid example", field="cases", value=0, allowed="at least one"
        )
    return cases


def answered_numbers(
    body: bytes, content_type: ContentType, task: Literal["binary", "regression"] = "binary"
) -> list[float]:
    """Return the probabilities of an answer, or the values of a regression.

    Raises:
        ValueError: The answer does not have the schema, or a value is no probability, or no
            finite number.
    """
    binary = task == "binary"
    if content_type == "text/csv":
        values = [float(line.split(",")[0]) for line in body.decode().split()]
    else:
        answer = json.loads(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("predictions"), list):
            raise ValueError("the answer has no list 'predictions'")
        read = _probability if binary else _value
        values = [read(prediction) for prediction in answer["predictions"]]
    for value in values:
        if not math.isfinite(value) or (binary and not 0 <= value <= 1):
            raise ValueError(f"{value!r} is no {'probability' if binary else 'finite number'}")
    return values


def _probability(prediction: object) -> float:
    if not isinstance(prediction, dict) or "label" not in prediction:
        raise ValueError("a prediction has no 'label'")
    return _number(prediction, "probability")


def _value(prediction: object) -> float:
    if not isinstance(prediction, dict) or "value" not in prediction:
        raise ValueError("a prediction has no 'value'")
    return _number(prediction, "value")


def _number(prediction: dict[str, Any], name: str) -> float:
    value = prediction.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} {value!r} is no number")
    return float(value)
