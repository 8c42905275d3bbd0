"""Task: build the content-addressed dataset of a run from accepted deliveries."""

from steward.bootstrap import app
from steward.contracts.steps.data import BuildDataset, BuiltDataset, PlannedJoin
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.data.dataset import build_dataset


@step(BuildDataset)
def handler(command: BuildDataset) -> BuiltDataset | PlannedJoin:
    """Return where the dataset lies, or what Athena has to join first."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        return build_dataset(
            command,
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            ids=app().ids,
            limits=limits,
            data_bucket=settings.need("data_bucket"),
        )
