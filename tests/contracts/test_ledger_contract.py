"""The contracts of the ledger's ports, kept by AWS's adapters and by the fakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.adapters.clients import Clients
from steward.adapters.ledger import MAX_BATCH, DynamoLedger, KmsSealingKey, SqsFactQueue
from steward.domain.audit import verifier
from steward.domain.audit.ledger import Fact, next_records
from steward.domain.errors import ConflictError, RejectedError
from steward.ports import FactQueue, Ledger, SealingKey
from support.fake_ledger import FakeFactQueue, FakeLedger, FakeSealingKey
from support.stores import create_table

pytestmark = pytest.mark.usefixtures("isolated")


def facts(first: int, count: int, project: str = "ward") -> list[Fact]:
    return [
        Fact(event_id=f"e{n}", project=project, at="2026-01-05T09:00:00.000Z", who="theo",
             what="VersionApproved", subject=f"version {n}", details={"score": 1.0, "none": None})
        for n in range(first, first + count)
    ]  # fmt: skip


def records(first: int, count: int, last: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return next_records(facts(first, count), last, recorded_at="2026-01-05T09:00:01.000Z")


@pytest.fixture(params=["fake", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger()
    clients: Clients = request.getfixturevalue("aws")
    create_table(clients, "ledger", ("project", "item"))
    return DynamoLedger(clients.get("dynamodb"), "ledger", sleep=lambda _: None)


def test_records_are_read_as_they_were_written_in_their_order(ledger: Ledger) -> None:
    made = records(1, 12)
    ledger.append("ward", made)
    kept = list(ledger.records("ward"))
    assert [json.loads(one.text) for one in kept] == made
    assert [one.text.encode() for one in kept] == [verifier.canonical(record) for record in made]
    assert [one.seq for one in ledger.records("ward", after=10)] == [11, 12]
    assert next(iter(ledger.records("ward", newest_first=True))).seq == 12
    last = ledger.last("ward")
    assert last is not None
    assert last.seq == 12


def test_an_empty_ledger_has_no_last_record(ledger: Ledger) -> None:
    assert ledger.last("ward") is None
    assert list(ledger.records("ward")) == []
    assert ledger.projects() == []


def test_a_ledger_is_listed_once(ledger: Ledger) -> None:
    first = records(1, 2)
    ledger.append("ward", first)
    ledger.append("ward", records(3, 1, first[-1]))
    assert ledger.projects() == ["ward"]


def test_who_is_second_writes_nothing(ledger: Ledger) -> None:
    ledger.append("ward", records(1, 2))
    with pytest.raises(ConflictError):
        ledger.append("ward", records(5, 3))
    assert len(list(ledger.records("ward"))) == 2
    assert ledger.known("ward", ["e5", "e6", "e7"]) == {}


def test_an_event_is_recorded_once(ledger: Ledger) -> None:
    first = records(1, 2)
    ledger.append("ward", first)
    with pytest.raises(ConflictError):
        ledger.append("ward", records(2, 2, first[-1]))
    assert ledger.known("ward", ["e1", "e2", "e3"]) == {"e1": 1, "e2": 2}


def test_a_record_follows_the_one_that_is_there(ledger: Ledger) -> None:
    ledger.append("ward", records(1, 2))
    with pytest.raises(ConflictError):
        ledger.append("ward", records(3, 1, {"seq": 2, "digest": "0" * 64}))


def test_as_many_records_as_a_transaction_takes(ledger: Ledger) -> None:
    ledger.append("ward", records(1, MAX_BATCH))
    assert len(list(ledger.records("ward"))) == MAX_BATCH


def test_more_records_than_a_transaction_takes_are_refused(aws: Clients) -> None:
    create_table(aws, "ledger", ("project", "item"))
    with pytest.raises(RejectedError):
        DynamoLedger(aws.get("dynamodb"), "ledger").append("ward", records(1, MAX_BATCH + 1))


@pytest.fixture(params=["fake", "sqs"])
def queue(request: pytest.FixtureRequest) -> tuple[FactQueue, Any]:
    if request.param == "fake":
        fake = FakeFactQueue()
        return fake, lambda: [(p, t) for p, _, t in fake.sent]
    sqs = request.getfixturevalue("aws").get("sqs")
    url = sqs.create_queue(QueueName="facts.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

    def sent() -> list[tuple[str, str]]:
        got = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"]
        )
        return [(m["Attributes"]["MessageGroupId"], m["Body"]) for m in got.get("Messages", [])]

    return SqsFactQueue(sqs, url), sent


def test_a_fact_waits_in_its_projects_group_once(queue: tuple[FactQueue, Any]) -> None:
    for _ in range(2):
        queue[0].send("ward", "e1", "{}")
    assert queue[1]() == [("ward", "{}")]


@pytest.fixture(params=["fake", "kms"])
def key(request: pytest.FixtureRequest) -> SealingKey:
    if request.param == "fake":
        return FakeSealingKey()
    kms = request.getfixturevalue("aws").get("kms")
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")  # 3072: moto has no bits
    return KmsSealingKey(kms, made["KeyMetadata"]["KeyId"])


def test_what_the_key_signs_the_verifier_confirms(key: SealingKey) -> None:
    public = verifier.public_key(key.public_der())
    content = ("head " * 100).encode()
    signature = key.sign(content)
    assert verifier.is_signed(content, signature, public)
    assert not verifier.is_signed(content + b" ", signature, public)
