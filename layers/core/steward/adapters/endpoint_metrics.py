"""SageMaker's own metrics of endpoints, read from CloudWatch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.adapters.errors import translated

_HOUR = timedelta(hours=1)
_FINE = timedelta(hours=24)


class CloudWatchEndpointMetrics:
    """Sums ``Invocations`` of ``AWS/SageMaker`` over an endpoint's variants."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def invocations(
        self, endpoint: str, variants: Sequence[str], since: datetime, until: datetime
    ) -> int:
        """Return the requests to an endpoint, counted from the minute (or hour) of ``since`` on.

        Sums over minutes within a day, else over hours: CloudWatch keeps both that long.
        """
        period = 60 if until - since <= _FINE else int(_HOUR.total_seconds())
        start = datetime.fromtimestamp(since.timestamp() // period * period, UTC)
        queries = [
            {
                "Id": f"v{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SageMaker", "MetricName": "Invocations",
                        "Dimensions": [
                            {"Name": "EndpointName", "Value": endpoint},
                            {"Name": "VariantName", "Value": variant},
                        ],
                    },
                    "Period": period,
                    "Stat": "Sum",
                },
                "ReturnData": True,
            }
            for number, variant in enumerate(variants)
        ]  # fmt: skip
        total = 0.0
        more: dict[str, str] = {}
        while queries:
            with translated(f"read the invocations of {endpoint}"):
                answer = self._client.get_metric_data(
                    MetricDataQueries=queries, StartTime=start, EndTime=until, **more
                )
            total += sum(sum(result["Values"]) for result in answer["MetricDataResults"])
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
        return round(total)
