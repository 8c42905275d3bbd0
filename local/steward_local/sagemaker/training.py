"""Training jobs: the API operations."""

from __future__ import annotations

from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, state_events, store, training_run
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.store import Job, now

_ALGORITHM = "AlgorithmSpecification"


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateTrainingJob`: validate, record and start in the background."""
    at = store.current()
    name = params["TrainingJobName"]
    arn = at.arn("training-job", name)
    _check(params)
    jobs.require_role(params["RoleArn"], caller)
    moment = now()
    record = {
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "SecondaryStatusTransitions": [
            {
                "Status": "Starting",
                "StartTime": moment,
                "StatusMessage": "Starting the training job",
            }
        ],
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
        **{key: value for key, value in params.items() if key != "Tags"},
        "StoppingCondition": {
            "MaxRuntimeInSeconds": jobs.DEFAULT_SECONDS,
            **params.get("StoppingCondition", {}),
        },
    }
    job = Job(record, params)
    with at.lock:
        jobs.require_unused(at.training_jobs, name, arn)
        at.training_jobs[name] = job
    at.tag(arn, params.get("Tags"))
    state_events.training_job_changed(record, at.tags[arn])
    jobs.in_background(lambda: training_run.run(at, job), f"training-{name}")
    return {"TrainingJobArn": arn}


def _check(params: dict[str, Any]) -> None:
    algorithm = params.get(_ALGORITHM) or {}
    if "ResourceConfig" not in params:
        raise invalid("ResourceConfig is required to create a training job.")
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise invalid(
            "You must specify exactly one of AlgorithmSpecification.TrainingImage and "
            "AlgorithmSpecification.AlgorithmName."
        )
    if "TrainingImage" not in algorithm:
        raise invalid("The embedded SageMaker runs images; AlgorithmName is not supported.")
    resources = params["ResourceConfig"]
    if resources.get("InstanceCount", 1) != 1:
        raise jobs_limit("instances of a training job", resources["InstanceCount"])
    channels = [channel["ChannelName"] for channel in params.get("InputDataConfig", [])]
    repeated = sorted({name for name in channels if channels.count(name) > 1})
    if repeated:
        raise invalid(f"Channel names must be unique within a job, repeated: {repeated}")
    for channel in params.get("InputDataConfig", []):
        mode = channel.get("InputMode", algorithm["TrainingInputMode"])
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] == "AugmentedManifestFile":
            raise invalid("The embedded SageMaker reads S3Prefix and ManifestFile channels only.")
        if mode == "Pipe":
            raise invalid("The embedded SageMaker has input modes File and FastFile, not Pipe.")
    condition = params.get("StoppingCondition", {})
    limit, wait = condition.get("MaxRuntimeInSeconds"), condition.get("MaxWaitTimeInSeconds")
    if wait is not None and not params.get("EnableManagedSpotTraining"):
        raise invalid(
            "MaxWaitTimeInSeconds can be specified only when EnableManagedSpotTraining is true."
        )
    if wait is not None and limit is not None and wait < limit:
        raise invalid("MaxWaitTimeInSeconds must be at least MaxRuntimeInSeconds.")


def jobs_limit(what: str, asked: int) -> ApiError:
    """The refusal of more than the one instance that the embedded SageMaker has."""
    return ApiError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{what}' is 1, with a request delta of {asked}. "
        "The embedded SageMaker runs one instance per job.",
    )


def _find(name: str) -> Job:
    job = store.current().training_jobs.get(name)
    if job is None:
        raise invalid("Requested resource not found.")
    return job


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeTrainingJob`."""
    with store.current().lock:
        return dict(_find(params["TrainingJobName"]).record)


def stop(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`StopTrainingJob`: SIGTERM now, SIGKILL 120 seconds later."""
    at = store.current()
    job = _find(params["TrainingJobName"])
    with at.lock:
        if job.record["TrainingJobStatus"] not in {"InProgress", "Stopping"}:
            raise invalid(
                "The request was rejected because the training job is in status "
                f"{job.record['TrainingJobStatus']}."
            )
        if not job.stop.is_set():
            training_run.advance(at, job, "Stopping", "Stopping the training job", "Stopping")
            job.stop.set()
    return {}


def list_jobs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListTrainingJobs`."""
    at = store.current()
    with at.lock:
        return jobs.summaries(at.training_jobs, params, "TrainingJob", "TrainingJobStatus")
