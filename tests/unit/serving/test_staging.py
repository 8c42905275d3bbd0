"""Staging: once per version, tested with recorded examples, removed when it failed."""

from __future__ import annotations

import hashlib
import json

import pytest

from steward.contracts.events import VersionRejected
from steward.contracts.steps.serving import Failure
from steward.domain.errors import DependencyError, RejectedError, VersionNotFoundError
from steward.domain.project import parse_project
from steward.service.serving.staging import remove_staging, staging_that_ended
from support.serving_scene import ARTIFACTS, PROJECT, Scene, container, failing
from support.training_scene import declaration

ENDPOINT = f"dev-{PROJECT}-v1-staging"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.register(1)
    return scene


def staged(scene: Scene) -> Scene:
    scene.start_staging()
    scene.endpoints.add(ENDPOINT, container(scene.project))
    return scene


def test_a_registered_version_starts_staging_once(scene: Scene) -> None:
    first = scene.start_staging()
    again = scene.start_staging()
    (execution,) = scene.workflows.executions.values()
    assert execution.name == "diabetes-v1-1"
    assert execution.payload["attempt"] == 1
    assert first["started"] == again["suppressed"]


def test_a_crash_before_the_execution_starts_is_healed_by_the_next_delivery(scene: Scene) -> None:
    scene.workflows.fails = DependencyError("throttled")
    with pytest.raises(DependencyError):
        scene.start_staging()
    assert "started" in scene.start_staging()
    assert len(scene.workflows.executions) == 1


def test_a_version_that_the_registry_does_not_know_is_refused(scene: Scene) -> None:
    with pytest.raises(VersionNotFoundError):
        scene.start_staging(7)


def test_a_failed_staging_is_tried_again_only_while_the_registry_waits(scene: Scene) -> None:
    started = scene.start_staging()
    scene.conclude_staging(failure=Failure(state="CreateEndpoint", error="E"))
    scene.workflows.end(started["started"], "FAILED")
    assert scene.start_staging()["started"].endswith("diabetes-v1-2")
    scene.conclude_staging(failure=Failure(state="CreateEndpoint", error="E"))
    scene.register(1, state="staging_failed")
    assert scene.start_staging()["status"] == "failed"


def test_the_staging_endpoint_is_serverless_with_the_versions_own_image(scene: Scene) -> None:
    plan = scene.plan_staging()
    assert plan.create
    assert plan.endpoint == ENDPOINT
    assert plan.model["PrimaryContainer"]["ModelDataUrl"].endswith("models/diabetes/1/model.tar.gz")
    (variant,) = plan.config["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert plan.request["EndpointConfigName"] == plan.config["EndpointConfigName"]


def test_a_dead_endpoint_of_that_name_is_removed_before_another_is_made(scene: Scene) -> None:
    scene.endpoints.add(ENDPOINT, failing, status="Failed")
    with pytest.raises(DependencyError, match="must be gone first"):
        scene.plan_staging()
    assert scene.endpoints.deleted == [ENDPOINT]
    assert scene.plan_staging().create


def test_an_honest_version_passes_every_check(scene: Scene) -> None:
    result = staged(scene).smoke()
    assert result.passed, result.checks
    names = {check.name for check in result.checks}
    assert {"a batch answers as its rows alone", "answers the same again", "p95 latency"} < names
    assert sum(name.startswith("refuses ") for name in names) >= 5


def test_the_smoke_result_is_frozen_with_the_digest_of_its_bytes(scene: Scene) -> None:
    result = staged(scene).smoke()
    scene.conclude_staging(result=result)
    (told,) = scene.told("VersionStaged")
    content = scene.objects.read(told.smoke_uri)
    assert told.smoke_uri == f"s3://{ARTIFACTS}/evidence/diabetes/1/smoke.json"
    assert told.smoke_digest == hashlib.sha256(content).hexdigest()
    assert json.loads(content)["passed"] is True
    assert scene.staging_record()["status"] == "succeeded"
    assert scene.endpoints.deleted == []


def test_staging_is_concluded_once(scene: Scene) -> None:
    result = staged(scene).smoke()
    scene.conclude_staging(result=result)
    scene.conclude_staging(failure=Failure(state="X", error="Late"))
    assert scene.told("StagingFailed") == []
    assert len(scene.told("VersionStaged")) == 1


@pytest.fixture
def numbers() -> Scene:
    """A scene whose project is a regression."""
    declared = declaration()
    declared["data"]["label"] = {"name": "outcome", "task": "regression"}
    scene = Scene(project=parse_project(declared))
    scene.register(1)
    scene.start_staging()
    return scene


def test_a_regression_is_staged_by_its_values(numbers: Scene) -> None:
    answers = container(numbers.project, of=lambda row: -1000.0 + row["age"])
    numbers.endpoints.add(ENDPOINT, answers)
    assert numbers.smoke().passed


def test_a_regression_that_answers_probabilities_or_no_number_fails(numbers: Scene) -> None:
    for body in (
        b'{"predictions": [{"probability": 0.5, "label": 1}]}',
        b'{"predictions": [{"value": NaN}]}', b'{"predictions": [{"value": "12"}]}',
    ):  # fmt: skip
        numbers.endpoints.add(ENDPOINT, body)
        result = numbers.smoke()
        failed = {check.name for check in result.checks if not check.passed}
        assert {"answers row-1", "answers csv"} <= failed


def test_a_class_that_answers_values_fails(scene: Scene) -> None:
    staged(scene).endpoints.add(ENDPOINT, b'{"predictions": [{"value": 0.5}]}')
    failed = [check for check in scene.smoke().checks if not check.passed]
    assert any("has no 'label'" in check.detail for check in failed)


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (b'{"predictions": [{"probability": 1.5, "label": 1}]}', "answers row-1"),
        (b'{"predictions": [{"probability": NaN, "label": 1}]}', "answers row-1"),
        (b'{"predictions": [{"label": 1}]}', "answers row-1"),
        (b'{"answers": []}', "answers row-1"),
        (b"<html>", "answers row-1"),
        (b'{"predictions": []}', "answers row-1"),
        (b'{"predictions": [{"probability": 0.5, "label": 1}]}', "refuses missing-field"),
        (b'{"predictions": [{"probability": 0.5, "label": 1}]}', "answers batch"),
    ],
)
def test_a_wrong_answer_fails_the_check_that_it_breaks(
    scene: Scene, answer: bytes, check: str
) -> None:
    staged(scene).endpoints.add(ENDPOINT, answer)
    result = scene.smoke()
    assert not result.passed
    assert check in [c.name for c in result.checks if not c.passed]


def test_a_refusal_that_names_another_field_fails(scene: Scene) -> None:
    honest = container(scene.project)

    def vague(body: bytes, content_type: str) -> bytes:
        try:
            return honest(body, content_type)
        except RejectedError as refused:
            raise RejectedError(refused.message, field="row") from None

    staged(scene).endpoints.add(ENDPOINT, vague)
    failed = [check.name for check in scene.smoke().checks if not check.passed]
    assert failed
    assert all(name.startswith("refuses ") for name in failed)


def test_answers_that_change_fail(scene: Scene) -> None:
    import itertools

    calls = itertools.count()
    staged(scene).endpoints.add(
        ENDPOINT, container(scene.project, of=lambda _row: next(calls) % 7 / 10)
    )
    failed = [check.name for check in scene.smoke().checks if not check.passed]
    assert "answers the same again" in failed


def test_a_version_slower_than_its_limit_fails_on_latency_alone(scene: Scene) -> None:
    result = staged(scene).smoke(seconds=2.5)
    assert [check.name for check in result.checks if not check.passed] == ["p95 latency"]
    assert result.latency_ms_p95 == pytest.approx(2500)


def test_a_failed_check_fails_the_staging_and_removes_the_endpoint(scene: Scene) -> None:
    staged(scene).endpoints.add(ENDPOINT, failing)
    conclusion = scene.conclude_staging(result=scene.smoke())
    (told,) = scene.told("StagingFailed")
    assert conclusion.status == "failed"
    assert told.error == "StagingFailedError"
    assert "answers row-1" in told.cause
    assert scene.endpoints.deleted == [ENDPOINT]
    assert scene.endpoints.deleted_parts == ["dev-diabetes-v1-staging-1"]
    assert conclusion.smoke_uri is not None


def test_a_failure_is_told_in_a_sentence_even_where_lambda_sends_json(scene: Scene) -> None:
    scene.start_staging()
    cause = json.dumps({"errorMessage": "no image", "errorType": "E", "stackTrace": []})
    scene.conclude_staging(failure=Failure(state="PlanStaging", error="E", cause=cause))
    (told,) = scene.told("StagingFailed")
    assert (told.failed_state, told.cause) == ("PlanStaging", "no image")


def test_a_staging_that_timed_out_is_concluded_from_the_status_event(scene: Scene) -> None:
    started = scene.start_staging()["started"]
    command = staging_that_ended(scene.ended(started), state=scene.state)
    assert command is not None
    scene.conclude_staging_as(command)
    (told,) = scene.told("StagingFailed")
    assert told.failed_state == "(execution)"
    assert told.error == "States.TimedOut"
    assert staging_that_ended(scene.ended(started), state=scene.state) is None


def test_an_execution_that_nobody_recorded_is_left_alone(scene: Scene) -> None:
    arn = scene.start_staging()["started"]
    by_hand = arn.replace("diabetes-v1-1", "by-hand")
    assert staging_that_ended(scene.ended(by_hand), state=scene.state) is None


def test_a_refused_version_leaves_staging(scene: Scene) -> None:
    staged(scene)
    said_no = VersionRejected(version=1, evidence_digest="d", by="ada", comment="no")
    remove_staging(
        scene.received(said_no), state=scene.state, environment="dev", endpoints=scene.endpoints
    )
    assert scene.endpoints.deleted == [ENDPOINT]
