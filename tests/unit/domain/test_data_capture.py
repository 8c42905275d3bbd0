"""SageMaker's captured lines, and to what version and step they were exposed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.domain.data_capture import (
    CapturedFile,
    CapturedRequest,
    Placement,
    captured_of_key,
    exposure_of,
    placement,
    requests_of,
)
from steward.domain.errors import RejectedError
from steward.domain.exposures import hashed_entity
from steward.domain.releases import applied_field

COLUMNS = ["age", "sex"]
SHIFTED = datetime(2026, 1, 5, 9, 0, 0, 500_000, tzinfo=UTC)
FOLLOWED = SHIFTED + timedelta(seconds=60)


def side(data: str, encoding: str = "JSON", kind: str = "application/json") -> dict[str, str]:
    return {"observedContentType": kind, "mode": "X", "data": data, "encoding": encoding}


def record(**changes: Any) -> dict[str, Any]:
    return {
        "captureData": {
            "endpointInput": side('{"instances": [{"age": 59, "sex": 1}]}'),
            "endpointOutput": side('{"predictions": [{"probability": 0.7, "label": 1}]}'),
        },
        "eventMetadata": {
            "eventId": "e-1", "inferenceId": "i-1", "inferenceTime": "2026-01-05T09:00:00Z",
        },
        "eventVersion": "0",
        **changes,
    }  # fmt: skip


def parsed(content: bytes) -> list[CapturedRequest | RejectedError]:
    return [request for _, request, _ in requests_of(content, COLUMNS)]


def only(told: dict[str, Any]) -> CapturedRequest | RejectedError:
    (request,) = parsed(json.dumps(told).encode())
    return request


@pytest.mark.parametrize(
    ("key", "file"),
    [
        (
            "captured/dev-ward-variants-prod/v12/2026/01/05/09/00-01-2.jsonl",
            CapturedFile("ward", 12),
        ),
        ("captured/dev-ward-b-variants-prod/v1/2026/01/05/09/x.jsonl", CapturedFile("ward-b", 1)),
        ("captured/dev-ward-v1-prod/v1/2026/01/05/09/x.jsonl", None),
        ("captured/dev-ward-variants-prod/AllTraffic/2026/01/05/09/x.jsonl", None),
        ("captured/dev-ward-variants-prod/v0/2026/01/05/09/x.jsonl", None),
        ("captured/dev-ward-variants-prod/v1/x.jsonl", None),
        ("exposures/2026/01/05/x.jsonl", None),
    ],
)
def test_a_key_says_whose_requests_a_file_holds(key: str, file: CapturedFile | None) -> None:
    assert captured_of_key("dev", key) == file


def test_a_captured_request_is_read() -> None:
    assert only(record()) == CapturedRequest(
        inference_id="i-1", at=datetime(2026, 1, 5, 9, tzinfo=UTC),
        features={"age": 59, "sex": 1}, prediction={"probability": 0.7, "label": 1},
    )  # fmt: skip


def test_without_an_inference_id_the_events_own_id_counts() -> None:
    told = record()
    del told["eventMetadata"]["inferenceId"]
    request = only(told)
    assert isinstance(request, CapturedRequest)
    assert request.inference_id == "e-1"


@pytest.mark.parametrize("encoding", ["CSV", "BASE64"])
def test_a_row_of_csv_is_read_by_the_columns_of_the_model(encoding: str) -> None:
    def text(data: str) -> str:
        return base64.b64encode(data.encode()).decode() if encoding == "BASE64" else data

    told = record(
        captureData={
            "endpointInput": side(text("59,1\n"), encoding, "text/csv"),
            "endpointOutput": side(text("0.25\n"), encoding, "text/csv"),
        }
    )
    request = only(told)
    assert isinstance(request, CapturedRequest)
    assert request.features == {"age": 59.0, "sex": 1.0}
    assert request.prediction == {"probability": 0.25}


def test_a_cell_of_a_text_column_stays_a_text() -> None:
    told = record(
        captureData={
            "endpointInput": side("59,007\n", "CSV", "text/csv"),
            "endpointOutput": side("0.25\n", "CSV", "text/csv"),
        }
    )
    content = json.dumps(told).encode()
    ((_, request, _),) = requests_of(content, COLUMNS, texts=frozenset({"sex"}))
    assert isinstance(request, CapturedRequest)
    assert request.features == {"age": 59.0, "sex": "007"}


def test_a_csv_answer_of_a_regression_is_its_value() -> None:
    told = record(
        captureData={
            "endpointInput": side("59,1\n", "CSV", "text/csv"),
            "endpointOutput": side("-12.5\n", "CSV", "text/csv"),
        }
    )
    content = json.dumps(told).encode()
    ((_, request, _),) = requests_of(content, COLUMNS, "regression")
    assert isinstance(request, CapturedRequest)
    assert request.prediction == {"value": -12.5}


def _without(name: str) -> dict[str, Any]:
    told = record()
    del told[name]
    return told


def _given(data: str, encoding: str = "JSON") -> dict[str, Any]:
    told = record()
    told["captureData"]["endpointInput"] = side(data, encoding)
    return told


def _at(time: object) -> dict[str, Any]:
    told = record()
    told["eventMetadata"]["inferenceTime"] = time
    return told


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (_without("captureData"), "captureData"),
        (_without("eventMetadata"), "eventMetadata"),
        (record(eventMetadata={"inferenceTime": "2026-01-05T09:00:00Z"}), "eventMetadata.eventId"),
        (record(captureData={"endpointInput": side("{}")}), "endpointOutput"),
        (_given('{"instances": [{"age": 1}, {"age": 2}]}'), "captureData.endpointInput.data"),
        (_given('{"instances": []}'), "captureData.endpointInput.data"),
        (_given('{"rows": 1}'), "captureData.endpointInput.data"),
        (_given('{"instances": [{"age": NaN}]}'), "captureData.endpointInput.data"),
        (_given('{"instances": [{"age":'), "captureData.endpointInput.data"),
        (_given("1,2,3", "CSV"), "captureData.endpointInput.data"),
        (_given("###", "BASE64"), "captureData.endpointInput.data"),
        (_given("{}", "PARQUET"), "captureData.endpointInput.encoding"),
        (_at("yesterday"), "eventMetadata.inferenceTime"),
        (_at("2026-01-05T09:00:00"), "eventMetadata.inferenceTime"),
        (_at(None), "eventMetadata.inferenceTime"),
    ],
)
def test_what_is_no_captured_request_is_refused_with_its_field(
    told: dict[str, Any], field: str
) -> None:
    refused = only(told)
    assert isinstance(refused, RejectedError)
    assert refused.field == field


def test_a_file_that_breaks_off_loses_its_last_line_alone() -> None:
    line = json.dumps(record()).encode()
    whole, torn = parsed(line + b"\n" + line[: len(line) // 2])
    assert isinstance(whole, CapturedRequest)
    assert isinstance(torn, RejectedError)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"[1, 2]"])
def test_other_content_gives_no_request(content: bytes) -> None:
    assert not any(isinstance(request, CapturedRequest) for request in parsed(content))


# --- exposed to what ----------------------------------------------------------------------


def release(**changes: Any) -> dict[str, Any]:
    step = {"step_id": "canary-1-10", "mirror_percent": 0}
    shift = {
        "step_id": "canary-1-10", "shares": {"1": 90, "2": 10}, "at": SHIFTED.isoformat(),
        "route_version": 5,
    }  # fmt: skip
    told = {
        "release_id": "00000002-1", "version": 2, "status": "running", "shifts": [shift],
        "plan": {"steps": [step]}, applied_field(5): FOLLOWED.isoformat(),
    }  # fmt: skip
    return told | changes


def placed(version: int, at: datetime, *releases: dict[str, Any]) -> Placement:
    return placement(releases or [release()], version, at)


def second(after: float) -> datetime:
    """Return a whole second so long after the shift."""
    return (SHIFTED + timedelta(seconds=after)).replace(microsecond=0)


@pytest.mark.parametrize(("version", "role", "chance"), [(1, "stable", 0.9), (2, "candidate", 0.1)])
def test_a_request_belongs_to_the_step_whose_weights_are_true(
    version: int, role: str, chance: float
) -> None:
    place = placed(version, second(62))
    assert (place.release_id, place.step_id) == ("00000002-1", "canary-1-10")
    assert place.role == role
    assert place.probability == pytest.approx(chance)


@pytest.mark.parametrize("after", [1, 30, 60])
def test_while_weights_follow_a_request_belongs_to_no_step(after: float) -> None:
    assert placed(2, second(after)).release_id is None


def test_weights_that_never_followed_place_nothing() -> None:
    unfollowed = release()
    del unfollowed[applied_field(5)]
    assert placed(2, second(1000), unfollowed).release_id is None


def test_the_second_of_the_next_shift_belongs_to_neither_step() -> None:
    following = {
        "step_id": "canary-2-50", "shares": {"1": 50, "2": 50}, "route_version": 6,
        "at": (SHIFTED + timedelta(seconds=300)).isoformat(),
    }  # fmt: skip
    both = release(shifts=[*release()["shifts"], following])
    assert placed(2, second(299), both).release_id == "00000002-1"
    assert placed(2, second(300), both).release_id is None


def test_before_any_route_nothing_is_placed() -> None:
    assert placed(1, second(-10)).release_id is None


@pytest.mark.parametrize("status", ["failed", "not_promoted"])
def test_after_a_release_gave_its_traffic_back_nothing_belongs_to_it(status: str) -> None:
    ended = release(status=status, ended_at=(SHIFTED + timedelta(seconds=200)).isoformat())
    assert placed(1, second(150), ended).release_id == "00000002-1"
    assert placed(1, second(200), ended).release_id is None


def test_a_version_that_has_no_share_is_not_placed() -> None:
    assert placed(7, second(62)).release_id is None


def test_a_completed_version_is_stable() -> None:
    done = {
        "step_id": "canary-done", "shares": {"2": 100}, "at": SHIFTED.isoformat(),
        "route_version": 5,
    }  # fmt: skip
    place = placed(2, second(62), release(status="completed", shifts=[done]))
    assert (place.role, place.probability) == ("stable", 1.0)


def test_a_shadow_and_the_version_that_answers_are_paired() -> None:
    step = {"step_id": "shadow-40", "mirror_percent": 40}
    shift = {
        "step_id": "shadow-40", "shares": {"1": 100, "2": 0}, "at": SHIFTED.isoformat(),
        "route_version": 5,
    }  # fmt: skip
    shadowing = release(shifts=[shift], plan={"steps": [step]})
    request = only(record())
    assert isinstance(request, CapturedRequest)
    stable, shadow = (
        exposure_of(CapturedFile("ward", v), request, placed(v, second(62), shadowing))
        for v in (1, 2)
    )
    assert (stable.assigned_role, shadow.assigned_role) == ("stable", "shadow")
    assert shadow.assignment_probability == pytest.approx(0.4)
    assert shadow.shadow_pair_id == stable.shadow_pair_id == stable.inference_id == "i-1"
    assert shadow.inference_id != "i-1"
    assert stable.entity == shadow.entity == hashed_entity("ward", "i-1")
