"""EventBridge on the embedded AWS: forwarding, permissions of targets, dead letters, limits."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration

_EVENTS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def _allow(action: str, resource: str) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": action, "Resource": resource}]


def _rule(account: Account, bus: str = "default", source: str = "") -> tuple[str, str, str]:
    """Create a rule for one source; return its name, ARN and the source."""
    name, source = unique("rule"), source or unique("steward.source")
    arn = account.client("events").put_rule(
        Name=name, EventBusName=bus, EventPattern=json.dumps({"source": [source]})
    )["RuleArn"]
    return name, arn, source


def _put(account: Account, source: str, detail: dict[str, Any], bus: str = "default") -> None:
    entry = {
        "Source": source,
        "DetailType": "Probe",
        "Detail": json.dumps(detail),
        "EventBusName": bus,
    }
    assert account.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def _open_queue(account: Account, rule_arn: str) -> tuple[str, str]:
    """Create a queue to which EventBridge may send for one rule."""
    url, arn = account.queue()
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def test_event_is_forwarded_to_another_bus_with_its_identity(account: Account) -> None:
    events = account.client("events")
    bus = unique("bus")
    bus_arn = events.create_event_bus(Name=bus)["EventBusArn"]
    forward, _, source = _rule(account)
    _, role = account.role(_allow("events:PutEvents", bus_arn), _EVENTS_TRUST)
    events.put_targets(Rule=forward, Targets=[{"Id": "bus", "Arn": bus_arn, "RoleArn": role}])
    inner, inner_arn, _ = _rule(account, bus, source)
    url, queue_arn = _open_queue(account, inner_arn)
    events.put_targets(Rule=inner, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue_arn}])
    _put(account, source, {"n": 1})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["body"]["source"] == source
    assert message["body"]["detail-type"] == "Probe"
    assert message["body"]["detail"] == {"n": 1}


@pytest.mark.parametrize("role_allows", [None, "events:DescribeEventBus"])
def test_forwarding_without_the_permission_ends_in_the_dead_letter_queue(
    account: Account, role_allows: str | None
) -> None:
    events = account.client("events")
    bus_arn = events.create_event_bus(Name=unique("bus"))["EventBusArn"]
    name, rule_arn, source = _rule(account)
    url, dead = _open_queue(account, rule_arn)
    target = {"Id": "bus", "Arn": bus_arn, "DeadLetterConfig": {"Arn": dead}}
    if role_allows:
        _, target["RoleArn"] = account.role(_allow(role_allows, bus_arn), _EVENTS_TRUST)
    events.put_targets(Rule=name, Targets=[target])
    _put(account, source, {"n": 2})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["body"]["detail"] == {"n": 2}
    attributes = message["attributes"]
    assert attributes["RULE_ARN"] == rule_arn
    assert attributes["TARGET_ARN"] == bus_arn
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
    assert "events:PutEvents" in attributes["ERROR_MESSAGE"]


def test_function_is_invoked_only_when_its_policy_names_the_rule(account: Account) -> None:
    events, functions = account.client("events"), account.client("lambda")
    name = account.function("def handler(event, context): print(event['detail']['n'])")
    rule, rule_arn, source = _rule(account)
    url, dead = _open_queue(account, rule_arn)
    target = {"Id": "f", "Arn": account.function_arn(name), "DeadLetterConfig": {"Arn": dead}}
    events.put_targets(Rule=rule, Targets=[target])
    _put(account, source, {"n": "before"})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["attributes"]["ERROR_CODE"] == "NO_PERMISSIONS"
    functions.add_permission(
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )
    _put(account, source, {"n": "after"})
    lines = eventually(lambda: account.log_lines(f"/aws/lambda/{name}"))
    assert "after" in lines
    assert "before" not in lines


def test_function_that_rejects_an_event_sends_it_to_its_own_destination(account: Account) -> None:
    events, functions = account.client("events"), account.client("lambda")
    url, failed = account.queue()
    name = account.function(
        "def handler(event, context): raise ValueError('malformed')",
        statements=_allow("sqs:SendMessage", failed),
    )
    functions.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": failed}},
    )
    rule, rule_arn, source = _rule(account)
    functions.add_permission(
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )
    events.put_targets(Rule=rule, Targets=[{"Id": "f", "Arn": account.function_arn(name)}])
    _put(account, source, {"n": 3})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["body"]["requestPayload"]["detail"] == {"n": 3}
    assert message["body"]["responsePayload"]["errorMessage"] == "malformed"


def test_target_that_is_gone_goes_to_the_dead_letter_queue(account: Account) -> None:
    rule, rule_arn, source = _rule(account)
    url, dead = _open_queue(account, rule_arn)
    target = {
        "Id": "gone",
        "Arn": account.function_arn("gone"),
        "DeadLetterConfig": {"Arn": dead},
    }
    account.client("events").put_targets(Rule=rule, Targets=[target])
    _put(account, source, {"n": 4})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["attributes"]["ERROR_CODE"] == "RESOURCE_NOT_FOUND"


def test_topic_takes_events_only_when_its_policy_says_so(account: Account) -> None:
    sns, events = account.client("sns"), account.client("events")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    rule, rule_arn, source = _rule(account)
    url, dead = _open_queue(account, rule_arn)
    target = {"Id": "t", "Arn": topic, "DeadLetterConfig": {"Arn": dead}}
    events.put_targets(Rule=rule, Targets=[target])
    _put(account, source, {"n": 5})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["attributes"]["ERROR_CODE"] == "NO_PERMISSIONS"
    assert "sns:Publish" in message["attributes"]["ERROR_MESSAGE"]


def test_scheduled_rule_fires_in_scaled_time(account: Account) -> None:
    events = account.client("events")
    name = unique("rule")
    arn = events.put_rule(Name=name, ScheduleExpression="rate(1 minute)")["RuleArn"]
    url, queue = _open_queue(account, arn)
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": queue}])
    [message] = eventually(lambda: list(account.received(url)))
    events.delete_rule(Name=name)
    assert message["body"]["detail-type"] == "Scheduled Event"
    assert message["body"]["resources"] == [arn]


def test_schedule_needs_its_role_and_fires_once_in_scaled_time(account: Account) -> None:
    url, queue = account.queue()
    trust = json.loads(json.dumps(_EVENTS_TRUST).replace("events.", "scheduler."))
    _, role = account.role(_allow("sqs:SendMessage", queue), trust)
    name = unique("schedule")
    account.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": queue,
            "RoleArn": role,
            "Input": json.dumps({"expire": "<aws.scheduler.schedule-arn>"}),
        },
    )
    [message] = eventually(lambda: list(account.received(url)))
    account.client("scheduler").delete_schedule(Name=name)
    assert message["body"]["expire"].endswith(f"schedule/default/{name}")


def test_put_events_refuses_a_request_above_256_kilobytes(account: Account) -> None:
    events = account.client("events")
    entry = {"Source": "a", "DetailType": "b", "Detail": json.dumps({"x": "y" * 30_000})}
    assert events.put_events(Entries=[entry] * 8)["FailedEntryCount"] == 0
    with pytest.raises(events.exceptions.ClientError, match="over the limit"):
        events.put_events(Entries=[entry] * 9)


def test_put_events_refuses_a_malformed_entry_by_itself(account: Account) -> None:
    good = {"Source": "a", "DetailType": "b", "Detail": "{}"}
    answer = account.client("events").put_events(
        Entries=[good, {**good, "Detail": "not json"}, good]
    )
    assert answer["FailedEntryCount"] == 1
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        None,
        "MalformedDetail",
        None,
    ]


def test_an_event_has_the_time_that_put_events_was_given_and_else_its_own(
    account: Account,
) -> None:
    events = account.client("events")
    name, rule_arn, source = _rule(account)
    url, arn = _open_queue(account, rule_arn)
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    began = datetime.now(UTC).replace(microsecond=0)
    given = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    entry = {"Source": source, "DetailType": "Probe"}
    answer = events.put_events(
        Entries=[
            {**entry, "Detail": '{"n": 1}', "Time": given},
            {**entry, "Detail": '{"n": 2}'},
            {**entry, "Detail": "none", "Time": given},
            {**entry, "Detail": '{"n": 3}', "Time": given + timedelta(days=1)},
        ]
    )
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][2]["ErrorCode"] == "MalformedDetail"
    assert len({entry["EventId"] for entry in answer["Entries"] if "EventId" in entry}) == 3
    times: dict[int, str] = {}

    def read() -> bool:
        for message in account.received(url):
            times[message["body"]["detail"]["n"]] = message["body"]["time"]
        return len(times) == 3

    eventually(read)
    assert (times[1], times[3]) == ("2026-01-02T03:04:05Z", "2026-01-03T03:04:05Z")
    assert began <= datetime.fromisoformat(times[2]) <= datetime.now(UTC)


def test_put_events_is_judged_entry_by_entry_on_source_and_detail_type(account: Account) -> None:
    bus = unique("bus")
    arn = account.client("events").create_event_bus(Name=bus)["EventBusArn"]
    condition = {"StringEquals": {"events:source": "mine", "events:detail-type": "Seen"}}
    _, keys = account.user([{**_allow("events:PutEvents", arn)[0], "Condition": condition}])
    events = account.client("events", keys)
    good = {"EventBusName": bus, "Source": "mine", "DetailType": "Seen", "Detail": "{}"}
    assert events.put_events(Entries=[good, good])["FailedEntryCount"] == 0
    for other in ({"Source": "theirs"}, {"DetailType": "Approved"}, {"EventBusName": "default"}):
        for entries in ([{**good, **other}], [good, {**good, **other}]):
            with pytest.raises(events.exceptions.ClientError, match="not authorized") as refused:
                events.put_events(Entries=entries)
            assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
