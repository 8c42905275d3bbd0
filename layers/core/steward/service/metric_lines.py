"""Metrics as lines of CloudWatch's embedded format on stdout; the log's reader makes them metrics.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

NAMESPACE = "Steward"
Write = Callable[[str], object]


def metric_line(
    dimensions: Mapping[str, str],
    at: datetime,
    metrics: Mapping[str, tuple[float, str]],
    told: Mapping[str, object] | None = None,
) -> str:
    """Return one line with its end.

    Args:
        dimensions: All of them are one set.
        at: When it was so.
        metrics: Value and CloudWatch unit by name.
        told: What else the line says, for people who read the log.
    """
    line = {
        "_aws": {
            "Timestamp": int(at.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [
                        {"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()
                    ],
                }
            ],
        },
        **(told or {}),
        **dimensions,
        **{name: value for name, (value, _) in metrics.items()},
    }
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
