"""The ledger's one writer: nothing is lost, nothing is there twice, whatever stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from steward.domain.audit import verifier
from steward.domain.audit.ledger import MAX_RECORD_BYTES, Fact, next_records
from steward.domain.errors import DependencyError
from steward.service.audit.appending import Appender, append_messages, record_key
from support.fake_ledger import FakeLedger
from support.fakes import FakeClock, FakeObjects
from support.ledger_facts import fact

BUCKET = "ledger"


class Scene:
    def __init__(self) -> None:
        self.ledger, self.objects, self.clock = FakeLedger(), FakeObjects(), FakeClock()
        self.appender = Appender(self.ledger, self.objects, self.clock, BUCKET)

    def message(self, one: Fact, name: str = "") -> dict[str, Any]:
        return {"messageId": name or one.event_id, "body": one.model_dump_json()}

    def records(self, project: str = "ward") -> list[dict[str, Any]]:
        return [json.loads(kept.text) for kept in self.ledger.records(project)]

    def numbers_in_bucket(self, project: str = "ward") -> list[int]:
        listed = self.objects.list(BUCKET, f"records/{project}/")
        return [int(one.key[-17:-5]) for one in listed]

    def sound(self, project: str = "ward") -> bool:
        checked = verifier.Verification(project)
        for record in self.records(project):
            checked.add_record(record)
        same = all(
            self.objects.read(f"s3://{BUCKET}/{record_key(project, record['seq'])}")
            == verifier.canonical(record)
            for record in self.records(project)
        )
        return checked.finish().findings == [] and same


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_facts_become_records_and_objects_in_their_order(scene: Scene) -> None:
    assert append_messages([scene.message(fact(n)) for n in range(1, 11)], scene.appender) == []
    assert [record["event_id"] for record in scene.records()] == [f"e{n}" for n in range(1, 11)]
    assert scene.numbers_in_bucket() == list(range(1, 11))
    assert scene.sound()


def test_projects_have_ledgers_of_their_own(scene: Scene) -> None:
    both = [fact(1), fact(2, project="other"), fact(3)]
    assert append_messages([scene.message(one) for one in both], scene.appender) == []
    assert [len(scene.records(project)) for project in ("ward", "other")] == [2, 1]
    assert scene.sound("ward")
    assert scene.sound("other")


def test_the_same_event_twice_is_one_record(scene: Scene) -> None:
    twice = [scene.message(fact(1), "a"), scene.message(fact(1), "b"), scene.message(fact(2))]
    assert append_messages(twice, scene.appender) == []
    assert append_messages(twice, scene.appender) == []
    assert [record["event_id"] for record in scene.records()] == ["e1", "e2"]
    assert scene.sound()


def fail_after(writes: int, scene: Scene) -> Callable[[], None]:
    """Let objects fail after some writes; return what mends them."""
    original, left = scene.objects.write_once, [writes]

    def write_once(uri: str, content: bytes, content_type: str = "application/json") -> bool:
        if not left[0]:
            raise DependencyError("the bucket does not answer")
        left[0] -= 1
        return original(uri, content, content_type)

    scene.objects.write_once = write_once  # type: ignore[method-assign]

    def mend() -> None:
        scene.objects.write_once = original  # type: ignore[method-assign]

    return mend


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_batch_that_stops_halfway_goes_on_without_gap_or_double(
    scene: Scene, writes: int
) -> None:
    batch = [scene.message(fact(n)) for n in (1, 2, 3, 4)]
    mend = fail_after(writes, scene)
    assert append_messages(batch, scene.appender) == ["e1", "e2", "e3", "e4"]
    assert len(scene.numbers_in_bucket()) <= writes
    mend()
    late = scene.message(fact(5))
    assert append_messages([*batch, late], scene.appender) == []
    assert [record["event_id"] for record in scene.records()] == ["e1", "e2", "e3", "e4", "e5"]
    assert scene.numbers_in_bucket() == [1, 2, 3, 4, 5]
    assert scene.sound()


def test_a_writer_who_is_second_appends_behind_the_first(scene: Scene) -> None:
    other = next_records([fact(9)], None, recorded_at="2026-01-05T08:00:00.000Z")
    scene.ledger.before_append.append(lambda: scene.ledger.append("ward", other))
    assert append_messages([scene.message(fact(1))], scene.appender) == []
    assert [record["event_id"] for record in scene.records()] == ["e9", "e1"]


def test_who_is_always_second_is_called_again(scene: Scene) -> None:
    def first(number: int) -> Callable[[], None]:
        def write() -> None:
            kept = scene.ledger.last("ward")
            last = json.loads(kept.text) if kept else None
            made = next_records([fact(number)], last, recorded_at="2026-01-05T08:00:00.000Z")
            scene.ledger.append("ward", made)

        return write

    for number in range(10, 25):  # each write of the other takes an entry of the list too
        scene.ledger.before_append += [first(number), lambda: None]
    assert append_messages([scene.message(fact(1))], scene.appender) == ["e1"]


def test_clocks_that_differ_leave_the_chain_whole(scene: Scene) -> None:
    scene.appender.append([fact(1)])
    scene.clock.advance(-3600)
    scene.appender.append([fact(2, at="2027-01-01T00:00:00.000Z"), fact(3)])
    recorded = [record["recorded_at"] for record in scene.records()]
    assert recorded != sorted(recorded)
    assert [record["seq"] for record in scene.records()] == [1, 2, 3]
    assert scene.sound()


def test_a_huge_fact_names_its_details_by_digest(scene: Scene) -> None:
    huge = fact(1, details={"text": "x" * 200_000})
    assert append_messages([scene.message(huge)], scene.appender) == []
    [record] = scene.records()
    assert len(verifier.canonical(record)) < MAX_RECORD_BYTES
    kept = record["details"]["elsewhere"]
    content = scene.objects.read(f"s3://{BUCKET}/{kept['key']}")
    assert json.loads(content) == huge.details
    assert record["digests"]["details"] == kept["sha256"]
    assert scene.sound()


def test_what_is_no_fact_holds_up_nobody(scene: Scene) -> None:
    batch = [
        scene.message(fact(1)), {"messageId": "bad", "body": "{}"}, scene.message(fact(2)),
        {"messageId": "worse", "body": "no JSON"},
    ]  # fmt: skip
    assert append_messages(batch, scene.appender) == ["bad", "worse"]
    assert [record["event_id"] for record in scene.records()] == ["e1", "e2"]


def test_an_object_that_says_something_else_is_not_overwritten(scene: Scene) -> None:
    scene.objects.write(f"s3://{BUCKET}/{record_key('ward', 1)}", b"{}")
    assert append_messages([scene.message(fact(1))], scene.appender) == ["e1"]
    assert scene.objects.read(f"s3://{BUCKET}/{record_key('ward', 1)}") == b"{}"
