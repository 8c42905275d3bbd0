"""Files of outcomes: the rules of the URL for every row, nothing half taken, nothing lost."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from steward.contracts.events import OutcomeObserved
from steward.contracts.incoming import ObjectCreated, Received
from steward.domain import outcome_files
from steward.domain.errors import EvidenceIncompleteError, ProjectNotFoundError, RejectedError
from steward.domain.exposures import hashed_entity
from steward.ports import Table
from steward.service.serving import outcome_files as service
from steward.service.serving.outcome_files import Intake, receive_outcomes
from support.serving_scene import CAPTURE, DATA, PROJECT, Scene

AT = "2026-01-05T08:00:00Z"
TIME = "2026-01-05T09:00:00Z"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.play(1)
    return scene


def intake(scene: Scene) -> Intake:
    return Intake(scene.state, scene.objects, scene.clock, scene.ids, DATA, CAPTURE)


def dropped(key: str, size: int, bucket: str = DATA, time: str = TIME) -> Received:
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": size}}
    return Received(
        id="event-1", time=time, source="aws.s3", detail_type="Object Created", resources=[],
        replayed=False, meta=None, detail=ObjectCreated.model_validate(detail),
    )  # fmt: skip


def send(scene: Scene, name: str, content: bytes, project: str = PROJECT) -> dict[str, Any]:
    key = f"outcomes/{project}/{name}"
    scene.objects.write(f"s3://{DATA}/{key}", content)
    return receive_outcomes(dropped(key, len(content)), intake(scene))


def kept(scene: Scene) -> list[dict[str, Any]]:
    """Return all outcomes that lie in the capture bucket."""
    found = []
    for info in scene.objects.list(CAPTURE, f"outcomes/{PROJECT}/"):
        content = scene.objects.read(f"s3://{CAPTURE}/{info.key}").decode()
        found += [json.loads(line) for line in content.splitlines()]
    return found


def report(scene: Scene, answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scene.objects.read(answer["report_uri"]))
    return found


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


GOOD = {"inference_id": "i-1", "outcome": 1, "observed_at": AT}


def test_json_lines_are_kept_as_those_of_the_url_are(scene: Scene) -> None:
    answer = send(scene, "a.jsonl", lines(GOOD, {**GOOD, "inference_id": "i-2", "outcome": 0.5}))
    assert (answer["outcome"], answer["recorded"], answer["refused"]) == ("recorded", 2, 0)
    first, second = kept(scene)
    assert first == {
        "project": PROJECT, "inference_id": "i-1", "entity": None, "outcome": 1,
        "observed_at": "2026-01-05T08:00:00.000+00:00",
        "recorded_at": "2026-01-05T09:00:00.000+00:00",
    }  # fmt: skip
    assert second["outcome"] == 0.5
    (told,) = scene.told("OutcomesRecorded")
    assert (told.count, told.refused, told.report_uri) == (2, 0, None)
    assert told.uri == f"s3://{DATA}/outcomes/{PROJECT}/a.jsonl"


def test_csv_names_its_columns_and_types_are_read_from_the_text(scene: Scene) -> None:
    text = (
        "\ufeffobserved_at,entity_id,inference_id,outcome\r\n"
        f"{AT},p7,,true\r\n{AT},,i-1,-3\r\n\r\n{AT},,i-2,0.25\r\n"
        f'{AT},,"i-3","came ""back"",\nlater"\r\n'
    )
    assert send(scene, "a.csv", text.encode())["recorded"] == 4
    found = kept(scene)
    assert [row["outcome"] for row in found] == [True, -3, 0.25, 'came "back",\nlater']
    assert found[0]["entity"] == hashed_entity(PROJECT, "p7")
    assert "p7" not in json.dumps(found)


@pytest.mark.parametrize("name", ["a.csv.gz", "b.JSONL.GZ", "c.ndjson"])
def test_files_may_be_packed(scene: Scene, name: str) -> None:
    content = lines(GOOD)
    if "csv" in name:
        content = f"inference_id,outcome,observed_at\ni-1,1,{AT}\n".encode()
    if name.lower().endswith(".gz"):
        content = gzip.compress(content)
    assert send(scene, name, content)["recorded"] == 1


BAD: list[tuple[bytes, str]] = [
    (b'{"inference_id": "i", "outcome": NaN, "observed_at": "2026-01-05T08:00:00Z"}', "outcome"),
    (b'{"inference_id": "i", "outcome": 1e999, "observed_at": "2026-01-05T08:00:00Z"}', "outcome"),
    (b'{"inference_id": "i", "outcome": 1, "observed_at": "2026-01-05T08:00:00"}', "observed_at"),
    (b'{"inference_id": "i", "outcome": 1, "project": "x"}', "project"),
    (b'{"outcome": 1, "observed_at": "2026-01-05T08:00:00Z"}', "inference_id"),
    (b"[1, 2]", "$"),
    (b"{", "$"),
    (b"\xff\xfe", "$"),
    (b"[" * 30_000, "$"),
    (b'"' + b"x" * 100_000 + b'"', "$"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_bad_row_goes_to_quarantine_and_the_others_are_kept(
    scene: Scene, bad: bytes, field: str
) -> None:
    answer = send(scene, "a.jsonl", lines(GOOD) + bad + b"\n\n" + lines({**GOOD, "outcome": 2}))
    assert (answer["rows"], answer["recorded"], answer["refused"]) == (3, 2, 1)
    assert [row["outcome"] for row in kept(scene)] == [1, 2]
    (example,) = report(scene, answer)["examples"]
    assert (example["row"], example["line"], example["field"]) == (2, 2, field)
    assert example["allowed"]
    assert example["message"]
    beside = answer["report_uri"].replace("report.json", "refused.jsonl")
    assert beside.startswith(f"s3://{DATA}/quarantine/{PROJECT}/{answer['digest']}/")
    (refused,) = scene.objects.read(beside).decode().splitlines()
    assert json.loads(refused)["raw"][:20] == bad.decode(errors="replace")[:20]


@pytest.mark.parametrize(("cells", "field"), [
    ("i-2,nan,{at}", "outcome"), ("i-2,-Infinity,{at}", "outcome"), ("i-2,,{at}", "outcome"),
    ("i-2,1", "$"), ("i-2,1,{at},x", "$"), ('"i-2"x,1,{at}', "$"), (",1,{at}", "inference_id"),
    ("i-2,1,soon", "observed_at"), ("i\udcff,1,{at}", "inference_id"),
    ("i-2," + "9" * 300 + ",{at}", "outcome"),
])  # fmt: skip
def test_a_bad_row_of_csv_too(scene: Scene, cells: str, field: str) -> None:
    text = f"inference_id,outcome,observed_at\ni-1,1,{AT}\n{cells.format(at=AT)}\ni-3,1,{AT}\n"
    answer = send(scene, "a.csv", text.encode(errors="surrogateescape"))
    assert (answer["recorded"], answer["refused"]) == (2, 1)
    (example,) = report(scene, answer)["examples"]
    assert (example["row"], example["line"], example["field"]) == (2, 3, field)


def test_a_file_without_a_good_row_is_refused_and_told(scene: Scene) -> None:
    answer = send(scene, "a.jsonl", b"{}\n{}\n")
    assert (answer["outcome"], answer["recorded"], answer["refused"]) == ("refused", 0, 2)
    (told,) = scene.told("OutcomesRecorded")
    assert (told.count, told.refused, told.report_uri) == (0, 2, answer["report_uri"])
    assert kept(scene) == []


@pytest.mark.parametrize(("name", "content", "field"), [
    ("a.txt", lines(GOOD), "name"), ("a.parquet", b"PAR1", "name"), ("a.jsonl", b"\n \n", "rows"),
    ("a.jsonl.gz", lines(GOOD), "file"),
    ("a.jsonl.gz", gzip.compress(lines(GOOD), mtime=0)[:-9], "file"),
    ("a.csv", b"", "header"), ("a.csv", b"inference_id,outcome\n", "header"),
    ("a.csv", b"inference_id,outcome,observed_at,note\n", "header"),
    ("a.csv", b"inference_id,inference_id,outcome,observed_at\n", "header"),
    ("a.csv", b"outcome,observed_at\n", "header"),
    ("a.csv", b"inference_id,outcome,observed_at\n" + b"x" * 100_000, "line 2"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_copied_aside_with_the_reason(
    scene: Scene, name: str, content: bytes, field: str
) -> None:
    answer = send(scene, name, content)
    assert (answer["outcome"], answer["recorded"]) == ("unreadable", 0)
    problem = report(scene, answer)["problem"]
    assert problem["field"] == field
    assert problem["message"]
    assert scene.objects.read(answer["report_uri"].replace("report.json", name)) == content
    assert kept(scene) == []
    assert len(scene.told("OutcomesRecorded")) == 1


def test_limits_are_kept_before_anything_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_files, "MAX_ROWS", 2)
    answer = send(scene, "a.jsonl", lines(GOOD, GOOD, GOOD))
    assert report(scene, answer)["problem"]["field"] == "rows"
    monkeypatch.setattr(outcome_files, "MAX_UNPACKED_BYTES", 1000)
    answer = send(scene, "b.jsonl.gz", gzip.compress(b" " * 1001 + b"\n"))
    assert report(scene, answer)["problem"]["field"] == "file"
    monkeypatch.setattr(service, "MAX_FILE_BYTES", 10)
    answer = send(scene, "c.jsonl", lines({**GOOD, "inference_id": "i-9"}))
    assert report(scene, answer)["problem"]["field"] == "size"
    assert kept(scene) == []


def test_the_same_bytes_are_taken_once_whatever_their_name(scene: Scene) -> None:
    assert send(scene, "a.jsonl", lines(GOOD))["outcome"] == "recorded"
    assert send(scene, "b.jsonl", lines(GOOD))["outcome"] == "known"
    assert len(kept(scene)) == 1
    assert len(scene.told("OutcomesRecorded")) == 1


def test_a_crash_before_the_end_is_healed_by_the_retry(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHUNK_ROWS", 2)
    rows = [{**GOOD, "inference_id": f"i-{number}"} for number in range(5)]
    content = lines(*rows, {})
    key = f"outcomes/{PROJECT}/a.jsonl"
    scene.objects.write(f"s3://{DATA}/{key}", content)
    event = dropped(key, len(content))
    upload, uploads = scene.objects.upload, []

    def dying(path: str, uri: str, content_type: str = "") -> str:
        uploads.append(uri)
        if len(uploads) == 2:
            raise OSError("killed")
        return upload(path, uri, content_type)

    monkeypatch.setattr(scene.objects, "upload", dying)
    with pytest.raises(OSError, match="killed"):
        receive_outcomes(event, intake(scene))
    assert receive_outcomes(event, intake(scene))["recorded"] == 5
    assert [row["inference_id"] for row in kept(scene)] == [f"i-{number}" for number in range(5)]
    assert len(list(scene.objects.list(CAPTURE, "outcomes/"))) == 3


def test_a_project_that_serves_nothing_and_an_object_that_is_gone(scene: Scene) -> None:
    with pytest.raises(ProjectNotFoundError) as refused:
        send(scene, "a.jsonl", lines(GOOD), project="another")
    assert refused.value.value == "another"
    with pytest.raises(EvidenceIncompleteError):
        receive_outcomes(dropped(f"outcomes/{PROJECT}/gone.jsonl", 1), intake(scene))


@pytest.mark.parametrize(("bucket", "key"), [
    (DATA, "deliveries/diabetes/a.jsonl"), (DATA, "outcomes/a.jsonl"), (DATA, "outcomes/diabetes/"),
    ("other", "outcomes/diabetes/a.jsonl"),
])  # fmt: skip
def test_another_object_is_left_alone(scene: Scene, bucket: str, key: str) -> None:
    assert receive_outcomes(dropped(key, 1, bucket), intake(scene))["outcome"] == "ignored"


# Events


def observed(scene: Scene, **changes: Any) -> Received:
    payload = OutcomeObserved(
        **{"inference_id": "i-1", "outcome": True, "observed_at": AT, **changes}
    )
    return scene.received(payload).model_copy(update={"time": TIME})


def test_an_event_that_comes_twice_is_one_outcome(scene: Scene) -> None:
    event = observed(scene)
    first, second = (receive_outcomes(event, intake(scene)) for _ in range(2))
    assert first == second
    (row,) = kept(scene)
    assert (row["inference_id"], row["outcome"]) == ("i-1", True)
    assert row["recorded_at"] == "2026-01-05T09:00:00.000+00:00"
    assert scene.told("OutcomesRecorded") == []


@pytest.mark.parametrize(("changes", "field"), [
    ({"entity_id": "p1"}, "inference_id"), ({"inference_id": None}, "inference_id"),
    ({"observed_at": "2026-01-05T08:00:00"}, "observed_at"), ({"outcome": ""}, "outcome"),
    ({"outcome": float("inf")}, "outcome"),
])  # fmt: skip
def test_an_event_that_is_no_outcome_is_refused_by_its_field(
    scene: Scene, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        receive_outcomes(observed(scene, **changes), intake(scene))
    assert refused.value.field == field
    assert kept(scene) == []


def test_columns_of_csv_tell_attributes_by_their_prefix(scene: Scene) -> None:
    item = scene.state.get(Table.PROJECTS, {"project": PROJECT})
    assert item is not None
    attributes = [{"column": "sex", "feature": False}, {"column": "born", "feature": False}]
    item["config"]["bias"] = {"attributes": attributes}
    scene.state.put(Table.PROJECTS, item)
    head = "inference_id,outcome,observed_at,attributes.sex,attributes.born"
    text = f"{head}\ni-1,1,{AT},F,1980\ni-2,0,{AT},,\n"
    assert send(scene, "a.csv", text.encode())["recorded"] == 2
    first, second = kept(scene)
    assert first["attributes"] == {"born": 1980, "sex": "F"}
    assert "attributes" not in second
    refused = send(scene, "b.csv", f"{head}.x\ni-3,1,{AT},F,1\n".encode())
    assert refused["refused"] == 1
