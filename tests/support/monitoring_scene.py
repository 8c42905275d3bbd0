"""A project whose captured traffic is watched: objects in a bucket, looks on fakes."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from steward.contracts.steps.monitoring import (
    JudgedWindow,
    JudgeWindow,
    PlannedWindow,
    PlanWindow,
    ProfileChunk,
    ProfiledChunk,
)
from steward.domain.exposures import Exposure
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.looks import Look, parse_look
from steward.domain.monitoring.records import alarm_item, look_item
from steward.domain.monitoring.sampled_rows import sampled_rows
from steward.domain.predictions import Predictions, write_predictions
from steward.domain.versions import version_item
from steward.domain.workspace import Limits
from steward.ports import Endpoints, Item, Table
from steward.service.metric_lines import MetricLog
from steward.service.monitoring.judging import judge_windows
from steward.service.monitoring.planning import plan_window
from steward.service.monitoring.profiling import Bench, profile_objects
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeIds, FakeObjects

PROJECT, CAPTURE, ARTIFACTS = "diabetes", "capture", "artifacts"
BEGAN = datetime(2026, 1, 5, 0, 0, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:steward-watch-models:watch-1"
HOUR = 3600


def people(seed: int, count: int, *, older: float = 0.0, prefix: str = "") -> list[dict[str, Any]]:
    """Return requests of as many different people, drawn without replacement.

    Args:
        seed: Of the draw.
        count: How many.
        older: Years that ages are shifted by.
        prefix: Of their entity ids.
    """
    draw = np.random.default_rng(seed)
    ages = np.clip(draw.normal(50 + older, 15, count), 18, 100)
    pressure = draw.normal(120, 12, count)
    sexes = draw.choice(["F", "M"], count)
    return [
        {
            "entity": f"{prefix or seed}-{number}",
            "features": {
                "age": round(float(ages[number]), 1), "pressure": round(float(pressure[number]), 1),
                "sex": str(sexes[number]),
            },
            "prediction": {
                "probability": round(float(1 / (1 + np.exp(-(ages[number] - 60) / 15))), 6),
                "label": bool(ages[number] > 60),
            },
        }
        for number in range(count)
    ]  # fmt: skip


def baseline_of(requests: Sequence[dict[str, Any]], unit: str, version: int = 1) -> Baseline:
    """Return the baseline of a version that was trained on such people."""
    features = [request["features"] for request in requests]
    columns = {
        "age": np.array([f["age"] for f in features]),
        "pressure": np.array([f["pressure"] for f in features]),
        "sex": np.array([f["sex"] for f in features]),
    }
    predicted = np.array([request["prediction"]["probability"] for request in requests])
    return Baseline(
        project=PROJECT, version=version, unit=unit, rows=len(requests),
        features=column_baselines(columns), sample=sampled_rows(
            ["age", "pressure"], np.column_stack([columns["age"], columns["pressure"]])[:500]
        ),
        held_out_rows=len(requests),
        predictions=column_baselines({"prediction": predicted}),
    )  # fmt: skip


def labels_of(
    requests: Sequence[dict[str, Any]], seed: int, *, wrong: float = 0.0, women: float = 0.0
) -> list[int]:
    """Return labels that follow the predicted probabilities, but for a share that is turned.

    Args:
        requests: Who asked.
        seed: Of the draw.
        wrong: Share of labels that are turned.
        women: Share of women whose label is 1 whatever is predicted.
    """
    draw = np.random.default_rng(seed)
    found = []
    for request in requests:
        label = int(draw.random() < request["prediction"]["probability"])
        label = 1 - label if draw.random() < wrong else label
        if request["features"]["sex"] == "F" and draw.random() < women:
            label = 1
        found.append(label)
    return found


def held_out() -> bytes:
    """Return the held-out predictions of a version, as the evaluation job writes them."""
    rows = people(2, 1500)
    stream = io.StringIO(newline="")
    write_predictions(
        Predictions(
            entities=[row["entity"] for row in rows],
            labels=np.array(labels_of(rows, 3), dtype=np.float64),
            candidate=np.array([row["prediction"]["probability"] for row in rows]),
            champion=None, slices={"sex": [row["features"]["sex"] for row in rows]},
        ),
        stream,
    )  # fmt: skip
    return stream.getvalue().encode()


@dataclass
class MonitoringScene:
    """Times are seconds since the watch began; windows are of an hour."""

    monitoring: dict[str, Any] = field(default_factory=lambda: {"unit": "event"})
    stable: int = 1
    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    clock: FakeClock = field(default_factory=lambda: FakeClock(BEGAN))
    ids: FakeIds = field(default_factory=FakeIds)
    project: str = PROJECT
    metrics: MetricLog | None = None
    endpoints: Endpoints | None = None

    def __post_init__(self) -> None:
        self.configure(**self.monitoring)
        self.serve(self.stable)
        self.give_baseline(baseline_of(people(1, 4000), self.unit), self.stable)

    @property
    def unit(self) -> str:
        """What is counted."""
        return str(self.monitoring.get("unit", "entity"))

    def configure(self, **monitoring: Any) -> None:
        """Declare what is watched."""
        self.monitoring = monitoring
        self.state.put(
            Table.PROJECTS, {"project": self.project, "config": {"monitoring": monitoring}}
        )

    def serve(self, version: int) -> None:
        """Let a version answer."""
        self.stable = version
        arm = {"version": version, "endpoint": "e", "role": "stable", "share": 100}
        self.state.put(Table.ROUTES, {"project": self.project, "route_version": 1, "arms": [arm]})

    def give_baseline(self, baseline: Baseline | None, version: int) -> None:
        """Register a version, with its baseline or without one."""
        item: Item = {
            "project": self.project, "item": version_item(version), "version": version,
        }  # fmt: skip
        if baseline is not None:
            content = baseline.model_dump_json().encode()
            uri = f"s3://{ARTIFACTS}/runs/{self.project}/v{version}/baseline.json"
            self.objects.write(uri, content)
            item["baseline"] = {"uri": uri, "digest": hashlib.sha256(content).hexdigest()}
            self.objects.write(f"{uri.rpartition('/')[0]}/predictions.csv", held_out())
        self.state.put(Table.VERSIONS, item)

    def exposures(
        self, requests: Sequence[dict[str, Any]], hour: float, **more: Any
    ) -> list[dict[str, Any]]:
        """Return requests as they are captured, spread over an hour."""
        spread = 3_500_000 / max(1, len(requests))
        begin = BEGAN + timedelta(hours=hour)
        lines = []
        for number, request in enumerate(requests):
            at = begin + timedelta(milliseconds=int(number * spread))
            version = int(more.get("version", self.stable))
            exposure = Exposure(
                project=self.project, route_version=1, step_id="serving",
                assignment_probability=1.0, assigned_version=version,
                assigned_role=more.get("role", "stable"), answering_version=version,
                fallback=False, entity=request["entity"], first_exposure=True,
                shadow_pair_id=None, inference_id=f"{request['entity']}@{hour}",
                time=at.isoformat(timespec="milliseconds"), features=request["features"],
                prediction=request["prediction"],
            )  # fmt: skip
            lines.append({"capture": dict(vars(exposure))})
        return lines

    def capture(self, lines: Sequence[dict[str, Any]], hour: float, name: str = "") -> str:
        """Let Firehose deliver lines in the hour after; return the object's key."""
        return self.deliver(_jsonl(lines), hour, name)

    def deliver(self, content: bytes, hour: float, name: str = "") -> str:
        """Let Firehose deliver bytes."""
        at = BEGAN + timedelta(hours=hour)
        name = name or hashlib.sha256(content).hexdigest()[:20]
        key = f"exposures/{at:%Y/%m/%d}/steward-{at:%H}-{name}"
        self.objects.write(f"s3://{CAPTURE}/{key}", content)
        return key

    def traffic(self, requests: Sequence[dict[str, Any]], hour: float, **more: Any) -> str:
        """Let people ask throughout an hour, and Firehose deliver it."""
        return self.capture(self.exposures(requests, hour, **more), hour)

    def label(
        self, requests: Sequence[dict[str, Any]], labels: Sequence[Any], hour: float,
        after_s: float, beside: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Let labels of an hour's predictions come some time after that hour began.

        Args:
            beside: Features that are told with them.
        """
        seen = BEGAN + timedelta(hours=hour, seconds=after_s)
        self.tell(
            [
                {
                    "project": self.project, "inference_id": f"{request['entity']}@{hour}",
                    "entity": None, "outcome": label,
                    "observed_at": seen.isoformat(timespec="milliseconds"),
                    "recorded_at": seen.isoformat(timespec="milliseconds"),
                    **({"attributes": {name: request["features"][name] for name in beside}}
                       if beside else {}),
                }
                for request, label in zip(requests, labels, strict=True)
            ],
            seen,
        )  # fmt: skip

    def tell(self, lines: Sequence[dict[str, Any]], at: datetime) -> None:
        """Keep outcomes as they were reported."""
        content = _jsonl(lines)
        name = hashlib.sha256(content).hexdigest()[:16]
        key = f"outcomes/{self.project}/{at:%Y/%m/%d}/{name}.jsonl"
        self.objects.write(f"s3://{CAPTURE}/{key}", content)

    def bench(self, folder: str) -> Bench:
        """Return what the tasks work with."""
        return Bench(
            self.state,
            self.objects,
            self.clock,
            Limits(Path(folder), 500),
            CAPTURE,
            ARTIFACTS,
            "dev",
        )

    def due(self, hour: float) -> str:
        """Return a time five minutes after an hour, and move the clock there."""
        due = BEGAN + timedelta(hours=hour, minutes=5)
        self.clock.advance((due - self.clock.now()).total_seconds())
        return due.isoformat(timespec="seconds")

    def plan(self, hour: float) -> PlannedWindow:
        """Plan the watch that is due after an hour."""
        command = PlanWindow(run=f"run-{hour}", due_at=self.due(hour))
        return plan_window(
            command, state=self.state, objects=self.objects, capture_bucket=CAPTURE,
            artifacts_bucket=ARTIFACTS,
        )  # fmt: skip

    def profile(self, planned: PlannedWindow) -> list[ProfiledChunk]:
        """Profile what was planned."""
        manifest = json.loads(self.objects.read(f"s3://{planned.bucket}/{planned.key}"))
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for item in manifest:
                command = ProfileChunk.model_validate(item)
                found.append(profile_objects(command, self.bench(folder)))
        return found

    def judge(self, hour: float) -> JudgedWindow:
        """Look at all windows that have ended by an hour."""
        command = JudgeWindow(
            run=f"run-{hour}", due_at=self.due(hour), project=self.project, execution_arn=EXECUTION
        )
        with tempfile.TemporaryDirectory() as folder:
            return judge_windows(
                command,
                self.bench(folder),
                self.ids,
                metrics=self.metrics,
                endpoints=self.endpoints,
            )

    def watch(self, hour: float) -> JudgedWindow:
        """Play the watch that is due after an hour, without its machine."""
        self.profile(self.plan(hour))
        judged = self.judge(hour)
        while judged.more:
            judged = self.judge(hour)
        return judged

    def look(self, hour: int) -> Look:
        """Return the record of the window that began at an hour."""
        return parse_look(self.objects.read(self.look_item(hour)["uri"]))

    def look_item(self, hour: int) -> Item:
        """Return the item of that look."""
        key = {"project": self.project, "item": look_item(window(hour))}
        found = self.state.get(Table.MONITORING, key)
        assert found is not None
        return found

    def alarm(self, kind: str) -> str:
        """Return the state of an alarm."""
        key = {"project": self.project, "item": alarm_item(kind)}
        found = self.state.get(Table.MONITORING, key)
        return str(found["state"]) if found else "ok"

    def told(self, detail_type: str) -> list[Any]:
        """Return the payloads of events of a type."""
        return [one.data for one in self.state.events if one.detail_type == detail_type]


def window(hour: int) -> str:
    """Return the start of an hour as items and records name it."""
    return (BEGAN + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _jsonl(lines: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
