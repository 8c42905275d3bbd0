"""Outcomes: good rows are kept, bad ones named by index and field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import MalformedEventError, ProjectNotFoundError
from steward.domain.exposures import hashed_entity
from steward.service.serving.outcomes import MAX_ROWS, record_outcomes
from support.serving_scene import CAPTURE, PROJECT, Scene

AT = "2026-02-01T10:00:00+02:00"


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
    assert first["observed_at"] == "2026-02-01T08:00:00.000+00:00"
    assert (first["inference_id"], first["outcome"]) == ("i-1", 1)
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


def test_a_batch_sent_twice_is_one_object(scene: Scene) -> None:
    rows = [{"inference_id": "i-1", "outcome": 1, "observed_at": AT}]
    assert record(scene, rows)["uri"] == record(scene, rows)["uri"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"outcome": 1, "observed_at": AT}, "$"),
        ({"inference_id": "i", "entity_id": "p", "outcome": 1, "observed_at": AT}, "$"),
        ({"inference_id": 7, "outcome": 1, "observed_at": AT}, "inference_id"),
        ({"inference_id": "i", "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": None, "observed_at": AT}, "outcome"),
        ({"inference_id": "i", "outcome": float("inf"), "observed_at": AT}, "$"),
        ({"inference_id": "i", "outcome": 1, "observed_at": "yesterday"}, "$"),
        ({"inference_id": "i", "outcome": 1, "observed_at": "2026-02-01T10:00:00"}, "$"),
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
    assert refused["message"]


@pytest.mark.parametrize("rows", [None, {}, [], [{}], [{}] * (MAX_ROWS + 1)])
def test_a_batch_without_a_good_row_is_refused(scene: Scene, rows: object) -> None:
    with pytest.raises(MalformedEventError):
        record(scene, rows)
    assert scene.told("OutcomesRecorded") == []


def test_a_project_that_serves_nothing_has_no_outcomes(scene: Scene) -> None:
    with pytest.raises(ProjectNotFoundError):
        record(scene, [{"inference_id": "i", "outcome": 1, "observed_at": AT}], "another")
