"""``steward serving at`` and ``history``, on records that the real use cases wrote."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from steward.ports import Delete, Table
from steward_cli.app import app
from steward_cli.commands import serving, serving_idle
from steward_cli.console import CommandError, Exit
from support.drift_scene import DriftScene
from support.fakes import FakeClock
from support.serving_scene import DIGEST, PROJECT, ROLE, Scene

PROMOTED = {"metrics": [{"metric": "brier", "value": 0.2, "lower": 0.15, "upper": 0.25}]}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Version 1 in production for an hour, then version 2 at a tenth, then rolled back."""
    scene = Scene()
    scene.play(1)
    scene.clock.advance(3600)
    scene.begin(2)
    scene.clock.advance(600)
    started = scene.start_rollback(scene.alarm())
    command = scene.rollback_command(started)
    scene.conclude_rollback(command, str(started["started"]), scene.restore(command))
    scene.clock.advance(600)
    key = {"project": PROJECT, "item": "version#00000002"}
    version = scene.state.get(Table.VERSIONS, key) or {}
    evidence = f"s3://artifacts/evidence/{PROJECT}/2/evidence.json"
    scene.state.put(Table.VERSIONS, version | {"summary": PROMOTED, "evidence_uri": evidence})
    known = SimpleNamespace(store=scene.state, project=lambda name: name)
    monkeypatch.setattr(serving, "choose", lambda choice: None)
    monkeypatch.setattr(serving, "StackState", lambda target: known)
    monkeypatch.setattr(serving, "SystemClock", lambda: scene.clock)
    return scene


def asked(*words: str) -> str:
    done = CliRunner().invoke(app, ["serving", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def told(*words: str) -> Any:
    return json.loads(asked(*words, "--json"))


def test_the_present_is_what_the_route_says(scene: Scene) -> None:
    text = asked("at", "now", PROJECT)

    assert "v1 100 %" in text
    assert "a rollback" in text
    assert "and does so now" in text


def test_the_past_names_shares_approvers_evidence_and_the_step(scene: Scene) -> None:
    text = asked("at", "15m ago", PROJECT)

    assert "v1 90 %, v2 10 %" in text
    assert "by 00000002-1, canary-1-10: a step of the release" in text
    assert "approved by       ada at 2026-01-05T09:00:00" in text
    assert f"evidence          {DIGEST}" in text
    assert "brier 0.2 (0.15 to 0.25)" in text


def test_scripts_get_since_and_until_of_each_version(scene: Scene) -> None:
    found = told("at", "15m ago", PROJECT)

    stable, candidate = found["versions"]
    assert (stable["version"], stable["share"]) == (1, 90.0)
    assert stable["answering_since"] < stable["share_since"] == candidate["answering_since"]
    assert (stable["release_id"], candidate["release_id"]) == ("00000001-1", "00000002-1")
    assert candidate["evidence"]["uri"].endswith("/2/evidence.json")
    assert found["since"] < found["at"] < found["until"]


def test_before_the_first_release_nothing_answered_and_it_says_when_it_began(scene: Scene) -> None:
    text = asked("at", "2026-01-05", PROJECT)
    assert "no version of diabetes answered; its first version answered at 2026-01-05 09:00" in text
    assert told("at", "2026-01-05", PROJECT)["versions"] == []


def test_a_project_without_releases_is_no_error(scene: Scene) -> None:
    assert "none has answered yet" in asked("at", "now", "other")
    assert "No version of other has answered yet." in asked("history", "other")


def test_the_future_is_refused_with_the_present_time(scene: Scene) -> None:
    later = (scene.clock.now() + timedelta(hours=1)).isoformat()
    with pytest.raises(CommandError, match="has not come yet; it is 2026-01-05") as refused:
        asked("at", later, PROJECT)
    assert refused.value.code == Exit.USAGE


def test_what_is_no_time_is_refused_with_what_is_allowed(scene: Scene) -> None:
    with pytest.raises(CommandError, match="'soon' is no time; allowed: ISO 8601"):
        asked("at", "soon", PROJECT)


def test_the_history_lists_steps_and_the_rollback_with_its_cause(scene: Scene) -> None:
    lines = asked("history", PROJECT).splitlines()

    assert [line.split("  ")[0] for line in lines[1:4]] == [
        "2026-01-05 09:00:00", "2026-01-05 10:05:00", "2026-01-05 10:15:00",
    ]  # fmt: skip
    assert "v1 90 %, v2 10 %" in lines[2]
    assert "rolled back" in lines[3]
    assert "candidate-errors" in lines[3]
    assert [change["until"] for change in told("history", PROJECT)][-1] is None


def test_a_moment_with_another_zone_is_the_same_moment(scene: Scene) -> None:
    assert isinstance(scene.clock, FakeClock)
    east = told("at", "2026-01-05T19:10:00+09:00", PROJECT)
    assert east == told("at", "2026-01-05T10:10:00", PROJECT)


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> DriftScene:
    """Version 1 in production, and SageMaker with its endpoint."""
    scene = DriftScene()
    scene.play(1)
    known = SimpleNamespace(store=scene.state, project=lambda name: name)
    monkeypatch.setattr(
        serving,
        "choose",
        lambda choice: SimpleNamespace(client=lambda name: name, environment_name="dev"),
    )
    monkeypatch.setattr(serving, "StackState", lambda target: known)
    monkeypatch.setattr(serving, "SystemClock", lambda: scene.clock)
    monkeypatch.setattr(serving, "SageMakerHosting", lambda client: scene.hosting)
    return scene


def checked(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["serving", "check", PROJECT, *words], catch_exceptions=False)
    return done.exit_code, done.output


def test_an_endpoint_as_it_was_made_passes_the_check(drifting: DriftScene) -> None:
    code, text = checked()
    assert code == 0
    assert "as wanted" in text
    drifting.hosting.endpoints[f"dev-{PROJECT}-v1-prod"]["EndpointStatus"] = "Updating"
    code, text = checked()
    assert (code, "moving" in text) == (0, True)


def test_a_drifted_endpoint_fails_the_check_and_says_how(drifting: DriftScene) -> None:
    drifting.put_on_another_config(f"dev-{PROJECT}-v1-prod")
    code, text = checked()
    assert code == 1
    assert "put on another configuration" in text
    assert "the next sweep finds it" in text
    drifting.declare_serving(on_drift="hold")
    drifting.sweep()
    code, text = checked("--json")
    [told] = json.loads(text)
    assert (code, told["state"], told["kind"]) == (1, "drifted", "other_config")
    assert (told["found"], told["action"]) == ("configuration hotfix-7", "hold")
    assert told["since"] == "2026-01-05T09:05:00+00:00"
    assert drifting.hosting.asked == []


def test_a_project_without_a_route_has_nothing_to_check(drifting: DriftScene) -> None:
    drifting.state.commit([Delete(Table.ROUTES, {"project": PROJECT})])
    assert checked() == (0, f"{PROJECT} has no route, or its first endpoint is being created.\n")


@pytest.fixture
def idling(monkeypatch: pytest.MonkeyPatch, drifting: DriftScene) -> tuple[DriftScene, list[Any]]:
    """An orphan beside version 1, and the requests that are published."""
    drifting.host(f"dev-{PROJECT}-v7-prod", ProvisionedConcurrency=1)
    drifting.clock.advance(7200)
    asked: list[Any] = []
    known = SimpleNamespace(
        store=drifting.state, project=lambda name: name, projects=lambda: [{"project": PROJECT}]
    )
    target = SimpleNamespace(
        client=lambda name: name, output=lambda name: ROLE, environment_name="dev"
    )
    monkeypatch.setattr(serving_idle, "choose", lambda choice: target)
    monkeypatch.setattr(serving_idle, "StackState", lambda target: known)
    monkeypatch.setattr(serving_idle, "SystemClock", lambda: drifting.clock)
    monkeypatch.setattr(serving_idle, "SageMakerHosting", lambda client: drifting.hosting)
    monkeypatch.setattr(serving_idle, "CloudWatchEndpointMetrics", lambda client: drifting.asked)
    monkeypatch.setattr(serving_idle, "request_reaping", lambda *told: asked.append(told[1:]))
    return drifting, asked


def idle(*words: str, answer: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["serving", "idle", *words], input=answer, catch_exceptions=False
    )
    return done.exit_code, done.output


def test_idle_endpoints_are_listed_with_their_price_and_nothing_is_done(
    idling: tuple[DriftScene, list[Any]],
) -> None:
    code, text = idle()
    assert code == 0
    assert f"dev-{PROJECT}-v7-prod" in text
    assert "$26.28 a month, us-east-1 list prices" in text
    [told] = json.loads(idle(PROJECT, "--json")[1])
    assert (told["kind"], told["action"], told["asked"]) == ("orphan", "delete", False)
    assert idling[1] == []


def test_reaping_is_asked_for_after_a_question(idling: tuple[DriftScene, list[Any]]) -> None:
    assert idle(PROJECT, "--reap", answer="n\n")[0] == 1
    assert idling[1] == []
    code, text = idle(PROJECT, "--reap", answer="y\n")
    assert (code, "asked for" in text) == (0, True)
    assert idling[1] == [(PROJECT, [f"dev-{PROJECT}-v7-prod"])]
    [told] = json.loads(idle(PROJECT, "--reap", "--yes", "--json")[1])
    assert told["asked"]


def test_where_nothing_is_idle_nothing_is_asked(idling: tuple[DriftScene, list[Any]]) -> None:
    scene, asked = idling
    scene.hosting.remove(f"dev-{PROJECT}-v7-prod")
    scene.hosting.settle(f"dev-{PROJECT}-v7-prod")
    assert "in use" in idle(PROJECT, "--reap", "--yes")[1]
    assert asked == []
