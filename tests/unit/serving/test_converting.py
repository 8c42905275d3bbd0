"""Captured files become exposures; what is none is kept beside the reason."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.contracts.incoming import ObjectCreated, Received
from steward.domain.releases import applied_field
from steward.ports import Table
from steward.service.serving.converting import Conversion, convert_captures
from support.serving_scene import CAPTURE, DATA, PROJECT, Scene

KEY = f"captured/dev-{PROJECT}-variants-prod/v2/2026/01/05/09/00-00-1.jsonl"
AT = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)


def line(number: int = 1, row: dict[str, Any] | None = None) -> bytes:
    def side(data: Any) -> dict[str, str]:
        return {"mode": "X", "data": json.dumps(data), "encoding": "JSON"}

    told = {
        "captureData": {
            "endpointInput": side({"instances": [row or {"age": 59}]}),
            "endpointOutput": side({"predictions": [{"probability": 0.7, "label": 1}]}),
        },
        "eventMetadata": {
            "eventId": f"e-{number}", "inferenceTime": AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "eventVersion": "0",
    }  # fmt: skip
    return json.dumps(told).encode() + b"\n"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    shift = {
        "step_id": "canary-1-10", "shares": {"1": 90, "2": 10}, "route_version": 5,
        "at": (AT - timedelta(minutes=5)).isoformat(),
    }  # fmt: skip
    scene.state.put(
        Table.RELEASES,
        {
            "project": PROJECT, "release_id": "00000002-1", "version": 2, "status": "running",
            "shifts": [shift], applied_field(5): (AT - timedelta(minutes=4)).isoformat(),
        },
    )  # fmt: skip
    return scene


def convert(scene: Scene, content: bytes, key: str = KEY) -> dict[str, Any]:
    scene.objects.write(f"s3://{CAPTURE}/{key}", content)
    detail = ObjectCreated.model_validate(
        {"bucket": {"name": CAPTURE}, "object": {"key": key, "size": len(content)}}
    )
    received = Received(
        id="event-1", time="2026-01-05T09:06:00Z", source="aws.s3", detail_type="Object Created",
        resources=[], replayed=False, meta=None, detail=detail,
    )  # fmt: skip
    conversion = Conversion(scene.state, scene.objects, DATA, CAPTURE, "dev")
    return convert_captures(received, conversion)


def written(scene: Scene, prefix: str, bucket: str = CAPTURE) -> dict[str, bytes]:
    return {
        info.key: scene.objects.read(f"s3://{bucket}/{info.key}")
        for info in scene.objects.list(bucket, prefix)
    }


def test_requests_become_exposures_of_their_step(scene: Scene) -> None:
    content = line(1) + line(2)
    told = convert(scene, content)
    assert (told["outcome"], told["exposures"], told["refused"]) == ("converted", 2, 0)
    ((key, body),) = written(scene, "exposures/").items()
    digest = hashlib.sha256(content).hexdigest()
    assert key == f"exposures/2026/01/05/{PROJECT}-v2-{digest}.jsonl"
    captures = [json.loads(text)["capture"] for text in body.splitlines()]
    assert [c["inference_id"] for c in captures] == ["e-1", "e-2"]
    assert {c["release_id"] for c in captures} == {"00000002-1"}
    assert {c["assignment_probability"] for c in captures} == {0.1}
    assert {c["latency_ms"] for c in captures} == {None}
    assert written(scene, "quarantine/", DATA) == {}


def test_an_event_that_comes_twice_writes_the_same(scene: Scene) -> None:
    convert(scene, line())
    before = written(scene, "exposures/")
    convert(scene, line())
    assert written(scene, "exposures/") == before


def test_a_torn_line_is_set_aside_and_the_others_are_kept(scene: Scene) -> None:
    told = convert(scene, line(1) + line(2)[:40])
    assert (told["exposures"], told["refused"]) == (1, 1)
    aside = written(scene, f"quarantine/{PROJECT}/{told['digest']}/", DATA)
    report = next(json.loads(body) for key, body in aside.items() if key.endswith("report.json"))
    assert report["examples"][0]["line"] == 2
    torn = next(body for key, body in aside.items() if key.endswith("refused.jsonl"))
    assert torn == line(2)[:40] + b"\n"


@pytest.mark.parametrize(
    "key",
    [
        "captured/dev-other-v1-prod/AllTraffic/2026/01/05/09/x.jsonl",
        "captured/dev-nobody-variants-prod/v1/2026/01/05/09/x.jsonl",
    ],
)
def test_a_file_of_nobodys_is_kept_whole(scene: Scene, key: str) -> None:
    told = convert(scene, line(), key)
    assert told["outcome"] == "foreign"
    aside = written(scene, f"quarantine/captured/{told['digest']}/", DATA)
    assert line() in aside.values()
    assert written(scene, "exposures/") == {}


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"{}\n"])
def test_a_file_without_a_request_is_refused(scene: Scene, content: bytes) -> None:
    told = convert(scene, content)
    assert (told["outcome"], told["exposures"]) == ("refused", 0)
    assert written(scene, f"quarantine/{PROJECT}/", DATA)
