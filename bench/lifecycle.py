"""Event to production: seconds from a delivery's arrival to the first live answer.

Plays the demo's first three chapters on the embedded AWS and splits the time into SageMaker jobs
and endpoints (work that AWS bills by the second) and orchestration (everything else: events,
functions, state machines). The approver answers at once. Run: ``make bench NAME=lifecycle``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from results import Result, finish
from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.console import table
from steward_cli.demo.people import hire
from steward_cli.demo.story import PROJECT, Story
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_TIME_SCALE = 10.0


def _job_seconds(target: Target) -> float:
    """Return the seconds that the run's two SageMaker jobs took, from start to end."""
    sagemaker = target.client("sagemaker")
    seconds = 0.0
    for summary in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        seconds += (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
    for summary in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]:
        job = sagemaker.describe_processing_job(ProcessingJobName=summary["ProcessingJobName"])
        seconds += (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds()
    return seconds


def _endpoint_seconds(target: Target) -> float:
    """Return the seconds that the version's endpoints needed to come into service."""
    seconds = 0.0
    for summary in target.client("sagemaker").list_endpoints()["Endpoints"]:
        seconds += (summary["LastModifiedTime"] - summary["CreationTime"]).total_seconds()
    return seconds


def main() -> None:
    """Measure once and print the split."""
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        choice = Choice("local", state_dir=Path(folder))
        engine, _ = start_and_deploy(choice, None, _TIME_SCALE)
        try:
            target = local_target(engine, choice)
            hire(target, choice.state_dir)
            story = Story(target, choice, repository_root() / "projects", lambda _text: None)
            story.play_until_live()
            feed = story.feed
            arrived = feed.of("Object Created")[0].heard_at
            live = feed.of("VersionPromoted")[0].heard_at
            jobs, endpoints = _job_seconds(target), _endpoint_seconds(target)
            transitions = sum(
                len(
                    target.client("stepfunctions").get_execution_history(
                        executionArn=execution["executionArn"], maxResults=1000
                    )["events"]
                )
                for name in ("TrainingMachineArn", "StagingMachineArn", "ReleaseMachineArn")
                for execution in target.client("stepfunctions").list_executions(
                    stateMachineArn=target.output(name)
                )["executions"]
            )
        finally:
            engines.stop(choice.state_dir)
    total = live - arrived
    orchestration = total - jobs - endpoints
    rows = [
        ("delivery to production", f"{total:.1f} s"),
        ("SageMaker jobs", f"{jobs:.1f} s"),
        ("production endpoint coming up", f"{endpoints:.1f} s"),
        ("orchestration and waits (scaled 1/10)", f"{orchestration:.1f} s"),
        ("history events of the three machines", str(transitions)),
    ]
    Console().print(table((f"{PROJECT}, version 1", ""), rows))
    finish(
        [
            Result("lifecycle", "delivery_to_production", total, "s", 60),
            Result("lifecycle", "jobs", jobs, "s"),
            Result("lifecycle", "endpoints", endpoints, "s"),
            Result("lifecycle", "orchestration", orchestration, "s", 45),
        ]
    )


if __name__ == "__main__":
    main()
