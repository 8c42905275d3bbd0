"""SageMaker's approval status follows the record, never the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steward.contracts.events import ApprovalBypassed
from steward.domain.approvals import DONE, PackageStatus, check_record, package_status
from steward.domain.errors import ConflictError
from steward.domain.names import package_group
from steward.domain.principals import identity_of
from steward.domain.versions import VersionState
from steward.ports import (
    Absent,
    Clock,
    Ids,
    Item,
    ModelRegistry,
    ObjectStore,
    Put,
    StateStore,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.registry.decisions import check_evidence
from steward.service.registry.records import ballot_of, find_version, need_version

PENDING: PackageStatus = "PendingManualApproval"


def apply_decision(
    project: str,
    version: int,
    *,
    state: StateStore,
    registry: ModelRegistry,
    objects: ObjectStore,
) -> str:
    """Set ``ModelApprovalStatus`` to what the record says; nowhere else is Approved set.

    The event only says that there is something to do. What to do is decided anew from the
    record: approvals by identity, author, quorum, and the stored evidence against its digest.

    Returns:
        The status that the package has now.

    Raises:
        ApprovalRefusedError: The approvals on record do not carry the state.
        EvidenceIncompleteError: The stored evidence is no longer what was approved.
        VersionNotFoundError: The project has no such version.
    """
    item = need_version(state, project, version)
    wanted = check_record(ballot_of(item))
    found = str(registry.describe(item["model_package_arn"])["ModelApprovalStatus"])
    if wanted is None or wanted in (found, PENDING):
        return found
    if wanted == "Approved":
        check_evidence(item, objects)
    registry.set_status(item["model_package_arn"], wanted, _description(item))
    return wanted


def _description(item: Item) -> str:
    ballot = ballot_of(item)
    last = ballot.approvals[-1]
    who = ", ".join(ballot.approvers) if last.decision == "approve" else last.identity
    return f"{DONE[last.decision]} by {who}; evidence {ballot.evidence_digest}"[:1024]


def reconcile_package(
    arn: str,
    group: str,
    version: int,
    *,
    causation_id: str,
    environment: str,
    state: StateStore,
    registry: ModelRegistry,
    clock: Clock,
    ids: Ids,
) -> str:
    """Set an approval back that no record justifies, and report it once.

    What counts is the package as it is now, so that an event about the past does no harm. The
    report is written before the status is set back: should the second fail, the next try finds
    the report and only sets back.

    Returns:
        ``foreign`` (another stack's group), ``in step``, ``withdrawn`` (a person rejected what
        had been approved) or ``set back``.
    """
    prefix = package_group(environment, "x")[:-1]
    if not group.startswith(prefix):
        return "foreign"
    package = registry.describe(arn)
    if package["ModelApprovalStatus"] != "Approved":
        return "in step"
    project = group.removeprefix(prefix)
    item = find_version(state, project, version)
    expected = PENDING if item is None else package_status(VersionState(item["state"]))
    if expected in ("Approved", None):
        return "in step"
    if item is not None and expected == "Rejected" and ballot_of(item).was_carried:
        registry.set_status(arn, expected, _description(item))
        return "withdrawn"
    restored: PackageStatus = "Rejected" if expected == "Rejected" else PENDING
    changed = str(package.get("LastModifiedTime") or causation_id)
    record: Item = {
        "project": project,
        "item": f"bypass#{version:08d}#{changed}",
        "version": version,
        "model_package_arn": arn,
        "found_status": "Approved",
        "restored_status": restored,
        "actor": _last_changed_by(package),
        "at": clock.now().isoformat(timespec="milliseconds"),
    }
    correlation = str(item["correlation_id"]) if item else f"{project}-{version}"
    _report(record, Cause(project, correlation, causation_id, record["actor"]), state, clock, ids)
    registry.set_status(arn, restored, "set back by Steward: approved around its approval record")
    return "set back"


def _last_changed_by(package: Mapping[str, Any]) -> str:
    identity = (package.get("LastModifiedBy") or {}).get("IamIdentity") or {}
    return identity_of(str(identity["Arn"])) if identity.get("Arn") else "unknown"


def _report(record: Item, cause: Cause, state: StateStore, clock: Clock, ids: Ids) -> None:
    bypassed = ApprovalBypassed(
        version=record["version"],
        model_package_arn=record["model_package_arn"],
        found_status=record["found_status"],
        restored_status=record["restored_status"],
    )
    write = Put(Table.VERSIONS, record, expect=(Absent(),))
    try:
        state.commit([write], [event(bypassed, cause, clock, ids)])
    except ConflictError:
        return
