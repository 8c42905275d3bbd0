"""Task: check the pending deliveries of a run; what breaks a rule goes into quarantine."""

from steward.bootstrap import app
from steward.contracts.steps.data import ValidatedDeliveries, ValidateDeliveries
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.data.judging import Bench
from steward.service.data.validation import validate_deliveries


@step(ValidateDeliveries)
def handler(command: ValidateDeliveries) -> ValidatedDeliveries:
    """Return the accepted and the rejected deliveries."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Bench(
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            ids=app().ids,
            limits=limits,
            data_bucket=settings.need("data_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
        )
        return validate_deliveries(command, bench)
