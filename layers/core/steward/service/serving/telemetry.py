"""What the gateway says on stdout: metrics in CloudWatch's embedded format, and exposures.

A Lambda is frozen once it has answered, so nothing is sent from here: CloudWatch Logs turns
metric lines into metrics, and a subscription carries capture lines through Firehose to S3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from steward.domain.exposures import Exposure
from steward.service.metric_lines import MetricLog

MAX_LINE_BYTES = 200_000
"""A log event holds 256 KB; a longer capture is dropped and counted."""

_UNITS = {"VariantLatency": "Milliseconds", "FeatureReadLatency": "Milliseconds"}

Write = Callable[[str], object]


class Telemetry:
    """Writes whole JSON lines.

    Args:
        log: Where metrics and exposures are written.
    """

    def __init__(self, log: MetricLog) -> None:
        self._log = log

    def variant(self, project: str, role: str, at: datetime, metrics: dict[str, float]) -> None:
        """Emit what one invocation of a variant cost and gave, by the second.

        Args:
            metrics: ``Requests``, ``VariantErrors``, ``VariantSlow``, ``VariantLatency`` in
                milliseconds, ``Fallbacks``, ``Rejections``, and at an entity's first exposure in
                a step ``Units``, ``UnitErrors``, ``UnitSlow``; or of its features
                ``FeatureReads``, ``FeatureReadFailures``, ``FeatureReadLatency`` in
                milliseconds.
        """
        self._emit({"project": project, "role": role}, at, metrics)

    def count(self, project: str, at: datetime, metrics: dict[str, float]) -> None:
        """Emit what went wrong beside an answer: ``CaptureFailures``, ``MirrorFailures``,
        ``MirrorExpired``, ``AssignmentFailures``.
        """  # fmt: skip
        self._emit({"project": project}, at, metrics)

    def capture(self, exposure: Exposure, at: datetime) -> bool:
        """Emit an exposure; failing is no reason not to answer, and is counted.

        Returns:
            Whether the line was written.
        """
        try:
            line = json.dumps({"capture": vars(exposure)}, separators=(",", ":"), allow_nan=False)
            if len(line.encode()) > MAX_LINE_BYTES:
                raise ValueError("the exposure is too long for a log event")
            self._log.write(line + "\n")
        except (ValueError, TypeError, OSError):
            self.count(exposure.project, at, {"CaptureFailures": 1})
            return False
        return True

    def _emit(self, dimensions: dict[str, str], at: datetime, metrics: dict[str, float]) -> None:
        measured = {n: (value, _UNITS.get(n, "Count")) for n, value in metrics.items()}
        try:
            self._log.put(dimensions, at, measured, resolution_s=1)
        except OSError:
            return
