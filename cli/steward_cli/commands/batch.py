"""``steward batch``: score a file with the version in production, by a transform job."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError, WaiterError
from rich.console import Console

from steward.domain.batch_scores import BatchManifest, Scores, check_scores
from steward.domain.errors import RejectedError
from steward.domain.names import sagemaker_name
from steward.domain.principals import identity_of
from steward_cli.batch_input import BatchInput, read_batch
from steward_cli.console import CommandError, Exit, Json, progress, record, rejected, show
from steward_cli.state import StackState
from steward_cli.target import Target, choose, cost_tags

app = typer.Typer(help="Batch: score a file with the version in production.")
MOST_ATTEMPTS = 20


@app.callback()
def batch() -> None:
    """Score files."""


@app.command("score")
def score(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    file: Annotated[Path, typer.Argument(help="CSV with a header: entity id and features.",
                                         exists=True, dir_okay=False)],
    out: Annotated[Path | None, typer.Option("--out", help="Write the scores here too.")] = None,
    instance_type: Annotated[str | None, typer.Option("--instance-type", help="Of the job; that "
                                                      "of training by default.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Score a file by a SageMaker transform job, check the result, deliver it with a manifest.

    Every row is judged by the rules of requests first. Delivered is all or nothing: as many rows
    as were sent, with their ids, each with a possible score. The same file and version are scored
    once; asking again shows what was delivered.

    Example: `steward batch score churn april.csv --out scores.csv`
    """
    target = choose(context.obj)
    state = StackState(target)
    from steward.domain.project import parse_project

    declared = parse_project(state.project(project)["config"])
    rows = read_batch(file, declared)
    version = state.champion(project)
    if version is None:
        raise CommandError(
            f"{project} has no version in production", Exit.CONFLICT,
            f"approve one: steward versions list {project}",
        )  # fmt: skip
    batch_id = hashlib.sha256(f"{project}\n{version}\n{rows.sha256}".encode()).hexdigest()[:16]
    prefix = f"batch/{project}/{batch_id}"
    bucket = target.output("ArtifactsBucketName")
    found = _object(target, bucket, f"{prefix}/delivered/manifest.json")
    if found is not None:
        manifest, again = BatchManifest.model_validate_json(found), True
    else:
        again = False
        with progress(f"scoring {file.name}") as say:
            manifest = _score(
                target, declared.data.label.task, rows, project, version, batch_id,
                instance_type or declared.training.instance_type, say,
            )  # fmt: skip
    if out is not None:
        out.write_bytes(_object(target, bucket, f"{prefix}/delivered/scores.csv") or b"")
    told = {**manifest.model_dump(mode="json"), "delivered_before": again}

    def render(console: Console) -> None:
        console.print(record(told))

    show(told, json_, render)


def _score(
    target: Target, task: str, rows: BatchInput, project: str, version: int, batch_id: str,
    instance_type: str, say: Any,
) -> BatchManifest:  # fmt: skip
    bucket, prefix = target.output("ArtifactsBucketName"), f"batch/{project}/{batch_id}"
    s3 = target.client("s3")
    s3.put_object(Bucket=bucket, Key=f"{prefix}/input/rows.csv", Body=rows.body)
    model = model_in_production(target, project, version)
    job = _start(target, project, batch_id, model, f"s3://{bucket}/{prefix}", instance_type)
    say(f"transform job {job}")
    _wait(target, job)
    answered = s3.get_object(Bucket=bucket, Key=f"{prefix}/output/rows.csv.out")["Body"].read()
    say("checking the result")
    try:
        scores = check_scores(rows.ids, answered.decode().splitlines(), task)
    except RejectedError as error:
        raise rejected(error, Exit.FAILED, f"s3://{bucket}/{prefix}/output") from None
    content = "".join(scores.lines()).encode()
    delivered = f"{prefix}/delivered"
    s3.put_object(Bucket=bucket, Key=f"{delivered}/scores.csv", Body=content)
    manifest = _manifest(target, rows, scores, content, project, version, batch_id, job)
    s3.put_object(
        Bucket=bucket, Key=f"{delivered}/manifest.json",
        Body=manifest.model_dump_json(indent=1).encode(), ContentType="application/json",
    )  # fmt: skip
    return manifest


def _manifest(
    target: Target, rows: BatchInput, scores: Scores, content: bytes, project: str, version: int,
    batch_id: str, job: str,
) -> BatchManifest:  # fmt: skip
    base = f"s3://{target.output('ArtifactsBucketName')}/batch/{project}/{batch_id}"
    return BatchManifest(
        project=project, version=version, batch_id=batch_id, input_uri=f"{base}/input/rows.csv",
        input_sha256=rows.sha256, scores_uri=f"{base}/delivered/scores.csv",
        scores_sha256=hashlib.sha256(content).hexdigest(), rows=len(scores.values),
        least=min(scores.values), most=max(scores.values),
        mean=sum(scores.values) / len(scores.values), transform_job=job,
        requested_by=identity_of(target.identity()),
        delivered_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )  # fmt: skip


def model_in_production(target: Target, project: str, version: int) -> str:
    """Return the SageMaker model behind the endpoint that the route gives the version.

    Raises:
        CommandError: The route names no such endpoint.
    """
    route = StackState(target).route(project) or {}
    arms = [arm for arm in route.get("arms", ()) if int(arm["version"]) == version]
    if not arms:
        raise CommandError(f"no endpoint answers with version {version}", Exit.CONFLICT)
    sagemaker = target.client("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName=arms[0]["endpoint"])["EndpointConfigName"]
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    named = [v for v in variants if v["VariantName"] == f"v{version}"] or variants
    return str(named[0]["ModelName"])


def _start(
    target: Target, project: str, batch_id: str, model: str, base: str, instance_type: str
) -> str:
    """Start a transform job under a name that is not used yet; names are used once for good."""
    sagemaker = target.client("sagemaker")
    for attempt in range(1, MOST_ATTEMPTS + 1):
        name = sagemaker_name(project, "batch", batch_id, attempt)
        try:
            sagemaker.create_transform_job(
                TransformJobName=name,
                ModelName=model,
                BatchStrategy="MultiRecord",
                MaxPayloadInMB=1,
                TransformInput={
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{base}/input/"}
                    },
                    "ContentType": "text/csv",
                    "SplitType": "Line",
                },
                TransformOutput={
                    "S3OutputPath": f"{base}/output", "AssembleWith": "Line", "Accept": "text/csv",
                },
                # The id goes past the model and comes back before its score.
                DataProcessing={
                    "InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]",
                },
                TransformResources={"InstanceType": instance_type, "InstanceCount": 1},
                Tags=cost_tags(target, project),
            )  # fmt: skip
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise
            continue
        return name
    raise CommandError(
        f"batch {batch_id} was tried {MOST_ATTEMPTS} times", Exit.FAILED, "mend what made it fail"
    )


def _wait(target: Target, job: str) -> None:
    sagemaker = target.client("sagemaker")
    delay = 1 if target.engine else 15
    with contextlib.suppress(WaiterError):  # The job says why; a description follows either way.
        sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
            TransformJobName=job, WaiterConfig={"Delay": delay, "MaxAttempts": 5760 // delay}
        )
    described = sagemaker.describe_transform_job(TransformJobName=job)
    if described["TransformJobStatus"] != "Completed":
        raise CommandError(
            f"transform job {job} is {described['TransformJobStatus']}: "
            f"{described.get('FailureReason', 'no reason given')}",
            Exit.FAILED, "nothing was delivered; asking again starts another job",
        )  # fmt: skip


def _object(target: Target, bucket: str, key: str) -> bytes | None:
    s3 = target.client("s3")
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return body
