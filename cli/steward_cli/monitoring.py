"""What monitoring knows of a project: its looks, their records, alarms, and the breaker."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.looks import KINDS, Look, parse_look
from steward.domain.monitoring.records import BESIDE, RETRAINING, alarm_item, late_item, look_item
from steward.domain.monitoring.retraining import State, reset
from steward.ports import Equals, Item, ObjectStore, Put, StateStore, Table
from steward_cli.console import CommandError, Exit

READERS = 8
RECENT = 168
"""Looks that are shown: a week of hours."""

MOST_CANDIDATES = 5
"""Versions that are shown beside the stable one, the newest."""


@dataclass(frozen=True)
class Watched:
    """What is known of one project, as of now.

    Attributes:
        alarms: Item of each alarm that ever changed, by kind.
        looks: Items of looks, oldest first.
        records: Their records, in the same order.
        baseline: Of the version that the newest look judges, where it has one.
        retraining: What the brakes remember; None before the first trigger.
        beside: The version, where these are the looks at one beside the stable version.
        late: What is known of windows whose rows came too late to be looked at.
        candidates: Newest look at each version that answered beside the stable one during
            ``looks``, the newest version first.
    """

    project: str
    alarms: dict[str, Item]
    looks: Sequence[Item]
    records: Sequence[Look]
    baseline: Baseline | None = None
    retraining: Item | None = None
    beside: int | None = None
    candidates: Sequence[Look] = ()
    late: Sequence[Item] = ()

    @property
    def newest(self) -> Look | None:
        """The newest look."""
        return self.records[-1] if self.records else None

    def at(self, window: str) -> Watched:
        """Return what was known when a window had been looked at.

        Raises:
            CommandError: It was not.
        """
        for place, look in enumerate(self.records):
            if look.window == window:
                return replace(
                    self, looks=self.looks[: place + 1], records=self.records[: place + 1]
                )
        known = f"{self.records[0].window} to {self.records[-1].window}" if self.records else "none"
        raise CommandError(
            f"{self.project} has no look at {window}", Exit.NOT_FOUND, f"looks: {known}"
        )


@dataclass(frozen=True)
class Monitoring:
    """Reads and resets, with the caller's own rights."""

    state: StateStore
    objects: ObjectStore

    def read(
        self,
        project: str,
        *,
        recent: int = RECENT,
        records: bool = True,
        version: int | None = None,
    ) -> Watched:
        """Return what is known of a project.

        Args:
            project: Its name.
            recent: Looks at most, the newest.
            records: Whether the looks' records are read too.
            version: Of this version, as it answered beside the stable one.

        Raises:
            CommandError: There is no such project, or no look at such a version.
        """
        if self.state.get(Table.PROJECTS, {"project": project}) is None:
            raise CommandError(f"no project {project!r}", Exit.NOT_FOUND, "`steward project list`")
        looks = self.looks(project, recent, version)
        if version is not None and not looks:
            known = ", ".join(str(one["version"]) for one in self._beside(project)) or "none"
            raise CommandError(
                f"version {version} of {project} answered beside no other version",
                Exit.NOT_FOUND, f"versions that did: {known}",
            )  # fmt: skip
        found = self.records(looks) if records else []
        newest = found[-1] if found else None
        return Watched(
            project=project,
            alarms=self.alarms(project, version),
            looks=looks,
            records=found,
            baseline=self.baseline(newest) if newest is not None else None,
            retraining=self.retraining(project) if version is None else None,
            beside=version,
            candidates=self.candidates(project, looks) if records and version is None else (),
            late=self.state.query(Table.MONITORING, project, prefix=late_item("")),
        )

    def candidates(self, project: str, looks: Sequence[Item]) -> list[Look]:
        """Return the newest look at each version that answered beside others during looks."""
        first = looks[0]["window"] if looks else ""
        found = [one for one in self._beside(project) if one["window"] >= first][:MOST_CANDIDATES]
        newest = [self.looks(project, 1, int(one["version"])) for one in found]
        return self.records([item for items in newest for item in items])

    def _beside(self, project: str) -> list[Item]:
        return self.state.query(Table.MONITORING, project, prefix=BESIDE, newest_first=True)

    def looks(self, project: str, recent: int, version: int | None = None) -> list[Item]:
        """Return the items of the newest looks, oldest first, or of those at a version beside."""
        prefix = look_item("", version)
        items = self.state.query(
            Table.MONITORING, project, prefix=prefix, newest_first=True, limit=recent
        )
        return items[::-1]

    def records(self, looks: Sequence[Item]) -> list[Look]:
        """Return the records of looks, each checked by its digest.

        Raises:
            CommandError: One is gone, or is not what was written.
        """

        def read(item: Item) -> Look:
            look = parse_look(self.objects.read(item["uri"]))
            if look.digest != item["digest"]:
                raise CommandError(
                    f"{item['uri']} is not the record that was written", Exit.FAILED,
                    f"its digest is {look.digest}, not {item['digest']}",
                )  # fmt: skip
            return look

        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(read, looks))

    def baseline(self, look: Look) -> Baseline | None:
        """Return what a look was compared with; None where it is gone or was none."""
        if look.baseline_uri is None:
            return None
        try:
            return Baseline.model_validate_json(self.objects.read(look.baseline_uri))
        except (EvidenceIncompleteError, ValidationError):
            return None

    def alarms(self, project: str, version: int | None = None) -> dict[str, Item]:
        """Return the items of alarms by kind, of a project or of a version beside."""
        keys = {kind: {"project": project, "item": alarm_item(kind, version)} for kind in KINDS}
        found = {kind: self.state.get(Table.MONITORING, key) for kind, key in keys.items()}
        return {kind: item for kind, item in found.items() if item is not None}

    def retraining(self, project: str) -> Item | None:
        """Return what the brakes of retraining remember."""
        return self.state.get(Table.MONITORING, {"project": project, "item": RETRAINING})

    def reset_breaker(self, project: str) -> State:
        """Close the breaker, as a person who has looked at what was in vain; return the state.

        Raises:
            CommandError: Nothing was ever asked for.
            ConflictError: Somebody else wrote meanwhile.
        """
        item = self.retraining(project)
        if item is None:
            raise CommandError(f"no retraining of {project} was ever asked for", Exit.NOT_FOUND)
        after = reset(State.from_dict(item["state"]))
        written = {**item, "state": after.as_dict(), "number": int(item["number"]) + 1}
        expected = (Equals("number", item["number"]),)
        self.state.commit([Put(Table.MONITORING, written, expected)])
        return after


def seconds(moment: str) -> float:
    """Return epoch seconds of an ISO 8601 time."""
    return datetime.fromisoformat(moment).timestamp()


def minute(moment: str) -> str:
    """Return a time as people read it."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def document(watched: Watched) -> dict[str, Any]:
    """Return what ``--json`` prints: alarms, looks without their columns, the newest whole."""
    newest = watched.newest
    return {
        "project": watched.project,
        "version": watched.beside,
        "alarms": watched.alarms,
        "looks": list(watched.looks),
        "candidates": [one.model_dump(mode="json") for one in watched.candidates],
        "newest": newest.model_dump(mode="json") if newest is not None else None,
        "late": list(watched.late),
        "retraining": watched.retraining,
    }
