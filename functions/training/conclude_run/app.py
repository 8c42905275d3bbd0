"""Doorway: what follows from the end of a training execution, and from its job's states."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.entrypoint import on_event
from steward.service.training.conclude import conclude_execution, record_job_state
from steward.service.training.start import Ports


@on_event("Step Functions Execution Status Change", "SageMaker Training Job State Change")
def handler(received: Received) -> dict[str, Any]:
    """Return what was done."""
    ports = Ports(
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        workflows=app().workflows,
        job_image=app().job_image,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("training_machine"),
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
    if isinstance(received.detail, ExecutionStatusChange):
        return conclude_execution(received.detail, received.id, ports)
    return record_job_state(received.detail, ports)
