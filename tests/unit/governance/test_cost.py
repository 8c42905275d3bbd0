"""Costs: once a job or execution, from the dated table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.contracts.incoming import Received
from steward.domain.errors import MalformedEventError, RejectedError, UnknownPriceError
from steward.domain.prices import (
    US_EAST_1,
    function_dollars,
    job_dollars,
    query_dollars,
    transition_dollars,
)
from steward.entrypoint import parse_event
from steward.ports import ExecutionRecord, FunctionUse, Item, JobRecord, QueryUse, Table
from steward.service.governance.cost import record_cost
from support.fake_job_records import FakeJobRecords
from support.fakes import FakeClock, FakeIds, FakeState

JOB = "dev-diabetes-3f9a1c0b7d2e-1-train"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:train_candidate:3f9a1c0b7d2e-1"


def change(kind: str, status: str, **detail: Any) -> Received:
    """Return an event as EventBridge delivers it."""
    source = "aws.states" if kind.startswith("Step") else "aws.sagemaker"
    return parse_event(
        {
            "id": "e1", "source": source, "detail-type": kind, "time": "2026-01-05T09:00:00Z",
            "detail": {**detail, "status": status, "TrainingJobStatus": status,
                       "ProcessingJobStatus": status, "TransformJobStatus": status},
        }
    )  # fmt: skip


def job_ended(status: str = "Completed", name: str = JOB, kind: str = "Training") -> Received:
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:{kind.lower()}-job/{name}"
    return change(
        f"SageMaker {kind} Job State Change", status,
        **{f"{kind}JobName": name, f"{kind}JobArn": arn},
    )  # fmt: skip


def execution_ended(status: str = "SUCCEEDED", payload: object = None) -> Received:
    told = {"project": "diabetes", "correlation_id": "3f9a1c0b7d2e-1"}
    return change(
        "Step Functions Execution Status Change", status, executionArn=EXECUTION,
        stateMachineArn="arn:aws:states:us-east-1:000000000000:stateMachine:train_candidate",
        name="3f9a1c0b7d2e-1", input=json.dumps(told if payload is None else payload),
    )  # fmt: skip


class Books:
    """The ports of the use case."""

    def __init__(self) -> None:
        self.state, self.jobs = FakeState(), FakeJobRecords()
        self.jobs.training[JOB] = JobRecord("ml.m5.large", 2, 180)

    def record(self, received: Received) -> str:
        return record_cost(
            received,
            state=self.state,
            jobs=self.jobs,
            clock=FakeClock(),
            ids=FakeIds(),
            environment="dev",
        )

    def entry(self, entry: str) -> Item:
        found = self.state.get(Table.COSTS, {"project": "diabetes", "entry": entry})
        assert found is not None
        return found


def test_a_training_job_costs_its_instances_for_its_billable_time() -> None:
    books = Books()
    assert books.record(job_ended()) == f"job#{JOB}"
    entry = books.entry(f"job#{JOB}")
    assert entry["dollars"] == pytest.approx(2 * 0.115 * 180 / 3600)
    assert entry["prices"] == "us-east-1 list prices of 2026-11-23"
    assert entry["run_id"] == "3f9a1c0b7d2e-1"
    (told,) = books.state.named("RunCostRecorded")
    assert told.meta.project == "diabetes"
    assert told.data.model_dump()["kind"] == "training_job"


@pytest.mark.parametrize(
    "name", ["dev-diabetes-5d2e9a7b1c30-1-batch", "dev-diabetes-5d2e9a7b1c30-1-batch-r10"]
)
def test_a_transform_job_is_priced_for_its_batch(name: str) -> None:
    books = Books()
    books.jobs.transform[name] = JobRecord("ml.m5.large", 2, 60)
    assert books.record(job_ended(name=name, kind="Transform")) == f"job#{name}"
    entry = books.entry(f"job#{name}")
    assert (entry["run_id"], entry["kind"]) == ("5d2e9a7b1c30-1", "transform_job")
    assert entry["dollars"] == pytest.approx(2 * 0.115 * 60 / 3600)


@pytest.mark.parametrize("kind", ["eval-r1", "card-4a9a1c0b-0"])
def test_a_processing_job_is_priced_alike(kind: str) -> None:
    books, name = Books(), f"dev-diabetes-3f9a1c0b7d2e-1-{kind}"
    books.jobs.processing[name] = JobRecord("ml.m5.xlarge", 1, 3600)
    books.record(job_ended(name=name, kind="Processing"))
    assert books.entry(f"job#{name}")["dollars"] == pytest.approx(0.23)


def test_several_events_of_one_job_are_one_entry() -> None:
    books = Books()
    books.record(job_ended())
    assert books.record(job_ended()) == "known"
    assert len(books.state.named("RunCostRecorded")) == 1


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_failed_costs_too(status: str) -> None:
    books = Books()
    books.record(job_ended(status))
    assert books.entry(f"job#{JOB}")["detail"]["status"] == status


def test_what_still_runs_or_is_not_ours_is_left_alone() -> None:
    books = Books()
    assert books.record(job_ended("InProgress")) == "not ended"
    assert books.record(job_ended(name="somebody-elses-job")) == "not ours"
    assert books.record(execution_ended("RUNNING")) == "not ended"
    assert books.record(execution_ended(payload={"other": 1})) == "not ours"
    assert books.record(execution_ended(payload=[])) == "not ours"
    assert books.state.commits == 0


def test_an_instance_without_a_price_is_written_without_a_sum() -> None:
    books = Books()
    books.jobs.training[JOB] = JobRecord("ml.p99.mega", 1, 60)
    books.record(job_ended())
    entry = books.entry(f"job#{JOB}")
    assert entry["dollars"] is None
    assert "ml.p99.mega" in entry["detail"]["unpriced_because"]
    assert books.state.named("RunCostRecorded") == []


def test_an_execution_costs_transitions_and_functions() -> None:
    books = Books()
    use = FunctionUse("validate", 3072, 2, 4.0)
    books.jobs.executions[EXECUTION] = ExecutionRecord(20, (use,))
    assert books.record(execution_ended()) == "execution#train_candidate#3f9a1c0b7d2e-1"
    detail = books.entry("execution#train_candidate#3f9a1c0b7d2e-1")
    assert detail["dollars"] == pytest.approx(
        20 * 0.025 / 1000 + 3 * 4.0 * 0.0000166667 + 2 * 0.2 / 1_000_000
    )
    assert detail["detail"]["transitions"] == 20


def test_what_an_execution_had_athena_scan_is_in_its_sum() -> None:
    books = Books()
    queries = (
        QueryUse("SUCCEEDED", True, 0),
        QueryUse("SUCCEEDED", False, 200 * 1024**3),
        QueryUse("FAILED", False, 1024**4),
        QueryUse("TIMED_OUT", False, None),
    )
    books.jobs.executions[EXECUTION] = ExecutionRecord(8, (), queries)
    books.record(execution_ended())
    entry = books.entry("execution#train_candidate#3f9a1c0b7d2e-1")
    scanned = 5 * 200 / 1024
    assert entry["dollars"] == pytest.approx(8 * 0.025 / 1000 + scanned)
    detail = entry["detail"]
    assert detail["query_dollars"] == pytest.approx(scanned)
    assert (detail["queries"], detail["scanned_bytes"]) == (4, 1024**4 + 200 * 1024**3)
    assert "1 timed-out" in detail["unpriced_because"]
    (told,) = books.state.named("RunCostRecorded")
    assert told.data.model_dump()["dollars"] == entry["dollars"]


def test_a_query_costs_whole_megabytes_and_ten_at_least() -> None:
    of_a_mb = 5 / 1024**2
    assert query_dollars("SUCCEEDED", False, 1) == pytest.approx(10 * of_a_mb)
    assert query_dollars("SUCCEEDED", False, 10 * 1024**2 + 1) == pytest.approx(11 * of_a_mb)
    assert query_dollars("SUCCEEDED", False, 1024**4) == pytest.approx(5.0)
    assert query_dollars("CANCELLED", False, 1024**4) == pytest.approx(5.0)
    assert query_dollars("CANCELLED", False, 0) == 0
    assert query_dollars("FAILED", False, 1024**4) == query_dollars("SUCCEEDED", True, 9) == 0


def test_a_job_that_sagemaker_does_not_know_is_an_error() -> None:
    books = Books()
    books.jobs.training.clear()
    with pytest.raises(RejectedError):
        books.record(job_ended())


def test_an_event_that_costs_nothing_is_malformed() -> None:
    received = change("Step Functions Execution Status Change", "SUCCEEDED", executionArn="a",
                      stateMachineArn="m", name="n")  # fmt: skip
    with pytest.raises(MalformedEventError):
        Books().record(received.model_copy(update={"detail": object()}))


def test_prices_are_as_their_pages_say() -> None:
    assert transition_dollars(1_000) == pytest.approx(0.025)
    assert function_dollars(1024, 0, 1_000) == pytest.approx(0.0166667)
    assert function_dollars(128, 1_000_000, 0) == pytest.approx(0.20)
    assert job_dollars("ml.m5.large", 1, 3600) == 0.115
    with pytest.raises(UnknownPriceError, match="us-east-1 list prices"):
        job_dollars("ml.none.large", 1, 1)
    assert all(page.startswith("https://aws.amazon.com/") for page in US_EAST_1.sources.values())


def test_a_job_of_a_search_costs_the_run_that_its_tags_name() -> None:
    books, name = Books(), "t-dev-3f9a1c0b7d2e-1-002-0a0b0c0d"
    books.jobs.training[name] = JobRecord("ml.m5.large", 1, 3600)
    tags = {"steward:project": "diabetes", "steward:run": "3f9a1c0b7d2e-1"}
    event = change(
        "SageMaker Training Job State Change", "Completed", TrainingJobName=name,
        TrainingJobArn=f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}", Tags=tags,
    )  # fmt: skip
    assert books.record(event) == f"job#{name}"
    assert books.entry(f"job#{name}")["run_id"] == "3f9a1c0b7d2e-1"
    assert books.entry(f"job#{name}")["dollars"] == pytest.approx(0.115)


def test_a_job_whose_tags_name_another_run_is_not_ours() -> None:
    tags = {"steward:project": "diabetes", "steward:run": "000000000000-1"}
    event = change(
        "SageMaker Training Job State Change", "Completed",
        TrainingJobName="t-dev-3f9a1c0b7d2e-1-002-0a0b0c0d", TrainingJobArn="arn", Tags=tags,
    )  # fmt: skip
    assert Books().record(event) == "not ours"


def test_a_redriven_execution_costs_only_what_came_since() -> None:
    books = Books()
    books.jobs.executions[EXECUTION] = ExecutionRecord(4)
    first = books.record(execution_ended("ABORTED"))
    books.jobs.executions[EXECUTION] = ExecutionRecord(10)
    ended = execution_ended()
    detail = ended.detail.model_copy(update={"redrive_count": 1})
    again = ended.model_copy(update={"detail": detail})
    second = books.record(again)
    assert second == f"{first}#r1"
    assert books.entry(first)["dollars"] == pytest.approx(transition_dollars(4))
    assert books.entry(second)["dollars"] == pytest.approx(transition_dollars(6))
    assert books.record(again) == "known"
