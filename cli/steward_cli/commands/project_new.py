"""``steward project new``, ``templates`` and ``update``: a project's folder from a template."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.domain.names import check_project
from steward_cli.commands.local import repository_root
from steward_cli.console import CommandError, Exit, Json, show, table
from steward_cli.first_declaration import Declared, Wanted, declare, text_of
from steward_cli.first_file import read_file
from steward_cli.project_templates import render as render_template
from steward_cli.project_templates import templates_of, update
from steward_cli.renaming import Renamed, renamed_in, write_record

DataOption = Annotated[
    list[str] | None, typer.Option("--data", "-d", help="KEY=VALUE: an answer; repeatable.")
]


def new(
    name: Annotated[str, typer.Argument(help="Project name.")],
    template: Annotated[str, typer.Option("--template", "-t", help="See `project templates`.")]
        = "tabular-classification",
    *,
    data: DataOption = None,
    from_data: Annotated[Path | None, typer.Option("--from-data", exists=True, dir_okay=False,
        help="CSV, JSON Lines or Parquet: write project.yaml from what it holds.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column that is predicted.")]
        = None,
    entity_id: Annotated[str | None, typer.Option("--id", help="Column that names whom a row is "
                                                  "about.")] = None,
    time: Annotated[str | None, typer.Option("--time", help="Column with the time of the "
                                             "prediction.")] = None,
    positive: Annotated[str | None, typer.Option("--positive", help="Value of the target whose "
                                                 "probability is predicted.")] = None,
    rename: Annotated[bool, typer.Option("--rename", help="Give columns whose names cannot be "
        "declared plain ones, in a copy beside the file.")] = False,
    folder: Annotated[Path | None, typer.Option("--into", help="Default: ./NAME.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Write a project folder from a template, with tests that pass.

    With --from-data and --target project.yaml is written from a file: types, ranges, id, task,
    split and gates, each guess with its reason. There is no code to write.

    Names of columns are letters, digits and underscores. With --rename a file whose names are
    not is copied to `FILE.renamed.csv` beside it, and `renamed-columns.json` in the project's
    folder keeps old and new names for `data put --rename`.

    Example: `steward project new churn --from-data customers.csv --target left`
    """
    check_project(name)
    goal = folder or Path(name)
    if goal.exists():
        raise CommandError(f"{goal} exists", Exit.CONFLICT, "choose another with --into")
    answers = answers_of(data)
    declared, renamed = None, Renamed({}, from_data)
    if from_data is not None and target is not None:
        with tempfile.TemporaryDirectory(prefix="steward-") as scratch:
            renamed = renamed_in(from_data, Path(scratch), wanted=rename)
            wanted = Wanted(
                renamed.new(target), renamed.new(entity_id), renamed.new(time), positive
            )
            declared, template = _declared(renamed.file, wanted, name, template, answers)
            renamed = renamed.kept_beside(from_data)
    elif from_data is not None or rename or any((target, entity_id, time, positive)):
        raise CommandError(
            "--from-data and --target go together, and --id, --time, --positive and --rename "
            "with them",
            Exit.USAGE, "steward project new NAME --from-data FILE --target COLUMN",
        )  # fmt: skip
    render_template(repository_root(), template, name, goal, answers)
    if declared is not None and renamed.file is not None:
        text = text_of(declared, renamed.file.name, renamed.names)
        (goal / "project.yaml").write_text(text, encoding="utf-8")
        if renamed.names:
            write_record(goal, renamed.names)

    def render(console: Console) -> None:
        if declared is None:
            console.print(f"Wrote {goal} from {template}: describe your data in project.yaml.")
        else:
            _say_guesses(console, goal, template, declared, renamed)
        console.print(f"Then: steward project add {goal}")

    guesses = [] if declared is None else [
        {"key": key, "value": value, "reason": why} for key, value, why in declared.guesses
    ]  # fmt: skip
    found: dict[str, Any] = {"folder": str(goal), "template": template, "guesses": guesses}
    if renamed.names:
        found |= {"renamed": renamed.names, "file": str(renamed.file)}
    show(found, json_, render)


def _say_guesses(
    console: Console, goal: Path, template: str, declared: Declared, renamed: Renamed
) -> None:
    if renamed.names:
        console.print(f"Renamed columns, in the copy {renamed.file}:", soft_wrap=True)
        console.print(table(("column", "is now"), list(renamed.names.items())))
        console.print(
            f"Deliver the copy, or later files as they come: "
            f"steward data put FILE --project {goal.name} --rename {goal}", soft_wrap=True,
        )  # fmt: skip
    console.print(f"Wrote {goal} from {template}. Guessed, so look at it:")
    console.print(table(("key of project.yaml", "value", "because"), declared.guesses))


def _declared(
    file: Path | None, wanted: Wanted, name: str, template: str, answers: dict[str, str]
) -> tuple[Declared, str]:
    """Return the declaration of a file, and the tabular template of its task.

    Raises:
        CommandError: The file cannot be declared, or the template is none for a plain table.
    """
    if not template.startswith("tabular-"):
        raise CommandError(
            f"--from-data: {template} is no template of a plain table", Exit.USAGE,
            "allowed: tabular-classification, tabular-regression",
        )  # fmt: skip
    if answers.get("training", "built-in") != "built-in":
        raise CommandError(
            "--from-data writes a project without code", Exit.USAGE,
            "training: allowed: built-in; for code of your own add src/train.py afterwards",
        )  # fmt: skip
    owner = answers.get("owner", "my-team")
    assert file is not None
    declared = declare(read_file(file), file.name, wanted, name, owner)
    task = declared.sections["data"]["label"].get("task", "binary")
    return declared, f"tabular-{'regression' if task == 'regression' else 'classification'}"


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
