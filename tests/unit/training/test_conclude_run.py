"""The end of an execution frees the lock and records what its machine could not."""

from __future__ import annotations

import pytest

from steward.contracts.incoming import ExecutionStatusChange, TrainingJobStateChange
from steward.contracts.steps.training import RecordTrainingOutcome
from steward.domain.errors import MalformedEventError
from steward.service.training.conclude import conclude_execution, record_job_state
from steward.service.training.outcome import record_training_outcome
from support.training_scene import MACHINE, Scene, csv_of

DELIVERY = csv_of(1, 30)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("status", "error"), [("TIMED_OUT", "States.Timeout"), ("ABORTED", "ExecutionAborted")]
)
def test_what_a_machine_cannot_catch_fails_the_run_here(
    scene: Scene, status: str, error: str
) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    answer = scene.end(run_id, status)
    assert answer == {"run_id": run_id, "ended_here": True, "lock": "freed"}
    run = scene.run(run_id)
    assert (run["status"], run["error"], run["failed_state"]) == ("failed", error, "Execution")
    [event] = scene.state.named("TrainingFailed")
    assert event.data.run_id == run_id  # type: ignore[attr-defined]
    assert scene.lock() is None


def test_error_and_cause_of_the_event_are_kept(scene: Scene) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    change = scene.status_change(run_id, "ABORTED", error="Operator", cause="wrong data")
    conclude_execution(change, "status-1", scene.ports)
    run = scene.run(run_id)
    assert (run["error"], run["cause"]) == ("Operator", "wrong data")


def test_a_repeated_status_event_changes_nothing(scene: Scene) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    scene.end(run_id, "FAILED")
    events = list(scene.state.events)
    assert scene.end(run_id, "FAILED") == {
        "run_id": run_id, "ended_here": False, "lock": "free",
    }  # fmt: skip
    assert scene.state.events == events


def test_a_recorded_failure_is_not_reported_twice(scene: Scene) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    command = RecordTrainingOutcome(
        project="diabetes", run_id=run_id, correlation_id=run_id, outcome="failed",
        execution_arn="arn", failed_state="TrainCandidate", error="States.TaskFailed",
        cause='{"FailureReason": "ExecuteUserScriptError: the solver diverged"}',
    )  # fmt: skip
    record_training_outcome(
        command, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )
    scene.end(run_id, "FAILED")
    run = scene.run(run_id)
    assert run["cause"] == "ExecuteUserScriptError: the solver diverged"
    assert run["failed_state"] == "TrainCandidate"
    assert len(scene.state.named("TrainingFailed")) == 1


def test_the_lock_of_another_run_stays(scene: Scene) -> None:
    first = scene.deliver(DELIVERY)["run_id"]
    scene.end(first, "FAILED")
    second = scene.start(scene.request())["run_id"]
    scene.end(first, "FAILED", event="status-late")
    assert scene.lock()["owner"] == second  # type: ignore[index]


def test_an_execution_that_is_running_or_of_another_machine_concludes_nothing(
    scene: Scene,
) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    running = scene.status_change(run_id, "RUNNING")
    other = running.model_copy(update={"state_machine_arn": MACHINE + "-other"})
    assert "ignored" in conclude_execution(running, "e", scene.ports)
    assert "ignored" in conclude_execution(other, "e", scene.ports)
    assert scene.run(run_id)["status"] == "running"


@pytest.mark.parametrize("given", [None, "{}", "[]", '{"project": "diabetes"}'])
def test_an_execution_that_is_no_run_of_ours_is_refused(scene: Scene, given: str | None) -> None:
    change = ExecutionStatusChange(
        execution_arn="arn", state_machine_arn=MACHINE, name="by-hand", status="FAILED",
        input=given,
    )  # fmt: skip
    with pytest.raises(MalformedEventError):
        conclude_execution(change, "e", scene.ports)


def job(run_id: str, status: str, suffix: str = "") -> TrainingJobStateChange:
    return TrainingJobStateChange(
        training_job_name=f"dev-diabetes-{run_id}-train{suffix}", training_job_arn="arn:job",
        training_job_status=status,
    )  # fmt: skip


def test_job_states_are_noted_once_and_never_go_back(scene: Scene) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    for status in ("InProgress", "InProgress", "Completed", "InProgress", "Completed"):
        record_job_state(job(run_id, status), scene.ports)
    assert scene.run(run_id)["training_job"]["status"] == "Completed"
    assert scene.state.commits == 4  # the delivery, the run, and two states


def test_the_job_of_a_retry_is_news(scene: Scene) -> None:
    run_id = scene.deliver(DELIVERY)["run_id"]
    record_job_state(job(run_id, "Failed"), scene.ports)
    record_job_state(job(run_id, "InProgress", "-r1"), scene.ports)
    assert scene.run(run_id)["training_job"]["status"] == "InProgress"


def test_a_job_of_somebody_else_is_ignored(scene: Scene) -> None:
    change = job("x", "Completed").model_copy(update={"training_job_name": "their-job"})
    assert "ignored" in record_job_state(change, scene.ports)
    assert "ignored" in record_job_state(job("0123456789ab-1", "Completed"), scene.ports)
