"""Which version answered with which share at any time: a fold over the releases' records.

A release's record keeps every write of the route that it made (``shifts``): steps, completion,
rollback. Where the end of a release moved traffic without such a note, it follows from how the
release ended, and the change is marked as not noted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from steward.domain.releases import ReleaseStatus

Kind = Literal["step", "completed", "rolled_back", "taken_back", "removed"]

WORDS: dict[Kind, str] = {
    "step": "a step of the release",
    "completed": "the release was completed",
    "rolled_back": "a rollback",
    "taken_back": "the release ended without promotion",
    "removed": "the release failed and had no version before it",
}
_LATE = 1 << 62


@dataclass(frozen=True)
class Change:
    """From a moment on, who answers.

    Attributes:
        at: When the route was written, UTC.
        shares: Percent of entities by version, those above 0; empty where nothing answers.
        release_id: The release whose record says so.
        version: The version of that release.
        step_id: As in events and exposures.
        kind: What moved the traffic.
        route_version: Of the route that was written, where it was noted.
        cause: Why, where traffic was taken from a version.
        mirrored: Percent of requests that the release's version answered copies of, unseen.
        noted: Whether a shift was recorded; else it follows from how the release ended.
    """

    at: datetime
    shares: Mapping[int, float]
    release_id: str
    version: int
    step_id: str
    kind: Kind
    route_version: int | None = None
    cause: str | None = None
    noted: bool = True
    mirrored: float = 0.0


def changes_of(releases: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Return every change of who answers in a project, oldest first.

    Args:
        releases: Records of the project's releases, in any order.
    """
    records = list(releases)
    noted = sorted((change for r in records for change in _noted(r)), key=_order)
    implied = [found for record in records if (found := _implied(record)) is not None]
    kept = list(noted)
    for change in sorted(implied, key=_order):
        place = bisect_right(kept, _order(change), key=_order)
        before = kept[place - 1] if place else None
        if before is None or before.release_id != change.release_id:
            continue  # somebody else had taken the route meanwhile
        if dict(before.shares) != dict(change.shares):
            kept.insert(place, change)
    return tuple(kept)


def serving_at(changes: Sequence[Change], moment: datetime) -> Change | None:
    """Return the change that is in force at a moment, or None before the first."""
    place = bisect_right(changes, moment, key=lambda change: change.at)
    return changes[place - 1] if place else None


def until(changes: Sequence[Change], moment: datetime) -> datetime | None:
    """Return when what is in force at a moment ends, or None where it has not yet."""
    place = bisect_right(changes, moment, key=lambda change: change.at)
    return changes[place].at if place < len(changes) else None


def share_since(changes: Sequence[Change], moment: datetime, version: int) -> datetime | None:
    """Return since when a version has had the share that it has at a moment; None without one."""
    current = serving_at(changes, moment)
    if current is None or version not in current.shares:
        return None
    share = current.shares[version]
    return _unbroken(changes, moment, lambda change: change.shares.get(version) == share)


def answering_since(changes: Sequence[Change], moment: datetime, version: int) -> datetime | None:
    """Return since when a version has answered without a break; None where it does not."""
    current = serving_at(changes, moment)
    if current is None or version not in current.shares:
        return None
    return _unbroken(changes, moment, lambda change: version in change.shares)


def brought_by(changes: Sequence[Change], moment: datetime, version: int) -> str | None:
    """Return the newest release of a version that had given it traffic by a moment."""
    place = bisect_right(changes, moment, key=lambda change: change.at)
    for change in reversed(changes[:place]):
        if change.version == version and version in change.shares:
            return change.release_id
    return None


def approved_by(version: Mapping[str, Any], moment: datetime) -> list[dict[str, str]]:
    """Return who approved a version by a moment: a person's last decision counts.

    Args:
        version: Its record in the registry.
        moment: Later decisions are not looked at.

    Returns:
        ``identity``, ``at`` and ``comment`` of each, in the order of the decisions.
    """
    last: dict[str, dict[str, str]] = {}
    for approval in version.get("approvals") or []:
        if _moment(approval["at"]) <= moment:
            person = str(approval["identity"]).casefold()
            last.pop(person, None)
            last[person] = approval
    return [
        {name: str(a.get(name) or "") for name in ("identity", "at", "comment")}
        for a in last.values()
        if a["decision"] == "approve"
    ]


def _noted(release: Mapping[str, Any]) -> list[Change]:
    steps = (release.get("plan") or {}).get("steps") or []
    mirrors = {str(step["step_id"]): float(step.get("mirror_percent") or 0) for step in steps}
    return [
        Change(
            at=_moment(shift["at"]),
            shares=_shares(shift["shares"]),
            release_id=str(release["release_id"]),
            version=int(release["version"]),
            step_id=str(shift["step_id"]),
            kind=(kind := _kind(str(shift["step_id"]), release, shift)),
            route_version=shift.get("route_version"),
            cause=_cause(release) if kind in ("rolled_back", "taken_back", "removed") else None,
            mirrored=mirrors.get(str(shift["step_id"]), 0.0),
        )
        for shift in release.get("shifts") or []
    ]


def _kind(step_id: str, release: Mapping[str, Any], shift: Mapping[str, Any]) -> Kind:
    if not shift["shares"]:
        return "removed"
    if step_id == f"{release['release_id']}-restored":
        return "rolled_back"
    if step_id == f"{release['release_id']}-taken-back":
        return "taken_back"
    return "completed" if step_id.endswith("-done") else "step"


def _implied(release: Mapping[str, Any]) -> Change | None:
    """Return what the end of a release did to its traffic, whether it was noted or not."""
    shifts, ended_at = release.get("shifts"), release.get("ended_at")
    if not shifts or not ended_at or release.get("restored_at"):
        return None
    version, stable = int(release["version"]), release.get("stable_version")
    shares: dict[int, float]
    kind: Kind
    match release["status"]:
        case ReleaseStatus.COMPLETED:
            shares, kind = {version: 100.0}, "completed"
        case ReleaseStatus.FAILED | ReleaseStatus.NOT_PROMOTED if stable is not None:
            shares, kind = {int(stable): 100.0}, "taken_back"
        case ReleaseStatus.FAILED:
            shares, kind = {}, "removed"
        case _:
            return None
    return Change(
        at=_moment(ended_at),
        shares=shares,
        release_id=str(release["release_id"]),
        version=version,
        step_id=str(release.get("step_id") or shifts[-1]["step_id"]),
        kind=kind,
        cause=_cause(release) if kind != "completed" else None,
        noted=False,
    )


def _unbroken(
    changes: Sequence[Change], moment: datetime, holds: Callable[[Change], bool]
) -> datetime:
    place = bisect_right(changes, moment, key=lambda change: change.at)
    since = changes[place - 1].at
    for change in reversed(changes[: place - 1]):
        if not holds(change):
            break
        since = change.at
    return since


def _shares(told: Mapping[Any, Any]) -> dict[int, float]:
    return {int(version): float(share) for version, share in told.items() if float(share) > 0}


def _cause(release: Mapping[str, Any]) -> str | None:
    return str(release["cause"]) if release.get("cause") else None


def _order(change: Change) -> tuple[datetime, int]:
    return change.at, _LATE if change.route_version is None else change.route_version


def _moment(text: object) -> datetime:
    parsed = datetime.fromisoformat(str(text))
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
