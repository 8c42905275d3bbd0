"""Consumer: a version that nobody will release leaves staging."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.staging import remove_staging


@on_event("VersionRejected", "ApprovalExpired", "VersionStateChanged")
def handler(received: Received) -> dict[str, object]:
    """Return the endpoint that was removed."""
    return remove_staging(
        received,
        state=app().state,
        environment=app().settings.steward_environment,
        endpoints=app().endpoints,
    )
