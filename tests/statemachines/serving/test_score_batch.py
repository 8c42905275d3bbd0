"""The machine that scores batches, branch by branch, with our contracts at every task."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from steward.contracts.steps.batch import (
    BatchConclusion,
    ConcludeBatch,
    DeliveredScores,
    DeliverScores,
    PrepareBatch,
    PreparedBatch,
)
from support.machine_player import Played, Task, TaskError, machine, play

DEFINITION = machine("serving/score_batch")
TASKS = [name for name, state in DEFINITION["States"].items() if state["Type"] == "Task"]
BATCH = "5d2e9a7b1c30-1"
INPUT = {
    "project": "diabetes", "batch_id": BATCH, "correlation_id": BATCH, "causation_id": "tick-1",
    "actor": "schedule",
}  # fmt: skip
MODEL = f"dev-diabetes-v2-batch-{BATCH}"
PREPARED = PreparedBatch(
    model={"ModelName": MODEL, "ExecutionRoleArn": "arn:aws:iam::000000000000:role/endpoints",
           "PrimaryContainer": {"Image": "jobs@sha256:e3", "ModelDataUrl": "s3://a/m.tar.gz"}},
    model_name=MODEL, job=f"diabetes-{BATCH}-batch", instance_type="ml.m5.large",
    input_uri=f"s3://artifacts/batch/diabetes/{BATCH}/input/",
    output_uri=f"s3://artifacts/batch/diabetes/{BATCH}/output",
    instance_count=2, max_runtime_s=3600, rows=218, refused_rows=2,
)  # fmt: skip


def scripted(changes: dict[str, Task]) -> dict[str, Task]:
    """Tasks that check their input against its contract."""

    def prepare(payload: Any) -> Any:
        PrepareBatch.model_validate(payload)
        return PREPARED.model_dump()

    def deliver(payload: Any) -> Any:
        assert DeliverScores.model_validate(payload).job.startswith(PREPARED.job)
        return DeliveredScores(manifest_uri="s3://d/m.json", manifest_sha256="m").model_dump()

    def conclude(payload: Any) -> Any:
        return BatchConclusion(status=ConcludeBatch.model_validate(payload).outcome).model_dump()

    return {
        "PrepareBatch": prepare,
        "CreateModel": lambda arguments: {"ModelArn": arguments["ModelName"]},
        "ScoreRows": lambda arguments: {"TransformJobName": arguments["TransformJobName"]},
        "DeliverScores": deliver,
        "RecordDelivered": conclude,
        "RecordFailure": conclude,
        **changes,
    }


def run(changes: dict[str, Task] | None = None, redrives: int = 0) -> Played:
    return play(DEFINITION, scripted(changes or {}), INPUT, redrives=redrives)


def failing(error: str) -> Task:
    def task(_given: Any) -> Any:
        raise TaskError(error, "why")

    return task


def test_a_batch_is_prepared_scored_checked_and_recorded() -> None:
    played = run()
    assert (played.status, played.output["outcome"]) == ("SUCCEEDED", "succeeded")
    assert [name for name in played.path if name in TASKS] == [
        "PrepareBatch", "CreateModel", "ScoreRows", "DeliverScores", "RecordDelivered",
    ]  # fmt: skip
    recorded = played.arguments["RecordDelivered"][0]["Payload"]
    assert recorded["manifest_uri"] == "s3://d/m.json"


@pytest.mark.parametrize(
    ("state", "operation"), [("CreateModel", "CreateModel"), ("ScoreRows", "CreateTransformJob")]
)
def test_what_is_asked_of_sagemaker_fits_its_service_model(state: str, operation: str) -> None:
    asked = run().arguments[state][0]
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation)
    assert ParamValidator().validate(asked, shape.input_shape).generate_report() == ""
    assert {tag["Key"] for tag in asked["Tags"]} == {
        "steward:project", "steward:stack", "steward:environment",
    }  # fmt: skip


def test_the_id_goes_past_the_model_and_comes_back() -> None:
    asked = run().arguments["ScoreRows"][0]
    assert asked["DataProcessing"] == {
        "InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]",
    }  # fmt: skip
    assert asked["TransformResources"]["InstanceCount"] == 2


def test_a_redrive_gives_the_job_a_fresh_name() -> None:
    asked = run(redrives=1).arguments["ScoreRows"][0]
    assert asked["TransformJobName"] == f"{PREPARED.job}-r10"


@pytest.mark.parametrize("state", ["PrepareBatch", "CreateModel", "ScoreRows", "DeliverScores"])
def test_a_fault_is_recorded_with_its_state_and_ends_the_machine_as_failed(state: str) -> None:
    played = run({state: failing("SageMaker.ResourceNotFoundException")})
    assert played.status == "FAILED"
    recorded = played.arguments["RecordFailure"][0]["Payload"]
    assert (recorded["outcome"], recorded["failure"]["state"]) == ("failed", state)
    assert "RecordDelivered" not in played.path


@pytest.mark.parametrize(
    ("state", "error"),
    [("PrepareBatch", "BatchInputRefusedError"), ("DeliverScores", "ScoresRejectedError")],
)
def test_an_input_or_result_at_fault_is_recorded_and_pages_nobody(state: str, error: str) -> None:
    played = run({state: failing(error)})
    assert (played.status, played.output) == ("SUCCEEDED", {"outcome": "failed", "error": error})


@pytest.mark.parametrize("state", ["CreateModel", "ScoreRows"])
def test_a_throttled_call_is_tried_again(state: str) -> None:
    calls = []

    def throttled(arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) < 3:
            raise TaskError("SageMaker.AmazonSageMakerException", "Rate exceeded")
        return {"TransformJobName": arguments.get("TransformJobName", "")}

    assert run({state: throttled}).status == "SUCCEEDED"
    assert len(calls) == 3
    if state == "ScoreRows":
        assert [call["TransformJobName"][-3:] for call in calls] == ["tch", "-r1", "-r2"]
