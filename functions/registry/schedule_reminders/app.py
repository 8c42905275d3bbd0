"""Doorway: reminders of a request are scheduled, taken away once it is decided, and mended."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.reminders import end_reminders, repair_reminders, schedule_reminders


@on_event(
    "ApprovalRequested", "VersionApproved", "VersionRejected", "ApprovalExpired",
    "VersionStateChanged", "Scheduled Event",
)  # fmt: skip
def handler(received: Received) -> dict[str, int]:
    """Return how many schedules were made or deleted, and how many reminders went out."""
    state, schedules = app().state, app().reminders
    if received.meta is None:
        return repair_reminders(
            received.id, state=state, schedules=schedules, clock=app().clock, ids=app().ids
        )
    project, version = received.meta.project, received.detail.version
    if received.detail_type == "ApprovalRequested":
        return schedule_reminders(
            project, version, received.id,
            state=state, schedules=schedules, clock=app().clock, ids=app().ids,
        )  # fmt: skip
    return end_reminders(project, version, state=state, schedules=schedules)
