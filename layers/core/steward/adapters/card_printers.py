"""PDFs of cards: a processing job of the job image, or SageMaker's own export job."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from steward.adapters.errors import code_of, message_of, translated
from steward.ports import JobImage, Printing, PrintRequest

_INSTANCE, _SECONDS, _GIGABYTES = "ml.t3.medium", 600, 5
_STATUS = {"Completed": "Completed", "Failed": "Failed", "Stopped": "Failed"}
_TAKEN = frozenset({"ResourceInUse", "ResourceInUseException", "ConflictException"})


class ProcessingJobPrinter:
    """Runs ``steward_jobs card`` as a processing job.

    Args:
        client: Of ``sagemaker``.
        image: The one image of all jobs.
        role_arn: What the job may do; the caller needs ``iam:PassRole`` on it.
        key_arn: Key of the PDF.
    """

    def __init__(self, client: Any, image: JobImage, role_arn: str, key_arn: str) -> None:
        self._client, self._image = client, image
        self._role_arn, self._key_arn = role_arn, key_arn

    def find(self, request: PrintRequest) -> Printing | None:
        """Return what became of the job; SageMaker calls a job that is not there invalid."""
        with translated(f"describe processing job {request.name}"):
            try:
                job = self._client.describe_processing_job(ProcessingJobName=request.name)
            except ClientError as error:
                if "could not find" in message_of(error).lower():
                    return None
                raise
        status = _STATUS.get(job["ProcessingJobStatus"], "InProgress")
        reason = str(job.get("ExitMessage") or job.get("FailureReason") or "")
        return Printing(status, f"{request.target_uri}/card.pdf", reason)

    def start(self, request: PrintRequest) -> None:
        """Start the job; one of this name has the same input."""
        wanted = self._wanted(request)
        with translated(f"create processing job {request.name}"):
            try:
                self._client.create_processing_job(**wanted)
            except ClientError as error:
                if code_of(error) not in _TAKEN:
                    raise

    def _wanted(self, request: PrintRequest) -> dict[str, Any]:
        about = {"S3DataType": "S3Prefix", "S3InputMode": "File"}
        source = {"S3Uri": request.source_uri, "LocalPath": "/opt/ml/processing/card", **about}
        target = {
            "S3Uri": request.target_uri, "LocalPath": "/opt/ml/processing/output",
            "S3UploadMode": "EndOfJob",
        }  # fmt: skip
        cluster = {
            "InstanceType": _INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": _GIGABYTES,
        }  # fmt: skip
        return {
            "ProcessingJobName": request.name,
            "RoleArn": self._role_arn,
            "AppSpecification": {
                "ImageUri": self._image.uri(),
                "ContainerEntrypoint": ["python", "-m", "steward_jobs", "card"],
            },
            "Environment": {"CARD_STATUS": request.status},
            "ProcessingInputs": [{"InputName": "card", "S3Input": source}],
            "ProcessingOutputConfig": {
                "KmsKeyId": self._key_arn,
                "Outputs": [{"OutputName": "pdf", "S3Output": target}],
            },
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": _SECONDS},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        }


class ExportJobPrinter:
    """Lets SageMaker export the card that it keeps.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelCardExportJob.html
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, request: PrintRequest) -> Printing | None:
        """Return what became of the job, looked up by name among those of the card."""
        with translated(f"describe card export job {request.name}"):
            try:
                listed = self._client.list_model_card_export_jobs(
                    ModelCardName=request.card_name, ModelCardExportJobNameContains=request.name
                )["ModelCardExportJobSummaries"]
            except ClientError as error:
                if code_of(error) in ("ResourceNotFound", "ResourceNotFoundException"):
                    return None
                raise
            arns = [
                job["ModelCardExportJobArn"]
                for job in listed
                if job["ModelCardExportJobName"] == request.name
            ]
            if not arns:
                return None
            job = self._client.describe_model_card_export_job(ModelCardExportJobArn=arns[0])
        made = (job.get("ExportArtifacts") or {}).get("S3ExportArtifacts", "")
        return Printing(job["Status"], made, job.get("FailureReason", ""))

    def start(self, request: PrintRequest) -> None:
        """Start the export of the card's newest version."""
        with translated(f"create card export job {request.name}"):
            try:
                self._client.create_model_card_export_job(
                    ModelCardName=request.card_name,
                    ModelCardExportJobName=request.name,
                    OutputConfig={"S3OutputPath": request.target_uri},
                )
            except ClientError as error:
                if code_of(error) not in _TAKEN:
                    raise
