"""Alarm to no request on the bad version: 50 rollbacks of a canary under load.

On the embedded AWS with version 1 live and version 2 under canary at half of the traffic. In each
cycle the candidate's alarm changes its state, and everything after that is the stack's own: alarm
event, EventBridge, ``start_rollback``, the machine ``roll_back``, its route write, and gateways
that believe a route for up to 250 ms. Measured from the alarm's time to the last answer of version
2 as the clients get them. Both versions answer well in these cycles, so every request that fails or
falls back is the switch's fault.

Apart from it, fault to alarm: versions that are released for real by their machine begin to fail
on a value that comes into the traffic. There the endpoint is removed after the rollback, under
load too.

Run: ``make bench NAME=rollback``. Options: ``--rollbacks N``, ``--faults N``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console

from exposure_load import physical
from gateway import live, row_of
from results import Result, finish
from rollback_cycles import TOO_HIGH, Canary, Load, Stack, answered_at, eventually
from steward_cli.asking import Asked
from steward_cli.console import table
from steward_cli.demo.people import acting_as
from steward_cli.target import Choice, Target
from steward_local import engine as engines

_BAR_S = 1.0
_THREADS, _PAUSE_S, _MOST_S = 4, 0.015, 420.0
_QUIET_S = 0.6
"""How long nobody must have been answered by the version before the next cycle begins."""


@dataclass(frozen=True)
class Cycle:
    """One rollback, in seconds since the alarm's change of state, and what its clients saw.

    Attributes:
        doorway: ``start_rollback`` begins; None where its log has no line of it yet.
        execution: The machine begins.
        route: The route is written.
        last: The last answer of the version reaches its client.
        requests: Sent since the cycle's begin.
        failed: Of these, without an answer or answered by the stable version instead.
        seconds: How long the cycle lasted.
    """

    doorway: float | None
    execution: float
    route: float
    last: float
    requests: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """A version that fails: seconds from its first failed answer to the alarm, and afterwards."""

    alarm: float
    zero: float
    failed: int
    late: int


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _begins(target: Target, since: float) -> list[float]:
    """Return when the doorway began to run, by its log."""
    logs = target.client("logs")
    group = physical(target, "Serving", "StartRollbackLogGroup")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(since * 1000), filterPattern='"platform.report"'
    )
    reports = [json.loads(event["message"]) for page in pages for event in page["events"]]
    return sorted(
        _epoch(report["time"]) - report["record"]["metrics"]["durationMs"] / 1000
        for report in reports
    )


def _asked_by(load: Load, version: int, since: float) -> list[Asked]:
    return [asked for asked in load.since(since) if asked.version == version]


def _is_failed(asked: Asked) -> bool:
    return asked.status != 200 or asked.fallback


def _cycle(stack: Stack, canary: Canary, load: Load) -> tuple[str, float, list[Asked]]:
    """Play one cycle; return its release, begin and requests."""
    name, begun = canary.again(), time.time()
    eventually(lambda: len(_asked_by(load, canary.version, begun)) >= 10, "traffic on the canary")
    stack.ring()
    stack.rolled_back(name)

    def quiet() -> bool:
        last = max(map(answered_at, _asked_by(load, canary.version, begun)))
        return time.time() - last > _QUIET_S

    eventually(quiet, f"silence of version {canary.version}", 20)
    return name, begun, load.since(begun)


def _rollbacks(stack: Stack, canary: Canary, load: Load, count: int) -> list[Cycle]:
    started = time.time()
    played = [_cycle(stack, canary, load) for _ in range(count)]
    begins = _begins(stack.target, started)
    cycles = []
    for name, begun, asked in played:
        release = stack.release(name)
        assert release is not None
        alarm = _epoch(release["triggered_at"])
        executed = stack.rollback_of(name)["startDate"].timestamp()
        doorway = max((at for at in begins if begun <= at <= executed + 0.001), default=None)
        answers = [a for a in asked if a.version == canary.version]
        cycles.append(
            Cycle(
                None if doorway is None else doorway - alarm,
                executed - alarm, _epoch(release["restored_at"]) - alarm,
                max(map(answered_at, answers)) - alarm, len(asked), sum(map(_is_failed, asked)),
                max(a.sent_at for a in asked) - begun,
            )
        )  # fmt: skip
    return cycles


def _fault(stack: Stack, load: Load, version: int, sound: dict[str, object]) -> Fault:
    """Release a version for real, let it fail, and wait until its endpoint is gone."""
    release = stack.approve(version)
    begun = time.time()
    eventually(lambda: len(_asked_by(load, version, begun)) >= 10, f"answers of version {version}")
    load.row = {**sound, "bp": TOO_HIGH + 5.0}
    try:
        ended = stack.rolled_back(release["release_id"])
    finally:
        load.row = sound
    states = stack.target.client("stepfunctions")
    arn = stack.rollback_of(release["release_id"])["executionArn"]

    def over() -> bool:
        return bool(states.describe_execution(executionArn=arn)["status"] == "SUCCEEDED")

    eventually(over, f"the end of {arn}")
    time.sleep(_QUIET_S)
    asked = load.since(begun)
    failed = [a for a in asked if a.fallback]
    alarm, restored = _epoch(ended["triggered_at"]), _epoch(ended["restored_at"])
    return Fault(
        alarm - min(map(answered_at, failed)), max(map(answered_at, failed)) - alarm,
        sum(a.status != 200 for a in asked),
        sum(a.sent_at > restored + _BAR_S and (a.fallback or a.version == version) for a in asked),
    )  # fmt: skip


def _percentiles(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Return median, p95, p99 and the greatest."""
    cuts = quantiles(values, n=100, method="inclusive")
    return median(values), cuts[94], cuts[98], max(values)


def _legs(cycles: list[Cycle]) -> list[tuple[str, list[float]]]:
    logged = [(c.doorway, c.execution) for c in cycles if c.doorway is not None]
    return [
        ("alarm to doorway", [doorway for doorway, _ in logged]),
        ("doorway to machine", [execution - doorway for doorway, execution in logged]),
        ("machine to route write", [c.route - c.execution for c in cycles]),
        ("route write to last answer", [c.last - c.route for c in cycles]),
    ]


def _show(cycles: list[Cycle], faults: list[Fault]) -> None:
    def row(name: str, values: list[float]) -> tuple[str, ...]:
        total = sum(c.last for c in cycles)
        figures = (f"{value * 1000:.0f} ms" for value in _percentiles(values))
        return (name, *figures, f"{sum(values) / total:.0%}")

    console = Console()
    requests, failed = sum(c.requests for c in cycles), sum(c.failed for c in cycles)
    title = f"{len(cycles)} rollbacks"
    rows = [row("alarm to last answer", [c.last for c in cycles])]
    rows += [row(name, values) for name, values in _legs(cycles)]
    console.print(table((title, "median", "p95", "p99", "most", "share"), rows))
    pace = requests / sum(c.seconds for c in cycles)
    unlogged = sum(c.doorway is None for c in cycles)
    if unlogged:
        console.print(f"{unlogged} without a line of start_rollback in its log: not in those legs")
    console.print(f"{requests} requests meanwhile, {pace:.0f} a second, {failed} failed")
    if faults:
        alarms, zeros = [f.alarm for f in faults], [f.zero for f in faults]
        told = [
            (name, f"{median(values):.2f} s", f"{max(values):.2f} s")
            for name, values in (
                ("first failed answer to alarm", alarms),
                ("alarm to last failed answer", zeros),
            )
        ]
        console.print(table((f"{len(faults)} versions that fail", "median", "most"), told))


def main() -> None:
    """Play, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollbacks", type=int, default=50)
    parser.add_argument("--faults", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as home:
        choice = Choice("local", state_dir=Path(home))
        try:
            target, ward = live(choice)
            cycles, faults = play(target, ward, choice, options.rollbacks, options.faults)
        finally:
            engines.stop(choice.state_dir)
    _show(cycles, faults)
    last = _percentiles([c.last for c in cycles])
    finish(
        [
            Result("rollback", "alarm_to_zero_median", last[0], "s"),
            Result("rollback", "alarm_to_zero_p95", last[1], "s"),
            Result("rollback", "alarm_to_zero_p99", last[2], "s", _BAR_S),
            Result("rollback", "alarm_to_zero_max", last[3], "s"),
            Result("rollback", "requests", sum(c.requests for c in cycles), "requests"),
            Result("rollback", "failed", sum(c.failed for c in cycles), "requests", 0),
            *(
                [
                    Result("rollback", "fault_to_alarm_median",
                           median(f.alarm for f in faults), "s"),
                    Result("rollback", "fault_to_alarm_max", max(f.alarm for f in faults), "s"),
                    Result("rollback", "unanswered_of_faults",
                           sum(f.failed for f in faults), "requests", 0),
                    Result("rollback", "asked_after_rollback",
                           sum(f.late for f in faults), "requests", 0),
                ] if faults else []
            ),
        ]
    )  # fmt: skip


def play(
    target: Target, ward: Target, choice: Choice, rollbacks: int, faults: int
) -> tuple[list[Cycle], list[Fault]]:
    """Play both parts on a stack with version 1 live."""
    stack = Stack(target, acting_as(choice, "ana"))
    stack.declare()
    row = row_of(target)
    first, *others = [stack.register() for _ in range(1 + faults)]
    release = stack.approve(first)
    canary = Canary(stack, release)
    canary.bring_up()
    with Load(ward, row, threads=_THREADS, pause_s=_PAUSE_S, most_s=_MOST_S) as load:
        stack.ring()
        stack.rolled_back(release["release_id"])
        cycles = _rollbacks(stack, canary, load, rollbacks)
        failing = [_fault(stack, load, version, row) for version in others]
    return cycles, failing


if __name__ == "__main__":
    main()
