"""A project's CloudWatch dashboard: what an engineer on call looks at first, from top to bottom.

Source of the form:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.names import alarm_name, metric_namespace
from steward.domain.project import Project

COLUMNS = 24
"""Width of a dashboard in CloudWatch's units."""

_HEIGHT = 6
ALARMS = (
    "page-someone", "stable-errors", "stable-latency", "candidate-errors", "candidate-latency",
    "traffic", "no-data", "drift", "performance", "bias", "capture",
)  # fmt: skip
Widget = dict[str, Any]
Metric = list[Any]


@dataclass(frozen=True)
class Place:
    """Where a project is deployed.

    Attributes:
        alarm_prefix: ARN of an alarm up to its name.
        gateway_function: Name of the gateway's function.
        gateway_log: Its log group.
    """

    environment: str
    region: str
    stack: str
    alarm_prefix: str
    gateway_function: str
    gateway_log: str

    @property
    def namespace(self) -> str:
        """CloudWatch namespace of the environment's own metrics."""
        return metric_namespace(self.environment)


def dashboard_name(environment: str, project: str) -> str:
    """Return the name of a project's dashboard."""
    return f"steward-{environment}-{project}"


def dashboard(project: Project, place: Place) -> dict[str, Any]:
    """Return the resource of a project's stack."""
    return {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": dashboard_name(place.environment, project.project),
            "DashboardBody": json.dumps(body(project, place), separators=(",", ":")),
        },
    }


def body(project: Project, place: Place) -> dict[str, Any]:
    """Return what the dashboard shows, as CloudWatch takes it."""
    name = project.project
    rows = [
        [_alarms(name, place)],
        _traffic(project, place),
        _gateway(name, place),
        _health(name, place),
        _data(name, place),
        _model(name, place),
        _platform(name, place),
    ]
    widgets, y = [], 0
    for row in rows:
        width = COLUMNS // len(row)
        for place_in_row, widget in enumerate(row):
            widgets.append(
                {**widget, "x": place_in_row * width, "y": y, "width": width, "height": _HEIGHT}
            )
        y += _HEIGHT
    return {"periodOverride": "inherit", "widgets": widgets}


def _alarms(name: str, place: Place) -> Widget:
    arns = [place.alarm_prefix + alarm_name(place.environment, name, end) for end in ALARMS]
    return {"type": "alarm", "properties": {"title": f"{name}: alarms", "alarms": arns}}


def _traffic(project: Project, place: Place) -> list[Widget]:
    name = project.project
    limit = project.alarms.latency.threshold_ms
    by_role = [_own(place, "Requests", role, name, role=role) for role in ("stable", "candidate")]
    latency = [
        _own(place, "VariantLatency", f"{role} {stat}", name, stat=stat, role=role)
        for role in ("stable", "candidate")
        for stat in ("p50", "p95", "p99")
    ]
    versions = f"""source '{place.gateway_log}' | filter capture.project = "{name}"
| stats count(*) as answers by bin(5m), capture.answering_version"""
    return [
        _graph("Requests by role", place, by_role, stat="Sum", stacked=True),
        _log("Answers by version", place, versions),
        _graph("Latency of the model, ms", place, latency, lines=[(limit, "limit")]),
    ]


def _gateway(name: str, place: Place) -> list[Widget]:
    function = place.gateway_function
    statuses = [
        _of("AWS/Lambda", "Url4xxCount", "refused (4xx)", FunctionName=function),
        _of("AWS/Lambda", "Url5xxCount", "failed (5xx)", FunctionName=function),
    ]
    models = [
        _own(place, "VariantErrors", "stable failed", name, role="stable"),
        _own(place, "VariantErrors", "candidate failed", name, role="candidate"),
        _own(place, "Fallbacks", "answered by stable instead", name, role="candidate"),
        _own(place, "Rejections", "refused input", name, role="stable"),
    ]
    cold = f"""source '{place.gateway_log}' | filter @type = "REPORT"
| stats count(@initDuration) as cold_starts, count(*) as calls by bin(5m)"""
    return [
        _graph("Gateway: 4xx and 5xx, all projects", place, statuses, stat="Sum"),
        _graph("Failed answers", place, models, stat="Sum"),
        _log("Cold starts of the gateway", place, cold),
    ]


def _health(name: str, place: Place) -> list[Widget]:
    function = place.gateway_function
    busy = [
        _of("AWS/Lambda", "ConcurrentExecutions", "gateway, at once", FunctionName=function),
        _of("AWS/Lambda", "Throttles", "gateway, throttled", stat="Sum", FunctionName=function),
        _of("AWS/Lambda", "ConcurrentExecutions", "account, at once"),
        _of("AWS/Lambda", "Throttles", "account, throttled", stat="Sum"),
    ]
    lost = [
        _own(place, "CaptureFailures", "not captured", name),
        _own(place, "MirrorFailures", "copies not sent", name),
        _own(place, "AssignmentFailures", "assignments not kept", name),
    ]
    utilisation = _search("AWS/SageMaker", ("EndpointName", "VariantName"),
                          "ServerlessConcurrentExecutionsUtilization", "Maximum",
                          _endpoints(name, place))  # fmt: skip
    return [
        _graph("Saturation and throttles", place, busy, stat="Maximum"),
        _graph("Endpoints: share of concurrency in use", place, [utilisation]),
        _graph("Lost beside an answer", place, lost, stat="Sum"),
    ]


def _data(name: str, place: Place) -> list[Widget]:
    age = _search(place.namespace, ("project", "feature_group"), "FeatureAge", "Maximum",
                  f'project="{name}"')  # fmt: skip
    looked = [
        _own(place, "WindowRows", "rows in the window", name),
        _own(place, "QuarantinedLines", "quarantined", name),
        _own(place, "LateRows", "late", name),
        _own(place, "DuplicateLines", "duplicates", name),
    ]
    labels = [
        _own(place, "LabelCoverage", "share with a label", name),
        _own(place, "LabelDelay", "median delay, s", name, right=True),
    ]
    return [
        _graph("Data freshness: age of the newest row, s", place, [age]),
        _graph("Captured rows by window", place, looked, stat="Maximum", period=3600),
        _graph("Labels", place, labels, stat="Maximum", period=3600),
    ]


def _model(name: str, place: Place) -> list[Widget]:
    mine = f'project="{name}"'
    effect = _search(
        place.namespace, ("project", "variant", "feature"), "DriftEffect", "Maximum", mine, 3600
    )
    realised, estimated = (
        _search(place.namespace, ("project", "variant", "metric"), metric, "Maximum", mine, 3600)
        for metric in ("RealisedMetric", "EstimatedMetric")
    )
    changed = [
        _own(place, "DriftedColumns", "columns that changed in the window", name),
        _own(place, "FeatureSkew", "worst share of skewed values", name, right=True),
    ]
    return [
        _graph("Drift: effect of the most important features", place, [effect]),
        _graph("Drift: columns that changed", place, changed, stat="Maximum", period=3600),
        _graph("Performance, realised and estimated", place, [realised, estimated]),
    ]


def _platform(name: str, place: Place) -> list[Widget]:
    def ours(dimension: str) -> str:
        return _tokens(dimension, place.stack)

    dead = _search("AWS/SQS", ("QueueName",), "ApproximateNumberOfMessagesVisible", "Maximum",
                   ours("QueueName") + " QueueName=Failures")  # fmt: skip
    failed = [
        _search("AWS/States", ("StateMachineArn",), metric, "Sum", ours("StateMachineArn"))
        for metric in ("ExecutionsFailed", "ExecutionsTimedOut")
    ]
    cost = [_own(place, "CostDollars", "jobs and executions, dollars", name)]
    return [
        _graph("Dead letters waiting, all projects", place, [dead]),
        _graph("Failed executions, all projects", place, failed),
        _graph("Cost by day", place, cost, stat="Sum", period=86_400),
    ]


def _own(
    place: Place,
    metric: str,
    label: str,
    project: str,
    *,
    stat: str = "",
    right: bool = False,
    **more: str,
) -> Metric:  # fmt: skip
    options: dict[str, Any] = {"label": label}
    if stat:
        options["stat"] = stat
    if right:
        options["yAxis"] = "right"
    dimensions = [text for pair in {"project": project, **more}.items() for text in pair]
    return [place.namespace, metric, *dimensions, options]


def _of(namespace: str, metric: str, label: str, *, stat: str = "", **dimensions: str) -> Metric:
    options = {"label": label, **({"stat": stat} if stat else {})}
    return [namespace, metric, *(text for pair in dimensions.items() for text in pair), options]


def _search(
    namespace: str,
    dimensions: Sequence[str],
    metric: str,
    stat: str,
    terms: str,
    period: int = 300,
) -> Metric:
    schema = ",".join((namespace, *dimensions))
    found = f"SEARCH('{{{schema}}} MetricName=\"{metric}\" {terms}', '{stat}', {period})"
    return [{"expression": found, "label": ""}]


def _tokens(dimension: str, name: str) -> str:
    """Return search terms that match every word of a name."""
    return " ".join(f"{dimension}={word}" for word in name.split("-"))


def _endpoints(name: str, place: Place) -> str:
    """Return search terms for a project's endpoints.

    Words are searched in no order, and ``staging`` and ``prod`` are stages as well: of the
    environments only those that are no stage can be told apart.
    """
    words = [place.environment, *name.split("-")]
    others = [word for word in ("local", "dev") if word not in words]
    wanted = _tokens("EndpointName", "-".join(dict.fromkeys(words)))
    return " ".join([wanted, *(f"NOT EndpointName={word}" for word in others)])


def _graph(
    title: str,
    place: Place,
    metrics: Sequence[Metric],
    *,
    stat: str = "Average",
    period: int = 60,
    stacked: bool = False,
    lines: Sequence[tuple[float, str]] = (),
) -> Widget:
    properties: dict[str, Any] = {
        "title": title,
        "region": place.region,
        "view": "timeSeries",
        "stacked": stacked,
        "stat": stat,
        "period": period,
        "metrics": list(metrics),
    }
    if lines:
        horizontal = [{"value": value, "label": label} for value, label in lines]
        properties["annotations"] = {"horizontal": horizontal}
    return {"type": "metric", "properties": properties}


def _log(title: str, place: Place, query: str) -> Widget:
    query = f"{query.strip()}"
    return {
        "type": "log",
        "properties": {
            "title": title,
            "region": place.region,
            "view": "timeSeries",
            "query": query.upper()[:6] + query[6:],
        },
    }
