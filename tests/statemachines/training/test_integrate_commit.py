"""The machine that integrates commits, branch by branch, with our contracts at every task."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.steps.integration import (
    ActivatedSource,
    ActivateSource,
    CheckedProject,
    CheckProject,
    FetchedSource,
    FetchSource,
    JudgedIntegration,
    JudgeIntegration,
    RecordIntegration,
    StartedTraining,
    StartTraining,
)
from support.machine_player import Played, Task, TaskError, machine, play

DEFINITION = machine("training/integrate_commit")
TASKS = [name for name, state in DEFINITION["States"].items() if state["Type"] == "Task"]
ID = "commit#" + "1f0c9a7b2d3e" * 3 + "1f0c#1"
PREFIX = "s3://artifacts/commits/diabetes/1f0c9a7b2d3e-1"
INPUT = {
    "project": "diabetes", "integration_id": ID, "correlation_id": ID, "causation_id": "event-1",
    "actor": "000000000000/tess",
}  # fmt: skip
FETCHED = FetchedSource(
    project="diabetes", integration_id=ID, commit_id=ID[7:47], name="1f0c9a7b2d3e-1",
    prefix=PREFIX, source_uri=f"{PREFIX}/source/source.tar.gz", files=9,
)  # fmt: skip
CHECKED = CheckedProject(
    code_digest="c1" * 32, config_digest="d2" * 32, image="jobs@sha256:e3",
    instance_type="ml.m5.large", has_tests=True, tests_job="dev-diabetes-1f0c9a7b2d3e-1-test",
    tests_input_uri=f"{PREFIX}/tests-input", tests_output_uri=f"{PREFIX}/tests",
    tests_timeout_s=900, rehearsal_job="dev-diabetes-1f0c9a7b2d3e-1-rehearse",
    rehearsal_input_uri=f"{PREFIX}/rehearsal-input", rehearsal_output_uri=f"{PREFIX}/rehearsal",
    rehearsal_timeout_s=900, sample="declared",
)  # fmt: skip


def scripted(checked: CheckedProject, changes: dict[str, Task]) -> dict[str, Task]:
    """Tasks that check their input against its contract."""

    def step(contract: Any, answer: Any) -> Task:
        def task(payload: Any) -> Any:
            contract.model_validate(payload)
            return answer.model_dump()

        return task

    def judge(payload: Any) -> Any:
        stage = JudgeIntegration.model_validate(payload).stage
        return JudgedIntegration(stage=stage, summary="fine").model_dump()

    def record(payload: Any) -> Any:
        return {"outcome": RecordIntegration.model_validate(payload).outcome, "run_id": ""}

    def job(_arguments: Any) -> Any:
        return {"ProcessingJobStatus": "Completed"}

    return {
        "FetchSource": step(FetchSource, FETCHED),
        "CheckProject": step(CheckProject, checked),
        "TestProject": job,
        "JudgeTests": judge,
        "RehearseModel": job,
        "JudgeRehearsal": judge,
        "ActivateSource": step(ActivateSource, ActivatedSource(changed=True, author="tess")),
        "StartTraining": step(StartTraining, StartedTraining(outcome="started", run_id="r-1")),
        "RecordIntegrated": record,
        "RecordSuperseded": record,
        "RecordFailure": record,
        **changes,
    }


def run(
    checked: CheckedProject = CHECKED, changes: dict[str, Task] | None = None, redrives: int = 0
) -> Played:
    return play(DEFINITION, scripted(checked, changes or {}), INPUT, redrives=redrives)


def failing(error: str) -> Task:
    def task(_given: Any) -> Any:
        raise TaskError(error, "why")

    return task


def test_a_commit_that_passes_everything_is_activated_and_trained() -> None:
    played = run()

    assert played.status == "SUCCEEDED"
    assert played.output == {"outcome": "succeeded", "run_id": "r-1"}
    assert [name for name in played.path if name in TASKS] == [
        "FetchSource", "CheckProject", "TestProject", "JudgeTests", "RehearseModel",
        "JudgeRehearsal", "ActivateSource", "StartTraining", "RecordIntegrated",
    ]  # fmt: skip
    recorded = played.arguments["RecordIntegrated"][0]["Payload"]
    assert recorded["training"]["run_id"] == "r-1"


def test_both_jobs_are_isolated_and_bounded() -> None:
    played = run()
    for name, command in (("TestProject", "test"), ("RehearseModel", "rehearse")):
        asked = played.arguments[name][0]
        assert asked["NetworkConfig"] == {"EnableNetworkIsolation": True}
        assert asked["StoppingCondition"] == {"MaxRuntimeInSeconds": 1200}
        assert asked["AppSpecification"]["ContainerEntrypoint"][-1] == command
        assert asked["RoleArn"].endswith("IntegrationJobRoleArn")


def test_a_redrive_gives_jobs_fresh_names() -> None:
    asked = run(redrives=1).arguments["TestProject"][0]
    assert asked["ProcessingJobName"] == "dev-diabetes-1f0c9a7b2d3e-1-test-r10"


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({"has_tests": False}, {"TestProject", "JudgeTests"}),
        ({"sample": "none"}, {"RehearseModel", "JudgeRehearsal"}),
    ],
    ids=["without tests", "without a sample"],
)
def test_what_there_is_nothing_for_is_left_out(changes: dict[str, Any], left_out: set[str]) -> None:
    played = run(CHECKED.model_copy(update=changes))
    assert played.output["outcome"] == "succeeded"
    assert not left_out & set(played.path)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("FetchSource", "CommitNotFoundError"), ("FetchSource", "ArchiveRefusedError"),
        ("FetchSource", "SourceRefusedError"), ("CheckProject", "InvalidProjectError"),
        ("JudgeTests", "ProjectTestsFailedError"), ("JudgeRehearsal", "RehearsalFailedError"),
    ],
)  # fmt: skip
def test_a_commit_at_fault_is_recorded_and_is_no_fault_of_the_machine(
    state: str, error: str
) -> None:
    played = run(changes={state: failing(error)})

    assert (played.status, played.output) == ("SUCCEEDED", {"outcome": "failed", "error": error})
    recorded = played.arguments["RecordFailure"][0]["Payload"]
    assert (recorded["failed_state"], recorded["error"]) == (state, error)
    assert "ActivateSource" not in played.path


@pytest.mark.parametrize(
    "state", [name for name in TASKS if not name.startswith("Record")]
)  # fmt: skip
def test_any_other_error_is_recorded_and_fails_the_execution(state: str) -> None:
    played = run(changes={state: failing("States.TaskFailed")})

    assert (played.status, played.error) == ("FAILED", "States.TaskFailed")
    assert played.arguments["RecordFailure"][0]["Payload"]["failed_state"] == state


def test_a_commit_that_was_overtaken_ends_without_a_fault() -> None:
    played = run(changes={"ActivateSource": failing("CommitSupersededError")})

    assert (played.status, played.output) == ("SUCCEEDED", {"outcome": "superseded"})
    assert played.path[-2:] == ["RecordSuperseded", "EndSuperseded"]
    assert "StartTraining" not in played.path


def test_a_quota_is_waited_for_three_times_and_then_told_with_sagemakers_words() -> None:
    asked: list[str] = []

    def refused(arguments: Any) -> Any:
        asked.append(arguments["ProcessingJobName"])
        raise TaskError("SageMaker.ResourceLimitExceededException", "ml.m5.large usage is 1")

    played = run(changes={"TestProject": refused})

    assert len(set(asked)) == 4  # a refused name may not be used again
    assert (played.status, played.error) == (
        "FAILED", "SageMaker.ResourceLimitExceededException",
    )  # fmt: skip
    recorded = played.arguments["RecordFailure"][0]["Payload"]
    assert (recorded["failed_state"], recorded["cause"]) == (
        "TestProject", "ml.m5.large usage is 1",
    )  # fmt: skip
    assert "ActivateSource" not in played.path
