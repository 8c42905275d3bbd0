"""Alarm states from CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steward.adapters.errors import translated

_MAX_NAMES = 100


class CloudWatchAlarms:
    """Reads what metric and composite alarms say now, and says what metric alarms look at."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def states(self, names: Sequence[str]) -> dict[str, str]:
        """Return OK, ALARM or INSUFFICIENT_DATA by alarm name; missing alarms are left out."""
        found: dict[str, str] = {}
        for start in range(0, len(names), _MAX_NAMES):
            with translated("describe alarms"):
                answer = self._client.describe_alarms(
                    AlarmNames=list(names[start : start + _MAX_NAMES]),
                    AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                    MaxRecords=_MAX_NAMES,
                )
            alarms = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
            found |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
        return {name: found[name] for name in names if name in found}

    def put(self, alarm: Mapping[str, Any]) -> None:
        """Let an alarm look at something else from now on."""
        with translated(f"put alarm {alarm['AlarmName']}"):
            self._client.put_metric_alarm(**alarm)
