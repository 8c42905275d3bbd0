"""Every change of a version's state: checked, conditional on the state as read, and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steward.contracts.events import VersionStateChanged
from steward.domain.errors import ConflictError, IllegalTransitionError
from steward.domain.promotion import may_follow
from steward.domain.versions import (
    VersionState,
    check_transition,
    is_retired,
    serving_versions,
)
from steward.ports import Clock, Condition, Equals, Ids, Item, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.registry.records import need_version, version_key

if TYPE_CHECKING:
    from steward.domain.project import Project

_ATTEMPTS = 5


def transition(
    item: Item,
    wanted: VersionState,
    clock: Clock,
    *,
    also: Mapping[str, Any] | None = None,
    expect: tuple[Condition, ...] = (),
    follows_release: bool = False,
) -> Update:
    """Return the write that brings a version into another state.

    It holds only while the version is in the state that was read, so that of two who change it
    at once one loses and looks again.

    Args:
        item: The version's record as read.
        wanted: The new state.
        clock: Dates the change.
        also: Further attributes that change with the state.
        expect: Further conditions.
        follows_release: The state is a fold over releases, whose events may be late or lost, so
            that states between may be skipped; `may_follow` judges instead.

    Raises:
        IllegalTransitionError: The registry does not allow it.
    """
    current = VersionState(item["state"])
    if follows_release:
        if not may_follow(current, wanted):
            raise IllegalTransitionError(
                f"a version that is {current} does not become {wanted} by a release",
                field="state", value=wanted.value, allowed="a version that was approved",
            )  # fmt: skip
    else:
        check_transition(current, wanted)
    return Update(
        Table.VERSIONS,
        version_key(str(item["project"]), int(item["version"])),
        set={
            **(also or {}),
            "state": wanted.value,
            "state_at": clock.now().isoformat(timespec="milliseconds"),
        },
        expect=(Equals("state", current.value), *expect),
    )


def told_change(item: Item, wanted: VersionState, reason: str) -> VersionStateChanged:
    """Return the event of a change that has none of its own."""
    return VersionStateChanged(
        version=int(item["version"]), previous=str(item["state"]), state=wanted.value,
        reason=reason[:1000],
    )  # fmt: skip


def archive_version(
    project: str,
    version: int,
    *,
    reason: str,
    actor: str,
    causation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Item:
    """Archive a version: it stays readable, and no release takes it any more.

    What is archived already stays as it is.

    Raises:
        IllegalTransitionError: Its state does not allow it, or the route still names it.
        VersionNotFoundError: The project has no such version.
        ConflictError: Somebody else kept changing it.
    """
    for _ in range(_ATTEMPTS):
        item = need_version(state, project, version)
        if item["state"] == VersionState.ARCHIVED:
            return item
        _check_unused(project, version, state)
        change = transition(
            item, VersionState.ARCHIVED, clock, also={"archived_because": reason[:1000]}
        )
        told = told_change(item, VersionState.ARCHIVED, reason)
        cause = Cause(project, str(item["correlation_id"]), causation_id, actor)
        try:
            state.commit([change], [event(told, cause, clock, ids)])
        except ConflictError:
            continue
        return {**item, **change.set}
    raise ConflictError(f"{project} {version} changed {_ATTEMPTS} times meanwhile; try again")


def _check_unused(project: str, version: int, state: StateStore) -> None:
    if version in serving_versions(state.get(Table.ROUTES, {"project": project})):
        raise IllegalTransitionError(
            f"the route of {project} names version {version}: it answers requests, or is what a "
            "rollback goes back to", field="version", value=version,
            allowed="a version that the route does not name",
        )  # fmt: skip


def archive_retired(
    project: str,
    configured: Project,
    items: list[Item],
    *,
    causation_id: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> int:
    """Archive what retention says; return how many versions."""
    archived = 0
    days = configured.approval.archive_after_days
    for item in items:
        since = str(item.get("state_at") or "")
        if not is_retired(VersionState(item["state"]), since, clock.now(), days):
            continue
        try:
            archive_version(
                project, int(item["version"]), reason=f"{item['state']} for {days} days",
                actor="steward", causation_id=causation_id, state=state, clock=clock, ids=ids,
            )  # fmt: skip
        except (ConflictError, IllegalTransitionError):
            continue
        archived += 1
    return archived
