"""No exposure and no outcome is lost or doubled while workers die; what a million requests cost.

On the embedded AWS with version 1 live and a shadow of it: whole requests through the gateway
while execution environments of the gateway and of the shadow's function are killed; then
exposures as log lines from workers that are killed; then outcomes of all of them as files and
over the URL while the functions that take them are killed. Everything goes the way it goes on
AWS: log group, subscription, Firehose, S3. What arrived is counted by inference id.

Run: ``make bench NAME=exposures``. Options: ``--exposures N``, ``--requests N``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

import exposure_load as load
from gateway import live, mirror, row_of
from results import Result, finish
from steward.domain.prices import (
    TRAFFIC_US_EAST_1,
    US_EAST_1,
    RequestUse,
    million_requests_dollars,
)
from steward_cli.asking import Asked
from steward_cli.console import table
from steward_cli.demo.story import PROJECT
from steward_cli.target import Choice, Target
from steward_local import engine as engines

_WITHIN_S = 600.0
_MIRRORED = 0.3
_REPORT = re.compile(r"^REPORT .*?Duration: ([\d.]+) ms\tBilled")


def _mirror(target: Target) -> None:
    """Mirror a share of requests, and let copies whose function is killed come back soon."""
    mirror(target, _MIRRORED * 100)
    target.client("sqs").set_queue_attributes(
        QueueUrl=load.physical(target, "Serving", "MirroredRequests"),
        Attributes={"VisibilityTimeout": "10"},
    )


@dataclass
class Requests:
    """The first part: whole requests."""

    answered: list[Asked]
    failed: int
    killed: int
    seconds: float


def _requests(target: Target, ward: Target, count: int) -> Requests:
    row = row_of(target)
    rows = [{"entity_id": f"load-{number % 1500}", "features": row} for number in range(count)]
    functions = [
        load.physical(target, "Serving", name)
        for name in ("AnswerRequestFunction", "MirrorRequestFunction")
    ]
    begun = time.monotonic()
    with load.killing(target, functions, every_s=2.5, most=12) as killed:
        answered, failed = load.ask_until_answered(
            ward, PROJECT, rows, threads=4, within_s=_WITHIN_S
        )
    return Requests(answered, failed, len(killed), time.monotonic() - begun)


def _use(target: Target, requests: int, capture_bytes: float) -> RequestUse:
    """Return what the requests used, from what Lambda's log says."""
    logs = target.client("logs")

    def told(group: str) -> tuple[list[float], int]:
        name, seconds, size = load.physical(target, "Serving", group), [], 0
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
            for event in page["events"]:
                size += len(event["message"]) + 26  # what CloudWatch counts for each event
                if match := _REPORT.match(event["message"]):
                    seconds.append(float(match[1]) / 1000)
        return seconds, size

    gateway, size = told("AnswerRequestLogGroup")
    shadow, _ = told("MirrorRequestLogGroup")
    copies = max(1.0, requests * _MIRRORED)
    return RequestUse(
        seconds=sum(gateway) / len(gateway), memory_mb=1024, log_bytes=size / requests,
        capture_bytes=capture_bytes, mirrored=_MIRRORED, shadow_seconds=sum(shadow) / copies,
        copies_per_batch=copies / max(1, len(shadow)), kept=0.0,
    )  # fmt: skip


@dataclass
class Outcomes:
    """The third part."""

    expected: set[str]
    found: load.Arrived
    killed: int
    failed: int
    seconds: float


def _outcomes(target: Target, ward: Target, ids: list[str]) -> Outcomes:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    rows = load.outcome_rows(ids, at)
    part = len(rows) * 2 // 5
    files = {
        "first.jsonl.gz": load.packed_lines(rows[:part]),
        "second.csv": load.csv_lines(rows[part : 2 * part]),
        "again.jsonl.gz": load.packed_lines(rows[: part // 10]),
    }
    s3, bucket = target.client("s3"), target.output("DataBucketName")
    functions = [
        load.physical(target, "Serving", name)
        for name in ("ReceiveOutcomesFunction", "RecordOutcomesFunction")
    ]
    begun = time.monotonic()
    with load.killing(target, functions, every_s=1.0, most=3) as killed:
        for name, content in files.items():
            s3.put_object(Bucket=bucket, Key=f"outcomes/{PROJECT}/{name}", Body=content)
        failed = load.post_outcomes(
            ward, PROJECT, rows[2 * part :], batch=10_000, within_s=_WITHIN_S
        )
        reports = [
            f"outcome-files/{PROJECT}/{hashlib.sha256(content).hexdigest()}.json"
            for content in files.values()
        ]
        load.until(
            lambda: all(load.exists(target, "CaptureBucketName", key) for key in reports),
            "files of outcomes taken", _WITHIN_S,
        )  # fmt: skip
    found = load.arrived(target, f"outcomes/{PROJECT}/", ignored="recorded_at")
    return Outcomes(set(ids), found, len(killed), failed, time.monotonic() - begun)


def _lost_pairs(found: load.Arrived, answered: set[str]) -> int:
    """Return how many answers were copied and have no answer of the shadow."""
    parsed = [json.loads(line) for line in found.lines.values()]
    shadows = {line["shadow_pair_id"] for line in parsed if line["assigned_role"] == "shadow"}
    copied = {
        line["inference_id"] for line in parsed
        if line["shadow_pair_id"] and line["assigned_role"] != "shadow"
    }  # fmt: skip
    return len((copied & answered) - shadows)


def _played(target: Target, ward: Target, exposures: int, requests: int, folder: Path) -> Any:
    _mirror(target)
    asked = _requests(target, ward, requests)
    answered = {str(one.inference_id) for one in asked.answered}
    line_bytes = len(load.exposure_line(PROJECT, "load", 0))
    use = _use(target, requests, line_bytes)
    emission = load.emit_with_kills(
        target, folder / "blocks", project=PROJECT, run="load", exposures=exposures, workers=4,
        kills=12, within_s=_WITHIN_S,
    )  # fmt: skip
    expected = emission.expected | answered
    found = load.settled(
        target, lambda there: expected <= set(there.times) and not _lost_pairs(there, answered), 150
    )
    outcomes = _outcomes(target, ward, sorted(expected))
    return asked, answered, use, emission, found, outcomes


def main() -> None:
    """Play, count, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--exposures", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as home:
        choice = Choice("local", state_dir=Path(home))
        try:
            target, ward = live(choice)
            begun = time.monotonic()
            asked, answered, use, emission, found, outcomes = _played(
                target, ward, options.exposures, options.requests, Path(home)
            )
            seconds = time.monotonic() - begun
        finally:
            engines.stop(choice.state_dir)
    expected = emission.expected | answered
    unknown = {name for name in found.times if name.startswith("load-")} - emission.expected
    dollars = million_requests_dollars(use)
    rows = [
        ("exposures from workers", f"{len(emission.expected)}", f"{len(emission.killed)}",
         f"{emission.seconds:.0f} s"),
        ("whole requests", f"{len(answered)} (+ {asked.failed} failed)", f"{asked.killed}",
         f"{asked.seconds:.0f} s"),
        ("outcomes", f"{len(outcomes.expected)}", f"{outcomes.killed}",
         f"{outcomes.seconds:.0f} s"),
    ]  # fmt: skip
    console = Console()
    console.print(table(("", "sent", "killed", "time"), rows))
    console.print(
        table(
            ("arrived", "different", "repeated", "objects"),
            [
                ("exposures", f"{len(found.times)}", f"{found.repeated}", f"{found.objects}"),
                ("outcomes", f"{len(outcomes.found.times)}", f"{outcomes.found.repeated}",
                 f"{outcomes.found.objects}"),
            ],
        )
    )  # fmt: skip
    console.print(
        table(
            (f"a million requests, {_MIRRORED:.0%} mirrored, {use.seconds * 1000:.1f} ms each",
             f"{TRAFFIC_US_EAST_1.label()} and of {US_EAST_1.as_of}"),
            [(name, f"{amount:.2f} $") for name, amount in dollars.items()],
        )
    )  # fmt: skip
    shadow = {name for name, line in found.lines.items() if '"assigned_role": "shadow"' in line}
    finish(
        [
            Result("exposures", "emitted", float(len(emission.expected)), "exposures"),
            Result("exposures", "lost", float(len(expected - set(found.times))), "exposures", 0),
            Result("exposures", "made_up", float(len(unknown)), "exposures", 0),
            Result("exposures", "contradicting", float(len(found.contradicting - shadow)),
                   "exposures", 0),
            Result("exposures", "pairs_lost", float(_lost_pairs(found, answered)), "pairs", 0),
            Result("exposures", "pairs", float(len(shadow)), "pairs"),
            Result("exposures", "repeated", float(found.repeated), "lines"),
            Result("exposures", "outcomes_lost",
                   float(len(outcomes.expected - set(outcomes.found.times))), "outcomes", 0),
            Result("exposures", "outcomes_made_up",
                   float(len(set(outcomes.found.times) - outcomes.expected)), "outcomes", 0),
            Result("exposures", "outcomes_contradicting",
                   float(len(outcomes.found.contradicting)), "outcomes", 0),
            Result("exposures", "outcomes_repeated", float(outcomes.found.repeated), "lines"),
            Result("exposures", "seconds", seconds, "s", 900),
            Result("exposures", "dollars_per_million_requests", dollars["total"], "$", 5),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
