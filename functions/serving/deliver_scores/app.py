"""Task: check the scores of a batch, then deliver them whole or put them into quarantine."""

from steward.bootstrap import app
from steward.contracts.steps.batch import DeliveredScores, DeliverScores
from steward.entrypoint import step
from steward.service.serving.batch.delivering import deliver_scores


@step(DeliverScores)
def handler(command: DeliverScores) -> DeliveredScores:
    """Return where the manifest lies."""
    settings = app().settings
    return deliver_scores(
        command,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        data_bucket=settings.need("data_bucket"),
        artifacts_bucket=settings.need("artifacts_bucket"),
    )
