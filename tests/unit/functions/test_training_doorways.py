"""The doorways of data and training: AWS's events in, runs and answers out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steward.domain.runs import execution_arn
from steward.ports import Table
from steward.settings import Settings
from support.doorways import load, request
from support.fakes import FakeFailureQueue
from support.training_scene import ARTIFACTS, CODE, DATA, MACHINE, Scene, csv_of, declaration

INCOMING = Path(__file__).parents[3] / "events" / "incoming"


class World(Scene):
    """A scene behind the composition root."""

    def open(self, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
        self.failure_queue = FakeFailureQueue()
        settings = Settings(
            steward_environment="dev", data_bucket=DATA, artifacts_bucket=ARTIFACTS,
            training_machine=MACHINE, aws_lambda_function_memory_size=512,
        )  # fmt: skip
        app = SimpleNamespace(
            settings=settings, state=self.state, objects=self.objects, clock=self.clock,
            ids=self.ids, workflows=self.workflows, job_image=self.job_image,
            failure_queue=self.failure_queue,
        )  # fmt: skip
        handler = load(name, app, monkeypatch)
        return lambda event: handler(event, None)


@pytest.fixture
def world() -> World:
    return World()


def incoming(kind: str, /, **detail: Any) -> dict[str, Any]:
    """Return one of AWS's events, with parts of its detail changed."""
    event: dict[str, Any] = json.loads((INCOMING / f"{kind}.json").read_text(encoding="utf-8"))
    return {**event, "detail": {**event["detail"], **detail}}


def created(world: World, content: bytes, key: str) -> dict[str, Any]:
    world.objects.write(f"s3://{DATA}/{key}", content)
    info = world.objects.describe(DATA, key)
    assert info is not None
    stored = {"key": key, "size": info.size, "version-id": info.version_id, "sequencer": "0"}
    return incoming("object_created", bucket={"name": DATA}, object=stored)


def test_a_delivered_object_starts_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    start = world.open("start_training", monkeypatch)
    event = created(world, csv_of(1, 30), "deliveries/diabetes/1.csv")
    answer = start(event)
    assert answer["outcome"] == "started"
    assert world.run(answer["run_id"])["trigger"]["event_id"] == event["id"]
    assert world.failure_queue.refused == []


def test_other_objects_are_ignored_and_an_unknown_project_is_put_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world.open("start_training", monkeypatch)
    assert start(created(world, b"x", "quarantine/diabetes/1.csv"))["outcome"] == "ignored"
    assert world.failure_queue.refused == []
    start(created(world, b"x", "deliveries/nobody/1.csv"))
    [refused] = world.failure_queue.refused
    assert refused.reason["error"] == "ProjectNotFoundError"
    assert world.state.query(Table.DELIVERIES, "nobody") == []


@pytest.mark.parametrize("event", [{}, {"id": "1"}, "text", {"source": "aws.s3", "detail": 1}])
def test_what_is_no_event_is_put_aside(
    world: World, monkeypatch: pytest.MonkeyPatch, event: Any
) -> None:
    for name in ("start_training", "conclude_run"):
        handle = world.open(name, monkeypatch)
        assert handle(event)["refused"]["error"] == "MalformedEventError"
        assert len(world.failure_queue.refused) == 1


def test_a_schedule_asks_for_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    start = world.open("start_training", monkeypatch)
    schedule = incoming("scheduled_event", project="diabetes")
    assert start(schedule)["outcome"] == "suppressed"


def test_status_and_job_events_conclude_a_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = world.deliver(csv_of(1, 30))["run_id"]
    conclude = world.open("conclude_run", monkeypatch)
    job = f"dev-diabetes-{run_id}-train"
    conclude(incoming("training_job_state_change", TrainingJobName=job))
    assert world.run(run_id)["training_job"]["name"] == job
    status = incoming(
        "execution_status_change", name=run_id, stateMachineArn=MACHINE,
        executionArn=execution_arn(MACHINE, run_id), status="TIMED_OUT",
        input=json.dumps({"project": "diabetes"}),
    )  # fmt: skip
    assert conclude(status)["lock"] == "freed"
    assert world.run(run_id)["status"] == "failed"


def test_the_source_url_takes_a_project_and_shows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = world.open("push_source", monkeypatch)
    caller = "arn:aws:iam::000000000000:user/tess"
    item = world.state.get(Table.PROJECTS, {"project": "diabetes"})
    assert item is not None
    key = item["code_uri"].removeprefix(f"s3://{ARTIFACTS}/")
    body = {
        "config": declaration(description="new"), "code_sha256": item["code_digest"],
        "code_key": key,
    }  # fmt: skip

    answer = push(request("POST", caller, body=json.dumps(body)))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["author"] == "000000000000/tess"
    shown = push(request("GET", caller, query={"project": "diabetes"}))
    assert json.loads(shown["body"])["config"]["description"] == "new"

    body["config"] = {**declaration(), "colour": "red"}
    refused = push(request("POST", caller, body=json.dumps(body)))
    assert refused["statusCode"] == 400
    assert "colour" in refused["body"]
    assert push(request("POST", caller, body="no json"))["statusCode"] == 400
    assert push(request("DELETE", caller))["statusCode"] == 400
    assert push(request("GET", caller, query={"project": "nobody"}))["statusCode"] == 404
    unsigned = request("GET", caller)
    del unsigned["requestContext"]["authorizer"]
    assert push(unsigned)["statusCode"] == 403


def test_the_tasks_hand_a_delivery_on_to_a_dataset(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = world.deliver(csv_of(1, 90))["run_id"]
    about = {"project": "diabetes", "run_id": run_id, "correlation_id": run_id}
    resolve = world.open("resolve_run", monkeypatch)
    run = resolve({**about, "causation_id": "e", "actor": "tess"})
    assert world.objects.read(run["code_uri"]) == CODE
    validated = world.open("validate_deliveries", monkeypatch)(
        {**about, "deliveries": run["deliveries"]}
    )
    built = world.open("build_dataset", monkeypatch)({**about, "deliveries": validated["accepted"]})
    assert built["train_rows"] + built["heldout_rows"] < 90
    record = world.open("record_training_outcome", monkeypatch)
    outcome = {**about, "outcome": "held", "verdict": "hold", "execution_arn": "arn"}
    assert record(outcome) == record(outcome) == {"outcome": "held", "version": None}
    assert world.run(run_id)["status"] == "held"
