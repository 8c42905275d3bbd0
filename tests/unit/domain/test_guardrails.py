"""The absolute limits of a step stop on proven harm and almost never on chance."""

from __future__ import annotations

import random

import pytest
from scipy import stats  # type: ignore[import-untyped,unused-ignore]

from steward.domain.guardrails import (
    ROLLBACK_BUDGET,
    Counts,
    Limits,
    StepStatistics,
    binomial_tail,
    judge,
)
from steward.domain.release_declaration import Release
from steward.domain.strategies import plan_for

CANARY = plan_for(Release(), "gateway", [], first=False)
BESIDE, LIMITS = CANARY.steps[0].limits, CANARY.steps[-1].limits


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
    assert rolled_back / releases <= limits.budget < ROLLBACK_BUDGET


def test_beside_the_stable_version_only_alarms_and_requests_are_judged() -> None:
    assert judge(statistics(100, errors=60, slow=90, limits=BESIDE)).verdict == "continue"
    assert judge(statistics(9, limits=BESIDE)).verdict == "hold"
    assert judge(statistics(9, limits=BESIDE, holds=3)).verdict == "inconclusive"


def test_before_the_bake_is_over_nothing_but_an_alarm_is_judged() -> None:
    early = statistics(100, errors=60).model_copy(update={"due": False})
    assert judge(early).verdict == "continue"
    ringing = early.model_copy(update={"alarms": {"errors": "ALARM"}})
    assert judge(ringing).verdict == "roll_back"


def test_equal_statistics_have_equal_judgements_and_digests() -> None:
    one, other = statistics(50, 3), statistics(50, 3)
    assert one.digest == other.digest
    assert judge(one) == judge(other)
    assert statistics(50, 4).digest != one.digest


def test_a_first_release_has_nothing_to_share_with_and_waits_for_nobody() -> None:
    plan = plan_for(Release(), "gateway", [], first=True)
    (step,) = plan.steps
    assert (plan.strategy, step.share, plan.phases) == ("all_at_once", 100, [])
    assert step.limits.budget == ROLLBACK_BUDGET
    assert judge(statistics(0, limits=step.limits)).verdict == "continue"
