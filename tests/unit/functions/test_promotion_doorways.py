"""The doorways of promotion: a version crosses two environments through three functions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.settings import Settings
from support.doorways import FakeApp, delivered, load, request
from support.promotion_scene import DEV, DEV_BUS, EXPORTS, PROD, PROD_BUS, Crossing
from support.registry_scene import PROJECT, Scene


class Doorways:
    """The functions of both environments on fakes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.two, self._monkeypatch = Crossing(), monkeypatch
        self.dev = self._app(
            self.two.dev, steward_environment="dev", account_id=DEV, promote_to=PROD_BUS,
            exports_bucket=EXPORTS,
        )  # fmt: skip
        self.prod = self._app(
            self.two.prod, steward_environment="prod", account_id=PROD, promote_from=DEV_BUS,
            data_bucket="data", artifacts_bucket="artifacts",
        )  # fmt: skip
        self.prod.registry_in = lambda _region: self.two.dev.registry  # type: ignore[attr-defined]

    def _app(self, scene: Scene, **settings: str) -> FakeApp:
        return FakeApp(
            settings=Settings.model_validate(settings), state=scene.state, objects=scene.objects,
            registry=scene.registry, clock=scene.clock, ids=scene.ids,
        )  # fmt: skip

    def ask(self, method: str = "POST", **body: Any) -> tuple[int, Any]:
        asked = {"project": PROJECT, "version": 3, "environment": "prod", **body}
        caller = f"arn:aws:iam::{DEV}:user/zoe"
        handler = load("offer_version", self.dev, self._monkeypatch)
        answer = handler(request(method, caller, body=json.dumps(asked)), None)
        return answer["statusCode"], json.loads(answer["body"])

    def tell(self, name: str, app: FakeApp, kind: str, sender: FakeApp, account: str) -> Any:
        event = {**delivered(sender.state.named(kind)[-1]), "account": account}
        return load(name, app, self._monkeypatch)(event, None)


@pytest.fixture
def doorways(monkeypatch: pytest.MonkeyPatch) -> Doorways:
    return Doorways(monkeypatch)


def test_a_version_is_offered_received_and_its_answer_recorded(doorways: Doorways) -> None:
    assert doorways.ask("GET")[0] == 405
    status, offered = doorways.ask()
    assert (status, offered["status"], offered["account"]) == (200, "offered", PROD)
    args = (doorways.prod, "VersionOffered", doorways.dev)
    assert doorways.tell("receive_offer", *args, DEV)["became"] == 1
    back = (doorways.dev, "OfferAnswered", doorways.prod)
    assert doorways.tell("record_answer", *back, PROD)["status"] == "received"
    assert doorways.ask()[1]["became"] == 1


def test_an_event_of_a_stranger_is_put_aside_and_answered_by_nothing(doorways: Doorways) -> None:
    doorways.ask()
    told = doorways.tell(
        "receive_offer", doorways.prod, "VersionOffered", doorways.dev, "333333333333"
    )
    assert told["refused"]["error"] == "NotAuthorizedError"
    [kept] = doorways.prod.failure_queue.refused
    assert kept.reason["field"] == "account"
    assert doorways.prod.state.events == []


def test_what_is_asked_wrongly_says_which_field(doorways: Doorways) -> None:
    assert doorways.ask(version=0)[0] == 400
    status, refusal = doorways.ask(version=9)
    assert (status, refusal["error"]) == (404, "VersionNotFoundError")
