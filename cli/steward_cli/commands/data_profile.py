"""``steward data profile``: what a file holds, and a declaration that it keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from steward_cli.console import CommandError, Exit, Json, progress, rejected, show, stderr, table
from steward_cli.profiling import (
    Engine,
    engine_for,
    fetch_profile,
    start_profile_job,
    wait_for_profile,
)
from steward_cli.target import choose

if TYPE_CHECKING:
    from steward.domain.profiles import ColumnProfile, TableProfile
    from steward.domain.schema_suggestion import Suggestion
    from steward.domain.workspace import Connection

MEMORY_MB = 2048
_TICK_S = 0.2


def profile_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, JSON Lines (each .gz too) or Parquet.",
                                         exists=True, dir_okay=False)],
    *,
    suggest_: Annotated[bool, typer.Option("--suggest", help="Propose a project.yaml.")] = False,
    entity_id: Annotated[str | None, typer.Option("--entity-id", help="Whom a row is about.")]
        = None,
    label: Annotated[str | None, typer.Option("--label", help="What is predicted.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Propose it as a further table "
                                               "of this name, for data.sources.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts.")] = None,
    engine: Annotated[Engine, typer.Option("--engine", help="auto chooses by the file's size.")]
        = "auto",
    project: Annotated[str | None, typer.Option("--project", "-p", help="For DataBrew.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start DataBrew and return.")] = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Show what a file holds, or propose the declaration of its table.

    DuckDB reads it on this machine, and nothing leaves it. A file that is too large for one
    function (4.5 GB) goes to the AWS Glue DataBrew job of the project that --project names; the
    command waits for it and shows what it wrote. DataBrew proposes nothing.

    A proposal is wide on purpose: half the range is added on either side; make it as narrow as
    the data must be.

    Example: `steward data profile march.csv --suggest > project.yaml`
    """
    from steward.domain.errors import UnreadableFileError
    from steward.domain.schema_suggestion import format_of, suggest
    from steward.domain.workspace import scratch

    try:
        if engine_for(file.stat().st_size, engine, project) == "databrew":
            assert project is not None
            if suggest_ or source:
                raise CommandError(
                    "DataBrew proposes nothing", Exit.USAGE, "leave --suggest and --source out"
                )
            _with_databrew(context, file, format_of(file), project, html, no_wait, json_)
            return
        with scratch(MEMORY_MB) as limits, _told(file.name) as told:
            found = suggest(file, limits, told)
    except UnreadableFileError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None
    if html is not None:
        html.write_text(_page_of(file, found.profile), encoding="utf-8")
    if suggest_ or source:
        proposed = proposal(found, file, entity_id, label, source)
        parsed = yaml.safe_load(proposed)
        show(
            parsed, json_,
            lambda console: console.print(proposed, end="", markup=False, soft_wrap=True),
        )  # fmt: skip
        return
    document = {
        "file": str(file), "format": found.table.format, **found.profile.model_dump(mode="json"),
        "entity_id": found.entity_id, "label": found.label, "not_plain_names": found.unnamed,
    }  # fmt: skip
    show(document, json_, lambda console: _render(console, file, found))


def _with_databrew(
    context: typer.Context,
    file: Path,
    format_: str,
    project: str,
    html: Path | None,
    no_wait: bool,
    json_: bool,
) -> None:
    """Let DataBrew profile a file, wait, and show what it wrote as a profile of our own."""
    target = choose(context.obj)
    with progress(f"{file.name}: to DataBrew") as told:
        started = start_profile_job(target, project, file, format_)
        if no_wait:
            said = "{execution_arn} profiles it into {output_uri}".format(**started)
            show(started, json_, lambda console: console.print(said, soft_wrap=True))
            return
        uri = wait_for_profile(target, started, told)
    found = fetch_profile(target, uri)
    if html is not None:
        html.write_text(_page_of(file, found.profile), encoding="utf-8")
    document = {
        "file": str(file), "format": format_, **found.profile.model_dump(mode="json"),
        "entity_id": None, "label": None, "not_plain_names": None, "engine": "databrew",
        "duplicate_rows": found.duplicate_rows, "run_id": found.run_id, "profile_uri": uri,
    }  # fmt: skip

    def render(console: Console) -> None:
        _table_of(console, file, found.profile, format_)
        if found.duplicate_rows is not None:
            console.print(f"{found.duplicate_rows:,} rows are there again")
        console.print(f"DataBrew's own profile: {uri}", soft_wrap=True)

    show(document, json_, render)


@contextmanager
def _told(name: str) -> Iterator[Callable[[str, Connection | None], None]]:
    """Draw the stage, and how far the engine is with its query, while a file is read."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=stderr(), transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task(name, total=None)
        current: list[Connection | None] = [None]
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(_TICK_S):
                done = _done(current[0])
                progress.update(task, total=100 if done >= 0 else None, completed=max(done, 0.0))

        def told(stage: str, connection: Connection | None) -> None:
            current[0] = connection
            progress.update(task, description=f"{name}: {stage}")

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield told
        finally:
            current[0] = None
            ended.set()
            follower.join()


def _done(connection: Connection | None) -> float:
    """Return how many percent of its query the engine has done; negative where it cannot say."""
    import duckdb

    if connection is None:
        return -1.0
    try:
        return float(connection.query_progress())
    except duckdb.ConnectionException:
        return -1.0  # It was closed meanwhile: the file is done.


def _render(console: Console, file: Path, found: Suggestion) -> None:
    _table_of(console, file, found.profile, found.table.format)
    for name in found.unnamed:
        console.print(f"{name!r} is left out: no plain name of letters, digits and underscores")


def _table_of(console: Console, file: Path, profile: TableProfile, format_: str) -> None:
    console.print(f"{file}: {profile.rows:,} rows, {format_}")
    rows = [
        (
            column.name, column.type, f"{column.nulls:,}", f"{column.distinct:,}",
            column.min, column.max,
            "" if column.mean is None else f"{column.mean:.5g}", _frequent(column),
        )
        for column in profile.columns
    ]  # fmt: skip
    heads = ("column", "type", "empty", "different", "smallest", "largest", "mean", "frequent")
    console.print(table(heads, rows))


def _frequent(column: ColumnProfile) -> str:
    shares = [f"{level} {rows / column.count:.0%}" for level, rows in column.levels.items()]
    return ", ".join(shares[:3])


def proposal(
    found: Suggestion,
    file: Path,
    entity_id: str | None = None,
    label: str | None = None,
    source: str | None = None,
) -> str:
    """Return a ``project.yaml``, or with ``source`` its part for a further table.

    Raises:
        CommandError: No column can be the entity id or the label, or a given one is none.
    """
    declared = found.table.model_dump(mode="json", exclude_defaults=True)
    columns = [column.model_dump(mode="json", exclude_defaults=True) for column in
               found.table.columns]  # fmt: skip
    lines = [f"# Proposed from {file.name}: {found.profile.rows} rows. Ranges are wide on purpose."]
    lines += [f"# {name!r} is left out: rename it, a plain name is needed." for name in
              found.unnamed]  # fmt: skip
    if source:
        body = _table(found, declared, columns)
        return "\n".join([*lines, "data:", "  sources:", f"    {source}:", *_in(body, 6), ""])
    entity, predicted, positive = _roles(found, entity_id, label)
    for column in columns:
        if column["name"] == entity:
            column.pop("nullable", None)
            column.pop("max_null_share", None)
    head = [f"entity_id: {entity}", f"label: {_flow({'name': predicted, 'positive': positive})}"]
    body = [*head, *_table(found, declared, columns)]
    name = "".join(c if c.isalnum() else "-" for c in file.name.split(".")[0].lower())[:20]
    project = name.strip("-") if name[:1].isalpha() and len(name.strip("-")) > 1 else "my-project"
    while "--" in project:
        project = project.replace("--", "-")
    return "\n".join([*lines, f"project: {project}", "owner: my-team", "data:", *_in(body, 2), ""])


def _table(found: Suggestion, declared: dict[str, Any], columns: list[dict[str, Any]]) -> list[str]:
    lines = [f"format: {found.table.format}", "columns:"]
    lines += [f"  - {_flow(column)}" for column in columns]
    if "row_count" in declared:
        lines.append(f"row_count: {_flow(declared['row_count'])}")
    return lines


def _in(lines: list[str], width: int) -> list[str]:
    return [" " * width + line for line in lines]


def _flow(value: dict[str, Any]) -> str:
    value = {
        name: int(part) if isinstance(part, float) and part.is_integer() else part
        for name, part in value.items()
    }
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()


def _roles(found: Suggestion, entity_id: str | None, label: str | None) -> tuple[str, str, object]:
    names = {column.name: column for column in found.profile.columns}
    for option, given in (("--entity-id", entity_id), ("--label", label)):
        if given is not None and given not in names:
            raise CommandError(
                f"{option} {given!r} is no column", Exit.USAGE, f"allowed: {', '.join(names)}"
            )
    entity = entity_id or found.entity_id
    predicted = label or found.label
    if entity is None or predicted is None:
        lacking = "--entity-id: no column names each row once" if entity is None else (
            "--label: no column has two values"
        )  # fmt: skip
        raise CommandError(
            f"a project needs {lacking}", Exit.USAGE,
            "name one, or propose a further table with --source NAME",
        )  # fmt: skip
    if predicted == found.label:
        return entity, predicted, found.positive
    levels = list(names[predicted].levels)
    if len(levels) != 2:
        raise CommandError(
            f"--label {predicted!r} has {names[predicted].distinct} values", Exit.USAGE,
            "allowed: a column of two values",
        )  # fmt: skip
    return entity, predicted, _typed(levels[-1], names[predicted].type)


def _typed(level: str, kind: str) -> object:
    """Return a level as YAML has it."""
    if kind == "boolean":
        return level == "true"
    return int(level) if kind == "integer" else level


def _page_of(file: Path, profile: TableProfile) -> str:
    from steward.domain.validation import FileReport
    from steward.domain.validation_page import profile_page

    report = FileReport(
        rows=profile.rows, size=file.stat().st_size,
        columns=[column.name for column in profile.columns], violations=[], profile=profile,
    )  # fmt: skip
    return profile_page(report, file.name)
