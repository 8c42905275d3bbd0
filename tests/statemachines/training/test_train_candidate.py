"""The training machine, branch by branch, with our contracts at every task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from steward.contracts.steps.data import (
    BuildDataset,
    BuiltDataset,
    PlannedJoin,
    ValidateDeliveries,
)
from steward.contracts.steps.governance import GateDecision, JudgeCandidate
from steward.contracts.steps.registry import RegisterVersion
from steward.contracts.steps.training import (
    CompareCandidate,
    ComparedCandidate,
    RecalledStep,
    RecallStep,
    RecordedOutcome,
    RecordTrainingOutcome,
    ResolvedRun,
    ResolveRun,
)
from steward.domain import errors
from steward.domain.training_declaration import Tuning
from steward.service.training.tuning_plan import tuning_plan
from support.machine_player import Played, Task, TaskError, machine, play

SCENARIO: dict[str, Any] = json.loads(Path(__file__).with_name("inputs.json").read_text())
DEFINITION = machine("training/train_candidate")
TASKS = {n: s for n, s in DEFINITION["States"].items() if s["Type"] == "Task"}


class Failing:
    """A task that raises these errors in turn and then answers."""

    def __init__(self, *failures: TaskError, then: Any = None) -> None:
        self.failures, self.then = list(failures), then

    def __call__(self, _given: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return self.then


TUNED = {
    "HyperParameterTuningJobStatus": "Completed",
    "BestTrainingJob": {
        "TrainingJobName": "t-3f9a1c0b7d2e-1-002-0a0b0c0d", "TunedHyperParameters": {"C": "0.4"},
    },
}  # fmt: skip


def searching() -> dict[str, Any]:
    """Return the resolved run of a project that declares a search."""
    declared = {
        "objective": {"metric": "loss", "regex": "loss=([0-9.]+)", "goal": "Minimize"},
        "ranges": {
            "C": {"min": 0.01, "max": 10, "scaling": "Logarithmic"},
            "depth": {"min": 2, "max": 8, "type": "integer"}, "kind": {"values": ["a", "b"]},
        },
        "max_jobs": 6, "parallel_jobs": 2,
    }  # fmt: skip
    plan = tuning_plan(Tuning.model_validate(declared), "dev", SCENARIO["input"]["run_id"])
    return {**SCENARIO["resolved"], "tuning": plan.model_dump(mode="json")}


def recalling(known: dict[str, Any]) -> Task:
    """Answer as recall_step does: what was done is done, and what is ``known`` is reused."""

    def task(payload: Any) -> Any:
        command = RecallStep.model_validate(payload)
        own = SCENARIO["resolved"]["evaluations_uri"]
        model = command.training.model_uri if command.training else known.get("training")
        uri = own if command.evaluation else known.get("evaluation")
        fresh = "tuning" if command.run.tuning else "training"
        left = fresh if model is None else "evaluation" if uri is None else "comparison"
        return RecalledStep(
            next=left, model_uri=model, evaluations_uri=uri or own,
            evaluated_in="0a0a0a0a0a0a-1" if uri not in (None, own) else command.run_id,
        ).model_dump()  # fmt: skip

    return task


def scripted(**changes: Any) -> dict[str, Task]:
    """Tasks that check their input against its contract and answer from the scenario."""

    def step(contract: type[BaseModel], answer: Any) -> Task:
        def task(payload: Any) -> Any:
            contract.model_validate(payload)
            return answer

        return task

    def outcome(payload: Any) -> Any:
        command = RecordTrainingOutcome.model_validate(payload)
        return RecordedOutcome(outcome=command.outcome, version=command.version).model_dump()

    def joined(arguments: Any) -> Any:
        plan = PlannedJoin.model_validate(arguments["Input"]["plan"])
        return {
            "Status": "SUCCEEDED",
            "Output": {
                "plan_uri": plan.plan_uri,
                "joined_uri": plan.joined_uri.replace("{attempt}", "x-0"),
            },
        }

    known = changes.pop("known", {})
    said = {**SCENARIO, **{k: v for k, v in changes.items() if k in SCENARIO}}
    ResolvedRun.model_validate(said["resolved"])
    BuiltDataset.model_validate(said["dataset"])
    ComparedCandidate.model_validate(said["compared"])
    GateDecision.model_validate(said["gate"])
    tasks: dict[str, Task] = {
        "ResolveRun": step(ResolveRun, said["resolved"]),
        "ValidateDeliveries": step(ValidateDeliveries, said["validated"]),
        "BuildDataset": step(BuildDataset, said["dataset"]),
        "JoinWithAthena": joined,
        "FinishDataset": step(BuildDataset, said["dataset"]),
        "TrainCandidate": lambda _: said["trained"],
        "TuneCandidate": lambda _: TUNED,
        "EvaluateCandidate": lambda _: said["evaluated"],
        "RecallSteps": recalling(known),
        "CompareCandidate": step(CompareCandidate, said["compared"]),
        "JudgeCandidate": step(JudgeCandidate, said["gate"]),
        "RegisterVersion": step(RegisterVersion, said["registered"]),
        "RecordSuccess": outcome,
        "RecordHeld": outcome,
        "RecordFailure": outcome,
    }
    return tasks | {name: task for name, task in changes.items() if name in tasks}


def run(**changes: Any) -> Played:
    redrives = changes.pop("redrives", 0)
    return play(DEFINITION, scripted(**changes), SCENARIO["input"], redrives=redrives)


PLANNED = PlannedJoin(
    plan_uri="s3://data/joins/diabetes/join_a/plan.json",
    tables=[{"create": "CREATE 1", "drop": "DROP 1"}, {"create": "CREATE 2", "drop": "DROP 2"}],
    unload="UNLOAD (SELECT 1) TO 's3://data/joins/diabetes/join_a/joined-{attempt}/'",
    joined_uri="s3://data/joins/diabetes/join_a/joined-{attempt}/",
).model_dump()


def planned(_given: Any) -> Any:
    """Answer as BuildDataset does where Athena has to join."""
    return PLANNED


def with_champion() -> dict[str, Any]:
    champion = SCENARIO["champion"]
    return {
        "resolved": {**SCENARIO["resolved"], "champion": champion},
        "compared": {**SCENARIO["compared"], "verdict": "pass", "champion_version": 1},
    }


def test_a_candidate_that_passes_is_registered() -> None:
    played = run()
    assert (played.status, played.output) == ("SUCCEEDED", {"outcome": "succeeded", "version": 1})
    assert played.path == [
        "ResolveRun", "ValidateDeliveries", "BuildDataset", "IsJoinPlanned",
        "RecallSteps", "WhatIsLeft", "TrainCandidate",
        "RecallSteps", "WhatIsLeft", "EvaluateCandidate",
        "RecallSteps", "WhatIsLeft", "CompareCandidate", "JudgeCandidate", "IsGatePassed",
        "RegisterVersion", "RecordSuccess", "EndRegistered",
    ]  # fmt: skip
    register = played.arguments["RegisterVersion"][0]["Payload"]
    assert register["artifact_uri"].endswith("model.tar.gz")
    assert register["champion_version"] is None
    for name in ("baseline", "explanation"):
        assert register[name] == SCENARIO["compared"][name]
    assert register["bias"] is None
    recorded = played.arguments["RecordSuccess"][0]["Payload"]
    assert recorded["deliveries"] == SCENARIO["validated"]["accepted"]


def test_ten_thousand_deliveries_leave_every_state_far_below_what_aws_lets_through() -> None:
    many = {**SCENARIO["resolved"]["deliveries"], "count": 10_000, "sha256": "a" * 64}
    resolved = {**SCENARIO["resolved"], "deliveries": many}
    played = run(resolved=resolved, validated={"accepted": many, "rejected": 0})
    given = [text for calls in played.arguments.values() for text in calls]
    assert max(len(json.dumps(arguments)) for arguments in given) < 16 * 1024


EARLIER = "s3://artifacts/evaluations/diabetes/0a0a0a0a0a0a-1"


def test_a_run_that_finds_everything_trains_and_evaluates_nothing() -> None:
    model = "s3://artifacts/models/earlier/output/model.tar.gz"
    played = run(known={"training": model, "evaluation": EARLIER})
    assert played.path[3:8] == [
        "IsJoinPlanned", "RecallSteps", "WhatIsLeft", "CompareCandidate", "JudgeCandidate",
    ]  # fmt: skip
    compare = played.arguments["CompareCandidate"][0]["Payload"]
    assert compare["evaluations_uri"] == EARLIER
    assert compare["evaluated_in"] == "0a0a0a0a0a0a-1"
    assert compare["comparisons_uri"] == SCENARIO["resolved"]["evaluations_uri"]
    assert played.arguments["RegisterVersion"][0]["Payload"]["artifact_uri"] == model


def test_a_model_that_is_reused_is_evaluated_anew_where_the_champion_changed() -> None:
    model = "s3://artifacts/models/earlier/output/model.tar.gz"
    played = run(known={"training": model}, **with_champion())
    assert "TrainCandidate" not in played.path
    inputs = played.arguments["EvaluateCandidate"][0]["ProcessingInputs"]
    assert inputs[0]["S3Input"]["S3Uri"] == model
    assert inputs[-1]["InputName"] == "champion"
    compare = played.arguments["CompareCandidate"][0]["Payload"]
    assert compare["evaluated_in"] == SCENARIO["input"]["run_id"]


def test_what_was_carried_out_is_told_with_its_job_and_its_time() -> None:
    first, second, third = (a["Payload"] for a in run().arguments["RecallSteps"])
    assert (first["training"], first["evaluation"]) == (None, None)
    assert second["training"] == {
        "model_uri": SCENARIO["trained"]["ModelArtifacts"]["S3ModelArtifacts"],
        "job": SCENARIO["trained"]["TrainingJobName"], "seconds": 12,
    }  # fmt: skip
    assert third["evaluation"] == {
        "job": SCENARIO["evaluated"]["ProcessingJobName"], "started_ms": 1000, "ended_ms": 4000,
    }  # fmt: skip


def test_bias_that_was_computed_is_registered_with_the_version() -> None:
    named = {"uri": "s3://artifacts/bias.json", "digest": "b1" * 32}
    played = run(compared={**SCENARIO["compared"], "bias": named})
    assert played.arguments["RegisterVersion"][0]["Payload"]["bias"] == named


def test_a_dataset_that_outgrows_one_function_is_joined_by_athena_and_then_built() -> None:
    played = run(BuildDataset=planned)
    assert played.status == "SUCCEEDED"
    assert played.path[2:7] == [
        "BuildDataset", "IsJoinPlanned", "JoinWithAthena", "FinishDataset", "RecallSteps",
    ]  # fmt: skip
    first = played.arguments["BuildDataset"][0]["Payload"]
    assert played.arguments["FinishDataset"][0]["Payload"] == {
        **first,
        "join": {
            "plan_uri": PLANNED["plan_uri"],
            "joined_uri": "s3://data/joins/diabetes/join_a/joined-x-0/",
        },
    }
    [job] = played.arguments["TrainCandidate"]
    sources = {c["ChannelName"]: c["DataSource"]["S3DataSource"] for c in job["InputDataConfig"]}
    assert sources["train"]["S3Uri"] == SCENARIO["dataset"]["train_uri"]


@pytest.mark.parametrize("error", ["States.TaskFailed", "States.Timeout"])
def test_a_join_that_fails_or_takes_too_long_fails_the_run(error: str) -> None:
    played = run(BuildDataset=planned, JoinWithAthena=Failing(TaskError(error, "exhausted")))
    assert (played.status, played.error) == ("FAILED", error)
    assert len(played.arguments["JoinWithAthena"]) == 1
    assert "TrainCandidate" not in played.path


def test_the_champion_is_an_input_of_the_evaluation_only_where_there_is_one() -> None:
    def inputs(played: Played) -> dict[str, str]:
        job = played.arguments["EvaluateCandidate"][0]
        return {i["InputName"]: i["S3Input"]["LocalPath"] for i in job["ProcessingInputs"]}

    alone = {n: f"/opt/ml/processing/{n}" for n in ("candidate", "train", "heldout", "config")}
    assert inputs(run()) == alone
    assert inputs(run(**with_champion())) == {**alone, "champion": "/opt/ml/processing/champion"}


def test_a_held_candidate_is_a_result_and_no_failure() -> None:
    held = {"verdict": "hold", "reasons": ["champion: worse"], "inputs_digest": "ab"}
    played = run(gate=held, **with_champion())
    assert (played.status, played.output) == ("SUCCEEDED", {"outcome": "held"})
    assert "RegisterVersion" not in played.path
    recorded = played.arguments["RecordHeld"][0]["Payload"]
    assert recorded["reasons"] == ["champion: worse"]


def test_a_search_takes_the_place_of_the_training_and_its_best_model_goes_on() -> None:
    played = run(resolved=searching(), redrives=1)
    assert "TrainCandidate" not in played.path
    [job] = played.arguments["TuneCandidate"]
    assert job["HyperParameterTuningJobName"] == "t-dev-3f9a1c0b7d2e-1-r10"
    assert job["TrainingJobDefinition"]["StaticHyperParameters"]["C"] == "0.1"
    done = played.arguments["RecallSteps"][1]["Payload"]["training"]
    assert done["tuned"] == {"C": "0.4"}
    best = TUNED["BestTrainingJob"]["TrainingJobName"]  # type: ignore[index]
    assert done["model_uri"] == f"{SCENARIO['resolved']['models_uri']}/{best}/output/model.tar.gz"
    assert played.arguments["RegisterVersion"][0]["Payload"]["artifact_uri"] == done["model_uri"]


@pytest.mark.parametrize("state", [n for n in TASKS if n != "RecordFailure"])
def test_a_failing_state_is_recorded_by_name_and_ends_in_fail(state: str) -> None:
    gate = {**SCENARIO["gate"], "verdict": "hold"} if state == "RecordHeld" else SCENARIO["gate"]
    failing = Failing(TaskError("AccessDeniedError", "no"))
    joins = {"BuildDataset": planned} if state in ("JoinWithAthena", "FinishDataset") else {}
    tuned = {"resolved": searching()} if state == "TuneCandidate" else {}
    played = run(gate=gate, **joins, **tuned, **{state: failing})
    assert (played.status, played.error, played.cause) == ("FAILED", "AccessDeniedError", "no")
    assert played.path[-4:] == [state, "RecordFailure", "IsDataAtFault", "FailRun"]
    recorded = played.arguments["RecordFailure"][0]["Payload"]
    assert recorded["failed_state"] == state
    assert recorded["run_id"] == SCENARIO["input"]["run_id"]


def test_own_rejections_are_not_tried_again() -> None:
    played = run(ValidateDeliveries=Failing(TaskError("DatasetRejectedError", "row 3")))
    assert len(played.arguments["ValidateDeliveries"]) == 1
    assert "TrainCandidate" not in played.path


def test_rejected_deliveries_are_recorded_and_wake_nobody() -> None:
    error = Failing(TaskError("DatasetRejectedError", "row 3"))
    played = run(ValidateDeliveries=error)
    assert (played.status, played.output) == (
        "SUCCEEDED", {"outcome": "failed", "error": "DatasetRejectedError"},
    )  # fmt: skip
    recorded = played.arguments["RecordFailure"][0]["Payload"]
    assert (recorded["outcome"], recorded["cause"]) == ("failed", "row 3")
    elsewhere = run(BuildDataset=Failing(TaskError("DatasetRejectedError", "not accepted")))
    assert elsewhere.status == "FAILED"


@pytest.mark.parametrize(
    "error", ["Lambda.TooManyRequestsException", "Lambda.ServiceException", "ThrottledError",
              "DependencyError"]
)  # fmt: skip
def test_what_may_pass_is_tried_again(error: str) -> None:
    task = Failing(TaskError(error), TaskError(error), then=SCENARIO["validated"])
    played = run(ValidateDeliveries=task)
    assert played.status == "SUCCEEDED"
    assert len(played.arguments["ValidateDeliveries"]) == 3


def test_a_throttled_job_gets_a_fresh_name() -> None:
    throttled = TaskError("SageMaker.AmazonSageMakerException", "Rate exceeded")
    played = run(TrainCandidate=Failing(throttled, throttled, then=SCENARIO["trained"]))
    names = [job["TrainingJobName"] for job in played.arguments["TrainCandidate"]]
    base = SCENARIO["resolved"]["training_job"]
    assert names == [base, f"{base}-r1", f"{base}-r2"]


def test_a_redriven_execution_gets_fresh_job_names() -> None:
    played = run(redrives=2)
    assert played.arguments["TrainCandidate"][0]["TrainingJobName"].endswith("-train-r20")
    assert played.arguments["EvaluateCandidate"][0]["ProcessingJobName"].endswith("-eval-r20")


def test_a_failed_job_is_not_repeated() -> None:
    failure = json.dumps({"FailureReason": "the solver diverged"})
    played = run(TrainCandidate=Failing(TaskError("States.TaskFailed", failure)))
    assert len(played.arguments["TrainCandidate"]) == 1
    assert played.arguments["RecordFailure"][0]["Payload"]["cause"] == failure


def test_the_time_of_the_training_task_follows_the_project() -> None:
    assert TASKS["TrainCandidate"]["TimeoutSeconds"] == "{% $run.training_timeout_s %}"


def test_spare_capacity_is_asked_for_with_the_longest_wait_and_checkpoints() -> None:
    [usual] = run().arguments["TrainCandidate"]
    assert usual["EnableManagedSpotTraining"] is False
    assert usual["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
    waits = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900}
    spot = {**SCENARIO["resolved"], "spot": True, "stopping_condition": waits}
    [job] = run(resolved=spot).arguments["TrainCandidate"]
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == waits
    assert job["CheckpointConfig"] == {
        "S3Uri": SCENARIO["resolved"]["checkpoints_uri"], "LocalPath": "/opt/ml/checkpoints",
    }  # fmt: skip


def test_every_custom_error_name_is_an_error_of_ours() -> None:
    known = {name for name in dir(errors) if name.endswith("Error")}
    foreign = ("Lambda.", "SageMaker.", "States.", "StepFunctions.")
    for state in TASKS.values():
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]:
            for name in rule["ErrorEquals"]:
                assert name.startswith(foreign) or name in known


def test_tasks_keep_the_conventions() -> None:
    assert DEFINITION["QueryLanguage"] == "JSONata"
    assert DEFINITION["TimeoutSeconds"] > 432_000
    for name, state in TASKS.items():
        assert "TimeoutSeconds" in state, name
        assert state["Comment"], name
        for retry in state["Retry"]:
            assert (retry["BackoffRate"], retry["JitterStrategy"]) == (2, "FULL"), name
            assert "MaxDelaySeconds" in retry, name
        if name != "RecordFailure":
            [catch] = state["Catch"]
            assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "RecordFailure")
