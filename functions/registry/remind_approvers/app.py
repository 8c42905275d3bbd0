"""Doorway: a reminder's schedule fires."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.reminders import remind


@on_event("Approval Reminder Due")
def handler(received: Received) -> str:
    """Return that approvers were reminded, or why not."""
    return remind(received.detail, received.id, state=app().state, clock=app().clock, ids=app().ids)
