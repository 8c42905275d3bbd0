"""What ended jobs and executions used, read from AWS's answers and from the fake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from steward.adapters.clients import Clients
from steward.adapters.job_records import AwsJobRecords
from steward.domain.errors import RejectedError
from steward.ports import ExecutionRecord, FunctionUse, JobRecord, QueryUse
from support.fake_job_records import FakeJobRecords

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:validate"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:train:3f9a1c0b7d2e-1"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


TRAINING: dict[str, Any] = {
    "TrainingJobName": "t", "TrainingJobArn": "arn:" + "t" * 20, "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"}, "SecondaryStatus": "Completed",
    "AlgorithmSpecification": {"TrainingInputMode": "File"}, "CreationTime": START,
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5},
    "StoppingCondition": {}, "TrainingStartTime": START, "TrainingEndTime": at(95),
}  # fmt: skip
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "p", "ProcessingJobArn": "arn:" + "p" * 20, "CreationTime": START,
    "ProcessingJobStatus": "Completed", "AppSpecification": {"ImageUri": "i"},
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
    },
    "ProcessingStartTime": START, "ProcessingEndTime": at(30.5),
}  # fmt: skip


def event(number: int, kind: str, seconds: float, **details: Any) -> dict[str, Any]:
    return {
        "id": number, "previousEventId": number - 1, "type": kind, "timestamp": at(seconds),
        **details,
    }  # fmt: skip


def scheduled(number: int, seconds: float, resource: str = "invoke") -> dict[str, Any]:
    details = {
        "resourceType": "lambda" if resource == "invoke" else "sagemaker", "resource": resource,
        "region": "us-east-1", "parameters": json.dumps({"FunctionName": FUNCTION}),
    }  # fmt: skip
    return event(number, "TaskScheduled", seconds, taskScheduledEventDetails=details)


HISTORY = [
    event(1, "ExecutionStarted", 0),
    event(2, "TaskStateEntered", 0),
    scheduled(3, 0),
    event(4, "TaskStarted", 0.5),
    event(5, "TaskFailed", 2),
    scheduled(6, 4),
    event(7, "TaskStarted", 4.5),
    event(8, "TaskSucceeded", 7),
    event(9, "TaskStateExited", 7),
    event(10, "TaskStateEntered", 7),
    scheduled(11, 7, "createTrainingJob.sync"),
    event(12, "TaskSucceeded", 100),
    event(13, "PassStateEntered", 100),
    event(14, "TaskStateEntered", 100),
    event(15, "LambdaFunctionScheduled", 100,
          lambdaFunctionScheduledEventDetails={"resource": f"{FUNCTION}-2"}),
    event(16, "LambdaFunctionStarted", 100),
    event(17, "LambdaFunctionSucceeded", 101.5),
    event(18, "ExecutionSucceeded", 102),
]  # fmt: skip


@contextmanager
def answering(client: Any, method: str, *answers: dict[str, Any]) -> Iterator[None]:
    with Stubber(client) as stub:
        for answer in answers:
            stub.add_response(method, answer)
        yield
        stub.assert_no_pending_responses()


def test_a_training_job_is_billed_by_sagemakers_own_count(aws: Clients) -> None:
    sagemaker = aws.get("sagemaker")
    with answering(
        sagemaker, "describe_training_job", {**TRAINING, "BillableTimeInSeconds": 61}, TRAINING
    ):
        records = AwsJobRecords(aws)
        assert records.training_job("t") == JobRecord("ml.m5.large", 2, 61)
        assert records.training_job("t") == JobRecord("ml.m5.large", 2, 95)


def test_a_job_on_spare_capacity_tells_how_long_it_worked(aws: Clients) -> None:
    spot = {
        **TRAINING, "EnableManagedSpotTraining": True, "BillableTimeInSeconds": 30,
        "TrainingTimeInSeconds": 100,
    }  # fmt: skip
    with answering(aws.get("sagemaker"), "describe_training_job", spot):
        assert AwsJobRecords(aws).training_job("t") == JobRecord("ml.m5.large", 2, 30, 100)


def test_a_job_that_never_started_used_nothing(aws: Clients) -> None:
    early = {key: value for key, value in TRAINING.items() if key != "TrainingStartTime"}
    with answering(aws.get("sagemaker"), "describe_training_job", early):
        assert AwsJobRecords(aws).training_job("t").seconds == 0


def test_a_processing_job_runs_from_start_to_end(aws: Clients) -> None:
    with answering(aws.get("sagemaker"), "describe_processing_job", PROCESSING):
        assert AwsJobRecords(aws).processing_job("p") == JobRecord("ml.m5.large", 1, 30.5)


def test_a_history_tells_transitions_retries_and_functions(aws: Clients) -> None:
    pages: list[dict[str, Any]] = [
        {"events": HISTORY[:9], "nextToken": "more"},
        {"events": HISTORY[9:]},
    ]
    memory: list[dict[str, Any]] = [{"MemorySize": 256}, {"MemorySize": 1024}]
    with (
        answering(aws.get("stepfunctions"), "get_execution_history", *pages),
        answering(aws.get("lambda"), "get_function_configuration", *memory),
    ):
        found = AwsJobRecords(aws).execution(EXECUTION)
    assert found == ExecutionRecord(
        transitions=5,
        functions=(
            FunctionUse(FUNCTION, 256, 2, 5.0),
            FunctionUse(f"{FUNCTION}-2", 1024, 1, 1.5),
        ),
    )


def query(number: int, kind: str, state: str = "", **known: Any) -> dict[str, Any]:
    """Return how the history tells of an Athena query that ended."""
    told = {"QueryExecution": {"Status": {"State": state}, **known}} if state else {}
    name, member = {
        "TaskSucceeded": ("taskSucceededEventDetails", {"output": json.dumps(told)}),
        "TaskFailed": ("taskFailedEventDetails", {"cause": json.dumps(told) if told else "slow"}),
        "TaskTimedOut": ("taskTimedOutEventDetails", {"error": "States.Timeout"}),
    }[kind]
    of_athena = {"resourceType": "athena", "resource": "startQueryExecution.sync"}
    return event(number, kind, number, **{name: {**of_athena, **member}})


def test_a_history_tells_what_queries_scanned(aws: Clients) -> None:
    statistics = {"Statistics": {"DataScannedInBytes": 4096}}
    events = [
        event(1, "ExecutionStarted", 0),
        query(2, "TaskSucceeded", "SUCCEEDED", StatementType="DDL",
              Statistics={"DataScannedInBytes": 0}),
        query(3, "TaskFailed"),  # throttled: it was never a query
        query(4, "TaskFailed", "FAILED", StatementType="DML", **statistics),
        query(5, "TaskSucceeded", "SUCCEEDED", StatementType="DML", **statistics),
        query(6, "TaskTimedOut"),
    ]  # fmt: skip
    with answering(aws.get("stepfunctions"), "get_execution_history", {"events": events}):
        found = AwsJobRecords(aws).execution(EXECUTION)
    assert found.queries == (
        QueryUse("SUCCEEDED", True, 0), QueryUse("FAILED", False, 4096),
        QueryUse("SUCCEEDED", False, 4096), QueryUse("TIMED_OUT", False, None),
    )  # fmt: skip


def test_what_there_is_not_is_rejected(aws: Clients) -> None:
    with Stubber(aws.get("sagemaker")) as stub:
        stub.add_client_error(
            "describe_training_job", "ValidationException", "Requested resource not found."
        )
        with pytest.raises(RejectedError):
            AwsJobRecords(aws).training_job("gone")
    for ask in (FakeJobRecords().training_job, FakeJobRecords().processing_job):
        with pytest.raises(RejectedError):
            ask("gone")
    with pytest.raises(RejectedError):
        FakeJobRecords().execution("gone")
