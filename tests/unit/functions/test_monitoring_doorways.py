"""The doorways of monitoring: what EventBridge and the machine send, and what comes of it."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from steward.domain.monitoring.records import ALL, run_item
from steward.ports import Table
from steward.service.metric_lines import MetricLog
from steward.settings import Settings
from support.doorways import load
from support.fakes import FakeFailureQueue, FakeWorkflows
from support.monitoring_scene import ARTIFACTS, CAPTURE, MonitoringScene, people
from support.samples import SAMPLES, delivered

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-watch-models"


class World(MonitoringScene):
    """A scene behind the composition root."""

    def open(self, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
        self.workflows = getattr(self, "workflows", None) or FakeWorkflows()
        self.failure_queue = FakeFailureQueue()
        app = SimpleNamespace(
            settings=Settings(
                watch_machine=MACHINE, capture_bucket=CAPTURE, artifacts_bucket=ARTIFACTS
            ),
            state=self.state, objects=self.objects, clock=self.clock, ids=self.ids,
            workflows=self.workflows, failure_queue=self.failure_queue, endpoints=None,
            metric_log=MetricLog("dev", sys.stdout.write),
        )  # fmt: skip
        handler = load(name, app, monkeypatch)
        return lambda event: handler(event, None)


@pytest.fixture
def world() -> World:
    return World({"unit": "event"})


def firing(time: str) -> dict[str, Any]:
    return {
        "id": "f", "source": "aws.events", "detail-type": "Scheduled Event", "time": time,
        "detail": {},
    }  # fmt: skip


def test_a_firing_is_played_task_by_task(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.traffic(people(11, 120), 0)
    due = world.due(1)
    started = world.open("start_watch", monkeypatch)(firing(due))["started"]
    payload = world.workflows.executions[started].payload
    given = {"run": payload["run"], "due_at": payload["due_at"]}
    planned = world.open("plan_window", monkeypatch)(given)
    [item] = json.loads(world.objects.read(f"s3://{planned['bucket']}/{planned['key']}"))
    assert world.open("profile_chunk", monkeypatch)(item)["rows"] == 120
    capsys.readouterr()
    judge = {**given, "project": world.project, "execution_arn": started}
    judged = world.open("judge_window", monkeypatch)(judge)
    assert (judged["looks"], judged["more"]) == (1, False)
    lines = [line for line in capsys.readouterr().out.splitlines() if "WindowRows" in line]
    assert json.loads(lines[0])["project"] == world.project
    concluded = world.open("conclude_watch", monkeypatch)(
        {"run": payload["run"], "execution_arn": started}
    )
    assert concluded["status"] == "succeeded"


def test_a_task_with_another_input_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="run"):
        world.open("plan_window", monkeypatch)({"due_at": "2026-01-05T01:05:00Z"})


def test_the_status_of_another_machine_concludes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = {
        "id": "s", "source": "aws.states", "time": "2026-01-05T01:05:00Z",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": "arn:x", "stateMachineArn": MACHINE, "name": "watch-never",
            "status": "FAILED",
        },
    }  # fmt: skip
    assert world.open("conclude_watch", monkeypatch)(change) == {"concluded": "already"}
    assert world.state.get(Table.MONITORING, {"project": ALL, "item": run_item("never")}) is None


def test_an_alarm_leads_to_a_request_for_a_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.due(10)
    [drift] = [one for one in SAMPLES if type(one).__name__ == "DriftDetected"]
    world.state.put(
        Table.DELIVERIES,
        {"project": "diabetes", "delivery_id": "d", "status": "accepted", "rows": 9, "size": 9},
    )
    decide = world.open("decide_retraining", monkeypatch)
    assert decide(delivered(drift)) == {"diabetes": ["RetrainingRequested"]}
    assert decide(firing("2026-01-05T01:15:00Z")) == {"diabetes": []}
