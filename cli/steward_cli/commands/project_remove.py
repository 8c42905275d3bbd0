"""``steward project remove``: what a project costs is deleted, what it was is kept and listed."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward.adapters.ledger import INDEX
from steward.domain.batch_runs import BatchStatus
from steward.domain.lineage import KINDS
from steward.domain.lineage_items import names_partition, route_partition
from steward.domain.names import package_group
from steward.domain.releases import ReleaseStatus
from steward.domain.run_cost import time_partition
from steward.domain.runs import RunStatus
from steward.ports import KEYS, Delete, StateStore, Table
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.pipeline_stack import pipeline_stack_name
from steward_cli.shared_versions import withdraw_versions
from steward_cli.state import StackState
from steward_cli.target import Target, choose

_FLYING = {RunStatus.RUNNING, RunStatus.WAITING}
_RELEASING = {ReleaseStatus.RUNNING, ReleaseStatus.WAITING}
_BUCKETS = ("DataBucketName", "ArtifactsBucketName", "CaptureBucketName", "LedgerBucketName")


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
        CommandError: A run, a release or a batch is under way.
    """
    busy = [f"run {run['run_id']}" for run in state.runs(project) if run["status"] in _FLYING]
    busy += [
        f"release {release['release_id']}"
        for release in state.releases(project)
        if release.get("status") in _RELEASING
    ]
    busy += [
        f"batch {batch['batch_id']}"
        for batch in state.batches(project)
        if batch["status"] == BatchStatus.RUNNING
    ]
    if busy:
        raise CommandError(
            f"{project} is at work: {', '.join(busy[:5])}", Exit.CONFLICT,
            "wait until it has ended, or roll the release back",
        )  # fmt: skip


def leftovers(target: Target, project: str) -> dict[str, list[str]]:
    """Return what of a project costs or acts, by kind; empty kinds are left out."""
    sagemaker, ours = target.client("sagemaker"), _pattern(target.environment_name, project)
    start = f"{target.environment_name}-{project}-v"
    found = {
        "endpoints": _names(sagemaker, "list_endpoints", "Endpoints", "EndpointName", start),
        "endpoint_configs": _names(
            sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", start
        ),
        "models": _names(sagemaker, "list_models", "Models", "ModelName", start),
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
    locks = StackState(target).store
    for lock in [str(item["lock"]) for item in locks.scan(Table.LOCKS)]:
        if lock.startswith(f"{project}/"):
            locks.commit([Delete(Table.LOCKS, {"lock": lock})])
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
        if keys[0] == "project" and len(keys) > 1
    }
    kept[f"table {Table.COSTS}"] += len(state.store.query(Table.COSTS, time_partition(project)))
    kept[f"table {Table.LINEAGE}"] = _lineage_items(state.store, project)
    kept["table ledger"] = _ledger_items(target, project)
    kept["log groups"] = _logs(target, project)
    for output in _BUCKETS:
        kept |= _objects(target, target.output(output), project)
    group = package_group(target.environment_name, project)
    try:
        found = target.client("sagemaker").get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group
        )  # fmt: skip
        kept[f"versions in {group}"] = sum(len(page["ModelPackageSummaryList"]) for page in found)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
    else:
        kept["model package groups"] = 1
    cards = target.client("sagemaker").get_paginator("list_model_cards").paginate(
        NameContains=f"{group}-v"
    )  # fmt: skip
    own = re.compile(rf"^{re.escape(group)}-v\d+$")
    kept["model cards"] = sum(
        bool(own.match(card["ModelCardName"])) for page in cards
        for card in page["ModelCardSummaries"]
    )  # fmt: skip
    return {name: count for name, count in kept.items() if count}


def _objects(target: Target, bucket: str, project: str) -> dict[str, int]:
    """Return the objects below each ``<folder>/<project>/`` of a bucket."""
    s3 = target.client("s3")
    folders = [
        prefix["Prefix"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Delimiter="/")
        for prefix in page.get("CommonPrefixes", ())
    ]
    folders += ["lineage/openlineage/"] * ("lineage/" in folders)
    return {
        f"objects {folder}{project}/": sum(
            page.get("KeyCount", 0)
            for page in s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{folder}{project}/"
            )
        )
        for folder in folders
    }


def _lineage_items(store: StateStore, project: str) -> int:
    """Return how many items of the lineage graph are about nodes that a project names."""
    own = re.compile(rf"(?<![a-z0-9]){re.escape(project)}(?![a-z0-9])")
    nodes = [
        item["name"]
        for kind in KINDS
        for item in store.query(Table.LINEAGE, names_partition(kind))
        if own.search(item["name"])
    ]
    items = [item for node in nodes for item in store.query(Table.LINEAGE, node)]
    ends = [item["parent" if item["item"].startswith("up#") else "child"]
            for item in items if "parent" in item]  # fmt: skip
    far = sum(not own.search(end) for end in ends)  # the edge again, as its other end holds it
    return len(nodes) + len(items) + far + len(store.query(Table.LINEAGE, route_partition(project)))


def _ledger_items(target: Target, project: str) -> int:
    """Return how many items the ledger has of a project: its chain, and the place in the index."""
    dynamodb, table_name = target.client("dynamodb"), target.output("LedgerTable")
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table_name, Select="COUNT", KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "project"},
        ExpressionAttributeValues={":p": {"S": project}},
    )  # fmt: skip
    index = {"project": {"S": INDEX}, "item": {"S": project}}
    listed = "Item" in dynamodb.get_item(TableName=table_name, Key=index)
    return sum(int(page["Count"]) for page in pages) + listed


def _logs(target: Target, project: str) -> int:
    """Return how many log groups SageMaker made for the project's endpoints."""
    ours, base = _pattern(target.environment_name, project), "/aws/sagemaker/Endpoints/"
    pages = target.client("logs").get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=f"{base}{target.environment_name}-{project}-v"
    )  # fmt: skip
    names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    return sum(bool(ours.match(name.removeprefix(base))) for name in names)


def _pattern(environment: str, project: str) -> re.Pattern[str]:
    """Match names of endpoints, configurations and models of this project and no other's."""
    return re.compile(
        rf"^{environment}-{re.escape(project)}-(v[1-9]\d*-(staging|prod|batch)|variants-prod)(-|$)"
    )


def _names(client: Any, operation: str, listed: str, name: str, start: str) -> list[str]:
    pages = client.get_paginator(operation).paginate(NameContains=start)
    return sorted(item[name] for page in pages for item in page[listed])


def is_schedule_of(project: str, name: str) -> bool:
    """Return whether a schedule is of this project: experiment, batches, approval's reminder."""
    own = re.escape(project)
    return re.match(rf"^({own}-(\d{{8}}-\d+|batch)|approval-{own}-v\d+-\d+)$", name) is not None


def _schedules(target: Target, project: str) -> list[tuple[str, str]]:
    """Return group and name of a project's schedules, and of no other stack of the account."""
    pager = target.client("scheduler").get_paginator("list_schedules")
    groups = (target.stack, f"{target.stack}-approvals", f"{target.stack}-batch")
    return [
        (item["GroupName"], item["Name"])
        for prefix in (f"{project}-", f"approval-{project}-")
        for page in pager.paginate(NamePrefix=prefix)
        for item in page["Schedules"]
        if item["GroupName"] in groups and is_schedule_of(project, item["Name"])
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
