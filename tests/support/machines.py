"""Builders and readers of state machines in an embedded AWS."""

import json
from typing import Any

from support.embedded import PATIENCE_S, Account, eventually, unique
from support.laboratory import allow, trust

ACCOUNT = "arn:aws:{service}:us-east-1:000000000000:"
TASK = "arn:aws:states:::"


def rules(*names: str) -> dict[str, Any]:
    """The permissions for the managed rules behind `.sync`."""
    base = "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsFor"
    return allow(
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
        resource=[f"{base}{name}Rule" for name in names],
    )


def passing(role: str, service: str = "sagemaker.amazonaws.com") -> dict[str, Any]:
    """The permission to pass one role to one service."""
    condition = {"StringEquals": {"iam:PassedToService": service}}
    return {**allow("iam:PassRole", resource=role), "Condition": condition}


def jsonata(states: dict[str, Any], start: str | None = None, **fields: Any) -> dict[str, Any]:
    """A JSONata machine; it starts with the first state unless told otherwise."""
    return {
        "QueryLanguage": "JSONata",
        "StartAt": start or next(iter(states)),
        **fields,
        "States": states,
    }


class Machines:
    """State machines of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.client = account.client("stepfunctions")

    def role(self, *statements: dict[str, Any]) -> str:
        """A role that Step Functions may take."""
        return self.account.role(list(statements), trust("states"))[1]

    def create(self, definition: dict[str, Any], *statements: dict[str, Any]) -> str:
        """A machine whose role has exactly these statements; returns its ARN."""
        arn: str = self.client.create_state_machine(
            name=unique("machine"),
            definition=json.dumps(definition),
            roleArn=self.role(*statements),
        )["stateMachineArn"]
        return arn

    def start(self, machine: str, data: Any = None, **options: Any) -> str:
        """Start an execution; returns its ARN."""
        arn: str = self.client.start_execution(
            stateMachineArn=machine, input=json.dumps(data if data is not None else {}), **options
        )["executionArn"]
        return arn

    def ended(self, execution: str, within: float = PATIENCE_S) -> Any:
        """The description of an execution once it is over."""

        def read() -> Any:
            described = self.client.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        return eventually(read, within=within, what="the end of the execution")

    def run(self, definition: dict[str, Any], *statements: dict[str, Any], data: Any = None) -> Any:
        """Create a machine, run it once, return the description of the ended execution."""
        return self.ended(self.start(self.create(definition, *statements), data))

    def history(self, execution: str) -> list[Any]:
        """Every event of an execution."""
        pages = self.client.get_paginator("get_execution_history").paginate(
            executionArn=execution, maxResults=1000
        )
        return [event for page in pages for event in page["events"]]
