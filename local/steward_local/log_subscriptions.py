"""What CloudWatch Logs does with new events: subscriptions, and metrics in embedded format.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

import base64
import gzip
import json
import logging
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import cloudwatch_logs

from steward_local import authority, delivery, embedded_metrics, firehose_buffering
from steward_local.log_patterns import PatternError, compile_pattern

JsonObject = dict[str, Any]
FanOut = Callable[[str, str, list[JsonObject]], None]
_log = logging.getLogger(__name__)


def _envelope(group: str, stream: str, subscription: JsonObject, events: list[JsonObject]) -> bytes:
    # The lines that a function prints end in a newline, which the embedded store leaves out.
    ending = "\n" if "[$LATEST]" in stream else ""
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": get_account_id(),
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [subscription.get("filterName", "")],
        "logEvents": [
            {
                "id": new_uuid().replace("-", ""),
                "timestamp": event["timestamp"],
                "message": event["message"] + ending,
            }
            for event in events
        ],
    }
    return gzip.compress(json.dumps(message).encode())


def _source_arn(group: str) -> str:
    return f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:*"


def _send(group: str, stream: str, subscription: JsonObject, events: list[JsonObject]) -> None:
    target = subscription.get("destinationArn", "")
    payload = _envelope(group, stream, subscription, events)
    if ":firehose:" in target:
        role = subscription.get("roleArn") or ""
        # A role may trust the service by its global or by its regional name.
        regional = f"logs.{get_region()}.amazonaws.com"
        context = {"aws:SourceArn": _source_arn(group)}
        service = regional if authority.trusts(role, regional, context) else "logs.amazonaws.com"
        session = authority.assume_for_service(role, service, "subscription", context)
        sender = authority.principal_of(session)
        sender.require("firehose:PutRecordBatch", target)
        if not firehose_buffering.put(target, [payload]):
            raise delivery.DeliveryError("RESOURCE_NOT_FOUND", f"{target} does not exist")
        return
    if target.endswith(f":function:{group.removeprefix('/aws/lambda/')}"):
        return  # a function that reads its own log would feed itself
    caller = delivery.ServiceSender("logs.amazonaws.com", _source_arn(group))
    data = base64.b64encode(payload).decode()
    body = {"awslogs": {"data": data}}
    delivery.deliver_as(caller, target, delivery.Parcel(body=body, source="aws.logs"))


def fan_out(_original: FanOut) -> FanOut:
    """Turn embedded metrics into metrics, and send matching events to each subscription."""

    def forward(group_name: str, stream_name: str, events: list[JsonObject]) -> None:
        embedded_metrics.extract(events)
        group = cloudwatch_logs._log_groups.get(group_name)
        if not group or not events:
            return
        for subscription in list((group.get("subscriptionFilters") or {}).values()):
            try:
                matches = compile_pattern(subscription.get("filterPattern") or "")
                matched = [event for event in events if matches(event.get("message", ""))]
                if matched:
                    _send(group_name, stream_name, subscription, matched)
            except (
                PatternError,
                delivery.DeliveryError,
                authority.AccessDeniedError,
                authority.AssumeRoleError,
            ) as problem:
                name = subscription.get("filterName")
                _log.warning("Subscription filter %s of %s: %s", name, group_name, problem)

    return forward
