"""Every `steward` command that the README, the docs or a mail shows exists and takes its words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from steward_cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_SHOWN = re.compile(r"^\$ (?:\.venv/bin/)?(steward .*)$", re.MULTILINE)
MAILS = sorted((ROOT / "tests" / "contracts" / "mails").glob("*.txt"))
_TOLD = re.compile(r"^ +(steward .*)$", re.MULTILINE)
_PROGRAM: Any = typer.main.get_command(app)
COMMANDS: frozenset[str] = frozenset(_PROGRAM.commands)
LINES = [
    (page.name, match[1])
    for pages, shown in ((PAGES, _SHOWN), (MAILS, _TOLD))
    for page in pages
    for match in shown.finditer(page.read_text(encoding="utf-8"))
    if "card" in COMMANDS or not match[1].startswith("steward card ")
]


_EXAMPLE = re.compile(r"Example: `(steward [^`]*)`")


def examples(command: Any) -> Iterator[str]:
    """The example in the help of each command."""
    for below in getattr(command, "commands", {}).values():
        yield from examples(below)
    yield from _EXAMPLE.findall(command.help or "")


def problem_of(line: str) -> str | None:
    """Return what the program would not take in a command line, or None."""
    words = shlex.split(line.partition(" >")[0], comments=True)[1:]
    command = _PROGRAM
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name="steward")
        _, rest, _ = command.make_parser(context).parse_args(words)
        if not rest or rest[0] not in command.commands:
            return f"no command {' '.join(rest[:1])!r}"
        command, words = command.commands[rest[0]], rest[1:]
    context = command.context_class(command, info_name="steward")
    try:
        _, left, _ = command.make_parser(context).parse_args(words)
    except Exception as refused:  # noqa: BLE001 - whatever the parser raises is its refusal
        return str(refused) or type(refused).__name__
    return f"too much: {' '.join(left)}" if left else None


def test_commands_are_shown() -> None:
    assert sum(name.endswith(".md") for name, _ in LINES) > 20
    assert sum(name.endswith(".txt") for name, _ in LINES) > 20


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_shown_command_is_one_that_the_program_takes(page: str, line: str) -> None:
    assert problem_of(line) is None, page


@pytest.mark.parametrize("line", sorted(examples(_PROGRAM)))
def test_the_example_of_a_help_is_one_that_the_program_takes(line: str) -> None:
    assert problem_of(line) is None


@pytest.mark.parametrize(
    "line",
    ["steward dataset remake 1", "steward features list --colour", "steward dataset diff a b c"],
)
def test_a_command_that_does_not_exist_is_found_out(line: str) -> None:
    assert problem_of(line) is not None
