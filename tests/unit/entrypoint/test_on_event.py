"""``@on_event``: what fits is handled, what never can be is put aside, the rest is retried."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from steward.adapters.clients import Clients
from steward.contracts.events import OutcomesRecorded, VersionApproved
from steward.contracts.incoming import Received
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    ProjectNotFoundError,
)
from steward.entrypoint import Handler, on_event, step, task_or_event
from support.builders import event_of
from support.doorways import delivered
from support.isolation import messages, queue
from support.lambda_context import LambdaContext
from support.stores import create_table

APPROVED = delivered(event_of(VersionApproved(version=2, evidence_digest="ab", approvers=["anna"])))


class Consumer:
    """A use case that keeps what it is given and returns or raises as told."""

    def __init__(self, outcome: object = "done") -> None:
        self.outcome = outcome
        self.received: list[Received] = []

    def __call__(self, received: Received) -> object:
        self.received.append(received)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def doorway(consumer: Consumer, *, once: bool = False) -> Handler:
    @on_event("VersionApproved", "Object Created", once=once)
    def handler(received: Received) -> object:
        return consumer(received)

    return handler


@pytest.fixture
def put_aside(aws: Clients, scrubbed: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """What lies in the function's failure queue."""
    url = queue(aws)
    scrubbed.setenv("FAILURE_QUEUE_URL", url)
    return lambda: [json.loads(body) for body in messages(aws, url)]


def test_one_of_our_events_arrives_typed() -> None:
    consumer = Consumer()

    assert doorway(consumer)(APPROVED, LambdaContext()) == "done"

    (received,) = consumer.received
    assert received.detail == VersionApproved(version=2, evidence_digest="ab", approvers=["anna"])
    assert received.own.project == "diabetes"
    assert received.id == APPROVED["id"]
    assert not received.replayed


def test_a_replayed_event_says_so() -> None:
    consumer = Consumer()

    doorway(consumer)({**APPROVED, "replay-name": "again"}, LambdaContext())

    assert consumer.received[0].replayed


MALFORMED: list[tuple[object, str]] = [
    (None, "$"),
    ([], "$"),
    ({}, "id"),
    ({"Records": []}, "id"),
    ({**APPROVED, "id": ""}, "id"),
    ({**APPROVED, "detail": None}, "detail"),
    (
        {**APPROVED, "detail": {**APPROVED["detail"], "data": {"version": "two"}}},
        "detail.data.version",
    ),
    ({**APPROVED, "detail": {"data": APPROVED["detail"]["data"]}}, "detail.meta"),
    ({**APPROVED, "detail-type": "VersionBlessed"}, "detail-type"),
    ({**APPROVED, "source": "steward.serving"}, "detail-type"),
    ({**APPROVED, "source": "aws.sagemaker"}, "detail-type"),
    (delivered(event_of(OutcomesRecorded(count=1, uri="s3://b/k"))), "detail-type"),
]


@pytest.mark.parametrize(("event", "field"), MALFORMED, ids=[field for _, field in MALFORMED])
def test_a_malformed_event_goes_to_the_failure_queue_with_the_reason(
    event: Any, field: str, put_aside: Callable[[], list[Any]], log_lines: Callable[[], list[Any]]
) -> None:
    consumer = Consumer()

    answer = doorway(consumer)(event, LambdaContext())

    assert consumer.received == []
    assert answer["refused"]["error"] == "MalformedEventError"
    (record,) = put_aside()
    assert record["requestPayload"] == event
    assert record["responsePayload"]["field"] == field
    assert record["requestContext"]["functionArn"] == LambdaContext().invoked_function_arn
    line = log_lines()[-1]
    assert (line["level"], line["refusal"]["field"]) == ("ERROR", field)


def test_an_event_that_the_use_case_rejects_is_put_aside_too(
    put_aside: Callable[[], list[Any]],
) -> None:
    consumer = Consumer(ProjectNotFoundError("no project x", field="project", value="x"))

    answer = doorway(consumer)(APPROVED, LambdaContext())

    assert answer["refused"]["error"] == "ProjectNotFoundError"
    assert put_aside()[0]["requestPayload"] == APPROVED


@pytest.mark.parametrize(
    "error",
    [ConflictError("lost"), DependencyError("down"), AccessDeniedError("no"), KeyError("bug")],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_leaves_so_that_lambda_retries(
    error: Exception, put_aside: Callable[[], list[Any]]
) -> None:
    with pytest.raises(type(error)) as raised:
        doorway(Consumer(error))(APPROVED, LambdaContext())

    assert raised.value is error
    assert put_aside() == []


@pytest.fixture
def remembering(aws: Clients, scrubbed: pytest.MonkeyPatch) -> None:
    """An idempotency table, and nothing kept of earlier ones."""
    create_table(aws, "seen", ("id",))
    scrubbed.setenv("IDEMPOTENCY_TABLE", "seen")


def test_an_event_that_is_delivered_twice_is_handled_once(remembering: None) -> None:
    consumer = Consumer({"mails": 2})
    handler = doorway(consumer, once=True)

    first = handler(APPROVED, LambdaContext())
    again = handler(APPROVED, LambdaContext())

    assert first == again == {"mails": 2}
    assert len(consumer.received) == 1


def test_an_event_that_is_published_twice_is_handled_once(remembering: None) -> None:
    consumer = Consumer()
    handler = doorway(consumer, once=True)

    handler(APPROVED, LambdaContext())
    handler({**APPROVED, "id": "another-id-of-eventbridge"}, LambdaContext())

    assert len(consumer.received) == 1


def test_other_events_are_handled_each(remembering: None) -> None:
    consumer = Consumer()
    handler = doorway(consumer, once=True)

    handler(APPROVED, LambdaContext())
    handler({**APPROVED, "time": "2026-01-05T09:00:01Z"}, LambdaContext())
    handler({**APPROVED, "detail": event_of(VersionApproved(
        version=3, evidence_digest="ab", approvers=[])).detail()}, LambdaContext())  # fmt: skip

    assert len(consumer.received) == 3


def test_an_event_whose_handling_failed_is_handled_again(remembering: None) -> None:
    consumer = Consumer(DependencyError("down"))
    handler = doorway(consumer, once=True)
    with pytest.raises(DependencyError):
        handler(APPROVED, LambdaContext())

    consumer.outcome = "done"

    assert handler(APPROVED, LambdaContext()) == "done"


def test_a_malformed_event_is_put_aside_by_those_who_remember_too(
    remembering: None, put_aside: Callable[[], list[Any]]
) -> None:
    handler = doorway(Consumer(), once=True)

    assert "refused" in handler({}, LambdaContext())
    assert "refused" in handler({**APPROVED, "detail": {}}, LambdaContext())
    assert len(put_aside()) == 2


class Conclude(BaseModel):
    run_id: str


def test_one_function_can_be_a_task_and_a_consumer() -> None:
    consumer = Consumer("event")

    @step(Conclude)
    def task(command: Conclude) -> str:
        return command.run_id

    handler = task_or_event(task, doorway(consumer))

    assert handler({"run_id": "r1"}, LambdaContext()) == "r1"
    assert handler(APPROVED, LambdaContext()) == "event"
