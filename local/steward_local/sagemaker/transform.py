"""Batch transform jobs: the API operations, and a run that asks the model's own container."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from steward_local import authority
from steward_local.authority import Principal
from steward_local.sagemaker import jobs, settings, state_events, store
from steward_local.sagemaker.errors import invalid
from steward_local.sagemaker.s3_files import RoleFiles, TransferError, split_uri
from steward_local.sagemaker.store import Job, Store, now
from steward_local.sagemaker.training import jobs_limit
from steward_local.sagemaker.transform_rows import (
    FilterError,
    batches,
    check_filter,
    filtered,
)
from steward_local.sagemaker.variant import StartError, Variant

LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_PAYLOAD_MB = 6


class RefusedRowsError(Exception):
    """The container did not answer 200; the text is the FailureReason."""


def create(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`CreateTransformJob`: validate, record and start in the background."""
    at = store.current()
    name = params["TransformJobName"]
    arn = at.arn("transform-job", name)
    _check(params)
    with at.lock:
        model = at.models.get(params["ModelName"].lower())
    if model is None:
        raise invalid(f'Could not find model "{at.arn("model", params["ModelName"])}".')
    moment = now()
    record = {
        "TransformJobName": name,
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "CreationTime": moment,
        **{key: value for key, value in params.items() if key != "Tags"},
    }
    job = Job(record, params)
    with at.lock:
        jobs.require_unused(at.transform_jobs, name, arn)
        at.transform_jobs[name] = job
    at.tag(arn, params.get("Tags"))
    state_events.transform_job_changed(record, at.tags[arn])
    jobs.in_background(lambda: run(at, job, model), f"transform-{name}")
    return {"TransformJobArn": arn}


def _check(params: dict[str, Any]) -> None:
    if params["TransformResources"]["InstanceCount"] != 1:
        raise jobs_limit(
            "instances of a transform job", params["TransformResources"]["InstanceCount"]
        )
    source = params["TransformInput"]
    if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
        raise invalid("The embedded SageMaker reads transform input by S3Prefix only.")
    if source.get("CompressionType", "None") != "None":
        raise invalid("The embedded SageMaker reads plain transform input only.")
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise invalid("The embedded SageMaker splits transform input by Line only.")
    processing = params.get("DataProcessing", {})
    content = source.get("ContentType", "")
    if processing and not content.startswith("text/csv"):
        raise invalid("The embedded SageMaker filters and joins rows of text/csv only.")
    for member in ("InputFilter", "OutputFilter"):
        try:
            check_filter(processing.get(member, "$"))
        except FilterError as error:
            raise invalid(str(error)) from None
    joins = processing.get("JoinSource", "None") == "Input"
    if joins and params["TransformOutput"].get("AssembleWith") != "Line":
        raise invalid("JoinSource Input needs AssembleWith Line and SplitType Line.")


def _find(name: str) -> Job:
    job = store.current().transform_jobs.get(name)
    if job is None:
        raise invalid(f"Could not find requested job with name: {name}")
    return job


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeTransformJob`."""
    with store.current().lock:
        return dict(_find(params["TransformJobName"]).record)


def stop(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`StopTransformJob`: between two requests."""
    at = store.current()
    job = _find(params["TransformJobName"])
    with at.lock:
        if job.record["TransformJobStatus"] not in {"InProgress", "Stopping"}:
            raise invalid(
                "The request was rejected because the transform job is in status "
                f"{job.record['TransformJobStatus']}."
            )
        job.record["TransformJobStatus"] = "Stopping"
        job.stop.set()
    return {}


def list_jobs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListTransformJobs`."""
    at = store.current()
    with at.lock:
        return jobs.summaries(at.transform_jobs, params, "TransformJob", "TransformJobStatus")


def run(at: Store, job: Job, model: dict[str, Any]) -> None:
    """Run a job from slot to end; never raises, since the outcome is the job's record."""
    try:
        with jobs.slots():
            status, reason = _run(at, job, model)
    except (TransferError, jobs.ImageError, authority.AssumeRoleError) as error:
        status, reason = "Failed", f"ClientError: {error}"
    except (RefusedRowsError, StartError, FilterError) as error:
        status, reason = "Failed", f"AlgorithmError: {error}"
    except Exception as error:  # noqa: BLE001 - the fault of the runner is the job's ending
        status, reason = "Failed", f"InternalServerError: {error!r}"
    with at.lock:
        job.record["TransformJobStatus"] = status
        job.record["TransformEndTime"] = now()
        if reason:
            job.record["FailureReason"] = reason[: jobs.MAX_REASON]
    state_events.transform_job_changed(job.record, at.tags[job.record["TransformJobArn"]])
    job.finish()


def _run(at: Store, job: Job, model: dict[str, Any]) -> tuple[str, str]:
    if job.stop.is_set():
        return "Stopped", ""
    request, options = job.request, settings.current()
    with at.lock:
        job.record["TransformStartTime"] = now()
    variables = request.get("Environment", {})
    resolved = model["Resolved"]
    given = {**resolved, "Environment": {**resolved.get("Environment", {}), **variables}}
    name = request["TransformJobName"]
    variant = Variant(
        options, at.region, name, {"VariantName": name}, {**model, "Resolved": given},
        log_group=LOG_GROUP,
    )  # fmt: skip
    credentials = authority.assume_for_service(model["ExecutionRoleArn"], jobs.SERVICE, "SageMaker")
    files = RoleFiles(credentials, options.endpoint, at.region)
    source = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    keys = files.keys_below(source)
    variant.start(job.stop)
    try:
        for key in keys:
            if job.stop.is_set():
                return "Stopped", ""
            body = files.read(split_uri(source)[0], key)
            answered = _transformed(request, body, key, variant)
            target = request["TransformOutput"]["S3OutputPath"].rstrip("/")
            files.put(f"{target}/{Path(key).name}.out", answered)
    finally:
        variant.close()
    return "Completed", ""


def _transformed(request: dict[str, Any], body: bytes, key: str, variant: Variant) -> bytes:
    """Return the answers to one object."""
    source, output = request["TransformInput"], request["TransformOutput"]
    if source.get("SplitType", "None") == "None":
        return _asked(body, request, key, variant)
    processing = request.get("DataProcessing", {})
    lines = [line for line in body.decode().splitlines() if line]
    inputs = [filtered(line, processing.get("InputFilter", "$")) for line in lines]
    most = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB) * 1024 * 1024
    answers: list[str] = []
    for batch in batches(inputs, request.get("BatchStrategy", "MultiRecord"), most):
        text = _asked(("\n".join(batch) + "\n").encode(), request, key, variant).decode()
        answers += text.splitlines()
    if processing.get("JoinSource", "None") == "Input":
        if len(answers) != len(lines):
            raise RefusedRowsError(
                f"Fail to join data: mismatched line count between input and output of {key}"
            )
        answers = [f"{line},{answer}" for line, answer in zip(lines, answers, strict=True)]
    answers = [filtered(answer, processing.get("OutputFilter", "$")) for answer in answers]
    end = "\n" if output.get("AssembleWith") == "Line" else ""
    return "".join(f"{answer}{end}" for answer in answers).encode()


def _asked(body: bytes, request: dict[str, Any], key: str, variant: Variant) -> bytes:
    content = request["TransformInput"].get("ContentType", "application/octet-stream")
    accept = request["TransformOutput"].get("Accept", content)
    try:
        answer = variant.invoke(body, {"Content-Type": content, "Accept": accept})
    except (OSError, http.client.HTTPException) as error:
        raise RefusedRowsError(f"{key}: the container is gone: {error!r}") from None
    if answer.status != 200:
        told = answer.body.decode(errors="replace")[:400]
        raise RefusedRowsError(f"Bad HTTP status received from algorithm: {answer.status} {told}")
    return answer.body
