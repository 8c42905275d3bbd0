"""Doorway: an approval or a request starts the release of a version, or queues it."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.start_release import start_release


@on_event("VersionApproved", "ReleaseRequested")
def handler(received: Received) -> dict[str, object]:
    """Return the release that begins or waits, or why there is none."""
    return start_release(
        received,
        state=app().state,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("release_machine"),
    )
