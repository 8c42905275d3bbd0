"""The limits of SageMaker's two card schemas, as one checker that keeps them to the letter.

AWS publishes both as JSON Schema, and both are laxer than they look: ``maxContains`` without
``contains`` and ``maxItems`` inside ``items`` bind nothing, ``.{1,63}`` is not anchored, a metric
of type ``number`` may hold a string, and the objective function is not looked at. Here each of
these limits is kept as it was meant.

Sources: package card, ``model_card_schema.json`` in
https://github.com/aws/sagemaker-python-sdk (sagemaker-core); ``CreateModelCard``,
https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html#model-cards-json-schema
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from steward.domain.errors import CardInvalidError

SchemaName = Literal["package", "card"]
MAX_CONTENT = 100_000
"""Characters of a card's content: ``ModelCardContent`` of the service model."""


@dataclass(frozen=True)
class Violation:
    """A value that a schema does not allow."""

    field: str
    value: object
    allowed: str


Check = Callable[[Any, str], Iterator[Violation]]


def _text(most: int, least: int = 0) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if not isinstance(value, str) or not least <= len(value) <= most:
            yield Violation(at, value, f"a text of {least} to {most} characters")
        elif any(ord(c) < 32 and c not in "\n\t" for c in value):
            yield Violation(at, value, "a text without control characters")

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if value not in allowed:
            yield Violation(at, value, ", ".join(allowed))

    return check


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


def _number(least: float = -math.inf) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if not _is_number(value) or value < least:
            bound = "" if least == -math.inf else f" of at least {least:g}"
            yield Violation(at, value, f"a finite number{bound}")

    return check


def _many(item: Check, most: int, least: int = 0) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            size = len(value) if isinstance(value, list) else value
            yield Violation(at, size, f"a list of {least} to {most} entries")
            return
        for place, part in enumerate(value):
            yield from item(part, f"{at}[{place}]")

    return check


def _table(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if not isinstance(value, dict):
            yield Violation(at, value, "an object")
            return
        for name in required:
            if name not in value:
                yield Violation(f"{at}.{name}", None, "it must be there")
        for name, part in value.items():
            known = fields.get(name)
            if known is None:
                yield Violation(f"{at}.{name}", part, f"one of {', '.join(fields)}")
            else:
                yield from known(part, f"{at}.{name}")

    return check


def _map(value_check: Check, most_name: int = 255) -> Check:
    def check(value: Any, at: str) -> Iterator[Violation]:
        if not isinstance(value, dict):
            yield Violation(at, value, "an object")
            return
        for name, part in value.items():
            yield from _text(most_name, 1)(name, f"{at}.{name[:40]}")
            yield from value_check(part, f"{at}.{name[:40]}")

    return check


_AXIS = _text(63)
_NAME = _text(255, 1)
_POINTS = 20
_VALUES: dict[str, Check] = {
    "number": _number(),
    "string": _text(63),
    "linear_graph": _many(_many(_number(), 2, 2), _POINTS, 1),
    "bar_chart": _many(_number(), _POINTS, 1),
    "matrix": _many(_many(_number(), _POINTS, 1), _POINTS, 1),
}


def _boolean(value: Any, at: str) -> Iterator[Violation]:
    if not isinstance(value, bool):
        yield Violation(at, value, "true or false")


_VALUES["boolean"] = _boolean
_LIST_AXES = {"bar_chart": ("x_axis_name",), "matrix": ("x_axis_name", "y_axis_name")}


def _metric(value: Any, at: str) -> Iterator[Violation]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in _VALUES:
        yield Violation(f"{at}.type", kind, ", ".join(sorted(_VALUES)))
        return
    fields: dict[str, Check] = {
        "name": _NAME,
        "notes": _text(1024),
        "type": _one_of(kind),
        "value": _VALUES[kind],
    }
    for axis in ("x_axis_name", "y_axis_name"):
        fields[axis] = _many(_AXIS, _POINTS) if axis in _LIST_AXES.get(kind, ()) else _AXIS
    yield from _table(fields, ("name", "type", "value"))(value, at)
    labels = value.get("x_axis_name")
    bars = value.get("value")
    if kind != "bar_chart" or not isinstance(labels, list) or not isinstance(bars, list):
        return
    if len(labels) != len(bars):
        yield Violation(f"{at}.x_axis_name", len(labels), f"{len(bars)} names")


_GROUP = _table({"name": _text(63, 1), "metric_data": _many(_metric, 50)}, ("name", "metric_data"))
_DETAIL = _table(
    {
        "name": _text(63, 1),
        "evaluation_observation": _text(2096),
        "evaluation_job_arn": _text(256),
        "datasets": _many(_text(1024), 10),
        "metadata": _map(_text(1024)),
        "metric_groups": _many(_GROUP, 20),
    },
    ("name",),
)
_LONG = _text(2048)
_TRAINING_METRICS = _many(
    _table({"name": _NAME, "notes": _text(1024), "value": _number()}, ("name", "value")), 50
)
_PARAMETERS = _many(_table({"name": _NAME, "value": _text(255)}, ("name",)), 100)
_JOB: dict[str, Check] = {
    "training_arn": _text(1024),
    "training_datasets": _many(_text(1024), 15),
    "training_environment": _table({"container_image": _many(_text(1024), 15)}),
    "training_metrics": _TRAINING_METRICS,
    "user_provided_training_metrics": _TRAINING_METRICS,
}
_OBJECTIVE = _table(
    {
        "function": _table(
            {
                "function": _one_of("Maximize", "Minimize"),
                "facet": _text(63),
                "condition": _text(63),
            }
        ),
        "notes": _text(1024),
    }
)


def _shape(overview: dict[str, Check], job: dict[str, Check], **more: Check) -> Check:
    return _table(
        {
            "model_overview": _table(overview),
            "intended_uses": _table(
                {
                    "purpose_of_model": _LONG,
                    "intended_uses": _LONG,
                    "factors_affecting_model_efficiency": _LONG,
                    "risk_rating": _one_of("High", "Medium", "Low", "Unknown"),
                    "explanations_for_risk_rating": _LONG,
                }
            ),
            "training_details": _table(
                {
                    "objective_function": _OBJECTIVE,
                    "training_observations": _text(1024),
                    "training_job_details": _table(job),
                }
            ),
            "evaluation_details": _many(_DETAIL, 20),
            "additional_information": _table(
                {
                    "ethical_considerations": _LONG,
                    "caveats_and_recommendations": _LONG,
                    "custom_details": _map(_text(1024)),
                }
            ),
            **more,
        }
    )


# UpdateModelPackage says that the overview of a package's card has these two alone.
_PACKAGE = _shape(
    {"model_creator": _text(1024), "model_artifact": _many(_text(1024), 15)},
    {**_JOB, "hyper_parameters": _PARAMETERS, "user_provided_hyper_parameters": _PARAMETERS},
    business_details=_table(
        {"business_problem": _LONG, "business_stakeholders": _LONG, "line_of_business": _LONG}
    ),
)
_CARD = _shape(
    {
        "model_description": _text(1024),
        "model_owner": _text(1024),
        "model_creator": _text(1024),
        "problem_type": _text(1024),
        "algorithm_type": _text(1024),
        "model_id": _text(1024),
        "model_artifact": _many(_text(1024), 15),
        "model_name": _text(1024),
        "model_version": _number(1),
        "inference_environment": _table({"container_image": _many(_text(1024), 15)}),
    },
    _JOB,
)
_SHAPES: dict[SchemaName, Check] = {"package": _PACKAGE, "card": _CARD}


def violations(schema: SchemaName, content: object) -> list[Violation]:
    """Return everything in a card's content that its schema does not allow."""
    return list(_SHAPES[schema](content, "content"))


def check_content(schema: SchemaName, content: object) -> None:
    """Raise unless a card's content keeps every limit of its schema.

    Raises:
        CardInvalidError: It does not; ``field`` is the first place at fault.
    """
    found = violations(schema, content)
    if found:
        first = found[0]
        told = "; ".join(f"{v.field} must be {v.allowed}" for v in found[:5])
        raise CardInvalidError(
            f"no {schema} card: {told}", field=first.field, value=repr(first.value)[:200],
            allowed=first.allowed,
        )  # fmt: skip


def check_size(text: str) -> str:
    """Return a card's content as text, if SageMaker takes so much.

    Raises:
        CardInvalidError: It is too long.
    """
    if len(text) > MAX_CONTENT:
        raise CardInvalidError(
            f"the card has {len(text)} characters", field="content", value=len(text),
            allowed=f"at most {MAX_CONTENT} characters",
        )  # fmt: skip
    return text
