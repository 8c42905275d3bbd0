"""Following the stack's own bus: a queue beside it that hears every event."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward_cli.console import CommandError, Exit
from steward_cli.target import Target


@dataclass(frozen=True)
class Heard:
    """One event of the bus as it was delivered."""

    detail_type: str
    source: str
    time: str
    meta: Mapping[str, Any]
    data: Mapping[str, Any]
    heard_at: float

    @property
    def at(self) -> float:
        """When the event was put, in epoch seconds (whole seconds, as EventBridge says it)."""
        return datetime.fromisoformat(self.time).timestamp()


@dataclass
class Feed:
    """All events since the feed was opened, and a way to wait for one."""

    target: Target
    on_event: Callable[[Heard], None]
    heard: list[Heard] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closing: threading.Event = field(default_factory=threading.Event)
    _queue: str = ""
    _thread: threading.Thread | None = None

    _RULE = "steward-demo-feed"

    def open(self) -> Feed:
        """Make the queue and its rule on the stack's bus and start listening."""
        sqs, events = self.target.client("sqs"), self.target.client("events")
        self._queue = sqs.create_queue(QueueName=self._RULE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        bus = self.target.output("BusName")
        pattern = {"account": [{"exists": True}]}
        rule = events.put_rule(
            Name=self._RULE, EventBusName=bus, EventPattern=json.dumps(pattern), State="ENABLED"
        )["RuleArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": json.dumps(policy)})
        events.put_targets(Rule=self._RULE, EventBusName=bus, Targets=[{"Id": "feed", "Arn": arn}])
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _listen(self) -> None:
        sqs = self.target.session.client(
            "sqs", endpoint_url=self.target.engine.endpoint if self.target.engine else None
        )
        while not self._closing.is_set():
            answer = sqs.receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            messages = answer.get("Messages", [])
            for message in messages:
                self._hear(json.loads(message["Body"]))
            if messages:
                sqs.delete_message_batch(
                    QueueUrl=self._queue,
                    Entries=[
                        {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]}
                        for i, m in enumerate(messages)
                    ],
                )

    def _hear(self, body: Mapping[str, Any]) -> None:
        detail = body.get("detail") or {}
        own = str(body.get("source", "")).startswith("steward.")
        event = Heard(
            detail_type=body["detail-type"],
            source=body["source"],
            time=body["time"],
            meta=detail.get("meta", {}) if own else {},
            data=detail.get("data", {}) if own else detail,
            heard_at=time.time(),
        )
        with self._changed:
            self.heard.append(event)
            self._changed.notify_all()
        self.on_event(event)

    def of(self, detail_type: str, **expected: object) -> list[Heard]:
        """Return what was heard of one kind with these data fields."""
        with self._changed:
            return [
                event
                for event in self.heard
                if event.detail_type == detail_type
                and all(event.data.get(name) == value for name, value in expected.items())
            ]

    def wait_for(
        self, detail_type: str, *, unless: tuple[str, ...] = (), timeout_s: float = 60,
        count: int = 1, **expected: object,
    ) -> Heard:  # fmt: skip
        """Return the event once it is heard.

        Args:
            detail_type: The event to wait for.
            unless: Detail-types whose arrival from now on means it will not come.
            timeout_s: Give up after this.
            count: Wait for the n-th of its kind.
            expected: Data fields that it must have.

        Raises:
            CommandError: It did not come, with what came instead.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            seen = len(self.heard)
        while True:
            found = self.of(detail_type, **expected)
            if len(found) >= count:
                return found[count - 1]
            with self._changed:
                bad = [event for event in self.heard[seen:] if event.detail_type in unless]
                if not bad:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        last = ", ".join(event.detail_type for event in self.heard[-6:])
                        raise CommandError(
                            f"{detail_type} {expected} did not come within {timeout_s:.0f} s; "
                            f"last events: {last}", Exit.TIMED_OUT,
                        )  # fmt: skip
                    self._changed.wait(min(remaining, 0.5))
            if bad:
                raise CommandError(
                    f"waiting for {detail_type} {expected}: "
                    f"{bad[0].detail_type} came: {dict(bad[0].data)}"
                )
