"""The gateway's own metrics, read back from CloudWatch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil, isfinite
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import DependencyError
from steward.domain.names import metric_namespace
from steward.ports import RoleCounts

_KEPT = (
    (timedelta(hours=3), 1), (timedelta(days=15), 60), (timedelta(days=63), 300),
)  # fmt: skip
"""How long CloudWatch keeps sums over so many seconds; those over an hour for 455 days."""

_METRICS = {
    "requests": "Requests",
    "errors": "VariantErrors",
    "slow": "VariantSlow",
    "units": "Units",
    "unit_errors": "UnitErrors",
    "unit_slow": "UnitSlow",
}


class CloudWatchTrafficMetrics:
    """Sums the counts of a role."""

    def __init__(self, client: Any, environment: str) -> None:
        self._client = client
        self._namespace = metric_namespace(environment)

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        """Return the answers of ``stable``, ``candidate`` or ``shadow`` in ``[since, until)``.

        Sums over the shortest periods that CloudWatch keeps for the whole time, so that
        nothing before a traffic shift is counted.

        Raises:
            DependencyError: CloudWatch gave a sum that is no number of answers.
        """
        age = until - since
        period = next((seconds for kept, seconds in _KEPT if age < kept), 3600)
        start = since
        if period > 1:
            start = datetime.fromtimestamp(ceil(since.timestamp() / period) * period, UTC)
        dimensions = [{"Name": "project", "Value": project}, {"Name": "role", "Value": role}]
        queries = [
            {
                "Id": field,
                "MetricStat": {
                    "Metric": {
                        "Namespace": self._namespace, "MetricName": name, "Dimensions": dimensions,
                    },
                    "Period": period,
                    "Stat": "Sum",
                },
                "ReturnData": True,
            }
            for field, name in _METRICS.items()
        ]  # fmt: skip
        sums = dict.fromkeys(_METRICS, 0.0)
        token: str | None = None
        while True:
            more = {"NextToken": token} if token else {}
            with translated(f"read the metrics of {project}"):
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
                raise DependencyError(f"CloudWatch counts {value} {_METRICS[field]} of {project}")
        return RoleCounts(**{field: ceil(value) for field, value in sums.items()})
