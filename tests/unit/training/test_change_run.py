"""A person starts, resumes and cancels runs; nothing finished is repeated, no lock is taken."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.run_change import ChangeRun
from steward.domain.errors import (
    ConflictError,
    DependencyError,
    MalformedEventError,
    ProjectNotFoundError,
    RunNotFoundError,
)
from steward.domain.runs import RunStatus
from steward.ports import Table
from steward.service.training.change_run import change_run
from steward.service.training.conclude import conclude_execution
from steward.service.training.ledger import set_status
from support.training_scene import Scene, csv_of


class People(Scene):
    """A scene in which people ask."""

    def ask(self, action: str, run_id: str | None = None, **changes: Any) -> dict[str, Any]:
        request_id = changes.pop("request_id", f"request-{next(self.numbers)}")
        command = ChangeRun.model_validate(
            {"action": action, "project": "diabetes", "run_id": run_id, "reason": "a reason",
             **changes}
        )  # fmt: skip
        self.clock.advance(1)
        return change_run(command, "000000000000/tess", request_id, self.ports)

    def aborted(self, status: str = "ABORTED") -> str:
        """Return a run that ended without recording why, and was concluded."""
        run_id = str(self.deliver(csv_of(1, 30))["run_id"])
        self.end(run_id, status)
        assert self.run(run_id)["status"] == "failed"
        return run_id

    def caught(self) -> str:
        """Return a run whose machine recorded its failure itself."""
        run_id = self.aborted("FAILED")
        item = {**self.run(run_id), "failed_state": "TrainCandidate", "error": "States.TaskFailed"}
        self.state.put(Table.RUNS, item)
        return run_id


@pytest.fixture
def scene() -> People:
    return People()


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
def test_an_execution_that_was_cut_off_is_redriven(scene: People, status: str) -> None:
    run_id = scene.aborted(status)
    answer = scene.ask("resume", run_id)
    assert answer == {"outcome": "redriven", "run_id": run_id, "redrives": 1}
    run = scene.run(run_id)
    assert run["status"] == "running"
    assert "error" not in run
    assert run["resumed"]["by"] == "000000000000/tess"
    lock = scene.lock()
    assert lock is not None
    assert lock["owner"] == run_id
    execution = scene.workflows.executions[run["execution_arn"]]
    assert (execution.status, execution.redrives) == ("RUNNING", 1)
    [told] = scene.state.named("TrainingResumed")
    assert told.meta.actor == "000000000000/tess"


def test_a_late_repetition_of_the_first_end_does_not_end_the_resumed_run(scene: People) -> None:
    run_id = scene.aborted()
    scene.ask("resume", run_id)
    answer = scene.end(run_id, "ABORTED", "status-1-again")
    assert "redriven since" in answer["ignored"]
    assert scene.run(run_id)["status"] == "running"


def test_the_end_of_the_redrive_is_the_end_of_the_run(scene: People) -> None:
    run_id = scene.aborted()
    scene.ask("resume", run_id)
    change = scene.status_change(run_id, "ABORTED").model_copy(update={"redrive_count": 1})
    scene.workflows.end(change.execution_arn, "ABORTED")
    conclude_execution(change, "status-2", scene.ports)
    assert scene.run(run_id)["status"] == "failed"
    assert scene.lock() is None
    assert scene.ask("resume", run_id)["redrives"] == 2


def test_a_recorded_failure_is_taken_up_by_the_next_attempt_at_the_same_work(
    scene: People,
) -> None:
    run_id = scene.caught()
    scene.configure(scene.project, b"later code")
    answer = scene.ask("resume", run_id)
    assert answer["outcome"] == "started"
    before, after = scene.run(run_id), scene.run(answer["run_id"])
    for name in ("run_key", "deliveries", "config_digest", "code_digest", "image", "author"):
        assert after[name] == before[name]
    assert (after["attempt"], after["resumes"]) == (2, run_id)
    assert after["trigger"]["actor"] == "000000000000/tess"
    assert scene.workflows.status(after["execution_arn"]) == "RUNNING"


def test_what_aws_no_longer_redrives_is_taken_up_by_the_next_attempt(
    scene: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = scene.aborted()
    monkeypatch.setattr(scene.workflows, "is_redrivable", lambda _: False)
    assert scene.ask("resume", run_id)["resumes"] == run_id


def test_a_run_is_not_resumed_while_another_has_the_lock(scene: People) -> None:
    run_id = scene.aborted()
    other = scene.deliver(csv_of(31, 60))["run_id"]
    with pytest.raises(ConflictError, match=f"run {other} has the training lock"):
        scene.ask("resume", run_id)
    assert scene.run(run_id)["status"] == "failed"


def test_a_run_is_resumed_once(scene: People) -> None:
    run_id = scene.aborted()
    scene.ask("resume", run_id)
    with pytest.raises(ConflictError, match="is running"):
        scene.ask("resume", run_id)
    recorded = scene.state.named("TrainingResumed")
    assert len(recorded) == 1


def test_an_older_attempt_is_not_resumed(scene: People) -> None:
    run_id = scene.caught()
    later = scene.ask("resume", run_id)["run_id"]
    scene.end(later, "ABORTED", "status-9")
    with pytest.raises(ConflictError, match=f"{later} is the latest attempt"):
        scene.ask("resume", run_id)


def test_a_crash_between_the_record_and_the_redrive_is_healed_by_asking_again(
    scene: People,
) -> None:
    run_id = scene.aborted()
    scene.workflows.fails = DependencyError("Step Functions is away")
    with pytest.raises(DependencyError):
        scene.ask("resume", run_id)
    assert scene.ask("resume", run_id)["outcome"] == "redriven"
    assert scene.workflows.executions[scene.run(run_id)["execution_arn"]].redrives == 1


def test_a_run_that_succeeded_is_not_resumed(scene: People) -> None:
    run_id = scene.aborted()
    scene.state.put(Table.RUNS, {**scene.run(run_id), "status": "succeeded"})
    with pytest.raises(ConflictError, match="only a failed run resumes"):
        scene.ask("resume", run_id)


def test_a_running_run_is_stopped_and_concluded_by_its_status_event(scene: People) -> None:
    run_id = str(scene.deliver(csv_of(1, 30))["run_id"])
    assert scene.ask("cancel", run_id)["outcome"] == "stopping"
    execution = scene.workflows.executions[scene.run(run_id)["execution_arn"]]
    assert execution.status == "ABORTED"
    assert execution.stopped_with == ("RunCancelled", "000000000000/tess: a reason")
    change = scene.status_change(run_id, "ABORTED", error="RunCancelled", cause="x: a reason")
    conclude_execution(change, "status-1", scene.ports)
    assert scene.run(run_id)["error"] == "RunCancelled"
    assert scene.lock() is None
    assert scene.ask("cancel", run_id)["again"] is True


def test_a_waiting_run_leaves_the_queue_and_what_runs_goes_on(scene: People) -> None:
    first = str(scene.deliver(csv_of(1, 30))["run_id"])
    second = str(scene.deliver(csv_of(31, 60))["run_id"])
    assert scene.ask("cancel", second)["outcome"] == "cancelled"
    lock = scene.lock()
    assert lock is not None
    assert (lock["owner"], lock.get("waiting")) == (first, None)
    assert scene.run(second)["status"] == "failed"
    assert scene.end(first, "SUCCEEDED")["lock"] == "freed"


def test_a_run_that_has_ended_cannot_be_cancelled(scene: People) -> None:
    run_id = scene.aborted()
    with pytest.raises(ConflictError, match="nothing to cancel"):
        scene.ask("cancel", run_id)


def test_a_request_starts_what_is_new_and_suppresses_what_was_done(scene: People) -> None:
    run_id = str(scene.deliver(csv_of(1, 30))["run_id"])
    assert scene.ask("start")["outcome"] == "suppressed"
    scene.mark("accepted", csv_of(1, 30))
    scene.end(run_id, "ABORTED")
    assert scene.ask("start")["outcome"] == "started"
    assert len(scene.state.query(Table.RUNS, "diabetes", prefix="suppressed#")) == 1


def test_a_request_without_cache_runs_again_what_has_succeeded_and_only_once(
    scene: People,
) -> None:
    run_id = str(scene.deliver(csv_of(1, 30))["run_id"])
    scene.state.commit(set_status(scene.run(run_id), RunStatus.SUCCEEDED, {}))
    scene.mark("accepted", csv_of(1, 30))
    scene.end(run_id, "SUCCEEDED")
    assert scene.ask("start")["outcome"] == "suppressed"
    again = scene.ask("start", use_cache=False, request_id="r-7")
    assert again["outcome"] == "started"
    assert scene.run(again["run_id"])["use_cache"] is False
    same = scene.ask("start", use_cache=False, request_id="r-7")
    assert (same["run_id"], same.get("again")) == (again["run_id"], True)


def test_what_is_not_there_is_refused_by_name(scene: People) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        scene.ask("resume", "no-such-run")
    with pytest.raises(MalformedEventError, match="which run"):
        scene.ask("cancel")
    with pytest.raises(ProjectNotFoundError):
        scene.ask("start", project="unknown")
