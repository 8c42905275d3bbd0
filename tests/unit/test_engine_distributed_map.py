"""Distributed Map of the embedded Step Functions: its items, its children, what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions.interpreter import Walk
from steward_local.stepfunctions_additions.scope import Scope

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:watch"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:watch:one"
READER = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSON"},
    "Arguments": {"Bucket": "{% $place.bucket %}", "Key": "{% $place.key %}"},
}


class Role:
    """A machine's role that notes what it is asked for, and refuses what it is told to."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self._refused = refused

    def require(self, action: str, resource: str, error_name: str, context: Any = None) -> None:
        self.asked.append((action, resource))
        if action in self._refused:
            raise sf._ExecutionError(error_name, f"may not {action}")


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the manifest holds."""
    items: list[Any] = [{"n": 1}, {"n": 2}, {"n": 3}]
    monkeypatch.setattr(sf, "_s3_object_text", lambda _bucket, _key: json.dumps(items))
    return items


def mapped(child: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "Fan",
        "States": {
            "Fan": {
                "Type": "Map", "ItemReader": READER,
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Child", "States": {"Child": child},
                },
                "Output": "{% $states.result %}", "End": True, **fields,
            }
        },
    }  # fmt: skip


def run(machine: dict[str, Any], role: Role) -> Any:
    """Run it with a variable that says where the manifest lies."""
    execution = {
        "executionArn": EXECUTION, "stateMachineArn": MACHINE, "events": [], "status": "RUNNING",
    }  # fmt: skip
    ctx = {
        "QueryLanguage": "JSONata",
        "Execution": {"Id": EXECUTION, "Input": {"who": "parent"}, "Name": "one", "RoleArn": "r"},
        "StateMachine": {"Id": MACHINE, "Name": "watch"},
        "variables": {"place": {"bucket": "b", "key": "k"}},
    }
    return Walk(execution, role).states(machine, {"who": "parent"}, ctx, Scope())  # type: ignore[arg-type]


def passing(output: Any) -> dict[str, Any]:
    return {"Type": "Pass", "Output": output, "End": True}


FAILING = {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}


def test_each_item_of_the_manifest_is_an_execution_of_its_own(manifest: list[Any]) -> None:
    role = Role()
    child = passing(
        {"n": "{% $states.input.n %}", "id": "{% $states.context.Execution.Id %}",
         "input": "{% $states.context.Execution.Input %}"}
    )  # fmt: skip
    found = run(mapped(child), role)
    assert [one["n"] for one in found] == [1, 2, 3]
    assert [one["input"] for one in found] == manifest
    assert len({one["id"] for one in found}) == 3
    assert all(one["id"].startswith(EXECUTION.replace(":one", "/Fan:")) for one in found)
    assert role.asked == [
        ("states:StartExecution", MACHINE), ("s3:GetObject", "arn:aws:s3:::b/k")
    ]  # fmt: skip


def test_children_know_no_variables_of_their_parent(manifest: list[Any]) -> None:
    with pytest.raises(sf._ExecutionError) as error:
        run(mapped(passing("{% $place.bucket %}")), Role())
    assert error.value.error == "States.ExceedToleratedFailureThreshold"


def test_an_item_selector_sees_item_and_parent(manifest: list[Any]) -> None:
    selector = {"n": "{% $states.context.Map.Item.Value.n %}", "who": "{% $states.input.who %}"}
    found = run(mapped(passing("{% $states.input %}"), ItemSelector=selector), Role())
    assert found == [{"n": n, "who": "parent"} for n in (1, 2, 3)]


def test_failed_children_are_tolerated_as_declared(manifest: list[Any]) -> None:
    assert run(mapped(FAILING, ToleratedFailurePercentage=100), Role()) == []
    with pytest.raises(sf._ExecutionError, match="threshold"):
        run(mapped(FAILING, ToleratedFailureCount=2), Role())
    with pytest.raises(sf._ExecutionError, match="threshold"):
        run(mapped(FAILING), Role())


def test_a_failed_map_can_be_caught(manifest: list[Any]) -> None:
    machine = mapped(FAILING, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Told"}])
    machine["States"]["Told"] = passing("told")
    assert run(machine, Role()) == "told"


def test_no_items_are_fine(manifest: list[Any]) -> None:
    manifest.clear()
    assert run(mapped(FAILING), Role()) == []


def test_what_children_return_together_is_bound(manifest: list[Any]) -> None:
    with pytest.raises(sf._ExecutionError) as error:
        run(mapped(passing("{% $pad('', 100000, 'x') %}")), Role())
    assert error.value.error == "States.DataLimitExceeded"


@pytest.mark.parametrize("action", ["states:StartExecution", "s3:GetObject"])
def test_the_role_must_allow_it(manifest: list[Any], action: str) -> None:
    with pytest.raises(sf._ExecutionError, match="may not"):
        run(mapped(passing(1)), Role(action))


def test_another_reader_is_refused(manifest: list[Any]) -> None:
    machine = mapped(passing(1))
    machine["States"]["Fan"]["ItemReader"] = {**READER, "ReaderConfig": {"InputType": "CSV"}}
    with pytest.raises(sf._ExecutionError) as error:
        run(machine, Role())
    assert error.value.error == "States.ItemReaderFailed"
