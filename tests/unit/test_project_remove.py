"""Removing a project as a person does: what is asked, in which order, and what refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, WaiterError

from steward_cli.commands import project_remove
from steward_cli.commands.project_remove import leftovers, refuse_at_work, take_down
from steward_cli.console import CommandError, Exit
from steward_cli.function_urls import Reply
from steward_cli.target import Target

OWN, PIPELINE = "steward-dev-project-churn", "steward-dev-pipeline-churn"


class Stack:
    """A stack that answers the removal URL, and CloudFormation as the caller may use it.

    Attributes:
        passes: How often the function is asked before an endpoint is gone.
        denied: Stacks that the caller may not delete.
        vanishes: Whether the endpoint is gone by itself when the function is asked again.
        done: What was done, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *stacks: str) -> None:
        self.stacks, self.denied, self.passes = set(stacks), set[str](), 1
        self.done: list[str] = []
        self.vanishes = False
        self.found: dict[str, list[str]] = {"endpoints": ["churn-v1-prod"]}
        self.told: dict[str, ClientError] = {}
        monkeypatch.setattr(project_remove, "call", self._call)
        monkeypatch.setattr(project_remove, "withdraw_versions", self._withdraw)
        monkeypatch.setattr(project_remove, "pipeline_stack_name", lambda _t, _p: PIPELINE)
        monkeypatch.setattr("time.sleep", lambda _seconds: None)
        outputs = {"RemovalUrl": "https://url/"}
        self.target = cast(
            "Target",
            SimpleNamespace(
                stack="steward-dev", engine=None, output=outputs.__getitem__,
                client=lambda _name: self,
            ),
        )  # fmt: skip

    def _call(
        self, _target: Any, url: str, method: str, body: Any = None, *,
        timeout_s: float = 60,
    ) -> Any:  # fmt: skip
        assert timeout_s == 300, "as long as the function may take"
        if method == "POST":
            self.done.append("asked")
            self.passes -= 1
            if self.vanishes and self.done.count("asked") == 2:
                self.found = {}
                return Reply(404, {"error": "ProjectNotFoundError", "message": "no project"})
            gone = self.passes <= 0
            answer: dict[str, Any] = {
                "deleted": self.found if gone else {"routes": ["churn"]},
                "left": {} if gone else self.found,
            }
            self.found = answer["left"]
        else:
            assert url == "https://url/?project=churn"
            answer = {"found": self.found, "busy": []}
        return Reply(200, answer)

    def _withdraw(self, _target: Any, _project: str) -> None:
        self.done.append("withdrawn")

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName in self.told:
            raise self.told[StackName]
        if StackName not in self.stacks:
            raise _error("ValidationError", "DescribeStacks")
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        if StackName in self.denied:
            raise _error("AccessDenied", "DeleteStack")
        self.stacks.discard(StackName)
        self.done.append(StackName)

    def get_waiter(self, _name: str) -> Any:
        return SimpleNamespace(wait=self._wait)

    def _wait(self, StackName: str, **_: Any) -> None:  # noqa: N803
        if StackName in self.stacks:
            raise WaiterError("StackDeleteComplete", "DELETE_FAILED", {})


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


def take(stack: Stack) -> dict[str, list[str]]:
    return take_down(stack.target, "churn", lambda _text: None)


def test_it_asks_until_nothing_is_left_and_deletes_the_projects_stack_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch, OWN, PIPELINE)
    stack.passes = 3
    found = take(stack)
    assert found == {
        "routes": ["churn"], "endpoints": ["churn-v1-prod"], "stacks": [PIPELINE, OWN],
    }  # fmt: skip
    assert stack.done == [PIPELINE, "asked", "asked", "asked", "withdrawn", OWN]
    assert leftovers(stack.target, "churn") == {}


def test_an_endpoint_that_goes_between_two_questions_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch, OWN)
    stack.passes, stack.vanishes = 3, True
    assert take(stack) == {"routes": ["churn"], "stacks": [OWN]}
    assert stack.done == ["asked", "asked", "withdrawn", OWN]


def test_who_may_not_delete_a_pipelines_stack_is_told_while_the_project_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch, OWN, PIPELINE)
    stack.denied.add(PIPELINE)
    with pytest.raises(CommandError, match=PIPELINE) as refused:
        take(stack)
    assert refused.value.code is Exit.DENIED
    assert stack.done == []


def test_a_removal_that_was_interrupted_goes_on_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch, OWN)
    stack.found = {}
    assert take(stack) == {"stacks": [OWN]}
    assert stack.done == ["withdrawn", OWN]


def test_a_stack_that_may_not_be_looked_at_is_not_taken_for_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch)
    stack.told[OWN] = _error("AccessDenied", "DescribeStacks")
    with pytest.raises(ClientError):
        leftovers(stack.target, "churn")


def test_what_is_under_way_is_named() -> None:
    with pytest.raises(CommandError, match="run r1") as refused:
        refuse_at_work("churn", {"found": {}, "busy": ["run r1"]})
    assert refused.value.code is Exit.CONFLICT
    refuse_at_work("churn", {"found": {}, "busy": []})
