"""A look as metrics: by project, version, feature and metric; capped, and silent where unsure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from steward.domain.monitoring.looks import (
    AlarmLook,
    AlarmState,
    Captured,
    ColumnLook,
    EstimateLook,
    Look,
    MetricLook,
    PerformanceLook,
    WindowLook,
)
from steward.service.metric_lines import MetricLog
from steward.service.monitoring.look_metrics import FEATURES, put_look

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def _column(name: str, **changed: Any) -> ColumnLook:
    fields: dict[str, Any] = {
        "name": name, "state": "same", "sentence": "As before.", "p": 0.4, "adjusted_p": 0.6,
        "effect": 0.01, "detectable": 0.1, "missing": (0.25, 0.2),
    }  # fmt: skip
    return ColumnLook(**{**fields, **changed})


def _look(columns: int = 2, **changed: Any) -> Look:
    said = AlarmLook(state="ok", sentence="Nothing.", digest="d", inputs_digest="i")
    names = [f"f{number:02d}" for number in range(columns)]
    window = WindowLook(
        verdict="no_drift", sentence="Nothing.", rows=200, digest="d", inputs_digest="i",
        columns=tuple(_column(name) for name in names),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "project": "churn", "window": "2026-11-29T11:00:00Z", "window_s": 3600, "unit": "event",
        "version": 3, "captured": Captured(rows=200, duplicates=2, quarantined={"broken": 3}),
        "window_verdict": window, "drift": said, "no_data": said, "sentence": "Nothing.",
        "alarms": {"drift": "ok", "performance": "inconclusive", "bias": "off", "no_data": "ok"},
    }  # fmt: skip
    return Look(**{**fields, **changed})


def _lines(look: Look, ranking: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    lines: list[str] = []
    put_look(MetricLog("dev", lines.append), look, NOW, ranking)
    return [json.loads(line) for line in lines]


def _by(lines: list[dict[str, Any]], *dimensions: str) -> list[dict[str, Any]]:
    return [
        line
        for line in lines
        if line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [list(dimensions)]
    ]


def test_a_projects_line_counts_what_was_captured() -> None:
    [line] = _by(_lines(_look()), "project")
    assert line["_aws"]["Timestamp"] == NOW.timestamp() * 1000
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Steward/dev"
    shown = {name: line[name] for name in ("WindowRows", "DuplicateLines", "QuarantinedLines")}
    assert shown == {"WindowRows": 200, "DuplicateLines": 2, "QuarantinedLines": 3}
    assert line["DriftedColumns"] == 0


@pytest.mark.parametrize(
    ("state", "told"),
    [("ok", 0.0), ("alarm", 1.0), ("inconclusive", None), ("no_data", None), ("off", None)],
)
def test_an_alarm_is_told_only_where_the_look_could_tell(
    state: AlarmState, told: float | None
) -> None:
    [line] = _by(_lines(_look(alarms={"drift": state})), "project")
    assert line.get("DriftAlarm") == told


@pytest.mark.parametrize(("state", "told"), [("alarm", 1), ("no_data", 0), ("ok", 0)])
def test_silence_is_an_alarm_once_it_lasts_longer_than_allowed(
    state: AlarmState, told: int
) -> None:
    [line] = _by(_lines(_look(alarms={"no_data": state, "drift": "no_data"})), "project")
    assert line["NoDataAlarm"] == told
    assert "DriftAlarm" not in line


def test_only_the_features_that_weigh_most_have_metrics() -> None:
    lines = _lines(_look(columns=40), ("f39", "gone", "f07"))
    features = [line["feature"] for line in _by(lines, "project", "variant", "feature")]
    assert len(features) == FEATURES
    assert features[:3] == ["f39", "f07", "f00"]
    assert {line["variant"] for line in _by(lines, "project", "variant", "feature")} == {"v3"}


def test_an_effect_that_a_window_could_not_see_is_not_drawn() -> None:
    window = _look().window_verdict
    assert window is not None
    unsure = window.model_copy(update={"columns": (_column("f00", state="inconclusive"),)})
    [line] = _by(_lines(_look(window_verdict=unsure)), "project", "variant", "feature")
    assert line["MissingShare"] == 0.25
    assert "DriftEffect" not in line


def test_performance_is_told_by_metric_realised_and_estimated() -> None:
    realised = MetricLook(
        metric="brier", verdict="held", method="t", current=0.18, baseline=0.17, margin=0.05,
        confidence=0.95, n=80,
    )  # fmt: skip
    estimated = EstimateLook(metric="brier", state="estimated", value=0.2, method="cbpe", n=200)
    untold = EstimateLook(metric="roc_auc", state="inconclusive", method="cbpe", n=20)
    performance = PerformanceLook(
        state="ok", sentence="Held.", predictions=200, labelled=80, delay_s=60.0,
        realised=(realised,), estimated=(estimated, untold),
    )  # fmt: skip
    lines = _lines(_look(performance=performance))
    [whole] = _by(lines, "project")
    assert (whole["LabelCoverage"], whole["LabelDelay"]) == (0.4, 60.0)
    metrics = [
        {name: line[name] for name in line if name.endswith("Metric")}
        for line in _by(lines, "project", "variant", "metric")
    ]
    assert metrics == [{"RealisedMetric": 0.18}, {"EstimatedMetric": 0.2}]


def test_where_nobody_answered_yet_only_the_project_is_told() -> None:
    lines = _lines(_look(version=None, window_verdict=None, captured=Captured(rows=0)))
    assert len(lines) == 1
    assert lines[0]["WindowRows"] == 0
