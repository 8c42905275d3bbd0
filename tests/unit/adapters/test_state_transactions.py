"""How a transaction that AWS cancels ends: lost, refused, or tried again."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from steward.adapters.state import DynamoStateStore
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    RejectedError,
    StewardError,
    ThrottledError,
)
from steward.ports import Absent, Change, Put, Table, Update
from support.builders import event_of

CHANGES: list[Change] = [
    Put(Table.RUNS, {"project": "p", "run_id": "r1"}, (Absent(),)),
    Update(Table.LOCKS, {"lock": "p/training"}, {"owner": "r1"}, expect=(Absent(),)),
]
TABLES = {Table.RUNS: "runs-1", Table.LOCKS: "locks-1"}


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "dynamodb", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


def cancelled(*codes: str) -> dict[str, Any]:
    """Return the arguments of a stubbed cancellation with a reason for each write."""
    reasons = [{"Code": code, "Message": "told so"} for code in codes]
    return {
        "service_error_code": "TransactionCanceledException",
        "http_status_code": 400,
        "modeled_fields": {"CancellationReasons": reasons},
    }


def store_of(client: Any, slept: list[float] | None = None) -> DynamoStateStore:
    record = slept if slept is not None else []
    return DynamoStateStore(client, TABLES, "outbox-1", sleep=record.append)


def commit(client: Any, *answers: dict[str, Any] | None, slept: list[float] | None = None) -> None:
    """Commit against a list of answers; None is a success."""
    with Stubber(client) as stub:
        for answer in answers:
            if answer is None:
                stub.add_response("transact_write_items", {})
            else:
                stub.add_client_error("transact_write_items", **answer)
        store_of(client, slept).commit(CHANGES, [event_of()])
        stub.assert_no_pending_responses()


def test_the_conflict_names_the_change_that_was_lost(client: Any) -> None:
    with pytest.raises(ConflictError) as lost:
        commit(client, cancelled("None", "ConditionalCheckFailed", "None"))

    assert "update locks p/training" in str(lost.value)
    assert "runs" not in str(lost.value)


def test_a_lost_condition_counts_more_than_a_passing_conflict(client: Any) -> None:
    with pytest.raises(ConflictError):
        commit(client, cancelled("ConditionalCheckFailed", "TransactionConflict", "None"))


def test_a_collision_with_another_transaction_is_tried_again(client: Any) -> None:
    slept: list[float] = []

    commit(client, cancelled("TransactionConflict", "None", "None"), None, slept=slept)

    assert len(slept) == 1
    assert 0 <= slept[0] <= 0.05


def test_other_transactions_that_keep_winning_are_throttling(client: Any) -> None:
    slept: list[float] = []

    with pytest.raises(ThrottledError):
        commit(client, *[cancelled("TransactionConflict", "None", "None")] * 6, slept=slept)

    assert max(slept) <= 1.0


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_write_is_tried_again(client: Any, code: str) -> None:
    if code == "ProvisionedThroughputExceeded":
        code = "ProvisionedThroughputExceededException"
    commit(client, cancelled("None", code, "None"), None)


def test_a_write_that_aws_refuses_is_rejected_with_its_reason(client: Any) -> None:
    with pytest.raises(RejectedError, match="told so") as refused:
        commit(client, cancelled("None", "ValidationError", "None"))

    assert refused.value.value == "ValidationError"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 400, AccessDeniedError),
        ("InternalServerError", 500, DependencyError),
        ("ValidationException", 400, RejectedError),
        ("TransactionInProgressException", 400, ThrottledError),
    ],
)
def test_other_answers_are_translated(
    client: Any, code: str, status: int, kind: type[StewardError]
) -> None:
    with pytest.raises(kind, match="put runs p/r1"):
        commit(client, {"service_error_code": code, "http_status_code": status})


class Recorder:
    """A DynamoDB client that keeps its requests and fails as told."""

    def __init__(self, client: Any, errors: list[Exception]) -> None:
        self.exceptions = client.exceptions
        self.requests: list[dict[str, Any]] = []
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.requests.append({"operation": name, **request})
            if self._errors:
                raise self._errors.pop(0)
            return {}

        return call


def collision() -> ClientError:
    return ClientError({"Error": {"Code": "TransactionConflictException"}}, "PutItem")


def test_attempts_of_one_commit_share_a_client_token(client: Any) -> None:
    error = client.exceptions.TransactionCanceledException(
        {"Error": {"Code": "x"}, "CancellationReasons": [{"Code": "TransactionConflict"}]}, "T"
    )
    recorder = Recorder(client, [error])

    store_of(recorder).commit(CHANGES)
    store_of(recorder).commit(CHANGES)

    first, again, other = [request["ClientRequestToken"] for request in recorder.requests]
    assert first == again != other


def test_a_single_change_without_condition_is_a_plain_write(client: Any) -> None:
    recorder = Recorder(client, [collision()])

    store_of(recorder).commit([Put(Table.RUNS, {"project": "p", "run_id": "r1"})])

    assert [request["operation"] for request in recorder.requests] == ["put_item", "put_item"]
    assert recorder.requests[0]["TableName"] == "runs-1"


def test_a_plain_write_that_keeps_colliding_is_throttled(client: Any) -> None:
    recorder = Recorder(client, [collision() for _ in range(6)])

    with pytest.raises(ThrottledError):
        store_of(recorder).commit([Put(Table.RUNS, {"project": "p", "run_id": "r1"})])


def test_a_network_that_is_down_is_a_failing_dependency(client: Any) -> None:
    recorder = Recorder(client, [EndpointConnectionError(endpoint_url="x")])

    with pytest.raises(DependencyError):
        store_of(recorder).commit(CHANGES)


def test_an_event_becomes_an_outbox_item_that_expires_in_a_week(client: Any) -> None:
    recorder, event = Recorder(client, []), event_of()

    store_of(recorder).commit([], [event])

    (put,) = recorder.requests[0]["TransactItems"]
    assert put["Put"]["TableName"] == "outbox-1"
    assert put["Put"]["Item"] == {
        "event_id": {"S": event.event_id},
        "source": {"S": "steward.serving"},
        "detail_type": {"S": "OutcomesRecorded"},
        "detail": {"S": event.detail_json()},
        "time": {"S": event.time},
        "expires_at": {"N": "1768208400"},
    }


def test_a_table_or_outbox_that_the_template_forgot_is_named(client: Any) -> None:
    store = DynamoStateStore(client, {})

    with pytest.raises(StewardError, match="VERSIONS_TABLE"):
        store.get(Table.VERSIONS, {"project": "p", "item": "x"})
    with pytest.raises(StewardError, match="OUTBOX_TABLE"):
        store.commit([], [event_of()])
