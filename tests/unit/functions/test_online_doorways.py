"""The doorway of online reads: called by the gateway, asked over its URL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import DependencyError, MalformedEventError
from steward.entrypoint import Handler
from steward.settings import Settings
from support.doorways import load, request
from support.online_scene import PROJECT, OnlineScene

WARD = "arn:aws:sts::000000000000:assumed-role/ward-app/web"
ROW = {"patient_id": "p1", "age": 59}


class OnlineApp:
    """The composition root with a scene behind the ports."""

    def __init__(self, scene: OnlineScene) -> None:
        self.settings = Settings(steward_environment="local")
        self.state, self.online_features, self.clock = scene.state, scene.online, scene.clock


@pytest.fixture
def scene() -> OnlineScene:
    scene = OnlineScene()
    scene.put()
    return scene


@pytest.fixture
def handler(scene: OnlineScene, monkeypatch: pytest.MonkeyPatch) -> Handler:
    return load("read_features", OnlineApp(scene), monkeypatch)


def command(**changes: Any) -> dict[str, Any]:
    return {"project": PROJECT, "version": 1, "entities": [ROW], **changes}


def test_the_gateway_gets_values(handler: Handler) -> None:
    answer = handler(command(), None)
    assert answer["entities"][0]["values"]["pulse"] == 71
    assert answer["refused"] is None
    json.dumps(answer, allow_nan=False)


def test_the_gateway_gets_a_refusal_as_an_answer_and_a_fault_as_an_error(
    handler: Handler, scene: OnlineScene
) -> None:
    answer = handler(command(entities=[{**ROW, "age": "old"}]), None)
    assert answer["refused"]["field"] == "age"
    scene.online.failing = DependencyError("the store is down")
    with pytest.raises(DependencyError):
        handler(command(), None)


def test_a_command_of_another_shape_is_an_error(handler: Handler) -> None:
    for broken in ({}, command(groups=[{"group": "vitals"}]), command(version=None)):
        with pytest.raises(MalformedEventError):
            handler(broken, None)


@pytest.mark.parametrize(
    ("method", "body", "status", "said"),
    [
        ("POST", command(), 200, "glucose_1d"),
        ("POST", command(version=None, groups=[{"group": "vitals"}]), 200, "pulse_by_age"),
        ("POST", command(entities=[{"age": 5}]), 400, "patient_id"),
        ("POST", command(entities=[]), 400, "entities"),
        ("POST", command(debug=1), 400, "debug"),
        ("POST", command(version=9), 404, "version"),
        ("POST", command(project="asthma", version=None, groups=[{"group": "x"}]), 404, "asthma"),
        ("GET", command(), 405, "POST"),
    ],
)
def test_over_the_url_it_answers_with_values_or_the_field_at_fault(
    handler: Handler, method: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = handler(request(method, WARD, body=json.dumps(body)), None)
    assert answer["statusCode"] == status
    assert said in answer["body"]


def test_over_the_url_a_store_that_is_down_is_503(handler: Handler, scene: OnlineScene) -> None:
    scene.online.failing = DependencyError("the store is down")
    answer = handler(request("POST", WARD, body=json.dumps(command())), None)
    assert answer["statusCode"] == 503
