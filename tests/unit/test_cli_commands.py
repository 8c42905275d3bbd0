"""What every command promises: an example in its help, JSON for scripts, readable cells."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command

from steward_cli import console
from steward_cli.app import HELP, app
from steward_cli.commands import mail


def leaves(command: Any, path: str = "steward") -> Iterator[tuple[str, Any]]:
    for name, sub in getattr(command, "commands", {}).items():
        yield from leaves(sub, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(leaves(get_command(app)))


def printed(renderable: object, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example_of_itself(name: str) -> None:
    text = COMMANDS[name].help or ""
    assert "Example: " in text
    example = text.split("Example: ")[1]
    assert name.rsplit(" ", 1)[-1] in example


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_json_for_scripts(name: str) -> None:
    assert "--json" in [option for found in COMMANDS[name].params for option in found.opts]


def test_the_error_of_a_command_is_json_where_json_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from typer import Exit

    with pytest.raises(Exit) as left:
        console.fail(console.CommandError("no", console.Exit.DENIED, "ask"), as_json=True)
    assert left.value.exit_code == 5
    assert json.loads(capsys.readouterr().err) == {"error": "no", "hint": "ask"}


def test_a_time_in_a_table_is_cut_to_the_second() -> None:
    row = ("2026-01-05T09:00:00.123+00:00", "2026-01-05T09:00:01Z", "2026-01-05")
    out = printed(console.table(("a", "b", "c"), [row]))
    assert "2026-01-05 09:00:00  2026-01-05 09:00:01  2026-01-05" in out


def test_nested_values_of_a_record_are_written_as_yaml() -> None:
    out = printed(console.record({"plan": {"steps": [{"share": 10.0}]}, "alarms": [], "id": "x"}))
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert lines == ["alarms", "id      x", "plan    steps:", "        - share: 10.0"]


def test_square_brackets_of_a_mail_are_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.eml").write_text("To: a@b.c\nSubject: [steward dev] x\n\n[missing_column]\n")
    target = SimpleNamespace(engine=SimpleNamespace(mailbox=tmp_path))
    monkeypatch.setattr(mail, "choose", lambda _choice: target)
    mail.show_mail(SimpleNamespace(obj=None), 1)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert "Subject: [steward dev] x" in out
    assert "[missing_column]" in out


SHORT = {"--reason": "-m", "--comment": "-m", "--note": "-m", "--out": "-o", "--project": "-p"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_option_has_the_same_short_form_and_everything_is_explained(name: str) -> None:
    for found in COMMANDS[name].params:
        for option in found.opts:
            assert SHORT.get(option, option) in found.opts, found.opts
        if found.name != "help":
            assert found.help, f"{name} {found.name}"
        if found.param_type_name == "argument":
            shown = found.metavar or found.name.upper()
            assert "PROJECT_" not in shown, shown


def test_the_overview_names_every_command_once_below_a_heading() -> None:
    program: Any = get_command(app)
    assert sorted(program.list_commands(None)) == sorted(program.commands)
    assert all(command.rich_help_panel for command in program.commands.values())


def test_exit_codes_are_told_in_the_help_and_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert set(console.Exit) <= set(console.EXIT_CODES)
    for code, told in console.EXIT_CODES.items():
        assert f"{code} {told}" in HELP
        assert f"| {code} | {told}" in page
