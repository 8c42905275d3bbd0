"""The embedded CloudWatch counts values within bounds, as the statistic TC does."""

from typing import Any

import pytest
from ministack.services import cloudwatch

from steward_local.trimmed_counts import count_within_bounds


def counted(statistic: str, *values: float) -> Any:
    points = [{"Value": value} for value in values]
    stat_value = count_within_bounds(lambda *_arguments: "original")
    return stat_value(cloudwatch._calc_stats(points), statistic, points)


@pytest.mark.parametrize(
    ("statistic", "count"),
    [("TC(100:)", 2), ("TC(:100)", 2), ("TC(50:150)", 2), ("TC(200:)", 0), ("TC(0.5:)", 4)],
)
def test_values_above_the_lower_and_up_to_the_upper_bound_are_counted(
    statistic: str, count: int
) -> None:
    assert counted(statistic, 50, 100, 150, 200) == count


@pytest.mark.parametrize("statistic", ["Sum", "p95", "TC(:)", "TC(10%:90%)", "TM(1:2)"])
def test_other_statistics_are_left_to_the_engine(statistic: str) -> None:
    assert counted(statistic, 1, 2) == "original"


def test_a_period_without_values_has_no_count() -> None:
    assert counted("TC(100:)") is None
