"""Labels that are numbers: joined with predictions, compared with held-out errors, told once."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from steward.domain.monitoring.baseline import column_baselines
from steward.domain.monitoring.looks import PerformanceLook
from steward.domain.monitoring.performance_alarm import alarm_plan
from steward.domain.monitoring.performance_statistics import error_scale, regression_of
from steward.domain.predictions import Predictions, write_predictions
from steward.ports import Table
from support.monitoring_scene import (
    ARTIFACTS,
    HOUR,
    MonitoringScene,
    baseline_of,
    people,
)

LABELS = {"max_delay_s": HOUR, "minimum": 30, "metric": "mae", "relative_margin": 0.25}
NOISE = 8.0


def _values(seed: int, count: int) -> list[dict[str, Any]]:
    """People whose blood pressure is predicted from their age."""
    rows = people(seed, count)
    for row in rows:
        row["prediction"] = {"value": 90 + row["features"]["age"] / 2}
    return rows


def _labels(rows: list[dict[str, Any]], seed: int, noise: float = NOISE) -> list[float]:
    drawn = np.random.default_rng(seed)
    return [round(row["prediction"]["value"] + drawn.normal(0, noise), 3) for row in rows]


@dataclass
class Numbers(MonitoringScene):
    """A watched project whose label is a number."""

    def __post_init__(self) -> None:
        self.configure(**self.monitoring)
        self.serve(self.stable)
        rows = _values(2, 600)
        for row in rows:
            row["prediction"]["probability"] = 0.5
        baseline = baseline_of(rows, self.unit)
        answers = np.array([row["prediction"]["value"] for row in rows])
        predicted = column_baselines({"prediction": answers})
        self.give_baseline(baseline.model_copy(update={"predictions": predicted}), 1)
        stream = io.StringIO(newline="")
        kept = Predictions(
            [row["entity"] for row in rows], np.array(_labels(rows, 3)), answers, None, {}
        )
        write_predictions(kept, stream)
        self.objects.write(
            f"s3://{ARTIFACTS}/runs/{self.project}/v1/predictions.csv", stream.getvalue().encode()
        )

    def configure(self, **monitoring: Any) -> None:
        super().configure(**monitoring)
        item = self.state.get(Table.PROJECTS, {"project": self.project})
        assert item is not None
        label = {"name": "pressure", "task": "regression", "positive": None}
        item["config"]["data"] = {"label": label}
        self.state.put(Table.PROJECTS, item)


def _watched(
    noise: float = NOISE, *, unit: str = "event", hours: int = 4, **labels: Any
) -> Numbers:
    scene = Numbers({"unit": unit, "labels": {**LABELS, **labels}})
    for hour in range(hours):
        rows = _values(10 + hour, 250)
        scene.traffic(rows, hour)
        scene.label(rows, _labels(rows, hour, noise), hour, 1.5 * HOUR)
        scene.watch(hour + 1)
    return scene


def _performance(scene: Numbers, hour: int) -> PerformanceLook:
    found = scene.look(hour).performance
    assert found is not None
    return found


@pytest.mark.parametrize("unit", ["event", "entity"])
def test_errors_as_on_held_out_rows_raise_nothing(unit: str) -> None:
    scene = _watched(unit=unit)
    found = _performance(scene, 3)
    assert (found.state, found.labelled) == ("ok", 750)
    mae, rmse = found.realised
    assert (mae.metric, mae.verdict, rmse.metric, rmse.verdict) == ("mae", "held", "rmse", "held")
    assert mae.current == pytest.approx(NOISE * np.sqrt(2 / np.pi), rel=0.1)
    assert rmse.current == pytest.approx(NOISE, rel=0.1)
    assert (found.estimated, found.calibration, found.groups) == ((), None, ())
    assert scene.told("PerformanceDegraded") == []
    assert scene.told("DriftDetected") == []


def test_larger_errors_are_told_once_with_both_figures() -> None:
    scene = _watched(2 * NOISE)
    assert scene.alarm("performance") == "alarm"
    [told] = scene.told("PerformanceDegraded")
    assert told.metric == "mae"
    assert told.current > 1.7 * told.baseline
    assert "The mean absolute_error is above" in _performance(scene, 3).sentence


def test_a_margin_in_the_unit_of_the_label_may_allow_them() -> None:
    scene = _watched(2 * NOISE, relative_margin=None, margin=20)
    assert scene.alarm("performance") == "ok"


def test_labels_that_are_no_numbers_are_counted_and_left_out() -> None:
    scene = Numbers({"unit": "event", "labels": LABELS})
    rows = _values(10, 60)
    scene.traffic(rows, 0)
    labels: list[Any] = _labels(rows, 1)
    labels[:5] = ["high", None, True, 1e80, {"value": 3}]
    scene.label(rows, labels, 0, 1.5 * HOUR)
    scene.watch(1)
    scene.watch(2)
    found = _performance(scene, 1)
    assert found.labelled in (55, 56)  # a null is no outcome, true is one that is no number
    assert found.alarm["unusable"] >= 3


def test_predictions_that_move_are_drift_of_predictions() -> None:
    scene = Numbers({"unit": "event", "labels": LABELS, "columns": ["prediction"]})
    for hour in range(3):
        rows = _values(10 + hour, 400)
        for row in rows:
            row["prediction"]["value"] += 6
        scene.traffic(rows, hour)
        scene.watch(hour + 1)
    assert scene.alarm("drift") == "alarm"
    [told] = scene.told("DriftDetected")
    assert "prediction" in str(told)


def test_a_model_without_any_error_needs_a_margin_of_its_own() -> None:
    labels = np.linspace(0, 1, 200).astype(np.float64)
    scale = error_scale(labels, labels)
    rows = regression_of(labels, labels, centre=scale.centre, cap=scale.cap)
    with pytest.raises(ValueError, match="declare a margin"):
        alarm_plan("absolute_error", rows, margin=0.0)
    assert alarm_plan("absolute_error", rows, margin=0.1).bound == pytest.approx(0.1)


def test_the_scale_of_errors_is_not_set_by_one_outlier() -> None:
    labels = np.zeros(1000)
    errors = np.random.default_rng(1).normal(0, 1, 1000)
    usual = error_scale(labels, errors)
    errors[0] = 1e6
    assert error_scale(labels, errors).cap == pytest.approx(usual.cap, rel=0.05)
    assert usual.cap == pytest.approx(4 * 1.96, rel=0.1)
