"""Registry states follow the releases: a fold over their records, whatever order events have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from steward.contracts.events import (
    Event,
    ReleaseCompleted,
    ReleaseFailed,
    ReleaseNotPromoted,
    ReleaseRolledBack,
    ReleaseStarted,
    VersionPromoted,
)
from steward.domain.errors import ConflictError, IllegalTransitionError
from steward.domain.promotion import FOLLOWS_RELEASES, ReleaseFact, follow, may_follow
from steward.domain.releases import ReleaseStatus
from steward.domain.versions import VersionState, alias_item
from steward.ports import Absent, Change, Clock, Equals, Ids, Item, Put, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.registry.records import version_key, versions_of

ReleaseEvent = (
    ReleaseStarted | ReleaseCompleted | ReleaseRolledBack | ReleaseFailed | ReleaseNotPromoted
)

CHAMPION = "champion"
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
        promoted = Promoted(champion=champion)
        for version, new in wanted.items():
            item = items.get(version)
            if item is None or not may_follow(VersionState(item["state"]), new):
                continue
            if item["state"] == new:
                continue
            promoted.states[version] = new.value
            changes.append(_move(project, version, item, new))
        alias = state.get(Table.VERSIONS, {"project": project, "item": alias_item(CHAMPION)})
        events: list[Event] = []
        if champion is not None and (alias is None or alias["version"] != champion):
            previous = int(alias["version"]) if alias else None
            changes.append(_crown(project, champion, alias, told.release_id, clock))
            cause = Cause(project, correlation_id, causation_id)
            crowned = VersionPromoted(version=champion, previous=previous)
            events.append(event(crowned, cause, clock, ids))
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


def _move(project: str, version: int, item: Item, new: VersionState) -> Update:
    return Update(
        Table.VERSIONS,
        version_key(project, version),
        set={"state": new.value},
        expect=(Equals("state", item["state"]),),
    )


def _crown(project: str, version: int, alias: Item | None, release: str, clock: Clock) -> Put:
    item = {
        "project": project,
        "item": alias_item(CHAMPION),
        "version": version,
        "previous": alias["version"] if alias else None,
        "release_id": release,
        "at": clock.now().isoformat(timespec="milliseconds"),
    }
    expect = (Equals("version", alias["version"]),) if alias else (Absent(),)
    return Put(Table.VERSIONS, item, expect=expect)
