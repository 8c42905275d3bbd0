"""States of a registered version and the transitions that the registry allows."""

from __future__ import annotations

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


def version_item(version: int) -> str:
    """Return the sort key of a version's item, ordered by number."""
    return f"version#{version:08d}"


def alias_item(alias: str) -> str:
    """Return the sort key of an alias item, such as ``champion``."""
    return f"alias#{alias}"
