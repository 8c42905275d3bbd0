"""Completed SageMaker jobs that carried a step out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steward.adapters.clients import Clients
from steward.adapters.errors import translated
from steward.domain.steps import RUN_TAG, STEP_TAG
from steward.ports import FinishedJob, JobKind

_LOOKED_AT = 10
"""Newest completed jobs whose tags are read."""
_NAMES = {
    "training": "TrainingJob", "tuning": "HyperParameterTuningJob", "evaluation": "ProcessingJob",
}  # fmt: skip
_LISTS = {
    "training": "list_training_jobs", "tuning": "list_hyper_parameter_tuning_jobs",
    "evaluation": "list_processing_jobs",
}  # fmt: skip


class AwsFinishedJobs:
    """Reads SageMaker's lists, tags and descriptions."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def find(self, kind: JobKind, contains: str, step_key: str) -> FinishedJob | None:
        """Return the newest completed job with this tag whose name holds a text."""
        with translated(f"look for completed {kind} jobs of {contains}"):
            client = self._clients.get("sagemaker")
            found = getattr(client, _LISTS[kind])(
                NameContains=contains, StatusEquals="Completed", SortBy="CreationTime",
                SortOrder="Descending", MaxResults=_LOOKED_AT,
            )  # fmt: skip
            for summary in found[f"{_NAMES[kind]}Summaries"]:
                tags = _tags(client, summary[f"{_NAMES[kind]}Arn"])
                if tags.get(STEP_TAG) == step_key and RUN_TAG in tags:
                    return _READERS[kind](client, summary[f"{_NAMES[kind]}Name"], tags[RUN_TAG])
        return None


def _tags(client: Any, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}


def _training(client: Any, name: str, run_id: str) -> FinishedJob:
    job = client.describe_training_job(TrainingJobName=name)
    seconds = job.get("BillableTimeInSeconds")
    return FinishedJob(
        name, run_id, job["ModelArtifacts"]["S3ModelArtifacts"],
        float(seconds) if seconds is not None else None,
    )  # fmt: skip


def _tuning(client: Any, name: str, run_id: str) -> FinishedJob | None:
    job = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    best = job.get("BestTrainingJob")
    if not best:
        return None
    base = job["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    uri = f"{base}/{best['TrainingJobName']}/output/model.tar.gz"
    return FinishedJob(best["TrainingJobName"], run_id, uri, None, best["TunedHyperParameters"])


def _evaluation(client: Any, name: str, run_id: str) -> FinishedJob | None:
    job = client.describe_processing_job(ProcessingJobName=name)
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    if not outputs:
        return None
    return FinishedJob(name, run_id, outputs[0]["S3Output"]["S3Uri"], _between(job))


def _between(job: Mapping[str, Any]) -> float | None:
    began, ended = job.get("ProcessingStartTime"), job.get("ProcessingEndTime")
    return None if began is None or ended is None else float((ended - began).total_seconds())


_READERS = {"training": _training, "tuning": _tuning, "evaluation": _evaluation}
