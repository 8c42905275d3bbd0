"""A load on the capture path of a deployed stack, and the count of what arrived.

Exposures are the gateway's own lines. Most of them are put into the gateway's log group by
workers of this machine, which is what Lambda does with what a function prints; the rest are whole
requests. Workers, and execution environments of the embedded AWS, are killed by pid at random.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from steward.domain.exposures import Exposure, hashed_entity
from steward.service.metric_lines import MetricLog
from steward.service.serving.telemetry import Telemetry
from steward_cli.asking import Asked, ask
from steward_cli.function_urls import call
from steward_cli.target import Target
from steward_local.processes import ProcessId, marked, send

BLOCK = 500
"""Exposures of one PutLogEvents: below its megabyte."""

_STREAMS = "2026/01/05/[$LATEST]"
"""Where the workers' log streams are: named as Lambda's, on a day long past."""

_EMIT = "import sys; from exposure_load import emit; emit(*sys.argv[1:])"


class TooLateError(Exception):
    """Something did not happen in the time that it was given."""


def physical(target: Target, domain: str, logical: str) -> str:
    """Return the physical id of a resource of a nested stack."""
    cloudformation = target.client("cloudformation")
    stack = target.stack
    for name in (domain, logical):
        found = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        stack = next(r["PhysicalResourceId"] for r in found if r["LogicalResourceId"] == name)
    return str(stack)


def until(done: Callable[[], bool], what: str, within_s: float) -> None:
    """Wait until something is so.

    Raises:
        TooLateError: It was not in time.
    """
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise TooLateError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.2)


# Exposures from workers


def exposure_line(project: str, run: str, number: int) -> str:
    """Return the gateway's line for the exposure of a number, the same each time."""
    lines: list[str] = []
    version = 2 if number % 10 == 0 else 1
    role = "candidate" if version == 2 else "stable"
    at = datetime.fromtimestamp(1_767_600_000 + number / 100, UTC)
    exposure = Exposure(
        project=project, route_version=7, step_id="canary-1-10",
        assignment_probability=0.1 if version == 2 else 0.9, assigned_version=version,
        assigned_role=role, answering_version=version, fallback=False,
        entity=hashed_entity(project, f"{run}-{number % 70_000}"),
        first_exposure=number < 70_000, shadow_pair_id=None, inference_id=f"{run}-{number:08d}",
        time=at.isoformat(timespec="milliseconds"),
        features={"age": 59, "sex": 2, "bmi": 32.1, "bp": 101.0, "s5": 4.8598, "s6": 87},
        prediction={"probability": 0.4217, "label": 0}, release_id="00000002-1",
        latency_ms=12.345,
    )  # fmt: skip
    Telemetry(MetricLog("dev", lines.append)).capture(exposure, at)
    return lines[0]


def emit(folder: str, worker: str) -> None:
    """Put this worker's blocks that are not noted as done; the entry of a worker process."""
    home = Path(folder)
    plan = json.loads((home / "plan.json").read_text())
    logs = boto3.client("logs")
    stream = f"{_STREAMS}{worker}-{os.getpid()}"
    logs.create_log_stream(logGroupName=plan["group"], logStreamName=stream)
    for block in range(int(worker), plan["blocks"], plan["workers"]):
        note = home / f"{block}.done"
        if note.exists():
            continue
        last = min((block + 1) * BLOCK, plan["exposures"])
        now = int(time.time() * 1000)
        events = [
            {"timestamp": now, "message": exposure_line(plan["project"], plan["run"], n).rstrip()}
            for n in range(block * BLOCK, last)
        ]
        logs.put_log_events(logGroupName=plan["group"], logStreamName=stream, logEvents=events)
        note.touch()


@dataclass
class Emission:
    """What the workers did.

    Attributes:
        killed: Pids that were killed.
        seconds: From the first worker's start to the last one's end.
    """

    expected: set[str]
    killed: list[int] = field(default_factory=list)
    seconds: float = 0.0


def emit_with_kills(
    target: Target, folder: Path, *, project: str, run: str, exposures: int, workers: int,
    kills: int, within_s: float, seed: int = 1,
) -> Emission:  # fmt: skip
    """Let workers emit all exposures while some of them are killed and started again."""
    assert target.engine is not None
    blocks = -(-exposures // BLOCK)
    plan = {
        "group": physical(target, "Serving", "AnswerRequestLogGroup"), "project": project,
        "run": run, "exposures": exposures, "blocks": blocks, "workers": workers,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    keys = target.session.get_credentials().get_frozen_credentials()
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "AWS_ENDPOINT_URL": target.engine.endpoint, "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key, "AWS_DEFAULT_REGION": target.region,
    }  # fmt: skip

    def start(worker: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", _EMIT, str(folder), str(worker)]
        return subprocess.Popen(arguments, env=environment)

    dice = random.Random(seed)
    found = Emission({f"{run}-{number:08d}" for number in range(exposures)})
    begun = time.monotonic()
    running = {worker: start(worker) for worker in range(workers)}
    # A kill after each of some shares of the work, so that it hits however fast the machine is.
    due = sorted(dice.uniform(0.02, 0.95) for _ in range(kills))
    try:
        while running:
            if time.monotonic() - begun > within_s:
                raise TooLateError(f"{exposures} exposures were not emitted in {within_s:g} s")
            done = sum(1 for _ in folder.glob("*.done")) / blocks
            if due and done >= due[0]:
                due.pop(0)
                victim = dice.choice(sorted(running))
                found.killed.append(running[victim].pid)
                running[victim].send_signal(SIGKILL)
            for worker, process in list(running.items()):
                code = process.poll()
                if code == -SIGKILL:
                    running[worker] = start(worker)
                elif code == 0:
                    del running[worker]
                elif code is not None:
                    raise RuntimeError(f"worker {worker} ended with {code}")
            time.sleep(0.02)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    found.seconds = time.monotonic() - begun
    return found


def forget(target: Target) -> None:
    """Delete the workers' log streams; what they held is in the capture bucket."""
    logs = target.client("logs")
    group = physical(target, "Serving", "AnswerRequestLogGroup")
    pages = logs.get_paginator("describe_log_streams")
    found = [
        stream["logStreamName"]
        for page in pages.paginate(logGroupName=group, logStreamNamePrefix=_STREAMS)
        for stream in page["logStreams"]
    ]
    for name in found:
        logs.delete_log_stream(logGroupName=group, logStreamName=name)


# Execution environments


def environments(target: Target, function: str) -> list[ProcessId]:
    """Return the processes of this engine that serve a function."""
    assert target.engine is not None
    mark = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    found = []
    for identity in marked(target.engine.engine_id):
        try:
            variables = Path(f"/proc/{identity.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in variables:
            found.append(identity)
    return found


@contextmanager
def killing(
    target: Target, functions: list[str], *, every_s: float, most: int, seed: int = 2
) -> Iterator[list[int]]:
    """Kill a random environment of these functions at random times, ``most`` at the most."""
    dice = random.Random(seed)
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < most and not over.wait(dice.uniform(0.2, 1.8) * every_s):
            alive = [found for name in functions for found in environments(target, name)]
            if alive:
                victim = dice.choice(alive)
                send(victim, SIGKILL)
                killed.append(victim.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def ask_until_answered(
    caller: Target, project: str, rows: list[dict[str, Any]], *, threads: int, within_s: float
) -> tuple[list[Asked], int]:
    """Ask each row until it is answered; return the answers, and how many requests failed."""
    url = caller.output("GatewayUrl")
    deadline = time.monotonic() + within_s

    def one(row: dict[str, Any]) -> tuple[Asked, int]:
        failed = 0
        while True:
            asked = ask(caller, url, project, row)
            if asked.status == 200:
                return asked, failed
            failed += 1
            if time.monotonic() > deadline:
                raise TooLateError(f"a request was not answered in time: {asked.body}")

    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(one, rows))
    return [asked for asked, _ in done], sum(failed for _, failed in done)


# Outcomes


def outcome_rows(ids: list[str], at: str) -> list[dict[str, Any]]:
    """Return an outcome of each prediction."""
    return [
        {"inference_id": name, "outcome": sum(name.encode()) % 2, "observed_at": at} for name in ids
    ]


def packed_lines(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as a JSON Lines file, packed."""
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), 1)


def csv_lines(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as a CSV file."""
    lines = [f"{r['inference_id']},{r['outcome']},{r['observed_at']}\n" for r in rows]
    return ("inference_id,outcome,observed_at\n" + "".join(lines)).encode()


def post_outcomes(
    caller: Target, project: str, rows: list[dict[str, Any]], *, batch: int, within_s: float
) -> int:
    """Post rows in batches, each until it is taken; return how many requests failed."""
    url = f"{caller.output('OutcomesUrl').rstrip('/')}/{project}"
    deadline, failed = time.monotonic() + within_s, 0
    for start in range(0, len(rows), batch):
        while (reply := call(caller, url, "POST", rows[start : start + batch])).status != 200:
            failed += 1
            if time.monotonic() > deadline:
                raise TooLateError(f"outcomes were not taken in time: {reply.body}")
    return failed


# Counting


@dataclass
class Arrived:
    """The lines below a prefix of the capture bucket, by inference id.

    Attributes:
        times: How often each id arrived.
        lines: The first line of each id.
        contradicting: Ids that arrived with different content.
    """

    times: Counter[str] = field(default_factory=Counter)
    lines: dict[str, str] = field(default_factory=dict)
    contradicting: set[str] = field(default_factory=set)
    objects: int = 0

    def take(self, line: str, *, ignored: str | None = None) -> None:
        """Count one line; a field may be left out of the comparison."""
        parsed = json.loads(line)
        parsed = parsed.get("capture", parsed)
        name = str(parsed["inference_id"])
        if ignored is not None:
            parsed.pop(ignored, None)
        kept = json.dumps(parsed, sort_keys=True)
        self.times[name] += 1
        if self.lines.setdefault(name, kept) != kept:
            self.contradicting.add(name)

    @property
    def repeated(self) -> int:
        """Lines that were there before."""
        return sum(self.times.values()) - len(self.times)


def arrived(target: Target, prefix: str, *, ignored: str | None = None) -> Arrived:
    """Read everything below a prefix of the capture bucket."""
    s3, bucket = target.client("s3"), target.output("CaptureBucketName")
    found = Arrived()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for entry in (entry for page in pages for entry in page.get("Contents", [])):
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode()
        found.objects += 1
        for line in body.splitlines():
            if line:
                found.take(line, ignored=ignored)
    return found


def settled(target: Target, complete: Callable[[Arrived], bool], within_s: float) -> Arrived:
    """Return the exposures once they are complete and no more come, or what is there in the end."""
    deadline = time.monotonic() + within_s
    before = -1
    while True:
        found = arrived(target, "exposures/")
        quiet = complete(found) and found.objects == before
        if quiet or time.monotonic() > deadline:
            return found
        before = found.objects
        time.sleep(8)  # longer than Firehose's buffer at ten times the pace


def exists(target: Target, bucket_output: str, key: str) -> bool:
    """Return whether an object is there."""
    try:
        target.client("s3").head_object(Bucket=target.output(bucket_output), Key=key)
    except (ClientError, BotoCoreError):
        return False
    return True
