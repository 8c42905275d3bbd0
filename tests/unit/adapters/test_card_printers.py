"""Printing cards on SageMaker: requests that its service model takes, answers read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from steward.adapters.card_printers import ExportJobPrinter, ProcessingJobPrinter
from steward.domain.errors import AccessDeniedError, RejectedError, ThrottledError
from steward.ports import Printing, PrintRequest
from support.fakes import FakeJobImage

REQUEST = PrintRequest(
    name="dev-diabetes-3f9a1c0b7d2e-1-card-4a9a1c0b7d2e-0",
    card_name="steward-dev-diabetes-v1",
    status="Approved",
    source_uri="s3://artifacts/cards/diabetes/1/3f9a/in",
    target_uri="s3://artifacts/cards/diabetes/1/3f9a/out",
    tags={"steward:project": "diabetes"},
)
ROLE, KEY = "arn:aws:iam::000000000000:role/card-job", "arn:aws:kms:us-east-1:000000000000:key/k"
EXPORT = f"arn:aws:sagemaker:us-east-1:000000000000:model-card/{REQUEST.card_name}/export-job/{REQUEST.name}"  # noqa: E501
AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip


def processing(client: Any) -> ProcessingJobPrinter:
    return ProcessingJobPrinter(client, FakeJobImage(), ROLE, KEY)


def described(status: str, **more: Any) -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 5}
    return {
        "ProcessingJobName": REQUEST.name, "ProcessingJobArn": "arn:aws:sagemaker:x",
        "ProcessingResources": {"ClusterConfig": cluster}, "AppSpecification": {"ImageUri": "i"},
        "RoleArn": ROLE, "ProcessingJobStatus": status, "CreationTime": AT, **more,
    }  # fmt: skip


def test_a_job_of_the_image_is_asked_for_as_the_service_model_says(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_response("create_processing_job", {"ProcessingJobArn": "arn:aws:sagemaker:x"}, {
            "ProcessingJobName": REQUEST.name, "RoleArn": ROLE,
            "AppSpecification": {"ImageUri": FakeJobImage().uri(),
                                 "ContainerEntrypoint": ["python", "-m", "steward_jobs", "card"]},
            "Environment": {"CARD_STATUS": "Approved"}, "ProcessingInputs": ANY,
            "ProcessingOutputConfig": ANY, "ProcessingResources": ANY,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            "Tags": [{"Key": "steward:project", "Value": "diabetes"}],
        })  # fmt: skip
        processing(client).start(REQUEST)


@pytest.mark.parametrize(
    ("status", "more", "found"),
    [
        ("InProgress", {}, "InProgress"),
        ("Stopping", {}, "InProgress"),
        ("Completed", {}, "Completed"),
        ("Failed", {"FailureReason": "AlgorithmError", "ExitMessage": "no card"}, "Failed"),
        ("Stopped", {}, "Failed"),
    ],
)
def test_the_end_of_a_job_is_read(
    client: Any, status: str, more: dict[str, Any], found: str
) -> None:
    with Stubber(client) as stub:
        stub.add_response("describe_processing_job", described(status, **more))
        made = processing(client).find(REQUEST)
    assert made == Printing(found, f"{REQUEST.target_uri}/card.pdf", more.get("ExitMessage", ""))


def test_a_job_that_is_not_there_is_none_and_another_fault_is_one(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error(
            "describe_processing_job", "ValidationException",
            f"Could not find requested job with name: {REQUEST.name}",
        )  # fmt: skip
        assert processing(client).find(REQUEST) is None
        stub.add_client_error("describe_processing_job", "ValidationException", "no such member")
        with pytest.raises(RejectedError):
            processing(client).find(REQUEST)
        stub.add_client_error("list_model_card_export_jobs", "ResourceNotFound", "no card")
        assert ExportJobPrinter(client).find(REQUEST) is None


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("ThrottlingException", ThrottledError),
        ("AccessDeniedException", AccessDeniedError),
        ("ResourceLimitExceeded", RejectedError),
    ],
)
def test_refusals_keep_whether_trying_again_helps(
    client: Any, code: str, refusal: type[Exception]
) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("create_processing_job", code)
        with pytest.raises(refusal):
            processing(client).start(REQUEST)
        stub.add_client_error("create_model_card_export_job", code)
        with pytest.raises(refusal):
            ExportJobPrinter(client).start(REQUEST)


def test_a_name_that_is_taken_is_the_same_job(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("create_processing_job", "ResourceInUse")
        processing(client).start(REQUEST)
        stub.add_client_error("create_model_card_export_job", "ConflictException")
        ExportJobPrinter(client).start(REQUEST)


def test_an_export_is_found_by_its_name_and_says_where_its_pdf_is(client: Any) -> None:
    about = {
        "ModelCardExportJobArn": EXPORT, "ModelCardName": REQUEST.card_name,
        "ModelCardVersion": 3, "CreatedAt": AT, "LastModifiedAt": AT,
    }  # fmt: skip
    uri = f"{REQUEST.target_uri}/{REQUEST.card_name}/{REQUEST.name}.pdf"
    listed = [
        {**about, "ModelCardExportJobName": f"{REQUEST.name}0", "Status": "Failed",
         "ModelCardExportJobArn": f"{EXPORT}0"},
        {**about, "ModelCardExportJobName": REQUEST.name, "Status": "Completed"},
    ]  # fmt: skip
    with Stubber(client) as stub:
        stub.add_response(
            "list_model_card_export_jobs", {"ModelCardExportJobSummaries": listed},
            {"ModelCardName": REQUEST.card_name, "ModelCardExportJobNameContains": REQUEST.name},
        )  # fmt: skip
        stub.add_response(
            "describe_model_card_export_job",
            {**about, "ModelCardExportJobName": REQUEST.name, "Status": "Completed",
             "OutputConfig": {"S3OutputPath": REQUEST.target_uri},
             "ExportArtifacts": {"S3ExportArtifacts": uri}},
            {"ModelCardExportJobArn": EXPORT},
        )  # fmt: skip
        assert ExportJobPrinter(client).find(REQUEST) == Printing("Completed", uri)
