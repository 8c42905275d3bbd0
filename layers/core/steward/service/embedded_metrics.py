"""A metric as a log line in CloudWatch's embedded format.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

NAMESPACE = "Steward"


def metric_line(
    dimensions: Mapping[str, str],
    at: datetime,
    metrics: Mapping[str, float],
    *,
    units: Mapping[str, str] | None = None,
    resolution_s: int = 60,
) -> str:
    """Return one line with its line end; every metric is of all the dimensions together.

    Args:
        units: CloudWatch's units by metric; ``Count`` where none is given.
        resolution_s: 1 or 60.
    """
    told = {
        "_aws": {
            "Timestamp": int(at.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [
                        {
                            "Name": name,
                            "Unit": (units or {}).get(name, "Count"),
                            "StorageResolution": resolution_s,
                        }
                        for name in metrics
                    ],
                }
            ],
        },
        **dimensions,
        **metrics,
    }
    return json.dumps(told, separators=(",", ":")) + "\n"
