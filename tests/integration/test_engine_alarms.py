"""Metrics and alarms on the embedded AWS."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

import pytest

from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration

_EMIT = """
import json, time
def handler(event, context):
    for value in event["values"]:
        print(json.dumps({
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{
                "Namespace": event["namespace"],
                "Dimensions": [["project", "role"], []],
                "Metrics": [{"Name": "errors", "Unit": "Count", "StorageResolution": 1}],
            }]},
            "project": "diabetes", "role": event["role"], "errors": value,
        }))
"""
_CANDIDATE = [{"Name": "project", "Value": "diabetes"}, {"Name": "role", "Value": "candidate"}]


@pytest.fixture(scope="module")
def emitter(account: Account) -> str:
    return account.function(_EMIT)


def _emit(account: Account, emitter: str, namespace: str, role: str, *values: float) -> None:
    event = {"namespace": namespace, "role": role, "values": values}
    assert account.invoke(emitter, event) == (None, None)


def _alarm(account: Account, namespace: str, **settings: Any) -> str:
    name = unique("alarm")
    metric = {
        "Namespace": namespace,
        "MetricName": "errors",
        "Dimensions": _CANDIDATE,
        "Statistic": "Sum",
        "Period": 10,
    }
    defaults = {
        "Threshold": 2,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        **({} if "Metrics" in settings else metric),
    }
    account.client("cloudwatch").put_metric_alarm(AlarmName=name, **{**defaults, **settings})
    return name


def _state(account: Account, name: str) -> str:
    found = account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found[0]["StateValue"])


def _reaches(account: Account, name: str, state: str) -> None:
    def reached() -> bool:
        return _state(account, name) == state

    eventually(reached, what=f"{name} in {state} (is {_state(account, name)})")


def _breached(account: Account, emitter: str, namespace: str, name: str, *values: float) -> None:
    """Emit the candidate's values until an alarm is in ALARM: one period of it may pass unseen."""

    def again() -> bool:
        _emit(account, emitter, namespace, "candidate", *values)
        return _state(account, name) == "ALARM"

    eventually(again, what=f"{name} in ALARM")


def _mails(account: Account) -> Iterator[Any]:
    for path in sorted(account.engine.mailbox.glob("*.eml")):
        yield message_from_bytes(path.read_bytes(), policy=policy.default)


def test_log_lines_in_embedded_metric_format_become_metrics(account: Account, emitter: str) -> None:
    namespace = unique("Steward")
    _emit(account, emitter, namespace, "candidate", 1, 2)
    listed = account.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    assert sorted(len(metric["Dimensions"]) for metric in listed) == [0, 2]


def test_alarm_goes_to_alarm_and_back_for_its_own_dimensions_only(
    account: Account, emitter: str
) -> None:
    namespace = unique("Steward")
    own = _alarm(account, namespace, TreatMissingData="notBreaching")
    other = _alarm(
        account,
        namespace,
        TreatMissingData="notBreaching",
        Dimensions=[{"Name": "role", "Value": "candidate"}],
    )
    _reaches(account, own, "OK")
    _emit(account, emitter, namespace, "stable", 9)
    time.sleep(1)
    assert _state(account, own) == "OK"
    _breached(account, emitter, namespace, own, 2, 1)
    assert _state(account, other) == "OK"
    _reaches(account, own, "OK")


@pytest.mark.parametrize(
    ("treatment", "state"),
    [
        ("missing", "INSUFFICIENT_DATA"),
        ("ignore", "INSUFFICIENT_DATA"),
        ("breaching", "ALARM"),
        ("notBreaching", "OK"),
    ],
)
def test_missing_data_is_treated_as_asked(account: Account, treatment: str, state: str) -> None:
    name = _alarm(account, unique("Steward"), TreatMissingData=treatment)
    _reaches(account, name, state)
    time.sleep(0.6)
    assert _state(account, name) == state


def test_two_out_of_three_datapoints_are_needed(account: Account, emitter: str) -> None:
    namespace = unique("Steward")
    name = _alarm(
        account,
        namespace,
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Period=20,
        TreatMissingData="notBreaching",
    )
    _reaches(account, name, "OK")
    _emit(account, emitter, namespace, "candidate", 9)
    time.sleep(1.5)
    assert _state(account, name) == "OK"
    _breached(account, emitter, namespace, name, 9)


def test_standard_metric_reaches_a_ten_second_alarm_once_a_minute(account: Account) -> None:
    namespace = unique("Steward")
    cloudwatch = account.client("cloudwatch")
    name = _alarm(account, namespace, Period=60, Dimensions=[], TreatMissingData="notBreaching")
    datum = {"MetricName": "errors", "Value": 9.0, "Unit": "Count"}
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
    _reaches(account, name, "ALARM")


def test_metric_math_divides_and_fills(account: Account, emitter: str) -> None:
    namespace = unique("Steward")

    def metric(identity: str, role: str) -> dict[str, Any]:
        dimensions = [_CANDIDATE[0], {"Name": "role", "Value": role}]
        metric = {"Namespace": namespace, "MetricName": "errors", "Dimensions": dimensions}
        stat = {"Metric": metric, "Period": 10, "Stat": "Sum"}
        return {"Id": identity, "MetricStat": stat, "ReturnData": False}

    name = _alarm(
        account,
        namespace,
        Threshold=0.1,
        TreatMissingData="notBreaching",
        Metrics=[
            metric("e", "errors"),
            metric("r", "requests"),
            {"Id": "rate", "Expression": "IF(r > 5, FILL(e, 0) / r, 0)", "Label": "error rate"},
        ],
    )
    described = account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert [query["Id"] for query in described[0]["Metrics"]] == ["e", "r", "rate"]
    _emit(account, emitter, namespace, "requests", 4)
    _emit(account, emitter, namespace, "errors", 4)
    _reaches(account, name, "OK")
    time.sleep(1)
    assert _state(account, name) == "OK"  # too few requests

    def one_in_five_fails() -> bool:
        _emit(account, emitter, namespace, "requests", 20)
        _emit(account, emitter, namespace, "errors", 4)
        return _state(account, name) == "ALARM"

    # Both go into one period only where no border lies between them: again, at the same rate.
    eventually(one_in_five_fails, what="the alarm on one error in five")


def test_state_change_is_an_event_as_documented(account: Account, emitter: str) -> None:
    events = account.client("events")
    url, queue = account.queue()
    namespace = unique("Steward")
    rule = unique("rule")
    name = _alarm(
        account, namespace, TreatMissingData="notBreaching", AlarmDescription="candidate fails"
    )
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [name], "state": {"value": ["ALARM"]}},
    }
    rule_arn = events.put_rule(Name=rule, EventPattern=json.dumps(pattern))["RuleArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    account.client("sqs").set_queue_attributes(
        QueueUrl=url,
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})},
    )
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": queue}])
    _reaches(account, name, "OK")
    _emit(account, emitter, namespace, "candidate", 5)
    [message] = eventually(lambda: list(account.received(url)))
    event = message["body"]
    region, owner = account.engine.region, account.engine.account
    assert event["resources"] == [f"arn:aws:cloudwatch:{region}:{owner}:alarm:{name}"]
    detail = event["detail"]
    assert set(detail) == {"alarmName", "configuration", "previousState", "state"}
    assert detail["configuration"]["description"] == "candidate fails"
    [metric] = detail["configuration"]["metrics"]
    assert metric["metricStat"] == {
        "metric": {
            "namespace": namespace,
            "name": "errors",
            "dimensions": {"project": "diabetes", "role": "candidate"},
        },
        "period": 10,
        "stat": "Sum",
    }
    assert metric["returnData"] is True
    assert detail["previousState"]["value"] == "OK"
    assert detail["state"]["reason"].startswith(
        "Threshold Crossed: 1 out of the last 1 datapoints [5.0 ("
    )
    data = json.loads(detail["state"]["reasonData"])
    assert (data["version"], data["period"], data["recentDatapoints"]) == ("1.0", 10, [5.0])
    assert data["statistic"] == "Sum"
    assert detail["state"]["timestamp"].endswith("+0000")


def test_alarm_mails_the_topic_of_its_action(account: Account, emitter: str) -> None:
    sns = account.client("sns")
    topic = sns.create_topic(Name=unique("on-call"))["TopicArn"]
    recipient = f"{unique('on-call')}@example.com"
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=recipient)
    namespace = unique("Steward")
    name = _alarm(account, namespace, TreatMissingData="notBreaching", AlarmActions=[topic])
    _reaches(account, name, "OK")
    _emit(account, emitter, namespace, "candidate", 5)

    def received() -> list[Any]:
        return [mail for mail in _mails(account) if mail["To"] == recipient]

    [mail] = eventually(received)
    assert mail["Subject"] == f'ALARM: "{name}" in US East (N. Virginia)'
    text = mail.get_content()
    assert text.startswith(
        f'You are receiving this email because your Amazon CloudWatch Alarm "{name}" in the US '
        "East (N. Virginia) region has entered the ALARM state"
    )
    assert "If you wish to stop receiving notifications from this topic" in text


def test_setting_a_state_sends_the_event_and_the_actions(account: Account) -> None:
    topic = account.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    url, queue = account.queue()
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
    }
    account.client("sqs").set_queue_attributes(
        QueueUrl=url,
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})},
    )
    account.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    name = _alarm(account, unique("Steward"), TreatMissingData="ignore", AlarmActions=[topic])
    before = time.time()
    account.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="drill"
    )
    [message] = eventually(lambda: list(account.received(url)))
    notice = json.loads(message["body"]["Message"])
    assert notice["AlarmName"] == name
    assert notice["NewStateValue"] == "ALARM"
    assert notice["NewStateReason"] == "drill"
    changed = datetime.fromisoformat(notice["StateChangeTime"]).timestamp()
    assert round(before, 3) - 0.001 <= changed <= time.time()
    assert notice["Trigger"]["Dimensions"][1] == {"name": "role", "value": "candidate"}
