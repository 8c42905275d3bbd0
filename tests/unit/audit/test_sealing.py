"""Heads over ledgers: what is right is signed, and what is not is told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from steward.contracts.events import LedgerBroken
from steward.domain.audit import verifier
from steward.service.audit.appending import Appender, record_key
from steward.service.audit.sealing import Sealer, head_key
from support.fake_ledger import FakeLedger, FakeSealingKey
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeIds, FakeObjects
from support.ledger_facts import fact

BUCKET = "ledger"


class Scene:
    def __init__(self) -> None:
        self.ledger, self.objects, self.clock = FakeLedger(), FakeObjects(), FakeClock()
        self.state, self.key = FakeState(), FakeSealingKey()
        self.appender = Appender(self.ledger, self.objects, self.clock, BUCKET)
        self.sealer = Sealer(
            self.ledger, self.objects, self.key, self.state, self.clock, FakeIds(), BUCKET
        )

    def append(self, *numbers: int) -> None:
        self.appender.append([fact(number) for number in numbers])

    def head(self, size: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.objects.read(f"s3://{BUCKET}/{head_key('ward', size)}")
        )
        return found

    def verified(self) -> verifier.Verification:
        key = verifier.public_key(self.key.public_der())
        checked = verifier.Verification("ward", key)
        for kept in self.ledger.records("ward"):
            checked.add_record(json.loads(kept.text))
        for info in self.objects.list(BUCKET, "heads/ward/"):
            head = json.loads(self.objects.read(f"s3://{BUCKET}/{info.key}"))
            checked.add_head(head["head"], head["signature"])
        return checked.finish()

    def rewrite(self, seq: int, **changed: Any) -> None:
        record = {**json.loads(self.ledger.items["ward"][seq]), **changed}
        self.ledger.items["ward"][seq] = verifier.canonical(record).decode()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_each_head_covers_all_records_so_far(scene: Scene) -> None:
    scene.append(1, 2, 3)
    assert scene.sealer.seal_all() == {"sealed": {"ward": 3}, "broken": {}}
    scene.append(4, 5, 6, 7)
    assert scene.sealer.seal_all() == {"sealed": {"ward": 7}, "broken": {}}
    checked = scene.verified()
    assert (checked.findings, checked.signed, len(checked.heads)) == ([], 7, 2)


def test_what_has_not_grown_is_not_signed_again(scene: Scene) -> None:
    scene.append(1)
    scene.sealer.seal_all()
    assert scene.sealer.seal_all() == {"sealed": {}, "broken": {}}
    assert [one.key for one in scene.objects.list(BUCKET, "heads/ward/")] == [head_key("ward", 1)]


def test_the_key_is_kept_with_known_answers(scene: Scene) -> None:
    scene.append(1)
    scene.sealer.seal_all()
    [kept] = [json.loads(scene.objects.read(f"s3://{BUCKET}/{one.key}"))
              for one in scene.objects.list(BUCKET, "keys/")]  # fmt: skip
    key = verifier.public_key(base64.b64decode(kept["public_key"]))
    for vector in kept["vectors"]:
        signature = base64.b64decode(vector["signature"])
        assert verifier.is_signed(vector["message"].encode(), signature, key)


def told(scene: Scene) -> list[LedgerBroken]:
    return [event.data for event in scene.state.events if isinstance(event.data, LedgerBroken)]


def test_a_changed_record_is_told_and_not_signed(scene: Scene) -> None:
    scene.append(1, 2, 3)
    scene.rewrite(2, who="mallory")
    answer = scene.sealer.seal_all()
    assert answer["sealed"] == {}
    [broken] = told(scene)
    assert (broken.kind, broken.seq) == ("changed", 2)


def test_a_change_behind_the_last_head_is_told(scene: Scene) -> None:
    scene.append(1, 2, 3)
    scene.sealer.seal_all()
    scene.rewrite(3, who="mallory", digest="0" * 64)
    scene.append(4)
    scene.sealer.seal_all()
    [broken] = told(scene)
    assert (broken.kind, broken.seq) == ("rewritten", 3)


def test_a_removed_record_is_told(scene: Scene) -> None:
    scene.append(1, 2, 3)
    del scene.ledger.items["ward"][2]
    scene.sealer.seal_all()
    [broken] = told(scene)
    assert (broken.kind, broken.seq) == ("removed", 2)


def test_a_head_that_somebody_else_signed_is_told(scene: Scene) -> None:
    scene.append(1, 2)
    scene.sealer.seal_all()
    forged = scene.head(2)
    forged["head"]["at"] = "2020-01-01T00:00:00.000+00:00"
    scene.objects.write(f"s3://{BUCKET}/{head_key('ward', 2)}", verifier.canonical(forged))
    scene.append(3)
    scene.sealer.seal_all()
    assert [broken.kind for broken in told(scene)] == ["unsigned"]


def test_a_record_whose_object_is_under_way_waits_for_the_next_head(scene: Scene) -> None:
    scene.append(1, 2, 3)
    gone = f"{record_key('ward', 3)}"
    content = scene.objects.read(f"s3://{BUCKET}/{gone}")
    forget(scene, gone)
    assert scene.sealer.seal_all()["sealed"] == {"ward": 2}
    scene.objects.write(f"s3://{BUCKET}/{gone}", content)
    assert scene.sealer.seal_all()["sealed"] == {"ward": 3}
    assert told(scene) == []


def test_a_record_whose_object_stays_away_is_told_once_an_hour(scene: Scene) -> None:
    scene.append(1)
    forget(scene, record_key("ward", 1))
    scene.clock.advance(1200)
    scene.sealer.seal_all()
    scene.sealer.seal_all()
    broken = scene.state.events
    assert [one.kind for one in told(scene)] == ["unkept"] * 2
    assert len({(event.time, event.meta.causation_id) for event in broken}) == 1


def test_an_object_that_differs_is_told(scene: Scene) -> None:
    scene.append(1)
    scene.objects.write(f"s3://{BUCKET}/{record_key('ward', 1)}", b"{}")
    scene.sealer.seal_all()
    assert [broken.kind for broken in told(scene)] == ["differs"]


def test_one_broken_ledger_keeps_no_other_from_being_signed(scene: Scene) -> None:
    scene.append(1)
    scene.rewrite(1, who="mallory")
    scene.appender.append([fact(2, project="other")])
    assert scene.sealer.seal_all()["sealed"] == {"other": 1}


def forget(scene: Scene, key: str) -> None:
    """Let an object be gone, as if it had not been written yet."""
    for info in list(scene.objects.versions(BUCKET, key)):
        assert info.version_id is not None
        scene.objects.remove(BUCKET, key, info.version_id)
