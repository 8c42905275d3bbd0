"""The training machine when things go wrong: each ends known, the lock free, nothing lost."""

from __future__ import annotations

import pytest

from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def lock_is_free(lab: Laboratory, project: str) -> bool:
    return bool(eventually(lambda: lab.lock(f"{project}/training") is None, "the lock to be free"))


def test_a_failing_job_fails_the_run_with_its_reason(lab: Laboratory) -> None:
    lab.add_project("jobfails", {"src/train.py": "raise SystemExit('the solver diverged')\n"})
    lab.deliver("jobfails")
    run = lab.run("jobfails", "failed")
    assert run["failed_state"] == "TrainCandidate"
    assert "the solver diverged" in run["cause"]
    assert lock_is_free(lab, "jobfails")


def test_a_run_that_takes_too_long_is_concluded_from_its_status_event(lab: Laboratory) -> None:
    lab.add_project("slow", {"src/train.py": "import time\ntime.sleep(60)\n"})
    with lab.timeout_of(lab.target.output("TrainingMachineArn"), 2):
        lab.deliver("slow")
        run = lab.run("slow", "failed")
    assert "TIMED_OUT" in run["error"] or "Timeout" in run["error"]
    assert lock_is_free(lab, "slow")


def test_an_aborted_run_is_concluded_and_its_job_stopped(lab: Laboratory) -> None:
    lab.add_project("aborted", {"src/train.py": "import time\ntime.sleep(60)\n"})
    lab.deliver("aborted")
    run = lab.run("aborted", "running")
    sagemaker = lab.target.client("sagemaker")
    job = eventually(
        lambda: [
            s["TrainingJobName"]
            for s in sagemaker.list_training_jobs()["TrainingJobSummaries"]
            if s["TrainingJobName"].startswith("local-aborted-")
        ],
        "the training job",
    )[0]
    lab.target.client("stepfunctions").stop_execution(
        executionArn=run["execution_arn"], error="Operator", cause="wrong data"
    )
    ended = lab.run("aborted", "failed")
    assert "ABORTED" in ended["error"] or ended["error"] == "Operator"
    assert lock_is_free(lab, "aborted")
    eventually(
        lambda: (
            sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"]
            in ("Stopped", "Stopping")
        ),
        "the job to stop",
    )


def test_without_one_statement_of_its_role_a_function_is_denied(lab: Laboratory) -> None:
    role = lab.role_of_function("Data", "BuildDatasetFunction")
    lab.add_project("denied-f")
    with lab.without_action(role, "s3:PutObject"):
        lab.deliver("denied-f")
        run = lab.run("denied-f", "failed")
    assert run["failed_state"] == "BuildDataset"
    assert run["error"] == "AccessDeniedError"
    assert lock_is_free(lab, "denied-f")


def test_without_one_statement_of_its_role_the_machine_is_denied(lab: Laboratory) -> None:
    role = lab.role_of_machine(lab.target.output("TrainingMachineArn"))
    lab.add_project("denied-m")
    with lab.without_action(role, "sagemaker:CreateTrainingJob"):
        lab.deliver("denied-m")
        run = lab.run("denied-m", "failed")
    assert run["failed_state"] == "TrainCandidate"
    assert "not authorized" in run["cause"]
    assert lock_is_free(lab, "denied-m")


def test_a_throttled_step_is_tried_again_until_it_succeeds(lab: Laboratory) -> None:
    lab.add_project("throttled")
    with lab.throttled(lab.function("Data", "ValidateDeliveriesFunction")):
        lab.deliver("throttled")
        run = lab.run("throttled", "running")
        lab.refused(run["execution_arn"], "Lambda.TooManyRequestsException")
    assert lab.run("throttled", "succeeded", "failed")["status"] == "succeeded"


def test_of_waiting_deliveries_the_latest_trigger_wins_and_none_is_lost(lab: Laboratory) -> None:
    lab.add_project("queue")
    for number in (1, 2, 3):
        lab.deliver("queue", number)
        eventually(lambda n=number: len(lab.state.deliveries("queue")) == n, "the delivery")  # type: ignore[misc]

    def settled() -> bool:
        runs = lab.state.runs("queue")
        return bool(runs) and all(r["status"] not in ("running", "waiting") for r in runs)

    eventually(settled, "all runs to end")
    eventually(
        lambda: all(d["status"] == "accepted" for d in lab.state.deliveries("queue")),
        "all deliveries to be accepted",
    )
    statuses = [run["status"] for run in lab.state.runs("queue")]
    assert statuses.count("superseded") <= 1
    assert "failed" not in statuses
