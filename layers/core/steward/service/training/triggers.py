"""What asks for a run: an AWS event or one of ours, reduced to a trigger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steward.contracts.events import RetrainingRequested
from steward.contracts.incoming import ObjectCreated, Received, Scheduled
from steward.domain.errors import MalformedEventError
from steward.domain.names import delivery_of_key

TriggerKind = Literal["delivery", "request", "schedule", "commit", "drift", "performance", "bias"]


@dataclass(frozen=True)
class DeliveredObject:
    """The object of a delivery."""

    bucket: str
    key: str
    version_id: str | None
    size: int

    @property
    def path(self) -> str:
        """The key below ``deliveries/<project>/``."""
        return self.key.split("/", 2)[2]


@dataclass(frozen=True)
class Trigger:
    """Why a run is asked for.

    Attributes:
        event_id: Id of the event; its retry by AWS has the same one.
        actor: Identity of the person or service behind it.
        cause: A sentence for people.
        attempt: Of retraining by monitoring; it follows what becomes of the run.
        use_cache: Whether the run may reuse steps; without, it runs although it has run before.
    """

    kind: TriggerKind
    project: str
    event_id: str
    actor: str
    cause: str
    delivery: DeliveredObject | None = None
    attempt: str | None = None
    use_cache: bool = True


@dataclass(frozen=True)
class Ignored:
    """An event that rightly leads to nothing, and why."""

    reason: str


def trigger_of(received: Received, *, data_bucket: str) -> Trigger | Ignored:
    """Return what an event asks for; whether the project exists is not judged here.

    Raises:
        MalformedEventError: A schedule that names no project.
    """
    match received.detail:
        case ObjectCreated() as created:
            return _delivery(received, created, data_bucket)
        case Scheduled(project=project):
            if not project:
                raise MalformedEventError(
                    "the schedule names no project", field="detail.project",
                    allowed="the name of a configured project",
                )  # fmt: skip
            return Trigger("schedule", project, received.id, "schedule", "the schedule is due")
        case RetrainingRequested() as asked:
            return Trigger(
                _kind_of(asked.kind), received.own.project, received.id, received.own.actor,
                asked.cause, attempt=asked.attempt,
            )  # fmt: skip
    if received.meta is None or received.detail_type != "TrainingRequested":
        raise MalformedEventError(
            f"{received.detail_type!r} asks for no run", field="detail-type",
            value=received.detail_type, allowed="TrainingRequested",
        )  # fmt: skip
    meta = received.meta
    return Trigger(
        "request", meta.project, received.id, meta.actor, received.detail.reason,
        use_cache=received.detail.use_cache,
    )  # fmt: skip


def _kind_of(kind: str) -> TriggerKind:
    known: dict[str, TriggerKind] = {
        "drift": "drift", "performance": "performance", "bias": "bias", "schedule": "schedule",
    }  # fmt: skip
    if kind not in known:
        raise MalformedEventError(
            f"{kind!r} asks for no run", field="detail.data.kind", value=kind,
            allowed=", ".join(known),
        )  # fmt: skip
    return known[kind]


def _delivery(received: Received, created: ObjectCreated, data_bucket: str) -> Trigger | Ignored:
    bucket, stored = created.bucket.name, created.object
    if bucket != data_bucket:
        return Ignored(f"bucket {bucket} is not the data bucket")
    if stored.key.endswith("/"):
        return Ignored(f"{stored.key} is a folder marker")
    found = delivery_of_key(stored.key)
    if found is None:
        return Ignored(f"{stored.key} is not below deliveries/<project>/")
    delivered = DeliveredObject(bucket, stored.key, stored.version_id, stored.size)
    return Trigger(
        "delivery", found[0], received.id, created.requester or "s3",
        f"{stored.key} was delivered", delivered,
    )  # fmt: skip
