"""The monitored hours: the same questions an hour apart, without waiting for an hour.

A window of monitoring is an hour of the clock. So the requests are made now, through the gateway,
and what Firehose delivered about them is written once more as that of the two hours before: the
time of each line and its inference id are changed, nothing else. The watch is then started as its
schedule does.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.adapters.objects import S3ObjectStore
from steward_cli.asking import ask_all
from steward_cli.commands.monitor import window_counts
from steward_cli.console import CommandError, Exit
from steward_cli.demo.data import SHIFT_YEARS, monitored_rows
from steward_cli.demo.facts import Facts, MonitoredHour, Window
from steward_cli.demo.feed import Feed
from steward_cli.monitoring import Monitoring
from steward_cli.state import StackState
from steward_cli.target import Target

PROJECT = "diabetes"
NAMES = ("as they are", f"made {SHIFT_YEARS} years older")
_ENDS_BADLY = ("TrainingFailed", "CandidateHeld", "StagingFailed", "RetrainingSuppressed")


class MonitoredHours:
    """Two hours of traffic of different patients, the second made older by the demo."""

    def __init__(
        self, target: Target, ward: Target, feed: Feed, facts: Facts, note: Callable[[str], None]
    ) -> None:
        self.target, self.ward, self.feed, self.facts, self.note = target, ward, feed, facts, note
        self.state = StackState(target)
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.hours = (now - timedelta(hours=2), now - timedelta(hours=1))
        self.due = now + timedelta(minutes=1)
        self._asked: list[Window] = []

    def ask(self) -> None:
        """Ask for the predictions of both hours."""
        for name, rows in zip(NAMES, monitored_rows(), strict=True):
            window = Window(f"monitored, {name}", None)
            window.asked = ask_all(self.ward, self.ward.output("GatewayUrl"), PROJECT, rows)
            self.facts.windows.append(window)
            self._asked.append(window)
            bad = [asked for asked in window.asked if asked.status != 200]
            if bad:
                raise CommandError(f"{len(bad)} requests got no prediction: {bad[0].body}")
        first, second = (len(window.asked) for window in self._asked)
        self.note(
            f"{first} patients ask as they are, {second} others {NAMES[1]}: that shift is made up "
            "by the demo; requests give the laboratory's values, since the store's have expired"
        )

    def replay(self) -> None:
        """Write what was captured of each hour's requests as that of the hour."""
        s3, bucket = self.target.client("s3"), self.target.output("CaptureBucketName")
        found = self._captured()
        for number, (hour, window) in enumerate(zip(self.hours, self._asked, strict=True)):
            lines = []
            for place, asked in enumerate(window.asked):
                at = hour + timedelta(seconds=3500 * place / len(window.asked))
                line = found[str(asked.inference_id)]
                capture = line["capture"]
                capture["time"] = at.isoformat(timespec="milliseconds")
                capture["inference_id"] = f"replayed-{capture['inference_id']}"
                self.facts.replayed.add(capture["inference_id"])
                lines.append(json.dumps(line).encode() + b"\n")
            key = f"exposures/{hour:%Y/%m/%d}/replayed-{PROJECT}-{hour:%H}-{number}"
            s3.put_object(Bucket=bucket, Key=key, Body=b"".join(lines))
        self.note(
            "their captured lines are written again as those of the two hours before: an hour is "
            "not waited for"
        )

    def _captured(self, timeout_s: float = 45) -> dict[str, dict[str, Any]]:
        """Return the captured lines by inference id once Firehose has delivered all."""
        s3, bucket = self.target.client("s3"), self.target.output("CaptureBucketName")
        wanted = {str(asked.inference_id) for one in self._asked for asked in one.asked}
        found: dict[str, dict[str, Any]] = {}
        read: set[str] = set()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="exposures/")
            for key in (one["Key"] for page in pages for one in page.get("Contents", [])):
                if key in read:
                    continue
                read.add(key)
                text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
                for line in map(json.loads, filter(str.strip, text.splitlines())):
                    if line["capture"]["inference_id"] in wanted:
                        found[line["capture"]["inference_id"]] = line
            if len(found) == len(wanted):
                return found
            time.sleep(0.3)
        raise CommandError(
            f"{len(wanted) - len(found)} requests were not captured in time", Exit.TIMED_OUT
        )

    def watch(self) -> None:
        """Start the watch as its schedule does, and read what it said of both hours."""
        from steward_cli.monitor_charts import column_chart

        self._end(self._start())
        monitoring = Monitoring(self.state.store, S3ObjectStore(self.target.client("s3")))
        watched = monitoring.read(PROJECT)
        for hour, name in zip(self.hours, NAMES, strict=True):
            seen = watched.at(hour.strftime("%Y-%m-%dT%H:%M:%SZ"))
            look, baseline = seen.newest, watched.baseline
            assert look is not None
            picture = ""
            column = baseline.column("age") if baseline is not None else None
            if column is not None:
                picture = column_chart(column, window_counts(monitoring, seen)["age"])
            self.facts.monitored.append(MonitoredHour(name, look, picture))
            self.note(f"{name}: {look.alarms.get('drift')}; {look.drift.sentence}")
        before, shifted = (hour.look for hour in self.facts.monitored)
        if before.alarms["drift"] == "alarm" or shifted.alarms["drift"] != "alarm":
            raise CommandError(
                f"the alarm is not where the shift is: {before.sentence} {shifted.sentence}"
            )

    def _start(self, timeout_s: float = 60) -> str:
        region, account = self.target.output("StartWatchFunctionArn").split(":")[3:5]
        firing = {
            "version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event",
            "source": "aws.events", "account": account, "region": region, "resources": [],
            "time": self.due.strftime("%Y-%m-%dT%H:%M:%SZ"), "detail": {},
        }  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            answer = self.target.client("lambda").invoke(
                FunctionName=self.target.output("StartWatchFunctionArn"),
                Payload=json.dumps(firing).encode(),
            )
            said = json.loads(answer["Payload"].read())
            if "started" in said:
                return str(said["started"])
            if "is running" not in str(said.get("suppressed")):
                raise CommandError(f"the watch did not start: {said}")
            time.sleep(0.5)
        raise CommandError("another watch did not end", Exit.TIMED_OUT)

    def _end(self, execution: str, timeout_s: float = 60) -> None:
        states = self.target.client("stepfunctions")
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = states.describe_execution(executionArn=execution)["status"]
            if status == "SUCCEEDED":
                return
            if status != "RUNNING":
                raise CommandError(f"the watch ended as {status}: {execution}")
            time.sleep(0.2)
        raise CommandError("the watch did not end", Exit.TIMED_OUT)

    def retrained(self) -> None:
        """Wait for the run that the alarm starts, to the version that waits for its approver."""
        known = self.state.versions(PROJECT)
        self.feed.wait_for("DriftDetected")
        asked = self.feed.wait_for("RetrainingRequested")
        version = 1 + max(int(item["version"]) for item in known)
        self.feed.wait_for("ApprovalRequested", unless=_ENDS_BADLY, version=version)
        [run] = [
            run
            for run in self.state.runs(PROJECT)
            if run["trigger"].get("attempt") == asked.data["attempt"]
        ]
        self.facts.retraining = {"run_id": run["run_id"], "version": version, **run["trigger"]}
        self.note(
            f"{asked.data['cause']}: run {run['run_id']} trains on all deliveries with the code "
            f"before version 3; version {version} waits for its approver"
        )
