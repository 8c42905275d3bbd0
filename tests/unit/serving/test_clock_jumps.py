"""A clock that jumps by hours, back or ahead, moves no traffic and loses no rollback."""

from __future__ import annotations

import itertools

import pytest

from steward.domain.mails.layout import Where
from steward.domain.mails.releases import rolled_back
from support.gateway_scene import Counter
from support.serving_scene import ERRORS, Scene

SECOND = "00000002-1"
HOURS = [-5 * 3600, 5 * 3600]


@pytest.fixture
def serving() -> Scene:
    scene = Scene()
    scene.play(1)
    return scene


@pytest.mark.parametrize("jump", HOURS)
def test_a_step_is_judged_alike_whatever_the_clock_says(serving: Scene, jump: int) -> None:
    serving.begin(2)
    serving.clock.advance(jump)
    verdict = serving.judge(SECOND, 0)
    assert (verdict.verdict, verdict.next, verdict.step_index) == ("continue", "shift", 1)


@pytest.mark.parametrize("jump", HOURS)
def test_a_test_is_due_by_its_ticks_and_not_by_the_clock(serving: Scene, jump: int) -> None:
    goal = {"name": "better", "kind": "binary", "value": "outcome", "window_s": 60, "goal": {}}
    serving.declare(
        strategy="ab_test", metrics=[goal], ab_test={"duration_s": 3600}, tick_s=60, cohort_s=60,
        lateness_s=0, bake_s=600,
    )  # fmt: skip
    serving.begin(2)
    serving.clock.advance(jump)
    serving.tick(SECOND, 1)
    assert serving.judge(SECOND).next == "wait"
    assert serving.shares() == {1: 50, 2: 50}


@pytest.mark.parametrize("jump", HOURS)
def test_a_second_release_waits_within_the_lease_of_the_first(serving: Scene, jump: int) -> None:
    serving.declare(bake_s=7200)
    serving.begin(2)
    serving.clock.advance(jump)
    serving.approve(3)
    assert serving.start_release(3)["behind"] == SECOND
    assert serving.release(SECOND)["status"] == "running"


def test_a_shift_by_a_clock_that_was_ahead_delays_a_rollback_to_the_next_look(
    serving: Scene,
) -> None:
    serving.clock.advance(5 * 3600)
    serving.begin(2)
    serving.clock.advance(-5 * 3600)
    assert "rang before" in serving.start_rollback(serving.alarm())["ignored"]
    serving.alarms.by_name[ERRORS] = "ALARM"
    assert serving.judge(SECOND, 0).next == "roll_back"


def test_a_shift_by_a_clock_that_was_behind_delays_nothing(serving: Scene) -> None:
    serving.clock.advance(-5 * 3600)
    serving.begin(2)
    serving.clock.advance(5 * 3600)
    serving.restore(serving.rollback_command(serving.start_rollback(serving.alarm())))
    assert serving.shares() == {1: 100}


@pytest.mark.parametrize("jump", HOURS)
def test_the_gateway_believes_a_route_no_longer_and_captures_what_its_clock_says(
    serving: Scene, jump: int
) -> None:
    serving.begin(2)
    counter = Counter(serving)
    entity = counter.entity_of("candidate")
    assert counter.ask(entity)["version"] == 2
    serving.restore(serving.rollback_command(serving.start_rollback(serving.alarm())))
    serving.clock.advance(jump)
    assert counter.ask(entity)["version"] == 2
    counter.now += 0.26
    assert counter.ask(entity)["version"] == 1
    times = [line["time"] for line in counter.captures()]
    assert times[-1] == serving.clock.now().isoformat(timespec="milliseconds")
    forward = [earlier < later for earlier, later in itertools.pairwise(times) if earlier != later]
    assert forward == [jump > 0]


def test_a_mail_gives_no_time_that_cannot_be() -> None:
    mail = rolled_back(
        Where("dev", "us-east-1", "diabetes"), 2, stable=1, cause="x",
        triggered_at="2026-01-05T09:31:14+00:00", restored_at="2026-01-05T04:31:14+00:00",
        shifts=[], guardrail=None, execution_arn="",
    )  # fmt: skip
    assert "later" not in mail.body
