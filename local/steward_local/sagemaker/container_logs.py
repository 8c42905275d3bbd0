"""A container's output as a CloudWatch log stream, written with the container's role.

As on AWS the execution role needs `logs:CreateLogGroup`, `logs:CreateLogStream` and
`logs:PutLogEvents`; without them the work goes on and its output is lost.
"""

from __future__ import annotations

import time

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs

from steward_local.authority import Principal


class LogStream:
    """One stream of one group; lines that the role may not write are dropped."""

    def __init__(self, group: str, stream: str, role: Principal) -> None:
        self.group = group
        self.stream = stream
        self._partial = b""
        base = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}"
        target = f"{base}:log-stream:{stream}"
        exists = group in cloudwatch_logs._log_groups
        self.arn = target
        self._open = (
            (exists or role.denial("logs:CreateLogGroup", base) is None)
            and role.denial("logs:CreateLogStream", f"{base}:*") is None
            and role.denial("logs:PutLogEvents", target) is None
        )
        if self._open:
            if not exists:
                cloudwatch_logs._create_log_group({"logGroupName": group})
            cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})

    def feed(self, chunk: bytes) -> list[str]:
        """Take output as it comes; returns the lines that became complete."""
        *complete, self._partial = (self._partial + chunk).split(b"\n")
        return self.write([line.decode("utf-8", "replace").rstrip("\r") for line in complete])

    def close(self) -> list[str]:
        """Write a last line without a newline."""
        rest, self._partial = self._partial.decode("utf-8", "replace"), b""
        return self.write([rest] if rest else [])

    def write(self, lines: list[str]) -> list[str]:
        """Write whole lines; empty ones are skipped, since CloudWatch refuses them."""
        kept = [line for line in lines if line]
        if kept and self._open:
            stamp = int(time.time() * 1000)
            cloudwatch_logs._put_log_events(
                {
                    "logGroupName": self.group,
                    "logStreamName": self.stream,
                    "logEvents": [{"timestamp": stamp, "message": line[:262_118]} for line in kept],
                }
            )
        return kept
