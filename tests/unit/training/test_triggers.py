"""What each kind of event asks for."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import MalformedEventError
from steward.entrypoint import parse_event
from steward.service.training.triggers import Ignored, Trigger, trigger_of
from support.training_scene import DATA


def trigger(source: str, kind: str, detail: dict[str, Any]) -> Trigger | Ignored:
    received = parse_event(
        {
            "id": "e1", "source": source, "detail-type": kind, "time": "2026-01-05T09:00:00Z",
            "detail": detail,
        }
    )  # fmt: skip
    return trigger_of(received, data_bucket=DATA)


def created(key: str, bucket: str = DATA) -> Trigger | Ignored:
    stored = {"key": key, "size": 9, "version-id": "v1", "sequencer": "0"}
    detail = {"bucket": {"name": bucket}, "object": stored, "requester": "000000000000"}
    return trigger("aws.s3", "Object Created", detail)


def test_an_object_below_deliveries_is_a_delivery_of_its_project() -> None:
    found = created("deliveries/heart-1/2026/first file.csv")
    assert isinstance(found, Trigger)
    assert (found.kind, found.project, found.actor) == ("delivery", "heart-1", "000000000000")
    assert found.delivery is not None
    assert found.delivery.version_id == "v1"


@pytest.mark.parametrize(
    ("key", "bucket"),
    [
        ("quarantine/heart/1.csv", DATA),
        ("deliveries/1.csv", DATA),
        ("deliveries/Heart/1.csv", DATA),
        ("deliveries/heart/", DATA),
        ("deliveries/heart/day/", DATA),
        ("deliveries/heart/1.csv", "another-bucket"),
    ],
)
def test_other_objects_are_ignored_with_a_reason(key: str, bucket: str) -> None:
    found = created(key, bucket)
    assert isinstance(found, Ignored)
    assert found.reason


def test_a_request_carries_its_actor_and_reason() -> None:
    meta = {
        "schema_version": "1", "correlation_id": "c", "causation_id": "c", "project": "heart",
        "actor": "000000000000/tess",
    }  # fmt: skip
    found = trigger(
        "steward.training", "TrainingRequested", {"meta": meta, "data": {"reason": "new season"}}
    )
    assert found == Trigger("request", "heart", "e1", "000000000000/tess", "new season")


def test_a_schedule_names_its_project_or_is_refused() -> None:
    found = trigger("aws.events", "Scheduled Event", {"project": "heart"})
    assert isinstance(found, Trigger)
    assert (found.kind, found.project) == ("schedule", "heart")
    with pytest.raises(MalformedEventError):
        trigger("aws.events", "Scheduled Event", {})


@pytest.mark.parametrize("kind", ["drift", "performance", "bias", "schedule"])
def test_retraining_by_monitoring_says_what_for_and_names_its_attempt(kind: str) -> None:
    meta = {
        "schema_version": "1", "correlation_id": "c", "causation_id": "c", "project": "heart",
        "actor": "steward",
    }  # fmt: skip
    data = {"kind": kind, "cause": "drift of version 2", "attempt": "retrain-4", "reason": "r"}
    found = trigger("steward.monitoring", "RetrainingRequested", {"meta": meta, "data": data})
    assert found == Trigger(
        kind,  # type: ignore[arg-type]
        "heart", "e1", "steward", "drift of version 2", attempt="retrain-4",
    )  # fmt: skip


def test_retraining_of_another_kind_is_refused() -> None:
    meta = {
        "schema_version": "1", "correlation_id": "c", "causation_id": "c", "project": "heart",
        "actor": "steward",
    }  # fmt: skip
    data = {"kind": "whim", "cause": "c", "attempt": "a", "reason": "r"}
    with pytest.raises(MalformedEventError, match="whim"):
        trigger("steward.monitoring", "RetrainingRequested", {"meta": meta, "data": data})
