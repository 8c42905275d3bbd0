"""What CodePipeline is sent, held against its service model, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from steward.adapters.pipelines import CodePipelines
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.ports import WaitingApproval
from support.pipeline_scene import FIRST, PIPELINE, SECOND, uuid

JOB, TOKEN = uuid(7), uuid(8)
APPROVAL = WaitingApproval(PIPELINE, "Approve", "Decide", TOKEN)


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client(
        "codepipeline", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubbed:
        yield stubbed
        stubbed.assert_no_pending_responses()


def port(stub: Stubber) -> CodePipelines:
    return CodePipelines(stub.client)


def test_variables_go_with_the_end_alone_and_empty_ones_are_left_out(stub: Stubber) -> None:
    done = {"jobId": JOB, "outputVariables": {"Version": "2"}}
    stub.add_response("put_job_success_result", {}, {**done, "executionDetails": {"summary": "s"}})
    going = {"jobId": JOB, "continuationToken": "t", "executionDetails": {"summary": "s"}}
    stub.add_response("put_job_success_result", {}, going)
    assert port(stub).succeed(JOB, {"Version": "2", "SmokeUri": ""}, "s")
    assert port(stub).go_on(JOB, "t", "s")


def test_a_failures_message_is_cut_to_what_codepipeline_takes(stub: Stubber) -> None:
    details = {"type": "JobFailed", "message": "x" * 5000}
    stub.add_response("put_job_failure_result", {}, {"jobId": JOB, "failureDetails": details})
    assert port(stub).fail(JOB, "JobFailed", "x" * 9000)


@pytest.mark.parametrize("code", ["InvalidJobStateException", "JobNotFoundException"])
def test_a_job_that_has_ended_is_late_and_no_fault(stub: Stubber, code: str) -> None:
    stub.add_client_error("put_job_success_result", code)
    stub.add_client_error("put_job_failure_result", code)
    assert not port(stub).succeed(JOB, {}, "s")
    assert not port(stub).fail(JOB, "JobFailed", "m")


@pytest.mark.parametrize(
    "code", ["ApprovalAlreadyCompletedException", "InvalidApprovalTokenException"]
)
def test_an_approval_that_was_answered_is_late_and_no_fault(stub: Stubber, code: str) -> None:
    stub.add_client_error("put_approval_result", code)
    assert not port(stub).answer(APPROVAL, True, "s")


def test_an_answer_names_action_and_token_within_512_characters(stub: Stubber) -> None:
    wanted = {
        "pipelineName": PIPELINE, "stageName": "Approve", "actionName": "Decide", "token": TOKEN,
        "result": {"status": "Rejected", "summary": "x" * 512},
    }  # fmt: skip
    stub.add_response(
        "put_approval_result", {"approvedAt": datetime(2026, 1, 5, tzinfo=UTC)}, wanted
    )
    assert port(stub).answer(APPROVAL, False, "x" * 600)


def _state(execution: str, **latest: Any) -> dict[str, Any]:
    stage = {
        "stageName": "Approve",
        "latestExecution": {"pipelineExecutionId": execution, "status": "InProgress"},
        "actionStates": [{"actionName": "Decide", "latestExecution": latest}],
    }
    return {"pipelineName": PIPELINE, "stageStates": [{"stageName": "Source"}, stage]}


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (_state(FIRST, status="InProgress", token=TOKEN), APPROVAL),
        (_state(SECOND, status="InProgress", token=TOKEN), None),
        (_state(FIRST, status="Succeeded", token=TOKEN), None),
        (_state(FIRST), None),
    ],
)
def test_only_the_open_approval_of_this_execution_waits(
    stub: Stubber, state: dict[str, Any], found: WaitingApproval | None
) -> None:
    stub.add_response("get_pipeline_state", state, {"name": PIPELINE})
    assert port(stub).waiting(PIPELINE, FIRST) == found


def test_a_pipeline_that_was_deleted_waits_for_nothing(stub: Stubber) -> None:
    stub.add_client_error("get_pipeline_state", "PipelineNotFoundException")
    assert port(stub).waiting(PIPELINE, FIRST) is None


def test_throttling_and_denial_are_told_apart(stub: Stubber) -> None:
    stub.add_client_error("put_approval_result", "ThrottlingException", http_status_code=400)
    stub.add_client_error("put_approval_result", "AccessDeniedException")
    with pytest.raises(ThrottledError):
        CodePipelines(stub.client).answer(APPROVAL, True, "s")
    with pytest.raises(AccessDeniedError):
        port(stub).answer(APPROVAL, True, "s")
