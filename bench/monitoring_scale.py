"""A hundred million predictions through monitoring: rows per second, memory, dollars.

First in this process: chunks of captured rows on a baseline's bins, 100 million rows. Ten chunks
are drawn once and profiled again and again under ids of their own, so that drawing is not part of
the time; what is kept of a chunk does not depend on its values. Then a slice through the embedded
AWS: objects as Firehose delivers them, the watch's machine, and what each function's own log says
that it used. Dollars are from the price table, beside an hourly processing job.
Run: ``make bench NAME=monitoring_scale``, or with ``--in-process`` for the first part alone.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from results import Result, finish
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.binning import Column
from steward.domain.monitoring.profiles import Profile, merge, profile_chunk
from steward.domain.monitoring.records import look_item
from steward.domain.prices import (
    TRAFFIC_US_EAST_1,
    US_EAST_1,
    function_dollars,
    job_dollars,
    transition_dollars,
)
from steward.domain.versions import version_item
from steward.ports import Put, Table
from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.console import table
from steward_cli.demo.people import hire
from steward_cli.state import StackState
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

ROWS = 100_000_000
CHUNK_ROWS = 100_000
DRAWN = 10
NUMBERS = 8
OBJECTS, OBJECT_ROWS = 8, 25_000
PROJECT = "crowd"
FUNCTIONS = ("StartWatch", "PlanWindow", "ProfileChunk", "JudgeWindow", "ConcludeWatch")
JOB, JOB_VCPUS, JOB_OVERHEAD_S = "ml.m5.xlarge", 4, 300.0
"""The hourly job beside: its instance, and the seconds that it is billed for before and after its
work, an assumption that was not measured. Its work is the slice's, on all its vCPUs at once."""

PER_CHUNK_PUTS, PER_CHUNK_WRITES = 3, 8
_MILLION = 1_000_000


def columns_of(seed: int, rows: int) -> dict[str, Column]:
    """Return the columns of a chunk: eight of numbers, two of text, and the prediction."""
    draw = np.random.default_rng(seed)
    columns: dict[str, Column] = {
        f"n{place}": draw.normal(50 + place, 10, rows) for place in range(NUMBERS)
    }
    columns["city"] = np.array([f"city-{n:02d}" for n in range(40)])[draw.integers(0, 40, rows)]
    columns["sex"] = np.array(["F", "M"])[draw.integers(0, 2, rows)]
    columns["prediction"] = draw.random(rows)
    return columns


def baseline_of(rows: int = 50_000) -> Baseline:
    """Return the baseline of a version that was trained on such rows."""
    columns = columns_of(1, rows)
    predicted = {"prediction": columns.pop("prediction")}
    return Baseline(
        project=PROJECT, version=1, rows=rows, features=column_baselines(columns),
        held_out_rows=rows, predictions=column_baselines(predicted),
    )  # fmt: skip


def resident_mb() -> float:
    """Return the resident memory of this process now."""
    text = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(text.split()[1]) * resource.getpagesize() / 1e6


@dataclass
class InProcess:
    """What profiling used: CPU seconds, wall seconds, and memory on the way."""

    rows: int
    cpu_s: float
    wall_s: float
    memory_mb: list[tuple[int, float]]
    total: Profile

    @property
    def growth_mb(self) -> float:
        """Memory at the end minus that after the first hundredth."""
        return self.memory_mb[-1][1] - self.memory_mb[0][1]


def in_process(rows: int) -> InProcess:
    """Profile so many rows and add all chunks up."""
    baseline = baseline_of()
    drawn = [columns_of(10 + seed, CHUNK_ROWS) for seed in range(DRAWN)]
    chunks = rows // CHUNK_ROWS
    marks = {chunks * percent // 100 for percent in (1, 10, 25, 50, 75, 100)}
    memory: list[tuple[int, float]] = []
    total: Profile | None = None
    waiting: list[Profile] = []
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(1, chunks + 1):
        waiting.append(profile_chunk(baseline, drawn[number % DRAWN], f"{number:064x}"))
        if len(waiting) == 50 or number == chunks:
            total = merge([*waiting, *([total] if total is not None else [])])
            waiting = []
        if number in marks:
            memory.append((number * CHUNK_ROWS, resident_mb()))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert total is not None
    if total.rows != chunks * CHUNK_ROWS:
        raise AssertionError(f"{total.rows} rows were counted")
    return InProcess(total.rows, cpu, wall, memory, total)


def captured(object_number: int, begin: datetime) -> Iterator[bytes]:
    """Yield the lines of one object as the gateway captures and Firehose concatenates them."""
    columns = columns_of(100 + object_number, OBJECT_ROWS)
    prediction = columns.pop("prediction")
    listed = {name: np.asarray(column).tolist() for name, column in columns.items()}
    probabilities = np.asarray(prediction).tolist()
    for row in range(OBJECT_ROWS):
        at = begin + timedelta(milliseconds=3_500_000 * row // OBJECT_ROWS)
        features = {name: values[row] for name, values in listed.items()}
        features = {n: round(v, 4) if isinstance(v, float) else v for n, v in features.items()}
        capture = {
            "project": PROJECT, "route_version": 1, "step_id": "serving",
            "assignment_probability": 1.0, "assigned_version": 1, "assigned_role": "stable",
            "answering_version": 1, "fallback": False, "entity": f"e{object_number}-{row}",
            "first_exposure": True, "shadow_pair_id": None,
            "inference_id": f"{object_number:04d}-{row:08d}",
            "time": at.isoformat(timespec="milliseconds"), "features": features,
            "prediction": {"probability": round(probabilities[row], 6)}, "online": None,
            "release_id": None, "failed": False, "latency_ms": 12.5,
        }  # fmt: skip
        yield json.dumps({"capture": capture}, separators=(",", ":")).encode() + b"\n"


@dataclass
class Slice:
    """What a watch of the slice used, by function: calls, billed seconds, memory size."""

    rows: int
    objects: int
    bytes: int
    wall_s: float
    used: dict[str, tuple[int, float, int, float]]
    transitions: int

    def dollars(self, names: tuple[str, ...]) -> float:
        """Return what these functions cost."""
        return sum(
            function_dollars(memory, calls, seconds)
            for name, (calls, seconds, memory, _) in self.used.items()
            if name in names
        )

    @property
    def rows_per_vcpu_s(self) -> float:
        """Rows that profiling takes in a billed second of one vCPU (1,769 MB)."""
        _, billed, memory, _ = self.used["ProfileChunk"]
        return self.rows / billed / (memory / 1769)

    def job_per_day(self, rows_per_day: float) -> float:
        """Return what an hourly processing job costs a day that does the same work."""
        work_s = rows_per_day / 24 / (self.rows_per_vcpu_s * JOB_VCPUS)
        return 24 * job_dollars(JOB, 1, JOB_OVERHEAD_S + work_s)

    @property
    def per_million(self) -> float:
        """Dollars that grow with rows: profiling, and what it keeps."""
        kept = self.objects * (
            PER_CHUNK_PUTS * TRAFFIC_US_EAST_1.object_put
            + PER_CHUNK_WRITES * TRAFFIC_US_EAST_1.write_unit
        )
        return (self.dollars(("ProfileChunk",)) + kept) / self.rows * _MILLION

    @property
    def per_watch(self) -> float:
        """Dollars of each hour whatever its rows: planning, judging, the machine."""
        others = tuple(name for name in FUNCTIONS if name != "ProfileChunk")
        return self.dollars(others) + transition_dollars(self.transitions)


def through_the_stack() -> Slice:
    """Deploy, put the slice where Firehose delivers it, and play one watch."""
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        choice = Choice("local", state_dir=Path(folder) / "state")
        engine, _ = start_and_deploy(choice, None, 10.0)
        try:
            target = local_target(engine, choice)
            hire(target, choice.state_dir)
            return _watch(target)
        finally:
            engines.stop(choice.state_dir)


def _watch(target: Target) -> Slice:
    s3, begin = target.client("s3"), _last_hour()
    _serve(target)
    size = 0
    for number in range(OBJECTS):
        content = b"".join(captured(number, begin))
        size += len(content)
        key = f"exposures/{begin:%Y/%m/%d}/steward-{PROJECT}-{number}"
        s3.put_object(Bucket=target.output("CaptureBucketName"), Key=key, Body=content)
    firing = json.loads(
        (repository_root() / "events" / "incoming" / "scheduled_event.json").read_text()
    )
    firing["time"] = (begin + timedelta(hours=1, minutes=1)).isoformat(timespec="seconds")
    began = time.perf_counter()
    answer = target.client("lambda").invoke(
        FunctionName=target.output("StartWatchFunctionArn"), Payload=json.dumps(firing).encode()
    )
    started = json.loads(answer["Payload"].read())["started"]
    execution = _ended(target, started)
    wall = time.perf_counter() - began
    if execution["status"] != "SUCCEEDED":
        raise AssertionError(f"the watch ended so: {execution}")
    window = begin.strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {"project": PROJECT, "item": look_item(window)}
    look = StackState(target).store.get(Table.MONITORING, wanted)
    if look is None or look["rows"] != OBJECTS * OBJECT_ROWS:
        raise AssertionError(f"not every row was counted: {look}")
    history = target.client("stepfunctions").get_execution_history(
        executionArn=started, maxResults=1000
    )["events"]
    entered = sum(event["type"].endswith("StateEntered") for event in history)
    time.sleep(2)  # until the last log lines are there
    used = {name: _used(target, name) for name in FUNCTIONS}
    transitions = entered + 2 * used["ProfileChunk"][0]
    return Slice(OBJECTS * OBJECT_ROWS, OBJECTS, size, wall, used, transitions)


def _last_hour() -> datetime:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=2)


def _serve(target: Target) -> None:
    store, bucket = StackState(target).store, target.output("ArtifactsBucketName")
    baseline = baseline_of()
    key = f"runs/{PROJECT}/baseline.json"
    content = baseline.model_dump_json().encode()
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    version = {
        "project": PROJECT, "item": version_item(1), "version": 1,
        "baseline": {"uri": f"s3://{bucket}/{key}", "digest": baseline.digest},
    }  # fmt: skip
    arm = {"version": 1, "endpoint": "none", "role": "stable", "share": 100}
    config = {"monitoring": {"unit": "event"}, "training": {}}
    store.commit(
        [
            Put(Table.PROJECTS, {"project": PROJECT, "config": config}),
            Put(Table.ROUTES, {"project": PROJECT, "route_version": 1, "arms": [arm]}),
            Put(Table.VERSIONS, version),
        ]
    )


def _ended(target: Target, arn: str) -> dict[str, Any]:
    client, until = target.client("stepfunctions"), time.monotonic() + 240
    while time.monotonic() < until:
        execution = client.describe_execution(executionArn=arn)
        if execution["status"] != "RUNNING":
            return dict(execution)
        time.sleep(0.3)
    raise AssertionError("the watch did not end within 240 s")


def _used(target: Target, name: str) -> tuple[int, float, int, float]:
    """Return calls, billed seconds, memory size and the largest memory used of a function."""
    cloudformation = target.client("cloudformation")

    def resources(stack: str) -> dict[str, str]:
        found = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in found}

    ours = resources(resources(target.stack)["Monitoring"])
    pages = target.client("logs").get_paginator("filter_log_events").paginate(
        logGroupName=ours[f"{name}LogGroup"]
    )  # fmt: skip
    reports = [
        json.loads(event["message"])["record"]["metrics"]
        for page in pages
        for event in page["events"]
        if '"platform.report"' in event["message"]
    ]
    seconds = sum(report["billedDurationMs"] for report in reports) / 1000
    largest = max((report["maxMemoryUsedMB"] for report in reports), default=0.0)
    return len(reports), seconds, int(reports[0]["memorySizeMB"]) if reports else 0, largest


def _tell_in_process(found: InProcess, console: Console) -> list[Result]:
    speed = found.rows / found.cpu_s
    cells = speed * len(found.total.columns)
    console.print(
        f"{found.rows:,} rows of {len(found.total.columns)} columns in {found.wall_s:.0f} s "
        f"({found.cpu_s:.0f} s of one CPU): {speed / 1e6:.2f} million rows and "
        f"{cells / 1e6:.0f} million cells a second and vCPU"
    )
    console.print(
        table(("rows", "resident MB"), [(f"{rows:,}", f"{mb:.0f}") for rows, mb in found.memory_mb])
    )
    name = "monitoring_scale"
    return [
        Result(name, "microseconds of a vCPU per row", 1e6 / speed, "us", 2.0),
        Result(name, "rows per second and vCPU", speed, "rows/s"),
        Result(name, "memory growth from 1 to 100 million rows", found.growth_mb, "MB", 20),
    ]


def _tell_slice(found: Slice, console: Console) -> list[Result]:
    rows = [
        (name, calls, f"{seconds:.1f} s", f"{memory} MB", f"{largest:.0f} MB")
        for name, (calls, seconds, memory, largest) in found.used.items()
    ]
    console.print(
        f"{found.rows:,} rows in {found.objects} objects ({found.bytes / 1e6:.0f} MB) through the "
        f"embedded AWS in {found.wall_s:.1f} s"
    )
    console.print(table(("function", "calls", "billed", "memory", "peak"), rows))
    compared = []
    for per_day in (100_000, 1_000_000, 10_000_000, 100_000_000):
        ours = per_day / _MILLION * found.per_million + 24 * found.per_watch
        job = found.job_per_day(per_day)
        compared.append((f"{per_day:,}", f"${ours:.3f}", f"${job:.3f}", f"{ours / job:.2f}"))
    console.print(f"${found.per_million:.4f} a million predictions, ${found.per_watch:.5f} an hour")
    heads = ("predictions a day", "Steward a day", f"hourly {JOB} a day", "ratio")
    console.print(table(heads, compared))
    console.print(
        f"{US_EAST_1.label()}; the job: {JOB_OVERHEAD_S:g} s an hour beside its work, which is "
        f"the same on {JOB_VCPUS} vCPUs"
    )
    name = "monitoring_scale"
    _, _, memory, peak = found.used["ProfileChunk"]
    at_a_million = found.per_million + 24 * found.per_watch
    ratio = at_a_million / found.job_per_day(_MILLION)
    return [
        Result(name, "embedded: rows per billed second and vCPU", found.rows_per_vcpu_s, "rows/s"),
        Result(name, "embedded: peak memory of profiling", peak, "MB", memory),
        Result(name, "embedded: dollars per million predictions", found.per_million, "USD"),
        Result(name, "a million predictions a day, against an hourly job", ratio, "ratio", 1.0),
    ]


def main() -> None:
    """Run both parts and print tables, then one JSON line per result."""
    console = Console(width=110)
    results = _tell_in_process(in_process(ROWS), console)
    if "--in-process" not in sys.argv:
        results += _tell_slice(through_the_stack(), console)
    finish(results)


if __name__ == "__main__":
    main()
