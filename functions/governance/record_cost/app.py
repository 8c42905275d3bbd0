"""Doorway: what an ended job or execution cost, from the dated price table."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.governance.cost import record_cost


@on_event(
    "SageMaker Training Job State Change",
    "SageMaker Processing Job State Change",
    "SageMaker Transform Job State Change",
    "Step Functions Execution Status Change",
)
def handler(received: Received) -> str:
    """Return the entry that was written, or why none was."""
    return record_cost(
        received,
        state=app().state,
        environment=app().settings.steward_environment,
        jobs=app().job_records,
        clock=app().clock,
        ids=app().ids,
        metrics=app().metric_log,
    )
