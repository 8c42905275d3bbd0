"""Copies of requests: a fair share, never in the way of an answer, answered unseen in pairs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    MalformedEventError,
    RejectedError,
    StewardError,
    ThrottledError,
)
from steward.domain.exposures import hashed_entity
from steward.domain.routes import Mirror, Route, assign, mirrors
from steward.service.metric_lines import MetricLog
from steward.service.serving.asking import CANDIDATE_TIMEOUT_S
from steward.service.serving.shadow import MAX_AGE, ShadowAnswers
from steward.service.serving.telemetry import Telemetry
from support.fakes import FakeFeatureReader
from support.gateway_scene import Counter
from support.serving_scene import PROJECT, Scene, container, failing

SHADOW: dict[str, Any] = {"version": 3, "endpoint": "dev-diabetes-v3-prod", "percent": 100}


@pytest.fixture
def counter() -> Counter:
    """Version 1 is stable, version 2 a canary of 10 percent, version 3 the shadow of all."""
    scene = Scene()
    scene.play(1)
    scene.begin(2)
    scene.endpoints.add("dev-diabetes-v3-prod", container(scene.project, of=lambda row: 0.25))
    counter = Counter(scene)
    counter.route(mirror=SHADOW, slow_ms=1000)
    return counter


def shadow_of(counter: Counter, reader: FakeFeatureReader | None = None) -> ShadowAnswers:
    return ShadowAnswers(
        endpoints=counter.scene.endpoints, features=reader or FakeFeatureReader(),
        telemetry=Telemetry(MetricLog("dev", counter.lines.append)), clock=counter.scene.clock,
        timer=lambda: counter.now,
    )  # fmt: skip


# The gateway's side


def test_a_stable_entitys_request_is_copied_with_what_the_shadow_needs(counter: Counter) -> None:
    entity = counter.entity_of("stable")
    answer = counter.ask(entity)
    (copy,) = counter.mirror.sent()
    assert (copy["version"], copy["endpoint"]) == (3, "dev-diabetes-v3-prod")
    assert (copy["entity_id"], copy["inference_id"]) == (entity, answer["inference_id"])
    assert copy["probability"] == pytest.approx(0.9)
    (capture,) = counter.captures()
    assert capture["shadow_pair_id"] == capture["inference_id"] == answer["inference_id"]
    assert answer["version"] == 1


def test_a_candidates_request_is_not_copied(counter: Counter) -> None:
    counter.ask(counter.entity_of("candidate"))
    assert counter.mirror.sent() == []
    assert counter.captures()[0]["shadow_pair_id"] is None


def test_a_request_that_is_refused_is_not_copied(counter: Counter) -> None:
    with pytest.raises(RejectedError):
        counter.ask(counter.entity_of("stable"), {"age": "old"})
    assert counter.mirror.sent() == []


def test_a_request_that_the_stable_version_fails_on_is_copied(counter: Counter) -> None:
    counter.scene.endpoints.add("dev-diabetes-v1-prod", failing)
    with pytest.raises(DependencyError):
        counter.ask(counter.entity_of("stable"))
    assert len(counter.mirror.sent()) == 1


@pytest.mark.parametrize("error", [
    AccessDeniedError("no right to send"), ThrottledError("slow down"),
    DependencyError("too late"),
])  # fmt: skip
def test_a_copy_that_cannot_be_sent_is_counted_and_the_answer_given(
    counter: Counter, error: StewardError
) -> None:
    counter.mirror.failing = error
    assert counter.ask(counter.entity_of("stable"))["version"] == 1
    assert counter.counted("MirrorFailures") == 1
    assert counter.captures()[0]["shadow_pair_id"] is None


def test_a_copy_that_is_too_long_for_a_message_is_counted(counter: Counter) -> None:
    entity = counter.entity_of("stable")
    counter.scene.endpoints.add(
        "dev-diabetes-v1-prod", lambda _body, _type: b'{"predictions": [{"probability": 0.5}]}'
    )
    body = json.dumps({"entity_id": entity, "features": {"note": "\u00e4" * 60_000}},
                      ensure_ascii=False)  # fmt: skip
    counter.gateway.answer(PROJECT, body.encode())
    assert counter.mirror.sent() == []
    assert counter.counted("MirrorFailures") == 1


def test_the_share_that_is_mirrored_is_drawn_apart_from_the_assignment() -> None:
    arms = [
        {"version": 1, "endpoint": "a", "role": "stable", "share": 50},
        {"version": 2, "endpoint": "b", "role": "candidate", "share": 50},
    ]
    route = Route.model_validate(
        {"project": PROJECT, "route_version": 1, "step_id": "s", "salt": "x", "arms": arms,
         "mirror": Mirror(version=3, endpoint="c", percent=20)}
    )  # fmt: skip
    entities = [f"p{number}" for number in range(20_000)]
    stable = [entity for entity in entities if assign(route, entity).role == "stable"]
    share = sum(mirrors(route, entity) for entity in stable) / len(stable)
    assert share == pytest.approx(0.2, abs=0.015)  # five standard errors
    assert not any(mirrors(route.model_copy(update={"mirror": None}), e) for e in entities)


# The shadow's side


def answered(counter: Counter, **changes: Any) -> dict[str, Any]:
    """Ask once through the gateway, let the shadow answer, and return the shadow's line."""
    counter.ask(counter.entity_of("stable"))
    copy = {**counter.mirror.sent()[-1], **changes}
    assert shadow_of(counter).answer(json.dumps(copy))
    return counter.captures()[-1]


def test_the_shadows_line_is_paired_with_the_answer(counter: Counter) -> None:
    line = answered(counter)
    first = counter.captures()[0]
    assert (line["assigned_role"], line["assigned_version"]) == ("shadow", 3)
    assert line["shadow_pair_id"] == first["inference_id"]
    assert line["inference_id"] != first["inference_id"]
    assert line["prediction"]["probability"] == 0.25
    same = ("entity", "step_id", "release_id", "route_version", "features", "project")
    assert {name: line[name] for name in same} == {name: first[name] for name in same}
    assert line["entity"] == hashed_entity(PROJECT, counter.entity_of("stable"))
    assert (line["first_exposure"], line["failed"], line["fallback"]) == (True, False, False)


def test_a_copy_that_arrives_twice_has_one_inference_id(counter: Counter) -> None:
    counter.ask(counter.entity_of("stable"))
    (copy,) = counter.mirror.copies
    shadow = shadow_of(counter)
    shadow.answer(copy)
    shadow.answer(copy)
    one, two = counter.captures()[1:]
    assert one["inference_id"] == two["inference_id"]
    assert (one["first_exposure"], two["first_exposure"]) == (True, False)
    assert counter.counted("Units") == 2  # the stable unit and the shadow's


def test_a_failing_shadow_is_captured_as_failed_and_counted(counter: Counter) -> None:
    counter.scene.endpoints.add("dev-diabetes-v3-prod", failing)
    line = answered(counter)
    assert (line["failed"], line["prediction"]) == (True, None)
    (metrics,) = counter.metrics("shadow")
    assert (metrics["VariantErrors"], metrics["Units"], metrics["UnitErrors"]) == (1, 1, 1)


def test_what_the_shadow_refuses_and_the_stable_version_took_is_its_failure(
    counter: Counter,
) -> None:
    line = answered(counter, features={"age": "old"})
    assert (line["failed"], line["prediction"]) == (True, None)
    (metrics,) = counter.metrics("shadow")
    assert (metrics["VariantErrors"], metrics["Rejections"], metrics["UnitErrors"]) == (1, 1, 1)


def test_the_shadow_has_a_candidates_time_and_its_own_features(counter: Counter) -> None:
    reader = FakeFeatureReader()
    entity = counter.entity_of("stable")
    reader.values[3, entity] = {"bmi": 21.5}
    counter.ask(entity)
    copy = counter.mirror.sent()[-1]
    del copy["features"]["bmi"]
    copy["served_features"] = {"entity_id": "patient_id", "columns": ["bmi"]}
    counter.scene.endpoints.calls.clear()
    shadow_of(counter, reader).answer(json.dumps(copy))
    assert counter.captures()[-1]["features"]["bmi"] == 21.5
    assert reader.calls[0][0].version == 3
    assert [call.timeout_s for call in counter.scene.endpoints.calls] == [CANDIDATE_TIMEOUT_S]


def test_a_late_copy_is_left_out_and_counted(counter: Counter) -> None:
    counter.ask(counter.entity_of("stable"))
    counter.scene.endpoints.calls.clear()
    counter.scene.clock.advance((MAX_AGE + timedelta(seconds=1)).total_seconds())
    assert not shadow_of(counter).answer(counter.mirror.copies[0])
    assert counter.scene.endpoints.calls == []
    assert counter.counted("MirrorExpired") == 1
    assert len(counter.captures()) == 1


@pytest.mark.parametrize("changes", [
    {"sent_at": "2026-01-05T09:00:00"}, {"sent_at": "soon"}, {"version": 0}, {"entity_id": ""},
    {"more": 1}, {"features": []},
])  # fmt: skip
def test_what_is_no_copy_is_refused(counter: Counter, changes: dict[str, Any]) -> None:
    counter.ask(counter.entity_of("stable"))
    copy = {**counter.mirror.sent()[0], **changes}
    with pytest.raises(MalformedEventError, match=next(iter(changes))):
        shadow_of(counter).answer(json.dumps(copy))
    with pytest.raises(MalformedEventError):
        shadow_of(counter).answer("{")
