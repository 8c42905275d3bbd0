"""Which version answered at a time, on whose approval and what evidence: read from the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steward.domain.serving_history import (
    Change,
    answering_since,
    approved_by,
    brought_by,
    changes_of,
    serving_at,
    share_since,
    until,
)
from steward.domain.versions import version_item
from steward.ports import Item, StateStore, Table

Record = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """What answered at a moment.

    Attributes:
        at: The moment.
        change: What was in force; None before the first release.
        ended_at: When the next change ended it; None where it is in force still.
        first_at: When the first version answered; None where none has yet.
        versions: Each version that answered, the largest share first.
    """

    project: str
    at: datetime
    change: Change | None
    ended_at: datetime | None
    first_at: datetime | None
    versions: Sequence[Record]

    def record(self) -> Record:
        """Return it for scripts."""
        return {
            "project": self.project,
            "at": stamp(self.at),
            "since": stamp(self.change.at) if self.change else None,
            "until": stamp(self.ended_at),
            "first_at": stamp(self.first_at),
            "by": change_record(self.change) if self.change else None,
            "versions": list(self.versions),
        }


class TimeMachine:
    """Answers from the releases and versions of one project."""

    def __init__(self, store: StateStore, project: str) -> None:
        self._project = project
        releases = store.query(Table.RELEASES, project)
        self._releases = {str(release["release_id"]): release for release in releases}
        self._store = store
        self.changes = changes_of(releases)

    def at(self, moment: datetime) -> Moment:
        """Return what answered at a moment that is not in the future."""
        change = serving_at(self.changes, moment)
        versions = sorted(change.shares, key=lambda v: (-change.shares[v], v)) if change else []
        return Moment(
            project=self._project,
            at=moment,
            change=change,
            ended_at=until(self.changes, moment),
            first_at=self.changes[0].at if self.changes else None,
            versions=[self._version(moment, change, v) for v in versions if change],
        )

    def history(self) -> list[Record]:
        """Return every change, oldest first, each with when the next one ended it."""
        ends = [change.at for change in self.changes[1:]]
        return [
            {"at": stamp(change.at), "until": stamp(end), **change_record(change)}
            for change, end in zip(self.changes, [*ends, None], strict=False)
        ]

    def _version(self, moment: datetime, change: Change, version: int) -> Record:
        item = self._item(version)
        release_id = brought_by(self.changes, moment, version)
        release = self._releases.get(release_id or "", {})
        return {
            "version": version,
            "share": change.shares[version],
            "share_since": stamp(share_since(self.changes, moment, version)),
            "answering_since": stamp(answering_since(self.changes, moment, version)),
            "release_id": release_id,
            "approved_by": approved_by(item, moment),
            "evidence": {
                "digest": release.get("evidence_digest") or item.get("evidence_digest"),
                "uri": item.get("evidence_uri"),
                "metrics": (item.get("summary") or {}).get("metrics") or [],
            },
            "run_id": item.get("run_id"),
            "model_package_arn": item.get("model_package_arn"),
        }

    def _item(self, version: int) -> Item:
        key = {"project": self._project, "item": version_item(version)}
        return self._store.get(Table.VERSIONS, key) or {}


def change_record(change: Change) -> Record:
    """Return a change for scripts."""
    return {
        "shares": {str(version): share for version, share in sorted(change.shares.items())},
        "release_id": change.release_id,
        "step_id": change.step_id,
        "kind": change.kind,
        "cause": change.cause,
        "route_version": change.route_version,
        "noted": change.noted,
        "copies": {"version": change.version, "percent": change.mirrored}
        if change.mirrored
        else None,
    }


def stamp(moment: datetime | None) -> str | None:
    """Return a moment as it is stored elsewhere: ISO 8601, UTC, milliseconds."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")
