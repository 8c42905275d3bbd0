"""Metrics as lines of CloudWatch's embedded format on stdout; the log's reader makes them metrics.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from steward.domain.names import metric_namespace

Write = Callable[[str], object]


@dataclass(frozen=True)
class MetricLog:
    """Where the metrics of one environment are written.

    Attributes:
        environment: Names the namespace, since several may share an account.
        write: Takes one line with its end; ``sys.stdout.write`` on Lambda.
    """

    environment: str
    write: Write

    def put(
        self,
        dimensions: Mapping[str, str],
        at: datetime,
        metrics: Mapping[str, tuple[float, str]],
        told: Mapping[str, object] | None = None,
        *,
        resolution_s: Literal[1, 60] = 60,
    ) -> None:
        """Write one line of metrics.

        Args:
            dimensions: All of them are one set.
            at: When it was so.
            metrics: Value and CloudWatch unit by name.
            told: What else the line says, for people who read the log.
            resolution_s: How finely CloudWatch keeps them.
        """
        described = [
            {"Name": name, "Unit": unit, "StorageResolution": resolution_s}
            for name, (_, unit) in metrics.items()
        ]
        directive = {
            "Namespace": metric_namespace(self.environment),
            "Dimensions": [list(dimensions)],
            "Metrics": described,
        }
        line = {
            "_aws": {
                "Timestamp": int(at.timestamp() * 1000),
                "CloudWatchMetrics": [directive],
            },
            **(told or {}),
            **dimensions,
            **{name: value for name, (value, _) in metrics.items()},
        }
        self.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
