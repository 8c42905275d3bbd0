"""A trace's annotation as the daemon gets it: a datagram on the loopback."""

from __future__ import annotations

import json
import socket

import pytest

from steward.adapters.traces import HEADER, annotate

pytestmark = pytest.mark.integration


def test_the_daemon_receives_one_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        environment = {
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=5399;Sampled=1",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        }
        assert annotate("steward", {"correlation_id": "r1"}, 1.0, 2.0, environment)
        content = daemon.recv(65_536)
    assert json.loads(content.removeprefix(HEADER))["annotations"] == {"correlation_id": "r1"}
