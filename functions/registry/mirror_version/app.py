"""Consumer: SageMaker's model package shows state and labels of its version."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.labelling import mirror_told


@on_event(
    "VersionRegistered", "ApprovalRequested", "VersionApproved", "VersionRejected",
    "ApprovalExpired", "VersionPromoted", "VersionStateChanged", "VersionAliased",
    "VersionDescribed",
)  # fmt: skip
def handler(received: Received) -> list[dict[str, object]]:
    """Return what was brought in line, by package."""
    return mirror_told(received, state=app().state, registry=app().registry)
