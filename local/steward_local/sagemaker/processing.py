"""Processing jobs: the API operations and the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from steward_local import authority
from steward_local.authority import Principal
from steward_local.sagemaker import container, image, jobs, settings, state_events, store
from steward_local.sagemaker.container_logs import LogStream
from steward_local.sagemaker.errors import invalid
from steward_local.sagemaker.s3_files import RoleFiles, TransferError
from steward_local.sagemaker.store import Job, Store, now
from steward_local.sagemaker.training import jobs_limit

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
ROOT = "/opt/ml"


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateProcessingJob`: validate, record and start in the background."""
    at = store.current()
    name = params["ProcessingJobName"]
    arn = at.arn("processing-job", name)
    _check(params)
    jobs.require_role(params["RoleArn"], caller)
    moment = now()
    record = {
        "ProcessingJobName": name,
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        **{key: value for key, value in params.items() if key != "Tags"},
        "StoppingCondition": params.get(
            "StoppingCondition", {"MaxRuntimeInSeconds": jobs.DEFAULT_SECONDS}
        ),
    }
    job = Job(record, params)
    with at.lock:
        jobs.require_unused(at.processing_jobs, name, arn)
        at.processing_jobs[name] = job
    at.tag(arn, params.get("Tags"))
    state_events.processing_job_changed(record, at.tags[arn])
    jobs.in_background(lambda: run(at, job), f"processing-{name}")
    return {"ProcessingJobArn": arn}


def _check(params: dict[str, Any]) -> None:
    cluster = params["ProcessingResources"]["ClusterConfig"]
    if cluster["InstanceCount"] != 1:
        raise jobs_limit("instances of a processing job", cluster["InstanceCount"])
    outputs = params.get("ProcessingOutputConfig", {}).get("Outputs", [])
    inputs = params.get("ProcessingInputs", [])
    for names in ([i["InputName"] for i in inputs], [o["OutputName"] for o in outputs]):
        if len(set(names)) != len(names):
            raise invalid("Input and output names must be unique within a processing job.")
    for item in [*inputs, *outputs]:
        transfer = item.get("S3Input") or item.get("S3Output")
        if transfer is None:
            raise invalid("The embedded SageMaker has inputs and outputs in S3 only.")
        if not transfer.get("LocalPath", "").startswith(f"{ROOT}/processing"):
            raise invalid(
                f"LocalPath must begin with {ROOT}/processing: {transfer.get('LocalPath')}"
            )


def _find(name: str) -> Job:
    job = store.current().processing_jobs.get(name)
    if job is None:
        raise invalid(f"Could not find requested job with name: {name}")
    return job


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeProcessingJob`."""
    with store.current().lock:
        return dict(_find(params["ProcessingJobName"]).record)


def stop(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`StopProcessingJob`: SIGTERM now, SIGKILL 120 seconds later."""
    at = store.current()
    job = _find(params["ProcessingJobName"])
    with at.lock:
        if job.record["ProcessingJobStatus"] not in {"InProgress", "Stopping"}:
            raise invalid(
                "The request was rejected because the processing job is in status "
                f"{job.record['ProcessingJobStatus']}."
            )
        if not job.stop.is_set():
            job.record["ProcessingJobStatus"] = "Stopping"
            job.record["LastModifiedTime"] = now()
            state_events.processing_job_changed(job.record, at.tags[job.record["ProcessingJobArn"]])
            job.stop.set()
    return {}


def list_jobs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListProcessingJobs`."""
    at = store.current()
    with at.lock:
        return jobs.summaries(at.processing_jobs, params, "ProcessingJob", "ProcessingJobStatus")


def run(at: Store, job: Job) -> None:
    """Run a job from slot to end; never raises, since the outcome is the job's record."""
    try:
        with jobs.slots():
            status, reason = _run(at, job)
    except (TransferError, jobs.ImageError, authority.AssumeRoleError) as error:
        status, reason = "Failed", f"ClientError: {error}"
    except Exception as error:  # noqa: BLE001 - the fault of the runner is the job's ending
        status, reason = "Failed", f"InternalServerError: {error!r}"
    moment = now()
    with at.lock:
        job.record["ProcessingJobStatus"] = status
        job.record["LastModifiedTime"] = job.record["ProcessingEndTime"] = moment
        if reason:
            job.record["FailureReason"] = reason[: jobs.MAX_REASON]
    state_events.processing_job_changed(job.record, at.tags[job.record["ProcessingJobArn"]])
    job.finish()


def _run(at: Store, job: Job) -> tuple[str, str]:
    record, request = job.record, job.request
    name = record["ProcessingJobName"]
    if job.stop.is_set():
        return "Stopped", ""
    runner = jobs.runner_of(request["AppSpecification"]["ImageUri"])
    options = settings.current()
    credentials = authority.assume_for_service(request["RoleArn"], jobs.SERVICE, "SageMaker")
    files = RoleFiles(credentials, options.endpoint, at.region)
    base = jobs.base_directory(at, "processing", name)
    _lay_out(request, record, base, files)
    with at.lock:
        record["ProcessingStartTime"] = now()
        record["LastModifiedTime"] = now()
    log = LogStream(LOG_GROUP, f"{name}/algo-1-{int(now())}", authority.principal_of(credentials))
    variables = {"PROCESSING_JOB_NAME": name, **request.get("Environment", {})}
    ending = container.run(
        _command(request["AppSpecification"], base, runner),
        container.environment(runner, credentials, at.region, base, variables),
        base,
        log,
        seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        stop=job.stop,
        grace=options.stop_grace_seconds,
        on_lines=lambda _lines: None,
    )
    message = base / "output/message"
    if message.is_file():
        with at.lock:
            record["ExitMessage"] = message.read_text(errors="replace")[: jobs.MAX_REASON]
    if ending.stopped:
        return "Stopped", ""
    if ending.timed_out:
        return "Stopped", "MaxRuntimeExceeded: the job ran longer than MaxRuntimeInSeconds"
    if ending.exit_code != 0:
        return "Failed", (
            f"AlgorithmError: See job logs for more information, exit code: {ending.exit_code}"
        )
    _upload(request, base, files)
    shutil.rmtree(base, ignore_errors=True)
    return "Completed", ""


def _local(path: str, base: Path) -> Path:
    return base / path.removeprefix(ROOT).lstrip("/")


def _lay_out(request: dict[str, Any], record: dict[str, Any], base: Path, files: RoleFiles) -> None:
    for folder in ("config", "processing", "output"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    cluster = request["ProcessingResources"]["ClusterConfig"]
    (base / "config/processingjobconfig.json").write_text(json.dumps(record))
    (base / "config/resourceconfig.json").write_text(
        json.dumps(
            {
                "current_host": "algo-1",
                "hosts": ["algo-1"],
                "current_instance_type": cluster["InstanceType"],
            }
        )
    )
    for item in request.get("ProcessingInputs", []):
        source = item["S3Input"]
        target = _local(source["LocalPath"], base)
        target.mkdir(parents=True, exist_ok=True)
        gunzip = source.get("S3CompressionType") == "Gzip"
        if source["S3DataType"] == "ManifestFile":
            files.download_manifest(source["S3Uri"], target, gunzip=gunzip)
        else:
            files.download_prefix(source["S3Uri"], target, gunzip=gunzip)
    for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        _local(item["S3Output"]["LocalPath"], base).mkdir(parents=True, exist_ok=True)


def _command(specification: dict[str, Any], base: Path, runner: image.Runner) -> list[str]:
    """The container's command with the local interpreter, module and `/opt/ml` in their place."""
    entry = specification.get("ContainerEntrypoint", ["python", "-m", "steward_jobs"])
    words = [*entry, *specification.get("ContainerArguments", [])]
    places = dict.fromkeys(("python", "python3"), settings.current().python)
    command = [places.get(words[0], words[0]), *words[1:]]
    if command[1:3] == ["-m", "steward_jobs"]:
        command[2] = runner.module
    return [str(_local(word, base)) if word.startswith(ROOT) else word for word in command]


def _upload(request: dict[str, Any], base: Path, files: RoleFiles) -> None:
    config = request.get("ProcessingOutputConfig", {})
    for item in config.get("Outputs", []):
        output = item["S3Output"]
        files.upload_tree(
            _local(output["LocalPath"], base), output["S3Uri"], config.get("KmsKeyId") or None
        )
