"""Task: freeze the cohorts of a release that have matured."""

from steward.bootstrap import app
from steward.contracts.steps.serving import CohortsFrozen, FreezeCohorts
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.serving.freezing import freeze_cohorts


@step(FreezeCohorts)
def handler(command: FreezeCohorts) -> CohortsFrozen:
    """Return how many were frozen and how many wait."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        return freeze_cohorts(
            command,
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            limits=limits,
            capture_bucket=settings.need("capture_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
        )
