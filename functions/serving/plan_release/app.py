"""Task: verify an approval once more and fix the steps of its release."""

from steward.bootstrap import app
from steward.contracts.steps.serving import PlanRelease, ReleasePlan
from steward.entrypoint import step
from steward.service.serving.release_steps import plan_release


@step(PlanRelease)
def handler(command: PlanRelease) -> ReleasePlan:
    """Return the candidate's endpoint, and what lies ahead."""
    return plan_release(
        command,
        state=app().state,
        endpoints=app().endpoints,
        alarms=app().alarms,
        metrics=app().traffic_metrics,
        clock=app().clock,
        ids=app().ids,
        alarm_settings=app().alarm_settings,
        fleets=app().variants_router,
        role_arn=app().settings.need("endpoint_role_arn"),
        capture_bucket=app().settings.need("capture_bucket"),
        environment=app().settings.steward_environment,
    )
