"""The gateway's own metrics, read back from CloudWatch."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from steward.adapters.errors import translated
from steward.ports import RoleCounts

NAMESPACE = "Steward"
FINE_FOR = timedelta(hours=3)
"""How long CloudWatch keeps metrics by the second."""

_METRICS = {"requests": "Requests", "errors": "VariantErrors", "slow": "VariantSlow"}


class CloudWatchTrafficMetrics:
    """Sums the counts of a role."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def counts(self, project: str, role: str, since: datetime, until: datetime) -> RoleCounts:
        """Return the answers of ``stable`` or ``candidate`` in ``[since, until)``.

        Sums over one-second periods, while CloudWatch keeps them (three hours), so that
        nothing before a traffic shift is counted; over minutes for a longer time.
        """
        period = 1 if until - since < FINE_FOR else 60
        dimensions = [{"Name": "project", "Value": project}, {"Name": "role", "Value": role}]
        queries = [
            {
                "Id": field,
                "MetricStat": {
                    "Metric": {
                        "Namespace": NAMESPACE, "MetricName": name, "Dimensions": dimensions,
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
                    MetricDataQueries=queries, StartTime=since,
                    EndTime=until + timedelta(seconds=1), **more,
                )  # fmt: skip
            for result in answer["MetricDataResults"]:
                sums[result["Id"]] += sum(result["Values"])
            token = answer.get("NextToken")
            if not token:
                return RoleCounts(**{field: ceil(value) for field, value in sums.items()})
