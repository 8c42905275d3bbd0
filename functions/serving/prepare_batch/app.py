"""Task: judge the rows of a batch and write what the transform job reads."""

from steward.bootstrap import app
from steward.contracts.steps.batch import PrepareBatch, PreparedBatch
from steward.entrypoint import step
from steward.service.serving.batch.preparing import prepare_batch


@step(PrepareBatch)
def handler(command: PrepareBatch) -> PreparedBatch:
    """Return what SageMaker needs."""
    settings = app().settings
    return prepare_batch(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        artifacts_bucket=settings.need("artifacts_bucket"),
        role_arn=settings.need("endpoint_role_arn"),
    )
