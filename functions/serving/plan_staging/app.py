"""Task: name what the staging endpoint of a version needs."""

from steward.bootstrap import app
from steward.contracts.steps.serving import EndpointPlan, PlanStaging
from steward.entrypoint import step
from steward.service.serving.staging import plan_staging


@step(PlanStaging)
def handler(command: PlanStaging) -> EndpointPlan:
    """Return the requests to SageMaker."""
    return plan_staging(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        endpoints=app().endpoints,
        role_arn=app().settings.need("endpoint_role_arn"),
    )
