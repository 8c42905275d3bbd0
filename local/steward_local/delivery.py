"""What a service sends on behalf of its customer: who may send it, and where it goes.

A sender is a principal (a role that the service assumed) or the service itself, which needs
the target's resource policy and the key policy of an encrypted target.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, kms, lambda_svc, sns, sqs, stepfunctions

from steward_local.authority import Principal

JsonObject = dict[str, Any]


class DeliveryError(Exception):
    """A target took nothing; `code` is the error code that AWS reports for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ServiceSender:
    """A service that sends for one of its resources.

    Attributes:
        service: Its principal, for instance `events.amazonaws.com`.
        source_arn: The resource it sends for, for instance a rule.
        owned: Whether the target's default policy (`aws:SourceOwner`) admits it, as SNS
            topics do for CloudWatch alarms of the same account.
    """

    service: str
    source_arn: str
    owned: bool = False

    def denial(self, action: str, resource: str, policy: Any) -> str | None:
        """The message of the refusal by a resource policy, or None when it allows it."""
        context = {
            "aws:sourcearn": self.source_arn,
            "aws:sourceaccount": get_account_id(),
            "aws:securetransport": "true",
            "aws:tagkeys": None,
        }
        if self.owned:
            context["aws:sourceowner"] = get_account_id()
        question = iam_evaluator.EvalContext(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action=action,
            resource_arn=resource,
            region=get_region(),
            service_context=context,
        )
        decision = iam_evaluator.evaluate_resource_policy(policy, question, service=self.service)
        if policy and decision.decision == "Allow":
            return None
        return (
            f"User: {self.service} is not authorized to perform: {action} on resource: {resource} "
            f"because no resource-based policy allows the {action} action"
        )


Sender = Principal | ServiceSender


@dataclass(frozen=True)
class Parcel:
    """What is sent.

    Attributes:
        body: A JSON value; text goes to a queue or topic as it is.
        source: The event source when it goes to a bus, and a part of messages.
        attributes: Message attributes of a queue's message.
        group: Message group of a FIFO queue.
        by_protocol: What a topic's subscribers of a protocol get in place of the body.
    """

    body: Any
    source: str
    detail_type: str = ""
    resource: str = ""
    subject: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    group: str = ""
    by_protocol: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)

    @property
    def value(self) -> Any:
        """The body as a JSON value."""
        if not isinstance(self.body, str):
            return self.body
        try:
            return json.loads(self.body)
        except json.JSONDecodeError:
            return self.body


def _require(sender: Sender, action: str, resource: str, policy: Any) -> None:
    if isinstance(sender, Principal):
        message = sender.denial(action, resource)
    else:
        message = sender.denial(action, resource, policy)
    if message:
        raise DeliveryError("NO_PERMISSIONS", message)


def _require_key(sender: Sender, key_id: str | None, alias: str) -> None:
    """Ask the key policy of an encrypted target; the AWS-managed key admits no service."""
    if not key_id:
        return
    if key_id == alias:
        if isinstance(sender, ServiceSender):
            raise DeliveryError(
                "NO_PERMISSIONS", f"{sender.service} cannot use the AWS managed key {alias}"
            )
        return
    record = kms._resolve_key(key_id)
    if record is None:
        raise DeliveryError("KMS_NOT_FOUND", f"Key {key_id} does not exist")
    arn = record["Arn"]
    found = kms.key_policy_for_arn(arn)
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        _require(sender, action, arn, found[0] if found else None)


def _to_queue(sender: Sender, arn: str, parcel: Parcel) -> None:
    queue = sqs._queue_by_arn(arn)
    if queue is None:
        raise DeliveryError("SQS_QUEUE_NOT_FOUND", f"Queue {arn} does not exist")
    attributes = queue["attributes"]
    _require(sender, "sqs:SendMessage", arn, attributes.get("Policy"))
    _require_key(sender, attributes.get("KmsMasterKeyId"), "alias/aws/sqs")
    message: JsonObject = {
        "MessageBody": parcel.text,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value or "-"}
            for name, value in parcel.attributes.items()
        },
    }
    if queue["is_fifo"]:
        message["MessageGroupId"] = parcel.group
        message["MessageDeduplicationId"] = hashlib.sha256(parcel.text.encode()).hexdigest()
    try:
        sqs._act_send_message({**message, "QueueUrl": queue["url"]}, queue["url"])
    except sqs._Err as problem:
        raise DeliveryError(problem.code, str(problem)) from problem


def _to_topic(sender: Sender, arn: str, parcel: Parcel) -> None:
    topic = sns._topic_by_arn_any_scope(arn)
    if topic is None:
        raise DeliveryError("SNS_TOPIC_NOT_FOUND", f"Topic {arn} does not exist")
    attributes = topic.get("attributes", {})
    _require(sender, "sns:Publish", arn, attributes.get("Policy"))
    _require_key(sender, attributes.get("KmsMasterKeyId"), "alias/aws/sns")
    text, structure = parcel.text, ""
    if parcel.by_protocol:
        text, structure = json.dumps({"default": text, **parcel.by_protocol}), "json"
    try:
        sns.publish_internal(
            arn,
            text,
            parcel.subject,
            message_structure=structure,
            message_group_id=parcel.group,
        )
    except sns.SnsPublishError as problem:
        raise DeliveryError("INVALID_PARAMETER", str(problem)) from problem


def _to_function(sender: Sender, arn: str, parcel: Parcel) -> None:
    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        raise DeliveryError("RESOURCE_NOT_FOUND", f"Function {name} does not exist")
    found = lambda_svc.function_policy_for_arn(arn)
    _require(sender, "lambda:InvokeFunction", arn, found[0] if found else None)
    record = lambda_svc._execution_record_for_config(function, config)
    lambda_svc.invoke_async_with_retry(record, parcel.value)


def _to_bus(sender: Sender, arn: str, parcel: Parcel) -> None:
    name = arn.partition(":event-bus/")[2]
    bus = eventbridge._event_buses.get(name)
    if bus is None:
        raise DeliveryError("RESOURCE_NOT_FOUND", f"Event bus {name} does not exist")
    _require(sender, "events:PutEvents", arn, eventbridge._event_bus_policies.get(name))
    entry = {
        "EventBusName": name,
        "Source": parcel.source,
        "DetailType": parcel.detail_type,
        "Detail": parcel.text,
        "Resources": [parcel.resource] if parcel.resource else [],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _to_machine(sender: Sender, arn: str, parcel: Parcel) -> None:
    if stepfunctions._resolve_state_machine_arn(arn) is None:
        raise DeliveryError("RESOURCE_NOT_FOUND", f"State machine {arn} does not exist")
    if isinstance(sender, ServiceSender):
        raise DeliveryError("NO_PERMISSIONS", f"A target of {arn} needs a role")
    _require(sender, "states:StartExecution", arn, None)
    status, _, body = stepfunctions._start_execution({"stateMachineArn": arn, "input": parcel.text})
    if status >= 300:
        problem = json.loads(body)
        raise DeliveryError(problem.get("__type", "ERROR"), problem.get("message", ""))


def _to_stream(sender: Sender, arn: str, parcel: Parcel) -> None:
    from steward_local import firehose_buffering

    if isinstance(sender, ServiceSender):
        raise DeliveryError("NO_PERMISSIONS", f"A target of {arn} needs a role")
    _require(sender, "firehose:PutRecord", arn, None)
    if not firehose_buffering.put(arn, [parcel.text.encode()]):
        raise DeliveryError("RESOURCE_NOT_FOUND", f"Delivery stream {arn} does not exist")


def _to_pipeline(sender: Sender, arn: str, _parcel: Parcel) -> None:
    from steward_local.codepipeline import executions, store

    at, name = store.current(), arn.rsplit(":", 1)[-1]
    if isinstance(sender, ServiceSender):
        raise DeliveryError("NO_PERMISSIONS", f"A target of {arn} needs a role")
    _require(sender, "codepipeline:StartPipelineExecution", arn, None)
    if name not in at.pipelines:
        raise DeliveryError("RESOURCE_NOT_FOUND", f"Pipeline {arn} does not exist")
    trigger = {"trigger-type": "CloudWatchEvent", "trigger-detail": ""}
    executions.start(at, at.pipelines[name], {}, trigger)


_ROUTES: dict[str, Callable[[Sender, str, Parcel], None]] = {
    "sqs": _to_queue,
    "sns": _to_topic,
    "lambda": _to_function,
    "events": _to_bus,
    "states": _to_machine,
    "firehose": _to_stream,
    "codepipeline": _to_pipeline,
}


def deliver_as(sender: Sender, target_arn: str, parcel: Parcel) -> None:
    """Send a parcel to a queue, topic, function, bus, state machine or delivery stream.

    Raises:
        DeliveryError: The sender may not, the target is gone, or it refused.
    """
    spec = parse_arn(target_arn)
    route = _ROUTES.get(spec.service)
    if route is None:
        raise DeliveryError("INVALID_TARGET", f"{spec.service} is not a target of this engine")
    route(sender, target_arn, parcel)
