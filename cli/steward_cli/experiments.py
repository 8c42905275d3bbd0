"""Experiments of a stack: their head items, verdicts, frozen cohorts and traffic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from steward.domain.errors import EvidenceIncompleteError, StewardError
from steward.domain.experiments.cohorts import cohorts_of, experiment_item, verdicts_of
from steward.domain.experiments.plan import ExperimentPlan, ExperimentRecord
from steward.domain.experiments.verdicts import ExperimentVerdict
from steward.domain.serving_history import Change, changes_of
from steward.ports import Item, ObjectStore, StateStore, Table
from steward_cli.console import CommandError, Exit

READERS = 8


@dataclass(frozen=True)
class Judged:
    """One judgement: its item, and the object that it was made from.

    Attributes:
        number: In the order of judgements, from 1.
        content: The stored object, byte for byte; empty where it is gone.
        plan: None where the judgement was by absolute limits alone; record and verdict likewise.
    """

    number: int
    at: datetime
    phase: str
    step_id: str
    item: Item
    content: bytes
    plan: ExperimentPlan | None
    record: ExperimentRecord | None
    verdict: ExperimentVerdict | None

    @property
    def word(self) -> str:
        """What was decided."""
        return str(self.item["verdict"])

    @property
    def reason(self) -> str:
        """One sentence why."""
        return str(self.item["reason"])


@dataclass(frozen=True)
class Experiment:
    """What the record says of one release's experiment.

    Attributes:
        release: The release's record, empty where there is none.
        changes: The changes of traffic that this release made, oldest first.
        route: The project's route now.
    """

    project: str
    release_id: str
    head: Item
    release: Item
    judged: Sequence[Judged]
    cohorts: Sequence[Item]
    changes: Sequence[Change]
    route: Item | None

    @property
    def name(self) -> str:
        """The id that commands take."""
        return f"{self.project}/{self.release_id}"

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.head.get("status") == "running"

    @property
    def tick_s(self) -> int:
        """Seconds between two looks of the scheduler."""
        return int(self.head.get("tick_s") or 3600)

    def shares_now(self) -> dict[str, float]:
        """Return the present shares in percent by version, while this release moves them."""
        if self.route and self.route.get("release_id") == self.release_id:
            return {str(arm["version"]): float(arm["share"]) for arm in self.route["arms"]}
        last = self.changes[-1] if self.changes else None
        return {str(version): share for version, share in last.shares.items()} if last else {}

    def counts(self) -> dict[str, int]:
        """Return what the frozen cohorts counted, added up."""
        total: dict[str, int] = {}
        for cohort in self.cohorts:
            for name, count in (cohort.get("counts") or {}).items():
                total[name] = total.get(name, 0) + int(count)
        return total


class Experiments:
    """Reads experiments; objects are immutable and read once.

    Args:
        store: The stack's tables.
        objects: The stack's objects.
    """

    def __init__(self, store: StateStore, objects: ObjectStore) -> None:
        self._store, self._objects = store, objects
        self._read: dict[str, bytes] = {}

    @property
    def objects(self) -> ObjectStore:
        """The stack's objects."""
        return self._objects

    def heads(self, project: str | None = None) -> list[Item]:
        """Return the head items of a project's experiments, or of all, oldest first."""
        found = []
        for name in [project] if project is not None else self._projects():
            for release in self._store.query(Table.RELEASES, name):
                head = self._head(name, str(release["release_id"]))
                found += [head] if head is not None else []
        return sorted(found, key=lambda head: str(head.get("started_at") or head["item"]))

    def find(self, text: str) -> tuple[str, str]:
        """Return project and release id of ``PROJECT/RELEASE_ID``, ``PROJECT`` or ``RELEASE_ID``.

        A project alone means its newest experiment; a release id alone must be of one project.

        Raises:
            CommandError: There is none, or several are meant.
        """
        project, slash, release_id = text.rstrip("/").partition("/")
        if slash:
            return self.one(project, release_id)
        if text in self._projects():
            return self.one(text)
        named = [head for head in self.heads() if head["item"] == text]
        if len(named) > 1:
            where = ", ".join(f"{head['project']}/{text}" for head in named)
            raise CommandError(f"{text!r} means {len(named)} experiments", Exit.USAGE, where)
        if not named:
            raise CommandError(f"no experiment {text!r}", Exit.NOT_FOUND, "steward experiment list")
        return str(named[0]["project"]), text

    def one(self, project: str, release_id: str | None = None) -> tuple[str, str]:
        """Return project and release id, the newest where none is given.

        Raises:
            CommandError: There is none.
        """
        if release_id is not None and self._head(project, release_id) is not None:
            return project, release_id
        known = [str(head["item"]) for head in self.heads(project)]
        if release_id is None and known:
            return project, known[-1]
        wanted = f"no experiment {release_id!r}" if release_id else "no experiment"
        hint = f"known: {', '.join(known)}" if known else "steward release list " + project
        raise CommandError(f"{project} has {wanted}", Exit.NOT_FOUND, hint)

    def read(self, project: str, release_id: str) -> Experiment:
        """Return what the record says of an experiment now.

        Raises:
            CommandError: There is none.
        """
        head = self._head(project, release_id)
        if head is None:
            raise CommandError(f"{project} has no experiment {release_id!r}", Exit.NOT_FOUND)
        release = self._store.get(Table.RELEASES, {"project": project, "release_id": release_id})
        verdicts = self._store.query(Table.EXPERIMENTS, project, prefix=verdicts_of(release_id))
        self._fetch(str(item["uri"]) for item in verdicts)
        changes = changes_of(self._store.query(Table.RELEASES, project))
        return Experiment(
            project=project,
            release_id=release_id,
            head=head,
            release=release or {},
            judged=[self._judged(item) for item in verdicts],
            cohorts=self._store.query(Table.EXPERIMENTS, project, prefix=cohorts_of(release_id)),
            changes=[change for change in changes if change.release_id == release_id],
            route=self._store.get(Table.ROUTES, {"project": project}),
        )

    def _head(self, project: str, release_id: str) -> Item | None:
        key = {"project": project, "item": experiment_item(release_id)}
        return self._store.get(Table.EXPERIMENTS, key)

    def _projects(self) -> list[str]:
        return sorted(str(item["project"]) for item in self._store.scan(Table.PROJECTS))

    def _fetch(self, uris: Iterable[str]) -> None:
        missing = [uri for uri in uris if uri not in self._read]
        if missing:
            with ThreadPoolExecutor(READERS) as pool:
                found = pool.map(self._content, missing)
                self._read.update(zip(missing, found, strict=True))

    def _content(self, uri: str) -> bytes:
        try:
            return self._objects.read(uri)
        except EvidenceIncompleteError:
            return b""

    def _judged(self, item: Item) -> Judged:
        content = self._read[str(item["uri"])]
        plan, record, verdict = _typed(content)
        return Judged(
            number=int(str(item["item"]).rsplit("#", 1)[1]),
            at=moment(item["at"]),
            phase=str(item.get("phase") or "ramp"),
            step_id=str(item["step_id"]),
            item=item,
            content=content,
            plan=plan,
            record=record,
            verdict=verdict,
        )


def _typed(
    content: bytes,
) -> tuple[ExperimentPlan | None, ExperimentRecord | None, ExperimentVerdict | None]:
    """Return what a comparison was made of; nothing where there was none, or it is unreadable."""
    try:
        document = json.loads(content)
        return (
            ExperimentPlan.model_validate(document["plan"]),
            ExperimentRecord.model_validate(document["record"]),
            ExperimentVerdict.model_validate(document["verdict"]),
        )
    except (StewardError, KeyError, TypeError, ValueError):
        return None, None, None


def moment(text: object) -> datetime:
    """Return a stored time in UTC."""
    parsed = datetime.fromisoformat(str(text))
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
