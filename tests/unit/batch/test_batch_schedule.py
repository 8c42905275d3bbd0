"""The schedule of a project's batches, as its stack holds it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from steward.contracts.incoming import BatchDue
from steward.entrypoint import parse_event
from steward_cli.project_stack import BatchDoorway, batch_schedule, with_resources
from support.batch_scene import batched
from support.linting import findings
from support.serving_scene import PROJECT
from support.templates import load

ROOT = Path(__file__).parents[3]
DOORWAY = BatchDoorway(
    "steward-batch",
    "arn:aws:lambda:eu-west-1:000000000000:function:start-batch",
    "arn:aws:iam::000000000000:role/batch",
    "arn:aws:sqs:eu-west-1:000000000000:failures",
)


@pytest.mark.parametrize("schedule", ["rate(1 day)", "rate(12 hours)", "cron(0 6 ? * MON *)"])
def test_a_project_stack_with_a_schedule_keeps_cloudformation_s_rules(schedule: str) -> None:
    project = batched(schedule=schedule, timezone="Europe/Berlin")
    template = (ROOT / "projects" / "project-stack.yaml").read_text(encoding="utf-8")
    assert findings(with_resources(template, batch_schedule(project, DOORWAY))) == []


def test_what_the_schedule_sends_is_what_the_doorway_reads() -> None:
    resources = batch_schedule(batched(schedule="rate(1 day)"), DOORWAY)
    target = resources["BatchSchedule"]["Properties"]["Target"]
    text = re.sub(r"<aws\.scheduler\.execution-id>", "e-1", target["Input"])
    received = parse_event(json.loads(text))
    assert (received.id, received.detail) == ("e-1", BatchDue(project=PROJECT))
    assert target["DeadLetterConfig"] == {"Arn": DOORWAY.failures_arn}


def test_a_project_without_a_schedule_gets_none() -> None:
    assert batch_schedule(batched(), DOORWAY) == {}


def test_s3_expires_what_bears_the_tag_for_each_value_that_may_be_declared() -> None:
    from typing import get_args

    from steward.domain.batch_declaration import Batch
    from steward.domain.batch_runs import EXPIRY_TAG, UPLOADS_DAYS

    declared = Batch.model_fields["expires_after_days"].annotation
    days = {day for part in get_args(declared) for day in get_args(part)}
    bucket = load(ROOT / "stacks" / "foundation.yaml")["Resources"]["DataBucket"]
    rules = [
        rule
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        if "TagFilters" in rule
    ]
    assert UPLOADS_DAYS in days
    assert {rule["ExpirationInDays"] for rule in rules} == days
    for rule in rules:
        assert "Prefix" not in rule
        assert rule["TagFilters"] == [{"Key": EXPIRY_TAG, "Value": str(rule["ExpirationInDays"])}]
