"""From captured traffic to verdicts, alarms and events."""

from __future__ import annotations

import pytest

from support.monitoring_scene import MonitoringScene, people, window


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_traffic_like_the_training_rows_raises_nothing(unit: str) -> None:
    scene = MonitoringScene({"unit": unit})
    for hour in range(4):
        scene.traffic(people(10 + hour, 300), hour)
        scene.watch(hour + 1)
    verdicts = [one.window_verdict for one in map(scene.look, range(4))]
    assert all(one is not None and one.rows == 300 for one in verdicts)
    assert scene.alarm("drift") in ("ok", "inconclusive")
    assert scene.told("DriftDetected") == []
    assert len(scene.told("WindowJudged")) == 4


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_older_people_are_told_as_drift_once(unit: str) -> None:
    scene = MonitoringScene({"unit": unit})
    for hour in range(5):
        scene.traffic(people(10 + hour, 300, older=10.0 if hour >= 2 else 0.0), hour)
        scene.watch(hour + 1)
    assert scene.alarm("drift") == "alarm"
    [told] = scene.told("DriftDetected")
    assert told.columns[0] in ("age", "prediction")
    assert "age" in told.columns
    assert "pressure" not in told.columns
    assert told.since <= window(2)
    assert told.window == window(2)
    assert scene.look(2).digest == told.digest
    verdict = scene.look(4).window_verdict
    assert verdict is not None
    assert verdict.verdict == "drift"
