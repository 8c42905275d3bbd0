"""State machines on Step Functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.errors import code_of, translate, translated
from steward.domain.digests import canonical_json
from steward.domain.errors import ConflictError, RejectedError
from steward.ports import ExecutionState


class StepFunctionsWorkflows:
    """Starts executions by name, so that the same work is never started twice."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def start(self, machine: str, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution and return its ARN; the same name and payload start nothing new.

        AWS answers the same name and payload with the running execution's ARN; where it says
        that the name is taken, the execution that has it is looked at.
        """
        text = canonical_json(payload).decode()
        try:
            answer = self._client.start_execution(stateMachineArn=machine, name=name, input=text)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if isinstance(error, ClientError) and code_of(error) == "ExecutionAlreadyExists":
                return self._adopt(machine, name, payload)
            raise translate(error, f"start execution {name}") from error
        return str(answer["executionArn"])

    def _adopt(self, machine: str, name: str, payload: Mapping[str, Any]) -> str:
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        with translated(f"describe execution {name}"):
            found = self._client.describe_execution(executionArn=arn)
        if found["status"] != "RUNNING":
            raise ConflictError(f"execution {name} has ended: {found['status']}")
        if json.loads(found.get("input") or "null") != payload:
            raise ConflictError(f"execution {name} runs with another payload")
        return arn

    def status(self, execution_arn: str) -> str:
        """Return RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE."""
        with translated(f"describe execution {execution_arn}"):
            return str(self._client.describe_execution(executionArn=execution_arn)["status"])

    def find(self, execution_arn: str) -> ExecutionState | None:
        """Return how an execution is, None where there is none: AWS forgets after 90 days."""
        try:
            with translated(f"describe execution {execution_arn}"):
                found = self._client.describe_execution(executionArn=execution_arn)
        except RejectedError as error:
            if error.value == "ExecutionDoesNotExist":
                return None
            raise
        return ExecutionState(
            str(found["status"]), str(found.get("error") or ""), str(found.get("cause") or "")
        )

    def is_redrivable(self, execution_arn: str) -> bool:
        """Return whether AWS would run the execution on: it failed, within the last 14 days."""
        with translated(f"describe execution {execution_arn}"):
            found = self._client.describe_execution(executionArn=execution_arn)
        return bool(found.get("redriveStatus") == "REDRIVABLE")

    def redrive(self, execution_arn: str) -> None:
        """Run an execution on from the state that did not succeed, with that state's input."""
        try:
            self._client.redrive_execution(executionArn=execution_arn)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if isinstance(error, ClientError) and code_of(error) == "ExecutionNotRedrivable":
                raise ConflictError(f"{execution_arn} cannot be redriven: {error}") from error
            raise translate(error, f"redrive {execution_arn}") from error

    def stop(self, execution_arn: str, error: str, cause: str) -> None:
        """Abort an execution and what it is waiting for; one that has ended stays as it is."""
        with translated(f"stop execution {execution_arn}"):
            self._client.stop_execution(
                executionArn=execution_arn, error=error[:256], cause=cause[:32_768]
            )
