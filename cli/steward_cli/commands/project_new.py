"""``steward project new``, ``templates`` and ``update``: a project's folder from a template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from steward.domain.names import check_project
from steward_cli.commands.local import repository_root
from steward_cli.console import CommandError, Exit, Json, show, table
from steward_cli.project_templates import render as render_template
from steward_cli.project_templates import templates_of, update

DataOption = Annotated[
    list[str] | None, typer.Option("--data", "-d", help="KEY=VALUE: an answer; repeatable.")
]


def new(
    name: Annotated[str, typer.Argument(help="Project name.")],
    template: Annotated[str, typer.Option("--template", "-t", help="See `project templates`.")]
        = "tabular-classification",
    data: DataOption = None,
    folder: Annotated[Path | None, typer.Option("--into", help="Default: ./NAME.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Write a project folder from a template, with tests that pass.

    Example: `steward project new churn --template tabular-classification --data training=script`
    """
    check_project(name)
    goal = folder or Path(name)
    if goal.exists():
        raise CommandError(f"{goal} exists", Exit.CONFLICT, "choose another with --into")
    render_template(repository_root(), template, name, goal, answers_of(data))

    def render(console: Console) -> None:
        console.print(f"Wrote {goal} from {template}: describe your data in project.yaml.")
        console.print(f"Then: steward project add {goal}")

    show({"folder": str(goal), "template": template}, json_, render)


def list_templates(json_: Json = False) -> None:
    """List the project templates.

    Example: `steward project templates`
    """
    found = templates_of(repository_root())

    def render(console: Console) -> None:
        console.print(table(("template", "about"), [(t.name, t.about) for t in found]))

    show([vars(template) for template in found], json_, render)


def update_project(
    folder: Annotated[Path, typer.Argument(help="A rendered project, in git, all committed.",
                                           exists=True, file_okay=False)],
    data: DataOption = None,
    source: Annotated[Path | None, typer.Option("--from", help="Another checkout of Steward.")]
        = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Take what changed in the template since, and keep the project's own edits.

    Example: `steward project update churn`
    """
    meeting = update(folder, answers_of(data), source)

    def render(console: Console) -> None:
        for path in meeting:
            console.print(f"{path}: both changed the same lines; choose between the marks")
        console.print(f"Updated {folder}; look at it with git diff.")

    show({"folder": str(folder), "conflicts": meeting}, json_, render)
    if meeting:
        raise typer.Exit(Exit.CONFLICT)


def answers_of(given: list[str] | None) -> dict[str, str]:
    """Return ``KEY=VALUE`` words as a mapping.

    Raises:
        CommandError: A word has no ``=``, or a key is there twice.
    """
    answers: dict[str, str] = {}
    for word in given or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise CommandError(f"--data {word!r} is no answer", Exit.USAGE, "allowed: KEY=VALUE")
        if name in answers:
            raise CommandError(f"--data {name} is given twice", Exit.USAGE, "allowed: once")
        answers[name] = value
    return answers
