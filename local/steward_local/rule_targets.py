"""What EventBridge does with a matched event: permissions, retries and dead letters of targets.

Sources: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

import contextvars
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, request_scope
from ministack.services import cloudwatch, eventbridge

from steward_local import authority, lifecycle, schedule_requests
from steward_local.delivery import DeliveryError, Parcel, Sender, ServiceSender, deliver_as
from steward_local.pace import real_seconds

JsonObject = dict[str, Any]
Invoke = Callable[..., None]

_log = logging.getLogger(__name__)
_RETRIES = 185
_PUT = "events:PutEvents"
SCHEDULER = schedule_requests.SERVICE
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 600.0
# Errors that another attempt cannot mend: they go to the dead-letter queue at once.
_FINAL = {
    "NO_PERMISSIONS",
    "RESOURCE_NOT_FOUND",
    "SQS_QUEUE_NOT_FOUND",
    "SNS_TOPIC_NOT_FOUND",
    "KMS_NOT_FOUND",
    "INVALID_TARGET",
    "INVALID_PARAMETER",
    "InvalidParameterValue",
    "ExecutionAlreadyExists",
}


def _payload(target: JsonObject, rule: JsonObject, view: Any) -> str | None:
    """What the target gets instead of the event itself, or None."""
    if target.get("InputTransformer"):
        rendered: str = eventbridge._apply_input_transformer(target["InputTransformer"], rule, view)
        return rendered
    if target.get("Input"):
        return str(target["Input"])
    if target.get("InputPath"):
        value: Any = view.event_with_detail()
        for part in str(target["InputPath"]).removeprefix("$").split("."):
            if part and isinstance(value, dict) and part in value:
                value = value[part]
            elif part:
                return None
        return json.dumps(value)
    return None


def _sender(target: JsonObject, rule: JsonObject, service: str) -> Sender:
    """The target's role when it has one, else EventBridge for the rule."""
    role = target.get("RoleArn")
    if not role:
        return ServiceSender(service, rule.get("Arn", ""))
    try:
        context = {"aws:sourcearn": rule.get("Arn", "")}
        if service == SCHEDULER:
            context = schedule_requests.source(rule.get("GroupName", "default"))
        session = authority.assume_for_service(role, service, "rule", context)
    except authority.AssumeRoleError as problem:
        raise DeliveryError("NO_PERMISSIONS", str(problem)) from problem
    return authority.principal_of(session)


def _send(target: JsonObject, event: JsonObject, rule: JsonObject, view: Any, service: str) -> None:
    arn = target.get("Arn", "")
    payload = _payload(target, rule, view)
    sender = _sender(target, rule, service)
    if ":event-bus/" in arn:
        _forward(sender, arn, event, rule, payload)
        return
    body = payload if payload is not None else json.dumps(view.event_with_detail())
    parameters = target.get("SqsParameters") or {}
    group = parameters.get("MessageGroupId", "")
    deliver_as(sender, arn, Parcel(body=body, source="aws.events", group=group))


def _forward(
    sender: Sender, arn: str, event: JsonObject, rule: JsonObject, payload: str | None
) -> None:
    """Pass an event to another bus as it is: same id, account, time, source and detail type.

    A bus of another account takes it where the rule's role may put events there and the bus's
    own policy admits that role: both, as for every call across accounts.
    """
    bus = eventbridge.parse_arn(arn)
    name = bus.resource.partition("/")[2]
    keys = {"events:source": event["Source"], "events:detail-type": event["DetailType"]}
    foreign = bus.account_id != get_account_id()
    with request_scope(bus.account_id, bus.region):
        policy, exists = eventbridge._event_bus_policies.get(name), name in eventbridge._event_buses
    if isinstance(sender, authority.Principal):
        message = sender.denial(_PUT, arn, keys)
        if foreign and message is None:
            message = sender.foreign_denial(_PUT, arn, policy, keys)
    elif foreign:
        message = f"A rule needs a role to put events onto {arn}, a bus of another account"
    else:
        message = sender.denial(_PUT, arn, policy)
    if message:
        raise DeliveryError("NO_PERMISSIONS", message)
    if not exists:
        raise DeliveryError("RESOURCE_NOT_FOUND", f"Event bus {arn} does not exist")
    path = set(event.get("_DispatchPath") or [])
    with request_scope(bus.account_id, bus.region):
        eventbridge._dispatch_to_event_bus(bus, event, rule, path, payload)


def _count(metric: str, rule: JsonObject) -> None:
    dimensions = {"RuleName": rule.get("Name", "")}
    if rule.get("EventBusName", "default") != "default":
        dimensions["EventBusName"] = rule["EventBusName"]
    cloudwatch.record_metric("AWS/Events", metric, 1, "Count", dimensions)


def _give_up(
    target: JsonObject,
    rule: JsonObject,
    view: Any,
    problem: DeliveryError,
    attempts: int,
    service: str = "events.amazonaws.com",
) -> None:
    """Put the event into the target's dead-letter queue, with the reason as attributes.

    A rule's queue admits EventBridge by its policy and gets the event; Scheduler sends the
    target's input with the schedule's role, which must be allowed to.
    """
    _count("FailedInvocations", rule)
    arn, target_arn = rule.get("Arn", ""), target.get("Arn", "")
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    _log.warning("Rule %s could not invoke %s: %s %s", arn, target_arn, problem.code, problem)
    if not queue:
        return
    attributes = {
        ("SCHEDULE_ARN" if service == SCHEDULER else "RULE_ARN"): arn,
        "TARGET_ARN": target_arn,
        "ERROR_CODE": problem.code,
        "ERROR_MESSAGE": str(problem)[:1024],
    }
    if attempts:
        attributes["EXHAUSTED_RETRY_CONDITION"] = "MaximumRetryAttempts"
        attributes["RETRY_ATTEMPTS"] = str(attempts)
    parcel = Parcel(body=view.event_with_detail(), source="aws.events", attributes=attributes)
    try:
        sender: Sender = ServiceSender(service, arn)
        if service == SCHEDULER:
            sender = _sender(target, rule, service)
            parcel = Parcel(str(target.get("Input") or ""), "aws.scheduler", attributes=attributes)
        deliver_as(sender, queue, parcel)
        _count("InvocationsSentToDlq", rule)
    except DeliveryError as refused:
        _count("InvocationsFailedToBeSentToDlq", rule)
        _log.warning("Dead-letter queue %s of rule %s: %s", queue, arn, refused)


def _deliver(
    target: JsonObject, event: JsonObject, rule: JsonObject, view: Any, service: str
) -> None:
    policy = target.get("RetryPolicy") or {}
    retries = int(policy.get("MaximumRetryAttempts", _RETRIES))
    attempts = 0
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            _send(target, event, rule, view, service)
        except DeliveryError as problem:
            if problem.code in _FINAL or attempts >= retries:
                _give_up(target, rule, view, problem, attempts, service)
                return
        else:
            _count("Invocations", rule)
            return
        attempts += 1
        if lifecycle.stopping.wait(real_seconds(pause)):
            return
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def invoke(original: Invoke) -> Invoke:
    """Invoke a target in the background as EventBridge does, with its role or as the service."""

    def invoke_target(
        target: JsonObject, event: JsonObject, rule: JsonObject, view: Any = None
    ) -> None:
        if ":api-destination/" in target.get("Arn", ""):
            original(target, event, rule, view)
            return
        shown = view or eventbridge._pattern_event_view(event)
        scheduled = event.get("Source") == "aws.scheduler"
        service = SCHEDULER if scheduled else "events.amazonaws.com"
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run,
            args=(_deliver, target, event, rule, shown, service),
            daemon=True,
            name="rule-target",
        ).start()

    return invoke_target


def emit_aws_event(source: str, detail_type: str, detail: JsonObject, resource: str) -> None:
    """Put an event of an AWS service onto the account's default bus."""
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": source,
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail),
                    "Resources": [resource],
                }
            ]
        },
        allow_aws_source=True,
    )
