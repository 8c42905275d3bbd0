"""``steward project``: models under Steward's care."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward.domain.names import package_group
from steward.domain.project import Project
from steward_cli.commands.local import repository_root
from steward_cli.commands.project_new import list_templates, new, update_project
from steward_cli.commands.project_publish import publish_templates
from steward_cli.commands.project_remove import remove
from steward_cli.console import CommandError, Exit, Json, progress, record, show, table
from steward_cli.function_urls import call
from steward_cli.pipeline_stack import ALLOWED as SOURCES
from steward_cli.pipeline_stack import (
    MODES,
    deploy_pipeline,
    parse_source,
)
from steward_cli.project_board import Place, dashboard
from steward_cli.project_stack import (
    BatchDoorway,
    batch_schedule,
    served_versions,
    with_feature_groups,
    with_resources,
)
from steward_cli.project_text import print_project
from steward_cli.shared_versions import share_versions
from steward_cli.sheet import Full
from steward_cli.sources import Source, read_source
from steward_cli.stacks import deploy
from steward_cli.state import StackState, person, shares_of
from steward_cli.target import Target, choose

app = typer.Typer(help="Projects: one model each, declared in project.yaml.")

Folder = Annotated[
    Path, typer.Argument(help="Folder with project.yaml.", exists=True, file_okay=False)
]
SourceOption = Annotated[
    Path | None,
    typer.Option("--source", help="Code to take instead of training.source.", file_okay=False),
]


Only = Literal["stack", "code"]

app.command("new")(new)
app.command("templates")(list_templates)
app.command("update")(update_project)
app.command("remove")(remove)
app.command("publish-templates")(publish_templates)


@app.command("check")
def check(folder: Folder, source: SourceOption = None, json_: Json = False) -> None:
    """Check project.yaml and the source without touching AWS.

    Example: `steward project check projects/diabetes`
    """
    found = read_source(folder, source)
    show(
        {"project": found.project.project, "config_digest": found.project.digest,
         "code_digest": found.sha256},
        json_,
        lambda console: console.print(
            f"{found.project.project} is valid: {len(found.project.model_features)} features, "
            f"code {found.sha256[:12]}"
        ),
    )  # fmt: skip


@app.command("add")
def add(
    context: typer.Context,
    folder: Folder,
    source: SourceOption = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help=f"Also deploy a CodePipeline: {SOURCES}.")
    ] = None,
    mode: Annotated[
        str, typer.Option("--pipeline-mode", help="QUEUED or SUPERSEDED: what a newer commit does.")
    ] = "QUEUED",
    only: Annotated[
        Only | None, typer.Option("--only", help="One half: the stack first, the code then.")
    ] = None,
    json_: Json = False,
) -> None:
    """Deploy a project's own stack and push its code and configuration; run it again to update.

    You become the author of this code: you cannot approve what it trains. The personas share the
    work: the administrator deploys with `--only stack`, the scientist pushes with `--only code`.

    Example: `steward project add projects/diabetes`
    """
    target = choose(context.obj)
    found = read_source(folder, source)
    wanted = parse_source(pipeline) if pipeline else None
    if mode not in MODES:
        raise CommandError(f"--pipeline-mode {mode!r}", Exit.USAGE, f"allowed: {', '.join(MODES)}")
    if only == "code" and wanted is not None:
        raise CommandError(
            "--pipeline deploys a stack, --only code none", Exit.USAGE,
            "allowed with --pipeline: --only stack, or no --only",
        )  # fmt: skip
    name = found.project.project
    done: dict[str, Any] = {}
    with progress(f"adding {name}") as say:
        if only != "code":
            say("deploying the project stack")
            with _half(folder, "stack", "the administrator"):
                done["stack"] = deploy_project_stack(target, found.project)
        if only != "stack":
            say("pushing code and configuration")
            with _half(folder, "code", "the scientist"):
                done |= push(target, found)
        if wanted is not None:
            say("deploying the pipeline")
            done["pipeline_stack"] = deploy_pipeline(target, found.project, folder, wanted, mode)

    def render(console: Console) -> None:
        parts = []
        if only != "code":
            parts.append(f"stack {done['stack']}")
        if only != "stack":
            parts.append(f"code {found.sha256[:12]}, author {done.get('author')}")
        console.print(f"{name}: {', '.join(parts)}")
        if only == "stack":
            console.print(f"Now its author pushes: steward project add {folder} --only code")
        else:
            console.print(f"Now deliver data: steward data put FILE --project {name}")

    show(done, json_, render)


@contextmanager
def _half(folder: Path, half: Only, persona: str) -> Iterator[None]:
    """Say of a half that IAM refuses whose it is.

    Raises:
        CommandError: IAM refuses the caller.
    """
    try:
        yield
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        raise CommandError(
            str(error), Exit.DENIED,
            f"{persona} does that: steward project add {folder} --only {half} (docs/access.md)",
        ) from None  # fmt: skip


@app.command("list")
def list_projects(context: typer.Context, json_: Json = False) -> None:
    """List the projects with what answers now.

    Example: `steward project list`
    """
    state = StackState(choose(context.obj))
    projects = state.projects()

    def render(console: Console) -> None:
        rows = []
        for item in projects:
            shares = shares_of(state.route(item["project"]))
            serving = ", ".join(f"v{version} {share:g} %" for version, share in shares.items())
            rows.append((item["project"], serving or "nothing yet", person(item["author"]),
                         item["updated_at"]))  # fmt: skip
        console.print(table(("project", "serving", "author", "updated"), rows))

    show(projects, json_, render)


@app.command("show")
def show_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    full: Full = False,
    json_: Json = False,
) -> None:
    """Show a project: what answers, what it predicts from what, its rules.

    Example: `steward project show diabetes`
    """
    state = StackState(choose(context.obj))
    item = state.project(project)
    data = {**item, "route": state.route(project), "champion": state.champion(project)}

    def render(console: Console) -> None:
        if full:
            console.print(record(data))
        else:
            print_project(console, data, state.versions(project))

    show(data, json_, render)


def project_stack_name(target: Target, project: str) -> str:
    """Return the name of a project's own stack."""
    return f"{target.stack}-project-{project}"


def deploy_project_stack(target: Target, project: Project) -> str:
    """Create or update a project's own stack from ``projects/project-stack.yaml``.

    Each version of a feature group that is active, or that this declaration makes, has its
    SageMaker feature group in it.

    Returns:
        The stack's name.

    Raises:
        CommandError: CloudFormation refused or rolled back.
    """
    template = (repository_root() / "projects" / "project-stack.yaml").read_text(encoding="utf-8")
    served = served_versions(project, StackState(target).features(project.project))
    if served:
        template = with_feature_groups(
            template, project, served,
            environment=target.environment_name, data_bucket=target.output("DataBucketName"),
            key_arn=target.output("KeyArn"), role_arn=target.output("FeatureStoreRoleArn"),
            on_call_topic=target.output("OnCallTopic"),
        )  # fmt: skip
    resources = {"Dashboard": dashboard(project, _place(target))}
    if project.batch is not None and project.batch.schedule is not None:
        resources |= batch_schedule(project, _batch_doorway(target))
    template = with_resources(template, resources)
    name = project_stack_name(target, project.project)
    errors, latency = project.alarms.errors, project.alarms.latency
    parameters = {
        "Project": project.project,
        "Environment": target.environment_name,
        "Description": project.description,
        "HasModelPackageGroup": _has_kept_group(target, project.project, name),
        "ErrorThreshold": errors.threshold,
        "ErrorPeriodSeconds": errors.period_s,
        "ErrorEvaluationPeriods": errors.evaluation_periods,
        "ErrorDatapointsToAlarm": errors.datapoints_to_alarm,
        "LatencyThresholdMilliseconds": latency.threshold_ms,
        "LatencyPeriodSeconds": latency.period_s,
        "LatencyEvaluationPeriods": latency.evaluation_periods,
        "LatencyDatapointsToAlarm": latency.datapoints_to_alarm,
        "OnCallTopic": target.output("OnCallTopic"),
        "GatewayLogGroup": target.output("GatewayLogGroup"),
    }
    stack = deploy(target, name, project.project, template, parameters)
    share_versions(target, project.project)
    return stack


def _has_kept_group(target: Target, project: str, stack: str) -> str:
    """Return ``true`` where the model package group is there and no stack of the project owns it.

    It outlives the stack, since it holds the versions; a stack that is made again leaves it alone.
    """
    try:
        found = target.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        found = []
    found = [one for one in found if one["StackStatus"] != "DELETE_COMPLETE"]
    for parameter in found[0].get("Parameters", []) if found else []:
        if parameter["ParameterKey"] == "HasModelPackageGroup":
            return str(parameter["ParameterValue"])
    if found:
        return "false"
    try:
        target.client("sagemaker").describe_model_package_group(
            ModelPackageGroupName=package_group(target.environment_name, project)
        )
    except ClientError:
        return "false"
    return "true"


def _batch_doorway(target: Target) -> BatchDoorway:
    return BatchDoorway(
        target.output("BatchScheduleGroup"), target.output("BatchFunctionArn"),
        target.output("BatchScheduleRoleArn"), target.output("BatchFailuresArn"),
    )  # fmt: skip


def _place(target: Target) -> Place:
    account = target.output("OnCallTopic").split(":")
    partition, number = account[1], account[4]
    return Place(
        environment=target.environment_name,
        region=target.region,
        stack=target.stack,
        alarm_prefix=f"arn:{partition}:cloudwatch:{target.region}:{number}:alarm:",
        gateway_function=target.output("GatewayFunctionName"),
        gateway_log=target.output("GatewayLogGroup"),
    )


def push(target: Target, source: Source) -> dict[str, Any]:
    """Upload the code under its digest and declare the project as the verified caller.

    Returns:
        What the function answered: project, digests and author.
    """
    name = source.project.project
    key = f"code/{name}/{source.sha256}.tar.gz"
    target.client("s3").put_object(
        Bucket=target.output("ArtifactsBucketName"), Key=key, Body=source.archive,
        ChecksumAlgorithm="SHA256", ContentType="application/gzip",
    )  # fmt: skip
    body = {"config": source.declared, "code_sha256": source.sha256, "code_key": key}
    answer: dict[str, Any] = (
        call(target, target.output("SourceUrl"), "POST", body).raise_for_status().body
    )
    return answer
