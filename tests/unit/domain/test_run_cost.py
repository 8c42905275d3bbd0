"""What a run is expected to cost, from what earlier runs used."""

from __future__ import annotations

import random
from dataclasses import replace
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


def sized(seconds: float, megabytes: float) -> PastRun:
    return replace(ran(seconds), data_bytes=int(megabytes * 1e6))


def test_the_time_grows_with_the_data_and_never_shrinks_with_it() -> None:
    past = [sized(100, 10), sized(120, 12)]

    tenfold = part(estimate(replace(PLANNED, data_bytes=int(100e6)), past), "training")
    assert tenfold.expected == pytest.approx(1000 * HOUR / 3600)
    assert "scaled up to 10 times by size" in tenfold.basis
    little = part(estimate(replace(PLANNED, data_bytes=int(1e6)), past), "training")
    assert little.basis == "2 runs: 110 s, high 240 s"


def test_runs_of_the_same_size_tell_more_than_small_ones() -> None:
    past = [sized(50, 1) for _ in range(9)] + [sized(900, 95) for _ in range(9)]

    found = part(estimate(replace(PLANNED, data_bytes=int(95e6)), past), "training")
    assert found.basis == "9 runs: 900 s, high 900 s"


def test_runs_whose_size_nobody_noted_count_as_they_are() -> None:
    found = part(estimate(replace(PLANNED, data_bytes=int(1e9)), [ran(100)]), "training")
    assert found.basis == "1 run: 100 s, high 200 s"


def test_a_search_is_its_jobs_times_the_time_of_one() -> None:
    search = replace(PLANNED, jobs=20, parallel_jobs=4)
    past = [replace(ran(1000), training_jobs=10)]

    found = part(estimate(search, past), "training")
    assert found.expected == pytest.approx(20 * 100 * HOUR / 3600)
    assert found.high == pytest.approx(20 * 200 * HOUR / 3600)
    assert "a search of 20 such jobs, 4 at a time, is over after about 500 s" in found.basis
    first = part(estimate(search, []), "training")
    assert first.high == pytest.approx(20 * HOUR)  # each job may run up to its limit


def test_spare_capacity_is_taken_off_as_it_was_measured_and_not_before() -> None:
    spot = replace(PLANNED, spot=True)

    unmeasured = part(estimate(spot, [ran(100)]), "training")
    assert unmeasured.expected == pytest.approx(100 * HOUR / 3600)
    assert "its saving not measured yet: list price" in unmeasured.basis
    past = [replace(ran(100), billed_share=share) for share in (0.2, 0.4, 0.3)]
    measured = part(estimate(spot, past), "training")
    assert measured.expected == pytest.approx(0.3 * 100 * HOUR / 3600)
    assert "billed 30 % of the time in 3 runs" in measured.basis
    times = part(estimate(PLANNED, past), "training").high
    assert measured.high == pytest.approx(min(1.0, high_of([0.2, 0.4, 0.3])) * times)
    assert measured.high >= 0.4 * times
    # Who goes back to capacity that stays pays for all of the time.
    assert part(estimate(PLANNED, past), "training").expected == pytest.approx(100 * HOUR / 3600)


def test_a_past_search_on_spare_capacity_is_counted_whole() -> None:
    def job(number: int, billed: float, worked: float) -> dict[str, Any]:
        detail = {"instance_type": "ml.m5.large", "instance_count": 1, "billable_s": billed,
                  "worked_s": worked}  # fmt: skip
        return {"run_id": "r", "kind": "training_job", "at": f"2026-01-0{number}", "detail": detail}

    ended = {"machine": "steward-train-candidate", "status": "SUCCEEDED", "transitions": 31,
             "function_dollars": 0.001}  # fmt: skip
    execution = {"run_id": "r", "kind": "execution", "at": "2026-01-09", "detail": ended}
    [run] = past_runs([job(1, 30, 100), job(2, 10, 20), execution], "train-candidate")
    assert (run.training_s, run.training_jobs) == (120, 2)
    assert run.billed_share == pytest.approx(40 / 120)


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
