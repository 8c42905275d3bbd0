"""A training job's run: download, train, upload, with each secondary status on the way."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
from pathlib import Path
from typing import Any

from ministack.services import cloudwatch

from steward_local import authority
from steward_local.sagemaker import container, image, jobs, settings, spot, state_events
from steward_local.sagemaker.container_logs import LogStream
from steward_local.sagemaker.s3_files import RoleFiles, TransferError, pack
from steward_local.sagemaker.store import Job, Store, now

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_TEXTS = {
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "Training job was interrupted: the spot capacity was taken back",
}


_LAST = {"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"}


class JobFailedError(Exception):
    """The job ends as Failed with this FailureReason."""


def advance(at: Store, job: Job, secondary: str, text: str = "", status: str = "") -> None:
    """Enter a secondary status (and a status), close the one before, and tell the bus."""
    moment = now()
    with at.lock:
        record = job.record
        transitions = record["SecondaryStatusTransitions"]
        transitions[-1].setdefault("EndTime", moment)
        entry = {
            "Status": secondary,
            "StartTime": moment,
            "StatusMessage": text or _TEXTS.get(secondary, secondary),
        }
        if secondary in _LAST:
            entry["EndTime"] = moment
        transitions.append(entry)
        record["SecondaryStatus"] = secondary
        record["LastModifiedTime"] = moment
        if status:
            record["TrainingJobStatus"] = status
    state_events.training_job_changed(job.record, at.tags.get(job.record["TrainingJobArn"], {}))


def run(at: Store, job: Job) -> None:
    """Run a job from slot to end; never raises, since the outcome is the job's record."""
    try:
        with jobs.slots():
            _run(at, job)
    except (
        JobFailedError,
        TransferError,
        jobs.ImageError,
        authority.AssumeRoleError,
    ) as error:
        text = str(error)
        reason = text if isinstance(error, JobFailedError) else f"ClientError: {text}"
        _finish(at, job, "Failed", "Failed", reason)
    except Exception as error:  # noqa: BLE001 - the fault of the runner is the job's ending
        _finish(at, job, "Failed", "Failed", f"InternalServerError: {error!r}")
    finally:
        job.finish()


def _run(at: Store, job: Job) -> None:
    record, request = job.record, job.request
    name = record["TrainingJobName"]
    if job.stop.is_set():
        _finish(at, job, "Stopped", "Stopped")
        return
    runner = jobs.runner_of(request["AlgorithmSpecification"]["TrainingImage"])
    options = settings.current()
    credentials = authority.assume_for_service(request["RoleArn"], jobs.SERVICE, "SageMaker")
    files = RoleFiles(credentials, options.endpoint, at.region)
    base = jobs.base_directory(at, "training", name)
    advance(at, job, "Downloading")
    with at.lock:
        record["TrainingStartTime"] = now()
    _lay_out(request, base, files)
    if job.stop.is_set():
        _finish(at, job, "Stopped", "Stopped")
        return
    try:
        ending = spot.until_done(
            at, job, base, files,
            lambda: _lay_out(request, base, files),
            lambda ends: _train(at, job, base, credentials, runner, ends),
        )  # fmt: skip
    except spot.WaitExceededError:
        _finish(at, job, "MaxWaitTimeExceeded", "Stopped")
        return
    if ending.exit_code != 0 and not ending.stopped and not ending.timed_out:
        raise JobFailedError(_failure(base, ending.exit_code))
    if not ending.stopped:
        advance(at, job, "Uploading")
    _upload(at, job, base, files)
    shutil.rmtree(base, ignore_errors=True)
    if ending.timed_out:
        _finish(at, job, "MaxRuntimeExceeded", "Stopped")
    elif ending.stopped:
        _finish(at, job, "Stopped", "Stopped")
    else:
        _finish(at, job, "Completed", "Completed")


def _lay_out(request: dict[str, Any], base: Path, files: RoleFiles) -> None:
    for folder in ("input/config", "input/data", "model", "output/data", "code", "tmp"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    config = base / "input/config"
    channels = request.get("InputDataConfig", [])
    (config / "hyperparameters.json").write_text(json.dumps(request.get("HyperParameters", {})))
    (config / "inputdataconfig.json").write_text(
        json.dumps(
            {
                channel["ChannelName"]: {
                    "TrainingInputMode": "File",
                    "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                        "S3DataDistributionType", "FullyReplicated"
                    ),
                    "RecordWrapperType": channel.get("RecordWrapperType", "None"),
                    **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
                }
                for channel in channels
            }
        )
    )
    (config / "resourceconfig.json").write_text(
        json.dumps(
            {
                "current_host": "algo-1",
                "current_instance_type": request["ResourceConfig"].get("InstanceType", ""),
                "hosts": ["algo-1"],
                "network_interface_name": "lo",
            }
        )
    )
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]
        target = base / "input/data" / channel["ChannelName"]
        target.mkdir(parents=True, exist_ok=True)
        gunzip = channel.get("CompressionType") == "Gzip"
        if source["S3DataType"] == "ManifestFile":
            files.download_manifest(source["S3Uri"], target, gunzip=gunzip)
        else:
            files.download_prefix(source["S3Uri"], target, gunzip=gunzip)


def _train(
    at: Store,
    job: Job,
    base: Path,
    credentials: authority.RoleCredentials,
    runner: image.Runner,
    ends: threading.Event,
) -> container.Ending:
    record, request = job.record, job.request
    options = settings.current()
    name = record["TrainingJobName"]
    role = authority.principal_of(credentials)
    log = LogStream(LOG_GROUP, f"{name}/algo-1-{int(now())}", role)
    definitions = [
        (item["Name"], re.compile(item["Regex"]))
        for item in request["AlgorithmSpecification"].get("MetricDefinitions", [])
    ]

    def note_metrics(lines: list[str]) -> None:
        for line in lines:
            for metric, pattern in definitions:
                found = pattern.search(line)
                if found:
                    _note(at, job, metric, found.group(1), role)

    variables = {
        "TRAINING_JOB_NAME": name,
        "TRAINING_JOB_ARN": record["TrainingJobArn"],
        **request.get("Environment", {}),
    }
    algorithm = request["AlgorithmSpecification"]
    arguments = algorithm.get("ContainerArguments", ["train"])
    return container.run(
        [options.python, "-m", runner.module, *arguments],
        container.environment(runner, credentials, at.region, base, variables),
        base,
        log,
        seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"],
        stop=ends,
        grace=options.stop_grace_seconds,
        on_lines=note_metrics,
    )


def _note(at: Store, job: Job, metric: str, text: str, role: authority.Principal) -> None:
    try:
        value = float(text)
    except ValueError:
        return
    moment = now()
    with at.lock:
        job.metrics.setdefault(metric, []).append(value)
        known = job.record.setdefault("FinalMetricDataList", [])
        known[:] = [item for item in known if item["MetricName"] != metric]
        known.append({"MetricName": metric, "Value": value, "Timestamp": moment})
    if role.denial("cloudwatch:PutMetricData", "*") is None:
        cloudwatch._store_datum(
            LOG_GROUP,
            metric,
            {"TrainingJobName": job.record["TrainingJobName"]},
            moment,
            "None",
            value,
            None,
            None,
            None,
        )


def _failure(base: Path, code: int) -> str:
    file = base / "output/failure"
    text = file.read_text(errors="replace") if file.is_file() else ""
    return f"AlgorithmError: {text[: jobs.MAX_REASON - 40]}, exit code: {code}"


def _upload(at: Store, job: Job, base: Path, files: RoleFiles) -> None:
    output = job.request["OutputDataConfig"]
    target = f"{output['S3OutputPath'].rstrip('/')}/{job.record['TrainingJobName']}/output"
    key = output.get("KmsKeyId") or None
    archive = base / "model.tar.gz"
    pack(base / "model", archive)
    files.upload(archive, f"{target}/model.tar.gz", key)
    if any((base / "output/data").iterdir()):
        results = base / "output.tar.gz"
        pack(base / "output/data", results)
        files.upload(results, f"{target}/output.tar.gz", key)
    with at.lock:
        job.record["ModelArtifacts"] = {"S3ModelArtifacts": f"{target}/model.tar.gz"}


def _finish(at: Store, job: Job, secondary: str, status: str, reason: str = "") -> None:
    moment = now()
    with at.lock:
        record = job.record
        started = record.get("TrainingStartTime")
        record["TrainingEndTime"] = moment
        if started is not None:
            seconds = max(1, math.ceil(moment - started))
            record["TrainingTimeInSeconds"] = seconds
            record["BillableTimeInSeconds"] = spot.billable(job.request, seconds)
        if reason:
            record["FailureReason"] = reason[: jobs.MAX_REASON]
    advance(at, job, secondary, reason if status == "Failed" else "", status)
