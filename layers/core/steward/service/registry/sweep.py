"""The hourly look at what waits: expired requests, approvals around us, lost decisions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from steward.contracts.events import ApprovalExpired
from steward.domain.approvals import is_expired
from steward.domain.errors import ConflictError, RejectedError
from steward.domain.names import package_group
from steward.domain.versions import VersionState
from steward.ports import (
    Clock,
    Equals,
    Ids,
    Item,
    ModelRegistry,
    ObjectStore,
    StateStore,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.registry.decisions import superseded_by
from steward.service.registry.package_status import apply_decision, reconcile_package
from steward.service.registry.records import ballot_of, versions_of
from steward.service.registry.transitions import archive_retired, transition


@dataclass
class Swept:
    """What a sweep did, in numbers of versions."""

    expired: int = 0
    set_back: int = 0
    archived: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)


@dataclass
class CaughtUp:
    """What catching up did, in numbers of versions."""

    applied: int = 0
    refused: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name."""
        return asdict(self)


def sweep_approvals(
    *,
    causation_id: str,
    environment: str,
    state: StateStore,
    registry: ModelRegistry,
    clock: Clock,
    ids: Ids,
) -> Swept:
    """Expire requests, set back approvals around Steward, archive by retention.

    A request expires when its time is up or a newer version has been approved.

    Covers what a lost ``SageMaker Model Package State Change`` left behind.
    """
    swept = Swept()
    for configured in state.scan(Table.PROJECTS):
        project = str(configured["project"])
        items = versions_of(state, project)
        for item in items:
            if item["state"] != VersionState.PENDING:
                continue
            newer = superseded_by(items, int(item["version"]))
            swept.expired += _expire(item, newer, causation_id, state, clock, ids)
        group = package_group(environment, project)
        for arn, version in list(registry.versions(group, "Approved")):
            outcome = reconcile_package(
                arn, group, version,
                causation_id=causation_id, environment=environment,
                state=state, registry=registry, clock=clock, ids=ids,
            )  # fmt: skip
            swept.set_back += outcome == "set back"
        swept.archived += _archive(configured, items, causation_id, state, clock, ids)
    return swept


def _archive(
    configured: Item, items: list[Item], causation_id: str, state: StateStore, clock: Clock,
    ids: Ids,
) -> int:  # fmt: skip
    """Archive by a project's retention; a declaration that cannot be read archives nothing."""
    from steward.domain.project import parse_project  # large: paid by the hourly sweep

    try:
        declared = parse_project(configured.get("config") or {})
    except RejectedError:
        return 0
    return archive_retired(
        str(configured["project"]), declared, items,
        causation_id=causation_id, state=state, clock=clock, ids=ids,
    )  # fmt: skip


def apply_missing_decisions(
    *, environment: str, state: StateStore, registry: ModelRegistry, objects: ObjectStore
) -> CaughtUp:
    """Apply decisions whose event was lost.

    A version whose record does not hold is counted as refused and left alone, so that it stops
    no other. States after approved are left alone as well: a release re-verifies the record.
    """
    done = CaughtUp()
    for configured in state.scan(Table.PROJECTS):
        project = str(configured["project"])
        group = package_group(environment, project)
        applied = {
            VersionState.APPROVED: {version for _, version in registry.versions(group, "Approved")},
            VersionState.REJECTED: {version for _, version in registry.versions(group, "Rejected")},
        }
        for item in versions_of(state, project):
            decided = VersionState(item["state"])
            if decided not in applied or item["version"] in applied[decided]:
                continue
            try:
                apply_decision(
                    project, item["version"], state=state, registry=registry, objects=objects
                )
            except RejectedError:
                done.refused += 1
            else:
                done.applied += 1
    return done


def _expire(
    item: Item, newer: int | None, causation_id: str, state: StateStore, clock: Clock, ids: Ids
) -> bool:
    ballot, now = ballot_of(item), clock.now()
    if ballot.expires_at is None or (newer is None and not is_expired(ballot.expires_at, now)):
        return False
    expired = ApprovalExpired(
        version=ballot.version, expired_at=min(ballot.expires_at, now).isoformat(),
        superseded_by=newer,
    )  # fmt: skip
    same_request = Equals("expires_at", item["expires_at"])
    change = transition(item, VersionState.EXPIRED, clock, expect=(same_request,))
    cause = Cause(ballot.project, str(item["correlation_id"]), causation_id)
    try:
        state.commit([change], [event(expired, cause, clock, ids)])
    except ConflictError:
        return False
    return True
