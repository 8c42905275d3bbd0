"""What columns usually vary, as looks learn it from windows without an alarm."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.looking import Counted, Judged, alarm_look, judge, window_look
from steward.domain.monitoring.profiles import Profile, profile_chunk
from steward_cli.monitor_backtest import Settings, backtest
from steward_cli.monitoring import Monitoring as Records
from support.monitoring_scene import PROJECT, MonitoringScene, people

NAMES = ("one", "two", "three", "four")
PLAIN = Monitoring(unit="event")
LEARNT = Monitoring(unit="event", dispersion="learnt")


@cache
def _baseline() -> Baseline:
    draw = np.random.default_rng(1)
    columns = {name: draw.normal(0, 1, 10_000) for name in NAMES}
    return Baseline(project="diabetes", rows=10_000, features=column_baselines(columns))


def _window(draw: np.random.Generator, number: int, wander: float, shift: float = 0.0) -> Profile:
    moves = draw.normal(0, wander, len(NAMES)) + shift
    columns = {
        name: draw.normal(move, 1, 500) for name, move in zip(NAMES, moves, strict=True)
    }  # fmt: skip
    return profile_chunk(_baseline(), columns, f"chunk-{number}")


def _watch(windows: dict[int, Profile], declared: Monitoring) -> list[Judged]:
    """Look at windows one after the other, as a watch does: those that alarmed teach nothing."""
    quiet: dict[int, Counted] = {}
    found = []
    for number in sorted(windows):
        seen = {n: one for n, one in windows.items() if n <= number}
        judged = judge(_baseline(), seen, number, declared, quiet=quiet)
        found.append(judged)
        if judged.alarm.state != "alarm":
            quiet[number] = windows[number]
    return found


def test_hours_that_wander_are_quiet_once_their_spread_is_learnt() -> None:
    plain = learnt = looks = 0
    for seed in range(4):
        draw = np.random.default_rng([2, seed])
        windows = {number: _window(draw, number, 0.1) for number in range(60)}
        late = _watch(windows, LEARNT)[45:]
        alone = [judge(_baseline(), {n: windows[n]}, n, PLAIN) for n in range(45, 60)]
        learnt += sum(one.window.verdict == "drift" for one in late)
        plain += sum(one.window.verdict == "drift" for one in alone)
        looks += len(late)
    assert plain / looks > 0.5
    assert learnt < plain / 3


def test_hours_that_do_not_wander_are_flagged_no_more_often() -> None:
    looks = flagged = alarms = 0
    for seed in range(4):
        draw = np.random.default_rng([3, seed])
        windows = {number: _window(draw, number, 0.0) for number in range(40)}
        late = _watch(windows, LEARNT)[20:]
        flagged += sum(one.window.verdict == "drift" for one in late)
        alarms += sum(one.alarm.state == "alarm" for one in late)
        looks += len(late)
    assert alarms == 0
    assert flagged / looks <= 0.03 + 3 * (0.03 * 0.97 / looks) ** 0.5


def test_a_shift_beyond_what_is_usual_still_alarms() -> None:
    draw = np.random.default_rng(4)
    windows = {number: _window(draw, number, 0.05) for number in range(40)}
    windows[40] = _window(draw, 40, 0.05, shift=0.8)
    seen = judge(_baseline(), windows, 40, LEARNT, quiet={n: windows[n] for n in range(40)})
    assert seen.window.verdict == "drift"
    assert seen.alarm.state == "alarm"


@pytest.mark.parametrize(("earlier", "learnt"), [(19, False), (20, True)])
def test_nothing_is_learnt_before_there_are_twenty_windows(earlier: int, learnt: bool) -> None:
    draw = np.random.default_rng(5)
    windows = {number: _window(draw, number, 0.1) for number in range(earlier + 1)}
    plain, found = (judge(_baseline(), windows, earlier, one) for one in (PLAIN, LEARNT))
    assert bool(found.window.dispersion) is learnt
    assert (found.window.digest == plain.window.digest) is not learnt
    assert (found.alarm.digest == plain.alarm.digest) is not learnt
    shown = window_look(found.window).columns
    assert (max(column.dispersion for column in shown) > 1) is learnt
    assert alarm_look(found.alarm, 3600).digest == found.alarm.digest


def test_windows_that_alarmed_and_small_ones_teach_nothing() -> None:
    draw = np.random.default_rng(6)
    windows = {number: _window(draw, number, 0.1) for number in range(26)}
    quiet = {number: windows[number] for number in range(19)}
    assert not judge(_baseline(), windows, 25, LEARNT, quiet=quiet).window.dispersion
    few = Monitoring(unit="event", dispersion="learnt", minimum_rows=501)
    assert not judge(_baseline(), windows, 25, few).window.dispersion


def test_dispersion_is_not_learnt_within_a_cycle() -> None:
    with pytest.raises(ValidationError, match="without a cycle"):
        Monitoring(unit="event", seasonality="day", dispersion="learnt")


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_a_replay_learns_the_same(unit: str) -> None:
    scene = MonitoringScene({"unit": unit, "dispersion": "learnt", "labels": {"max_delay_s": 60}})
    for hour in range(23):
        older = 2.0 if hour % 2 else -2.0
        scene.traffic(people(100 + hour, 120, older=older), hour)
        scene.watch(hour + 1)
    watched = Records(scene.state, scene.objects).read(PROJECT)
    assert watched.baseline is not None
    assert watched.records[-1].window_verdict is not None
    spread = {one.name: one.dispersion for one in watched.records[-1].window_verdict.columns}
    assert spread["age"] > 1
    again = backtest(watched.records, watched.baseline, scene.objects, Settings())
    assert [one.same for one in again] == [True] * 23
