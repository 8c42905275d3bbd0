"""Where releases have brought a project's versions: a fold that knows no order of events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from steward.domain.releases import ReleaseStatus
from steward.domain.versions import VersionState

_RANK = {
    ReleaseStatus.WAITING: 0,
    ReleaseStatus.RUNNING: 1,
    ReleaseStatus.SUPERSEDED: 2,
    ReleaseStatus.FAILED: 2,
    ReleaseStatus.NOT_PROMOTED: 3,
    ReleaseStatus.COMPLETED: 3,
    ReleaseStatus.ROLLED_BACK: 4,
}
"""A release only ever rises: a completed one may still be rolled back, and that is final."""


@dataclass(frozen=True)
class ReleaseFact:
    """What is known of one release.

    Attributes:
        release_id: Its id; the ids of one version's attempts ascend.
        version: The version released.
        status: How far it came.
        started_at: ISO time, empty where it is not known yet.
    """

    release_id: str
    version: int
    status: ReleaseStatus
    started_at: str = ""

    def joined(self, other: ReleaseFact) -> ReleaseFact:
        """Return both sources' knowledge: the further status and the known start."""
        further = other if _RANK[other.status] > _RANK[self.status] else self
        return replace(further, started_at=self.started_at or other.started_at)


def follow(facts: Iterable[ReleaseFact]) -> tuple[dict[int, VersionState], int | None]:
    """Return the state of each version that a release concerned, and the version in production.

    Releases are taken in the order of their start; one release runs at a time, so that is also
    the order of their ends. A completed release puts its version into production and retains
    the one before; one that was rolled back, during or after, leaves the one before in
    production; one that failed leaves its version as it was, approved if it was nothing more;
    one that ended without promotion leaves its version approved.
    """
    states: dict[int, VersionState] = {}
    champion: int | None = None
    for fact in sorted(facts, key=_order):
        match fact.status:
            case ReleaseStatus.RUNNING:
                if fact.version != champion:
                    states[fact.version] = VersionState.RELEASING
            case ReleaseStatus.COMPLETED:
                if champion is not None and champion != fact.version:
                    states[champion] = VersionState.RETAINED
                champion = fact.version
                states[champion] = VersionState.PRODUCTION
            case ReleaseStatus.ROLLED_BACK:
                if fact.version != champion:
                    states[fact.version] = VersionState.ROLLED_BACK
            case ReleaseStatus.FAILED:
                states.setdefault(fact.version, VersionState.APPROVED)
            case ReleaseStatus.NOT_PROMOTED:
                if fact.version != champion:
                    states[fact.version] = VersionState.APPROVED
            case ReleaseStatus.WAITING | ReleaseStatus.SUPERSEDED:
                pass
    return states, champion


def challenger_of(facts: Iterable[ReleaseFact]) -> int | None:
    """Return the version that a release compares with the one in production now, if any."""
    facts = list(facts)
    _, champion = follow(facts)
    running = [fact for fact in facts if fact.status is ReleaseStatus.RUNNING]
    if champion is None or not running:
        return None
    version = max(running, key=_order).version
    return None if version == champion else version


FOLLOWS_RELEASES = frozenset(
    {
        VersionState.APPROVED,
        VersionState.RELEASING,
        VersionState.PRODUCTION,
        VersionState.RETAINED,
        VersionState.ROLLED_BACK,
    }
)
"""States that releases may change; what people or time decided otherwise stays."""


def may_follow(current: VersionState, wanted: VersionState) -> bool:
    """Return whether a version's state may be brought to what its releases say.

    Events may have been lost or swapped, so the path may skip states. Approved is what a release
    that failed or promoted nothing falls back to, and nothing else does.
    """
    if wanted is VersionState.APPROVED:
        return current is VersionState.RELEASING
    return current in FOLLOWS_RELEASES


def _order(fact: ReleaseFact) -> tuple[bool, str, str]:
    return (not fact.started_at, fact.started_at, fact.release_id)
