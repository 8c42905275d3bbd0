"""Project templates: which there are, what they ask, and how Copier renders and updates one."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment

from steward_cli.console import CommandError, Exit

ANSWERS = ".copier-answers.yml"
_PARTS = ("copier.yml", "projects/templates", "projects/shared", "projects/pipeline.yaml")


@dataclass(frozen=True)
class Template:
    """One folder of ``projects/templates``.

    Attributes:
        name: Of the folder.
        title: As people call it.
        about: One sentence.
    """

    name: str
    title: str
    about: str


def templates_of(root: Path) -> list[Template]:
    """Return the templates below a checkout: every folder with a ``template.yml``."""
    found = []
    for path in sorted((root / "projects" / "templates").glob("*/template.yml")):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        found.append(Template(path.parent.name, told["title"], told["about"]))
    return found


def questions_of(root: Path, template: str) -> dict[str, dict[str, Any]]:
    """Return what a template asks beside ``template`` and ``name``, by the question's name."""
    asked: dict[str, dict[str, Any]] = {}
    common = (root / "copier.yml").read_text(encoding="utf-8").partition("\n---")[0]
    asked |= yaml.safe_load(common)
    for path in sorted((root / "projects" / "templates").glob("*/questions.yml")):
        asked |= yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {
        name: question
        for name, question in asked.items()
        if not name.startswith("_") and name not in ("template", "name")
        and _is_asked(question, template)
    }  # fmt: skip


def check_answers(root: Path, template: str, answers: Mapping[str, Any]) -> None:
    """Refuse a template that does not exist and answers that it would not take.

    Raises:
        CommandError: With the field, its value and what is allowed.
    """
    known = [found.name for found in templates_of(root)]
    if template not in known:
        raise CommandError(
            f"--template {template!r} is none", Exit.USAGE, f"allowed: {', '.join(known)}"
        )
    questions = questions_of(root, template)
    for name, value in answers.items():
        if name not in questions:
            raise CommandError(
                f"--data {name}={value}: {template} asks no {name!r}", Exit.USAGE,
                f"allowed: {', '.join(questions)}",
            )  # fmt: skip
        question = questions[name]
        choices = question.get("choices")
        if choices and value not in [str(choice) for choice in choices]:
            raise CommandError(
                f"--data {name}: {value!r} is none of the choices", Exit.USAGE,
                f"{name}: allowed: {', '.join(map(str, choices))}",
            )  # fmt: skip
        if question.get("type") == "int" and not _is_whole(value):
            raise CommandError(
                f"--data {name}: {value!r} is no whole number", Exit.USAGE,
                f"{name}: allowed: {question.get('help', 'a whole number')}",
            )  # fmt: skip


def render(root: Path, template: str, name: str, goal: Path, answers: Mapping[str, Any]) -> None:
    """Render a template into a folder that does not exist yet; what cannot be is left out whole.

    Raises:
        CommandError: An answer is not taken.
    """
    import copier

    check_answers(root, template, answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            copier.run_copy(
                str(root), goal, data={**answers, "template": template, "name": name},
                defaults=True, quiet=True, vcs_ref=_reference(root),
            )  # fmt: skip
        except (ValueError, copier.errors.CopierError) as error:
            raise CommandError(_told(error), Exit.USAGE) from None


def update(folder: Path, answers: Mapping[str, Any], source: Path | None = None) -> list[str]:
    """Take what changed in the template since a project was rendered, and keep its own edits.

    Args:
        folder: A git repository with nothing uncommitted.
        answers: Answers that change.
        source: Another checkout than the one that the answers file names.

    Returns:
        Files in which the two changes meet, with both between conflict marks.

    Raises:
        CommandError: The folder was not rendered by Copier, or git or Copier refuse.
    """
    import copier

    answered = folder / ANSWERS
    if not answered.is_file():
        raise CommandError(
            f"{answered} is missing", Exit.NOT_FOUND, "only a project that `project new` rendered"
        )
    written = answered.read_text(encoding="utf-8")
    known = yaml.safe_load(written)
    if source is not None:
        answered.write_text(written.replace(str(known["_src_path"]), str(source)), encoding="utf-8")
    root = source or Path(str(known["_src_path"]))
    if answers and (root / "copier.yml").is_file():
        check_answers(root, str(known["template"]), answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            copier.run_update(
                folder, data=dict(answers), defaults=True, overwrite=True, quiet=True,
                vcs_ref=_reference(root) or "HEAD", conflict="inline",
            )  # fmt: skip
        except (ValueError, copier.errors.CopierError) as error:
            answered.write_text(written, encoding="utf-8")
            raise CommandError(_told(error), Exit.CONFLICT) from None
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts and _conflicts(path)
    )


def _reference(root: Path) -> str | None:
    """Return the commit that is rendered; HEAD, with what is uncommitted, while templates change.

    A commit that Copier makes of uncommitted files is in no repository: a project rendered from
    one cannot be updated, so it is made for changed templates alone.
    """
    if not (root / ".git").exists():
        return None
    changed = _git(root, "status", "--porcelain", "--", *_PARTS)
    return "HEAD" if changed else _git(root, "rev-parse", "HEAD")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"git {words[0]}: {done.stderr.strip()}", Exit.FAILED)
    return done.stdout.strip()


def _is_asked(question: Mapping[str, Any], template: str) -> bool:
    when = question.get("when", True)
    if isinstance(when, str):
        text = Environment(autoescape=False).from_string(when)  # noqa: S701 - no page
        return text.render(template=template) == "True"
    return bool(when)


def _is_whole(value: object) -> bool:
    try:
        return str(int(str(value))) == str(value)
    except ValueError:
        return False


def _told(error: Exception) -> str:
    """Return the sentence of Copier's error, in one line."""
    return " ".join(str(error).split())


def _conflicts(path: Path) -> bool:
    return b"\n<<<<<<< " in b"\n" + path.read_bytes()
