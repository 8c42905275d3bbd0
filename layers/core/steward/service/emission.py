"""Making our own events: who, when, and because of what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steward.contracts.events import Event, Meta, Payload
from steward.ports import Clock, Ids


@dataclass(frozen=True)
class Cause:
    """What an event is a consequence of.

    Attributes:
        project: The project concerned.
        correlation_id: One id from a delivery to the end of its version's release: the run id.
        causation_id: Id of the event, execution or request that led here.
        actor: Identity of the person, or ``steward`` where a machine acts by itself.
    """

    project: str
    correlation_id: str
    causation_id: str
    actor: str = "steward"

    def correlated(self, correlation_id: str) -> Cause:
        """Return the same cause under another correlation id."""
        return replace(self, correlation_id=correlation_id)


def event(payload: Payload, cause: Cause, clock: Clock, ids: Ids) -> Event:
    """Return ``payload`` in its envelope."""
    return Event(
        event_id=ids.new(),
        time=clock.now().isoformat(timespec="milliseconds"),
        meta=Meta(
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            project=cause.project,
            actor=cause.actor,
        ),
        data=payload,
    )
