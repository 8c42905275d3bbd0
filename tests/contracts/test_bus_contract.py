"""The bus's contract, kept by EventBridge's adapter and by the fake."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from steward.adapters.bus import EventBridgeBus
from steward.adapters.clients import Clients
from steward.contracts.events import OutcomesRecorded, VersionApproved
from steward.domain.errors import RejectedError
from steward.ports import Entry, EventBus
from support.builders import event_of
from support.fakes import FakeBus
from support.isolation import messages, queue

pytestmark = pytest.mark.usefixtures("isolated")


@dataclass
class Subject:
    """A bus, and what has arrived on it."""

    bus: EventBus
    arrived: Callable[[], list[dict[str, Any]]]


def listening_queue(clients: Clients, bus: str) -> str:
    """Create a bus whose events all go to a queue; return the queue's URL."""
    url = queue(clients)
    arn = clients.get("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    events = clients.get("events")
    events.create_event_bus(Name=bus)
    pattern = json.dumps({"source": [{"prefix": "steward."}]})
    events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
    target = {"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}
    events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
    return url


def drained(clients: Clients, url: str) -> list[dict[str, Any]]:
    """Return all events that lie in the queue."""
    found: list[dict[str, Any]] = []
    while bodies := messages(clients, url):
        found += map(json.loads, bodies)
    return found


@pytest.fixture(params=["fake", "eventbridge"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeBus()
        return Subject(
            fake,
            lambda: [
                {"source": e.source, "detail-type": e.detail_type, "detail": json.loads(e.detail)}
                for e in fake.entries
            ],
        )
    clients: Clients = request.getfixturevalue("aws")
    url = listening_queue(clients, "steward")
    bus = EventBridgeBus(clients.get("events"), "steward", sleep=lambda _: None)
    return Subject(bus, lambda: drained(clients, url))


def test_an_event_arrives_with_its_source_type_and_detail(subject: Subject) -> None:
    event = event_of(VersionApproved(version=2, evidence_digest="ab", approvers=["anna"]))

    subject.bus.publish([event])

    (found,) = subject.arrived()
    assert (found["source"], found["detail-type"]) == ("steward.registry", "VersionApproved")
    assert found["detail"] == event.detail()


def test_more_events_than_one_request_takes_all_arrive(subject: Subject) -> None:
    events = [event_of(OutcomesRecorded(count=i, uri="s3://b/k")) for i in range(25)]

    subject.bus.publish(events)

    arrived = subject.arrived()
    assert sorted(event["detail"]["data"]["count"] for event in arrived) == list(range(25))


def test_large_events_are_spread_over_requests(subject: Subject) -> None:
    events = [event_of(OutcomesRecorded(count=i, uri="s" * 60_000)) for i in range(6)]

    subject.bus.publish(events)

    assert len(subject.arrived()) == 6


def test_an_event_above_64_kb_is_refused_before_any_is_sent(subject: Subject) -> None:
    large = event_of(OutcomesRecorded(count=1, uri="s" * 66_000))

    with pytest.raises(RejectedError, match="S3"):
        subject.bus.publish([event_of(), large])

    assert subject.arrived() == []


def test_an_outbox_entry_arrives_like_the_event_it_was(subject: Subject) -> None:
    event = event_of()

    entry = Entry(event.source, event.detail_type, event.detail_json(), event.time)
    assert subject.bus.put([entry]) == {}

    (found,) = subject.arrived()
    assert found["detail"] == event.detail()


def test_nothing_to_publish_is_fine(subject: Subject) -> None:
    subject.bus.publish([])
    assert subject.bus.put([]) == {}
