"""The workflows' contract, kept by Step Functions' adapter and by the fake."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from botocore.stub import Stubber

from steward.adapters.clients import Clients
from steward.adapters.workflows import StepFunctionsWorkflows
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    RejectedError,
    ThrottledError,
)
from steward.ports import ExecutionState, Workflows
from support.fakes import FakeWorkflows

pytestmark = pytest.mark.usefixtures("isolated")

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:train"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:train:r1"
PAYLOAD = {"project": "diabetes", "run_id": "r1", "share": 0.5}
WAITING = {
    "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}},
}


@dataclass
class Subject:
    """A port, a machine whose executions run on, and a way to end one."""

    workflows: Workflows
    machine: str
    abort: Callable[[str], None]


@pytest.fixture(params=["fake", "stepfunctions"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeWorkflows()
        machine = "arn:aws:states:us-east-1:000000000000:stateMachine:train"
        return Subject(fake, machine, lambda arn: fake.end(arn, "ABORTED"))
    clients: Clients = request.getfixturevalue("aws")
    client = clients.get("stepfunctions")
    machine = client.create_state_machine(
        name="train", definition=json.dumps(WAITING), roleArn="arn:aws:iam::123456789012:role/r"
    )["stateMachineArn"]
    return Subject(
        StepFunctionsWorkflows(client),
        machine,
        lambda arn: client.stop_execution(executionArn=arn),
    )


def test_an_execution_starts_and_runs(subject: Subject) -> None:
    arn = subject.workflows.start(subject.machine, "r1", PAYLOAD)

    assert arn == subject.machine.replace(":stateMachine:", ":execution:") + ":r1"
    assert subject.workflows.status(arn) == "RUNNING"


def test_the_same_name_and_payload_start_nothing_new(subject: Subject) -> None:
    first = subject.workflows.start(subject.machine, "r1", PAYLOAD)
    again = subject.workflows.start(subject.machine, "r1", dict(reversed(PAYLOAD.items())))

    assert again == first


def test_a_name_that_runs_with_another_payload_is_taken(subject: Subject) -> None:
    subject.workflows.start(subject.machine, "r1", PAYLOAD)

    with pytest.raises(ConflictError, match="r1"):
        subject.workflows.start(subject.machine, "r1", {"project": "other"})


def test_a_name_of_an_ended_execution_is_burnt(subject: Subject) -> None:
    arn = subject.workflows.start(subject.machine, "r1", PAYLOAD)
    subject.abort(arn)

    assert subject.workflows.status(arn) == "ABORTED"
    with pytest.raises(ConflictError, match="r1"):
        subject.workflows.start(subject.machine, "r1", PAYLOAD)


def test_what_never_ran_has_no_status(subject: Subject) -> None:
    with pytest.raises(RejectedError):
        subject.workflows.status(subject.machine.replace(":stateMachine:", ":execution:") + ":no")


def test_an_execution_is_found_as_it_is_and_what_never_ran_is_none(subject: Subject) -> None:
    arn = subject.workflows.start(subject.machine, "r1", PAYLOAD)
    assert subject.workflows.find(arn) == ExecutionState("RUNNING")
    subject.workflows.stop(arn, "RunCancelled", "tess: wrong data")
    found = subject.workflows.find(arn)
    assert found is not None
    assert (found.status, found.has_ended) == ("ABORTED", True)
    assert subject.workflows.find(f"{arn}-no") is None


@pytest.mark.parametrize(
    ("code", "raised"),
    [("AccessDeniedException", AccessDeniedError), ("ThrottlingException", ThrottledError)],
)
def test_who_may_not_look_at_an_execution_learns_no_status(
    aws: Clients, code: str, raised: type[Exception]
) -> None:
    client = aws.get("stepfunctions")
    with Stubber(client) as stubbed:
        stubbed.add_client_error("describe_execution", code, "no")
        with pytest.raises(raised):
            StepFunctionsWorkflows(client).find(EXECUTION)


def test_why_an_execution_failed_is_what_step_functions_says(aws: Clients) -> None:
    """By its service model: moto leaves error and cause out."""
    client = aws.get("stepfunctions")
    answer = {
        "executionArn": EXECUTION, "stateMachineArn": MACHINE, "status": "FAILED",
        "startDate": 1.0, "error": "States.Runtime", "cause": "an expression failed",
    }  # fmt: skip
    with Stubber(client) as stubbed:
        stubbed.add_response("describe_execution", answer, {"executionArn": EXECUTION})
        found = StepFunctionsWorkflows(client).find(EXECUTION)
    assert found == ExecutionState("FAILED", "States.Runtime", "an expression failed")


def test_a_stopped_execution_has_ended_and_stopping_it_again_changes_nothing(
    subject: Subject,
) -> None:
    arn = subject.workflows.start(subject.machine, "r1", PAYLOAD)
    assert not subject.workflows.is_redrivable(arn)
    for _ in range(2):
        subject.workflows.stop(arn, "RunCancelled", "tess: wrong data")
        assert subject.workflows.status(arn) == "ABORTED"


def test_what_runs_is_not_redriven_and_what_failed_is(
    aws: Clients,
) -> None:
    """Step Functions' words by its service model: moto has no redrive."""
    client = aws.get("stepfunctions")
    stubbed = Stubber(client)
    arn = "arn:aws:states:us-east-1:123456789012:execution:train:r1"
    stubbed.add_client_error("redrive_execution", "ExecutionNotRedrivable", "it is RUNNING")
    stubbed.add_response("redrive_execution", {"redriveDate": 1.0}, {"executionArn": arn})
    with stubbed:
        workflows = StepFunctionsWorkflows(client)
        with pytest.raises(ConflictError, match="cannot be redriven"):
            workflows.redrive(arn)
        workflows.redrive(arn)
    fake = FakeWorkflows()
    running = fake.start(MACHINE, "r1", PAYLOAD)
    with pytest.raises(ConflictError):
        fake.redrive(running)
    fake.end(running, "FAILED")
    assert fake.is_redrivable(running)
    fake.redrive(running)
    assert fake.status(running) == "RUNNING"
