"""Commands on a stack that runs already."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from steward_cli.commands import local, release
from steward_cli.console import CommandError, Exit
from steward_cli.target import Choice, Target
from support.laboratory_stack import Laboratory

pytestmark = pytest.mark.e2e


def context(choice: Choice) -> Any:
    return SimpleNamespace(obj=choice)


def test_a_second_up_says_that_one_runs_and_how_to_stop_it(stack: Target, choice: Choice) -> None:
    assert stack.engine is not None
    with pytest.raises(CommandError, match=stack.engine.endpoint) as refused:
        local.up(context(choice))
    assert refused.value.code == Exit.CONFLICT
    assert "steward down" in str(refused.value.hint)


def test_the_exports_of_what_runs_are_given_to_another_shell(
    stack: Target, choice: Choice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stack.engine is not None
    local.up(context(choice), exports=True)
    lines = capsys.readouterr().out.splitlines()
    assert f"export AWS_ENDPOINT_URL={stack.engine.endpoint}" in lines
    assert all(line.startswith("export AWS_") for line in lines)


def test_a_rollback_without_anything_to_go_back_to_is_refused_at_once(lab: Laboratory) -> None:
    lab.add_project("newborn")
    with pytest.raises(CommandError, match="nothing of newborn is serving") as refused:
        release.rollback(context(lab.choice), "newborn", "why not")
    assert refused.value.code == Exit.NOT_FOUND
