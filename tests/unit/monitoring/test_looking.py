"""What one look says, from profiles alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import judge, restricted, seen_through, transition
from steward.domain.monitoring.profiles import Profile, profile_chunk
from steward.domain.monitoring.verdicts import judge_window

ROWS = 300


def baseline() -> Baseline:
    draw = np.random.default_rng(1)
    hours = draw.integers(0, 24, 6000)
    return Baseline(
        project="diabetes", rows=6000,
        features=column_baselines(
            {"load": draw.normal(_level(hours), 1.0), "other": draw.normal(0, 1, 6000)}
        ),
    )  # fmt: skip


def _level(hour: np.ndarray | int) -> np.ndarray:  # type: ignore[type-arg]
    """A daily cycle of half a standard deviation."""
    found: np.ndarray = 0.5 * np.sin(2 * math.pi * np.asarray(hour) / 24)  # type: ignore[type-arg]
    return found


def hour_of(base: Baseline, hour: int, shift: float = 0.0) -> Profile:
    draw = np.random.default_rng(100 + hour)
    columns = {
        "load": draw.normal(float(_level(hour % 24)) + shift, 1.0, ROWS),
        "other": draw.normal(0, 1, ROWS),
    }
    return profile_chunk(base, columns, f"chunk-{hour}")


def test_a_daily_cycle_is_silent_where_it_is_declared_and_alarms_where_it_is_not() -> None:
    base = baseline()
    windows = {hour: hour_of(base, hour) for hour in range(96)}
    cyclic = Monitoring(unit="event", seasonality="day")
    plain = Monitoring(unit="event")
    states = {hour: judge(base, windows, hour, cyclic).alarm.state for hour in range(0, 96, 7)}
    assert "alarm" not in states.values()
    assert judge(base, windows, 90, cyclic).window.verdict in ("no_drift", "inconclusive")
    assert judge(base, windows, 90, plain).window.verdict == "drift"
    assert any(judge(base, windows, hour, plain).alarm.state == "alarm" for hour in range(6))


def test_a_shift_within_a_cycle_is_found() -> None:
    base = baseline()
    windows = {hour: hour_of(base, hour, 0.6 if hour >= 72 else 0.0) for hour in range(80)}
    judged = judge(base, windows, 79, Monitoring(unit="event", seasonality="day"))
    assert judged.alarm.state == "alarm"
    assert [column.column for column in judged.alarm.columns] == ["load"]


def test_the_first_cycle_has_nothing_to_be_compared_with() -> None:
    base = baseline()
    windows = {hour: hour_of(base, hour) for hour in range(12)}
    judged = judge(base, windows, 11, Monitoring(unit="event", seasonality="day"))
    assert judged.window.verdict == "inconclusive"
    assert "same place in the cycle" in judged.window.why


def test_windows_that_alarmed_are_no_reference_of_a_cycle() -> None:
    base = baseline()
    windows = {hour: hour_of(base, hour) for hour in range(48)}
    none_quiet = judge(base, windows, 47, Monitoring(unit="event", seasonality="day"), quiet={})
    assert none_quiet.window.verdict == "inconclusive"


def test_columns_that_are_not_judged_are_seen_through() -> None:
    base = baseline()
    window = hour_of(base, 3, shift=2.0)
    seen = restricted(base, ["other"])
    found = seen_through(seen, base, window)
    assert isinstance(found, Profile)
    assert found.baseline == seen.digest != base.digest
    assert [one.column for one in judge_window(seen, found).columns] == ["other"]
    assert restricted(base, None) is base


@pytest.mark.parametrize(
    ("before", "found", "after"),
    [
        ("ok", "alarm", "alarm"), ("alarm", "ok", "ok"), ("alarm", "off", "off"),
        ("alarm", "inconclusive", None), ("alarm", "no_data", None), ("ok", "ok", None),
        ("alarm", "alarm", None), ("ok", "inconclusive", "inconclusive"),
    ],
)  # fmt: skip
def test_an_alarm_ends_only_where_a_look_says_so(before: str, found: str, after: str) -> None:
    one = transition("drift", before, found)  # type: ignore[arg-type]
    assert (one.after if one is not None else None) == after
