"""The gateway: sticky, quick to believe a new route, and never without an answer it can give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import DependencyError, ProjectNotFoundError, RejectedError
from steward.domain.exposures import SeenEntities, hashed_entity
from steward.ports import Table
from steward.service.serving import gateway as gateway_module
from steward.service.serving.gateway import project_in_path
from steward.service.serving.telemetry import MAX_LINE_BYTES
from support.gateway_scene import Counter
from support.serving_scene import PROJECT, Scene, container, failing

CAPTURED = {
    "project", "route_version", "step_id", "assignment_probability", "assigned_version",
    "assigned_role", "answering_version", "fallback", "entity", "first_exposure",
    "shadow_pair_id", "inference_id", "time", "features", "prediction", "online",
    "release_id", "failed", "latency_ms",
}  # fmt: skip


@pytest.fixture
def counter() -> Counter:
    """Version 1 is stable and version 2 a canary of 10 percent."""
    scene = Scene()
    scene.play(1)
    scene.begin(2)
    return Counter(scene)


def test_it_answers_with_version_and_inference_id(counter: Counter) -> None:
    answer = counter.ask(counter.entity_of("stable"))
    assert answer["prediction"] == {"probability": 59 / 200, "label": 0}
    assert answer["version"] == 1
    assert answer["inference_id"] == counter.captures()[0]["inference_id"]


def test_an_entity_keeps_its_variant_while_the_share_grows(counter: Counter) -> None:
    entities = [f"p{number}" for number in range(300)]
    before = {entity for entity in entities if counter.ask(entity)["version"] == 2}
    counter.scene.shift("00000002-1", 1)
    counter.now += 1
    after = {entity for entity in entities if counter.ask(entity)["version"] == 2}
    assert 10 <= len(before) <= 60
    assert before < after


def test_the_exposure_has_exactly_the_fields_that_its_analysis_needs(counter: Counter) -> None:
    entity = counter.entity_of("candidate")
    counter.ask(entity)
    counter.ask(entity)
    first, second = counter.captures()
    assert set(first) == CAPTURED
    assert first["assignment_probability"] == 0.1
    assert (first["assigned_version"], first["answering_version"]) == (2, 2)
    assert (first["step_id"], first["route_version"]) == ("canary-1-10", 2)
    assert first["entity"] == hashed_entity(PROJECT, entity)
    assert entity not in json.dumps(first)
    assert (first["first_exposure"], second["first_exposure"]) == (True, False)


def test_the_exposure_of_the_stable_variant_has_the_other_probability(counter: Counter) -> None:
    counter.ask(counter.entity_of("stable"))
    assert counter.captures()[0]["assignment_probability"] == 0.9


@pytest.mark.parametrize(
    "broken",
    [
        failing,
        b"<html>",
        b'{"predictions": []}',
        b'{"predictions": [{"probability": null}]}',
        b'{"predictions": [{"probability": 7}]}',
    ],
)
def test_a_failing_candidate_is_answered_for_and_counted(counter: Counter, broken: Any) -> None:
    counter.scene.endpoints.add("dev-diabetes-v2-prod", broken)
    answer = counter.ask(counter.entity_of("candidate"))
    assert (answer["version"], answer["fallback"]) == (1, True)
    (capture,) = counter.captures()
    assert (capture["assigned_version"], capture["answering_version"]) == (2, 1)
    assert capture["fallback"] is True
    (candidate,) = counter.metrics("candidate")
    assert (candidate["VariantErrors"], candidate["Fallbacks"], candidate["Requests"]) == (1, 1, 1)
    (stable,) = counter.metrics("stable")
    assert (stable["VariantErrors"], stable["Requests"]) == (0, 1)


def test_the_candidate_has_less_time_so_that_the_stable_one_has_some(counter: Counter) -> None:
    counter.scene.endpoints.add("dev-diabetes-v2-prod", failing)
    counter.scene.endpoints.calls.clear()
    counter.ask(counter.entity_of("candidate"))
    candidate, stable = counter.scene.endpoints.calls
    assert candidate.timeout_s < stable.timeout_s
    assert candidate.timeout_s + stable.timeout_s < 29


def test_the_exposure_says_that_the_assigned_variant_failed_and_how_long_it_took(
    counter: Counter,
) -> None:
    def late(_body: bytes, _content_type: str) -> bytes:
        counter.now += 0.25
        raise DependencyError("too late")

    counter.scene.endpoints.add("dev-diabetes-v2-prod", late)
    counter.ask(counter.entity_of("candidate"))
    counter.ask(counter.entity_of("stable"))
    failed, fine = counter.captures()
    assert (failed["failed"], failed["latency_ms"]) == (True, 250.0)
    assert failed["prediction"] is not None  # the stable version's
    assert (fine["failed"], fine["latency_ms"]) == (False, 0.0)
    assert {line["release_id"] for line in (failed, fine)} == {"00000002-1"}


@pytest.mark.parametrize("role", ["stable", "candidate"])
def test_what_nobody_could_answer_is_captured_as_failed(counter: Counter, role: str) -> None:
    for version in (1, 2):
        counter.scene.endpoints.add(f"dev-diabetes-v{version}-prod", failing)
    with pytest.raises(DependencyError):
        counter.ask(counter.entity_of(role))
    (capture,) = counter.captures()
    assert (capture["failed"], capture["prediction"]) == (True, None)
    assert (capture["assigned_role"], capture["fallback"]) == (role, role == "candidate")
    assert capture["answering_version"] == 1
    (line,) = counter.metrics(role)
    assert (line["Units"], line["UnitErrors"]) == (1, 1)


def test_a_unit_counts_at_its_first_exposure_in_a_step(counter: Counter) -> None:
    candidate, stable = counter.entity_of("candidate"), counter.entity_of("stable")
    counter.scene.endpoints.add("dev-diabetes-v2-prod", failing)
    counter.ask(candidate)
    counter.scene.endpoints.add("dev-diabetes-v2-prod", container(counter.scene.project))
    for entity in (candidate, stable, stable):
        counter.ask(entity)

    def units(role: str) -> list[tuple[int | None, int | None, int | None]]:
        lines = counter.metrics(role)
        return [(m.get("Units"), m.get("UnitErrors"), m.get("UnitSlow")) for m in lines]

    assert units("candidate") == [(1, 1, 0), (None, None, None)]
    # The fallback's answer is no exposure of the stable variant.
    assert units("stable") == [(None, None, None), (1, 0, 0), (None, None, None)]
    counter.scene.shift("00000002-1", 1)
    counter.now += 1
    counter.ask(candidate)
    assert units("candidate")[-1] == (1, 0, 0)


def test_a_step_of_the_same_name_in_a_later_release_counts_anew(counter: Counter) -> None:
    entity = counter.entity_of("candidate")
    counter.ask(entity)
    route = counter.scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route is not None
    counter.scene.state.put(Table.ROUTES, {**route, "release_id": "00000003-1"})
    counter.now += 1
    counter.ask(entity)
    assert [capture["first_exposure"] for capture in counter.captures()] == [True, True]
    assert [line["Units"] for line in counter.metrics("candidate")] == [1, 1]


def test_a_refused_request_is_no_exposure_of_the_entity(counter: Counter) -> None:
    entity = counter.entity_of("candidate")
    with pytest.raises(RejectedError):
        counter.ask(entity, {"age": "old", "bmi": 22.0, "sex": "F"})
    counter.ask(entity)
    refused, answered = counter.metrics("candidate")
    assert "Units" not in refused
    assert answered["Units"] == 1


def test_a_failing_stable_version_is_an_error_of_its_own(counter: Counter) -> None:
    counter.scene.endpoints.add("dev-diabetes-v1-prod", failing)
    with pytest.raises(DependencyError):
        counter.ask(counter.entity_of("stable"))
    assert counter.metrics("stable")[0]["VariantErrors"] == 1
    assert counter.metrics("candidate") == []


def test_bad_input_names_the_field_and_counts_against_nobody(counter: Counter) -> None:
    with pytest.raises(RejectedError) as refused:
        counter.ask(counter.entity_of("candidate"), {"age": "old", "bmi": 22.0, "sex": "F"})
    assert refused.value.field == "age"
    (line,) = counter.metrics("candidate")
    assert (line["VariantErrors"], line["Rejections"]) == (0, 1)
    assert counter.captures() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"), (b"[]", "body"), (b"{", "body"), (b"\xff", "body"),
        (b'{"entity_id": "p1", "features": {"age": NaN}}', "body"),
        (b'{"features": {}}', "entity_id"), (b'{"entity_id": 7, "features": {}}', "entity_id"),
        (b'{"entity_id": "", "features": {}}', "entity_id"),
        (b'{"entity_id": "p1"}', "features"), (b'{"entity_id": "p1", "features": []}', "features"),
        (b'{"entity_id": "p1", "features": {}, "debug": 1}', "debug"),
        (b" " * 200_000, "body"), (b"[" * 100_000, "body"),
        (b'{"entity_id": "p1", "features": {"age": 1e999}}', "body"),
        (b'{"entity_id": "p1", "features": {"age": -Infinity}}', "body"),
        (b'{"entity_id": "\\ud800", "features": {}}', "entity_id"),
    ],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused_by_its_field(
    counter: Counter, body: bytes, field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        counter.gateway.answer(PROJECT, body)
    assert refused.value.field == field


def test_a_route_is_believed_for_a_quarter_of_a_second_at_most(counter: Counter) -> None:
    entity = counter.entity_of("candidate")
    assert counter.ask(entity)["version"] == 2
    command = counter.scene.rollback_command(counter.scene.start_rollback(counter.scene.alarm()))
    counter.scene.restore(command)
    counter.now += 0.249
    assert counter.ask(entity)["version"] == 2
    counter.now += 0.002
    assert counter.ask(entity)["version"] == 1
    assert gateway_module.ROUTE_CACHE_S <= 0.25


def test_within_that_time_the_route_is_read_once(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Table] = []
    read = counter.scene.state.get

    def counted(table: Table, key: Any) -> Any:
        reads.append(table)
        return read(table, key)

    monkeypatch.setattr(counter.scene.state, "get", counted)
    for _ in range(20):
        counter.ask()
    assert reads == [Table.ROUTES]


def test_a_route_that_is_none_answers_nobody_and_says_why(counter: Counter) -> None:
    route = counter.scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route is not None
    counter.route(arms=[{**arm, "share": 45.0} for arm in route["arms"]])
    with pytest.raises(DependencyError, match=r"cannot be used: shares sum to 90\.0, not 100"):
        counter.ask()
    counter.route(arms=route["arms"])
    assert counter.ask()["version"] in (1, 2)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1.5", "-0.1", '"0.5"', "null"])
def test_an_answer_that_is_no_probability_is_the_versions_fault(
    counter: Counter, value: str
) -> None:
    body = f'{{"predictions": [{{"probability": {value}, "label": 1}}]}}'.encode()
    counter.scene.endpoints.add("dev-diabetes-v2-prod", body)
    answer = counter.ask(counter.entity_of("candidate"))
    assert (answer["version"], answer["fallback"]) == (1, True)
    assert [line["VariantErrors"] for line in counter.metrics("candidate")] == [1]
    counter.scene.endpoints.add("dev-diabetes-v1-prod", body)
    with pytest.raises(DependencyError, match="version 1 answered no"):
        counter.ask(counter.entity_of("stable"))


@pytest.mark.parametrize("value", [-3.5, 0, 1e9])
def test_a_version_may_answer_any_finite_number_as_its_value(
    counter: Counter, value: float
) -> None:
    body = json.dumps({"predictions": [{"value": value}]}).encode()
    counter.scene.endpoints.add("dev-diabetes-v2-prod", body)
    answer = counter.ask(counter.entity_of("candidate"))
    assert (answer["version"], answer["prediction"]) == (2, {"value": value})


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"12"', "null", "true", "1e999"])
def test_a_value_that_is_no_finite_number_is_the_versions_fault(
    counter: Counter, value: str
) -> None:
    body = f'{{"predictions": [{{"value": {value}}}]}}'.encode()
    counter.scene.endpoints.add("dev-diabetes-v2-prod", body)
    answer = counter.ask(counter.entity_of("candidate"))
    assert (answer["version"], answer["fallback"]) == (1, True)


def test_a_candidate_whose_endpoint_is_removed_is_answered_for_and_counted(
    counter: Counter,
) -> None:
    counter.scene.endpoints.delete("dev-diabetes-v2-prod")
    answer = counter.ask(counter.entity_of("candidate"))
    assert (answer["version"], answer["fallback"]) == (1, True)
    assert [line["VariantErrors"] for line in counter.metrics("candidate")] == [1]


def test_an_unknown_project_is_not_found_and_one_without_release_is_not_ready() -> None:
    scene = Scene()
    counter = Counter(scene)
    with pytest.raises(DependencyError):
        counter.ask()
    with pytest.raises(ProjectNotFoundError):
        counter.gateway.answer("another", b'{"entity_id": "p1", "features": {}}')


@pytest.mark.parametrize("path", ["/", "/Diabetes", "/diabetes/predict", "diabetes", "//x"])
def test_only_the_path_of_a_project_is_served(path: str) -> None:
    with pytest.raises(ProjectNotFoundError):
        project_in_path(path)


def test_slow_answers_are_counted_by_the_guardrails_limit(counter: Counter) -> None:
    honest = container(counter.scene.project)

    def slow(body: bytes, content_type: str) -> bytes:
        counter.now += 1.2
        return honest(body, content_type)

    counter.scene.endpoints.add("dev-diabetes-v2-prod", slow)
    counter.ask(counter.entity_of("candidate"))
    (line,) = counter.metrics("candidate")
    assert line["VariantSlow"] == 1
    assert line["VariantLatency"] == pytest.approx(1200)


def test_metrics_are_embedded_by_the_second_with_fixed_dimensions(counter: Counter) -> None:
    counter.ask(counter.entity_of("candidate"))
    (line,) = counter.metrics("candidate")
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Steward/dev"
    assert directive["Dimensions"] == [["project", "role"]]
    assert {metric["StorageResolution"] for metric in directive["Metrics"]} == {1}
    assert {metric["Name"] for metric in directive["Metrics"]} <= set(line)
    assert (line["project"], line["role"]) == (PROJECT, "candidate")


def test_a_capture_that_fails_is_counted_and_the_answer_given(counter: Counter) -> None:
    limit = MAX_LINE_BYTES

    def long(row: dict[str, Any]) -> float:
        return float(row["age"]) / 200

    honest = container(counter.scene.project, of=long)

    def wordy(body: bytes, content_type: str) -> bytes:
        answer = json.loads(honest(body, content_type))
        answer["predictions"][0]["why"] = "x" * limit
        return json.dumps(answer).encode()

    counter.scene.endpoints.add("dev-diabetes-v1-prod", wordy)
    assert counter.ask(counter.entity_of("stable"))["version"] == 1
    assert counter.captures() == []
    failures = [json.loads(line) for line in counter.lines if "CaptureFailures" in line]
    assert [line["CaptureFailures"] for line in failures] == [1]


def test_seen_entities_are_bounded() -> None:
    seen = SeenEntities(capacity=2)
    assert [seen.first("a", "s", entity) for entity in ("1", "2", "1", "3", "1", "2")] == [
        True, True, False, True, False, True,
    ]  # fmt: skip
