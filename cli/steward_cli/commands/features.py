"""``steward features``: which feature groups there are, how fresh they are, who uses them."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console

from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_versions import label_of, parse_label, statistics_item
from steward.domain.project import parse_project
from steward.ports import Item
from steward_cli.commands.project import deploy_project_stack
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState
from steward_cli.target import choose

app = typer.Typer(help="Feature groups: versions, freshness, statistics, consumers.")

Project = Annotated[str, typer.Argument(help="Project name.")]
Label = Annotated[str, typer.Argument(help="A version, as labs/v2.", metavar="GROUP/vN")]
SearchIn = Annotated[str | None, typer.Option("--project", "-p", help="Only this project.")]


@app.command("list")
def list_features(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's feature groups by version, with how new their newest row is.

    Example: `steward features list diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    found = [_summary(item, state, project) for item in state.features(project)]

    def render(console: Console) -> None:
        rows = [
            (
                one["label"], one["status"], len(one["features"]), one["owner"],
                one["newest_event_time"], f"{one['done']} of {one['deliveries']}",
            )
            for one in found
        ]  # fmt: skip
        columns = ("version", "status", "features", "owner", "newest row", "deliveries done")
        console.print(table(columns, rows))

    show(found, json_, render)


@app.command("show")
def show_features(
    context: typer.Context, project: Project, label: Label, json_: Json = False
) -> None:
    """Show a version: definition, statistics of each feature, what was materialised.

    Example: `steward features show diabetes labs/v1`
    """
    state = StackState(choose(context.obj))
    item = _need(state, project, label)
    group, version = parse_label(label)
    statistics = _statistics(state, project, group, version)
    materialised = state.features(project, f"materialisation#{group}#v{version:04d}#")
    data = {**item, "statistics": statistics, "materialisations": materialised}

    def render(console: Console) -> None:
        declared = FeatureGroup.model_validate(item["definition"])
        facts = [
            ("version", label), ("status", item["status"]), ("owner", declared.owner),
            ("description", declared.description), ("source", declared.source),
            ("keys", ", ".join(declared.keys)), ("ttl", f"{declared.ttl_s} s"),
            ("known at", _known_at(declared)), ("sagemaker group", item["physical_name"]),
            ("newest row", statistics.get("newest_event_time")),
        ]  # fmt: skip
        console.print(table(("", ""), facts))
        rows = []
        for kind, name, type_, sql in _features(declared):
            about = statistics.get("features", {}).get(name, {})
            rows.append(
                (name, kind, type_, sql, about.get("null_share"), about.get("mean"),
                 about.get("newest_event_time"))
            )  # fmt: skip
        columns = ("feature", "kind", "type", "from", "nulls", "mean", "newest value")
        console.print(table(columns, rows))
        done = [
            (m["delivery_id"][:12], m["status"], m.get("rows"), m.get("online_rows"),
             m.get("cause") or m.get("ended_at"))
            for m in materialised
        ]  # fmt: skip
        console.print(table(("delivery", "status", "rows", "online", "ended"), done))

    show(data, json_, render)


@app.command("search")
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(help="All must occur; tag=value finds a tag.")],
    project: SearchIn = None,
    json_: Json = False,
) -> None:
    """Find features by name, description, owner, tag or group, over all projects.

    Example: `steward features search glucose owner=clinical-data`
    """
    state = StackState(choose(context.obj))
    names = [project] if project else [item["project"] for item in state.projects()]
    found = [
        hit
        for name in names
        for item in state.features(name)
        if item["status"] == "active"
        for hit in matching(name, item, words)
    ]

    def render(console: Console) -> None:
        rows = [(h["project"], h["label"], h["feature"], h["type"], h["description"], h["owner"])
                for h in found]  # fmt: skip
        columns = ("project", "version", "feature", "type", "description", "owner")
        console.print(table(columns, rows))

    show(found, json_, render)


@app.command("consumers")
def list_consumers(
    context: typer.Context, project: Project, label: Label, json_: Json = False
) -> None:
    """List the model versions that were trained on a version, and which of them answer now.

    Example: `steward features consumers diabetes labs/v1`
    """
    state = StackState(choose(context.obj))
    _need(state, project, label)
    group, version = parse_label(label)
    found = state.feature_consumers(project, group, version)

    def render(console: Console) -> None:
        rows = [
            (use["version"], use["state"], use["run_id"], "yes" if use["answers"] else "")
            for use in found
        ]
        console.print(table(("model version", "state", "run", "answers now"), rows))

    show(found, json_, render)


@app.command("retire")
def retire(
    context: typer.Context,
    project: Project,
    label: Label,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Feed and serve a version no more; its files stay, since datasets were built of them.

    Refused while the project declares it or a model that answers uses it. Its SageMaker feature
    group leaves the project's stack.

    Example: `steward features retire diabetes labs/v1`
    """
    target = choose(context.obj)
    state = StackState(target)
    configured = state.project(project)
    group, version = parse_label(label)
    if not yes:
        typer.confirm(f"Retire {label} of {project}?", abort=True)
    query = urlencode({"project": project, "group": group, "version": version})
    with progress(f"retiring {label}") as say:
        answer = call(target, f"{target.output('SourceUrl')}?{query}", "DELETE")
        retired: dict[str, Any] = answer.raise_for_status().body
        say("deploying the project stack")
        deploy_project_stack(target, parse_project(configured["config"]))
    show(retired, json_, lambda console: console.print(f"{label} is {retired['status']}."))


def matching(project: str, item: Item, words: list[str]) -> list[dict[str, Any]]:
    """Return the features of a version in which every word occurs.

    A word ``key=value`` means a tag, or the owner, of exactly this value.
    """
    declared = FeatureGroup.model_validate(item["definition"])
    described = {found.name: found.description for found in declared.features}
    described |= {found.name: found.description for found in declared.aggregates}
    described |= {found.name: found.description for found in declared.on_demand}
    exact = {**declared.tags, "owner": declared.owner}
    hits = []
    for kind, name, type_, sql in _features(declared):
        text = " ".join(
            [name, described[name], declared.feature_group, declared.description, declared.owner,
             sql, *declared.tags, *declared.tags.values()]
        ).lower()  # fmt: skip
        if all(
            exact.get(word.partition("=")[0]) == word.partition("=")[2]
            if "=" in word
            else word.lower() in text
            for word in words
        ):
            hits.append(
                {
                    "project": project, "label": label_of(item["group"], int(item["version"])),
                    "feature": name, "kind": kind, "type": type_,
                    "description": described[name] or declared.description,
                    "owner": declared.owner, "tags": declared.tags,
                }
            )  # fmt: skip
    return hits


def _features(group: FeatureGroup) -> list[tuple[str, str, str, str]]:
    return [
        *(("row", f.name, f.type, f.sql) for f in group.features),
        *(
            ("aggregate", a.name, a.type, f"{a.function}({a.of or '*'}) over {a.window_s} s")
            for a in group.aggregates
        ),
        *(("on demand", o.name, o.type, o.expression) for o in group.on_demand),
    ]


def _known_at(group: FeatureGroup) -> str:
    if group.is_backfill:
        return "event time and a delay (backfill)"
    return str(group.known_at or group.event_time)


def _summary(item: Item, state: StackState, project: str) -> dict[str, Any]:
    group, version = item["group"], int(item["version"])
    declared = FeatureGroup.model_validate(item["definition"])
    work = state.features(project, f"materialisation#{group}#v{version:04d}#")
    work = [one for one in work if not one["delivery_id"].startswith("stream-")]
    return {
        "label": label_of(group, version), "group": group, "version": version,
        "status": item["status"], "features": declared.feature_names, "owner": declared.owner,
        "description": declared.description, "tags": declared.tags, "source": declared.source,
        "physical_name": item["physical_name"],
        "newest_event_time": _statistics(state, project, group, version).get("newest_event_time"),
        "deliveries": len(work), "done": sum(one["status"] == "done" for one in work),
    }  # fmt: skip


def _statistics(state: StackState, project: str, group: str, version: int) -> Item:
    found = state.features(project, statistics_item(group, version))
    return found[0] if found else {}


def _need(state: StackState, project: str, label: str) -> Item:
    state.project(project)
    group, version = parse_label(label)
    items = state.features(project)
    for item in items:
        if (item["group"], int(item["version"])) == (group, version):
            return item
    known = ", ".join(label_of(item["group"], int(item["version"])) for item in items) or "none"
    raise CommandError(f"{project} has no {label}", Exit.NOT_FOUND, f"known: {known}")
