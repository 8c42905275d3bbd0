"""Completed jobs are found by their tag, in answers of the shape that SageMaker's model has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from steward.adapters.clients import Clients
from steward.adapters.finished_jobs import AwsFinishedJobs
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.ports import FinishedJob, JobKind

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
KEY, RUN = "5e" * 32, "3f9a1c0b7d2e-1"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job/"
LISTED = {
    "NameContains": "3f9a1c0b7d2e-", "StatusEquals": "Completed", "SortBy": "CreationTime",
    "SortOrder": "Descending", "MaxResults": 10,
}  # fmt: skip


def summary(prefix: str, name: str) -> dict[str, Any]:
    return {
        f"{prefix}Name": name, f"{prefix}Arn": ARN + name, "CreationTime": START,
        f"{prefix}Status": "Completed",
    }  # fmt: skip


def tags(key: str = KEY) -> dict[str, Any]:
    return {"Tags": [{"Key": "steward:step", "Value": key}, {"Key": "steward:run", "Value": RUN}]}


def found(kind: JobKind, *answers: tuple[str, dict[str, Any], dict[str, Any]]) -> Any:
    clients = Clients("us-east-1")
    with Stubber(clients.get("sagemaker")) as stub:
        for operation, answer, given in answers:
            stub.add_response(operation, answer, given)
        job = AwsFinishedJobs(clients).find(kind, "3f9a1c0b7d2e-", KEY)
        stub.assert_no_pending_responses()
    return job


def test_a_training_job_of_other_inputs_is_passed_over() -> None:
    described: dict[str, Any] = {
        "TrainingJobName": "t2", "TrainingJobArn": ARN + "t2", "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed", "BillableTimeInSeconds": 72, "CreationTime": START,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/t2/output/model.tar.gz"},
        "AlgorithmSpecification": {"TrainingInputMode": "File"}, "StoppingCondition": {},
        "ResourceConfig": {"VolumeSizeInGB": 5},
    }  # fmt: skip
    summaries = [summary("TrainingJob", "t3"), summary("TrainingJob", "t2")]
    job = found(
        "training",
        ("list_training_jobs", {"TrainingJobSummaries": summaries}, LISTED),
        ("list_tags", tags("00" * 32), {"ResourceArn": ARN + "t3"}),
        ("list_tags", tags(), {"ResourceArn": ARN + "t2"}),
        ("describe_training_job", described, {"TrainingJobName": "t2"}),
    )
    assert job == FinishedJob("t2", RUN, "s3://b/t2/output/model.tar.gz", 72.0)


def test_a_search_is_its_best_job() -> None:
    name = "HyperParameterTuningJob"
    counts: dict[str, Any] = {"TrainingJobStatusCounters": {}, "ObjectiveStatusCounters": {}}
    config = {
        "Strategy": "Random",
        "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 2},
    }
    best = {
        "TrainingJobName": "t-002", "TrainingJobArn": ARN + "t-002", "CreationTime": START,
        "TrainingJobStatus": "Completed", "TunedHyperParameters": {"C": "0.4"},
    }  # fmt: skip
    definition: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingInputMode": "File"}, "RoleArn": ARN + "r" * 20,
        "OutputDataConfig": {"S3OutputPath": "s3://b/models/r1"}, "StoppingCondition": {},
    }  # fmt: skip
    described = {
        **summary(name, "t"), f"{name}Config": config, "BestTrainingJob": best, **counts,
        "TrainingJobDefinition": definition,
    }  # fmt: skip
    listed = {**summary(name, "t"), "Strategy": "Random", **counts}
    job = found(
        "tuning",
        ("list_hyper_parameter_tuning_jobs", {f"{name}Summaries": [listed]}, LISTED),
        ("list_tags", tags(), {"ResourceArn": ARN + "t"}),
        ("describe_hyper_parameter_tuning_job", described, {f"{name}Name": "t"}),
    )
    uri = "s3://b/models/r1/t-002/output/model.tar.gz"
    assert job == FinishedJob("t-002", RUN, uri, None, {"C": "0.4"})


def test_an_evaluation_is_where_it_was_written_and_how_long_it_took() -> None:
    output = {"S3Uri": "s3://b/evaluations/r1", "LocalPath": "/o", "S3UploadMode": "EndOfJob"}
    described = {
        **summary("ProcessingJob", "e"), "AppSpecification": {"ImageUri": "i"},
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5,
            }
        },
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "evaluation", "S3Output": output}]},
        "ProcessingStartTime": START, "ProcessingEndTime": START + timedelta(seconds=40),
    }  # fmt: skip
    listed = {"ProcessingJobSummaries": [summary("ProcessingJob", "e")]}
    job = found(
        "evaluation",
        ("list_processing_jobs", listed, LISTED),
        ("list_tags", tags(), {"ResourceArn": ARN + "e"}),
        ("describe_processing_job", described, {"ProcessingJobName": "e"}),
    )
    assert job == FinishedJob("e", RUN, "s3://b/evaluations/r1", 40.0)


def test_nothing_completed_is_nothing_found() -> None:
    assert found("training", ("list_training_jobs", {"TrainingJobSummaries": []}, LISTED)) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [("AccessDeniedException", AccessDeniedError), ("ThrottlingException", ThrottledError)],
)
def test_a_refusal_is_told_as_one(code: str, error: type[Exception]) -> None:
    clients = Clients("us-east-1")
    with Stubber(clients.get("sagemaker")) as stub:
        stub.add_client_error("list_training_jobs", code, http_status_code=400)
        with pytest.raises(error):
            AwsFinishedJobs(clients).find("training", "3f9a1c0b7d2e-", KEY)
