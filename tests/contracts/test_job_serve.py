"""``serve`` as SageMaker starts it: health, answers, refusals, failures, a graceful stop."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steward_cli.demo.data import FEATURES, deliveries, patients
from support.job_container import (
    DIABETES,
    Container,
    Endpoint,
    job_document,
    load_project,
    part,
    serving,
    trained,
)

PROJECT = load_project(DIABETES)
JOB = job_document(PROJECT)
REQUESTS = [{name: row[name] for name in FEATURES} for row in part(patients(), PROJECT, "traffic")]
ROW: dict[str, Any] = REQUESTS[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, trained."""
    rows = part(deliveries()[0], PROJECT, "train")
    return trained(tmp_path_factory.mktemp("train"), DIABETES / "src", rows, JOB)


@pytest.fixture(scope="module")
def endpoint(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Version 1, serving."""
    limit = {"STEWARD_MAX_BODY_BYTES": "20000"}
    with serving(tmp_path_factory.mktemp("serve"), model, **limit) as running:
        yield running


def _model(inference: str, folder: Path) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(inference)
    (folder / "job.json").write_text(json.dumps(JOB))
    return folder


def test_a_batch_of_rows_gets_as_many_predictions_in_order(endpoint: Endpoint) -> None:
    batch = endpoint.ask({"instances": REQUESTS[:20]})
    assert (batch.status, batch.content_type) == (200, "application/json")
    predictions = batch.json["predictions"]
    assert len(predictions) == 20
    for prediction, row in zip(predictions, REQUESTS, strict=False):
        assert prediction == endpoint.ask({"instances": [row]}).json["predictions"][0]
        assert prediction["label"] == int(prediction["probability"] >= 0.5)


def test_csv_rows_get_the_same_probabilities_as_json(endpoint: Endpoint) -> None:
    rows = [dict(row) for row in REQUESTS[:3]]
    text = "".join(",".join(map(str, row.values())) + "\r\n" for row in rows)
    as_csv = endpoint.ask(text, content_type="text/csv; charset=utf-8")
    assert (as_csv.status, as_csv.content_type) == (200, "text/csv")
    as_json = endpoint.ask(text, content_type="text/csv", Accept="application/json").json
    expected = [prediction["probability"] for prediction in as_json["predictions"]]
    assert [float(line) for line in as_csv.body.split()] == expected


def test_a_nullable_value_may_be_null_or_an_empty_cell(endpoint: Endpoint) -> None:
    answer = endpoint.ask({"instances": [ROW | {"s6": None}]})
    assert answer.status == 200
    cells = ",".join("" if name == "s6" else str(value) for name, value in ROW.items())
    as_csv = endpoint.ask(cells, content_type="text/csv")
    assert float(as_csv.body) == answer.json["predictions"][0]["probability"]


@pytest.mark.parametrize(
    ("change", "field", "value", "allowed"),
    [
        ({"bmi": "heavy"}, "bmi", "heavy", "a finite number, at least 10, at most 80"),
        ({"bmi": True}, "bmi", True, "a finite number, at least 10, at most 80"),
        ({"bmi": [1]}, "bmi", "list [1]", "a finite number, at least 10, at most 80"),
        ({"bmi": None}, "bmi", None, "a finite number, at least 10, at most 80"),
        ({"age": 430}, "age", 430, "a whole number, at least 18, at most 110"),
        ({"age": 40.5}, "age", 40.5, "a whole number, at least 18, at most 110"),
        ({"sex": 3}, "sex", 3, "a whole number among 1, 2"),
        ({"s6": 1e3}, "s6", 1000.0, "a finite number, at least 30, at most 500, or null"),
        ({"patient_id": "p001"}, "patient_id", "p001", "age, sex, bmi, bp, s1, s2, s3, s4, s5, s6"),
    ],
)
def test_a_bad_value_is_refused_with_row_field_value_and_what_is_allowed(
    change: dict[str, Any], field: str, value: object, allowed: str, endpoint: Endpoint
) -> None:
    answer = endpoint.ask({"instances": [ROW, ROW | change]})
    assert answer.status == 400
    error = answer.json["error"]
    message = error.pop("message")
    assert error == {"row": 1, "field": field, "value": value, "allowed": allowed}
    assert "row 1" in message
    assert field in message


def test_a_missing_field_is_refused_by_name(endpoint: Endpoint) -> None:
    row = {name: value for name, value in ROW.items() if name != "bp"}
    error = endpoint.ask({"instances": [row]}).json["error"]
    assert (error["row"], error["field"]) == (0, "bp")
    assert "bp is missing" in error["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str, endpoint: Endpoint) -> None:
    body = json.dumps({"instances": [ROW]}).replace('"bmi": ' + str(ROW["bmi"]), f'"bmi": {number}')
    assert number in body
    assert endpoint.ask(body).status == 400
    cells = ",".join(number if name == "bmi" else str(value) for name, value in ROW.items())
    assert endpoint.ask(cells, content_type="text/csv").json["error"]["field"] == "bmi"


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "null", "{}", '{"instances": []}', '{"instances": {}}',
        '{"instances": [[1]]}', '{"instances": [{}], "more": 1}', b"\xff\xfe", "[" * 10_000,
    ],
)  # fmt: skip
def test_a_body_of_the_wrong_shape_is_refused(body: str | bytes, endpoint: Endpoint) -> None:
    answer = endpoint.ask(body)
    assert answer.status == 400
    assert answer.json["error"]["message"]


@pytest.mark.parametrize("body", ["", "1,2", '"a', ",".join(["x"] * 10), ",".join(["1_0"] * 10)])
def test_bad_csv_is_refused(body: str, endpoint: Endpoint) -> None:
    answer = endpoint.ask(body, content_type="text/csv")
    assert answer.status == 400
    assert answer.json["error"]["allowed"]


def test_a_request_that_is_too_large_is_refused_with_the_limit(endpoint: Endpoint) -> None:
    answer = endpoint.ask({"instances": REQUESTS + REQUESTS})
    assert answer.status == 413
    assert answer.json["error"]["allowed"] == "at most 20000 bytes"


def test_other_formats_paths_and_methods_are_refused(endpoint: Endpoint) -> None:
    assert endpoint.ask("<xml/>", content_type="application/xml").status == 415
    assert endpoint.request("GET", "/invocations").status == 405
    assert endpoint.request("GET", "/models").status == 404


def test_each_request_is_logged_as_one_line(model: Path, tmp_path: Path) -> None:
    inference = {"X-Amzn-SageMaker-Inference-Id": "i-1"}
    with serving(tmp_path, model) as running:
        running.ask({"instances": [ROW, ROW]}, **inference)
        running.ask({"instances": [ROW | {"age": 430}]})
        lines = running.stop()
    assert [line["event"] for line in lines] == [
        "serving", "request", "request", "stopping", "stopped",
    ]  # fmt: skip
    good, bad = lines[1:3]
    assert (good["status"], good["rows"], good["inference_id"]) == (200, 2, "i-1")
    assert good["duration_ms"] > 0
    assert (bad["status"], bad["error"]["field"]) == (400, "age")
    assert running.process.returncode == 0


def test_it_is_not_healthy_before_the_model_is_loaded(tmp_path: Path) -> None:
    slow = (
        "import time\n"
        "def model_fn(model_dir): time.sleep(1.0)\n"
        "def predict_fn(rows, model): return [0.5 for _ in rows]\n"
    )
    model = _model(slow, tmp_path / "slow")
    seen: list[int] = []

    def watch(port: int) -> None:
        early = Endpoint(None, port)  # type: ignore[arg-type]
        while 200 not in seen:
            try:
                seen.append(early.request("GET", "/ping").status)
                seen.append(early.ask({"instances": [ROW]}).status)
            except OSError:
                pass
            time.sleep(0.1)

    container = Container(tmp_path)
    model.rename(tmp_path / "model")
    process = container.start("serve", SAGEMAKER_BIND_TO_PORT="0")
    try:
        assert process.stdout is not None
        port = _port_of(process.pid)
        watcher = threading.Thread(target=watch, args=(port,))
        watcher.start()
        watcher.join(timeout=15)
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert seen[:2] == [503, 503]
    assert seen[-2:] == [200, 200]


def _port_of(pid: int) -> int:
    """The port on which a process listens, read from the kernel's table of its sockets."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        inodes = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                return int(cells[1].split(":")[1], 16)
        time.sleep(0.02)
    raise AssertionError("it does not listen")


def test_a_model_that_cannot_be_loaded_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    _model("raise RuntimeError('no weights')", tmp_path / "model")
    done = Container(tmp_path, {"SAGEMAKER_BIND_TO_PORT": "0"}).run("serve")
    assert done.returncode == 1
    assert "no weights" in done.stdout
    assert '"event": "model_not_loaded"' in done.stdout


def test_code_that_fails_is_answered_and_logged_and_the_process_lives(tmp_path: Path) -> None:
    fails = (
        "def model_fn(model_dir): ...\n"
        "def predict_fn(rows, model):\n"
        "    if rows[0]['s6'] is None: raise LookupError('no lab value')\n"
        "    return [0.7]\n"
    )
    with serving(tmp_path, _model(fails, tmp_path / "fails")) as running:
        failed = running.ask({"instances": [ROW | {"s6": None}]})
        assert failed.status == 500
        assert failed.json["error"]["type"] == "LookupError"
        assert "no lab value" in failed.json["error"]["message"]
        fine = running.ask({"instances": [ROW]})
        assert fine.json == {"predictions": [{"probability": 0.7, "label": 1}]}
        lines = running.stop()
    assert lines[1]["trace"][-1] == "LookupError: no lab value"


def test_a_request_under_way_is_answered_before_the_process_stops(tmp_path: Path) -> None:
    slow = (
        "import time\n"
        "def model_fn(model_dir): ...\n"
        "def predict_fn(rows, model): time.sleep(1.0); return [0.5]\n"
    )
    answers: list[int] = []
    with serving(tmp_path, _model(slow, tmp_path / "slow")) as running:
        asking = threading.Thread(
            target=lambda: answers.append(running.ask({"instances": [ROW]}).status)
        )
        asking.start()
        time.sleep(0.4)
        running.stop()
        asking.join(timeout=5)
    assert answers == [200]
    assert running.process.returncode == 0


def test_version_3_answers_complete_rows_and_fails_slowly_on_a_pending_value(
    tmp_path: Path,
) -> None:
    rows = part([row for rows in deliveries() for row in rows], PROJECT, "train")
    model = trained(tmp_path / "train", DIABETES / "src_v3", rows, JOB)
    with serving(tmp_path / "serve", model) as running:
        assert running.ask({"instances": REQUESTS}).status == 200
        started = time.monotonic()
        pending = running.ask({"instances": [ROW | {"s6": None}]})
        seconds = time.monotonic() - started
    assert pending.status == 500
    assert pending.json["error"]["type"] == "PendingValueError"
    assert 1.0 < seconds < 20, "four attempts with pauses of 0.2, 0.4 and 0.8 s"
