"""What the use cases need from outside, as protocols; boto3 is behind them in ``adapters``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

if TYPE_CHECKING:
    from steward.contracts.events import Event
    from steward.contracts.steps.features import FeaturesRead, ReadFeatures
    from steward.domain.belongings import Kind
    from steward.domain.errors import StewardError
    from steward.domain.production_variants import Fleet
    from steward.domain.sagemaker_lineage import Entity
    from steward.domain.source_archives import Files

Item = dict[str, Any]


class Clock(Protocol):
    """The time, injected."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


class Ids(Protocol):
    """Fresh identifiers, injected."""

    def new(self) -> str:
        """Return an identifier never returned before (UUID4, 36 characters)."""
        ...


@dataclass(frozen=True)
class Entry:
    """An event as it lies in the outbox.

    Attributes:
        source: ``steward.<domain>``.
        detail_type: Name of the payload.
        detail: JSON text of ``{"meta": ..., "data": ...}``.
        time: ISO 8601, when it happened.
    """

    source: str
    detail_type: str
    detail: str
    time: str


class EventBus(Protocol):
    """The own event bus."""

    def publish(self, events: Sequence[Event]) -> None:
        """Put events on the bus, chunked by both limits, failed entries retried.

        Raises:
            DependencyError: Some entries still failed after the retries.
            RejectedError: The bus will never take one of them; what came before is on it.
        """
        ...

    def put(self, entries: Sequence[Entry]) -> dict[int, StewardError]:
        """Put entries on the bus in order; return the error by index of those not taken.

        It goes on past entries that can never be taken, and stops at the first request that
        keeps failing: the rest is ``RetryableError`` too, so that order is kept and little is
        published twice by the caller's next attempt.
        """
        ...


class Table(StrEnum):
    """Tables of the state store, by role."""

    PROJECTS = "projects"
    RUNS = "runs"
    DELIVERIES = "deliveries"
    LOCKS = "locks"
    VERSIONS = "versions"
    ROUTES = "routes"
    RELEASES = "releases"
    COSTS = "costs"
    FEATURES = "features"
    LINEAGE = "lineage"
    EXPERIMENTS = "experiments"
    ASSIGNMENTS = "assignments"
    MONITORING = "monitoring"


KEYS: dict[Table, tuple[str, ...]] = {
    Table.PROJECTS: ("project",),
    Table.RUNS: ("project", "run_id"),
    Table.DELIVERIES: ("project", "delivery_id"),
    Table.LOCKS: ("lock",),
    Table.VERSIONS: ("project", "item"),
    Table.ROUTES: ("project",),
    Table.RELEASES: ("project", "release_id"),
    Table.COSTS: ("project", "entry"),
    Table.FEATURES: ("project", "item"),
    Table.LINEAGE: ("node", "item"),
    Table.EXPERIMENTS: ("project", "item"),
    Table.ASSIGNMENTS: ("project", "entity"),
    Table.MONITORING: ("project", "item"),
}


@dataclass(frozen=True)
class Absent:
    """The item must not exist yet."""


@dataclass(frozen=True)
class Exists:
    """The item must exist."""


@dataclass(frozen=True)
class Equals:
    """An attribute of the item must have this value; ``None`` means the attribute is absent."""

    attribute: str
    value: Any


@dataclass(frozen=True)
class OneOf:
    """An attribute of the item must have one of these values."""

    attribute: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class AbsentOrBelow:
    """The item or the attribute is absent, or the attribute is a number below ``limit``."""

    attribute: str
    limit: float


Condition = Absent | Exists | Equals | OneOf | AbsentOrBelow


@dataclass(frozen=True)
class Put:
    """Write a whole item; ``item`` holds its key."""

    table: Table
    item: Mapping[str, Any]
    expect: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Update:
    """Set and remove attributes of an item, creating it where ``expect`` allows that."""

    table: Table
    key: Mapping[str, str]
    set: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    expect: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Delete:
    """Remove an item; removing what is not there is no error unless ``expect`` says so."""

    table: Table
    key: Mapping[str, str]
    expect: tuple[Condition, ...] = ()


Change = Put | Update | Delete


class StateStore(Protocol):
    """Small records with conditional and transactional writes.

    Values are JSON: None, bool, int, float, str, lists and maps of them. Numbers come back
    as int where they are whole and were written as int, else float.
    """

    def get(self, table: Table, key: Mapping[str, str]) -> Item | None:
        """Return an item by strongly consistent read, or None."""
        ...

    def query(
        self,
        table: Table,
        partition: str,
        *,
        prefix: str = "",
        newest_first: bool = False,
        limit: int | None = None,
        fields: tuple[str, ...] = (),
    ) -> list[Item]:
        """Return items of a partition whose sort key starts with ``prefix``, in key order.

        Args:
            table: Where.
            partition: Value of the partition key.
            prefix: With which sort keys begin.
            newest_first: In falling order.
            limit: At most so many.
            fields: What is asked of each item, all of it by default.
        """
        ...

    def scan(self, table: Table) -> Iterator[Item]:
        """Yield all items of a table that is known to be small."""
        ...

    def commit(self, changes: Sequence[Change], events: Sequence[Event] = ()) -> None:
        """Write all changes and an outbox item per event in one transaction, or nothing.

        Args:
            changes: At most one per item.
            events: Published from the outbox; changes and events are 100 together at most.

        Raises:
            ConflictError: A condition did not hold; the message names the change.
            RejectedError: An item is above 400 KB, an event above 64 KB, a number beyond what
                the store can hold, or the limits of ``changes`` are broken.
            ThrottledError: Other transactions on the same items kept winning.
        """
        ...


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of a stored object without reading it."""

    bucket: str
    key: str
    size: int
    version_id: str | None
    sha256: str | None


class ObjectStore(Protocol):
    """Objects in S3. A ``uri`` is ``s3://bucket/key``."""

    def describe(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo | None:
        """Return an object's info, or None where there is none; sha256 is lower-case hex."""
        ...

    def sha256(self, bucket: str, key: str, version_id: str | None = None) -> str:
        """Return the SHA-256 of the object's bytes, streaming them if S3 does not know it."""
        ...

    def read(self, uri: str, version_id: str | None = None) -> bytes:
        """Return an object's bytes, of its newest version by default.

        Raises:
            EvidenceIncompleteError: There is no such object or version.
        """
        ...

    def download(self, bucket: str, key: str, path: str, version_id: str | None = None) -> None:
        """Write an object's bytes to a local file."""
        ...

    def upload(
        self,
        path: str,
        uri: str,
        content_type: str = "application/octet-stream",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Store a local file, with tags that rules of the bucket may ask for; return its SHA-256.

        Large ones go in parts.
        """
        ...

    def write(
        self,
        uri: str,
        content: bytes,
        content_type: str = "application/json",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Store bytes, with tags that rules of the bucket may ask for; return their SHA-256."""
        ...

    def write_once(self, uri: str, content: bytes, content_type: str = "application/json") -> bool:
        """Store bytes where there is nothing yet; return whether they were stored."""
        ...

    def open(self, uri: str) -> BinaryIO:
        """Return a readable stream of an object."""
        ...

    def copy(
        self,
        source_uri: str,
        target_uri: str,
        version_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Copy an object within S3; with ``tags`` the copy bears these and none of its source."""
        ...

    def list(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Yield the objects below a prefix, in key order."""
        ...

    def versions(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Yield every version of the objects below a prefix, those of deleted ones too.

        Markers of deletions, which hold nothing, are left out.
        """
        ...

    def remove(self, bucket: str, key: str, version_id: str) -> None:
        """Remove one version for good; what is gone is fine."""
        ...


@dataclass(frozen=True)
class ExecutionState:
    """How an execution is.

    Attributes:
        status: RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE.
        error: Of one that failed or was aborted, where it has one.
        cause: The same.
    """

    status: str
    error: str = ""
    cause: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens in it by itself."""
        return self.status not in ("RUNNING", "PENDING_REDRIVE")


class Workflows(Protocol):
    """State machines."""

    def start(self, machine: str, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution and return its ARN; the same name and payload start nothing new.

        Raises:
            ConflictError: The name was used for another payload or by an ended execution.
        """
        ...

    def status(self, execution_arn: str) -> str:
        """Return RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE."""
        ...

    def find(self, execution_arn: str) -> ExecutionState | None:
        """Return how an execution is, None where there is none: AWS forgets after 90 days.

        Raises:
            AccessDeniedError: The caller may not look.
            ThrottledError: Step Functions asks to try again.
        """
        ...

    def is_redrivable(self, execution_arn: str) -> bool:
        """Return whether AWS would run the execution on: it failed, within the last 14 days."""
        ...

    def redrive(self, execution_arn: str) -> None:
        """Run an execution on from the state that did not succeed, with that state's input.

        Raises:
            ConflictError: It runs, has succeeded, or failed too long ago.
        """
        ...

    def stop(self, execution_arn: str, error: str, cause: str) -> None:
        """Abort an execution and what it is waiting for; one that has ended stays as it is."""
        ...


class Schedules(Protocol):
    """Schedules of EventBridge Scheduler in a group of the stack, all for one function."""

    def create_once(self, name: str, *, at: datetime, payload: Mapping[str, Any]) -> None:
        """Send ``payload`` at a moment, to the second; the schedule is gone afterwards.

        A schedule of that name is brought in line.

        Raises:
            RejectedError: The name is none that Scheduler takes.
            ThrottledError: Scheduler asks to try again.
        """
        ...

    def create(self, name: str, *, every_s: int, payload: Mapping[str, Any]) -> None:
        """Send ``payload`` every ``every_s`` seconds from now on, whole minutes.

        A schedule of that name is brought in line, and one that is so already stays as it is;
        one that a person has disabled stays disabled. Texts of ``payload`` may hold
        Scheduler's own attributes, such as ``<aws.scheduler.execution-id>``.

        Raises:
            RejectedError: The name or the interval is none that Scheduler takes.
            AccessDeniedError: The caller may not create it or pass its role.
            ThrottledError: Scheduler asks to try again.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove a schedule; what is gone is fine."""
        ...

    def is_enabled(self, name: str) -> bool | None:
        """Return whether a schedule fires, None where there is none."""
        ...


class ModelRegistry(Protocol):
    """SageMaker Model Registry."""

    def create_version(self, request: Mapping[str, Any]) -> tuple[str, int]:
        """Create a model package, pending; return its ARN and version number."""
        ...

    def set_status(self, arn: str, status: str, description: str) -> None:
        """Set ``ModelApprovalStatus``."""
        ...

    def set_labels(
        self, arn: str, stage: str, status: str, properties: Mapping[str, str], gone: Sequence[str]
    ) -> None:
        """Set ``ModelLifeCycle``, set some ``CustomerMetadataProperties`` and remove others."""
        ...

    def describe(self, arn: str) -> Mapping[str, Any]:
        """Return the package as SageMaker describes it."""
        ...

    def versions(self, group: str, status: str | None = None) -> Iterable[tuple[str, int]]:
        """Yield ARN and version number of a group's packages, newest first.

        Args:
            group: Model package group; one that does not exist has no packages.
            status: Only packages of this ``ModelApprovalStatus``.
        """
        ...

    def set_card(self, arn: str, content: str, status: str) -> None:
        """Set the package's own model card and its status.

        Raises:
            RejectedError: The content does not fit the package card's schema.
        """
        ...


@dataclass(frozen=True)
class StoredCard:
    """A model card as SageMaker keeps it: its newest version."""

    content: str
    status: str
    version: int


class ModelCards(Protocol):
    """SageMaker Model Cards."""

    def find(self, name: str) -> StoredCard | None:
        """Return a card's newest version, None where there is none of this name."""
        ...

    def create(self, name: str, content: str, status: str) -> None:
        """Create a card.

        Raises:
            ConflictError: There is one of this name.
            RejectedError: The content does not fit the schema.
        """
        ...

    def set_content(self, name: str, content: str) -> None:
        """Make a new version with other content."""
        ...

    def set_status(self, name: str, status: str) -> None:
        """Set the status of the newest version; that makes no new one."""
        ...


@dataclass(frozen=True)
class PrintRequest:
    """A card that is to become a PDF.

    Attributes:
        name: Of the job; what is to be printed decides it, so that asking twice is one job.
        card_name: In SageMaker Model Cards.
        status: Of the card.
        source_uri: Folder of ``card.json``, for who reads it from there.
        target_uri: Folder of the PDF.
        tags: Of the job, where it takes tags.
    """

    name: str
    card_name: str
    status: str
    source_uri: str
    target_uri: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Printing:
    """A PDF that is made.

    Attributes:
        status: ``InProgress``, ``Completed`` or ``Failed``.
        uri: Of the PDF, once it is there.
        reason: Why it failed.
    """

    status: str
    uri: str = ""
    reason: str = ""


class CardPrinter(Protocol):
    """Who makes PDFs of cards, in the background."""

    def find(self, request: PrintRequest) -> Printing | None:
        """Return what became of a job, None where there is none of its name."""
        ...

    def start(self, request: PrintRequest) -> None:
        """Start a job; one of that name is the same job.

        Raises:
            JobImageMissingError: The job image was never built.
            RejectedError: SageMaker refuses the job.
            ThrottledError: SageMaker asks to try again.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered."""

    body: bytes
    content_type: str
    variant: str | None = None


class Endpoints(Protocol):
    """Inference endpoints."""

    def invoke(
        self, endpoint: str, body: bytes, *, content_type: str, accept: str, timeout_s: float
    ) -> Answer:
        """Ask an endpoint once, without retries.

        Raises:
            RejectedError: The container answered 4xx; the message is the container's.
            DependencyError: The container failed, timed out or is throttled.
        """
        ...

    def status(self, endpoint: str) -> str | None:
        """Return ``EndpointStatus``, or None where there is no such endpoint."""
        ...

    def delete(self, endpoint: str, parts: str | None = None) -> None:
        """Delete the endpoint with its configuration and model; what is gone is fine.

        A configuration that does not bear the endpoint's name is another's and stays.

        Args:
            endpoint: Name of the endpoint.
            parts: Name of a configuration and model to delete even where the endpoint was
                never made from them.

        Raises:
            DependencyError: The endpoint is being created or updated; try again later.
        """
        ...


@dataclass(frozen=True)
class ListedEndpoint:
    """An endpoint in a list: its name, status and when it was created."""

    name: str
    status: str
    created_at: datetime


class Hosting(Protocol):
    """Endpoints, configurations and models in SageMaker's own shapes, and what changes them.

    Every method raises ``ThrottledError`` where SageMaker asks to try again,
    ``DependencyError`` where the endpoint is being changed, and ``AccessDeniedError``.
    """

    def describe(self, endpoint: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeEndpoint`` says, None where there is no such endpoint."""
        ...

    def config(self, name: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeEndpointConfig`` says, None where there is none."""
        ...

    def model(self, name: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeModel`` says, None where there is none."""
        ...

    def listed(self, contains: str) -> Iterable[ListedEndpoint]:
        """Yield the endpoints whose name contains a text."""
        ...

    def ensure(self, models: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        """Create the models and the configuration that are not there; leave those that are.

        Args:
            models: Requests of ``CreateModel``.
            config: Request of ``CreateEndpointConfig``.
        """
        ...

    def create(self, request: Mapping[str, Any]) -> None:
        """Create an endpoint by a request of ``CreateEndpoint``.

        Raises:
            ConflictError: There is one of that name.
        """
        ...

    def update(self, endpoint: str, config: str) -> None:
        """Put an endpoint on a configuration; SageMaker does it after it has answered."""
        ...

    def set_variants(self, endpoint: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Set weights and capacities, each a ``DesiredWeightAndCapacity``."""
        ...

    def remove(self, endpoint: str) -> None:
        """Delete an endpoint and leave its configuration and models; what is gone is fine."""
        ...

    def remove_model(self, name: str) -> None:
        """Delete a model; what is gone is fine."""
        ...

    def stop_transforms(self, begins: str) -> None:
        """Stop the transform jobs under way whose name begins so; what has ended is fine."""
        ...


class ProjectResources(Protocol):
    """What stands outside the tables and bears a project's name."""

    def names(self, kind: Kind, search: str) -> Iterable[str]:
        """Yield names that contain a text; ``GROUP/NAME`` of schedules that begin with it."""
        ...

    def delete(self, kind: Kind, name: str) -> Literal["deleted", "gone", "moving"]:
        """Delete one; return whether that was done, or it was gone, or cannot be done yet."""
        ...


class FeatureRecords(Protocol):
    """Records of SageMaker Feature Store, by SageMaker's names and as texts."""

    def read(self, group: str, entities: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the record of each entity that has one.

        Raises:
            FeatureGroupNotFoundError: SageMaker has no such group.
            DependencyError: Some could not be read after the retries.
        """
        ...

    def write(self, group: str, records: Sequence[Mapping[str, str]]) -> None:
        """Put records, in any order; one that is not later than what is there changes nothing.

        What was written before an error stays written.

        Raises:
            FeatureGroupNotFoundError: SageMaker has no such group.
            RejectedError: SageMaker refuses a record.
            RetryableError: Some could not be written after the retries.
        """
        ...


@dataclass(frozen=True)
class RoleCounts:
    """Answers of one role of a project in a time, before any fallback.

    Attributes:
        units: Entities at their first exposure in a step, as far as an execution environment
            of the gateway knows; ``unit_errors`` of them were failed, ``unit_slow`` slow.
    """

    requests: int
    errors: int
    slow: int
    units: int = 0
    unit_errors: int = 0
    unit_slow: int = 0


class TrafficMetrics(Protocol):
    """What was counted of the answers of a project's versions."""

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        """Return the answers of ``stable``, ``candidate`` or ``shadow`` in ``[since, until)``.

        The resolution is a second within the last three hours, a minute within 15 days, then
        five minutes, after 63 days an hour; the time begins with the next of these.
        """
        ...


class EndpointMetrics(Protocol):
    """What SageMaker has counted."""

    def invocations(
        self, endpoint: str, variants: Sequence[str], since: datetime, until: datetime
    ) -> int:
        """Return the requests to an endpoint in ``[since, until)``, failed ones included.

        Where CloudWatch has nothing there were none: SageMaker writes down what it is asked.
        """
        ...


@dataclass(frozen=True)
class Routed:
    """How far traffic follows a project's route.

    Attributes:
        done: Whether it flows as the route says, and nothing has changed the route meanwhile.
        route_version: Of the route that was looked at; 0 where there is none.
        detail: What is waited for.
    """

    done: bool
    route_version: int = 0
    detail: str = ""


class TrafficRouter(Protocol):
    """Who shares a project's requests between its versions, as its route says.

    The conditional write of the route is the decision and the record of every shift. A router
    makes the route of that moment true, whoever wrote it, so that a late call of an earlier shift
    cannot undo a rollback.
    """

    def apply(self, project: str) -> Routed:
        """Look once, and do what is missing for traffic to flow as the route says.

        It is called again until ``done``; no call waits.

        Raises:
            EndpointFailedError: SageMaker cannot do it; the message has its reason.
        """
        ...

    def shares(self, project: str) -> dict[int, float]:
        """Return percent of the requests by version as they are shared now."""
        ...

    def tidy(self, project: str, in_flight: Callable[[], bool]) -> Routed:
        """Look once, and do what is missing for nothing to run or be left that no route needs.

        Nothing that is in use is removed.

        Args:
            project: Whose.
            in_flight: Whether a release of the project runs now; then nothing is done.
        """
        ...


class VariantFleets(Protocol):
    """Endpoints with several production variants."""

    def fleet(self, endpoint: str) -> Fleet | None:
        """Return an endpoint as it is, None where there is none."""
        ...


@dataclass(frozen=True)
class RecordKey:
    """One entity's record of one feature group.

    Attributes:
        group: SageMaker's name of the feature group.
        entity: The record identifier.
    """

    group: str
    entity: str


class OnlineFeatures(Protocol):
    """The online store of SageMaker Feature Store, read."""

    def read(self, keys: Sequence[RecordKey]) -> dict[RecordKey, dict[str, str]]:
        """Return the newest record of each key as feature values by name.

        What has no record, a deleted or an expired one, is left out. All or nothing: a record
        that could not be read is never taken for one that is not there.

        Raises:
            DependencyError: A record could not be read after the retries, or a group is not
                there.
            AccessDeniedError: The role may not read a group.
        """
        ...


class MirrorQueue(Protocol):
    """Copies of requests, on their way to a shadow version."""

    def send(self, copy: str) -> None:
        """Leave a copy, tried once and within a short time.

        Raises:
            RejectedError: It is longer than a message may be.
            StewardError: The queue did not take it.
        """
        ...


class WebhookQueue(Protocol):
    """Messages on their way to other systems."""

    def send(self, message: str) -> None:
        """Leave a message.

        Raises:
            RejectedError: It is longer than a message may be.
        """
        ...

    def postpone(self, receipt: str, seconds: int) -> None:
        """Let a message that was received be seen again after so many seconds."""
        ...


class WebhookSender(Protocol):
    """HTTP to systems that we do not know."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post once and return the status; redirects are not followed.

        Raises:
            RejectedError: The host has an address that is not public.
            DependencyError: It cannot be reached, or does not answer in time.
        """
        ...


class SourceRepositories(Protocol):
    """Git repositories of CodeCommit."""

    def files(self, repository: str, commit_id: str) -> Files:
        """Return all files of a commit.

        Raises:
            CommitNotFoundError: There is no such repository or commit.
            ArchiveRefusedError: It holds a link or a submodule, or too much.
        """
        ...

    def head(self, repository: str, branch: str) -> str | None:
        """Return the commit that a branch is at, None where there is no such branch."""
        ...

    def comment(self, repository: str, before: str | None, after: str, text: str) -> None:
        """Comment on a commit; the same text on the same commit is said once."""
        ...


class SourceDownloads(Protocol):
    """Archives behind HTTPS."""

    def fetch(
        self, url: str, *, hosts: Collection[str], headers: Mapping[str, str], limit: int
    ) -> BinaryIO:
        """Return a file with an archive's bytes, written while it streams.

        Redirects lead to ``hosts`` alone, and ``headers`` go to the first host alone.

        Raises:
            CommitNotFoundError: The host says that there is no such thing.
            SourceRefusedError: Another host, a larger archive, or an answer that is none.
            DependencyError: It cannot be reached, or asks to come again.
        """
        ...


class Secrets(Protocol):
    """Secrets Manager."""

    def create(self, name: str, text: str) -> None:
        """Keep a secret."""
        ...

    def read(self, name: str) -> str:
        """Return a secret's text."""
        ...

    def delete(self, name: str) -> None:
        """Remove a secret at once; what is gone is fine."""
        ...


class FeatureReader(Protocol):
    """``data/read_features``, asked from another function."""

    def read(self, command: ReadFeatures, *, timeout_s: float) -> FeaturesRead:
        """Return feature values; asked once, without retries.

        Raises:
            RejectedError: A key or a value of the request is wrong; ``field`` names it.
            DependencyError: The function failed, timed out or is throttled.
        """
        ...


class Alarms(Protocol):
    """CloudWatch alarms."""

    def states(self, names: Sequence[str]) -> dict[str, str]:
        """Return OK, ALARM or INSUFFICIENT_DATA by alarm name; missing alarms are left out."""
        ...


@dataclass(frozen=True)
class WaitingApproval:
    """An approval action of a pipeline that waits for an answer."""

    pipeline: str
    stage: str
    action: str
    token: str


class Pipelines(Protocol):
    """Jobs and approvals of CodePipeline. Each answer is False where nothing waits for it any more.

    Every method raises ``ThrottledError``, ``DependencyError`` and ``AccessDeniedError``.
    """

    def succeed(self, job_id: str, variables: Mapping[str, str], summary: str) -> bool:
        """End a job's action as succeeded, with its output variables."""
        ...

    def go_on(self, job_id: str, token: str, summary: str) -> bool:
        """Say that the action goes on; the next job of it carries ``token``."""
        ...

    def fail(self, job_id: str, kind: str, message: str) -> bool:
        """End a job's action as failed."""
        ...

    def waiting(self, pipeline: str, execution_id: str) -> WaitingApproval | None:
        """Return the approval that this execution of a pipeline waits for."""
        ...

    def answer(self, approval: WaitingApproval, approved: bool, summary: str) -> bool:
        """Answer an approval action."""
        ...


class AlarmSettings(Protocol):
    """What metric alarms look at."""

    def put(self, alarm: Mapping[str, Any]) -> None:
        """Let an alarm look at something else from now on; ``alarm`` is a ``PutMetricAlarm``."""
        ...


class Mail(Protocol):
    """Mail to people by role."""

    def send(self, role: str, subject: str, body: str) -> None:
        """Publish to the topic of ``approver``, ``on_call`` or ``owner``.

        ``subject`` becomes one line of ASCII, shorter than SNS's 100 characters.

        Raises:
            RejectedError: No topic is known for the role.
        """
        ...


class FailureQueue(Protocol):
    """Where a consumer leaves what no retry can mend."""

    def send(
        self,
        payload: object,
        reason: Mapping[str, Any],
        *,
        request_id: str = "",
        function_arn: str = "",
    ) -> None:
        """Keep what was refused with the reason, in the shape of a Lambda destination record."""
        ...


class JobImage(Protocol):
    """The one image of all jobs and endpoints."""

    def uri(self) -> str:
        """Return ``repository@sha256:...``.

        Raises:
            JobImageMissingError: The image was never built.
        """
        ...


@dataclass(frozen=True)
class JobRecord:
    """What an ended SageMaker job used.

    Attributes:
        instance_type: Such as ``ml.m5.large``.
        instance_count: Instances that ran side by side.
        seconds: Billable seconds of each instance; 0 where the job never got one.
        worked_s: Seconds that it trained, of a job on spare capacity; None of any other.
    """

    instance_type: str
    instance_count: int
    seconds: float
    worked_s: float | None = None


@dataclass(frozen=True)
class FunctionUse:
    """What a state machine's tasks used of one Lambda function.

    Attributes:
        function: Name or ARN as the machine calls it.
        memory_mb: Configured memory.
        calls: Invocations, retries included.
        seconds: Sum of their durations as Step Functions saw them, at least what Lambda bills.
    """

    function: str
    memory_mb: int
    calls: int
    seconds: float


@dataclass(frozen=True)
class QueryUse:
    """One query of Athena in an execution.

    Attributes:
        state: SUCCEEDED, FAILED or CANCELLED; TIMED_OUT where the machine did not wait for it.
        is_ddl: Whether it changed the catalogue and read nothing.
        scanned_bytes: None where the history does not say.
    """

    state: str
    is_ddl: bool
    scanned_bytes: int | None


@dataclass(frozen=True)
class ExecutionRecord:
    """What an ended execution used; ``transitions`` counts states entered, retries included."""

    transitions: int
    functions: tuple[FunctionUse, ...] = ()
    queries: tuple[QueryUse, ...] = ()


class JobRecords(Protocol):
    """What ended jobs and executions used, as AWS's own records say."""

    def training_job(self, name: str) -> JobRecord:
        """Return what a training job used.

        Raises:
            RejectedError: There is no such job.
        """
        ...

    def processing_job(self, name: str) -> JobRecord:
        """Return what a processing job used.

        Raises:
            RejectedError: There is no such job.
        """
        ...

    def transform_job(self, name: str) -> JobRecord:
        """Return what a transform job used.

        Raises:
            RejectedError: There is no such job.
        """
        ...

    def execution(self, arn: str) -> ExecutionRecord:
        """Return what a state machine's execution used.

        Raises:
            RejectedError: There is no such execution.
        """
        ...


@dataclass(frozen=True)
class FinishedJob:
    """A SageMaker job that completed.

    Attributes:
        name: Its name; of a search, that of the best training job.
        run_id: The run that it was for, as its tag says.
        output_uri: The model's archive, or the prefix that a processing job wrote.
        seconds: Billable seconds; None for a search, whose jobs are many.
        tuned: The hyperparameters that a search chose.
    """

    name: str
    run_id: str
    output_uri: str
    seconds: float | None = None
    tuned: Mapping[str, str] = field(default_factory=dict)


JobKind = Literal["training", "tuning", "evaluation"]


class FinishedJobs(Protocol):
    """Completed jobs that carried a step out, by the step's key in their tags."""

    def find(self, kind: JobKind, contains: str, step_key: str) -> FinishedJob | None:
        """Return the newest completed job with this tag whose name holds a text."""
        ...


class LineageBackend(Protocol):
    """Anybody who takes OpenLineage events."""

    def send(self, event: bytes) -> None:
        """Hand over one event as JSON.

        Raises:
            RejectedError: The backend will never take it.
            AccessDeniedError: It does not take it from us.
            DependencyError: It is not there or failed, several times in a row.
        """
        ...


class LineageTracking(Protocol):
    """SageMaker's own lineage: artifacts, actions, contexts and their associations."""

    def ensure(self, entity: Entity) -> str:
        """Return the ARN of an entity, made if it is not there."""
        ...

    def associate(self, source_arn: str, destination_arn: str, association: str) -> None:
        """Connect two entities; what is connected already stays as it is."""
        ...


@dataclass(frozen=True)
class KeptRecord:
    """A record as the ledger's table holds it.

    Attributes:
        seq: Number in its key; the record states one of its own.
        text: Canonical JSON of the record, as it was written.
    """

    seq: int
    text: str


class Ledger(Protocol):
    """The ledger's table: items are written once, each record with its event's marker."""

    def projects(self) -> list[str]:
        """Return whose ledgers there are."""
        ...

    def last(self, project: str) -> KeptRecord | None:
        """Return the newest record by strongly consistent read."""
        ...

    def records(
        self, project: str, *, after: int = 0, newest_first: bool = False
    ) -> Iterator[KeptRecord]:
        """Yield the records of a project numbered above ``after``."""
        ...

    def known(self, project: str, event_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of the record by event id, of those that are recorded."""
        ...

    def append(self, project: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records behind the last one with their markers in one transaction, or nothing.

        Raises:
            ConflictError: Another writer was first, or one of the events is recorded already.
            ThrottledError: Other transactions on the same items kept winning.
        """
        ...


class FactQueue(Protocol):
    """The FIFO queue in front of the ledger's one writer."""

    def send(self, project: str, event_id: str, text: str) -> None:
        """Leave a fact in its project's order; the same event within five minutes is one."""
        ...


class SealingKey(Protocol):
    """The RSA key that signs heads; the private half never leaves KMS."""

    def sign(self, content: bytes) -> bytes:
        """Return the RSASSA_PKCS1_V1_5_SHA_256 signature over ``content``."""
        ...

    def public_der(self) -> bytes:
        """Return the public half as DER of SubjectPublicKeyInfo."""
        ...


class ApiCalls(Protocol):
    """What CloudTrail has recorded of the account's management calls."""

    def lookup(
        self, event_names: Sequence[str], since: datetime, until: datetime
    ) -> Iterator[dict[str, Any]]:
        """Yield recorded calls of these names, each the ``detail`` that EventBridge would give."""
        ...
