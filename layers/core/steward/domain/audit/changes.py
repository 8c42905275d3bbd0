"""Changes that CloudTrail records, and which record of Steward explains each.

A call is explained by who made it, what it touched and when: by a role of this stack, on a
resource of one of its projects, about which Steward recorded something that makes such calls,
shortly before or after. CloudFormation changes roles as it deploys. Everything else was done
around Steward.

Shape: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from steward.domain.audit.ledger import STACK
from steward.domain.errors import MalformedEventError
from steward.domain.names import hosted_of

WINDOW = timedelta(minutes=15)
"""How far a record and the call that it explains may lie apart."""

_APPROVALS = frozenset({
    "ApprovalBypassed", "ApprovalExpired", "VersionApproved", "VersionPromoted",
    "VersionRegistered", "VersionRejected",
})  # fmt: skip
_SERVING = frozenset({
    "EndpointIdle", "EndpointReaped", "ProjectRemoved", "ReleaseCompleted", "ReleaseFailed",
    "ReleaseNotPromoted", "ReleaseRequested", "ReleaseRolledBack", "ReleaseStarted",
    "RollbackFailed", "RollbackRequested", "RouteDrifted", "RouteRepaired", "RouteRepairFailed",
    "StagingFailed",
    "TrafficShifted", "VersionRegistered", "VersionStaged",
})  # fmt: skip
_RETIRING = frozenset({"DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"})
"""Calls that end what a record began long before: retention ends without one."""

EXPLAINED_BY: dict[str, frozenset[str]] = {
    "UpdateModelPackage": _APPROVALS,
    "DeleteModelPackage": frozenset(),
    "CreateEndpoint": _SERVING,
    "UpdateEndpoint": _SERVING,
    "UpdateEndpointWeightsAndCapacities": _SERVING,
    "DeleteEndpoint": _SERVING,
    "DeleteEndpointConfig": _SERVING,
    "DeleteModel": _SERVING,
}
"""Calls of SageMaker that are looked at, with the records that make them."""

OF_ROLES = (
    "AttachRolePolicy", "CreatePolicyVersion", "DeleteRole", "DeleteRolePolicy",
    "DetachRolePolicy", "PutRolePolicy", "SetDefaultPolicyVersion", "UpdateAssumeRolePolicy",
)  # fmt: skip
OF_THE_LEDGER = (
    "DeleteBucketPolicy", "DeleteResourcePolicy", "DeleteTable", "DisableKey", "PutBucketPolicy",
    "PutKeyPolicy", "PutObjectLockConfiguration", "PutResourcePolicy", "ScheduleKeyDeletion",
    "UpdateTable",
)  # fmt: skip
CALLS = (*EXPLAINED_BY, *OF_ROLES, *OF_THE_LEDGER)
"""Names of the calls that are matched."""

_NAMES = (
    "modelPackageArn", "modelPackageName", "endpointName", "endpointConfigName", "modelName",
    "roleName", "policyArn", "bucketName", "tableName", "resourceArn", "keyId",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call as CloudTrail records it, reduced to what is judged.

    Attributes:
        principal: ARN of who called; a role session names its role and itself.
        role: Name of the role behind a session, empty for anybody else.
        invoked_by: AWS service that called on somebody's behalf, empty for none.
        denied: Error code; empty where the call was done.
    """

    name: str
    call_id: str
    at: datetime
    principal: str
    role: str
    invoked_by: str
    resource: str
    source_ip: str
    denied: str


@dataclass(frozen=True)
class Place:
    """Where the stack's resources are, by name.

    Attributes:
        stack: Name of the root stack: its roles' names begin with it.
        environment: Part of the names of model package groups, endpoints and models.
        ledger: Names and ARNs of the ledger's own table, bucket and key.
    """

    stack: str
    environment: str
    ledger: frozenset[str]


def call_of(detail: Mapping[str, Any]) -> Call:
    """Return a call from the detail of ``AWS API Call via CloudTrail``.

    Raises:
        MalformedEventError: It is none.
    """
    try:
        who = detail["userIdentity"]
        issuer = (who.get("sessionContext") or {}).get("sessionIssuer") or {}
        parameters = detail.get("requestParameters") or {}
        return Call(
            name=str(detail["eventName"]),
            call_id=str(detail["eventID"]),
            at=datetime.fromisoformat(str(detail["eventTime"])),
            principal=str(who.get("arn") or who.get("invokedBy") or who.get("type") or "unknown"),
            role=str(issuer.get("userName") or "") if issuer.get("type") == "Role" else "",
            invoked_by=str(who.get("invokedBy") or ""),
            resource=next((str(parameters[n]) for n in _NAMES if parameters.get(n)), ""),
            source_ip=str(detail.get("sourceIPAddress") or ""),
            denied=str(detail.get("errorCode") or ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise MalformedEventError(
            f"no call of CloudTrail: {problem!r}", field="detail", allowed="a CloudTrail record"
        ) from None


def subject_of(call: Call, place: Place) -> tuple[str, int | None] | None:
    """Return the project and version that a call touches; None where it is none of ours."""
    name = call.resource.rsplit(":", 1)[-1]
    if call.name in ("UpdateModelPackage", "DeleteModelPackage"):
        path = name.removeprefix("model-package/").split("/")
        prefix = f"steward-{place.environment}-"
        if not path[0].startswith(prefix):
            return None
        number = path[1] if len(path) > 1 else ""
        return path[0].removeprefix(prefix), int(number) if number.isdigit() else None
    if call.name in EXPLAINED_BY:
        return hosted_of(place.environment, name.rsplit("/", 1)[-1])
    if call.name in OF_ROLES:
        own = name.rsplit("/", 1)[-1].startswith(f"{place.stack}-")
        return (STACK, None) if own else None
    ours = call.resource in place.ledger or name.rsplit("/", 1)[-1] in place.ledger
    return (STACK, None) if call.name in OF_THE_LEDGER and ours else None


def unexplained(
    call: Call, version: int | None, records: Iterable[Mapping[str, Any]], place: Place
) -> str | None:
    """Return why nothing explains a call, or None where something does.

    Args:
        call: What was done.
        version: Version that it touches, if it names one.
        records: Records of its project, newest first.
        place: Where the stack's resources are.
    """
    if call.name not in EXPLAINED_BY:
        deployed = "cloudformation.amazonaws.com" in (call.invoked_by, call.source_ip)
        return None if deployed else "Steward never changes this; only a deployment does"
    if not call.role.startswith(f"{place.stack}-"):
        return "the caller is no role of Steward"
    kinds = EXPLAINED_BY[call.name]
    for record in records:
        apart = datetime.fromisoformat(str(record["at"])) - call.at
        if apart < -WINDOW and call.name not in _RETIRING:
            break
        if record["what"] in kinds and apart <= WINDOW and _is_about(record, version):
            return None
    return f"no record within {int(WINDOW.total_seconds() / 60)} minutes tells why Steward did it"


def _is_about(record: Mapping[str, Any], version: int | None) -> bool:
    data = (record.get("details") or {}).get("data") or {}
    if "group" in data:  # whose version is no model's
        return False
    if version is None:
        return True
    told = {data.get("version"), data.get("previous_version"), data.get("champion_version")}
    return version in told or f"v{version}" in str(data.get("release_id", "")) or not any(told)
