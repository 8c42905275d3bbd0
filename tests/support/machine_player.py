"""Plays a JSONata state machine in this process: its file, our contracts, scripted tasks.

A task is a function of its arguments, or raises :class:`TaskError`. Waiting costs no time but is
told to who wants to know. What
the embedded AWS shows with roles and history, this shows in milliseconds for every branch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonata
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

MACHINES = Path(__file__).parents[2] / "statemachines"
Task = Callable[[Any], Any]


class TaskError(Exception):
    """What Step Functions sees of a task that failed."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


@dataclass
class Played:
    """How an execution went."""

    status: str
    output: Any = None
    error: str = ""
    cause: str = ""
    path: list[str] = field(default_factory=list)
    arguments: dict[str, list[Any]] = field(default_factory=dict)


def machine(name: str) -> dict[str, Any]:
    """Return a machine's definition by ``domain/name``, with an ARN for each substitution."""
    text = (MACHINES / f"{name}.asl.json").read_text()
    text = re.sub(r"\$\{(\w+)\}", r"arn:aws:any:us-east-1:000000000000:\1", text)
    definition: dict[str, Any] = json.loads(text)
    return definition


def play(
    definition: dict[str, Any],
    tasks: dict[str, Task],
    data: Any,
    *,
    redrives: int = 0,
    execution_arn: str = "arn:execution",
    waited: Callable[[float], None] = lambda _seconds: None,
    manifest: Callable[[Any], list[Any]] | None = None,
) -> Played:
    """Run a machine.

    Args:
        definition: The machine.
        tasks: By state name.
        data: Its input.
        redrives: How often it was redriven.
        execution_arn: Of the execution.
        waited: Is told the seconds of each wait.
        manifest: Reads the items of a Distributed Map, by the arguments of its reader.
    """
    execution = {"Id": execution_arn, "Input": data, "RedriveCount": redrives}
    return _play(
        definition, data, execution, {}, Played("RUNNING"), _Hands(tasks, waited, manifest)
    )


@dataclass(frozen=True)
class _Hands:
    tasks: dict[str, Task]
    waited: Callable[[float], None]
    manifest: Callable[[Any], list[Any]] | None


def _play(
    definition: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    variables: dict[str, Any],
    played: Played,
    hands: _Hands,
) -> Played:
    name, value = definition["StartAt"], data
    while True:
        state = definition["States"][name]
        played.path.append(name)
        context = {"Execution": execution, "State": {"Name": name, "RetryCount": 0}}
        scope = _Scope(variables, {"input": value, "context": context})
        if state["Type"] == "Choice":
            taken = next((c for c in state["Choices"] if scope.of(c["Condition"])), None)
            name = taken["Next"] if taken else state["Default"]
            continue
        if state["Type"] == "Succeed":
            played.status, played.output = "SUCCEEDED", scope.of(state.get("Output", value))
            return played
        if state["Type"] == "Fail":
            played.status = "FAILED"
            played.error, played.cause = scope.of(state["Error"]), scope.of(state["Cause"])
            return played
        if state["Type"] in ("Pass", "Wait"):
            if state["Type"] == "Wait":
                hands.waited(scope.of(state["Seconds"]))
            variables.update(scope.of(state.get("Assign", {})))
            value = scope.of(state.get("Output", value))
            if state.get("End"):
                played.status, played.output = "SUCCEEDED", value
                return played
            name = state["Next"]
            continue
        assert state["Type"] in ("Task", "Map"), state["Type"]
        try:
            if state["Type"] == "Map":
                scope.states["result"] = _map(state, scope, execution, played, hands)
            else:
                scope.states["result"] = _attempt(name, state, hands.tasks[name], scope, played)
        except TaskError as error:
            catch = next((c for c in state.get("Catch", []) if _catches(c, error)), None)
            if catch is None:
                played.status, played.error, played.cause = "FAILED", error.error, error.cause
                return played
            output = {"Error": error.error, "Cause": error.cause}
            scope.states["errorOutput"] = output
            variables.update(scope.of(catch.get("Assign", {})))
            name, value = catch["Next"], scope.of(catch.get("Output", output))
            continue
        variables.update(scope.of(state.get("Assign", {})))
        value = scope.of(state.get("Output", scope.states["result"]))
        if state.get("End"):
            played.status, played.output = "SUCCEEDED", value
            return played
        name = state["Next"]


def _map(
    state: dict[str, Any], scope: _Scope, execution: dict[str, Any], played: Played, hands: _Hands
) -> list[Any]:
    """Run the items one after the other; children of a Distributed Map know no variables."""
    processor = state["ItemProcessor"]
    is_distributed = processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    if "ItemReader" in state:
        assert hands.manifest is not None
        items = hands.manifest(scope.of(state["ItemReader"]["Arguments"]))
    else:
        items = scope.of(state["Items"])
    tolerated = float(state.get("ToleratedFailurePercentage", 0)) * len(items) / 100
    results, failed = [], 0
    for index, item in enumerate(items):
        context = {**scope.states["context"], "Map": {"Item": {"Index": index, "Value": item}}}
        inner = _Scope(scope.variables, {**scope.states, "context": context})
        given = inner.of(state["ItemSelector"]) if "ItemSelector" in state else item
        own = {"Id": f"{execution['Id']}/{index}", "Input": given, "RedriveCount": 0}
        child = Played("RUNNING", path=played.path, arguments=played.arguments)
        variables = {} if is_distributed else dict(scope.variables)
        _play(processor, given, own if is_distributed else execution, variables, child, hands)
        if child.status == "FAILED":
            failed += 1
            if not is_distributed:
                raise TaskError(child.error, child.cause)
            continue
        results.append(child.output)
    if failed > tolerated:
        raise TaskError("States.ExceedToleratedFailureThreshold")
    return results


def _catches(catch: dict[str, Any], error: TaskError) -> bool:
    """As on AWS: ``States.ALL`` does not catch what breaks the machine itself."""
    beyond = {"States.Runtime", "States.DataLimitExceeded"}
    names = catch["ErrorEquals"]
    return error.error in names or ("States.ALL" in names and error.error not in beyond)


def _attempt(name: str, state: Any, task: Task, scope: _Scope, played: Played) -> Any:
    tries: dict[int, int] = {}
    while True:
        arguments = scope.of(state["Arguments"])
        assert scope.of(state["TimeoutSeconds"]) > 0
        played.arguments.setdefault(name, []).append(arguments)
        try:
            if state["Resource"].endswith("lambda:invoke"):
                payload = json.loads(json.dumps(task(arguments["Payload"])))
                return {"Payload": payload, "StatusCode": 200}
            _validate(state["Resource"], arguments)
            return task(arguments)
        except TaskError as error:
            retriers = enumerate(state.get("Retry", []))
            found = next((r for r in retriers if error.error in r[1]["ErrorEquals"]), None)
            if found is None or tries.get(found[0], 0) >= found[1]["MaxAttempts"]:
                raise
            tries[found[0]] = tries.get(found[0], 0) + 1
            scope.states["context"]["State"]["RetryCount"] = sum(tries.values())


def _validate(resource: str, arguments: Any) -> None:
    """Hold the arguments of a SageMaker integration to AWS's own service model."""
    if ":sagemaker:" not in resource:
        return
    operation = resource.rsplit(":", 1)[1].removesuffix(".sync")
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    shape = model.operation_model(operation[0].upper() + operation[1:]).input_shape
    report = ParamValidator().validate(arguments, shape)
    assert not report.has_errors(), report.generate_report()


@dataclass
class _Scope:
    variables: dict[str, Any]
    states: dict[str, Any]

    def of(self, template: Any) -> Any:
        """Return a template with its expressions evaluated; undefined is an error, as on AWS."""
        if isinstance(template, dict):
            return {key: self.of(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.of(value) for value in template]
        if not isinstance(template, str) or not template.startswith("{%"):
            return template
        text = template[2:-2].strip()
        null = jsonata.utils.Utils.NULL_VALUE
        bindings = {n: null if v is None else v for n, v in self.variables.items()}
        bindings["states"] = self.states
        value = jsonata.Jsonata.jsonata(text).evaluate(None, bindings)
        if value is None:
            exists = jsonata.Jsonata.jsonata(f"$exists({text})").evaluate(None, bindings)
            assert exists, f"undefined: {text}"
        return json.loads(json.dumps(value))
