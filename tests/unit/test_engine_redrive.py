"""Which executions the embedded Step Functions runs on, as AWS says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward_local.stepfunctions_additions.status_events import redrive_status


def execution(status: str, days: float = 0, events: int = 5) -> dict[str, Any]:
    stopped = datetime.now(UTC) - timedelta(days=days)
    return {
        "status": status, "events": [{}] * events,
        "stopDate": stopped.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }  # fmt: skip


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_what_ended_badly_is_redrivable_for_fourteen_days(status: str) -> None:
    assert redrive_status(execution(status, 13.9)) == ("REDRIVABLE", None)
    found, reason = redrive_status(execution(status, 14.1))
    assert found == "NOT_REDRIVABLE"
    assert reason is not None
    assert "14 days" in reason


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_what_runs_or_succeeded_is_not(status: str) -> None:
    assert redrive_status(execution(status))[0] == "NOT_REDRIVABLE"


def test_a_full_history_leaves_no_room_for_a_redrive() -> None:
    assert redrive_status(execution("FAILED", events=24_999))[0] == "NOT_REDRIVABLE"
