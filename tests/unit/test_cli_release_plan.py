"""``steward release plan``: what a release would do, and why it would be refused."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from steward_cli.app import app
from steward_cli.commands import release
from support.serving_scene import PROJECT, Scene

GOAL: dict[str, Any] = {
    "name": "readmitted", "kind": "binary", "value": "outcome", "window_s": 86_400,
    "higher_is_better": False, "expected": 0.1, "goal": {"smallest_effect": 0.01},
    "guardrail": {"margin": 0.02},
}  # fmt: skip


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Version 1 serves 86,400 requests a day, version 2 is approved."""
    scene = Scene()
    scene.play(1)
    scene.approve(2)
    scene.count(86_400, role="stable", units=43_200)
    known = SimpleNamespace(
        store=scene.state,
        project=lambda name: {"config": scene.project.model_dump(mode="json")},
        route=lambda name: scene.route(),
    )
    monkeypatch.setattr(
        release,
        "choose",
        lambda choice: SimpleNamespace(client=lambda name: None, environment_name="dev"),
    )
    monkeypatch.setattr(release, "StackState", lambda target: known)
    monkeypatch.setattr(release, "SystemClock", lambda: scene.clock)
    monkeypatch.setattr(
        release, "CloudWatchTrafficMetrics", lambda client, environment: scene.metrics
    )
    return scene


def asked(version: int, *options: str, code: int = 0) -> str:
    words = ["release", "plan", PROJECT, str(version), *options]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def told(version: int = 2, code: int = 0) -> dict[str, Any]:
    return dict(json.loads(asked(version, "--json", code=code)))


def test_a_canary_shows_its_steps_with_the_requests_of_the_last_day(scene: Scene) -> None:
    plan = told()["plan"]
    assert [(s["share"], s["requests"], s["units"]) for s in plan["steps"]] == [
        (10, 30, 150), (50, 150, 150), (100, 300, 150),
    ]  # fmt: skip
    assert (plan["duration_s"], plan["longest_s"], plan["ticked"]) == (900, 3600, False)
    text = asked(2)
    assert "canary-2-50" in text
    assert "one execution" in text


def test_a_guardrail_says_what_it_takes_at_its_part_of_the_budget(scene: Scene) -> None:
    rails = {rail["name"]: rail for rail in told()["plan"]["guardrails"]}
    assert rails["errors"]["alpha"] == pytest.approx(0.02)
    few, many = rails["errors"]["harm"]["0.03 -> 0.15"], rails["errors"]["harm"]["0.03 -> 0.06"]
    assert 20 < few < 60 < many < 1000
    assert rails["errors"]["safe_units"] is None
    scene.declare(guardrails={"must_prove": "non_inferiority"})
    proved = {rail["name"]: rail["safe_units"] for rail in told()["plan"]["guardrails"]}
    assert proved["errors"] > 1000


def test_a_test_says_which_effect_it_can_find_and_by_which_method(scene: Scene) -> None:
    scene.declare(strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": 8 * 86_400})
    (goal,) = told()["plan"]["goals"]
    assert (goal["metric"], goal["method"]) == ("readmitted", "betting")
    assert goal["units"] == 7 * 43_200
    assert 0.003 < goal["effect"] < 0.01
    scene.declare(strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": 3 * 86_400})
    (shorter,) = told()["plan"]["goals"]
    assert shorter["effect"] > goal["effect"]
    text = asked(2)
    assert "80% power" in text
    assert "looked at every 1 h" in text


def test_without_traffic_it_says_that_nothing_is_known(scene: Scene) -> None:
    scene.metrics.by_role.clear()
    scene.declare(strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": 8 * 86_400})
    plan = told()["plan"]
    assert plan["goals"][0]["effect"] is None
    assert any("no request in the last day" in note for note in plan["notes"])
    assert "not known" in asked(2)


def test_every_reason_for_a_refusal_is_told(scene: Scene) -> None:
    scene.approve(3, state="pending")
    scene.declare(strategy="ab_test", metrics=[GOAL], ab_test={"duration_s": 3600})
    reasons = told(3, code=1)
    assert reasons["plan"] is None
    assert [reason["field"] for reason in reasons["refused"]] == [
        "state", "release.ab_test.duration_s",
    ]  # fmt: skip
    assert "judged by captured metrics" in asked(3, code=1)


def test_a_bandit_whose_batches_are_shorter_than_a_tick_is_refused(scene: Scene) -> None:
    scene.declare(strategy="bandit", metrics=[GOAL], bandit={"batch_s": 600})
    (reason,) = told(code=1)["refused"]
    assert reason["field"] == "release.bandit.batch_s"
    assert reason["allowed"] == ">= 3600"


def test_shadow_traffic_alone_is_told_to_promote_nothing(scene: Scene) -> None:
    scene.declare(strategy="shadow")
    plan = told()["plan"]
    assert plan["steps"][0]["requests"] == 86_400
    assert any("promotes nothing" in note for note in plan["notes"])
