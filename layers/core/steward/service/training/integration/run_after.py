"""Use case: ask for a run because of a commit that was integrated."""

from __future__ import annotations

from steward.contracts.steps.integration import StartedTraining, StartTraining
from steward.service.training.integration.records import record_of
from steward.service.training.start import Ports, start_training
from steward.service.training.triggers import Trigger


def start_after(command: StartTraining, ports: Ports) -> StartedTraining:
    """Ask for a run because of a commit, in the name of who brought it.

    The integration's id stands for the event, so that a repeated task asks for nothing twice.
    """
    record = record_of(ports.state, command.project, command.integration_id)
    trigger = Trigger(
        "commit", command.project, command.integration_id, record["author"],
        record["trigger"]["cause"],
    )  # fmt: skip
    came = start_training(trigger, ports)
    run_id = str(came.get("run_id") or came.get("existing_run_id") or "")
    return StartedTraining(
        outcome=came["outcome"], run_id=run_id, reason=str(came.get("reason", ""))[:1000]
    )
