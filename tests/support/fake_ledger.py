"""The ledger's table, queue, key and CloudTrail in memory; each passes its adapter's suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from steward.domain.audit.verifier import canonical
from steward.domain.errors import ConflictError
from steward.ports import KeptRecord


class FakeLedger:
    """Items written once; ``before_append`` holds what happens just before a transaction."""

    def __init__(self) -> None:
        self.items: dict[str, dict[int, str]] = {}
        self.markers: dict[tuple[str, str], int] = {}
        self.before_append: list[Callable[[], None]] = []

    def projects(self) -> list[str]:
        return sorted(self.items)

    def last(self, project: str) -> KeptRecord | None:
        return next(iter(self.records(project, newest_first=True)), None)

    def records(
        self, project: str, *, after: int = 0, newest_first: bool = False
    ) -> Iterator[KeptRecord]:
        for seq, text in sorted(self.items.get(project, {}).items(), reverse=newest_first):
            if seq > after:
                yield KeptRecord(seq, text)

    def known(self, project: str, event_ids: Sequence[str]) -> dict[str, int]:
        found = {event_id: self.markers.get((project, event_id)) for event_id in event_ids}
        return {event_id: seq for event_id, seq in found.items() if seq is not None}

    def append(self, project: str, records: Sequence[Mapping[str, Any]]) -> None:
        if self.before_append:
            self.before_append.pop(0)()
        kept = self.items.get(project, {})
        for record in records:
            taken = record["seq"] in kept or (project, record["event_id"]) in self.markers
            if taken:
                raise ConflictError(f"record {record['seq']} of {project}")
        before = kept.get(records[0]["seq"] - 1)
        if records[0]["seq"] > 1 and (before is None or records[0]["previous"] not in before):
            raise ConflictError("the record before is another one")
        for record in records:
            self.items.setdefault(project, {})[record["seq"]] = canonical(record).decode()
            self.markers[project, record["event_id"]] = record["seq"]


@dataclass
class FakeFactQueue:
    """What was sent: project, event id, text."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)

    def send(self, project: str, event_id: str, text: str) -> None:
        if (project, event_id) not in [(p, e) for p, e, _ in self.sent]:
            self.sent.append((project, event_id, text))


@cache
def _private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


class FakeSealingKey:
    """A key of the same kind, in memory."""

    def sign(self, content: bytes) -> bytes:
        return _private().sign(content, padding.PKCS1v15(), hashes.SHA256())

    def public_der(self) -> bytes:
        return (
            _private()
            .public_key()
            .public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


@dataclass
class FakeApiCalls:
    """CloudTrail's history: details as EventBridge would give them."""

    details: list[dict[str, Any]] = field(default_factory=list)

    def lookup(
        self, event_names: Sequence[str], since: datetime, until: datetime
    ) -> Iterator[dict[str, Any]]:
        for detail in self.details:
            at = datetime.fromisoformat(detail["eventTime"])
            if detail["eventName"] in event_names and since <= at <= until:
                yield detail
