"""The outbox: each event reaches the bus, what failed is delivered again and nothing is lost."""

import json
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.items import encode_item
from steward.contracts.events import OutcomesRecorded, VersionApproved
from steward.domain.errors import AccessDeniedError, RejectedError, ThrottledError
from steward.ports import Put, Table
from steward.service.foundation.outbox import publish_outbox
from support.builders import event_of
from support.doorways import load
from support.fakes import FakeBus, FakeFailureQueue
from support.lambda_context import LambdaContext
from support.stores import dynamo_store, outbox_items


def inserted(item: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the record of a table's stream that Lambda delivers for a new item."""
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1767603600.0,
            "Keys": {"event_id": item["event_id"]},
            "NewImage": item,
            "SequenceNumber": str(100 + number),
            "SizeBytes": 500,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/outbox/stream/2026",
    }


def outbox_item(detail_type: str = "OutcomesRecorded", detail: str = '{"n": 1}') -> dict[str, Any]:
    return encode_item(
        {"event_id": "e", "source": "steward.serving", "detail_type": detail_type,
         "detail": detail, "time": "2026-01-05T09:00:00.123+00:00", "expires_at": 1768208400}
    )  # fmt: skip


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def failures() -> FakeFailureQueue:
    return FakeFailureQueue()


def test_what_was_committed_arrives_as_the_event_it_was(
    aws: Clients, bus: FakeBus, failures: FakeFailureQueue
) -> None:
    events = [
        event_of(VersionApproved(version=2, evidence_digest="ab", approvers=["anna"])),
        event_of(OutcomesRecorded(count=1, uri="s3://b/ü")),
    ]
    store = dynamo_store(aws)
    store.commit([Put(Table.LOCKS, {"lock": "l"})], events)
    records = [inserted(dict(item), i) for i, item in enumerate(outbox_items(aws))]

    assert publish_outbox(records, bus=bus, failures=failures) == []

    found = {(e.source, e.detail_type, e.detail, e.time) for e in bus.entries}
    assert found == {(e.source, e.detail_type, e.detail_json(), e.time) for e in events}
    assert failures.refused == []


def test_expiry_and_changes_of_the_outbox_are_no_events(
    bus: FakeBus, failures: FakeFailureQueue
) -> None:
    record = inserted(outbox_item(), 1)
    old = record["dynamodb"].pop("NewImage")
    removed = {**record, "eventName": "REMOVE", "dynamodb": {**record["dynamodb"], "OldImage": old}}
    modified = {**inserted(outbox_item(), 2), "eventName": "MODIFY"}

    assert publish_outbox([removed, modified], bus=bus, failures=failures) == []

    assert bus.entries == []
    assert failures.refused == []


def test_from_the_first_failure_on_everything_is_tried_again(
    bus: FakeBus, failures: FakeFailureQueue
) -> None:
    bus.failing = {"C": ThrottledError("slow down")}
    records = [inserted(outbox_item(name), i) for i, name in enumerate("ABCDE")]

    assert publish_outbox(records, bus=bus, failures=failures) == ["102", "103", "104"]
    assert [entry.detail_type for entry in bus.entries] == ["A", "B"]

    assert publish_outbox(records[2:], bus=bus, failures=failures) == []
    assert [entry.detail_type for entry in bus.entries] == ["A", "B", "C", "D", "E"]


def test_what_the_bus_never_takes_is_put_aside_and_the_rest_goes_on(
    bus: FakeBus, failures: FakeFailureQueue
) -> None:
    bus.failing = {"B": RejectedError("MalformedDetail", value="MalformedDetail")}
    records = [inserted(outbox_item(name), i) for i, name in enumerate("ABC")]

    assert publish_outbox(records, bus=bus, failures=failures) == []

    assert [entry.detail_type for entry in bus.entries] == ["A", "C"]
    (refused,) = failures.refused
    assert refused.payload == records[1]
    assert refused.reason["value"] == "MalformedDetail"


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "dynamodb.NewImage.source"),
        ({**outbox_item(), "detail": {"N": "1"}}, "dynamodb.NewImage.detail.S"),
        ({**outbox_item(), "source": {"S": ""}}, "dynamodb.NewImage.source.S"),
    ],
)
def test_a_record_that_is_no_outbox_item_is_put_aside(
    bus: FakeBus, failures: FakeFailureQueue, item: dict[str, Any], field: str
) -> None:
    records = [inserted({"event_id": {"S": "e"}, **item}, 1), inserted(outbox_item(), 2)]

    assert publish_outbox(records, bus=bus, failures=failures) == []

    assert len(bus.entries) == 1
    (refused,) = failures.refused
    assert refused.reason["field"] == field


def test_a_bus_that_refuses_the_role_fails_the_batch(
    bus: FakeBus, failures: FakeFailureQueue
) -> None:
    bus.failing = {"A": AccessDeniedError("no")}

    with pytest.raises(AccessDeniedError):
        publish_outbox([inserted(outbox_item("A"), 1)], bus=bus, failures=failures)

    assert failures.refused == []


class _App:
    def __init__(self, bus: FakeBus, failure_queue: FakeFailureQueue) -> None:
        self.bus, self.failure_queue = bus, failure_queue


def test_the_function_answers_with_the_records_to_deliver_again(
    bus: FakeBus, failures: FakeFailureQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = load("publish_outbox", _App(bus, failures), monkeypatch)
    bus.failing = {"B": ThrottledError("slow down")}
    batch = {"Records": [inserted(outbox_item(name), i) for i, name in enumerate("AB")]}

    assert handler(batch, LambdaContext()) == {"batchItemFailures": [{"itemIdentifier": "101"}]}
    assert handler(batch, LambdaContext()) == {"batchItemFailures": []}
    assert json.loads(bus.entries[0].detail) == {"n": 1}
