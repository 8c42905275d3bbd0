"""Use case: write down how a run ended, with its event."""

from __future__ import annotations

from steward.contracts.events import CandidateHeld, Payload, TrainingFailed, TrainingSucceeded
from steward.contracts.steps.training import RecordedOutcome, RecordTrainingOutcome
from steward.domain.causes import readable_cause
from steward.domain.delivery_lists import DeliveryList
from steward.domain.errors import MalformedEventError
from steward.domain.runs import RunStatus, head_item
from steward.ports import Change, Clock, Ids, Item, ObjectStore, Put, StateStore, Table
from steward.service.delivery_lists import read_list
from steward.service.emission import Cause, event
from steward.service.training.ledger import lists_of, run_of, set_status, work_of

MAX_CAUSE = 4000
_FACTS = (
    "dataset_id", "evaluation_uri", "comparison_uri", "version", "verdict", "reasons",
    "failed_state", "error", "cause",
)  # fmt: skip


def record_training_outcome(
    command: RecordTrainingOutcome,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
) -> RecordedOutcome:
    """Set the run's status and publish what happened, in one transaction.

    A repeated call for a run that ended the same way changes nothing. What a run has in fact
    trained on may be less than it was started for, when a delivery was rejected: its outcome is
    recorded for that work too, so that the same accepted deliveries are recognised.

    Raises:
        MalformedEventError: There is no such run.
        ConflictError: The run was ended by somebody else meanwhile.
    """
    run = run_of(state, command.project, command.run_id)
    if run is None:
        raise MalformedEventError(
            f"project {command.project} has no run {command.run_id}",
            field="run_id", value=command.run_id, allowed="the id of a started run",
        )  # fmt: skip
    recorded = RecordedOutcome(outcome=command.outcome, version=command.version)
    status = RunStatus(command.outcome)
    if run["status"] == status:
        return recorded
    facts = {name: getattr(command, name) for name in _FACTS}
    if command.cause is not None:
        facts["cause"] = readable_cause(command.cause, MAX_CAUSE)
    attributes = {
        **{name: value for name, value in facts.items() if value not in (None, [])},
        "ended_at": clock.now().isoformat(timespec="milliseconds"),
    }
    if command.deliveries is not None:
        attributes["trained_on"] = command.deliveries.as_item()
    changes = set_status(run, status, attributes)
    if status is not RunStatus.FAILED:
        changes.extend(_same_work(run, command.deliveries, status, objects))
    cause = Cause(command.project, command.correlation_id, command.run_id)
    state.commit(changes, [event(_payload(command), cause, clock, ids)])
    return recorded


def _same_work(
    run: Item, trained_on: DeliveryList | None, status: RunStatus, objects: ObjectStore
) -> list[Change]:
    if trained_on is None or trained_on.sha256 == lists_of(run).primary.sha256:
        return []
    work = work_of(run, objects).on(read_list(objects, trained_on))
    head = {
        "project": work.project, "run_id": head_item(work.key), "latest": run["run_id"],
        "attempt": run["attempt"], "status": status.value,
    }  # fmt: skip
    return [Put(Table.RUNS, head)]


def _payload(command: RecordTrainingOutcome) -> Payload:
    if command.outcome == "succeeded":
        assert command.version is not None
        return TrainingSucceeded(run_id=command.run_id, version=command.version)
    if command.outcome == "held":
        return CandidateHeld(
            run_id=command.run_id, verdict=command.verdict or "hold", reasons=command.reasons
        )
    return TrainingFailed(
        run_id=command.run_id, failed_state=command.failed_state or "",
        error=command.error or "", cause=readable_cause(command.cause or "", MAX_CAUSE),
        execution_arn=command.execution_arn,
    )  # fmt: skip
