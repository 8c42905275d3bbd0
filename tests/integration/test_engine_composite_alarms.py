"""Composite alarms and saved log queries of a template, on the embedded AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration


def _template(errors: str, drift: str, page: str, rule: str) -> str:
    def alarm(name: str) -> dict[str, Any]:
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": name, "Namespace": "Steward", "MetricName": name, "Period": 60,
                "Statistic": "Sum", "EvaluationPeriods": 1, "Threshold": 1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "ignore",
            },
        }  # fmt: skip

    resources = {
        "Page": {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "Properties": {"AlarmName": page, "AlarmRule": {"Fn::Sub": rule}},
        },
        "Errors": alarm(errors),
        "Drift": alarm(drift),
        "Log": {"Type": "AWS::Logs::LogGroup"},
        "Query": {
            "Type": "AWS::Logs::QueryDefinition",
            "Properties": {
                "Name": f"{page}/failed",
                "LogGroupNames": [{"Ref": "Log"}],
                "QueryString": "fields @timestamp | limit 20",
            },
        },
    }
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})


def _deploy(account: Account, name: str, template: str, *, update: bool = False) -> None:
    cloudformation = account.client("cloudformation")
    make = cloudformation.update_stack if update else cloudformation.create_stack
    make(StackName=name, TemplateBody=template)
    waiter = cloudformation.get_waiter(f"stack_{'update' if update else 'create'}_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def _state(account: Account, name: str) -> str:
    [found] = account.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["CompositeAlarm"]
    )["CompositeAlarms"]
    return str(found["StateValue"])


def _emit(account: Account, metric: str) -> None:
    account.client("cloudwatch").put_metric_data(
        Namespace="Steward", MetricData=[{"MetricName": metric, "Value": 1}]
    )


def _alarmed(account: Account, name: str) -> None:
    """Emit until the metric's alarm stands: one period of it may pass unseen."""

    def again() -> bool:
        _emit(account, name)
        found = account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(found[0]["StateValue"] == "ALARM")

    eventually(again, what=f"{name} in ALARM")


def test_a_rule_over_two_alarms_holds_only_when_both_do(account: Account) -> None:
    stack, page = unique("composite"), unique("page")
    errors, drift = unique("errors"), unique("drift")
    both = 'ALARM("${Errors}") AND ALARM("${Drift}")'
    _deploy(account, stack, _template(errors, drift, page, both))
    assert _state(account, page) == "OK"
    _alarmed(account, errors)
    assert _state(account, page) == "OK"
    _alarmed(account, drift)
    eventually(lambda: _state(account, page) == "ALARM", what="the page")
    history = account.client("cloudwatch").describe_alarm_history(
        AlarmName=page, AlarmTypes=["CompositeAlarm"], HistoryItemType="StateUpdate"
    )["AlarmHistoryItems"]
    assert any("from OK to ALARM" in item["HistorySummary"] for item in history)


def test_a_new_rule_is_judged_at_once_and_the_stack_can_go(account: Account) -> None:
    stack, page = unique("composite"), unique("page")
    errors, drift = unique("errors"), unique("drift")
    template = _template(errors, drift, page, 'ALARM("${Errors}") AND ALARM("${Drift}")')
    _deploy(account, stack, template)
    _alarmed(account, errors)
    assert _state(account, page) == "OK"
    either = template.replace(" AND ", " OR ")
    _deploy(account, stack, either, update=True)
    assert _state(account, page) == "ALARM"
    logs = account.client("logs")
    [query] = logs.describe_query_definitions(queryDefinitionNamePrefix=page)["queryDefinitions"]
    assert query["name"] == f"{page}/failed"
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    assert account.client("cloudwatch").describe_alarms(
        AlarmNames=[page], AlarmTypes=["CompositeAlarm"]
    )["CompositeAlarms"] == []  # fmt: skip
    assert logs.describe_query_definitions(queryDefinitionNamePrefix=page)["queryDefinitions"] == []


def test_a_rule_on_an_alarm_that_does_not_exist_fails_the_stack(account: Account) -> None:
    template = _template(unique("e"), unique("d"), unique("p"), 'ALARM("nowhere")')
    with pytest.raises(WaiterError):
        _deploy(account, unique("composite"), template)
    with pytest.raises(ClientError, match="do not exist"):
        account.client("cloudwatch").put_composite_alarm(
            AlarmName=unique("page"), AlarmRule='ALARM("nowhere")'
        )


def test_a_saved_query_is_changed_by_its_id_and_needs_its_log_groups(account: Account) -> None:
    logs, name = account.client("logs"), unique("query")
    kept = logs.put_query_definition(name=name, queryString="limit 1")["queryDefinitionId"]
    logs.put_query_definition(queryDefinitionId=kept, name=name, queryString="limit 2")
    [found] = logs.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
    assert (found["queryDefinitionId"], found["queryString"]) == (kept, "limit 2")
    with pytest.raises(ClientError, match="do not exist"):
        logs.put_query_definition(name=name, queryString="limit 1", logGroupNames=["nowhere"])
    assert logs.delete_query_definition(queryDefinitionId=kept)["success"] is True
    with pytest.raises(ClientError, match="no such"):
        logs.delete_query_definition(queryDefinitionId=kept)


def test_throttles_and_errors_of_all_functions_are_one_metric_too(account: Account) -> None:
    function = account.function("def handler(event, context):\n    raise ValueError('no')\n")
    account.invoke(function, {})
    listed = account.client("cloudwatch").list_metrics(Namespace="AWS/Lambda", MetricName="Errors")
    assert [] in [metric["Dimensions"] for metric in listed["Metrics"]]
