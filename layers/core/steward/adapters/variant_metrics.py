"""What SageMaker counts of production variants, as the counts of a project's roles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil, isfinite
from typing import Any

from steward.adapters.errors import translated
from steward.domain import names
from steward.domain.errors import DependencyError
from steward.domain.routes import Route
from steward.ports import RoleCounts, StateStore, Table, TrafficMetrics

NAMESPACE = "AWS/SageMaker"
PUBLISHED_EVERY_S = 60
_AT_MOST = timedelta(days=15)
"""Sums over a minute are kept so long, then over five minutes and over an hour."""


class VariantTrafficMetrics:
    """Counts invocations of a variant; the unit is the request.

    Errors are answers of 5xx, timeouts and broken connections; a container's 4xx is the
    caller's. Slow answers are those whose ``ModelLatency`` is above the route's limit, by
    CloudWatch's statistic ``TC``, the count within bounds.

    Args:
        client: CloudWatch.
        state: Where routes are: which version is which role.
        period_s: SageMaker publishes every 60 s; the embedded one at once.
    """

    def __init__(
        self, client: Any, state: StateStore, environment: str, *,
        period_s: int = PUBLISHED_EVERY_S,
    ) -> None:  # fmt: skip
        self._client = client
        self._environment = environment
        self._state = state
        self._period_s = period_s

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        """Return the invocations of the variant in that role, in whole periods from ``since`` on.

        A period that begins before ``since`` is left out: it may belong to other weights.

        Raises:
            DependencyError: CloudWatch gave a sum that is no number of invocations.
        """
        item = self._state.get(Table.ROUTES, {"project": project})
        route = Route.model_validate(item) if item else None
        version = _version(route, role)
        if route is None or version is None:
            return RoleCounts(0, 0, 0)
        period = self._period_s if until - since < _AT_MOST else 3600
        start = datetime.fromtimestamp(ceil(since.timestamp() / period) * period, UTC)
        dimensions = [
            {"Name": "EndpointName", "Value": names.variants_endpoint(self._environment, project)},
            {"Name": "VariantName", "Value": names.variant_name(version)},
        ]
        wanted = {
            "requests": ("Invocations", "Sum"),
            "failed": ("Invocation5XXErrors", "Sum"),
            "refused": ("Invocation4XXErrors", "Sum"),
            "unanswered": ("InvocationModelErrors", "Sum"),
        }
        if route.slow_ms is not None:
            wanted["slow"] = ("ModelLatency", f"TC({route.slow_ms * 1000}:)")
        queries = [
            {
                "Id": field,
                "MetricStat": {
                    "Metric": {
                        "Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions,
                    },
                    "Period": period,
                    "Stat": statistic,
                },
                "ReturnData": True,
            }
            for field, (name, statistic) in wanted.items()
        ]  # fmt: skip
        sums = dict.fromkeys(("requests", "failed", "refused", "unanswered", "slow"), 0.0)
        token: str | None = None
        while True:
            more = {"NextToken": token} if token else {}
            with translated(f"read the metrics of {project}'s variants"):
                answer = self._client.get_metric_data(
                    MetricDataQueries=queries, StartTime=start,
                    EndTime=max(until, start) + timedelta(seconds=1), **more,
                )  # fmt: skip
            for result in answer["MetricDataResults"]:
                sums[result["Id"]] += sum(result["Values"])
            token = answer.get("NextToken")
            if not token:
                break
        for field, value in sums.items():
            if not (isfinite(value) and value >= 0):
                raise DependencyError(f"CloudWatch counts {value} {field} of {project}'s {role}")
        requests = ceil(sums["requests"])
        errors = ceil(max(sums["failed"], sums["unanswered"] - sums["refused"]))
        errors, slow = min(errors, requests), min(ceil(sums["slow"]), requests)
        return RoleCounts(requests, errors, slow, requests, errors, slow)


class TrafficMetricsOfRoute:
    """The counts of whoever routes a project: the gateway's own, or SageMaker's.

    Args:
        state: Where routes are.
        gateway: What the gateway has counted.
        variants: Makes what reads the counts of variants, once it is needed.
    """

    def __init__(
        self, state: StateStore, gateway: TrafficMetrics, variants: Callable[[], TrafficMetrics]
    ) -> None:
        self._state = state
        self._gateway = gateway
        self._variants = variants

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        """Return the answers of ``stable``, ``candidate`` or ``shadow`` in ``[since, until)``."""
        route = self._state.get(Table.ROUTES, {"project": project})
        by_variants = route is not None and route.get("router") == "endpoint_variants"
        metrics = self._variants() if by_variants else self._gateway
        return metrics.counts(project, role, since, until)


def _version(route: Route | None, role: str) -> int | None:
    if route is None:
        return None
    if role == "shadow":
        return route.mirror.version if route.mirror else None
    if role == "candidate":
        return route.candidate.version if route.candidate else None
    return route.stable.version
