"""Registry states follow the releases: a fold over their records, whatever order events have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from steward.contracts.events import (
    Event,
    Payload,
    ReleaseCompleted,
    ReleaseFailed,
    ReleaseNotPromoted,
    ReleaseRolledBack,
    ReleaseStarted,
    VersionAliased,
    VersionPromoted,
)
from steward.domain.errors import ConflictError, IllegalTransitionError
from steward.domain.labels import CHALLENGER, CHAMPION
from steward.domain.promotion import (
    FOLLOWS_RELEASES,
    ReleaseFact,
    challenger_of,
    follow,
    may_follow,
)
from steward.domain.releases import ReleaseStatus
from steward.domain.versions import VersionState
from steward.ports import Change, Clock, Ids, Item, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.registry.aliases import Move, alias_changes, find_alias
from steward.service.registry.records import versions_of
from steward.service.registry.transitions import told_change, transition

ReleaseEvent = (
    ReleaseStarted | ReleaseCompleted | ReleaseRolledBack | ReleaseFailed | ReleaseNotPromoted
)

_ATTEMPTS = 5
_SAID: dict[type[ReleaseEvent], ReleaseStatus] = {
    ReleaseStarted: ReleaseStatus.RUNNING,
    ReleaseCompleted: ReleaseStatus.COMPLETED,
    ReleaseRolledBack: ReleaseStatus.ROLLED_BACK,
    ReleaseFailed: ReleaseStatus.FAILED,
    ReleaseNotPromoted: ReleaseStatus.NOT_PROMOTED,
}


@dataclass
class Promoted:
    """What changed: new state by version, and the version in production."""

    states: dict[int, str] = field(default_factory=dict)
    champion: int | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it for the log."""
        return {"states": self.states, "champion": self.champion}


def promote_version(
    project: str,
    told: ReleaseEvent,
    *,
    causation_id: str,
    correlation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Promoted:
    """Bring the states of a project's versions and its champion in step with its releases.

    Decided from all release records, joined with what the event says, so that late, repeated
    and swapped events end in the same states.

    Raises:
        ConflictError: Somebody else kept changing the same versions.
        IllegalTransitionError: The release is of a version that was not approved; the other
            versions and the champion are brought in step all the same.
    """
    for _ in range(_ATTEMPTS):
        items = {int(item["version"]): item for item in versions_of(state, project)}
        facts = _facts(state.query(Table.RELEASES, project), told)
        wanted, champion = follow(facts)
        changes: list[Change] = []
        promoted, payloads = Promoted(champion=champion), list[Payload]()
        for version, new in wanted.items():
            item = items.get(version)
            if item is None or not may_follow(VersionState(item["state"]), new):
                continue
            if item["state"] == new.value:
                continue
            promoted.states[version] = new.value
            changes.append(transition(item, new, clock, follows_release=True))
            if new is not VersionState.PRODUCTION:
                payloads.append(told_change(item, new, f"release {told.release_id}"))
        for name, wanted_version in ((CHAMPION, champion), (CHALLENGER, challenger_of(facts))):
            more, moved = _keep(project, name, wanted_version, told.release_id, state, clock, ids)
            changes += more
            payloads += moved
        cause = Cause(project, correlation_id, causation_id)
        events: list[Event] = [event(payload, cause, clock, ids) for payload in payloads]
        try:
            if changes:
                state.commit(changes, events)
        except ConflictError:
            continue
        _check_approved(project, items.get(told.version), wanted.get(told.version))
        return promoted
    raise ConflictError(f"versions of {project} changed {_ATTEMPTS} times meanwhile")


def _facts(records: Iterable[Item], told: ReleaseEvent) -> list[ReleaseFact]:
    facts = {
        str(record["release_id"]): ReleaseFact(
            release_id=str(record["release_id"]),
            version=int(record["version"]),
            status=ReleaseStatus(record["status"]),
            started_at=str(record.get("started_at") or ""),
        )
        for record in records
    }
    said = ReleaseFact(told.release_id, told.version, _SAID[type(told)])
    known = facts.get(told.release_id)
    facts[told.release_id] = said if known is None else known.joined(said)
    return list(facts.values())


def _check_approved(project: str, item: Item | None, wanted: VersionState | None) -> None:
    if item is None or wanted in (None, VersionState.APPROVED):
        return
    if item["state"] not in FOLLOWS_RELEASES:
        raise IllegalTransitionError(
            f"{project} {item['version']} is {item['state']} and was released all the same",
            field="state", value=str(wanted), allowed=", ".join(sorted(FOLLOWS_RELEASES)),
        )  # fmt: skip


def _keep(
    project: str,
    alias: str,
    version: int | None,
    release: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> tuple[list[Change], list[Payload]]:
    """Return what brings an alias of the machines in step; a champion is never taken away."""
    current = find_alias(state, project, alias)
    found = int(current["version"]) if current else None
    if found == version or (alias == CHAMPION and version is None):
        return [], []
    move = Move(project, alias, version, by="steward", reason=f"release {release}")
    told: Payload = (
        VersionPromoted(version=version, previous=found)
        if alias == CHAMPION and version is not None
        else VersionAliased(alias=alias, version=version, previous=found, reason=move.reason)
    )
    return alias_changes(move, current, clock, ids), [told]
