"""Profiling beyond one function: AWS Glue DataBrew, deployed for a project when it is asked for."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from steward.adapters.objects import S3ObjectStore
from steward.domain.databrew_profiles import DataBrewProfile, read_profile
from steward.domain.delivery_files import MAX_UNPACKED_BYTES
from steward.domain.errors import EvidenceIncompleteError, UnreadableFileError
from steward_cli.commands.local import repository_root
from steward_cli.console import CommandError, Exit, rejected
from steward_cli.stacks import deploy
from steward_cli.target import Target

Engine = Literal["auto", "duckdb", "databrew"]
POLL_S = 10.0
_FORMATS = {"csv": "CSV", "jsonl": "JSON", "parquet": "PARQUET"}


def engine_for(size: int, asked: Engine, project: str | None) -> Literal["duckdb", "databrew"]:
    """Return the engine that profiles a file of so many bytes.

    DuckDB on this machine takes what a function could read too; a larger file goes to DataBrew
    where a project says which stack it belongs to.

    Raises:
        CommandError: DataBrew was asked for without a project.
    """
    if asked == "databrew" and project is None:
        raise CommandError(
            "DataBrew runs in a project's stack", Exit.USAGE, "name it with --project"
        )
    if asked != "auto":
        return asked
    return "databrew" if size > MAX_UNPACKED_BYTES and project is not None else "duckdb"


def profiling_parameters(target: Target, project: str, format_: str) -> dict[str, str]:
    """Return the parameters of ``projects/profiling-stack.yaml``."""
    return {
        "Project": project,
        "Environment": target.environment_name,
        "Format": _FORMATS[format_],
        "DataBucket": target.output("DataBucketName"),
        "ArtifactsBucket": target.output("ArtifactsBucketName"),
        "KeyArn": target.output("KeyArn"),
    }


def start_profile_job(target: Target, project: str, file: Path, format_: str) -> dict[str, str]:
    """Put a file where the project's job reads it, and start the job by its state machine.

    Returns:
        ``execution_arn`` and ``output_uri``, the prefix where DataBrew writes its JSON.

    Raises:
        CommandError: The target is the embedded AWS, which has no DataBrew, or CloudFormation
            refused the stack.
    """
    if target.engine is not None:
        raise CommandError(
            "the embedded AWS has no DataBrew", Exit.USAGE,
            "use --engine duckdb, or another target",
        )  # fmt: skip
    parameters = profiling_parameters(target, project, format_)
    template = repository_root() / "projects" / "profiling-stack.yaml"
    deploy(
        target, f"{target.stack}-profiling-{project}", project,
        template.read_text(encoding="utf-8"), parameters, ("CAPABILITY_IAM",),
    )  # fmt: skip
    bucket = parameters["DataBucket"]
    target.client("s3").upload_file(str(file), bucket, f"profiling/{project}/{file.name}")
    account = target.client("sts").get_caller_identity()["Arn"].split(":")
    machine = (
        f"arn:{account[1]}:states:{target.region}:{account[4]}"
        f":stateMachine:{target.stack}-profile-file"
    )
    work = {
        "project": project, "correlation_id": uuid.uuid4().hex[:12],
        "job": f"steward-{target.environment_name}-{project}-profile",
    }  # fmt: skip
    started = target.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps(work)
    )
    output = f"s3://{parameters['ArtifactsBucket']}/profiles/databrew/{project}/"
    return {"execution_arn": started["executionArn"], "output_uri": output}


def wait_for_profile(
    target: Target, started: dict[str, str], told: Callable[[str], None], every_s: float = POLL_S
) -> str:
    """Wait until the machine's execution has ended; return where DataBrew wrote the profile.

    Args:
        target: Where the execution runs.
        started: As :func:`start_profile_job` returns it.
        told: Is told how long it has been running.
        every_s: Seconds between two looks.

    Raises:
        CommandError: The job failed, was stopped or timed out, or wrote no profile.
    """
    arn, began = started["execution_arn"], time.monotonic()
    states = target.client("stepfunctions")
    while (found := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        told(f"DataBrew runs since {time.monotonic() - began:.0f} s")
        time.sleep(every_s)
    if found["status"] != "SUCCEEDED":
        said = ": ".join(found[name] for name in ("error", "cause") if found.get(name))
        raise CommandError(
            f"the profile job ended as {found['status']}{f' ({said})' if said else ''}",
            Exit.TIMED_OUT if found["status"] == "TIMED_OUT" else Exit.FAILED, arn,
        )  # fmt: skip
    output = json.loads(found["output"])
    listed = _written(target, started["output_uri"], output["run_id"])
    profiles = [uri for uri in output["outputs"] or listed if _is_profile(uri)]
    if not profiles:
        raise CommandError(
            f"the job run {output['run_id']} wrote no profile", Exit.NOT_FOUND,
            f"look below {started['output_uri']}",
        )  # fmt: skip
    return str(profiles[0])


def _is_profile(uri: str) -> bool:
    """A ruleset's report lies beside the profile; Steward's jobs have none."""
    return uri.endswith(".json") and not uri.endswith("_dq-validation-report.json")


def _written(target: Target, prefix: str, run_id: str) -> list[str]:
    """Return the files of a job run: their names end with its id without ``db_``."""
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    end = f"_{run_id.removeprefix('db_')}.json"
    found = S3ObjectStore(target.client("s3")).list(bucket, key)
    return [f"s3://{bucket}/{info.key}" for info in found if run_id and info.key.endswith(end)]


def fetch_profile(target: Target, uri: str) -> DataBrewProfile:
    """Return the profile that DataBrew wrote.

    Raises:
        CommandError: It is not there, or of a form that is not known.
    """
    try:
        return read_profile(S3ObjectStore(target.client("s3")).read(uri))
    except EvidenceIncompleteError as error:
        raise rejected(error, Exit.NOT_FOUND) from None
    except UnreadableFileError as error:
        raise rejected(error, where=uri) from None
