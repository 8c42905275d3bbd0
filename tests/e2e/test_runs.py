"""Runs that people take up again: nothing finished is repeated, and a full hit runs no job."""

from __future__ import annotations

from typing import Any

import pytest

from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def jobs_of(lab: Laboratory, project: str) -> list[str]:
    found = lab.target.client("sagemaker").list_training_jobs(NameContains=f"{project}-")
    return sorted(job["TrainingJobName"] for job in found["TrainingJobSummaries"])


def run_of(lab: Laboratory, project: str, run_id: str, *statuses: str) -> dict[str, Any]:
    def read() -> dict[str, Any] | None:
        shown: dict[str, Any] = lab.steward("runs", "show", project, run_id)
        return shown if shown["status"] in statuses else None

    return eventually(read, f"run {run_id} to be {' or '.join(statuses)}")


def test_a_failed_run_is_resumed_without_training_again(lab: Laboratory) -> None:
    """The comparison may not write once training and evaluation are done; then it may again."""
    lab.add_project("resumed")
    role = lab.role_of_function("Training", "CompareCandidateFunction")
    with lab.without_action(role, "s3:PutObject"):
        lab.deliver("resumed")
        failed = lab.run("resumed", "failed")
    answer = lab.steward("runs", "resume", "resumed", failed["run_id"], "--reason", "mended")
    assert answer["resumes"] == failed["run_id"]
    done = run_of(lab, "resumed", answer["run_id"], "succeeded", "held")
    for step in ("dataset", "training", "evaluation"):
        assert done[f"step_{step}"]["reused_from"] == failed["run_id"], step
    assert len(jobs_of(lab, "resumed")) == 1
    compared = lab.steward("runs", "compare", "resumed", failed["run_id"], done["run_id"])
    assert compared["saved_dollars"]["b"] > 0
    assert compared["inputs"]["dataset_id"]["b"]
    again = lab.steward("runs", "start", "resumed", "--reason", "doubt", "--no-cache")
    assert again["outcome"] == "started"
    anew = run_of(lab, "resumed", again["run_id"], "succeeded", "held")
    assert anew["step_training"]["status"] == "ran"
    assert len(jobs_of(lab, "resumed")) == 2


def test_a_job_that_completed_before_its_execution_kept_it_is_not_repeated(
    lab: Laboratory,
) -> None:
    lab.add_project("lost")
    role = lab.role_of_function("Training", "RecallStepFunction")
    with lab.without_action(role, "s3:GetObjectAttributes"):  # of the models
        lab.deliver("lost")
        failed = lab.run("lost", "failed", within=120)
    assert failed["failed_state"] == "RecallSteps"
    answer = lab.steward("runs", "resume", "lost", failed["run_id"], "--reason", "mended")
    done = run_of(lab, "lost", answer["run_id"], "succeeded", "held")
    assert done["step_training"]["reused_from"] == failed["run_id"]
    assert done["step_evaluation"]["status"] == "ran"
    assert len(jobs_of(lab, "lost")) == 1


def test_a_cancelled_run_goes_on_in_the_same_execution(lab: Laboratory) -> None:
    lab.add_project("redriven", {"src/train.py": "import time\ntime.sleep(60)\n"})
    lab.deliver("redriven")
    run = lab.run("redriven", "running")
    eventually(lambda: jobs_of(lab, "redriven"), "the training job")
    lab.steward("runs", "cancel", "redriven", run["run_id"], "--reason", "wrong hour")
    ended = lab.run("redriven", "failed")
    assert ended["error"] == "RunCancelled"
    assert "wrong hour" in ended["cause"]
    eventually(lambda: lab.lock("redriven/training") is None, "the lock to be free")
    answer = lab.steward("runs", "resume", "redriven", run["run_id"], "--reason", "now")
    assert answer["outcome"] == "redriven"
    eventually(lambda: len(jobs_of(lab, "redriven")) == 2, "the second job")
    assert jobs_of(lab, "redriven")[-1].endswith("-train-r10")
    history = lab.history(run["execution_arn"])
    kinds = [event["type"] for event in history]
    assert kinds.count("ExecutionRedriven") == 1
    built = [e for e in history if "BuildDataset" in str(e.get("stateEnteredEventDetails"))]
    assert len(built) == 1
    assert "running" in lab.steward_error(
        "runs", "resume", "redriven", run["run_id"], "--reason", "twice"
    )
    lab.steward("runs", "cancel", "redriven", run["run_id"], "--reason", "enough")
    lab.run("redriven", "failed")
