"""Use cases: which deliveries go into which versions of feature groups, and what failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from steward.contracts.events import (
    DatasetAccepted,
    FeatureGroupVersioned,
    FeatureMaterialisationFailed,
)
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.data import (
    ConcludedMaterialisation,
    ConcludeMaterialisation,
    MaterialisationFailure,
)
from steward.domain.digests import digest_of
from steward.domain.errors import ConflictError
from steward.domain.feature_versions import (
    materialisation_item,
    materialisation_prefix,
    streamed_prefix,
)
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus, execution_arn
from steward.ports import (
    Absent,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.feature_catalog import GroupVersion, group_versions, need_group_version

DELIVERY_DIGITS = 12
STREAMED = "streamed"
"""Marks the item of a materialisation that is of no delivery."""
_EXECUTION = re.compile(
    r"^(?P<project>[a-z][a-z0-9-]*)_(?P<group>[a-z][a-z0-9-]*)_v(?P<version>[0-9]+)"
    r"_(?P<delivery>[0-9a-f]{12})_(?P<attempt>[0-9]+)$"
)


@dataclass(frozen=True)
class Starter:
    """What starting works with."""

    state: StateStore
    workflows: Workflows
    clock: Clock
    machine: str


def start_materialisation(received: Received, starter: Starter) -> dict[str, Any]:
    """Start one execution for each version and delivery that belong together.

    An accepted delivery goes into every active version made of its table; a new version gets
    every delivery that was accepted before, and one that was revived also the rows that came as
    events. What runs or is done is not done again; what failed
    is tried again by another event than the one that it was started for.

    Returns:
        Execution names by outcome: ``started`` and ``suppressed``.
    """
    project = received.own.project
    detail = received.detail
    if isinstance(detail, DatasetAccepted):
        versions = [
            version
            for version in group_versions(starter.state, project, active=True)
            if version.group.source == detail.table
        ]
        key = {"project": project, "delivery_id": detail.delivery_id}
        delivery = starter.state.get(Table.DELIVERIES, key)
        work = [(version, delivery) for version in versions if delivery is not None]
    else:
        assert isinstance(detail, FeatureGroupVersioned)
        version = need_group_version(starter.state, project, detail.group, detail.version)
        work = [(version, found) for found in _accepted(starter.state, version, project)]
        revived_at = str(version.item.get("revived_at") or "")
        if streamed_before(starter.state, version, revived_at):
            revival = {"delivery_id": revival_of(version), "received_at": revived_at}
            work.append((version, {**revival, STREAMED: True}))
    outcome: dict[str, list[str]] = {"started": [], "suppressed": []}
    for version, delivery in work:
        name = _start(version, delivery, received, starter)
        outcome["started" if name else "suppressed"].append(
            name or f"{version.label} {delivery['delivery_id'][:DELIVERY_DIGITS]}"
        )
    return outcome


def _accepted(state: StateStore, version: GroupVersion, project: str) -> list[Item]:
    found = [
        item
        for item in state.query(Table.DELIVERIES, project)
        if item["status"] == DeliveryStatus.ACCEPTED
        and item.get("table", PRIMARY) == version.group.source
    ]
    return sorted(found, key=lambda item: (item["received_at"], item["delivery_id"]))


def revival_of(version: GroupVersion) -> str:
    """Return what stands in the place of a delivery's id: one for each revival of a version."""
    return digest_of(
        [STREAMED, version.item["project"], version.label, version.item.get("revived_at")]
    )


def streamed_before(state: StateStore, version: GroupVersion, moment: str) -> list[Item]:
    """Return the items of rows that came as events before a moment, in order of receipt."""
    prefix = streamed_prefix(version.group.feature_group, version.version)
    found = [
        item
        for item in state.query(Table.FEATURES, version.item["project"], prefix=prefix)
        if item["status"] == "done" and str(item["ended_at"]) < moment
    ]
    return sorted(found, key=lambda item: (str(item["received_at"]), str(item["item"])))


def _start(
    version: GroupVersion, delivery: Item, received: Received, starter: Starter
) -> str | None:
    """Write the record, then start under its name; a crash between is healed by a retry."""
    project, group = version.item["project"], version.group.feature_group
    delivery_id = delivery["delivery_id"]
    key = {
        "project": project, "item": materialisation_item(group, version.version, delivery_id)
    }  # fmt: skip
    known = starter.state.get(Table.FEATURES, key)
    if known is None or _is_due_again(known, version, received):
        attempt = int(known["attempt"]) + 1 if known else 1
        name = execution_name(project, group, version.version, delivery_id, attempt)
        # What a failed attempt has finished stays: the next one goes on behind it.
        kept = {k: v for k, v in (known or {}).items() if k not in ("error", "cause", "ended_at")}
        if known is not None and known["status"] == "done":
            kept.update(online_chunks=0, online_rows=0)
        item = {
            **kept, **key, "group": group, "version": version.version, "delivery_id": delivery_id,
            "received_at": delivery["received_at"], "status": "running", "attempt": attempt,
            "event_id": received.id, "correlation_id": received.own.correlation_id,
            "execution_arn": execution_arn(starter.machine, name), "started": False,
            "started_at": starter.clock.now().isoformat(timespec="milliseconds"),
            **{mark: True for mark in (STREAMED,) if mark in delivery},
        }  # fmt: skip
        expect: Condition = Absent() if known is None else Equals("attempt", known["attempt"])
        starter.state.commit([Put(Table.FEATURES, item, (expect,))])
        known = item
    if known["status"] != "running" or known["started"]:
        return None
    attempt = int(known["attempt"])
    name = execution_name(project, group, version.version, delivery_id, attempt)
    payload = {
        "project": project, "group": group, "version": version.version,
        "delivery_id": delivery_id, "attempt": attempt,
        "correlation_id": known["correlation_id"],
    }  # fmt: skip
    try:
        starter.workflows.start(starter.machine, name, payload)
    except ConflictError:
        return None
    starter.state.commit([Update(Table.FEATURES, key, set={"started": True})])
    return name


def _is_due_again(known: Item, version: GroupVersion, received: Received) -> bool:
    """What failed, by another event; what was done before the version was retired and came back.

    Retiring takes the SageMaker group away, so its records are put anew; the Parquet is there.
    """
    if known["status"] == "done":
        return str(known["ended_at"]) < str(version.item.get("revived_at", ""))
    return bool(known["status"] == "failed" and known["event_id"] != received.id)


def execution_name(project: str, group: str, version: int, delivery_id: str, attempt: int) -> str:
    """Return the execution's name: at most 80 characters, parts joined with underscores."""
    return f"{project}_{group}_v{version}_{delivery_id[:DELIVERY_DIGITS]}_{attempt}"


def conclude_materialisation(
    command: ConcludeMaterialisation, *, state: StateStore, clock: Clock, ids: Ids
) -> ConcludedMaterialisation:
    """Record a failure once, with its event; what is done or failed already stays so."""
    name = materialisation_item(command.group, command.version, command.delivery_id)
    key = {"project": command.project, "item": name}
    failed = {
        "status": "failed", "error": command.failure.error, "cause": command.failure.cause[:2000],
        "failed_state": command.failure.state,
        "ended_at": clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    payload = FeatureMaterialisationFailed(
        group=command.group, version=command.version, delivery_id=command.delivery_id,
        error=command.failure.error, cause=command.failure.cause,
        execution_arn=command.execution_arn,
    )  # fmt: skip
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    mine = (Equals("attempt", command.attempt), Equals("status", "running"))
    update = Update(Table.FEATURES, key, set=failed, expect=mine)
    try:
        state.commit([update], [event(payload, cause, clock, ids)])
    except ConflictError:
        known = state.get(Table.FEATURES, key)
        if known is not None and (known["attempt"], known["status"]) == (
            command.attempt, "running",
        ):  # fmt: skip
            raise
        return ConcludedMaterialisation(recorded=False)
    return ConcludedMaterialisation(recorded=True)


def materialisation_that_ended(
    received: Received, *, state: StateStore
) -> ConcludeMaterialisation | None:
    """Return how to conclude a materialisation whose machine could not do so itself.

    None where it recorded its end, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    match = _EXECUTION.match(change.name)
    if match is None:
        return None
    prefix = materialisation_prefix(match["group"], int(match["version"])) + match["delivery"]
    for known in state.query(Table.FEATURES, match["project"], prefix=prefix):
        if known.get("execution_arn") == change.execution_arn and known["status"] == "running":
            error = change.error or f"States.{change.status.title().replace('_', '')}"
            cause = change.cause or f"the execution ended as {change.status}"
            return ConcludeMaterialisation(
                project=match["project"], group=match["group"], version=int(match["version"]),
                delivery_id=known["delivery_id"], attempt=known["attempt"],
                correlation_id=known["correlation_id"], causation_id=received.id,
                execution_arn=change.execution_arn,
                failure=MaterialisationFailure(state="(execution)", error=error, cause=cause),
            )  # fmt: skip
    return None
