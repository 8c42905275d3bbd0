"""The doorways of batches: the events that EventBridge and Scheduler deliver, and tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.settings import Settings
from support.batch_scene import MACHINE, Batches
from support.doorways import load
from support.fakes import FakeFailureQueue
from support.serving_scene import ARTIFACTS, DATA, PROJECT, ROLE

EVENTS = Path(__file__).parents[3] / "events"


class BatchApp:
    """The composition root with a scene behind the ports."""

    def __init__(self, scene: Batches) -> None:
        self.settings = Settings(
            steward_environment="dev", batch_machine=MACHINE, data_bucket=DATA,
            artifacts_bucket=ARTIFACTS, endpoint_role_arn=ROLE,
        )  # fmt: skip
        self.state, self.objects, self.workflows = scene.state, scene.objects, scene.workflows
        self.clock, self.ids, self.hosting = scene.clock, scene.ids, scene.hosting
        self.failure_queue = FakeFailureQueue()


@pytest.fixture
def app() -> BatchApp:
    return BatchApp(Batches())


def event(path: str, **detail: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVENTS / f"{path}.json").read_text(encoding="utf-8"))
    found["detail"] |= detail
    return found


def test_a_batch_goes_from_its_schedule_to_its_end(
    app: BatchApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = load("start_batch", app, monkeypatch)(event("incoming/batch_scoring_due"), None)
    [execution] = app.workflows.executions.values()
    prepared = load("prepare_batch", app, monkeypatch)(execution.payload, None)
    assert prepared["rows"] == 3
    named = {"project": PROJECT, "batch_id": started["batch_id"], "correlation_id": "c"}
    scores = "p1,0.3\np2,0.2\np3,0.4\n"
    app.objects.write(f"{prepared['output_uri']}/part-0000.csv.out", scores.encode())
    delivered = load("deliver_scores", app, monkeypatch)({**named, "job": "j"}, None)
    ended = {
        **named, "outcome": "succeeded", "execution_arn": "arn",
        "manifest_uri": delivered["manifest_uri"],
    }  # fmt: skip
    answer = load("conclude_batch", app, monkeypatch)(ended, None)
    assert answer == {"status": "succeeded"}


@pytest.mark.parametrize(
    ("sample", "outcome"), [("BatchScoringRequested", "failed"), ("DatasetAccepted", "ignored")]
)
def test_requests_and_deliveries_come_in_by_the_same_doorway(
    app: BatchApp, monkeypatch: pytest.MonkeyPatch, sample: str, outcome: str
) -> None:
    answer = load("start_batch", app, monkeypatch)(event(f"samples/{sample}"), None)
    assert answer["outcome"] == outcome


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED"])
def test_the_end_of_an_execution_that_said_nothing_is_recorded(
    app: BatchApp, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    started = load("start_batch", app, monkeypatch)(event("incoming/batch_scoring_due"), None)
    name = f"{PROJECT}_{started['batch_id']}"
    told = event("incoming/execution_status_change", name=name, status=status)
    conclude = load("conclude_batch", app, monkeypatch)
    assert conclude(told, None) == {"status": "failed"}
    assert conclude(told, None) == {"concluded": "not ours"}
    assert conclude(event("incoming/execution_status_change"), None) == {"concluded": "not ours"}


def test_the_next_schedule_records_the_end_of_an_execution_whose_event_was_lost(
    app: BatchApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, due = load("start_batch", app, monkeypatch), event("incoming/batch_scoring_due")
    first = start(due, None)["batch_id"]
    [arn] = app.workflows.executions
    app.workflows.end(arn, "TIMED_OUT")
    second = start({**due, "id": "another"}, None)
    assert (second["outcome"], second["batch_id"]) == ("started", f"{first[:12]}-2")
    assert app.hosting.asked == []  # no model was made yet
