"""Annotations on X-Ray traces without its SDK: a subsegment as one datagram to Lambda's daemon.

Sources: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html (the form,
independent subsegments, what an annotation may be) and xray-daemon.html beside it (the header).
Lambda names the daemon in ``AWS_XRAY_DAEMON_ADDRESS`` and the trace in ``_X_AMZN_TRACE_ID``.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping

HEADER = b'{"format": "json", "version": 1}\n'
MAX_VALUE = 1000
"""Characters of a value that X-Ray takes."""

_TRACE = re.compile(r"(Root|Parent|Sampled)=([^;]+)")
_KEY = re.compile(r"[^A-Za-z0-9_]")
Send = Callable[[bytes, tuple[str, int]], object]


def annotate(
    name: str,
    annotations: Mapping[str, object],
    began: float,
    ended: float,
    environment: Mapping[str, str],
    *,
    failed: bool = False,
    send: Send | None = None,
) -> bool:
    """Add a subsegment with annotations, by which traces are found, to the current trace.

    It is best effort: what goes wrong here is no reason for a function to fail, and a datagram
    that nobody takes is lost.

    Args:
        name: Of the subsegment.
        annotations: Values by name; those that are None are left out.
        began: Epoch seconds.
        ended: Epoch seconds.
        environment: Of the function.
        failed: Whether it is marked as a fault.
        send: Sends a datagram to a host and port; a UDP socket by default.

    Returns:
        Whether a datagram was sent: not without a daemon, or where the trace is not sampled.
    """
    trace = dict(_TRACE.findall(environment.get("_X_AMZN_TRACE_ID", "")))
    daemon = _daemon(environment.get("AWS_XRAY_DAEMON_ADDRESS", ""))
    if daemon is None or trace.get("Sampled") != "1" or not {"Root", "Parent"} <= trace.keys():
        return False
    document = {
        "type": "subsegment",
        "name": name[:200],
        "id": os.urandom(8).hex(),
        "trace_id": trace["Root"],
        "parent_id": trace["Parent"],
        "start_time": began,
        "end_time": max(began, ended),
        "fault": failed,
        "annotations": {
            _KEY.sub("_", key): _value(value)
            for key, value in annotations.items()
            if value is not None
        },
    }
    try:
        (send or _datagram)(HEADER + json.dumps(document).encode(), daemon)
    except OSError:
        return False
    return True


def _value(value: object) -> object:
    return value if isinstance(value, bool | int | float) else str(value)[:MAX_VALUE]


def _daemon(address: str) -> tuple[str, int] | None:
    """Return host and port of ``host:port``, or of ``udp:host:port tcp:host:port``."""
    for part in address.split():
        if part.startswith("tcp:"):
            continue
        host, _, port = part.removeprefix("udp:").rpartition(":")
        if host and port.isdecimal():
            return host, int(port)
    return None


def _datagram(content: bytes, daemon: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in daemon[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(content, daemon)
