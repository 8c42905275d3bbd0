"""``steward project add``: stack and code, together or each by the persona whose work it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward_cli.commands import project as command
from support.command_line import Done, steward

FOLDER = str(Path(__file__).resolve().parents[2] / "projects" / "diabetes")


class Account:
    """Who may do what; keeps what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.denied: set[str] = set()
        self.error = "AccessDenied"
        self.done: list[str] = []
        monkeypatch.setattr(command, "choose", lambda _choice: None)
        monkeypatch.setattr(command, "deploy_project_stack", self._deploy)
        monkeypatch.setattr(command, "push", self._push)
        monkeypatch.setattr(command, "deploy_pipeline", self._pipeline)

    def _do(self, what: str) -> None:
        if what in self.denied:
            raise ClientError({"Error": {"Code": self.error, "Message": "no"}}, what)
        self.done.append(what)

    def _deploy(self, _target: Any, _project: Any) -> str:
        self._do("stack")
        return "steward-local-project-diabetes"

    def _push(self, _target: Any, _source: Any) -> dict[str, str]:
        self._do("code")
        return {"author": "theo"}

    def _pipeline(self, *_words: Any) -> str:
        self._do("pipeline")
        return "steward-local-pipeline-diabetes"

    def add(self, *words: str) -> Done:
        return steward("project", "add", FOLDER, *words)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


@pytest.mark.parametrize(
    ("words", "done", "keys"),
    [
        ((), ["stack", "code"], ["author", "stack"]),
        (("--only", "stack"), ["stack"], ["stack"]),
        (("--only", "code"), ["code"], ["author"]),
        (("--only", "stack", "--pipeline", "codecommit:credit"), ["stack", "pipeline"],
         ["pipeline_stack", "stack"]),
    ],
)  # fmt: skip
def test_each_half_can_be_done_by_itself(
    account: Account, words: tuple[str, ...], done: list[str], keys: list[str]
) -> None:
    told = account.add(*words, "--json")

    assert told.exit_code == 0, told.stderr
    assert account.done == done
    assert sorted(json.loads(told.stdout)) == keys


def test_after_the_stack_the_author_is_asked_for(account: Account) -> None:
    assert f"steward project add {FOLDER} --only code" in account.add("--only", "stack").stdout
    assert "author theo" in account.add("--only", "code").stdout


@pytest.mark.parametrize(
    ("half", "persona"), [("stack", "the administrator"), ("code", "the scientist")]
)
def test_who_may_do_one_half_is_told_who_does_the_other(
    account: Account, half: str, persona: str
) -> None:
    account.denied = {half}

    refused = account.add()

    assert refused.exit_code == 5
    assert persona in refused.stderr
    assert f"--only {half}" in refused.stderr
    account.error = "Throttling"
    assert account.add().exit_code == 1


@pytest.mark.parametrize(
    "words", [("--only", "data"), ("--only", "code", "--pipeline", "codecommit:credit")]
)
def test_what_goes_not_together_is_refused_before_anything_is_done(
    account: Account, words: tuple[str, ...]
) -> None:
    assert account.add(*words).exit_code == 2
    assert account.done == []
