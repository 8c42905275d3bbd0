"""CloudTrail's management events of changes, put on the default bus and into its history.

MiniStack's recording knows callers by their key alone and sees no call of a service on behalf of
a role. Here a call of SageMaker is recorded wherever it comes from, with the identity that
CloudTrail shows, and sent as `AWS API Call via CloudTrail`. Calls that read are not sent, as on
AWS. CloudTrail writes parameters' names with a small first letter.

Sources: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
and https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from ministack.core.responses import get_account_id, get_region

from steward_local import authority, rule_targets

JsonObject = dict[str, Any]
_ASSUMED = re.compile(r"^arn:aws:sts::(\d{12}):assumed-role/([^/]+)/(.+)$")
_READING = ("Describe", "Get", "List", "Head", "Query", "Scan", "Simulate", "Lookup")
# Calls on data, which a trail logs as data events if at all.
_ON_DATA = re.compile(
    r"(?:Batch|Transact|Put|Update|Delete|ConditionCheck)\w*Items?|Execute\w+|\w*Record|"
    r"Encrypt|Decrypt|GenerateDataKey\w*|Sign|Verify"
)


def install() -> None:
    """Record the calls; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack.services import dynamodb, iam, kms

    from steward_local.registrations import Ground
    from steward_local.sagemaker import service

    handler = ("method", "path", "headers")
    for name in ("dynamodb", "iam", "kms"):
        Ground(f"services.{name}:handle_request", handler, "record calls").locate()
    Ground("services.cloudtrail:_get_event_queue", (), "record calls").locate()
    for module, source in ((dynamodb, "dynamodb"), (iam, "iam"), (kms, "kms")):
        module.handle_request = _recorded(module.handle_request, source)
    service.call = _recorded_call(service.call)


def record(source: str, name: str, parameters: JsonObject, caller: authority.Principal) -> None:
    """Put a call that was done into CloudTrail's history and onto the default bus."""
    from ministack.services import cloudtrail

    now = time.time()
    detail = {
        "eventVersion": "1.11",
        "userIdentity": identity_of(caller.arn),
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1" if source == "iam" else get_region(),
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "steward-local",
        "requestParameters": _lowered(parameters),
        "responseElements": None,
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
        "eventCategory": "Management",
    }
    cloudtrail._get_event_queue().append({
        "EventId": detail["eventID"], "EventName": name, "EventSource": detail["eventSource"],
        "EventTime": now, "Username": caller.arn.rsplit("/", 1)[-1], "AccessKeyId": "",
        "ReadOnly": "false", "Resources": [], "CloudTrailEvent": json.dumps(detail),
    })  # fmt: skip
    rule_targets.emit_aws_event(f"aws.{source}", "AWS API Call via CloudTrail", detail, "")


def identity_of(arn: str) -> JsonObject:
    """Return the `userIdentity` of a principal."""
    account = arn.split(":")[4] if arn.count(":") >= 5 else get_account_id()
    session = _ASSUMED.match(arn)
    if session:
        role = session[2]
        issuer = {
            "type": "Role", "principalId": f"AROA{role}", "accountId": account, "userName": role,
            "arn": f"arn:aws:iam::{account}:role/{role}",
        }  # fmt: skip
        return {
            "type": "AssumedRole", "principalId": f"AROA{role}:{session[3]}", "arn": arn,
            "accountId": account, "sessionContext": {"sessionIssuer": issuer, "attributes": {}},
        }  # fmt: skip
    kind = "Root" if arn.endswith(":root") else "IAMUser"
    known = {"type": kind, "principalId": account, "arn": arn, "accountId": account}
    return known if kind == "Root" else {**known, "userName": arn.rsplit("/", 1)[-1]}


def _lowered(parameters: JsonObject) -> JsonObject:
    return {name[:1].lower() + name[1:]: value for name, value in parameters.items()}


def _changes(name: str) -> bool:
    return bool(name) and not name.startswith(_READING) and not _ON_DATA.fullmatch(name)


def _recorded_call(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(operation: str, params: JsonObject, caller: authority.Principal) -> Any:
        answer = original(operation, params, caller)
        if _changes(operation):
            record("sagemaker", operation, params, caller)
        return answer

    return call


def _recorded(original: Callable[..., Any], source: str) -> Callable[..., Any]:
    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: JsonObject
    ) -> Any:
        answer = await original(method, path, headers, body, query_params)
        name, parameters = _asked(headers, body, query_params)
        if _changes(name) and answer[0] < 400:
            record(source, name, parameters, authority.caller_of(headers, query_params))
        return answer

    return handle_request


def _asked(headers: dict[str, str], body: bytes, query: JsonObject) -> tuple[str, JsonObject]:
    target = headers.get("x-amz-target", "")
    if target:
        try:
            data = json.loads(body or b"{}")
        except ValueError:
            data = {}
        return target.rsplit(".", 1)[-1], data if isinstance(data, dict) else {}
    form = {**parse_qs(body.decode("utf-8", "replace")), **query}
    flat = {name: value[0] if isinstance(value, list) else value for name, value in form.items()}
    return str(flat.pop("Action", "")), flat
