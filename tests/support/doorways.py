"""A function's handler as Lambda loads it, on the ports that a test gives it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import Event
from steward.entrypoint import Handler
from steward.service.metric_lines import MetricLog
from steward.settings import Settings
from support.fake_hosting import FakeHosting
from support.fake_job_records import FakeJobRecords
from support.fake_printer import FakeCardPrinter
from support.fakes import (
    FakeClock,
    FakeFailureQueue,
    FakeIds,
    FakeJobImage,
    FakeMail,
    FakeModelCards,
    FakeObjects,
    FakeRegistry,
    FakeSchedules,
    FakeState,
    FakeWorkflows,
)

FUNCTIONS = Path(__file__).parents[2] / "functions"


@dataclass
class FakeApp:
    """The composition root with fakes behind the ports."""

    settings: Settings = field(
        default_factory=lambda: Settings(
            steward_environment="dev", artifacts_bucket="artifacts", person_roles="Approver"
        )
    )
    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    model_cards: FakeModelCards = field(default_factory=FakeModelCards)
    mail: FakeMail = field(default_factory=FakeMail)
    reminders: FakeSchedules = field(default_factory=FakeSchedules)
    job_image: FakeJobImage = field(default_factory=FakeJobImage)
    job_records: FakeJobRecords = field(default_factory=FakeJobRecords)
    failure_queue: FakeFailureQueue = field(default_factory=FakeFailureQueue)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    hosting: FakeHosting = field(default_factory=FakeHosting)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)

    def __post_init__(self) -> None:
        self.card_printer = FakeCardPrinter(self.objects)
        self.card_exporter = FakeCardPrinter(self.objects)

    @property
    def metric_log(self) -> MetricLog:
        return MetricLog(self.settings.steward_environment, sys.stdout.write)


def load(name: str, app: object, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """Load ``functions/<domain>/<name>/app.py`` afresh with ``app`` as its composition root."""
    (path,) = FUNCTIONS.glob(f"*/{name}/app.py")
    monkeypatch.setattr("steward.bootstrap.app", cache(lambda: app))
    spec = importlib.util.spec_from_file_location(f"doorway_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.handler
    return handler


def delivered(event: Event) -> dict[str, Any]:
    """Return one of our events as EventBridge delivers it."""
    return {
        "version": "0",
        "id": event.event_id,
        "source": event.source,
        "detail-type": event.detail_type,
        "account": "000000000000",
        "region": "us-east-1",
        "time": event.time,
        "resources": [],
        "detail": event.detail(),
    }


def request(
    method: str, caller: str, *, query: dict[str, str] | None = None, body: str = ""
) -> dict[str, Any]:
    """Return a request to a function URL with IAM auth as Lambda gets it."""
    return {
        "version": "2.0",
        "rawPath": "/",
        "headers": {"content-type": "application/json"},
        "queryStringParameters": query or {},
        "requestContext": {
            "requestId": "8f1b0f6e-2f5b-4b39-bb5f-0e0f9cdb0b6a",
            "http": {"method": method},
            "authorizer": {"iam": {"userArn": caller, "accountId": "000000000000"}},
        },
        "body": body,
        "isBase64Encoded": False,
    }
