"""The two content schemas of model cards, with the gaps that AWS's own have.

Written after what AWS publishes, not stricter: ``maxContains`` without ``contains`` binds nothing,
``maxItems`` inside ``items`` neither, and ``.{1,63}`` is searched for and not matched whole.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft7Validator

from steward_local.sagemaker.errors import invalid

Schema = dict[str, Any]


def _text(most: int | None = None) -> Schema:
    return {"type": "string"} if most is None else {"type": "string", "maxLength": most}


def _closed(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": list(required),
    }


def _list(items: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": items, **bounds}


def _named(most: int) -> Schema:
    return {"type": "string", "pattern": f".{{1,{most}}}"}


_NUMBER: Schema = {"type": "number"}
_AXIS = _text(63)
_AXES = _list(_AXIS)
_RISK: Schema = {"enum": ["High", "Medium", "Low", "Unknown"]}


def _metric(kinds: list[str], value: Schema, x_axis: Schema, y_axis: Schema) -> Schema:
    return _closed(
        {
            "name": _named(255), "notes": _text(1024), "type": {"enum": kinds}, "value": value,
            "x_axis_name": x_axis, "y_axis_name": y_axis,
        },
        ("name", "type", "value"),
    )  # fmt: skip


def _metrics(bounds: dict[str, int]) -> Schema:
    simple = {"anyOf": [_NUMBER, _text(63), {"type": "boolean"}]}
    point = _list(_NUMBER, minItems=2, maxItems=2)
    row = _list(_NUMBER, minItems=1, maxItems=20)
    return {
        "anyOf": [
            _metric(["number", "string", "boolean"], simple, _AXIS, _AXIS),
            _metric(["linear_graph"], _list(point, minItems=1, **bounds), _AXIS, _AXIS),
            _metric(["bar_chart"], _list(_NUMBER, minItems=1, **bounds), _AXES, _AXIS),
            _metric(["matrix"], _list(row, minItems=1, maxItems=20), _AXES, _AXES),
        ]
    }


def _evaluation(bounds: dict[str, int]) -> Schema:
    group = {
        "type": "object",
        "required": ["name", "metric_data"],
        "properties": {"name": _named(63), "metric_data": _list(_metrics(bounds))},
    }
    metadata = {"type": "object", "additionalProperties": _text(1024)}
    fields = {
        "name": _named(63), "evaluation_observation": _text(2096),
        "evaluation_job_arn": _text(256), "datasets": _list(_text(1024), maxItems=10),
        "metadata": metadata, "metric_groups": _list(group),
    }  # fmt: skip
    return _list(_closed(fields, ("name",)))


_TRAINING_METRIC = _closed(
    {"name": _named(255), "notes": _text(1024), "value": _NUMBER}, ("name", "value")
)
_PARAMETER = _closed({"name": _named(255), "value": _text()}, ("name",))
_IMAGES = _closed({"container_image": _list(_text(1024))})
_JOB: Schema = {
    "training_arn": _text(1024),
    "training_datasets": _list(_text(1024)),
    "training_environment": _IMAGES,
    "training_metrics": _list(_TRAINING_METRIC),
    "user_provided_training_metrics": _list(_TRAINING_METRIC),
}


def _content(overview: Schema, job: Schema, bounds: dict[str, int], **more: Schema) -> Schema:
    uses = {
        "purpose_of_model": _text(2048), "intended_uses": _text(2048),
        "factors_affecting_model_efficiency": _text(2048), "risk_rating": _RISK,
        "explanations_for_risk_rating": _text(2048),
    }  # fmt: skip
    additional = {
        "ethical_considerations": _text(2048), "caveats_and_recommendations": _text(2048),
        "custom_details": {"type": "object", "additionalProperties": _text(1024)},
    }  # fmt: skip
    training = {
        "objective_function": {}, "training_observations": _text(1024),
        "training_job_details": _closed(job),
    }  # fmt: skip
    return _closed(
        {
            "model_overview": _closed(overview), "intended_uses": _closed(uses),
            "training_details": _closed(training), "evaluation_details": _evaluation(bounds),
            "additional_information": _closed(additional), **more,
        }
    )  # fmt: skip


_OVERVIEW: Schema = {
    "model_description": _text(1024), "model_creator": _text(1024), "model_owner": _text(1024),
    "model_artifact": _list(_text(1024)), "algorithm_type": _text(1024), "problem_type": _text(),
}  # fmt: skip
_BUSINESS = _closed(
    {
        "business_problem": _text(2048), "business_stakeholders": _text(2048),
        "line_of_business": _text(2048),
    }
)  # fmt: skip
PACKAGE = _content(
    _OVERVIEW,
    {
        **_JOB,
        "hyper_parameters": _list(_PARAMETER),
        "user_provided_hyper_parameters": _list(_PARAMETER),
    },
    {},
    business_details=_BUSINESS,
)
CARD = _content(
    {
        **_OVERVIEW, "model_id": _text(1024), "model_name": _text(1024),
        "model_version": {"type": "number", "minimum": 1}, "inference_environment": _IMAGES,
    },
    _JOB,
    {"maxItems": 20},
)  # fmt: skip


def check(content: str, schema: Schema) -> None:
    """Raise a `ValidationException` unless a card's content is JSON that fits its schema."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise invalid(f"Model card content is not valid JSON: {error}") from None
    found = next(Draft7Validator(schema).iter_errors(document), None)
    if found is not None:
        place = "/".join(map(str, found.absolute_path))
        raise invalid(f"Model card content does not fit the schema: #/{place}: {found.message}")
