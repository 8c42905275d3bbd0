"""Alarms over trailing sums: what they are made of, when they speak, and their replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.monitoring.alarms import (
    HORIZONS,
    AlarmSettings,
    AlarmVerdict,
    judge_alarm,
    trailing,
    trailing_entities,
)
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.dispersion import Dispersion, learn_dispersion, learn_dispersions
from steward.domain.monitoring.entity_samples import sample_chunk
from steward.domain.monitoring.profiles import Profile, ProfilesDifferError, merge, profile_chunk
from steward.domain.monitoring.seasons import learn_season

NAMES = [f"x{n}" for n in range(4)]
START = 480_000


def values(seed: list[int], size: int, shift: float = 0.0) -> dict[str, NDArray[Any]]:
    chance = np.random.default_rng(seed)
    return {name: chance.normal(shift if name == "x2" else 0.0, 1, size) for name in NAMES}


def baseline_of(columns: dict[str, NDArray[Any]], unit: Any = "event") -> Baseline:
    size = len(columns["x0"])
    return Baseline(project="vitals", unit=unit, rows=size, features=column_baselines(columns))


BASELINE = baseline_of(values([1], 10_000))


def hour(place: int, rows: int = 100, shift: float = 0.0) -> Profile:
    return profile_chunk(BASELINE, values([2, place], rows, shift), f"h{place}")


def stream(hours: int, *, since: int | None = None, shift: float = 0.0) -> dict[int, Profile]:
    return {
        START + n: hour(n, shift=shift if since is not None and n >= since else 0.0)
        for n in range(hours)
    }


def look(hours: dict[int, Profile], at: int, settings: AlarmSettings | None = None) -> AlarmVerdict:
    chosen = settings or AlarmSettings()
    return judge_alarm(BASELINE, trailing(hours, START + at, chosen), START + at, chosen)


def test_horizons_are_sums_of_the_hours_that_they_end_with() -> None:
    hours = stream(40)
    del hours[START + 37]
    sums = trailing(hours, START + 39, AlarmSettings())
    assert [one.horizon for one in sums] == list(HORIZONS)
    by_horizon = {one.horizon: one for one in sums}
    assert by_horizon[4].hours == (START + 36, START + 38, START + 39)
    assert by_horizon[4].window == merge(hours[at] for at in by_horizon[4].hours)
    assert by_horizon[48].window.rows == 3_900
    assert by_horizon[48].window == by_horizon[336].window


def test_a_stream_without_drift_is_quiet_and_says_how_sure() -> None:
    hours = stream(60)
    found = [look(hours, at) for at in range(0, 60, 7)]
    assert {verdict.state for verdict in found} == {"quiet"}
    assert "0.05 in 336 looks" in found[-1].why
    assert found[-1].settings.level == pytest.approx(0.05 / 3_360)


def test_a_small_shift_alarms_over_a_long_horizon_and_says_since_when() -> None:
    hours = stream(100, since=50, shift=0.25)
    quiet = look(hours, 49)
    found = look(hours, 99)
    assert quiet.state == "quiet"
    assert found.state == "alarm"
    (alarm,) = found.columns
    assert alarm.column == "x2"
    assert alarm.horizon in (24, 48)
    assert START + 50 <= alarm.since <= START + 76
    assert alarm.p < found.settings.level
    assert f"surest is x2 over {alarm.horizon} h" in found.why


def test_a_large_shift_alarms_at_once() -> None:
    hours = stream(30, since=29, shift=1.5)
    assert look(hours, 28).state == "quiet"
    assert [alarm.column for alarm in look(hours, 29).columns] == ["x2"]


def test_a_floor_holds_back_what_is_sure_and_small() -> None:
    hours = stream(100, since=50, shift=0.25)
    assert look(hours, 99, AlarmSettings(min_effect=0.5)).state == "quiet"


def test_no_rows_and_few_rows_are_states_of_their_own() -> None:
    assert look({}, 5).state == "no_data"
    few = look({START: hour(0, rows=30)}, 0)
    assert few.state == "inconclusive"
    assert "needs n = 50" in few.why


def test_an_alarm_is_replayed_to_the_same_digest() -> None:
    hours = stream(60, since=40, shift=0.8)
    found = look(hours, 59)
    copies = {at: Profile.model_validate_json(one.model_dump_json()) for at, one in hours.items()}
    again = look(dict(reversed(copies.items())), 59)
    assert again == found
    assert again.digest == found.digest
    assert AlarmVerdict.model_validate_json(found.model_dump_json()) == found
    assert look(hours, 58).inputs_digest != found.inputs_digest


def test_another_baselines_profiles_are_refused() -> None:
    sums = trailing(stream(3), START + 2, AlarmSettings())
    with pytest.raises(ProfilesDifferError, match="another baseline"):
        judge_alarm(baseline_of(values([9], 500)), sums, START + 2)


def test_entities_that_return_are_counted_once_in_each_horizon() -> None:
    people = 150
    rows = values([3], people)
    baseline = baseline_of(values([1], 5_000), unit="entity")
    chance = np.random.default_rng(4)
    hours = {}
    for at in range(48):
        who = chance.integers(0, people, 80)
        columns = {name: column[who] for name, column in rows.items()}
        times = np.full(80, at)
        hours[START + at] = sample_chunk(
            baseline, columns, np.array([f"p{n}" for n in who]), times, f"h{at}"
        )
    settings = AlarmSettings()
    sums = trailing_entities(baseline, hours, START + 47, settings)
    assert max(one.window.rows for one in sums) == people
    assert judge_alarm(baseline, sums, START + 47, settings).state == "quiet"


WAVE = 0.6 * np.sin(2 * np.pi * np.arange(24) / 24)
ALL_DAY = baseline_of(
    values([1], 10_080)
    | {"x2": np.concatenate([values([6, n], 420, float(WAVE[n]))["x2"] for n in range(24)])}
)


def seasonal(day: int, place: int, rows: int = 200) -> Profile:
    columns = values([5, day, place], rows, shift=float(WAVE[place]))
    return profile_chunk(ALL_DAY, columns, f"d{day}h{place}")


@pytest.fixture(scope="module")
def days() -> dict[int, Profile]:
    return {START + 24 * day + n: seasonal(day, n) for day in range(4) for n in range(24)}


def test_a_daily_cycle_alarms_unless_it_is_declared(days: dict[int, Profile]) -> None:
    settings = AlarmSettings(cycle_hours=24)
    season = learn_season({at: one for at, one in days.items() if at < START + 72}, 24)
    noon = START + 78
    plain = judge_alarm(ALL_DAY, trailing(days, noon, AlarmSettings()), noon)
    assert [alarm.column for alarm in plain.columns] == ["x2"]
    sums = trailing(days, noon, settings, season)
    assert [one.horizon for one in sums] == list(HORIZONS)
    assert [one.horizon for one in sums if one.reference] == [1, 2, 4, 8, 16]
    assert judge_alarm(ALL_DAY, sums, noon, settings).state == "quiet"
    without = trailing(days, noon, settings)
    assert [one.horizon for one in without] == [24, 48, 96, 168, 336]


def test_hours_of_one_place_in_the_cycle_are_the_reference(days: dict[int, Profile]) -> None:
    season = learn_season(days, 24)
    found = season.over([START + 5, START + 6])
    expected = [days[START + 24 * day + n] for day in range(4) for n in (5, 6)]
    assert found == merge(expected)
    assert season.over([START + 5, START + 29]) == season.over([START + 5])
    assert season.over([START + 5, START + 29, START + 6]) is None
    assert season.over([]) is None
    some = learn_season({START: days[START]}, 24)
    assert some.over([START + 1]) is None
    with pytest.raises(RejectedError, match="no accepted hour"):
        learn_season({}, 24)


def test_only_complete_cycles_enter_horizons_of_days(days: dict[int, Profile]) -> None:
    settings = AlarmSettings(cycle_hours=24)
    holes = {at: one for at, one in days.items() if at != START + 80}
    sums = {one.horizon: one for one in trailing(holes, START + 95, settings)}
    assert 24 not in sums
    assert len(sums[48].hours) == 24
    assert len(sums[96].hours) == 72


def test_what_windows_usually_vary_is_learnt_and_no_alarm() -> None:
    chance = np.random.default_rng(8)

    def wandering(place: int) -> Profile:
        return hour(1_000 + place, rows=400, shift=float(chance.normal(0, 0.3)))

    accepted = [wandering(place) for place in range(40)]
    factors = learn_dispersions(BASELINE, accepted)
    assert set(factors) == set(NAMES)
    assert factors["x2"].rank_sum > 10
    assert factors["x2"].chi_square > 2
    assert factors["x0"].rank_sum < 2
    settings = AlarmSettings(horizons=(1,))
    plain = learnt = 0
    for place in range(40, 70):
        sums = trailing({START: wandering(place)}, START, settings)
        plain += judge_alarm(BASELINE, sums, START, settings).state == "alarm"
        verdict = judge_alarm(BASELINE, sums, START, settings, dispersion=factors)
        learnt += verdict.state == "alarm"
    assert plain >= 10
    assert learnt == 0


def test_too_few_windows_teach_nothing_and_even_ones_no_factor() -> None:
    assert learn_dispersion([5.0] * 19, [5.0] * 19, [5.0] * 19) == Dispersion(windows=19)
    chance = np.random.default_rng(2)
    z = chance.normal(0, 1, (2, 100)).tolist()
    found = learn_dispersion(z[0], z[1], (chance.chisquare(19, 100) / 19).tolist())
    assert max(found.rank_sum, found.mood, found.chi_square) < 1.3
