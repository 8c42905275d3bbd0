"""State machine definitions held to the Amazon States Language when a machine is created."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steward_local.stepfunctions_additions import athena_calls, nested, sagemaker_calls

TYPES = {"Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}
_ENDING = {"Succeed", "Fail"}
_PATH_FIELDS = {
    "InputPath",
    "OutputPath",
    "Parameters",
    "ResultSelector",
    "ResultPath",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "MaxConcurrencyPath",
    "ErrorPath",
    "CausePath",
}
_JSONATA_FIELDS = {"Arguments", "Output", "Items"}
_TOP = {
    "Comment",
    "StartAt",
    "States",
    "QueryLanguage",
    "TimeoutSeconds",
    "Version",
}
_PROCESSOR = {"Comment", "StartAt", "States", "QueryLanguage", "ProcessorConfig"}
_OPTIMISED = "arn:aws:states:::"
# Services of which only the named calls are integrated.
_PLAIN = {
    "sagemaker": sagemaker_calls.PLAIN,
    "athena": athena_calls.PLAIN,
    "databrew": ("startJobRun",),
}
_SYNC_ELSEWHERE = {
    "batch:submitJob",
    "ecs:runTask",
    "glue:startJobRun",
    "codebuild:startBuild",
    "athena:startQueryExecution",
    "databrew:startJobRun",
    "elasticmapreduce:createCluster",
}
MAX_NAME = 80


@dataclass(frozen=True)
class Flaw:
    """One reason to refuse a definition, in the words of ValidateStateMachineDefinition."""

    code: str
    message: str
    location: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location or '/'}"


def check(text: str) -> list[Flaw]:
    """Every flaw of a definition, in the order of the file."""
    try:
        machine = json.loads(text)
    except json.JSONDecodeError as error:
        return [Flaw("INVALID_JSON_DESCRIPTION", str(error), "")]
    if not isinstance(machine, dict):
        return [Flaw("SCHEMA_VALIDATION_FAILED", "A definition is a JSON object", "")]
    return list(_machine(machine, "", machine.get("QueryLanguage", "JSONPath"), _TOP))


def _schema(message: str, at: str) -> Flaw:
    return Flaw("SCHEMA_VALIDATION_FAILED", message, at)


def _machine(machine: dict[str, Any], at: str, language: str, fields: set[str]) -> Iterator[Flaw]:
    for field in sorted(set(machine) - fields):
        yield _schema(f"Field '{field}' is not supported", f"{at}/{field}")
    if language not in {"JSONPath", "JSONata"}:
        yield _schema(f"QueryLanguage must be JSONPath or JSONata, not '{language}'", at)
    states, start = machine.get("States"), machine.get("StartAt")
    if not isinstance(states, dict) or not states:
        yield _schema("States is required and must hold at least one state", f"{at}/States")
        return
    if start not in states:
        yield Flaw(
            "MISSING_TRANSITION_TARGET", f"Missing 'StartAt' target: {start}", f"{at}/StartAt"
        )
    reached = {start}
    for name, state in states.items():
        where = f"{at}/States/{name}"
        if len(name) > MAX_NAME:
            yield _schema(f"State names have at most {MAX_NAME} characters", where)
        if not isinstance(state, dict) or state.get("Type") not in TYPES:
            kind = state.get("Type") if isinstance(state, dict) else state
            yield _schema(f"Type must be one of {sorted(TYPES)}, not {kind!r}", f"{where}/Type")
            continue
        yield from _state(state, where, language)
        for field, target in _targets(state):
            reached.add(target)
            if target not in states:
                yield Flaw(
                    "MISSING_TRANSITION_TARGET",
                    f"Missing '{field.rsplit('/', 1)[-1]}' target: {target}",
                    f"{where}/{field}",
                )
    for name in states:
        if name not in reached:
            yield Flaw(
                "MISSING_TRANSITION_TARGET",
                f"State '{name}' is not reachable",
                f"{at}/States/{name}",
            )
    if not any(
        isinstance(state, dict) and (state.get("End") or state.get("Type") in _ENDING)
        for state in states.values()
    ):
        yield _schema("No state ends the machine", f"{at}/States")


def _targets(state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for group in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(group, [])):
            if isinstance(rule, dict) and "Next" in rule:
                yield f"{group}/{index}/Next", rule["Next"]


def _state(state: dict[str, Any], at: str, outer: str) -> Iterator[Flaw]:
    kind = state["Type"]
    language = state.get("QueryLanguage", outer)
    if outer == "JSONata" and language == "JSONPath":
        yield _schema("A JSONata machine has no JSONPath states", f"{at}/QueryLanguage")
    wrong = _PATH_FIELDS if language == "JSONata" else _JSONATA_FIELDS
    for field in sorted(set(state) & wrong):
        yield _schema(f"Field '{field}' is not supported in {language} states", f"{at}/{field}")
    transitions = ("Next" in state) + bool(state.get("End"))
    if kind in _ENDING or kind == "Choice":
        if transitions:
            yield _schema(f"A {kind} state has neither Next nor End", at)
    elif transitions != 1:
        yield _schema("Exactly one of Next and End is required", at)
    yield from _rules(state, at)
    yield from _own(kind, state, at, language)


def _own(kind: str, state: dict[str, Any], at: str, language: str) -> Iterator[Flaw]:
    """What only states of this type have."""
    if kind == "Task":
        yield from _task(state, at)
    elif kind == "Choice" and not state.get("Choices"):
        yield _schema("Choices is required and must hold at least one rule", f"{at}/Choices")
    elif kind == "Wait":
        given = {"Seconds", "Timestamp", "SecondsPath", "TimestampPath"} & set(state)
        if len(given) != 1:
            yield _schema("A Wait state has exactly one of Seconds and Timestamp", at)
    elif kind in {"Parallel", "Map"}:
        yield from _inner_machines(kind, state, at, language)


def _inner_machines(kind: str, state: dict[str, Any], at: str, language: str) -> Iterator[Flaw]:
    if kind == "Parallel":
        inner = {f"Branches/{i}": item for i, item in enumerate(state.get("Branches", []))}
    else:
        inner = {"ItemProcessor": state.get("ItemProcessor") or state.get("Iterator")}
    if not inner:
        yield _schema("Branches is required and must hold a branch", f"{at}/Branches")
    for field, machine in inner.items():
        if isinstance(machine, dict):
            yield from _machine(machine, f"{at}/{field}", language, _PROCESSOR)
        else:
            yield _schema(f"{field} is required", f"{at}/{field}")


def _rules(state: dict[str, Any], at: str) -> Iterator[Flaw]:
    for group in ("Retry", "Catch"):
        rules = state.get(group, [])
        for index, rule in enumerate(rules):
            names = rule.get("ErrorEquals")
            where = f"{at}/{group}/{index}"
            if not names:
                yield _schema("ErrorEquals is required and must hold a name", where)
            elif "States.ALL" in names and (len(names) > 1 or index < len(rules) - 1):
                yield _schema("States.ALL must stand alone and in the last rule", where)
            if group == "Catch" and "Next" not in rule:
                yield _schema("Next is required", where)


def _task(state: dict[str, Any], at: str) -> Iterator[Flaw]:
    resource = state.get("Resource")
    if not isinstance(resource, str) or not resource.startswith("arn:"):
        yield _schema(f"Resource must be an ARN, not {resource!r}", f"{at}/Resource")
        return
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield _schema("HeartbeatSeconds must be smaller than TimeoutSeconds", at)
    if not resource.startswith(_OPTIMISED):
        return
    api, _, pattern = resource.removeprefix(_OPTIMISED).partition(".")
    if not _is_supported(api, pattern):
        yield _schema(
            f"The resource provided {resource} is not recognized. The value is not a valid "
            "resource ARN, or the resource is not available in this region.",
            f"{at}/Resource",
        )


def _is_supported(api: str, pattern: str) -> bool:
    service, _, action = api.partition(":")
    if pattern == "":
        return service not in _PLAIN or action in _PLAIN[service]
    if pattern == "waitForTaskToken":
        return service not in _PLAIN
    if api == "states:startExecution":
        return pattern in {"sync", "sync:2"}
    if pattern != "sync":
        return False
    return api in _SYNC_ELSEWHERE or api.removeprefix("sagemaker:") in sagemaker_calls.SYNC


def managed_rules(text: str) -> set[str]:
    """Names of the EventBridge rules that Step Functions makes for the `.sync` tasks."""
    found: set[str] = set()
    for resource in _resources(json.loads(text)):
        action = resource.removeprefix(sagemaker_calls.PREFIX).removesuffix(".sync")
        if resource.endswith(".sync") and action in sagemaker_calls.RULES:
            found.add(sagemaker_calls.RULES[action])
        if resource.startswith(f"{nested.PREFIX}.sync"):
            found.add(nested.RULE)
    return found


def _resources(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("Type") == "Task" and isinstance(node.get("Resource"), str):
            yield node["Resource"]
        for item in node.values():
            yield from _resources(item)
    elif isinstance(node, list):
        for item in node:
            yield from _resources(item)
