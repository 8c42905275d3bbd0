"""The metrics of a look, as log lines in CloudWatch's embedded format.

CloudWatch asks $0.30 a month for each metric, which a name and its dimensions make, so features
are capped: those that the model weighs most have metrics, all others are in the report alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from steward.domain.monitoring.looks import AlarmKind, AlarmState, Look, PerformanceLook
from steward.service.metric_lines import MetricLog

FEATURES = 10
"""Features of a version that have metrics."""

ALARM_METRICS: Mapping[AlarmKind, str] = {
    "drift": "DriftAlarm",
    "performance": "PerformanceAlarm",
    "bias": "BiasAlarm",
    "no_data": "NoDataAlarm",
}
"""1 where the alarm stands, 0 where it does not, nothing where a look could not tell. That of
attributions is told as drift."""

_SAID: Mapping[AlarmState, float] = {"ok": 0.0, "alarm": 1.0}
Metrics = dict[str, tuple[float, str]]


def put_look(log: MetricLog, look: Look, at: datetime, ranking: Sequence[str] = ()) -> None:
    """Write one line for the project, and one for each feature and metric of the version.

    Args:
        log: Where they go.
        look: What was seen. A window that is looked at again is told again.
        at: When it was looked at. The window may have ended long before, and CloudWatch refuses
            what is older than two weeks.
        ranking: Features of the version's baseline, the most important first; where it has none,
            the columns count in their order.
    """
    project = {"project": look.project}
    version = {**project, "variant": f"v{look.version}"}
    if look.role == "candidate":
        # What counts for the project is of the other look at this window.
        log.put(version, at, _of_project(look), {"window": look.window})
    else:
        log.put(project, at, _of_project(look), {"window": look.window})
        if look.version is None:
            return
        log.put(version, at, {"WindowRows": (look.captured.rows, "Count")})
    for name, metrics in _of_features(look, ranking):
        log.put({**version, "feature": name}, at, metrics)
    if look.performance is not None:
        for name, metrics in _of_metrics(look.performance):
            log.put({**version, "metric": name}, at, metrics)


def _of_project(look: Look) -> Metrics:
    captured = look.captured
    metrics: Metrics = {
        "WindowRows": (captured.rows, "Count"),
        "DuplicateLines": (captured.duplicates, "Count"),
        "LateRows": (captured.late, "Count"),
        "QuarantinedLines": (sum(captured.quarantined.values()), "Count"),
    }
    if look.window_verdict is not None and look.window_verdict.verdict in ("drift", "no_drift"):
        metrics["DriftedColumns"] = (len(look.window_verdict.changed), "Count")
    for kind, name in ALARM_METRICS.items():
        state = look.alarms.get(kind, "off")
        if kind == "drift" and look.alarms.get("attribution") == "alarm":
            state = "alarm"
        if kind == "no_data" and state == "no_data":
            state = "ok"  # silent, but not yet for longer than the project allows
        if state in _SAID:
            metrics[name] = (_SAID[state], "None")
    if look.performance is not None:
        metrics |= _of_labels(look.performance)
    return metrics


def _of_labels(performance: PerformanceLook) -> Metrics:
    metrics: Metrics = {}
    if performance.coverage is not None:
        metrics["LabelCoverage"] = (performance.coverage, "None")
    if performance.delay_s is not None:
        metrics["LabelDelay"] = (performance.delay_s, "Seconds")
    metrics["UnknownLabels"] = (performance.unknown, "Count")
    metrics["ContradictingLabels"] = (performance.contradicting, "Count")
    return metrics


def _of_features(look: Look, ranking: Sequence[str]) -> Iterator[tuple[str, Metrics]]:
    if look.window_verdict is None:
        return
    columns = {column.name: column for column in look.window_verdict.columns}
    ranked = [name for name in ranking if name in columns]
    ranked += [name for name in columns if name not in set(ranking)]
    for name in ranked[:FEATURES]:
        column = columns[name]
        metrics: Metrics = {"MissingShare": (column.missing[0], "None")}
        if column.state != "inconclusive":
            metrics["DriftEffect"] = (column.effect, "None")
        yield name, metrics


def _of_metrics(performance: PerformanceLook) -> Iterator[tuple[str, Metrics]]:
    for realised in performance.realised:
        if realised.current is not None:
            yield realised.metric, {"RealisedMetric": (realised.current, "None")}
    for estimated in performance.estimated:
        if estimated.value is not None:
            yield estimated.metric, {"EstimatedMetric": (estimated.value, "None")}
