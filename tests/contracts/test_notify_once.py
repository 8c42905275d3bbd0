"""One mail an event, however often the outbox or EventBridge delivers it."""

from __future__ import annotations

import pytest

from steward.adapters.clients import Clients
from steward.contracts.events import ApprovalExpired
from steward.domain.errors import DependencyError
from support.builders import event_of
from support.doorways import FakeApp, delivered, load
from support.stores import create_table


class Context:
    """What Powertools reads of Lambda's context."""

    function_name = "notify_people"
    aws_request_id = "r1"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:notify_people"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


EVENT = delivered(event_of(ApprovalExpired(version=3, expired_at="2026-01-06T09:00:00+00:00")))


@pytest.fixture
def app(aws: Clients, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    create_table(aws, "idempotency", ("id",))
    monkeypatch.setenv("IDEMPOTENCY_TABLE", "idempotency")
    return FakeApp()


def test_an_event_that_is_delivered_again_sends_nothing(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = load("notify_people", app, monkeypatch)
    assert handler(EVENT, Context()) == ["owner"]
    handler({**EVENT, "id": "another-of-eventbridge"}, Context())
    assert [letter.role for letter in app.mail.sent] == ["owner"]


def test_a_replayed_event_sends_nothing(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = load("notify_people", app, monkeypatch)
    assert handler({**EVENT, "replay-name": "march"}, Context()) == []
    assert app.mail.sent == []


def test_a_mail_that_could_not_be_sent_is_tried_again(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = load("notify_people", app, monkeypatch)
    real, failures = app.mail.send, [DependencyError("SNS is away")]

    def send(role: str, subject: str, body: str) -> None:
        if failures:
            raise failures.pop()
        real(role, subject, body)

    monkeypatch.setattr(app.mail, "send", send)
    with pytest.raises(DependencyError):
        handler(EVENT, Context())
    assert handler(EVENT, Context()) == ["owner"]
    assert len(app.mail.sent) == 1
