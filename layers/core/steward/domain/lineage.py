"""Lineage: what was made of what, as a graph that any order of the same facts makes the same.

A node has a name that says what it is: ``s3://bucket/key?versionId=...``,
``delivery:<project>/<id>``, ``features:<project>/<group>/v<N>``, ``dataset:<project>/<id>``,
``run:<project>/<run id>``, ``version:<project>/<n>``, ``release:<project>/<release id>``,
``endpoint:<name>``, ``predictions:<project>/v<n>/<yyyy>/<mm>/<dd>/<hh>`` and, of a batch,
``predictions:<project>/v<n>/batch/<batch id>``.

Two kinds of facts make the graph. Facts about a node are only ever added; its attributes at a
time are their fold in order of time. An edge keeps the earliest and the latest time at which it
was reported. Adding a fact again changes nothing, and neither does another order of facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError
from steward.domain.names import endpoint_name

Direction = Literal["up", "down"]

KINDS = (
    "object", "delivery", "features", "dataset", "run", "version", "release", "endpoint",
    "predictions",
)  # fmt: skip
"""Kinds of nodes, in the order in which a model's life makes them."""

_PREFIXES = {kind: f"{kind}:" for kind in KINDS} | {"object": "s3://"}


def object_node(bucket: str, key: str, version_id: str | None = None) -> str:
    """Return the node of an object, of exactly one version of it where the bucket keeps them."""
    version = f"?versionId={version_id}" if version_id else ""
    return f"s3://{bucket}/{key}{version}"


def delivery_node(project: str, delivery_id: str) -> str:
    """Return the node of a delivery."""
    return f"delivery:{project}/{delivery_id}"


def features_node(project: str, group_version: str) -> str:
    """Return the node of a feature group version, given as ``<group>/v<N>``."""
    return f"features:{project}/{group_version}"


def dataset_node(project: str, dataset_id: str) -> str:
    """Return the node of a dataset."""
    return f"dataset:{project}/{dataset_id}"


def run_node(project: str, run_id: str) -> str:
    """Return the node of a training run."""
    return f"run:{project}/{run_id}"


def version_node(project: str, version: int) -> str:
    """Return the node of a model version."""
    return f"version:{project}/{version}"


def release_node(project: str, release_id: str) -> str:
    """Return the node of a release."""
    return f"release:{project}/{release_id}"


def endpoint_node(name: str) -> str:
    """Return the node of an endpoint."""
    return f"endpoint:{name}"


def production_endpoint(environment: str, project: str, version: int) -> str:
    """Return the node of the endpoint from which a version answers in production."""
    return endpoint_node(endpoint_name(environment, project, version, "prod"))


def predictions_node(project: str, version: int, hour: datetime) -> str:
    """Return the node of what a version answered within one hour (UTC)."""
    return f"predictions:{project}/v{version}/{hour.astimezone(UTC):%Y/%m/%d/%H}"


def batch_node(project: str, version: int, batch_id: str) -> str:
    """Return the node of what a version answered to one batch."""
    return f"predictions:{project}/v{version}/batch/{batch_id}"


def kind_of(node: str) -> str:
    """Return the kind of a node.

    Raises:
        RejectedError: The name is none of a node.
    """
    for kind, prefix in _PREFIXES.items():
        if node.startswith(prefix) and len(node) > len(prefix):
            return kind
    forms = ", ".join(f"{prefix}..." for prefix in _PREFIXES.values())
    raise RejectedError(f"{node!r} names no node", field="node", value=node, allowed=forms)


def project_of(node: str) -> str | None:
    """Return the project that a node's name tells, None for objects and endpoints."""
    if kind_of(node) in ("object", "endpoint"):
        return None
    return node.partition(":")[2].partition("/")[0]


def moment(time: str) -> str:
    """Return an ISO 8601 time in the one form that sorts as text: UTC, milliseconds, ``Z``.

    Raises:
        RejectedError: It is no time.
    """
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise RejectedError(
            f"{time!r} is no time",
            field="time",
            value=time,
            allowed="ISO 8601, such as 2026-01-05T09:00:00Z",
        ) from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return parsed.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class NodeFact:
    """What one event said of a node.

    Attributes:
        at: When, as ``moment`` writes it.
        what: Detail-type of the event.
        cause: What the event was a consequence of.
    """

    node: str
    at: str
    what: str
    cause: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return what tells facts of one node and time apart; the same fact has the same."""
        return digest_of([self.what, self.cause, dict(self.attributes)])[:12]


@dataclass(frozen=True)
class Report:
    """When an edge was reported and by what; reports are ordered by time, then by the rest."""

    at: str
    what: str
    cause: str

    @property
    def _order(self) -> tuple[str, str, str]:
        return self.at, self.what, self.cause

    def __lt__(self, other: Report) -> bool:
        return self._order < other._order


@dataclass(frozen=True)
class Edge:
    """``child`` was made of ``parent``, or by it; known from ``first`` on.

    Attributes:
        counts: Numbers by the name of what was counted, such as answers in an object.
    """

    parent: str
    child: str
    first: Report
    last: Report
    counts: Mapping[str, int] = field(default_factory=dict)

    def end(self, direction: Direction) -> str:
        """Return the node where the edge leads in a direction."""
        return self.child if direction == "down" else self.parent


def edge(parent: str, child: str, report: Report, counts: Mapping[str, int] | None = None) -> Edge:
    """Return an edge as one event reports it."""
    return Edge(parent, child, report, report, counts or {})


def merged(known: Edge | None, told: Edge) -> Edge:
    """Return what is known of an edge after it was told once more.

    Commutative, associative and idempotent: the order of events and their repetition do not
    matter. Counts that differ are of the same things counted at different times: the larger.
    """
    if known is None:
        return told
    counts = {
        name: max(known.counts.get(name, 0), told.counts.get(name, 0))
        for name in sorted({*known.counts, *told.counts})
    }
    first = min(known.first, told.first)
    last = max(known.last, told.last)
    return replace(known, first=first, last=last, counts=counts)


@dataclass(frozen=True)
class Shift:
    """The shares of versions of a project from a time on; a higher number is later."""

    project: str
    route_version: int
    at: str
    shares: Mapping[str, float]
    release_id: str


@dataclass(frozen=True)
class Facts:
    """All that one event tells."""

    nodes: tuple[NodeFact, ...] = ()
    edges: tuple[Edge, ...] = ()
    shifts: tuple[Shift, ...] = ()

    def names(self) -> list[str]:
        """Return the nodes that the facts are about, each once, sorted."""
        told = {fact.node for fact in self.nodes}
        told.update(name for edge in self.edges for name in (edge.parent, edge.child))
        return sorted(told)


_LIFE = (
    "DeliveryReceived", "DatasetRejected", "DatasetAccepted", "FeatureGroupVersioned",
    "FeaturesMaterialised", "FeatureGroupRetired", "TrainingStarted", "DatasetBuilt",
    "CandidateEvaluated", "CandidateHeld", "VersionRegistered", "TrainingFailed",
    "TrainingSucceeded", "VersionStaged", "ApprovalRequested", "VersionApproved",
    "VersionRejected", "ApprovalExpired", "ReleaseStarted", "TrafficShifted", "VersionPromoted",
    "ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed", "ReleaseNotPromoted",
    "BatchScored", "DeliveryDeleted", "BatchDeleted",
)  # fmt: skip
_RANKS = {what: rank for rank, what in enumerate(_LIFE)}


def attributes_at(facts: Iterable[NodeFact], as_of: str | None = None) -> dict[str, Any]:
    """Return a node's attributes as they were known at a time; the latest word on each counts.

    EventBridge's times are whole seconds: within one, the order of a model's life decides.

    Args:
        facts: Of one node, in any order.
        as_of: A ``moment``; None for all that is known.
    """
    known: dict[str, Any] = {}
    for fact in in_order(facts, as_of):
        known.update(fact.attributes)
    return known


def in_order(facts: Iterable[NodeFact], as_of: str | None = None) -> list[NodeFact]:
    """Return the facts of a node up to a time in the order in which they count, each once."""
    ordered = {
        (fact.at, _RANKS.get(fact.what, len(_LIFE)), fact.digest): fact
        for fact in facts
        if as_of is None or fact.at <= as_of
    }
    return [ordered[key] for key in sorted(ordered)]


def live_shares(shifts: Iterable[Shift], as_of: str | None = None) -> dict[int, float]:
    """Return the share of traffic in percent by version that answers at a time."""
    past = [shift for shift in shifts if as_of is None or shift.at <= as_of]
    if not past:
        return {}
    latest = max(past, key=lambda shift: shift.route_version)
    return {int(version): share for version, share in latest.shares.items() if share > 0}
