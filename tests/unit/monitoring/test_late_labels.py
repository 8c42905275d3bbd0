"""Labels that come late: joined once, judged when their time is over, estimated until then."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from steward.domain.monitoring.looks import PerformanceLook
from steward.domain.predictions import Predictions, write_predictions
from steward.service.monitoring.held_out import read_held_out
from support.fakes import FakeObjects
from support.monitoring_scene import BEGAN, HOUR, MonitoringScene, labels_of, people, window

LABELS = {"max_delay_s": HOUR, "minimum": 30, "margin": 0.03}


def watched(wrong: float = 0.0, *, unit: str = "event", hours: int = 6, **labels: Any) -> Any:
    """Some hours whose labels come half an hour after each."""
    scene = MonitoringScene({"unit": unit, "labels": {**LABELS, **labels}})
    for hour in range(hours):
        rows = people(10 + hour, 250)
        scene.traffic(rows, hour)
        scene.label(rows, labels_of(rows, hour, wrong=wrong), hour, 1.5 * HOUR)
        scene.watch(hour + 1)
    return scene


def performance(scene: MonitoringScene, hour: int) -> PerformanceLook:
    found = scene.look(hour).performance
    assert found is not None
    return found


def test_labels_that_agree_with_predictions_raise_nothing() -> None:
    scene = watched()
    found = performance(scene, 5)
    assert (found.state, found.through) == ("ok", window(4))
    assert (found.labelled, found.coverage) == (5 * 250, 1.0)
    assert found.realised[0].verdict == "held"
    assert found.delay_s is not None
    assert 1800 <= found.delay_s <= 5400
    assert scene.told("PerformanceDegraded") == []


@pytest.mark.parametrize("unit", ["event", "entity"])
@pytest.mark.parametrize("metric", ["brier", "log_loss", "accuracy"])
def test_wrong_predictions_are_told_once(unit: str, metric: str) -> None:
    scene = watched(0.6, unit=unit, metric=metric, hours=4)
    assert scene.alarm("performance") == "alarm"
    [told] = scene.told("PerformanceDegraded")
    assert (told.metric, told.action) == (metric, "notify")
    assert told.current is not None
    worse = told.current < told.baseline if metric == "accuracy" else told.current > told.baseline
    assert worse
    assert performance(scene, 3).realised[0].verdict == "worse"


def test_calibration_that_stays_is_said_with_its_figures() -> None:
    scene = watched()
    found = performance(scene, 5).calibration
    assert found is not None
    assert found.n == 5 * 250
    assert found.verdict in ("held", "inconclusive")
    assert found.ece is not None
    assert found.slope is not None
    assert found.slope[0] == pytest.approx(1, abs=0.3)
    assert found.upper is not None
    assert f"{found.upper:.3f}" in found.sentence


def test_calibration_that_drifts_is_said_and_raises_no_alarm_by_itself() -> None:
    scene = watched(0.3, hours=4, margin=0.5)
    found = performance(scene, 3).calibration
    assert found is not None
    assert (found.verdict, found.sentence[:21]) == ("drifted", "Calibration drifted: ")
    assert found.slope is not None
    assert found.slope[0] < 0.7 < found.slope[1]
    assert scene.alarm("performance") != "alarm"
    assert scene.told("PerformanceDegraded") == []


def test_below_its_minimum_calibration_is_inconclusive_with_the_labels_that_it_needs() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    rows = people(10, 250)
    scene.traffic(rows, 0)
    scene.watch(1)
    assert performance(scene, 0).calibration is None
    scene.label(rows[:60], labels_of(rows[:60], 1), 0, HOUR)
    scene.watch(2)
    found = performance(scene, 1).calibration
    assert found is not None
    assert (found.verdict, found.n, found.needs) == ("inconclusive", 60, 100)
    assert "needs n = 100" in found.sentence
    assert found.ece is None


def test_the_first_held_out_row_of_an_entity_counts_where_units_are_entities() -> None:
    objects = FakeObjects()
    rows = Predictions(
        ["a", "a", "b", "c"], np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.9, 0.2, 0.3, 0.6]), None,
        {"sex": ["F", "F", "M", "M"]},
    )  # fmt: skip
    stream = io.StringIO(newline="")
    write_predictions(rows, stream)
    objects.write("s3://kept/run/predictions.csv", stream.getvalue().encode())
    counted = {
        by_entity: read_held_out(
            objects, "s3://kept/run/baseline.json", ["sex"], by_entity=by_entity
        )
        for by_entity in (True, False)
    }
    found = [one for one in counted.values() if one is not None]
    assert [one.rows.n for one in found] == [3, 4]
    assert [one.groups["sex"]["F"].n for one in found] == [1, 2]


def test_until_labels_come_performance_is_estimated_with_its_limits() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    scene.traffic(people(10, 300), 0)
    scene.watch(1)
    found = performance(scene, 0)
    [estimate] = found.estimated
    assert (estimate.metric, estimate.state, estimate.method) == ("brier", "estimated", "cbpe")
    assert "Blind to concept drift" in estimate.limits
    assert (found.state, found.labelled, found.realised) == ("inconclusive", 0, ())


def test_too_few_labels_say_how_many_are_needed() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    rows = people(10, 250)
    scene.traffic(rows, 0)
    scene.label(rows[:10], labels_of(rows[:10], 1), 0, HOUR)
    scene.watch(2)
    found = performance(scene, 1)
    assert (found.predictions, found.labelled) == (250, 10)
    assert found.sentence == "10 labels are too few to judge; needs n = 30."


def test_of_labels_that_come_twice_the_first_counts() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    rows = people(10, 250)
    scene.traffic(rows, 0)
    labels = labels_of(rows, 1)
    scene.label(rows, labels, 0, HOUR)
    scene.label(rows, labels, 0, HOUR + 60)  # the same again
    scene.label(rows[:20], [1 - label for label in labels[:20]], 0, HOUR + 120)
    scene.watch(2)
    found = performance(scene, 1)
    assert (found.labelled, found.contradicting) == (250, 20)
    alone = MonitoringScene({"unit": "event", "labels": LABELS})
    alone.traffic(rows, 0)
    alone.label(rows, labels, 0, HOUR)
    alone.watch(2)
    assert found.realised == performance(alone, 1).realised


def test_labels_of_unknown_predictions_are_counted() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    rows, strangers = people(10, 250), people(99, 7)
    scene.traffic(rows, 0)
    scene.label(rows, labels_of(rows, 1), 0, HOUR + 300)
    scene.label(strangers, [1] * 7, 0, HOUR + 300)
    scene.watch(2)
    found = performance(scene, 1)
    assert (found.labelled, found.unknown) == (250, 7)


def test_labels_after_their_time_and_before_their_prediction_do_not_count() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    rows = people(10, 250)
    scene.traffic(rows, 0)
    scene.label(rows[:50], [1] * 50, 0, -60)
    scene.label(rows[50:100], [1] * 50, 0, 2 * HOUR + 60)
    scene.label(rows[100:], labels_of(rows[100:], 1), 0, HOUR)
    scene.watch(2)
    assert performance(scene, 1).labelled == 150
    scene.watch(3)
    assert performance(scene, 2).labelled == 150


def test_the_first_prediction_of_an_entity_counts_where_units_are_entities() -> None:
    scene = MonitoringScene({"unit": "entity", "labels": LABELS})
    rows = people(10, 100)
    lines = scene.exposures([row for row in rows for _ in range(3)], 0)
    for number, line in enumerate(lines):
        line["capture"]["inference_id"] = f"{line['capture']['entity']}-{number % 3}@0"
    scene.capture(lines, 0)
    asked = [{**row, "entity": f"{row['entity']}-{n}"} for row in rows for n in range(3)]
    scene.label(asked, labels_of(asked, 1), 0, HOUR)
    scene.watch(2)
    assert performance(scene, 1).labelled == 100


def test_a_group_that_is_treated_otherwise_is_told() -> None:
    scene = MonitoringScene(
        {"unit": "event", "labels": {**LABELS, "margin": 0.5, "groups": ["sex"]}}
    )
    for hour in range(6):
        rows = people(10 + hour, 600)
        scene.traffic(rows, hour)
        scene.label(rows, labels_of(rows, hour, women=0.7), hour, 1.5 * HOUR)
        scene.watch(hour + 1)
    assert scene.alarm("bias") == "alarm"
    [told] = scene.told("BiasDrifted")
    assert all(name.startswith("sex ") for name in told.groups)


def test_without_held_out_rows_performance_is_not_judged() -> None:
    scene = MonitoringScene({"unit": "event", "labels": LABELS})
    uri = scene.state.query("versions", scene.project)[0]["baseline"]["uri"]  # type: ignore[arg-type]
    place = uri.removeprefix("s3://").partition("/")
    key = place[2].rpartition("/")[0] + "/predictions.csv"
    for info in list(scene.objects.versions(place[0], key)):
        scene.objects.remove(place[0], key, str(info.version_id))
    scene.traffic(people(10, 250), 0)
    scene.watch(2)
    assert scene.look(1).performance is None
    assert scene.look(0).window_verdict is not None


def test_windows_are_those_of_the_scene() -> None:
    assert window(0) == BEGAN.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_further_metric_that_falls_is_told_by_its_name_and_margin() -> None:
    """All labels are positive now: half of them are below the threshold."""
    scene = MonitoringScene(
        {"unit": "event", "labels": {**LABELS, "margin": 0.6, "further": {"recall": 0.04}}}
    )
    for hour in range(4):
        rows = people(10 + hour, 250)
        scene.traffic(rows, hour)
        scene.label(rows, [1] * 250, hour, 1.5 * HOUR)
        scene.watch(hour + 1)
    [told] = scene.told("PerformanceDegraded")
    assert (told.metric, told.margin) == ("recall", 0.04)
    assert told.current < told.baseline - 0.04
    found = performance(scene, 3)
    assert found.alarm["raised"] == ["recall"]
    assert found.alarm["further"]["recall"]["plan"]["alpha"] == 0.025
    assert [one.metric for one in found.realised] == ["brier", "recall"]
    assert found.sentence.startswith("1 - recall is above 0.")
