"""``steward ask``: rows become requests, and what the gateway says is told with its field."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import duckdb
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from steward.domain.errors import AccessDeniedError, StewardError
from steward.ports import Table
from steward_cli import asking
from steward_cli.commands import ask as command
from steward_cli.console import CommandError, Exit
from steward_cli.function_urls import Reply
from steward_cli.target import Target
from support.command_line import Done, steward
from support.gateway_scene import Counter
from support.serving_scene import PROJECT, ROWS, Scene

REQUEST = {"entity_id": "p1", "features": ROWS[0]}
ROW = {"patient_id": "p1", **ROWS[0]}


class Stack:
    """A project in production, asked through the real gateway on fakes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scene = Scene()
        scene.play(1)
        self.counter, self.scene = Counter(scene), scene
        self.readable, self.status = True, 200
        self.unreachable: set[str] = set()
        self.calls = 0
        target = Target("aws", "steward-dev", "us-east-1", session=None)
        target.__dict__["outputs"] = {"GatewayUrl": "https://gateway.example/"}
        self.target = target
        monkeypatch.setattr(command, "choose", lambda _choice: target)
        monkeypatch.setattr(command, "StackState", lambda _target: self)
        monkeypatch.setattr(asking, "call", self._call)

    def project(self, name: str) -> Any:
        if not self.readable:
            raise AccessDeniedError("GetItem: not authorized")
        return self.scene.state.get(Table.PROJECTS, {"project": name})

    def route(self, name: str) -> Any:
        return self.scene.state.get(Table.ROUTES, {"project": name})

    def _call(self, _target: Target, url: str, method: str, body: Any, timeout_s: float) -> Reply:
        assert (url, method) == (f"https://gateway.example/{PROJECT}", "POST")
        self.calls += 1
        if body["entity_id"] in self.unreachable:
            raise CommandError(f"cannot reach {url}: timed out", Exit.UNREACHABLE)
        if self.status != 200:
            return Reply(self.status, {"Message": "Forbidden"})
        try:
            answer = self.counter.gateway.answer(PROJECT, json.dumps(body).encode())
        except StewardError as error:
            return Reply(400, asking.refusal_of(error))
        return Reply(200, answer.as_dict())

    def ask(self, *words: str, given: str | None = None) -> Done:
        return steward("ask", PROJECT, *words, given=given)

    def told(self, *words: str, given: str | None = None) -> Any:
        done = self.ask(*words, "--json", given=given)
        assert done.exit_code in (0, 1), done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


def test_a_row_of_the_table_is_answered_with_version_and_time(stack: Stack) -> None:
    done = stack.ask(json.dumps({**ROW, "progression_above_140": 1}))

    assert done.exit_code == 0
    assert "diabetes answers probability 0.295, label 0" in done.stdout
    assert "version       1" in done.stdout
    assert "ms, there and back" in done.stdout
    [capture] = stack.counter.captures()
    assert capture["features"] == ROWS[0]  # neither the id nor the label was sent
    assert capture["inference_id"] in done.stdout


def test_a_request_as_applications_send_it_is_taken_too(stack: Stack) -> None:
    request = json.dumps({"entity_id": "p1", "features": ROWS[0]})

    [answer] = stack.told(request)["answers"]

    assert (answer["entity_id"], answer["version"], answer["fallback"]) == ("p1", 1, False)
    assert answer["prediction"]["probability"] == ROWS[0]["age"] / 200
    assert answer["latency_ms"] >= 0


@pytest.mark.parametrize("given", ["lines", "list"])
def test_standard_input_takes_lines_and_lists(stack: Stack, given: str) -> None:
    rows = [ROW, {**ROW, "patient_id": "p2", "age": 40}]
    text = json.dumps(rows) if given == "list" else "\n".join(map(json.dumps, rows))

    answers = stack.told("-", given=text)["answers"]

    assert [answer["entity_id"] for answer in answers] == ["p1", "p2"]


def test_a_refusal_names_the_field_the_value_and_what_is_allowed(stack: Stack) -> None:
    done = stack.ask(json.dumps({**ROW, "age": 500}), "--json")

    assert done.exit_code == 1
    assert json.loads(done.stderr)["field"] == "age"


def test_of_several_rows_each_has_its_own_answer_or_refusal(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    head = ["patient_id", "note", *ROWS[0]]
    lines = [["p1", "x", *ROWS[0].values()], ["p2", "x", "many", *list(ROWS[0].values())[1:]],
             ["", "x", *ROWS[0].values()]]  # fmt: skip
    file.write_text("\n".join(",".join(map(str, line)) for line in [head, *lines]) + "\n")

    done = stack.ask("--file", str(file), "--json")

    assert done.exit_code == 1
    told = json.loads(done.stdout)
    first, second, third = told["answers"]
    assert first["prediction"]["probability"] == ROWS[0]["age"] / 200
    assert (second["field"], second["value"]) == ("age", "many")
    assert (third["field"], third["message"]) == ("patient_id", "patient_id is missing")
    assert told["left_out"] == ["note"]
    assert "left out, as no columns of diabetes: note" in done.stderr
    shown = stack.ask("--file", str(file)).stdout
    assert "not answered: age: 'many' is not allowed" in shown
    assert stack.ask("--file", str(file), "--rows", "1").exit_code == 0


def test_a_parquet_file_is_asked_about_as_any_other(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    values = ", ".join(f"{value!r} AS {name}" for name, value in ROWS[0].items() if name != "age")
    duckdb.execute(
        f"COPY (SELECT n AS patient_id, (59 - n)::DECIMAL(5, 2) AS age, {values}, "
        f"TIMESTAMPTZ '2026-01-05 10:00:00+00' AS seen FROM range(2) r(n)) "
        f"TO '{file}' (FORMAT parquet)"
    )

    told = stack.told("--file", str(file))

    assert [answer["entity_id"] for answer in told["answers"]] == ["0", "1"]
    assert [answer["prediction"]["probability"] for answer in told["answers"]] == [0.295, 0.29]
    assert told["left_out"] == ["seen"]


def test_a_value_that_no_request_can_hold_is_refused_by_its_column(
    stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "rows.parquet"
    row = "'p1' AS entity_id, {'age': 'x'::BLOB, 'when': DATE '2026-01-05'} AS features"
    duckdb.execute(f"COPY (SELECT {row}) TO '{file}' (FORMAT parquet)")

    done = stack.ask("--file", str(file), "--json")

    assert done.exit_code == 1
    assert json.loads(done.stderr)["field"] == "age"


@pytest.mark.parametrize("row", [
    {**ROW, "patient_id": 0}, {"entity_id": 0, **ROWS[0]}, {**REQUEST, "entity_id": 0},
])  # fmt: skip
def test_zero_is_an_id(stack: Stack, row: dict[str, Any]) -> None:
    assert stack.told(json.dumps(row))["answers"][0]["entity_id"] == "0"


def test_an_application_may_be_about_zero_too(stack: Stack) -> None:
    stack.readable = False
    row = {"entity_id": 0, **ROWS[0]}
    assert stack.told(json.dumps(row))["answers"][0]["entity_id"] == "0"


def test_a_file_of_more_rows_than_requests_goes_to_a_batch(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text((json.dumps(ROW) + "\n") * 1001)

    done = stack.ask("--file", str(file))

    assert done.exit_code == 2
    assert "steward batch score" in done.stderr
    assert stack.counter.captures() == []


def test_the_entity_may_be_said_beside_a_row_that_has_none(stack: Stack) -> None:
    assert stack.told(json.dumps(ROWS[0]), "--entity", "p7")["answers"][0]["entity_id"] == "p7"

    refused = stack.ask(json.dumps(ROWS[0]))

    assert refused.exit_code == 1
    assert "patient_id is missing" in refused.stderr
    assert "--entity" in refused.stderr


def test_an_application_that_may_not_read_the_project_asks_all_the_same(stack: Stack) -> None:
    stack.readable = False

    assert stack.told(json.dumps({"entity_id": "p1", **ROWS[0]}))["answers"][0]["version"] == 1
    assert "your rights do not let you read" in stack.ask(json.dumps(ROW)).stderr


def test_cells_mean_nothing_without_the_project(stack: Stack, tmp_path: Path) -> None:
    stack.readable = False
    (tmp_path / "rows.csv").write_text("entity_id,age\np1,3\n")

    done = stack.ask("--file", str(tmp_path / "rows.csv"))

    assert done.exit_code == 5


def test_who_may_not_ask_is_told_which_right_is_missing(stack: Stack) -> None:
    stack.status = 403

    done = stack.ask(json.dumps(ROW))

    assert done.exit_code == 5
    assert "ClientPolicyArn" in done.stderr
    assert "--profile ward-app" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "a row or --file"),
        (["{age}"], 2, "no JSON"),
        (["[]"], 2, "no rows"),
        (["3"], 1, "row: 3 is not allowed"),
        (['{"patient_id": "p1", "age": NaN}'], 1, "age: 'nan' is not allowed"),
        (["--explain", "[{}, {}]"], 2, "one row"),
    ],
)
def test_what_is_no_row_is_refused_before_anybody_is_asked(
    stack: Stack, words: list[str], code: int, said: str
) -> None:
    done = stack.ask(*words)

    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert stack.counter.captures() == []


def test_an_answer_is_shown_although_it_cannot_be_explained(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(_target: Target, capture: dict[str, Any]) -> None:
        assert capture["answering_version"] == 1
        raise CommandError("the capture lacks s1", hint="the version was trained with it")

    monkeypatch.setattr("steward_cli.commands.explain.explained_capture", lacking)

    done = stack.ask(json.dumps(ROW), "--explain")

    assert done.exit_code == 1
    assert "diabetes answers probability 0.295" in done.stdout
    assert "the row lacks s1, which was read from the feature store" in done.stderr
    assert f"steward explain {PROJECT} " in done.stderr


def runtime(*, error: str | None = None, rows: int = 1) -> SimpleNamespace:
    """A session whose SageMaker runtime answers by the service's model; ``made`` names clients."""
    client = boto3.client(
        "sagemaker-runtime", region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="x",
    )  # fmt: skip
    stub = Stubber(client)
    if error:
        stub.add_client_error("invoke_endpoint", "ModelError", service_error_meta={},
                              response_meta={}, http_status_code=424)  # fmt: skip
    for _ in range(0 if error else rows):
        body = json.dumps({"predictions": [{"probability": 0.4, "label": 0}]}).encode()
        stub.add_response("invoke_endpoint", {
            "Body": StreamingBody(io.BytesIO(body), len(body)), "ContentType": "application/json",
            "InvokedProductionVariant": "v3",
        })  # fmt: skip
    stub.activate()
    made: list[str] = []

    def make(service: str, **_more: Any) -> Any:
        made.append(service)
        return client

    return SimpleNamespace(client=make, made=made)


def test_an_endpoint_of_variants_is_asked_itself_with_an_inference_id() -> None:
    target = Target("aws", "steward-dev", "us-east-1", session=runtime())
    endpoints = asking.endpoints_of(target)
    assert target.session.made == ["sagemaker-runtime"]  # before anybody is timed

    asked = asking.ask_variants(
        endpoints, "diabetes-variants-prod", {"entity_id": "p1", "features": {}}
    )

    assert target.session.made == ["sagemaker-runtime"]
    assert (asked.status, asked.version, asked.probability) == (200, 3, 0.4)
    assert asked.inference_id


def test_a_version_on_it_that_fails_is_told() -> None:
    target = Target("aws", "steward-dev", "us-east-1", session=runtime(error="ModelError"))

    asked = asking.ask_variants(
        asking.endpoints_of(target), "diabetes-variants-prod", {"entity_id": "p1", "features": {}}
    )

    assert asked.status == 503
    assert "diabetes-variants-prod" in asked.body["message"]


def test_the_router_of_the_project_decides_whom_it_asks(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = stack.scene.state.get(Table.PROJECTS, {"project": PROJECT})
    assert item is not None
    item["config"]["serving"]["router"] = "endpoint_variants"
    item["config"]["serving"]["variants"] = {"instance_type": "ml.m5.large"}
    stack.scene.state.put(Table.PROJECTS, item)
    monkeypatch.setattr(command, "parse_project", lambda _config: stack.scene.project)
    monkeypatch.setattr(command, "WORKERS", 1)  # a stubbed client takes turns
    stack.target.session = runtime(rows=3)
    asked: list[str] = []
    ask_variants = asking.ask_variants

    def variants(endpoints: Any, endpoint: str, row: dict[str, Any]) -> asking.Asked:
        asked.append(endpoint)
        return ask_variants(endpoints, endpoint, row)

    monkeypatch.setattr(command, "ask_variants", variants)

    told = stack.told(json.dumps([ROW] * 3))

    assert [answer["version"] for answer in told["answers"]] == [3, 3, 3]
    assert asked == [stack.route(PROJECT)["arms"][0]["endpoint"]] * 3
    assert stack.target.session.made == ["sagemaker-runtime"]  # once for all rows


def test_a_request_that_reaches_nobody_costs_no_other_row_its_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.unreachable = {"p2"}
    rows = [{**ROW, "patient_id": f"p{n}"} for n in (1, 2, 3)]

    done = stack.ask(json.dumps(rows), "--json")

    assert done.exit_code == 1
    first, second, third = json.loads(done.stdout)["answers"]
    assert (first["entity_id"], third["entity_id"]) == ("p1", "p3")
    assert "prediction" in first
    assert "prediction" in third
    assert (second["row"], second["entity_id"]) == (2, "p2")
    assert "cannot reach" in second["message"]
    assert "not answered: cannot reach" in stack.ask(json.dumps(rows)).stdout
    assert stack.ask(json.dumps(rows[1])).exit_code == 6


def test_where_nobody_is_reached_the_rest_is_not_asked_about(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WORKERS", 1)
    stack.unreachable = {"p1"}

    done = stack.ask(json.dumps([ROW] * 30), "--json")

    assert done.exit_code == 6
    answers = json.loads(done.stdout)["answers"]
    assert [answer["row"] for answer in answers] == list(range(1, 31))
    assert stack.calls == 8
    assert "not asked: the 8 requests before reached nobody" in answers[-1]["message"]


def test_a_refusal_of_the_gateway_is_that_of_its_row(stack: Stack) -> None:
    answers = stack.told(json.dumps([ROW, {**ROW, "age": 500}]))["answers"]

    assert [answer["row"] for answer in answers] == [1, 2]
    assert answers[1]["field"] == "age"
