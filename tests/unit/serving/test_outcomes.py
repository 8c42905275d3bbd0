"""Outcomes: good rows are kept, bad ones named by index and field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import MalformedEventError, ProjectNotFoundError
from steward.domain.exposures import hashed_entity
from steward.ports import Table
from steward.service.serving.outcomes import MAX_ROWS, record_outcomes
from support.serving_scene import CAPTURE, PROJECT, Scene

AT = "2026-01-05T10:00:00+02:00"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.play(1)
    return scene


def record(scene: Scene, rows: object, project: str = PROJECT) -> dict[str, Any]:
    return record_outcomes(
        project, rows, caller="arn:aws:iam::000000000000:user/lab", request_id="r-1",
        state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids,
        capture_bucket=CAPTURE,
    )  # fmt: skip


def lines(scene: Scene, uri: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scene.objects.read(uri).decode().splitlines()]


def test_outcomes_become_json_lines_with_utc_times_and_hashed_entities(scene: Scene) -> None:
    answer = record(
        scene,
        [
            {"inference_id": "i-1", "outcome": 1, "observed_at": AT},
            {"entity_id": "p7", "outcome": False, "observed_at": AT},
        ],
    )
    first, second = lines(scene, answer["uri"])
    assert first["observed_at"] == "2026-01-05T08:00:00.000+00:00"
    assert (first["inference_id"], first["outcome"]) == ("i-1", 1)
    assert first["recorded_at"] == scene.clock.now().isoformat(timespec="milliseconds")
    assert second["entity"] == hashed_entity(PROJECT, "p7")
    assert second["outcome"] is False
    assert answer["uri"].startswith(f"s3://{CAPTURE}/outcomes/{PROJECT}/2026/01/05/")
    (told,) = scene.told("OutcomesRecorded")
    assert (told.count, told.uri) == (2, answer["uri"])


def test_the_first_outcome_of_a_prediction_wins_within_a_batch(scene: Scene) -> None:
    row = {"inference_id": "i-1", "outcome": 1, "observed_at": AT}
    answer = record(scene, [row, {**row, "outcome": 0}, {**row, "inference_id": "i-2"}])
    assert answer["duplicates"] == [1]
    assert [line["outcome"] for line in lines(scene, answer["uri"])] == [1, 1]


def test_a_batch_sent_twice_is_one_object_of_the_first_time(scene: Scene) -> None:
    rows = [{"inference_id": "i-1", "outcome": 1, "observed_at": AT}]
    uri = record(scene, rows)["uri"]
    before = scene.objects.read(uri)
    scene.clock.advance(60)
    assert record(scene, rows)["uri"] == uri
    assert scene.objects.read(uri) == before


def test_an_outcome_of_an_id_that_nobody_was_given_is_kept_for_the_join_to_count(
    scene: Scene,
) -> None:
    assert record(scene, [{"inference_id": "?", "outcome": 1, "observed_at": AT}])["recorded"] == 1


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"outcome": 1, "observed_at": AT}, "inference_id"),
        ({"inference_id": "i", "entity_id": "p", "outcome": 1, "observed_at": AT}, "inference_id"),
        ({"inference_id": 7, "outcome": 1, "observed_at": AT}, "inference_id"),
        ({"inference_id": "i", "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": None, "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": float("inf"), "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": float("nan"), "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": 2**53 + 1, "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": "x" * 257, "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": [1], "observed_at": AT}, "outcome"),
        ({"inference_id": "i" * 65, "outcome": 1, "observed_at": AT}, "inference_id"),
        ({"entity_id": "\ud800", "outcome": 1, "observed_at": AT}, "entity_id"),
        ({"inference_id": "i", "outcome": 1, "observed_at": "yesterday"}, "observed_at"),
        ({"inference_id": "i", "outcome": 1, "observed_at": 1767603600}, "observed_at"),
        ({"inference_id": "i", "outcome": 1, "observed_at": "2026-01-01T10:00:00"}, "observed_at"),
        ({"inference_id": "i", "outcome": 1, "observed_at": "2027-01-01T10:00:00Z"}, "observed_at"),
        (
            {"inference_id": "i", "outcome": 1, "observed_at": "0001-01-01T00:00:00+23:59"},
            "observed_at",
        ),
        ({"inference_id": "i", "outcome": 1, "observed_at": AT, "note": "x"}, "note"),
        ("text", "$"),
    ],
)
def test_a_bad_row_is_refused_by_index_and_field_and_the_others_kept(
    scene: Scene, row: object, field: str
) -> None:
    good = {"inference_id": "i-0", "outcome": 1, "observed_at": AT}
    answer = record(scene, [good, row])
    assert answer["recorded"] == 1
    (refused,) = answer["refused"]
    assert (refused["index"], refused["field"]) == (1, field)
    assert refused["value"] in refused["message"]
    assert refused["allowed"] in refused["message"]
    assert scene.told("OutcomesRecorded")[0].refused == 1


@pytest.mark.parametrize("rows", [None, {}, [], [{}], [{}] * (MAX_ROWS + 1)])
def test_a_batch_without_a_good_row_is_refused(scene: Scene, rows: object) -> None:
    with pytest.raises(MalformedEventError):
        record(scene, rows)
    assert scene.told("OutcomesRecorded") == []


def test_a_project_that_serves_nothing_has_no_outcomes(scene: Scene) -> None:
    with pytest.raises(ProjectNotFoundError):
        record(scene, [{"inference_id": "i", "outcome": 1, "observed_at": AT}], "another")


@pytest.fixture
def withheld(scene: Scene) -> Scene:
    """A scene whose project declares an attribute that no model sees."""
    item = scene.state.get(Table.PROJECTS, {"project": PROJECT})
    assert item is not None
    item["config"]["bias"] = {
        "attributes": [{"column": "sex", "feature": False}, {"column": "age", "feature": True}]
    }
    scene.state.put(Table.PROJECTS, item)
    return scene


def test_attributes_that_no_model_sees_are_kept_beside_the_outcome(withheld: Scene) -> None:
    row = {"inference_id": "i-1", "outcome": 1, "observed_at": AT}
    answer = record(
        withheld,
        [{**row, "attributes": {"sex": "F"}}, {**row, "inference_id": "i-2", "attributes": {}}],
    )
    first, second = lines(withheld, answer["uri"])
    assert first["attributes"] == {"sex": "F"}
    assert "attributes" not in second


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"age": 30}, "attributes.age"), ({"religion": "none"}, "attributes.religion"),
        ({"sex": float("nan")}, "attributes.sex"), ({"sex": ["F"]}, "attributes.sex"),
        ({"sex": "x" * 300}, "attributes.sex"), ("F", "attributes"),
        ({f"a{n}": 1 for n in range(11)}, "attributes"),
    ],
)  # fmt: skip
def test_other_attributes_are_refused_by_name(withheld: Scene, attributes: Any, field: str) -> None:
    row = {"inference_id": "i-1", "outcome": 1, "observed_at": AT}
    answer = record(withheld, [row, {**row, "attributes": attributes}])
    [refused] = answer["refused"]
    assert (refused["index"], refused["field"]) == (1, field)


def test_without_a_declared_attribute_none_is_taken(scene: Scene) -> None:
    row = {"inference_id": "i-1", "outcome": 1, "observed_at": AT, "attributes": {"sex": "F"}}
    with pytest.raises(MalformedEventError, match="no attribute is declared"):
        record(scene, [row])


def test_attributes_belong_to_a_prediction_not_to_an_entity(withheld: Scene) -> None:
    row = {"entity_id": "p7", "outcome": 1, "observed_at": AT, "attributes": {"sex": "F"}}
    with pytest.raises(MalformedEventError, match="belong to a prediction"):
        record(withheld, [row])
