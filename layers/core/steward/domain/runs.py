"""Training runs: what a run is recognised by, and what a trigger leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from steward.domain import names
from steward.domain.digests import digest_of


class RunStatus(StrEnum):
    """Where a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    HELD = "held"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


_BESIDE = frozenset({"alarms", "batch", "budget", "integration"})
"""Sections that no run reads for what it makes; who reads them takes them as they are now."""

RETRYABLE = frozenset({RunStatus.FAILED, RunStatus.SUPERSEDED, RunStatus.REFUSED})
"""What did not come to a result; the same work may be tried again."""


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DELETED = "deleted"


UNUSABLE = frozenset({DeliveryStatus.REJECTED, DeliveryStatus.DELETED})
"""What no run takes."""


def training_digest(config: Mapping[str, Any]) -> str:
    """Return the digest of what a configuration declares of a run and of the data it judges.

    Another schedule of batches, alarm or budget makes no other version: it is left out, as is
    of ``monitoring`` all but the unit in which evaluations count.
    """
    told = {name: value for name, value in config.items() if name not in _BESIDE}
    told["monitoring"] = {"unit": (config.get("monitoring") or {}).get("unit")}
    return digest_of(told)


@dataclass(frozen=True)
class Work:
    """Everything that decides what a run would produce.

    Attributes:
        project: Project name.
        deliveries: Ids of the accepted and the pending deliveries.
        training_digest: Of what the project declares of a run.
        code_digest: SHA-256 of the code archive.
        image: Job image with its digest; empty where none was ever built.
        feature_views: Versions of feature groups that are joined, as ``<group>/v<N>``.
        feature_deliveries: Ids of the deliveries of other tables that those are made of.
    """

    project: str
    deliveries: frozenset[str]
    training_digest: str
    code_digest: str
    image: str
    feature_views: tuple[str, ...] = ()
    feature_deliveries: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The run key: the same work has the same key, whoever asks and whenever."""
        return digest_of(
            {
                "project": self.project,
                "deliveries": sorted(self.deliveries),
                "config_digest": self.training_digest,
                "code_digest": self.code_digest,
                "image": self.image,
                "feature_views": list(self.feature_views),
                "feature_deliveries": sorted(self.feature_deliveries),
            }
        )

    def on(self, deliveries: Iterable[str]) -> Work:
        """Return the same work on other deliveries."""
        return replace(self, deliveries=frozenset(deliveries))


@dataclass(frozen=True)
class Head:
    """The latest attempt at a run key."""

    run_id: str
    attempt: int
    status: RunStatus


@dataclass(frozen=True)
class Lease:
    """The training lock of a project as it is read."""

    owner: str
    expires_at: float
    waiting: str | None = None

    def held(self, now_s: float) -> bool:
        """Return whether the owner still counts at this time."""
        return self.expires_at >= now_s


@dataclass(frozen=True)
class Start:
    """Begin this run now.

    Attributes:
        superseded: A waiting run of other work whose place it takes.
    """

    run_id: str
    attempt: int
    superseded: str | None


@dataclass(frozen=True)
class Queue:
    """Let this run wait behind ``behind``; of waiting runs the latest wins."""

    run_id: str
    attempt: int
    behind: str
    superseded: str | None


@dataclass(frozen=True)
class Suppress:
    """Do nothing: ``run_id`` is doing, has done or will do the same work."""

    run_id: str
    status: RunStatus
    reason: str


Decision = Start | Queue | Suppress

_REASONS = {
    RunStatus.RUNNING: "the same data, configuration, code and image are being trained",
    RunStatus.WAITING: "the same data, configuration, code and image wait for their turn",
    RunStatus.SUCCEEDED: "the same data, configuration, code and image have been trained",
    RunStatus.HELD: "the same data, configuration, code and image were held by the gate",
}


def decide(key: str, head: Head | None, lease: Lease | None, now_s: float) -> Decision:
    """Return what to do about work that somebody asks for.

    What is running, succeeded or held is suppressed. What failed or was superseded is tried
    again as the next attempt. A waiting run is suppressed too, unless nobody holds the lock any
    more: then it begins. One run holds the lock; the newest of all others waits.

    Args:
        key: Run key of the work.
        head: The latest attempt at it.
        lease: The project's training lock, None where it is free.
        now_s: Seconds since the epoch.
    """
    held = lease is not None and lease.held(now_s)
    waits_in_vain = head is not None and head.status is RunStatus.WAITING and not held
    if head is not None and head.status not in RETRYABLE and not waits_in_vain:
        return Suppress(head.run_id, head.status, _REASONS[head.status])
    attempt = 1 if head is None else head.attempt + (0 if waits_in_vain else 1)
    run_id = names.run_id(key, attempt)
    waiting = lease.waiting if lease else None
    superseded = waiting if waiting != run_id else None
    if lease is not None and held:
        return Queue(run_id, attempt, lease.owner, superseded)
    return Start(run_id, attempt, superseded)


def head_item(key: str) -> str:
    """Return the sort key of a run key's head item."""
    return f"key#{key}"


def suppressed_item(time: str, event_id: str) -> str:
    """Return the sort key of a suppressed trigger, ordered by time."""
    return f"suppressed#{time}#{event_id}"


def execution_arn(machine_arn: str, run_id: str) -> str:
    """Return the ARN that the execution of a run has, known before it starts."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"


_JOB_ORDER = {"InProgress": 0, "Stopping": 1, "Completed": 2, "Failed": 2, "Stopped": 2}


def job_moved_on(known: str | None, reported: str) -> bool:
    """Return whether a reported job status is news: events repeat and overtake each other."""
    if known is None:
        return True
    return _JOB_ORDER.get(reported, 0) > _JOB_ORDER.get(known, 0)
