"""Alarms rise, stay and end; silence is told; unshifted traffic raises none over many seeds."""

from __future__ import annotations

import pytest

from support.monitoring_scene import MonitoringScene, baseline_of, people, window


def test_an_alarm_ends_with_the_version_that_it_is_about() -> None:
    scene = MonitoringScene({"unit": "event"})
    for hour in range(2):
        scene.traffic(people(10 + hour, 300, older=12.0), hour)
        scene.watch(hour + 1)
    assert scene.alarm("drift") == "alarm"
    scene.give_baseline(baseline_of(people(2, 4000, older=12.0), "event", 2), 2)
    scene.serve(2)
    scene.traffic(people(20, 300, older=12.0), 2)
    scene.watch(3)
    [cleared] = scene.told("AlarmCleared")
    assert (cleared.kind, cleared.version, cleared.window) == ("drift", 2, window(2))
    assert len(scene.told("DriftDetected")) == 1
    assert scene.look(2).history == {}


def test_an_alarm_stays_while_a_look_has_too_little_to_say() -> None:
    scene = MonitoringScene({"unit": "event", "minimum_rows": 200})
    scene.traffic(people(10, 300, older=15.0), 0)
    scene.watch(1)
    scene.watch(4)
    assert scene.alarm("drift") == "alarm"
    assert scene.told("AlarmCleared") == []


def test_too_few_rows_are_inconclusive_and_say_how_many_are_needed() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.traffic(people(10, 30, older=30.0), 0)
    scene.watch(1)
    look = scene.look(0)
    assert look.window_verdict is not None
    assert look.window_verdict.verdict == "inconclusive"
    assert "needs n = 50" in look.window_verdict.sentence
    assert look.drift.state == "inconclusive"
    assert scene.told("DriftDetected") == []


def test_silence_is_a_state_of_its_own_then_an_alarm_then_over() -> None:
    scene = MonitoringScene({"unit": "event", "no_data_after_s": 3 * 3600})
    scene.traffic(people(10, 100), 0)
    scene.watch(6)
    assert [scene.look(hour).no_data.state for hour in range(6)] == [
        "ok", "no_data", "no_data", "alarm", "alarm", "alarm",
    ]  # fmt: skip
    [stale] = scene.told("DataStale")
    assert (stale.since, stale.silent_s, stale.window) == (window(1), 3 * 3600, window(3))
    scene.traffic(people(11, 100), 6)
    scene.watch(7)
    [cleared] = scene.told("AlarmCleared")
    assert (cleared.kind, cleared.since) == ("no_data", window(1))


def test_silence_is_no_alarm_where_the_project_says_so() -> None:
    scene = MonitoringScene({"unit": "event", "no_data_after_s": None})
    scene.traffic(people(10, 100), 0)
    scene.watch(30)
    assert scene.told("DataStale") == []
    assert scene.look(20).no_data.state == "off"


def test_windows_that_a_watch_missed_are_caught_up_in_order() -> None:
    scene = MonitoringScene({"unit": "event"})
    scene.traffic(people(10, 100), 0)
    scene.watch(1)
    for hour in range(1, 26):
        scene.traffic(people(100 + hour, 60), hour)
    scene.watch(26)
    told = [event.window for event in scene.told("WindowJudged")]
    assert told == [window(hour) for hour in range(26)]


def test_entities_that_come_again_count_once_in_a_window_and_in_each_horizon() -> None:
    """Rows of the same people, drawn again and again, are no evidence of drift."""
    rng_rows = people(10, 60)
    scene = MonitoringScene({"unit": "entity"})
    for hour in range(6):
        again = [dict(row) for row in rng_rows for _ in range(5)]
        lines = scene.exposures(again, hour)
        for number, line in enumerate(lines):
            line["capture"]["inference_id"] = f"{hour}-{number}"
        scene.capture(lines, hour)
        scene.watch(hour + 1)
    look = scene.look(5)
    assert (look.captured.rows, look.captured.entities) == (300, 60)
    assert look.window_verdict is not None
    assert look.window_verdict.rows == 60
    assert look.drift.rows == 60
    assert scene.told("DriftDetected") == []


def test_only_declared_columns_are_judged() -> None:
    scene = MonitoringScene({"unit": "event", "columns": ["pressure", "sex"]})
    scene.traffic(people(10, 300, older=20.0), 0)
    scene.watch(1)
    verdict = scene.look(0).window_verdict
    assert verdict is not None
    assert [column.name for column in verdict.columns] == ["pressure", "sex"]
    assert scene.alarm("drift") == "ok"


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_segments_are_compared_with_their_own_earlier_windows(unit: str) -> None:
    segments = [{"name": "women", "where": "sex = 'F'"}, {"name": "old", "where": "age > 60"}]
    scene = MonitoringScene({"unit": unit, "segments": segments})
    for hour in range(3):
        rows = people(10 + hour, 600)
        for row in rows:
            if hour == 2 and row["features"]["sex"] == "F":
                row["features"]["pressure"] += 15.0
        scene.traffic(rows, hour)
        scene.watch(hour + 1)
    first, second, third = (
        {segment.name: segment.window for segment in scene.look(hour).segments} for hour in range(3)
    )
    assert first["women"].sentence == "No earlier window has this segment to compare with."
    assert 200 < first["women"].rows < 400
    assert (second["women"].changed, second["old"].changed) == ([], [])
    assert third["women"].changed == ["pressure"]


def test_unshifted_traffic_raises_no_alarm_and_shifted_traffic_does_over_many_seeds() -> None:
    """6 streams of three hours, 150 people an hour: at most one false alarm, at least 5 true."""
    false = true = 0
    for seed in range(6):
        steady = MonitoringScene({"unit": "entity"})
        shifted = MonitoringScene({"unit": "entity"})
        for hour in range(3):
            draw = 1000 * (seed + 1) + hour
            steady.traffic(people(draw, 150), hour)
            shifted.traffic(people(draw, 150, older=9.0), hour)
        for scene in (steady, shifted):
            scene.watch(3)
        false += bool(steady.told("DriftDetected"))
        true += bool(shifted.told("DriftDetected"))
    assert (false <= 1, true >= 5) == (True, True), (false, true)
