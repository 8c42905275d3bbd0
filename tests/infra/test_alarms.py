"""Every function, state machine and queue has an alarm, and every alarm tells somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.templates import CHILDREN, ROOT, load, of_type, references

MACHINES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "statemachines").rglob("*.asl.json"))
}
_MOST_DATA_QUERIES = 10
PROJECT_STACK = ROOT / "projects" / "project-stack.yaml"


def _metrics(alarm: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (namespace, metric, what its dimensions name) of an alarm."""
    queries = [q["MetricStat"]["Metric"] for q in alarm.get("Metrics", []) if "MetricStat" in q]
    for metric in queries or [alarm]:
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], dimensions


def _watched(template: dict[str, Any], namespace: str, metric: str) -> set[str]:
    """Return the logical ids whose metric has an alarm."""
    found = set()
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        for of, name, dimensions in _metrics(alarm["Properties"]):
            if (of, name) == (namespace, metric):
                found |= set(references(dimensions))
    return found


def _tasks() -> set[str]:
    """Return the logical ids of the functions that some machine calls."""
    text = "\n".join(MACHINES.values())
    return {name.removesuffix("Arn") for name in re.findall(r"\$\{(\w+FunctionArn)\}", text)}


def _queued(template: dict[str, Any], function: dict[str, Any]) -> set[str]:
    """Return the queues that take what a function could not handle."""
    properties = function["Properties"]
    queues = set(references(properties["Environment"]["Variables"].get("FAILURE_QUEUE_URL", "")))
    for event in properties.get("Events", {}).values():
        if event["Type"] == "SQS":
            [source] = references(event["Properties"]["Queue"])
            redrive = template["Resources"][source]["Properties"]["RedrivePolicy"]
            queues |= set(references(redrive))
    return queues


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_every_function_has_an_alarm_where_its_failure_ends(path: Any) -> None:
    """A failure ends in a dead-letter queue, in the machine that called, or with the caller.

    Tasks raise their rejections, which Lambda counts as errors, so that the machine's end is
    what tells a failure from a verdict.
    """
    template = load(path)
    tasks, own = _tasks(), _watched(template, "AWS/Lambda", "Errors")
    queues = _watched(template, "AWS/SQS", "ApproximateNumberOfMessagesVisible")
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        queued = _queued(template, function)
        if name in tasks or queued:
            assert queued <= queues, name
        else:
            assert name in own, f"{name} answers a caller and has no alarm on its errors"


def test_tasks_are_functions_that_exist() -> None:
    functions = {n for path in CHILDREN for n in of_type(load(path), "AWS::Serverless::Function")}
    assert _tasks() <= functions
    assert len(_tasks()) >= 20


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_every_machine_has_an_alarm_on_failures_and_timeouts(path: Any) -> None:
    template = load(path)
    machines = set(of_type(template, "AWS::Serverless::StateMachine"))
    assert _watched(template, "AWS/States", "ExecutionsFailed") == machines
    assert _watched(template, "AWS/States", "ExecutionsTimedOut") == machines


def test_throttles_of_all_functions_have_an_alarm_and_the_gateways_one_of_its_own() -> None:
    templates = {path.stem: load(path) for path in CHILDREN}
    reserved = {
        name
        for template in templates.values()
        for name, function in of_type(template, "AWS::Serverless::Function").items()
        if "ReservedConcurrentExecutions" in function["Properties"]
    }
    own = {
        name
        for template in templates.values()
        for name in _watched(template, "AWS/Lambda", "Throttles")
    }
    assert own == reserved
    [together] = [
        dimensions
        for alarm in of_type(templates["foundation"], "AWS::CloudWatch::Alarm").values()
        for _, metric, dimensions in _metrics(alarm["Properties"])
        if metric == "Throttles"
    ]
    assert together == {}


@pytest.mark.parametrize("path", [*CHILDREN, PROJECT_STACK], ids=lambda path: path.stem)
def test_every_alarm_says_what_to_do_and_how_silence_is_taken(path: Any) -> None:
    for name, alarm in of_type(load(path), "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        assert properties["AlarmDescription"], name
        assert properties["TreatMissingData"], name
        data = [query for query in properties.get("Metrics", []) if "MetricStat" in query]
        assert len(data) <= _MOST_DATA_QUERIES, name


def test_an_alarm_of_a_project_pages_by_the_composite_or_is_told_otherwise() -> None:
    resources = load(PROJECT_STACK)["Resources"]
    [composite] = of_type({"Resources": resources}, "AWS::CloudWatch::CompositeAlarm").values()
    rule = composite["Properties"]["AlarmRule"]["Fn::Sub"]
    in_rule = set(re.findall(r"\$\{(\w+)\}", rule))
    assert in_rule == {
        "StableErrorsAlarm", "StableLatencyAlarm", "NoDataAlarm", "DriftAlarm", "PerformanceAlarm",
    }  # fmt: skip
    assert "AlarmActions" in composite["Properties"]
    # A candidate's start a rollback, those of looks are told by mails with their report.
    otherwise = {"CandidateErrorsAlarm", "CandidateLatencyAlarm", "BiasAlarm", "TrafficAlarm"}
    for name, alarm in of_type({"Resources": resources}, "AWS::CloudWatch::Alarm").items():
        told = "AlarmActions" in alarm["Properties"]
        assert told != (name in in_rule | otherwise), name
