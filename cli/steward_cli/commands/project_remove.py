"""``steward project remove``: what a project costs is deleted, what it was is kept and listed."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward.domain.names import package_group
from steward.domain.releases import ReleaseStatus
from steward.domain.runs import RunStatus
from steward.ports import KEYS, Table
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.pipeline_stack import pipeline_stack_name
from steward_cli.shared_versions import withdraw_versions
from steward_cli.state import StackState
from steward_cli.target import Target, choose

_FLYING = {RunStatus.RUNNING, RunStatus.WAITING}
_RELEASING = {ReleaseStatus.RUNNING, ReleaseStatus.WAITING}
_PREFIXES = (
    ("DataBucketName", ("deliveries", "quarantine", "features", "datasets", "captures")),
    ("ArtifactsBucketName", ("code", "models", "evaluations", "reports", "cards")),
)


def remove(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Delete what a project has running, and list what is kept by design.

    Endpoints, their configurations and models, schedules, the route, the declaration and the
    project's own stacks are deleted. Data, evidence, records and the model package group with its
    versions are kept: they say what was decided, by whom and why. `project add` brings it back.

    Example: `steward project remove churn --yes`
    """
    target = choose(context.obj)
    state = StackState(target)
    state.project(project)
    refuse_flying(state, project)
    if not yes:
        typer.confirm(f"Delete endpoints, schedules and stacks of {project}?", abort=True)
    with progress(f"removing {project}") as say:
        deleted = take_down(target, project, say)
    left = leftovers(target, project)
    kept = retained(target, state, project)

    def render(console: Console) -> None:
        rows = [(kind, ", ".join(names)) for kind, names in deleted.items() if names]
        console.print(table(("deleted", ""), rows))
        console.print(table(("kept by design", "how many"), list(kept.items())))
        if left:
            console.print(f"Still there, so run it again: {left}")

    show({"deleted": deleted, "retained": kept, "left": left}, json_, render)
    if left:
        raise typer.Exit(Exit.FAILED)


def refuse_flying(state: StackState, project: str) -> None:
    """Refuse while something of the project runs: it would make again what is deleted.

    Raises:
        CommandError: A run or a release is under way.
    """
    busy = [f"run {run['run_id']}" for run in state.runs(project) if run["status"] in _FLYING]
    busy += [
        f"release {release['release_id']}"
        for release in state.releases(project)
        if release.get("status") in _RELEASING
    ]
    if busy:
        raise CommandError(
            f"{project} is at work: {', '.join(busy[:5])}", Exit.CONFLICT,
            "wait until it has ended, or roll the release back",
        )  # fmt: skip


def leftovers(target: Target, project: str) -> dict[str, list[str]]:
    """Return what of a project costs or acts, by kind; empty kinds are left out."""
    sagemaker, ours = target.client("sagemaker"), _pattern(project)
    found = {
        "endpoints": _names(sagemaker, "list_endpoints", "Endpoints", "EndpointName", project),
        "endpoint_configs": _names(
            sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", project
        ),
        "models": _names(sagemaker, "list_models", "Models", "ModelName", project),
    }
    found = {kind: [n for n in names if ours.match(n)] for kind, names in found.items()}
    found["schedules"] = [f"{group}/{name}" for group, name in _schedules(target, project)]
    found["stacks"] = [name for name in _stacks(target, project) if _exists(target, name)]
    for kind, output in (("routes", "RoutesTable"), ("declarations", "ProjectsTable")):
        key = {"project": {"S": project}}
        answer = target.client("dynamodb").get_item(
            TableName=target.output(output), Key=key, ConsistentRead=True
        )
        found[kind] = [project] if "Item" in answer else []
    return {kind: names for kind, names in found.items() if names}


def take_down(target: Target, project: str, say: Any) -> dict[str, list[str]]:
    """Delete what :func:`leftovers` finds, in the order in which nothing makes it again."""
    found = leftovers(target, project)
    dynamodb, sagemaker = target.client("dynamodb"), target.client("sagemaker")
    scheduler = target.client("scheduler")
    say("route and declaration")
    for output in ("RoutesTable", "ProjectsTable"):
        dynamodb.delete_item(TableName=target.output(output), Key={"project": {"S": project}})
    for group, name in _schedules(target, project):
        _unless_gone(scheduler.delete_schedule, GroupName=group, Name=name)
    say("endpoints")
    for name in found.get("endpoints", []):
        _unless_gone(sagemaker.delete_endpoint, EndpointName=name)
    for name in found.get("endpoint_configs", []):
        _unless_gone(sagemaker.delete_endpoint_config, EndpointConfigName=name)
    for name in found.get("models", []):
        _unless_gone(sagemaker.delete_model, ModelName=name)
    withdraw_versions(target, project)
    cloudformation = target.client("cloudformation")
    for name in found.get("stacks", []):
        say(f"stack {name}")
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1 if target.engine else 5, "MaxAttempts": 150}
        )
    say("waiting for endpoints")
    for name in found.get("endpoints", []):
        sagemaker.get_waiter("endpoint_deleted").wait(
            EndpointName=name, WaiterConfig={"Delay": 1 if target.engine else 10, "MaxAttempts": 60}
        )
    return found


def retained(target: Target, state: StackState, project: str) -> dict[str, int]:
    """Return how many records and objects of a project are kept, by where they are."""
    kept = {
        f"table {name}": len(state.store.query(name, project))
        for name, keys in KEYS.items()
        if keys[0] == "project" and len(keys) > 1 and name not in (Table.ASSIGNMENTS,)
    }
    s3 = target.client("s3")
    for output, prefixes in _PREFIXES:
        for prefix in prefixes:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=target.output(output), Prefix=f"{prefix}/{project}/"
            )
            kept[f"objects {prefix}/{project}/"] = sum(page.get("KeyCount", 0) for page in pages)
    group = package_group(target.environment_name, project)
    try:
        pages = target.client("sagemaker").get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group
        )  # fmt: skip
        kept[f"versions in {group}"] = sum(len(page["ModelPackageSummaryList"]) for page in pages)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
    return {name: count for name, count in kept.items() if count}


def _pattern(project: str) -> re.Pattern[str]:
    """Match names of endpoints, configurations and models of this project and no other's."""
    return re.compile(rf"^{re.escape(project)}-(v[1-9]\d*-(staging|prod)|variants-prod)(-|$)")


def _names(client: Any, operation: str, listed: str, name: str, project: str) -> list[str]:
    pages = client.get_paginator(operation).paginate(NameContains=f"{project}-v")
    return sorted(item[name] for page in pages for item in page[listed])


def is_schedule_of(project: str, name: str) -> bool:
    """Return whether a schedule is an experiment's or an approval's reminder of this project."""
    own = re.escape(project)
    return re.match(rf"^({own}-\d{{8}}-\d+|approval-{own}-v\d+-\d+)$", name) is not None


def _schedules(target: Target, project: str) -> list[tuple[str, str]]:
    pager = target.client("scheduler").get_paginator("list_schedules")
    return [
        (item["GroupName"], item["Name"])
        for prefix in (f"{project}-", f"approval-{project}-")
        for page in pager.paginate(NamePrefix=prefix)
        for item in page["Schedules"]
        if is_schedule_of(project, item["Name"])
    ]


def _stacks(target: Target, project: str) -> tuple[str, ...]:
    pipeline = pipeline_stack_name(target, project)
    return pipeline, f"{target.stack}-project-{project}", f"{target.stack}-profiling-{project}"


def _exists(target: Target, stack: str) -> bool:
    try:
        found = target.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError:
        return False
    return bool(found) and found[0]["StackStatus"] != "DELETE_COMPLETE"


def _unless_gone(delete: Any, **key: str) -> None:
    """Delete; what is gone already is as good."""
    try:
        delete(**key)
    except ClientError as error:
        gone = error.response["Error"]["Code"] in (
            "ResourceNotFoundException",
            "ValidationException",
        )
        if not gone or ("ould not find" not in str(error) and "exist" not in str(error)):
            raise
