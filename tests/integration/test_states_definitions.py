"""Definitions that AWS refuses are refused when the machine is created or changed."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account
from support.machines import Machines, jsonata

pytestmark = pytest.mark.integration

END = {"Type": "Succeed"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "next": (
        jsonata({"A": {"Type": "Pass", "Next": "B"}, "C": END}),
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next",
    ),
    "start": (
        jsonata({"A": END}, start="Z"),
        "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: Z at /StartAt",
    ),
    "unreachable": (jsonata({"A": END, "B": END}), "State 'B' is not reachable at /States/B"),
    "catch": (
        jsonata(
            {
                "A": {
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "I", "States": {"I": END}}],
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "X"}],
                    "End": True,
                }
            }
        ),
        "Missing 'Next' target: X at /States/A/Catch/0/Next",
    ),
    "type": (jsonata({"A": {"Type": "Job", "End": True}}), "Type must be one of"),
    "no transition": (
        jsonata({"A": {"Type": "Pass"}, "B": END}),
        "Exactly one of Next and End is required at /States/A",
    ),
    "path field": (
        jsonata({"A": {"Type": "Pass", "ResultPath": "$.x", "End": True}}),
        "Field 'ResultPath' is not supported in JSONata states",
    ),
    "inner": (
        jsonata(
            {
                "A": {
                    "Type": "Map",
                    "ItemProcessor": {
                        "StartAt": "I",
                        "States": {"I": {"Type": "Pass", "Next": "J"}, "K": END},
                    },
                    "End": True,
                }
            }
        ),
        "Missing 'Next' target: J at /States/A/ItemProcessor/States/I/Next",
    ),
    "all with others": (
        jsonata(
            {
                "A": {
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "I", "States": {"I": END}}],
                    "Retry": [{"ErrorEquals": ["States.ALL", "X"]}],
                    "End": True,
                }
            }
        ),
        "States.ALL must stand alone and in the last rule",
    ),
    "unknown field": (jsonata({"A": END}, Timeout=3), "Field 'Timeout' is not supported"),
}


@pytest.fixture(scope="module")
def machines(account: Account) -> Machines:
    return Machines(account)


@pytest.mark.parametrize("case", CASES)
def test_flawed_definition_is_refused_with_its_place(machines: Machines, case: str) -> None:
    definition, words = CASES[case]
    with pytest.raises(ClientError) as error:
        machines.create(definition)
    answer = error.value.response["Error"]
    assert answer["Code"] == "InvalidDefinition"
    assert words in answer["Message"]
    found = machines.client.validate_state_machine_definition(definition=json.dumps(definition))
    assert found["result"] == "FAIL"
    assert any(item["message"] in answer["Message"] for item in found["diagnostics"])


def test_change_to_a_flawed_definition_is_refused_and_changes_nothing(
    machines: Machines,
) -> None:
    good = jsonata({"A": END})
    machine = machines.create(good)
    with pytest.raises(ClientError) as error:
        machines.client.update_state_machine(
            stateMachineArn=machine, definition=json.dumps(CASES["next"][0])
        )
    assert error.value.response["Error"]["Code"] == "InvalidDefinition"
    kept = machines.client.describe_state_machine(stateMachineArn=machine)["definition"]
    assert json.loads(kept) == good


def test_template_with_a_flawed_machine_fails(machines: Machines) -> None:
    role = machines.role()
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": role,
                    "DefinitionString": json.dumps(CASES["next"][0]),
                },
            }
        }
    }
    cloudformation = machines.account.client("cloudformation")
    cloudformation.create_stack(
        StackName="flawed-machine", TemplateBody=json.dumps(template), OnFailure="DO_NOTHING"
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    with pytest.raises(Exception, match="failed"):
        waiter.wait(StackName="flawed-machine", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    events = cloudformation.describe_stack_events(StackName="flawed-machine")["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events]
    assert any("Missing 'Next' target: B" in reason for reason in reasons)
