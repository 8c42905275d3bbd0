"""What a run is expected to cost, from what earlier runs used."""

from __future__ import annotations

import random
from typing import Any

import pytest

from steward.domain.errors import UnknownPriceError
from steward.domain.prices import US_EAST_1
from steward.domain.run_cost import (
    COVERAGE,
    DEFAULT_TRAINING_S,
    LATEST_RUNS,
    Estimate,
    PastRun,
    PlannedRun,
    estimate,
    high_of,
    past_runs,
)

PLANNED = PlannedRun("ml.m5.large", 3600)
HOUR = US_EAST_1.instance_hour["ml.m5.large"]


def part(found: Estimate, name: str) -> Any:
    return next(part for part in found.parts if part.name == name)


def ran(seconds: float, instance_type: str = "ml.m5.large") -> PastRun:
    return PastRun("r", instance_type, seconds, seconds / 2, 0.001, 30)


def test_without_history_the_stated_default_and_the_limit_stand() -> None:
    training = part(estimate(PLANNED, []), "training")

    assert training.expected == pytest.approx(DEFAULT_TRAINING_S * HOUR / 3600)
    assert training.high == pytest.approx(HOUR)
    assert training.basis == "no run yet: 600 s, at most 3600 s"


def test_with_history_the_median_and_a_high_value_stand() -> None:
    training = part(estimate(PLANNED, [ran(s) for s in (100, 300, 200)]), "training")

    assert training.expected == pytest.approx(200 * HOUR / 3600)
    assert training.high == pytest.approx(600 * HOUR / 3600)
    assert training.basis == "3 runs: 200 s, high 600 s"


def test_no_value_is_above_the_time_at_which_the_job_is_stopped() -> None:
    training = part(estimate(PlannedRun("ml.m5.large", 250), [ran(200)]), "training")

    assert training.high == pytest.approx(250 * HOUR / 3600)


def test_runs_on_the_planned_instances_count_before_others() -> None:
    mixed = [ran(100), ran(900, "ml.t3.medium")]

    assert part(estimate(PLANNED, mixed), "training").basis.startswith("1 run: 100 s")
    elsewhere = part(estimate(PLANNED, mixed[1:]), "training").basis
    assert elsewhere.startswith("1 run: 900 s")
    assert elsewhere.endswith("on other instance types")


def test_a_run_that_reused_its_training_says_nothing_of_its_time() -> None:
    reused = PastRun("r", functions=0.002, transitions=12)

    found = estimate(PLANNED, [reused, ran(100)])

    assert part(found, "training").basis.startswith("1 run: 100 s")
    assert part(found, "transitions").basis.startswith("2 runs")


def test_an_instance_without_a_price_is_refused() -> None:
    with pytest.raises(UnknownPriceError, match=r"ml\.zz9\.large"):
        estimate(PlannedRun("ml.zz9.large", 60), [])


def test_the_high_value_covers_the_next_run_as_often_as_it_says() -> None:
    draw = random.Random(3)
    for earlier in (9, 19, 20):
        kept = 0
        for _ in range(4000):
            values = [draw.lognormvariate(0, 1) for _ in range(earlier + 1)]
            kept += values[-1] <= high_of(values[:-1])
        assert kept / 4000 > COVERAGE - 0.015


@pytest.mark.parametrize("count", range(1, 9))
def test_too_few_runs_for_an_order_statistic_take_twice_the_largest(count: int) -> None:
    assert high_of([float(n + 1) for n in range(count)]) == 2.0 * count


def entries(run: str, at: str, status: str = "SUCCEEDED", seconds: float = 60) -> list[Any]:
    detail = {"billable_s": seconds, "instance_count": 2, "instance_type": "ml.m5.large"}
    ended = {
        "machine": "steward-dev-train-candidate", "status": status, "transitions": 31,
        "function_dollars": 0.0007,
    }  # fmt: skip
    return [
        {"run_id": run, "at": at, "kind": "training_job", "detail": detail},
        {"run_id": run, "at": at, "kind": "execution", "detail": ended},
        {"run_id": run, "at": at, "kind": "execution",
         "detail": {**ended, "machine": "steward-dev-release-version"}},
    ]  # fmt: skip


def test_only_runs_that_succeeded_are_looked_back_on_newest_first() -> None:
    known = [
        *entries("a", "2026-01-01"), *entries("c", "2026-01-03"),
        *entries("b", "2026-01-02", "FAILED"),
    ]  # fmt: skip

    found = past_runs(known, "train-candidate")

    assert [run.run_id for run in found] == ["c", "a"]
    assert found[0] == PastRun("c", "ml.m5.large", 120.0, None, 0.0007, 31)


def test_a_long_history_is_cut() -> None:
    many = [e for n in range(50) for e in entries(f"r{n}", f"2026-01-01T00:00:{n:02}")]

    found = past_runs(many, "train-candidate")

    assert len(found) == LATEST_RUNS
    assert found[0].run_id == "r49"
