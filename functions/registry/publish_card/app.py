"""Doorway: bring a version's card in SageMaker in step with the version, and hourly all of them."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.card_publishing import Publishing, publish_card, sweep_cards


@on_event(
    "VersionRegistered", "ApprovalRequested", "VersionApproved", "VersionRejected",
    "ApprovalExpired", "VersionPromoted", "VersionStateChanged", "Scheduled Event",
)  # fmt: skip
def handler(received: Received) -> object:
    """Return the card's status afterwards, or how many cards were out of step."""
    about = Publishing(
        state=app().state,
        objects=app().objects,
        cards=app().model_cards,
        registry=app().registry,
        environment=app().settings.steward_environment,
    )
    if received.meta is None:
        return sweep_cards(about)
    return publish_card(received.meta.project, received.detail.version, about)
