"""Events as facts: who, what, when, why; watched changes; the bucket against the table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.contracts import events
from steward.contracts.events import PAYLOADS, LedgerTampered
from steward.domain.audit.facts import UNRECORDED, fact_of
from steward.domain.audit.objects import Stored, compare
from steward.domain.errors import ThrottledError
from steward.entrypoint import parse_event
from steward.service.audit.queueing import queue_fact, queue_messages
from steward.service.audit.watching import Watcher
from support.fake_ledger import FakeFactQueue
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeIds
from support.samples import SAMPLES, delivered
from support.templates import load_child


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda payload: type(payload).__name__)
def test_every_event_of_ours_is_a_fact(payload: events.Payload) -> None:
    queue = FakeFactQueue()
    queue_fact(parse_event(delivered(payload)), queue=queue)
    [(project, _, text)] = queue.sent
    kept = json.loads(text)
    assert project == kept["project"] == "diabetes"
    assert (kept["what"], kept["who"]) == (type(payload).__name__, "steward")
    assert kept["details"]["data"] == payload.model_dump(mode="json")


def test_a_fact_says_who_approved_what_why_and_on_what_ground() -> None:
    rejected = events.VersionRejected(
        version=3, evidence_digest="a1" * 32, by="000000000000/ana", comment="slice 2 is thin"
    )
    meta = {
        "project": "ward",
        "actor": "000000000000/ana",
        "correlation_id": "r",
        "causation_id": "c",
    }
    told = fact_of(source="steward.registry", detail_type="VersionRejected",
                   time="2026-01-05T09:00:00Z", meta=meta, data=rejected.model_dump())  # fmt: skip
    assert (told.who, told.subject, told.why) == (
        "000000000000/ana",
        "version 3",
        "slice 2 is thin",
    )
    assert told.digests == {"evidence_digest": "a1" * 32}


def test_what_concerns_no_project_is_in_the_stacks_ledger() -> None:
    meta = {"project": "*", "actor": "", "correlation_id": "r", "causation_id": "c"}
    told = fact_of(source="steward.serving", detail_type="ReapingRequested",
                   time="2026-01-05T09:00:00Z", meta=meta, data={})  # fmt: skip
    assert (told.project, told.who) == ("_stack", "unknown")


def test_one_event_that_is_published_twice_is_one_fact() -> None:
    queue = FakeFactQueue()
    event = delivered(SAMPLES[0])
    for number in range(2):
        queue_fact(parse_event({**event, "id": f"another-{number}"}), queue=queue)
    assert len(queue.sent) == 1


def test_the_rule_leaves_out_what_is_not_recorded() -> None:
    rule = load_child("audit")["Resources"]["OnRecordedEventRule"]["Properties"]["EventPattern"]
    assert rule["source"] == [{"prefix": "steward."}]
    [left_out] = rule["detail-type"]
    assert sorted(left_out["anything-but"]) == sorted(UNRECORDED)
    assert set(UNRECORDED) <= set(PAYLOADS)


def test_a_batch_gives_back_what_is_no_event_of_ours() -> None:
    queue = FakeFactQueue()
    good = {"messageId": "good", "body": json.dumps(delivered(SAMPLES[0]))}
    aws = {**delivered(SAMPLES[0]), "source": "aws.s3", "detail-type": "Object Created"}
    bodies = ["", "[]", "{}", json.dumps({"source": "steward.data"}), json.dumps(aws)]
    bad = [{"messageId": f"bad{n}", "body": body} for n, body in enumerate(bodies)]
    again = queue_messages([*bad, good], parse=parse_event, queue=queue)
    assert again == [one["messageId"] for one in bad]
    assert len(queue.sent) == 1


def test_a_queue_that_does_not_answer_has_the_event_delivered_again() -> None:
    class Throttled(FakeFactQueue):
        def send(self, project: str, event_id: str, text: str) -> None:
            raise ThrottledError("too fast")

    message = {"messageId": "one", "body": json.dumps(delivered(SAMPLES[0]))}
    assert queue_messages([message], parse=parse_event, queue=Throttled()) == ["one"]


def change(kind: str, **images: Any) -> dict[str, Any]:
    keys = {"project": {"S": "ward"}, "item": {"S": "record#000000000007"}}
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b", "eventName": kind,
        "dynamodb": {"Keys": keys, "SequenceNumber": "4421584500000000017450439091",
                     "ApproximateCreationDateTime": 1767603600, **images},
    }  # fmt: skip


def test_each_change_and_removal_is_told_once_and_appending_is_not() -> None:
    state = FakeState()
    watcher = Watcher(state, FakeClock(), FakeIds())
    batch = [
        change("INSERT", NewImage={"who": {"S": "theo"}}),
        change("MODIFY", OldImage={"who": {"S": "theo"}}, NewImage={"who": {"S": "eve"}}),
        change("REMOVE", OldImage={"who": {"S": "theo"}}),
    ]
    assert watcher.watch(batch) == ["record#000000000007"] * 2
    modified, removed = [event.data for event in state.events]
    assert isinstance(modified, LedgerTampered)
    assert isinstance(removed, LedgerTampered)
    assert (modified.change, removed.change) == ("MODIFY", "REMOVE")
    assert modified.before == removed.before != modified.after
    assert removed.after is None
    first = [event.detail() for event in state.events]
    watcher.watch(batch)
    assert [event.detail() for event in state.events[2:]] == first


CONTENTS = {1: "a", 2: "b", 3: "c"}


@pytest.mark.parametrize(("stored", "kinds"), [
    ([Stored(1, "a"), Stored(2, "b"), Stored(3, "c")], []),
    ([Stored(1, "a"), Stored(2, "x"), Stored(3, "c")], [("differs", 2)]),
    ([Stored(1, "a"), Stored(3, "c")], [("unkept", 2)]),
    ([Stored(1, "a"), Stored(2, "b"), Stored(3, "c"), Stored(4, "d")], [("removed", 4)]),
    ([Stored(1, "a"), Stored(2, "b", 2), Stored(3, "c")], [("overwritten", 2)]),
    ([Stored(1, "a"), Stored(2, "b", 2, deleted=True), Stored(3, "c")], [("deleted", 2)]),
])  # fmt: skip
def test_what_the_bucket_says_otherwise_is_named(
    stored: list[Stored], kinds: list[tuple[str, int]]
) -> None:
    assert [(found["kind"], found["seq"]) for found in compare(CONTENTS, stored)] == kinds
