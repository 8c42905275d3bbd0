"""The gateway reads online what a request does not give, and never makes a value up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from steward.domain.errors import DependencyError, RejectedError
from steward.domain.exposures import hashed_entity
from steward.domain.routes import assign
from steward.service.metric_lines import MetricLog
from steward.service.serving.asking import CANDIDATE_TIMEOUT_S, STABLE_TIMEOUT_S
from steward.service.serving.completion import CANDIDATE_READ_S, STABLE_READ_S
from steward.service.serving.gateway import Gateway
from steward.service.serving.telemetry import Telemetry
from support.fake_mirror import FakeMirrorQueue
from support.fakes import FakeFeatureReader
from support.online_scene import feature_project
from support.serving_scene import PROJECT, Scene, failing

SELECTED = ["pulse", "glucose", "measured_1d"]
OWN = {"age": 59, "bmi": 32.1, "sex": "F"}
FIRST = {"pulse": 71, "glucose": 5.5, "measured_1d": 3}
SECOND = {"pulse": 72, "glucose": None, "measured_1d": 0}


@dataclass
class Counter:
    """A gateway on fakes; versions 1 and 2 pin different versions of the group."""

    scene: Scene = field(
        default_factory=lambda: Scene(
            project=feature_project(features=[{"group": "vitals", "select": SELECTED}])
        )
    )
    lines: list[str] = field(default_factory=list)
    reader: FakeFeatureReader = field(default_factory=FakeFeatureReader)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.scene.play(1)
        self.scene.begin(2)
        self.gateway = Gateway(
            state=self.scene.state, endpoints=self.scene.endpoints, features=self.reader,
            assignments=lambda: self.scene.state, mirror=FakeMirrorQueue(),
            telemetry=Telemetry(MetricLog("dev", self.lines.append)), clock=self.scene.clock,
            ids=self.scene.ids, timer=lambda: self.now,
        )  # fmt: skip
        for role in ("stable", "candidate"):
            entity = self.entity_of(role)
            self.reader.values |= {(1, entity): FIRST, (2, entity): SECOND}
        self.scene.endpoints.calls.clear()

    def ask(self, role: str, **features: Any) -> dict[str, Any]:
        body = {"entity_id": self.entity_of(role), "features": {**OWN, **features}}
        return self.gateway.answer(PROJECT, json.dumps(body).encode()).as_dict()

    def given(self) -> list[dict[str, Any]]:
        """Return what each container was given, in order."""
        return [json.loads(c.body)["instances"][0] for c in self.scene.endpoints.calls]

    def capture(self) -> dict[str, Any]:
        (found,) = [p["capture"] for line in self.lines if "capture" in (p := json.loads(line))]
        return dict(found)

    def metric(self, role: str, name: str) -> list[float]:
        parsed = [json.loads(line) for line in self.lines]
        return [line[name] for line in parsed if line.get("role") == role and name in line]

    def entity_of(self, role: str) -> str:
        route = self.scene.route()
        assert route is not None
        entities = (f"p{number}" for number in range(10_000))
        return next(entity for entity in entities if assign(route, entity).role == role)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.mark.parametrize(
    ("role", "version", "read"), [("stable", 1, FIRST), ("candidate", 2, SECOND)]
)
def test_each_version_is_given_the_features_of_its_own_views(
    counter: Counter, role: str, version: int, read: dict[str, Any]
) -> None:
    answer = counter.ask(role)
    assert answer["version"] == version
    assert counter.given() == [{**OWN, **read}]
    ((command, _),) = counter.reader.calls
    assert (command.project, command.version) == (PROJECT, version)
    assert command.entities == [{**OWN, "patient_id": counter.entity_of(role)}]


def test_values_of_the_request_win_and_an_explicit_null_is_one(counter: Counter) -> None:
    counter.ask("stable", pulse=50, glucose=None)
    assert counter.given() == [{**OWN, "pulse": 50, "glucose": None, "measured_1d": 3}]
    ((command, _),) = counter.reader.calls
    assert command.entities[0]["pulse"] == 50
    assert command.entities[0]["glucose"] is None


def test_a_request_that_gives_everything_does_without_the_store(counter: Counter) -> None:
    counter.reader.failing[1] = DependencyError("the store is down")
    answer = counter.ask("stable", **FIRST)
    assert answer["version"] == 1
    assert counter.reader.calls == []
    assert counter.capture()["online"] is None


def test_a_model_without_views_reads_nothing() -> None:
    scene = Scene()
    scene.play(1)
    reader = FakeFeatureReader()
    reader.failing[1] = DependencyError("the store is down")
    gateway = Gateway(
        state=scene.state, endpoints=scene.endpoints, features=reader,
        assignments=lambda: scene.state, mirror=FakeMirrorQueue(),
        telemetry=Telemetry(MetricLog("dev", lambda _: None)), clock=scene.clock, ids=scene.ids,
        timer=lambda: 0.0,
    )  # fmt: skip
    gateway.answer(PROJECT, json.dumps({"entity_id": "p1", "features": OWN}).encode())
    assert reader.calls == []


def test_the_exposure_has_the_served_values_and_no_id(counter: Counter) -> None:
    counter.ask("stable", pulse=50)
    capture, entity = counter.capture(), counter.entity_of("stable")
    assert capture["features"] == {**OWN, **FIRST, "pulse": 50}
    online = capture["online"]
    assert online["served"] == ["glucose", "measured_1d"]
    assert online["read_at"] == counter.reader.read_at
    (record,) = online["records"]
    assert record["entity"] == hashed_entity(PROJECT, entity)
    assert (record["group"], record["version"]) == ("vitals", 1)
    assert f'"{entity}"' not in json.dumps(capture)


def test_a_candidate_whose_features_cannot_be_read_is_answered_for_with_the_stable_views(
    counter: Counter,
) -> None:
    counter.reader.failing[2] = DependencyError("no such group version")
    answer = counter.ask("candidate")
    assert (answer["version"], answer["fallback"]) == (1, True)
    assert counter.given() == [{**OWN, **FIRST}], "the candidate is not asked without features"
    assert counter.metric("candidate", "VariantErrors") == [1]
    assert counter.metric("candidate", "Fallbacks") == [1]
    assert counter.metric("candidate", "FeatureReadFailures") == [1]
    assert counter.metric("stable", "VariantErrors") == [0]
    assert counter.metric("stable", "FeatureReadFailures") == [0]
    assert counter.capture()["features"] == {**OWN, **FIRST}


def test_a_failing_candidate_falls_back_to_the_stable_views_too(counter: Counter) -> None:
    counter.scene.endpoints.add("dev-diabetes-v2-prod", failing)
    assert counter.ask("candidate")["fallback"] is True
    assert counter.given() == [{**OWN, **SECOND}, {**OWN, **FIRST}]


def test_without_the_store_the_stable_version_does_not_answer(counter: Counter) -> None:
    counter.reader.failing[1] = DependencyError("the store is down")
    with pytest.raises(DependencyError, match="the store is down"):
        counter.ask("stable")
    assert counter.scene.endpoints.calls == []
    assert counter.metric("stable", "VariantErrors") == [1]
    assert counter.metric("stable", "FeatureReadFailures") == [1]


def test_a_value_that_was_not_read_is_no_null(counter: Counter) -> None:
    counter.reader.values[1, counter.entity_of("stable")] = {"pulse": 71}
    with pytest.raises(DependencyError, match="glucose, measured_1d"):
        counter.ask("stable")
    assert counter.scene.endpoints.calls == []


def test_a_request_that_the_reader_refuses_counts_against_nobody(counter: Counter) -> None:
    counter.reader.failing[2] = RejectedError("age is 'old'", field="age")
    with pytest.raises(RejectedError) as refused:
        counter.ask("candidate", age="old")
    assert refused.value.field == "age"
    assert counter.metric("candidate", "VariantErrors") == [0]
    assert counter.metric("candidate", "Rejections") == [1]
    assert counter.metric("candidate", "FeatureReadFailures") == [0]


def test_reads_have_a_budget_that_leaves_time_for_the_fallback(counter: Counter) -> None:
    counter.reader.failing[2] = DependencyError("late")
    counter.ask("candidate")
    (_, candidate), (_, stable) = counter.reader.calls
    assert (candidate, stable) == (CANDIDATE_READ_S, STABLE_READ_S)
    assert CANDIDATE_READ_S + CANDIDATE_TIMEOUT_S + STABLE_READ_S + STABLE_TIMEOUT_S < 29


def test_the_time_of_the_read_is_part_of_the_versions_latency(counter: Counter) -> None:
    def late(_timeout_s: float) -> None:
        counter.now += 1.2

    counter.reader.before = late
    counter.ask("candidate")
    assert counter.metric("candidate", "FeatureReadLatency") == [pytest.approx(1200)]
    assert counter.metric("candidate", "VariantLatency") == [pytest.approx(1200)]
    assert counter.metric("candidate", "VariantSlow") == [1]


def test_a_rollback_brings_back_the_views_of_the_version_before(counter: Counter) -> None:
    scene = counter.scene
    scene.restore(scene.rollback_command(scene.start_rollback(scene.alarm())))
    counter.now += 1
    assert counter.ask("stable")["version"] == 1
    assert counter.given() == [{**OWN, **FIRST}]
