"""States of a registered version and the transitions that the registry allows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from steward.domain.errors import IllegalTransitionError


class VersionState(StrEnum):
    """Where a version is in its life."""

    REGISTERED = "registered"
    PENDING = "pending"
    STAGING_FAILED = "staging_failed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RELEASING = "releasing"
    PRODUCTION = "production"
    RETAINED = "retained"
    ROLLED_BACK = "rolled_back"
    ARCHIVED = "archived"


_S = VersionState
_ALLOWED: dict[VersionState, frozenset[VersionState]] = {
    _S.REGISTERED: frozenset({_S.PENDING, _S.STAGING_FAILED, _S.ARCHIVED}),
    _S.PENDING: frozenset({_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.ARCHIVED}),
    _S.STAGING_FAILED: frozenset({_S.ARCHIVED}),
    _S.APPROVED: frozenset({_S.RELEASING, _S.REJECTED, _S.ARCHIVED}),
    _S.REJECTED: frozenset({_S.ARCHIVED}),
    _S.EXPIRED: frozenset({_S.ARCHIVED}),
    _S.RELEASING: frozenset({_S.PRODUCTION, _S.ROLLED_BACK, _S.APPROVED}),
    _S.PRODUCTION: frozenset({_S.RETAINED, _S.ROLLED_BACK}),
    _S.RETAINED: frozenset({_S.PRODUCTION, _S.ARCHIVED}),
    _S.ROLLED_BACK: frozenset({_S.ARCHIVED}),
    _S.ARCHIVED: frozenset(),
}


def check_transition(current: VersionState, wanted: VersionState) -> None:
    """Raise unless a version in ``current`` may become ``wanted``.

    Raises:
        IllegalTransitionError: The registry does not allow it; ``allowed`` lists what it does.
    """
    allowed = _ALLOWED[current]
    if wanted not in allowed:
        raise IllegalTransitionError(
            f"a version that is {current} cannot become {wanted}",
            field="state",
            value=wanted.value,
            allowed=", ".join(sorted(allowed)) or "nothing",
        )


OWN_EVENTS: dict[VersionState, str] = {
    _S.REGISTERED: "VersionRegistered",
    _S.PENDING: "ApprovalRequested",
    _S.APPROVED: "VersionApproved",
    _S.REJECTED: "VersionRejected",
    _S.EXPIRED: "ApprovalExpired",
    _S.PRODUCTION: "VersionPromoted",
}
"""The event that says a version came into a state; every other state is told by
``VersionStateChanged``, and so is approved where a release leaves its version so."""

SETTLED = frozenset({_S.STAGING_FAILED, _S.REJECTED, _S.EXPIRED, _S.ROLLED_BACK})
"""States that no release can lead out of: retention archives what has been long in one."""

ARCHIVABLE = frozenset(state for state, nexts in _ALLOWED.items() if _S.ARCHIVED in nexts)


def is_retired(state: VersionState, since: str, now: datetime, after_days: int) -> bool:
    """Return whether retention archives a version.

    Args:
        state: Where it is.
        since: ISO time when it came there; an unknown time is never long ago.
        now: The current time.
        after_days: Whole days that it is kept as it is; 0 keeps it for good.
    """
    if not after_days or not since or state not in SETTLED:
        return False
    return now - datetime.fromisoformat(since) >= timedelta(days=after_days)


_LIFE_CYCLE: dict[VersionState, tuple[str, str]] = {
    _S.REGISTERED: ("Development", "Registered"),
    _S.PENDING: ("Staging", "PendingApproval"),
    _S.STAGING_FAILED: ("Development", "StagingFailed"),
    _S.APPROVED: ("Staging", "Approved"),
    _S.REJECTED: ("Staging", "Rejected"),
    _S.EXPIRED: ("Staging", "Expired"),
    _S.RELEASING: ("Production", "Releasing"),
    _S.PRODUCTION: ("Production", "Serving"),
    _S.RETAINED: ("Production", "Retained"),
    _S.ROLLED_BACK: ("Production", "RolledBack"),
    _S.ARCHIVED: ("Archived", "Archived"),
}


def life_cycle(state: VersionState) -> tuple[str, str]:
    """Return ``Stage`` and ``StageStatus`` of SageMaker's ``ModelLifeCycle`` for a state.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ModelLifeCycle.html
    """
    return _LIFE_CYCLE[state]


def serving_versions(route: object) -> frozenset[int]:
    """Return the versions that a project's route names, the one to go back to included."""
    if not isinstance(route, dict):
        return frozenset()
    arms: Iterable[object] = [*(route.get("arms") or []), route.get("previous")]
    return frozenset(int(arm["version"]) for arm in arms if isinstance(arm, dict))


def version_item(version: int) -> str:
    """Return the sort key of a version's item, ordered by number."""
    return f"version#{version:08d}"


def alias_item(alias: str) -> str:
    """Return the sort key of an alias item, such as ``champion``."""
    return f"alias#{alias}"


def alias_move_item(alias: str, at: str, move_id: str) -> str:
    """Return the sort key of one move of an alias, ordered by time."""
    return f"aliased#{alias}#{at}#{move_id}"
