"""The model inventory: who answers for which model, and when it must be looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

INTERVAL_DAYS = {"high": 90, "limited": 180, "minimal": 365}
"""Days between reviews by risk tier; SR 11-7, section V, asks for one at least every year."""

Due = Literal["due", "overdue", "in_time"]
GRACE_DAYS = 14
"""Days after its due date from which a review is overdue."""


@dataclass(frozen=True)
class Entry:
    """A project in the inventory.

    Attributes:
        status: State of the newest version, or ``no version``.
        production: Version that serves.
        last_review: Of a person, else the day from which the first interval runs.
        reviewed_by: None where nobody has reviewed yet.
        next_review: Due date.
    """

    project: str
    owner: str
    tier: str
    production: int | None
    versions: int
    status: str
    last_review: datetime
    reviewed_by: str | None
    note: str
    next_review: datetime

    def due(self, now: datetime) -> Due:
        """Return how the next review stands."""
        if now < self.next_review:
            return "in_time"
        late = now >= self.next_review + timedelta(days=GRACE_DAYS)
        return "overdue" if late else "due"

    def row(self, now: datetime) -> dict[str, Any]:
        """Return the entry as JSON and CSV have it."""
        return {
            "project": self.project, "owner": self.owner, "tier": self.tier,
            "production": self.production, "versions": self.versions, "status": self.status,
            "last_review": self.last_review.date().isoformat() if self.reviewed_by else None,
            "reviewed_by": self.reviewed_by, "note": self.note,
            "next_review": self.next_review.date().isoformat(), "review": self.due(now),
        }  # fmt: skip


def entry_of(
    project: Mapping[str, Any],
    versions: Sequence[Mapping[str, Any]],
    champion: int | None,
    reviews: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Entry:
    """Return a project's entry.

    Without a review the interval runs from the project's first version, or from now where it has
    none: there is nothing to review yet.

    Args:
        project: Its item; a configuration that does not parse has the strictest tier.
        versions: Its versions, oldest first.
        champion: The version in production.
        reviews: Its reviews, oldest first.
        now: The time.
    """
    config = project.get("config") or {}
    tier = str(config.get("risk_tier") or "limited")
    last = reviews[-1] if reviews else None
    began = str(versions[0]["created_at"]) if versions else now.isoformat()
    since = _moment(str(last["at"]) if last else began)
    return Entry(
        project=str(project["project"]),
        owner=str(config.get("owner") or ""),
        tier=tier,
        production=champion,
        versions=len(versions),
        status=str(versions[-1]["state"]) if versions else "no version",
        last_review=since,
        reviewed_by=str(last["by"]) if last else None,
        note=str(last["note"]) if last else "",
        next_review=since + timedelta(days=INTERVAL_DAYS.get(tier, min(INTERVAL_DAYS.values()))),
    )


def review_item(at: str) -> str:
    """Return the sort key of a review, in order of time."""
    return f"review#{at}"


def announced_item(due: datetime) -> str:
    """Return the sort key that keeps a due date from being announced twice."""
    return f"announced#review#{due.date().isoformat()}"


def _moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
