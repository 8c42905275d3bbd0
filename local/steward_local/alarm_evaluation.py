"""Whether a metric alarm's condition holds: periods, M out of N, missing data, metric math.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ministack.services import cloudwatch

from steward_local.embedded_metrics import HIGH_RESOLUTION
from steward_local.metric_math import Series, evaluate
from steward_local.pace import real_seconds

JsonObject = dict[str, Any]
_STANDARD_SECONDS = 60
# Periods looked at beyond the evaluation periods, for real data in place of missing data.
_EXTRA_PERIODS = 2
_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, bound: value >= bound,
    "GreaterThanThreshold": lambda value, bound: value > bound,
    "LessThanThreshold": lambda value, bound: value < bound,
    "LessThanOrEqualToThreshold": lambda value, bound: value <= bound,
}


@dataclass(frozen=True)
class Finding:
    """What an evaluation found.

    Attributes:
        state: The state that the alarm should be in; None keeps the one it is in.
        datapoints: The values looked at, newest first; None is missing data.
        starts: The starts of their periods, seconds since the epoch.
    """

    state: str | None
    datapoints: tuple[float | None, ...]
    starts: tuple[float, ...]
    breaching: int


def judge(
    values: Sequence[float | None],
    breaches: Callable[[float], bool],
    *,
    evaluation_periods: int,
    datapoints_to_alarm: int,
    missing: str,
) -> str | None:
    """Return the alarm's state, or None to keep the one it is in.

    Args:
        values: Newest first; more than `evaluation_periods` where older data may stand in.
        missing: `TreatMissingData`: missing, ignore, breaching or notBreaching.
    """
    real = [value for value in values if value is not None]
    window = list(values[:evaluation_periods])
    if None not in window or len(real) >= evaluation_periods:
        considered = real[:evaluation_periods]
        count = sum(breaches(value) for value in considered)
        return "ALARM" if count >= datapoints_to_alarm else "OK"
    if not real:
        states = {"breaching": "ALARM", "notBreaching": "OK", "ignore": None}
        return states.get(missing, "INSUFFICIENT_DATA")
    count = sum(breaches(value) for value in real)
    filled = evaluation_periods - len(real)
    if missing == "breaching":
        count += filled
    if count >= datapoints_to_alarm:
        return "ALARM"
    if missing in ("missing", "ignore") and count == len(real):
        return "ALARM" if missing == "missing" else None
    return "OK"


def _points(
    namespace: str, name: str, dimensions: list[JsonObject], unit: str | None
) -> list[JsonObject]:
    """The stored points of exactly this metric: dimensions are part of its identity."""
    key = cloudwatch._dims_key({item["Name"]: item["Value"] for item in dimensions})
    points = cloudwatch._metrics.get((namespace, name, key)) or []
    return [point for point in points if unit is None or point.get("Unit") == unit]


def _series(
    points: list[JsonObject], statistic: str, periods: Sequence[int], length: float
) -> Series:
    """The statistic of the points of each period that has any; `length` in real seconds."""
    minute = real_seconds(_STANDARD_SECONDS)
    grouped: dict[int, list[JsonObject]] = {}
    first, last = periods[0], periods[-1]
    for point in points:
        moment = point["Timestamp"]
        if not point.get(HIGH_RESOLUTION):  # kept by the minute
            moment = moment // minute * minute
        number = int(moment // length)
        if first <= number <= last:
            grouped.setdefault(number, []).append(point)
    series: Series = {}
    for number, members in grouped.items():
        value = cloudwatch._stat_value(cloudwatch._calc_stats(members), statistic, members)
        if value is not None:
            series[number] = float(value)
    return series


def _metric_series(
    queries: list[JsonObject], periods: Sequence[int], length: float
) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for query in queries:
        stat = query.get("MetricStat")
        if stat:
            metric = stat.get("Metric", {})
            points = _points(
                metric.get("Namespace", ""),
                metric.get("MetricName", ""),
                metric.get("Dimensions") or [],
                stat.get("Unit"),
            )
            found[query["Id"]] = _series(points, stat.get("Stat", "Average"), periods, length)
    pending = [query for query in queries if query.get("Expression")]
    for _ in range(len(pending)):  # an expression may name another that comes later
        for query in pending:
            names_pending = any(
                other["Id"] not in found and other["Id"] in query["Expression"]
                for other in pending
                if other is not query
            )
            if query["Id"] not in found and not names_pending:
                found[query["Id"]] = evaluate(query["Expression"], found, periods)
    return found


def period_of(alarm: JsonObject) -> int:
    """Return the alarm's period in AWS seconds; with metric math the longest of its metrics."""
    queries = alarm.get("Metrics") or []
    stats = [query["MetricStat"].get("Period", 60) for query in queries if query.get("MetricStat")]
    own = [query["Period"] for query in queries if query.get("Period")]
    return int(max(stats + own)) if stats + own else int(alarm.get("Period") or 60)


def find(alarm: JsonObject, now: float) -> Finding:
    """Evaluate an alarm over the periods that have ended at `now` (seconds since the epoch)."""
    length = real_seconds(period_of(alarm))
    evaluation_periods = int(alarm.get("EvaluationPeriods") or 1)
    newest = int(now // length) - 1
    periods = range(newest - evaluation_periods - _EXTRA_PERIODS + 1, newest + 1)
    queries = alarm.get("Metrics") or []
    if queries:
        returned = [query["Id"] for query in queries if query.get("ReturnData", True)]
        series = _metric_series(queries, periods, length)[returned[0]]
    else:
        points = _points(
            alarm.get("Namespace") or "",
            alarm.get("MetricName") or "",
            alarm.get("Dimensions") or [],
            alarm.get("Unit"),
        )
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        series = _series(points, statistic, periods, length)
    ordered = list(reversed(periods))
    values = [series.get(period) for period in ordered]
    threshold = float(alarm.get("Threshold") or 0)
    compare = _BREACHES[alarm["ComparisonOperator"]]

    def breaches(value: float) -> bool:
        return compare(value, threshold)

    state = judge(
        values,
        breaches,
        evaluation_periods=evaluation_periods,
        datapoints_to_alarm=int(alarm.get("DatapointsToAlarm") or evaluation_periods),
        missing=alarm.get("TreatMissingData") or "missing",
    )
    real = [
        (value, period) for value, period in zip(values, ordered, strict=True) if value is not None
    ][:evaluation_periods]
    return Finding(
        state=state,
        datapoints=tuple(value for value, _ in real),
        starts=tuple(period * length for _, period in real),
        breaching=sum(breaches(value) for value, _ in real),
    )
