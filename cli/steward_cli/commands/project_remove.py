"""``steward project remove``: what a project costs is deleted, what it was is kept and listed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from botocore.exceptions import ClientError, WaiterError
from rich.console import Console

from steward.adapters.ledger import INDEX
from steward.domain.belongings import Belongings
from steward.domain.lineage import KINDS
from steward.domain.lineage_items import names_partition, route_partition
from steward.domain.names import package_group
from steward.domain.run_cost import time_partition
from steward.ports import KEYS, StateStore, Table
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.function_urls import call
from steward_cli.pipeline_stack import pipeline_stack_name
from steward_cli.shared_versions import withdraw_versions
from steward_cli.state import StackState
from steward_cli.target import Target, choose

_BUCKETS = ("DataBucketName", "ArtifactsBucketName", "CaptureBucketName", "LedgerBucketName")
_ENDPOINTS_GO_WITHIN_S = 600.0


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
    there = belongings(target, project)
    refuse_at_work(project, there)
    if not there["found"]:
        StackState(target).project(project)
    if not yes:
        typer.confirm(f"Delete endpoints, schedules and stacks of {project}?", abort=True)
    with progress(f"removing {project}") as say:
        deleted = take_down(target, project, say)
    left = leftovers(target, project)
    kept = retained(target, StackState(target), project)

    def render(console: Console) -> None:
        rows = [(kind, ", ".join(names)) for kind, names in deleted.items() if names]
        console.print(table(("deleted", ""), rows))
        console.print(table(("kept by design", "how many"), list(kept.items())))
        if left:
            console.print(f"Still there, so run it again: {left}")

    show({"deleted": deleted, "retained": kept, "left": left}, json_, render)
    if left:
        raise typer.Exit(Exit.FAILED)


def belongings(target: Target, project: str) -> dict[str, Any]:
    """Return what there is of a project, ``found`` by kind with its stacks, and what is ``busy``.

    Raises:
        CommandError: The caller may not ask.
    """
    url = f"{target.output('RemovalUrl')}?{urlencode({'project': project})}"
    answer: dict[str, Any] = call(target, url, "GET", timeout_s=300).raise_for_status().body
    stacks = [name for name in _stacks(target, project) if _exists(target, name)]
    return {**answer, "found": {**answer["found"], **({"stacks": stacks} if stacks else {})}}


def leftovers(target: Target, project: str) -> dict[str, list[str]]:
    """Return what of a project costs or acts, by kind; empty kinds are left out."""
    found: dict[str, list[str]] = belongings(target, project)["found"]
    return found


def refuse_at_work(project: str, there: dict[str, Any]) -> None:
    """Refuse while something of the project runs: it would make again what is deleted.

    Raises:
        CommandError: A run, an integration, a release or a batch is under way.
    """
    if there["busy"]:
        raise CommandError(
            f"{project} is at work: {', '.join(there['busy'][:5])}", Exit.CONFLICT,
            "wait until it has ended, or roll the release back",
        )  # fmt: skip


def take_down(target: Target, project: str, say: Callable[[str], None]) -> dict[str, list[str]]:
    """Delete what :func:`leftovers` finds, in the order in which nothing makes it again.

    Returns what was deleted, by kind.

    Stacks with roles of their own (a pipeline, profiling jobs) go first: who may not delete them
    is told so while the project is still whole.
    """
    found = leftovers(target, project)
    deleted: dict[str, list[str]] = {}
    pipeline, profiling, own = _stacks(target, project)
    for name in (pipeline, profiling):
        if name in found.get("stacks", ()):
            say(f"stack {name}")
            _delete_stack(target, name)
            deleted.setdefault("stacks", []).append(name)
    say("route, declaration, schedules and endpoints")
    deadline = time.monotonic() + _ENDPOINTS_GO_WITHIN_S
    while set(belongings(target, project)["found"]) - {"stacks"}:
        answer = call(
            target, target.output("RemovalUrl"), "POST", {"project": project}, timeout_s=300
        )
        if answer.status == 404:
            break  # an endpoint's deletion ended between the two questions
        answer.raise_for_status()
        for kind, names in answer.body["deleted"].items():
            deleted[kind] = sorted({*deleted.get(kind, ()), *names})
        if not answer.body["left"] or time.monotonic() > deadline:
            break
        say("waiting for endpoints")
        time.sleep(1 if target.engine else 10)
    withdraw_versions(target, project)
    if own in found.get("stacks", ()):
        say(f"stack {own}")
        _delete_stack(target, own)
        deleted.setdefault("stacks", []).append(own)
    return deleted


def _delete_stack(target: Target, name: str) -> None:
    cloudformation = target.client("cloudformation")
    try:
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1 if target.engine else 5, "MaxAttempts": 150}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        raise CommandError(
            f"stack {name} may not be deleted: {error.response['Error']['Message']}", Exit.DENIED,
            "whoever may deploy it deletes it first: aws cloudformation delete-stack",
        ) from None  # fmt: skip
    except WaiterError as error:
        raise CommandError(
            f"stack {name} was not deleted: {error}", Exit.FAILED, "see its events"
        ) from None


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
    """Return how many items the ledger has of a project: its chain, and the place in the index.

    An administrator may count them and read none.
    """
    pages = target.client("dynamodb").get_paginator("query")

    def count(partition: str, expression: str, **values: str) -> int:
        given = {":p": partition, **{f":{name}": value for name, value in values.items()}}
        names = {"#p": "project", **{f"#{name}": name for name in values}}
        found = pages.paginate(
            TableName=target.output("LedgerTable"), Select="COUNT",
            KeyConditionExpression=expression, ExpressionAttributeNames=names,
            ExpressionAttributeValues={name: {"S": value} for name, value in given.items()},
        )  # fmt: skip
        return sum(int(page["Count"]) for page in found)

    return count(project, "#p = :p") + count(INDEX, "#p = :p AND #item = :item", item=project)


def _logs(target: Target, project: str) -> int:
    """Return how many log groups SageMaker made for the project's endpoints."""
    own = Belongings(project, target.stack, target.environment_name)
    base = "/aws/sagemaker/Endpoints/"
    pages = target.client("logs").get_paginator("describe_log_groups")
    names = [
        group["logGroupName"].removeprefix(base)
        for search in own.searches("endpoints")
        for page in pages.paginate(logGroupNamePrefix=f"{base}{search}")
        for group in page["logGroups"]
    ]
    return sum(own.has("endpoints", name) for name in names)


def _stacks(target: Target, project: str) -> tuple[str, str, str]:
    """Return the stacks of a project: those with roles of their own, then the project's."""
    pipeline = pipeline_stack_name(target, project)
    return pipeline, f"{target.stack}-profiling-{project}", f"{target.stack}-project-{project}"


def _exists(target: Target, stack: str) -> bool:
    try:
        found = target.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return False
    return bool(found) and found[0]["StackStatus"] != "DELETE_COMPLETE"
