"""The judge of a step stops on proven harm and almost never on chance."""

from __future__ import annotations

import random

import pytest
from scipy import stats  # type: ignore[import-untyped,unused-ignore]

from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.guardrails import (
    ROLLBACK_BUDGET,
    Counts,
    Limits,
    StepStatistics,
    binomial_tail,
    judge,
)
from steward.domain.release_declaration import Release
from steward.domain.strategies import STRATEGIES, strategy_for

LIMITS = STRATEGIES["canary"].plan(Release()).steps[0].limits


def statistics(
    requests: int, errors: int = 0, slow: int = 0, limits: Limits = LIMITS, holds: int = 0
) -> StepStatistics:
    return StepStatistics(
        release_id="00000002-1", step_id="canary-1-10", share=10,
        since="2026-01-05T09:00:00.000+00:00", until="2026-01-05T09:05:00.000+00:00", holds=holds,
        counts=Counts(requests=requests, errors=errors, slow=slow), alarms={}, standing=[],
        limits=limits,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("k", "n", "p"),
    [(0, 10, 0.1), (1, 10, 0.1), (3, 55, 0.02), (10, 10, 0.5), (60, 1000, 0.02), (500, 9000, 0.05)],
)
def test_the_binomial_tail_agrees_with_scipy(k: int, n: int, p: float) -> None:
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-9)


def test_more_failures_than_requests_cannot_be() -> None:
    assert binomial_tail(3, 2, 0.5) == 0.0


@pytest.mark.parametrize(
    ("requests", "errors", "slow", "verdict"),
    [
        (100, 0, 0, "continue"),
        (100, 5, 0, "continue"),
        (100, 20, 0, "roll_back"),
        (13, 4, 0, "roll_back"),
        (100, 0, 10, "continue"),
        (100, 0, 40, "roll_back"),
        (9, 0, 0, "hold"),
        (10, 0, 0, "continue"),
        (9, 6, 0, "roll_back"),
    ],
)
def test_harm_must_be_proven(requests: int, errors: int, slow: int, verdict: str) -> None:
    assert judge(statistics(requests, errors, slow)).verdict == verdict


def test_a_version_at_its_limit_is_rolled_back_within_the_budget() -> None:
    """A whole release, looked at after every bake with growing counts, as the machine does."""
    draw = random.Random(20)
    limits = LIMITS
    releases, rolled_back = 600, 0
    for _ in range(releases):
        requests = errors = 0
        for _look in range(limits.looks):
            requests += 60
            errors += sum(draw.random() < limits.max_error_rate for _ in range(60))
            if judge(statistics(requests, errors)).verdict == "roll_back":
                rolled_back += 1
                break
    assert rolled_back / releases <= ROLLBACK_BUDGET


def test_equal_statistics_have_equal_judgements_and_digests() -> None:
    one, other = statistics(50, 3), statistics(50, 3)
    assert one.digest == other.digest
    assert judge(one) == judge(other)
    assert statistics(50, 4).digest != one.digest


def test_a_canary_spreads_its_budget_over_all_its_looks() -> None:
    plan = STRATEGIES["canary"].plan(Release(steps=[5, 25, 100]))
    assert [step.share for step in plan.steps] == [5, 25, 100]
    assert {step.limits.looks for step in plan.steps} == {12}
    assert plan.longest_s == 3 * 4 * 300


def test_all_at_once_is_one_step_that_waits_for_nobody() -> None:
    (step,) = STRATEGIES["all_at_once"].plan(Release()).steps
    assert step.share == 100
    assert judge(statistics(0, limits=step.limits)).verdict == "continue"


def test_a_first_release_has_nothing_to_share_with() -> None:
    assert strategy_for("canary", "gateway", first=True).name == "all_at_once"
    assert strategy_for("canary", "gateway", first=False).name == "canary"


@pytest.mark.parametrize(("name", "router"), [("roulette", "gateway"), ("canary", "pigeons")])
def test_what_a_router_cannot_play_is_refused(name: str, router: str) -> None:
    with pytest.raises(ReleaseNotAllowedError):
        strategy_for(name, router, first=False)
