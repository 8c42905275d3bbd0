"""The doorways of serving: real events and requests in, answers out."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import (
    ApprovalExpired,
    OutcomeObserved,
    Payload,
    ReapingRequested,
    ReleaseNotPromoted,
    ReleaseRequested,
    RollbackRequested,
    VersionApproved,
    VersionRegistered,
)
from steward.domain.errors import MalformedEventError
from steward.entrypoint import Handler
from steward.ports import Table
from steward.service.metric_lines import MetricLog
from steward.settings import Settings
from support.builders import event_of
from support.doorways import delivered, load, request
from support.drift_scene import FakeEndpointMetrics
from support.fake_hosting import FakeHosting
from support.fake_mirror import FakeMirrorQueue
from support.fakes import FakeFailureQueue, FakeFeatureReader, FakeSchedules
from support.serving_scene import (
    ARTIFACTS,
    CAPTURE,
    DATA,
    DIGEST,
    PROJECT,
    RELEASE,
    ROLE,
    ROLLBACK,
    ROWS,
    STAGING,
    Scene,
    container,
)
from support.ticking_scene import GOAL, SCHEDULE, TICK, Experiment

INCOMING = Path(__file__).parents[3] / "events" / "incoming"
SECOND = "00000002-1"
WARD = "arn:aws:sts::000000000000:assumed-role/ward-app/web"


@dataclass
class ServingApp:
    """The composition root with a scene behind the ports."""

    scene: Scene
    failure_queue: FakeFailureQueue = field(default_factory=FakeFailureQueue)
    mirror_queue: FakeMirrorQueue = field(default_factory=FakeMirrorQueue)

    def __post_init__(self) -> None:
        scene = self.scene
        self.settings = Settings(
            steward_environment="dev", staging_machine=STAGING, release_machine=RELEASE,
            rollback_machine=ROLLBACK, endpoint_role_arn=ROLE, artifacts_bucket=ARTIFACTS,
            data_bucket=DATA, capture_bucket=CAPTURE, tick_machine=TICK,
        )  # fmt: skip
        self.schedules = scene.schedules if isinstance(scene, Experiment) else FakeSchedules()
        self.state, self.objects, self.endpoints = scene.state, scene.objects, scene.endpoints
        self.feature_reader = FakeFeatureReader()
        self.assignments = scene.state
        self.workflows, self.alarms, self.clock = scene.workflows, scene.alarms, scene.clock
        self.traffic_metrics, self.ids = scene.metrics, scene.ids
        self.hosting, self.endpoint_metrics = FakeHosting(scene.clock), FakeEndpointMetrics()
        self.alarm_settings = scene.alarms
        self.variants_router, self.traffic_router = scene.variants, scene.router

    @property
    def metric_log(self) -> MetricLog:
        return MetricLog(self.settings.steward_environment, sys.stdout.write)


@pytest.fixture
def scene() -> Experiment:
    """Version 1 is in production."""
    scene = Experiment()
    scene.declare(strategy="canary", metrics=[])
    scene.play(1)
    return scene


@pytest.fixture
def app(scene: Scene) -> ServingApp:
    return ServingApp(scene)


class Doorways:
    """Loads a function and calls it with what AWS would send."""

    def __init__(self, app: ServingApp, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app, self._monkeypatch = app, monkeypatch

    def load(self, name: str) -> Handler:
        return load(name, self.app, self._monkeypatch)

    def tell(self, name: str, payload: Payload) -> Any:
        return self.load(name)(delivered(event_of(payload)), None)

    def post(self, name: str, path: str, body: object, method: str = "POST") -> tuple[int, Any]:
        asked = request(method, WARD, body=json.dumps(body)) | {"rawPath": path}
        answer = self.load(name)(asked, None)
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture
def doorways(app: ServingApp, monkeypatch: pytest.MonkeyPatch) -> Doorways:
    return Doorways(app, monkeypatch)


def incoming(event: str, **detail: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INCOMING / f"{event}.json").read_text(encoding="utf-8"))
    found["detail"] |= detail
    return found


def ended(arn: str, status: str = "TIMED_OUT") -> dict[str, Any]:
    name = arn.rsplit(":", 1)[1]
    return incoming("execution_status_change", executionArn=arn, name=name, status=status)


def test_a_registered_version_is_staged_and_a_timeout_of_it_recorded(
    doorways: Doorways, scene: Scene
) -> None:
    scene.register(2)
    payload = VersionRegistered(
        version=2, run_id="r", model_package_arn="arn", artifact_uri="s3://a/b", author="tess"
    )
    started = doorways.tell("start_staging", payload)["started"]
    assert doorways.load("conclude_staging")(ended(started), None)["status"] == "failed"
    assert len(scene.told("StagingFailed")) == 1


def test_an_approval_starts_a_release_and_its_abort_is_recorded(
    doorways: Doorways, scene: Scene
) -> None:
    scene.approve(2)
    approved = VersionApproved(version=2, evidence_digest=DIGEST, approvers=["ada"])
    started = doorways.tell("start_release", approved)["started"]
    result = doorways.load("conclude_release")(ended(started, "ABORTED"), None)
    assert result["status"] == "failed"


def test_an_approval_that_is_not_on_record_goes_to_the_failure_queue(
    doorways: Doorways, scene: Scene
) -> None:
    scene.register(2)
    approved = VersionApproved(version=2, evidence_digest=DIGEST, approvers=["ada"])
    refused = doorways.tell("start_release", approved)["refused"]
    assert refused["error"] == "ReleaseNotAllowedError"
    assert len(doorways.app.failure_queue.refused) == 1


def test_the_alarm_that_cloudwatch_sends_rolls_the_release_back(
    doorways: Doorways, scene: Scene
) -> None:
    scene.begin(2)
    answer = doorways.load("start_rollback")(incoming("alarm_state_change"), None)
    assert answer["started"].endswith("diabetes-00000002-1-rollback-1")
    again = doorways.tell("start_rollback", RollbackRequested(reason="it looks wrong"))
    assert "ignored" in again


def test_a_rollback_that_was_aborted_is_recorded(doorways: Doorways, scene: Scene) -> None:
    scene.begin(2)
    started = doorways.load("start_rollback")(incoming("alarm_state_change"), None)["started"]
    doorways.load("conclude_rollback")(ended(started, "ABORTED"), None)
    assert len(scene.told("RollbackFailed")) == 1


@pytest.mark.parametrize("name", ["conclude_staging", "conclude_release", "conclude_rollback"])
def test_the_end_of_another_machine_concludes_nothing(doorways: Doorways, name: str) -> None:
    event = incoming("execution_status_change")
    assert "concluded" in doorways.load(name)(event, None)


def test_the_schedule_retires_what_is_kept_no_longer(doorways: Doorways, scene: Scene) -> None:
    scene.play(2)
    scene.clock.advance(86_401)
    answer = doorways.load("retire_previous")(incoming("scheduled_event"), None)
    assert answer == {"retired": ["dev-diabetes-v1-prod"]}


def test_a_version_that_expired_leaves_staging(doorways: Doorways, scene: Scene) -> None:
    scene.endpoints.add("dev-diabetes-v2-staging", b"{}")
    doorways.tell("remove_staging", ApprovalExpired(version=2, expired_at="2026-01-06T09:00:00Z"))
    assert scene.endpoints.deleted == ["dev-diabetes-v2-staging"]


@pytest.mark.parametrize(
    "name",
    ["plan_staging", "run_smoke_test", "conclude_staging", "plan_release", "warm_endpoint",
     "shift_traffic", "apply_route", "freeze_cohorts", "judge_step", "complete_release",
     "conclude_release", "restore_route",
     "conclude_rollback", "remove_endpoint"],
)  # fmt: skip
def test_a_task_refuses_input_that_is_not_its_contract(doorways: Doorways, name: str) -> None:
    with pytest.raises(MalformedEventError):
        doorways.load(name)({"project": PROJECT, "surprise": 1}, None)


@pytest.mark.parametrize(
    "name",
    ["start_staging", "start_release", "start_rollback", "remove_staging", "retire_previous",
     "conclude_staging", "conclude_release", "conclude_rollback", "apply_route"],
)  # fmt: skip
def test_an_event_of_another_kind_goes_to_the_failure_queue(doorways: Doorways, name: str) -> None:
    doorways.load(name)(incoming("object_created"), None)
    (refused,) = doorways.app.failure_queue.refused
    assert refused.reason["error"] == "MalformedEventError"


def test_the_tasks_of_a_release_work_as_functions(doorways: Doorways, scene: Scene) -> None:
    scene.approve(2)
    scene.start_release(2)
    about = scene.about(SECOND)
    because = {**about, "causation_id": "x"}
    endpoint = doorways.load("plan_release")(about, None)["endpoint"]["endpoint"]
    scene.endpoints.add(endpoint, container(scene.project))
    warm = {"project": PROJECT, "version": 2, "correlation_id": "run", "endpoint": endpoint}
    assert doorways.load("warm_endpoint")(warm, None)["calls"] == 5
    scene.count(100)
    for index in range(3):
        doorways.load("shift_traffic")({**because, "step_index": index}, None)
        nothing = {"frozen": 0, "waiting": 0}
        assert doorways.load("freeze_cohorts")(about, None) == nothing
        verdict = doorways.load("judge_step")({**about, "step_index": index, "holds": 0}, None)
    assert verdict["next"] == "complete"
    assert doorways.load("complete_release")(because, None)["version"] == 2


def test_the_gateway_answers_over_its_url(
    doorways: Doorways, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"entity_id": "p1", "features": ROWS[0]}
    status, answer = doorways.post("answer_request", "/diabetes", body)
    assert status == 200
    assert set(answer) == {"prediction", "version", "inference_id", "fallback"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum("capture" in line for line in lines) == 1
    assert sum("_aws" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("path", "body", "method", "status"),
    [
        ("/diabetes", {"entity_id": "p1", "features": {"age": "old"}}, "POST", 400),
        ("/diabetes", [], "POST", 400),
        ("/asthma", {"entity_id": "p1", "features": {}}, "POST", 404),
        ("/", {}, "POST", 404),
        ("/diabetes", {}, "GET", 405),
    ],
)
def test_the_gateway_says_what_is_wrong(
    doorways: Doorways, path: str, body: object, method: str, status: int
) -> None:
    got, answer = doorways.post("answer_request", path, body, method)
    assert got == status
    assert answer["error"]


def test_the_shadow_answers_copies_and_what_is_none_is_delivered_again(
    doorways: Doorways, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    route = scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route is not None
    mirror = {"version": 2, "endpoint": "dev-diabetes-v2-prod", "percent": 100}
    scene.state.put(Table.ROUTES, {**route, "mirror": mirror})
    scene.endpoints.add("dev-diabetes-v2-prod", container(scene.project))
    doorways.post("answer_request", "/diabetes", {"entity_id": "p1", "features": ROWS[0]})
    (copy,) = doorways.app.mirror_queue.copies
    records = [{"messageId": "m-1", "body": "{}"}, {"messageId": "m-2", "body": copy}]
    capsys.readouterr()
    answer = doorways.load("mirror_request")({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["capture"]["assigned_role"] for line in lines if "capture" in line] == ["shadow"]


def test_outcomes_are_taken_as_a_file_and_as_events(doorways: Doorways, scene: Scene) -> None:
    line = {"inference_id": "i-1", "outcome": 1, "observed_at": "2026-01-05T08:00:00Z"}
    scene.objects.write(f"s3://{DATA}/outcomes/diabetes/a.jsonl", json.dumps(line).encode())
    key = {"key": "outcomes/diabetes/a.jsonl", "size": 70}
    dropped = incoming("object_created", bucket={"name": DATA}, object=key)
    handler = doorways.load("receive_outcomes")
    assert handler(dropped, None)["recorded"] == 1
    assert handler(dropped, None)["outcome"] == "known"
    observed = OutcomeObserved.model_validate(line)
    assert doorways.tell("receive_outcomes", observed)["outcome"] == "recorded"
    wrong = observed.model_copy(update={"observed_at": "2026-01-05T08:00:00"})
    assert doorways.tell("receive_outcomes", wrong)["refused"]["field"] == "observed_at"
    assert len(doorways.app.failure_queue.refused) == 1


def test_outcomes_are_taken_over_their_url(doorways: Doorways) -> None:
    rows = [{"inference_id": "i-1", "outcome": 1, "observed_at": "2026-01-05T08:00:00Z"}, {}]
    status, answer = doorways.post("record_outcomes", "/diabetes", rows)
    assert (status, answer["recorded"], answer["refused"][0]["index"]) == (200, 1, 1)
    assert doorways.post("record_outcomes", "/diabetes", rows, "GET")[0] == 405


def test_an_experiment_is_scheduled_ticked_and_ended_by_its_doorways(
    doorways: Doorways, scene: Experiment
) -> None:
    scene.declare(strategy="ab_test", metrics=[GOAL])
    scene.begin(2)
    about = {**scene.about(SECOND), "causation_id": "x"}
    scheduled = doorways.load("schedule_ticks")(about, None)
    assert scheduled == {"schedule": SCHEDULE, "tick_s": 3600}
    assert doorways.load("schedule_ticks")(incoming("scheduled_event"), None) == {"repaired": []}

    arn = doorways.load("start_tick")(incoming("schedule_tick"), None)["started"]
    assert arn.endswith(f":{SCHEDULE}-tick-1")
    cut_off = doorways.load("conclude_tick")(ended(arn, "ABORTED"), None)
    assert (cut_off["concluded"], cut_off["failed_in_a_row"]) == (True, 1)
    task = {**about, "tick": 1, "execution_arn": arn}
    assert doorways.load("conclude_tick")(task, None)["concluded"] is False

    end = {**about, "verdict": "inconclusive", "reason": "nothing is proved"}
    assert doorways.load("conclude_experiment")(end, None) == {"status": "not_promoted"}
    [told] = scene.told("ReleaseNotPromoted")
    assert doorways.tell("conclude_experiment", told) == {"ended": SCHEDULE}
    again = doorways.tell("start_release", ReleaseRequested(version=2))
    assert again["started"].endswith("diabetes-00000002-2")


def test_an_execution_that_is_no_tick_is_not_concluded(doorways: Doorways) -> None:
    assert doorways.load("conclude_tick")(ended("arn:x:by-hand"), None) == {"concluded": "not ours"}


def test_the_schedule_and_sagemaker_both_have_endpoints_compared(
    doorways: Doorways, scene: Scene
) -> None:
    """Nothing was created in this scene: the endpoint of the route is gone."""
    endpoint = f"dev-{PROJECT}-v1-prod"
    handler = doorways.load("reconcile_endpoints")
    changed = incoming("endpoint_state_change", EndpointName=endpoint)
    assert handler(changed, None)["drifted"] == [endpoint]
    [told] = scene.told("RouteDrifted")
    assert (told.kind, told.action) == ("missing", "repair")
    assert handler(incoming("scheduled_event"), None)["moving"] == [endpoint]
    assert handler(incoming("endpoint_state_change", EndpointName="dev-a-v1-staging"), None) == {}
    assert handler(incoming("endpoint_state_change", EndpointName="dev-others-v1-prod"), None) == {}


def test_the_schedule_and_people_both_have_idle_endpoints_looked_for(
    doorways: Doorways, app: ServingApp, scene: Scene
) -> None:
    orphan = f"dev-{PROJECT}-v7-prod"
    model = {
        "ModelName": f"{orphan}-1", "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"Image": "jobs", "ModelDataUrl": "s3://a/m"},
    }  # fmt: skip
    variant = {
        "VariantName": "AllTraffic", "ModelName": f"{orphan}-1",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
    }  # fmt: skip
    config = {"EndpointConfigName": f"{orphan}-1", "ProductionVariants": [variant]}
    app.hosting.ensure([model], config)
    app.hosting.create({"EndpointName": orphan, "EndpointConfigName": f"{orphan}-1"})
    app.hosting.settle()
    scene.clock.advance(7200)
    assert doorways.load("reap_endpoints")(incoming("scheduled_event"), None)["told"] == [orphan]
    asked = doorways.tell("reap_endpoints", ReapingRequested(endpoints=[orphan]))
    assert asked["deleted"] == [orphan]
    assert scene.told("EndpointReaped")[0].endpoint == orphan


def test_traffic_of_the_gateway_follows_its_route_by_itself(
    doorways: Doorways, scene: Scene
) -> None:
    apply_route = doorways.load("apply_route")
    looked = apply_route({"project": PROJECT, "release_id": "00000001-1"}, None)
    assert looked["applied"]
    told = doorways.tell("apply_route", ReleaseNotPromoted(
        release_id=SECOND, version=2, stable_version=1, verdict="inconclusive", reason="x",
    ))  # fmt: skip
    assert told == {"ignored": f"{PROJECT} has no production variants"}
    assert apply_route(incoming("scheduled_event"), None) == {"settled": []}
    assert scene.sagemaker.calls == []


def test_a_captured_file_is_converted(doorways: Doorways, scene: Scene) -> None:
    key = f"captured/dev-{PROJECT}-variants-prod/v1/2026/01/05/09/x.jsonl"
    scene.objects.write(f"s3://{CAPTURE}/{key}", b"torn")
    event = incoming("object_created", bucket={"name": CAPTURE}, object={"key": key, "size": 4})
    assert doorways.load("convert_captures")(event, None)["outcome"] == "refused"
