"""What ``batch`` may say: errors name field, value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.batch_declaration import BatchChecks, score_range
from steward.domain.errors import InvalidProjectError
from steward.domain.project import parse_project
from support.training_scene import declaration


@pytest.mark.parametrize(
    "batch",
    [
        {"input": {"source": "data"}, "on_delivery": True},
        {"input": {"prefix": "daily/wards"}, "schedule": "rate(1 day)"},
        {"input": {"prefix": "d"}, "schedule": "cron(0 6 * * ? *)", "timezone": "Europe/Berlin"},
        {"input": {"source": "data"}, "checks": {"min_score": -3.0, "max_score": 4.0}},
    ],
)
def test_a_section_that_can_be_done_is_valid(batch: dict[str, Any]) -> None:
    assert parse_project(declaration(batch=batch)).batch is not None


@pytest.mark.parametrize(
    ("batch", "field", "value"),
    [
        ({}, "batch.input", ""),
        ({"input": {}}, "batch.input.source", "None"),
        ({"input": {"source": "data", "prefix": "x"}}, "batch.input.source", "'data'"),
        ({"input": {"source": "labs"}}, "batch.input.source", "'labs'"),
        ({"input": {"prefix": "../x"}}, "batch.input.prefix", "'../x'"),
        ({"input": {"prefix": "x/"}}, "batch.input.prefix", "'x/'"),
        ({"input": {"prefix": "x"}, "schedule": "daily"}, "batch.schedule", "'daily'"),
        ({"input": {"prefix": "x"}, "schedule": "rate(1 days)"}, "batch.schedule",
         "'rate(1 days)'"),
        ({"input": {"prefix": "x"}, "on_delivery": True}, "batch.on_delivery", "True"),
        ({"input": {"prefix": "x"}, "instance_type": "ml.z9.huge"}, "batch.instance_type",
         "'ml.z9.huge'"),
        ({"input": {"prefix": "x"}, "instance_count": 0}, "batch.instance_count", "0"),
        ({"input": {"prefix": "x"}, "expires_after_days": 3}, "batch.expires_after_days", "3"),
        ({"input": {"prefix": "x"}, "checks": {"max_refused_share": 1.0}},
         "batch.checks.max_refused_share", "1.0"),
        ({"input": {"prefix": "x"}, "checks": {"min_score": 1.0, "max_score": 0.5}},
         "batch.checks.min_score", "1.0"),
        ({"input": {"prefix": "x"}, "outptu": "y"}, "batch.outptu", "'y'"),
    ],
)  # fmt: skip
def test_a_value_at_fault_is_named_with_what_is_allowed(
    batch: dict[str, Any], field: str, value: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        parse_project(declaration(batch=batch))
    assert (refused.value.field, refused.value.value) == (field, value)
    assert refused.value.allowed


def test_probabilities_stay_probabilities_whatever_is_declared() -> None:
    assert score_range(BatchChecks(max_score=7.0), "binary") == (0.0, 1.0)
    assert score_range(BatchChecks(min_score=0.2), "binary") == (0.2, 1.0)
    assert score_range(BatchChecks(max_score=7.0), "regression") == (None, 7.0)
