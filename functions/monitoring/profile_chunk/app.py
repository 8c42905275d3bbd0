"""Task: profile captured objects on their versions' baselines."""

from steward.bootstrap import app
from steward.contracts.steps.monitoring import ProfileChunk, ProfiledChunk
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.monitoring.profiling import Bench, profile_objects


@step(ProfileChunk)
def handler(command: ProfileChunk) -> ProfiledChunk:
    """Return how many rows were counted, and what could not be."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Bench(
            state=app().state,
            environment=app().settings.steward_environment,
            objects=app().objects,
            clock=app().clock,
            limits=limits,
            capture_bucket=settings.need("capture_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
        )
        return profile_objects(command, bench)
