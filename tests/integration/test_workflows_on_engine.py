"""The workflows' contract, kept by their adapter on the embedded AWS."""

from __future__ import annotations

import json

import pytest

from contracts import test_workflows_contract as suite
from contracts.test_workflows_contract import WAITING, Subject
from steward.adapters.workflows import StepFunctionsWorkflows
from support.embedded import Account, unique
from support.suites import cases_of

globals().update(cases_of(suite))
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture
def subject(account: Account) -> Subject:
    """A new machine whose executions wait until they are aborted."""
    client = account.client("stepfunctions")
    _, role = account.role([], _TRUST)
    machine = client.create_state_machine(
        name=unique("waiting"), definition=json.dumps(WAITING), roleArn=role
    )["stateMachineArn"]
    return Subject(
        StepFunctionsWorkflows(client),
        machine,
        lambda arn: client.stop_execution(executionArn=arn),
    )
