"""Ticks: the looks at an experiment, one short execution each, never two at a time.

A tick is taken by a lease on the experiment's head item and counted by its number, so that time
in an experiment is the number of its ticks and no clock. A lease is freed by the end of its
execution; where that was lost, by what Step Functions says of the execution, and at last by time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steward.domain.names import PROJECT_PATTERN

LEASE_S = 2400
"""Longer than ``serving/tick_experiment`` may run."""

RUNNING = "running"

_TICK = re.compile(
    rf"^(?P<project>{PROJECT_PATTERN[1:-1]})-(?P<release>\d{{8}}-\d+)-tick-(?P<tick>\d+)$"
)


@dataclass(frozen=True)
class Tick:
    """One look at an experiment."""

    project: str
    release_id: str
    number: int

    @property
    def execution_name(self) -> str:
        """Name of its execution, which AWS gives once."""
        return f"{self.project}-{self.release_id}-tick-{self.number}"


def tick_of_execution(name: str) -> Tick | None:
    """Return the tick that an execution plays, None for any other execution."""
    match = _TICK.match(name)
    return Tick(match["project"], match["release"], int(match["tick"])) if match else None


def schedule_name(project: str, release_id: str) -> str:
    """Return the name of an experiment's schedule."""
    return f"{project}-{release_id}"


@dataclass(frozen=True)
class TakeTick:
    """Take the lease for this tick."""

    number: int


@dataclass(frozen=True)
class StartAgain:
    """This tick has its lease and never began: start its execution."""

    number: int


@dataclass(frozen=True)
class LeaveTick:
    """Do nothing now."""

    reason: str


def next_tick(
    head: Mapping[str, Any], now_s: float, execution_status: str | None
) -> TakeTick | StartAgain | LeaveTick:
    """Return what a firing of the schedule leads to.

    An execution that runs is waited for whatever the clock says; one that ended without freeing
    its lease is followed by the next tick. Where a lease has no execution (whoever took it
    crashed, or is about to start it) the same one is started, which AWS does once.

    Args:
        head: The experiment's head item.
        now_s: Epoch seconds.
        execution_status: Of the last tick's execution, None where there is none.
    """
    number = int(head.get("tick", 0))
    until = head.get("tick_lease_until")
    if until is None:
        return TakeTick(number + 1)
    if execution_status == "RUNNING":
        return LeaveTick(f"tick {number} is running")
    if execution_status is None and float(until) >= now_s:
        return StartAgain(number)
    return TakeTick(number + 1)
