"""Doorway: bring registry states and the champion in step with a release."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.promotion import promote_version


@on_event(
    "ReleaseStarted", "ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed",
    "ReleaseNotPromoted",
)  # fmt: skip
def handler(received: Received) -> dict[str, object]:
    """Return the states that changed and the version in production."""
    return promote_version(
        received.own.project,
        received.detail,
        causation_id=received.id,
        correlation_id=received.own.correlation_id,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
    ).as_dict()
