"""Hand-written fakes of every port; each passes the same contract suite as its boto3 adapter."""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from steward.contracts.events import Event
from steward.contracts.steps.features import EntityRead, FeaturesRead, ReadFeatures, RecordRead
from steward.domain.cards.limits import SchemaName, check_content
from steward.domain.errors import (
    ConflictError,
    DependencyError,
    EvidenceIncompleteError,
    FeatureGroupNotFoundError,
    JobImageMissingError,
    RejectedError,
    RetryableError,
    StewardError,
)
from steward.ports import (
    Answer,
    Entry,
    ExecutionState,
    ObjectInfo,
    RecordKey,
    RoleCounts,
    StoredCard,
)
from support.fake_state import FakeState

__all__ = [
    "FakeAlarms",
    "FakeBus",
    "FakeClock",
    "FakeEndpoint",
    "FakeEndpoints",
    "FakeExecution",
    "FakeFailureQueue",
    "FakeFeatureReader",
    "FakeFeatureRecords",
    "FakeIds",
    "FakeJobImage",
    "FakeMail",
    "FakeObjects",
    "FakeOnlineFeatures",
    "FakeRegistry",
    "FakeSchedules",
    "FakeState",
    "FakeTrafficMetrics",
    "FakeWorkflows",
    "Letter",
]

REGION_AND_ACCOUNT = "us-east-1:000000000000"


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self.time += timedelta(seconds=seconds)


class FakeIds:
    """Identifiers in a known order: ``00000000-0000-4000-8000-000000000001`` and on."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012d}"


class FakeBus:
    """Keeps what was published.

    ``failing`` maps a detail-type to the error that its entries get, once.
    """

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.entries: list[Entry] = []
        self.failing: dict[str, StewardError] = {}

    def publish(self, events: Sequence[Event]) -> None:
        entries = [Entry(e.source, e.detail_type, e.detail_json(), e.time) for e in events]
        failed = self.put(entries)
        self.published += [event for i, event in enumerate(events) if i not in failed]
        for error in sorted(failed.values(), key=lambda e: isinstance(e, RetryableError)):
            if isinstance(error, RetryableError):
                raise DependencyError(f"{len(failed)} events were not taken: {error}")
            raise error

    def put(self, entries: Sequence[Entry]) -> dict[int, StewardError]:
        failed: dict[int, StewardError] = {}
        for index, entry in enumerate(entries):
            error = self.failing.pop(entry.detail_type, None)
            if error is None:
                self.entries.append(entry)
                continue
            failed[index] = error
            if isinstance(error, RetryableError):
                return failed | dict.fromkeys(range(index + 1, len(entries)), error)
        return failed

    def named(self, detail_type: str) -> list[Event]:
        """Return the published events of one detail-type."""
        return [event for event in self.published if event.detail_type == detail_type]


@dataclass
class _Stored:
    content: bytes
    content_type: str
    version_id: str


class FakeFeatureRecords:
    """Feature groups in memory, with SageMaker's rule: only a later event time replaces.

    ``before_write`` holds functions that are called once each, one per record, just before it is
    put: a test dies there.
    """

    def __init__(self, event_time: str = "written_at", identifier: str = "entity") -> None:
        self.groups: dict[str, dict[str, dict[str, str]]] = {}
        self.puts: list[tuple[str, dict[str, str]]] = []
        self.before_write: list[Callable[[], None]] = []
        self._event_time, self._identifier = event_time, identifier

    def create(self, group: str) -> None:
        self.groups.setdefault(group, {})

    def read(self, group: str, entities: Sequence[str]) -> dict[str, dict[str, str]]:
        held = self._need(group)
        return {entity: dict(held[entity]) for entity in entities if entity in held}

    def write(self, group: str, records: Sequence[Mapping[str, str]]) -> None:
        held = self._need(group)
        for record in records:
            if self.before_write:
                self.before_write.pop(0)()
            given = dict(record)
            if not given.get(self._identifier) or not given.get(self._event_time):
                raise RejectedError(f"a record needs {self._identifier} and {self._event_time}")
            self.puts.append((group, given))
            known = held.get(given[self._identifier])
            if known is None or known[self._event_time] < given[self._event_time]:
                held[given[self._identifier]] = given

    def _need(self, group: str) -> dict[str, dict[str, str]]:
        if group not in self.groups:
            raise FeatureGroupNotFoundError(f"SageMaker has no feature group {group}")
        return self.groups[group]


class FakeObjects:
    """Versioned objects in memory. ``knows_sha256`` off plays uploads without a checksum."""

    def __init__(self) -> None:
        self.knows_sha256 = True
        self._numbers = itertools.count(1)
        self._objects: dict[tuple[str, str], list[_Stored]] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def describe(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo | None:
        stored = self._find(bucket, key, version_id)
        if stored is None:
            return None
        digest = _sha256(stored.content) if self.knows_sha256 else None
        return ObjectInfo(bucket, key, len(stored.content), stored.version_id, digest)

    def sha256(self, bucket: str, key: str, version_id: str | None = None) -> str:
        return _sha256(self._need(bucket, key, version_id).content)

    def read(self, uri: str, version_id: str | None = None) -> bytes:
        return self._need(*_split(uri), version_id).content

    def download(self, bucket: str, key: str, path: str, version_id: str | None = None) -> None:
        Path(path).write_bytes(self._need(bucket, key, version_id).content)

    def upload(
        self,
        path: str,
        uri: str,
        content_type: str = "application/octet-stream",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        return self.write(uri, Path(path).read_bytes(), content_type, tags)

    def write(
        self,
        uri: str,
        content: bytes,
        content_type: str = "application/json",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        if tags:
            self.tags[uri] = dict(tags)
        stored = _Stored(bytes(content), content_type, f"v{next(self._numbers)}")
        self._objects.setdefault(_split(uri), []).append(stored)
        return _sha256(content)

    def write_once(self, uri: str, content: bytes, content_type: str = "application/json") -> bool:
        if _split(uri) in self._objects:
            return False
        self.write(uri, content, content_type)
        return True

    def open(self, uri: str) -> BinaryIO:
        return io.BytesIO(self.read(uri))

    def copy(
        self,
        source_uri: str,
        target_uri: str,
        version_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        stored = self._need(*_split(source_uri), version_id)
        self.write(target_uri, stored.content, stored.content_type, tags)

    def list(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        for place in sorted(self._objects):
            if place[0] == bucket and place[1].startswith(prefix):
                size = len(self._objects[place][-1].content)
                yield ObjectInfo(bucket, place[1], size, None, None)

    def versions(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        for place in sorted(self._objects):
            if place[0] == bucket and place[1].startswith(prefix):
                for stored in reversed(self._objects[place]):
                    size = len(stored.content)
                    yield ObjectInfo(bucket, place[1], size, stored.version_id, None)

    def remove(self, bucket: str, key: str, version_id: str) -> None:
        kept = [s for s in self._objects.get((bucket, key), []) if s.version_id != version_id]
        self._objects.pop((bucket, key), None)
        if kept:
            self._objects[bucket, key] = kept

    def _find(self, bucket: str, key: str, version_id: str | None) -> _Stored | None:
        stored = reversed(self._objects.get((bucket, key), []))
        return next((s for s in stored if version_id in (None, s.version_id)), None)

    def _need(self, bucket: str, key: str, version_id: str | None = None) -> _Stored:
        stored = self._find(bucket, key, version_id)
        if stored is None:
            raise EvidenceIncompleteError(f"no object s3://{bucket}/{key}", field="uri", value=key)
        return stored


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise RejectedError(f"{uri!r} is no S3 URI", field="uri", value=uri)
    return bucket, key


@dataclass
class FakeExecution:
    """One execution: what started it and how it stands."""

    machine: str
    name: str
    payload: dict[str, Any]
    status: str = "RUNNING"
    redrives: int = 0
    stopped_with: tuple[str, str] = ("", "")


class FakeWorkflows:
    """Executions by ARN, running until a test calls ``end``.

    ``fails`` raises at the next start or redrive, ``stop_fails`` at the next stop, and
    ``find_fails`` at the next look.
    """

    def __init__(self) -> None:
        self.executions: dict[str, FakeExecution] = {}
        self.fails: Exception | None = None
        self.stop_fails: Exception | None = None
        self.find_fails: Exception | None = None

    def start(self, machine: str, name: str, payload: Mapping[str, Any]) -> str:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        plain: dict[str, Any] = json.loads(json.dumps(payload, allow_nan=False))
        if not 1 <= len(name) <= 80 or len(json.dumps(plain)) > 256 * 1024:
            raise RejectedError("an execution that AWS refuses", field="name", value=name)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        known = self.executions.setdefault(arn, FakeExecution(machine, name, plain))
        if known.status != "RUNNING" or known.payload != plain:
            raise ConflictError(f"execution {name} exists: {known.status}")
        return arn

    def status(self, execution_arn: str) -> str:
        if execution_arn not in self.executions:
            raise RejectedError(
                f"no execution {execution_arn}", field="execution_arn",
                value="ExecutionDoesNotExist",
            )  # fmt: skip
        return self.executions[execution_arn].status

    def find(self, execution_arn: str) -> ExecutionState | None:
        if self.find_fails is not None:
            failure, self.find_fails = self.find_fails, None
            raise failure
        known = self.executions.get(execution_arn)
        return ExecutionState(known.status, *known.stopped_with) if known else None

    def is_redrivable(self, execution_arn: str) -> bool:
        return self.status(execution_arn) in {"FAILED", "TIMED_OUT", "ABORTED"}

    def redrive(self, execution_arn: str) -> None:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        if not self.is_redrivable(execution_arn):
            raise ConflictError(f"{execution_arn} is {self.status(execution_arn)}")
        self.executions[execution_arn].status = "RUNNING"
        self.executions[execution_arn].redrives += 1

    def stop(self, execution_arn: str, error: str, cause: str) -> None:
        if self.stop_fails is not None:
            failure, self.stop_fails = self.stop_fails, None
            raise failure
        if self.status(execution_arn) == "RUNNING":
            self.executions[execution_arn].status = "ABORTED"
            self.executions[execution_arn].stopped_with = (error, cause)

    def end(self, execution_arn: str, status: str = "SUCCEEDED") -> None:
        """End an execution."""
        self.executions[execution_arn].status = status


@dataclass
class FakeSchedule:
    """A schedule as it stands."""

    every_s: int
    payload: dict[str, Any]
    enabled: bool = True
    at: datetime | None = None


class FakeSchedules:
    """Schedules by name; ``fails`` holds errors that the next calls raise, one each."""

    def __init__(self) -> None:
        self.by_name: dict[str, FakeSchedule] = {}
        self.fails: list[Exception] = []

    def create(self, name: str, *, every_s: int, payload: Mapping[str, Any]) -> None:
        if every_s < 60 or every_s % 60:
            raise RejectedError(
                f"schedule {name} cannot fire every {every_s} s", field="every_s", value=every_s
            )
        self._keep(name, FakeSchedule(every_s, dict(payload)))

    def create_once(self, name: str, *, at: datetime, payload: Mapping[str, Any]) -> None:
        self._keep(name, FakeSchedule(0, dict(payload), at=at.replace(microsecond=0)))

    def _keep(self, name: str, wanted: FakeSchedule) -> None:
        self._fail()
        if not re.fullmatch(r"[0-9a-zA-Z_.-]{1,64}", name):
            raise RejectedError("a name that AWS refuses", field="name", value=name)
        wanted.payload = json.loads(json.dumps(wanted.payload, allow_nan=False))
        known = self.by_name.get(name)
        wanted.enabled = known.enabled if known else True
        self.by_name[name] = wanted

    def delete(self, name: str) -> None:
        self._fail()
        self.by_name.pop(name, None)

    def is_enabled(self, name: str) -> bool | None:
        self._fail()
        known = self.by_name.get(name)
        return known.enabled if known else None

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


class FakeRegistry:
    """Model packages by ARN, with the fields of ``DescribeModelPackage`` that Steward reads."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, Any]] = {}

    def create_version(self, request: Mapping[str, Any]) -> tuple[str, int]:
        group = request["ModelPackageGroupName"]
        number = 1 + sum(p["ModelPackageGroupName"] == group for p in self.packages.values())
        arn = f"arn:aws:sagemaker:{REGION_AND_ACCOUNT}:model-package/{group}/{number}"
        status = request.get("ModelApprovalStatus", "PendingManualApproval")
        self.packages[arn] = {
            **copy.deepcopy(dict(request)),
            "ModelPackageArn": arn,
            "ModelPackageVersion": number,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": status,
        }
        return arn, number

    def set_status(self, arn: str, status: str, description: str) -> None:
        if status not in ("Approved", "Rejected", "PendingManualApproval"):
            raise RejectedError(f"{status} is no approval status", field="status", value=status)
        self._package(arn).update(ModelApprovalStatus=status, ApprovalDescription=description)

    def set_labels(
        self, arn: str, stage: str, status: str, properties: Mapping[str, str], gone: Sequence[str]
    ) -> None:
        package = self._package(arn)
        package["ModelLifeCycle"] = {"Stage": stage, "StageStatus": status}
        kept = {**(package.get("CustomerMetadataProperties") or {}), **properties}
        shown = {key: value for key, value in kept.items() if key not in gone}
        if len(shown) > 50:
            raise RejectedError("50 properties at most", field="properties", value=len(shown))
        package["CustomerMetadataProperties"] = shown

    def describe(self, arn: str) -> Mapping[str, Any]:
        return copy.deepcopy(self._package(arn))

    def versions(self, group: str, status: str | None = None) -> Iterable[tuple[str, int]]:
        found = [p for p in self.packages.values() if p["ModelPackageGroupName"] == group]
        for package in sorted(found, key=lambda p: p["ModelPackageVersion"], reverse=True):
            if status in (None, package["ModelApprovalStatus"]):
                yield package["ModelPackageArn"], package["ModelPackageVersion"]

    def set_card(self, arn: str, content: str, status: str) -> None:
        _check_card("package", content)
        card = {"ModelCardContent": content, "ModelCardStatus": status}
        self._package(arn).update(ModelCard=card)

    def _package(self, arn: str) -> dict[str, Any]:
        if arn not in self.packages:
            raise RejectedError(f"no model package {arn}", field="arn", value=arn)
        return self.packages[arn]


def _check_card(schema: SchemaName, content: str) -> None:
    check_content(schema, json.loads(content))


class FakeModelCards:
    """Versions of cards by name."""

    def __init__(self) -> None:
        self.cards: dict[str, list[StoredCard]] = {}

    def find(self, name: str) -> StoredCard | None:
        return self.cards[name][-1] if name in self.cards else None

    def create(self, name: str, content: str, status: str) -> None:
        if name in self.cards:
            raise ConflictError(f"there is a card {name}")
        _check_card("card", content)
        self.cards[name] = [StoredCard(content, status, 1)]

    def set_content(self, name: str, content: str) -> None:
        latest = self._latest(name)
        if latest.status == "Archived":
            raise ConflictError(f"{name} is archived")
        _check_card("card", content)
        self.cards[name].append(StoredCard(content, latest.status, latest.version + 1))

    def set_status(self, name: str, status: str) -> None:
        self.cards[name][-1] = replace(self._latest(name), status=status)

    def _latest(self, name: str) -> StoredCard:
        if name not in self.cards:
            raise RejectedError(f"no card {name}", field="name", value=name)
        return self.cards[name][-1]


Reply = Callable[[bytes, str], bytes]


@dataclass
class FakeEndpoint:
    """An endpoint: its status and a function ``(body, content type) -> answer`` that may raise."""

    reply: Reply
    status: str = "InService"


@dataclass(frozen=True)
class Call:
    """One invocation as an endpoint got it."""

    endpoint: str
    body: bytes
    content_type: str
    accept: str
    timeout_s: float


class FakeEndpoints:
    """Endpoints by name; ``calls`` are the invocations and ``deleted`` what was removed."""

    def __init__(self) -> None:
        self.endpoints: dict[str, FakeEndpoint] = {}
        self.calls: list[Call] = []
        self.deleted: list[str] = []
        self.deleted_parts: list[str] = []

    def add(self, name: str, reply: Reply | bytes, status: str = "InService") -> None:
        """Create an endpoint that answers what ``reply`` is or returns."""
        constant = reply if isinstance(reply, bytes) else b""
        function = (lambda _body, _type: constant) if isinstance(reply, bytes) else reply
        self.endpoints[name] = FakeEndpoint(function, status)

    def invoke(
        self, endpoint: str, body: bytes, *, content_type: str, accept: str, timeout_s: float
    ) -> Answer:
        self.calls.append(Call(endpoint, body, content_type, accept, timeout_s))
        known = self.endpoints.get(endpoint)
        if known is None or known.status not in ("InService", "Updating"):
            raise DependencyError(f"endpoint {endpoint} is not in service")
        return Answer(known.reply(body, content_type), accept, "AllTraffic")

    def status(self, endpoint: str) -> str | None:
        known = self.endpoints.get(endpoint)
        return known.status if known else None

    def delete(self, endpoint: str, parts: str | None = None) -> None:
        if parts is not None:
            self.deleted_parts.append(parts)
        if self.endpoints.pop(endpoint, None) is not None:
            self.deleted.append(endpoint)


class FakeAlarms:
    """Alarm states by name."""

    def __init__(self, **states: str) -> None:
        self.by_name: dict[str, str] = dict(states)
        self.looking: dict[str, Mapping[str, Any]] = {}

    def put(self, alarm: Mapping[str, Any]) -> None:
        self.looking[alarm["AlarmName"]] = alarm

    def states(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.by_name[name] for name in names if name in self.by_name}


@dataclass
class FakeTrafficMetrics:
    """Counts by project and role; ``asked`` are the times that were asked for."""

    by_role: dict[tuple[str, str], RoleCounts] = field(default_factory=dict)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        self.asked.append((since, until))
        return self.by_role.get((project, role), RoleCounts(0, 0, 0))


@dataclass(frozen=True)
class Letter:
    """One mail as it was sent."""

    role: str
    subject: str
    body: str


@dataclass
class FakeMail:
    """Keeps what was sent."""

    sent: list[Letter] = field(default_factory=list)

    def send(self, role: str, subject: str, body: str) -> None:
        if role not in ("approver", "on_call", "owner"):
            raise RejectedError(f"no topic for {role}", field="role", value=role)
        line = " ".join(subject.encode("ascii", "replace").decode().split())
        self.sent.append(Letter(role, line[:99] or "Steward", body))


@dataclass
class FakeJobImage:
    """A known image, or None for one that was never built."""

    value: str | None = "local/steward-jobs@sha256:" + "0" * 64

    def uri(self) -> str:
        name, _, digest = (self.value or "").partition("@sha256:")
        if not name or len(digest) != 64:
            raise JobImageMissingError("no job image yet: run `steward image build`")
        return f"{name}@sha256:{digest}"


@dataclass(frozen=True)
class Refused:
    """What a consumer put aside, and why."""

    payload: object
    reason: dict[str, Any]
    request_id: str
    function_arn: str


@dataclass
class FakeFailureQueue:
    """Keeps what no retry can mend."""

    refused: list[Refused] = field(default_factory=list)

    def send(
        self,
        payload: object,
        reason: Mapping[str, Any],
        *,
        request_id: str = "",
        function_arn: str = "",
    ) -> None:
        self.refused.append(Refused(payload, dict(reason), request_id, function_arn))


class FakeOnlineFeatures:
    """Records by key; ``reads`` are the keys of each call; ``failing`` is raised if set."""

    def __init__(self, *groups: str) -> None:
        self.groups = set(groups)
        self.records: dict[RecordKey, dict[str, str]] = {}
        self.reads: list[list[RecordKey]] = []
        self.failing: StewardError | None = None

    def put(self, key: RecordKey, record: Mapping[str, str]) -> None:
        """Keep a record, and its group."""
        self.groups.add(key.group)
        self.records[key] = dict(record)

    def read(self, keys: Sequence[RecordKey]) -> dict[RecordKey, dict[str, str]]:
        self.reads.append(list(keys))
        if self.failing is not None:
            raise self.failing
        for key in keys:
            if key.group not in self.groups:
                raise DependencyError(f"there is no feature group {key.group}")
        return {key: dict(self.records[key]) for key in keys if key in self.records}


class FakeFeatureReader:
    """Values by model version and entity, whatever the columns are; ``calls`` are the commands.

    Attributes:
        failing: Raised instead of an answer, by model version.
        before: Called with the timeout before each answer.
    """

    def __init__(self, key: str = "patient_id") -> None:
        self.key = key
        self.values: dict[tuple[int | None, str], dict[str, Any]] = {}
        self.failing: dict[int | None, StewardError] = {}
        self.calls: list[tuple[ReadFeatures, float]] = []
        self.before: Callable[[float], object] = lambda _: None
        self.read_at = "2026-01-05T09:00:00.000Z"

    def read(self, command: ReadFeatures, *, timeout_s: float) -> FeaturesRead:
        self.calls.append((command, timeout_s))
        self.before(timeout_s)
        if command.version in self.failing:
            raise self.failing[command.version]
        return FeaturesRead(
            read_at=self.read_at,
            entities=[self._entity(command, given) for given in command.entities],
        )

    def _entity(self, command: ReadFeatures, given: Mapping[str, Any]) -> EntityRead:
        entity = str(given[self.key])
        known = self.values.get((command.version, entity), {})
        record = RecordRead(
            group="vitals", version=command.version or 1, entity=entity, found=bool(known)
        )
        values = {**known, **{name: given[name] for name in known if name in given}}
        return EntityRead(values=values, served=sorted(set(known) - set(given)), records=[record])
