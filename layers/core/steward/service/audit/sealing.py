"""Heads: the Merkle root over all records of a project, signed and stored under lock."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.contracts.events import LedgerBroken
from steward.domain.audit import verifier
from steward.service.audit.appending import record_key
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.ports import Clock, Ids, Ledger, ObjectStore, SealingKey, StateStore

_VECTORS = ("steward", "0", "\u00e4 \u2713 \U0001f512")
_OBJECT_DUE = timedelta(minutes=15)


class _BrokenLedgerError(Exception):
    """What is wrong with a ledger: it is not signed beyond that."""

    def __init__(self, kind: str, seq: int, told: str) -> None:
        super().__init__(told)
        self.kind, self.seq, self.told = kind, seq, told


def head_key(project: str, size: int) -> str:
    """Return where a signed head lies in the bucket."""
    return f"heads/{project}/{size:012d}.json"


def key_place(fingerprint: str) -> str:
    """Return where the public key lies in the bucket, with its vectors."""
    return f"keys/{fingerprint}.json"


@dataclass(frozen=True)
class Sealer:
    """Signs a head over every ledger that has grown since its last one.

    It reads what came since the last head and checks it: numbers, chain, and the object of each
    record. What does not fit is not signed; it is told instead, once an hour at most.
    """

    ledger: Ledger
    objects: ObjectStore
    key: SealingKey
    state: StateStore
    clock: Clock
    ids: Ids
    bucket: str

    def seal_all(self) -> dict[str, Any]:
        """Return the size of the head that each grown ledger now has, and what is wrong."""
        der = self.key.public_der()
        fingerprint = hashlib.sha256(der).hexdigest()
        self._keep_key(der, fingerprint)
        sealed: dict[str, int] = {}
        broken: dict[str, str] = {}
        for project in self.ledger.projects():
            try:
                size = self._seal(project, verifier.public_key(der), fingerprint)
            except _BrokenLedgerError as problem:
                broken[project] = problem.told
                self._tell(project, problem)
            else:
                if size is not None:
                    sealed[project] = size
        return {"sealed": sealed, "broken": broken}

    def _seal(self, project: str, key: tuple[int, int], fingerprint: str) -> int | None:
        tree, last, before = self._resume(project, key)
        for record in self._checked(project, before, last):
            tree.append(record)
        if tree.size == before:
            return None
        head = {
            "format": verifier.FORMAT, "project": project, "size": tree.size,
            "root": tree.root(), "at": self._now().isoformat(timespec="milliseconds"),
        }  # fmt: skip
        signature = self.key.sign(verifier.canonical(head))
        stored = {
            "head": head,
            "signature": base64.b64encode(signature).decode(),
            "key_sha256": fingerprint,
            "frontier": tree.frontier(),
            "last": self._digest_of(project, tree.size),
        }
        self.objects.write_once(self._uri(head_key(project, tree.size)), verifier.canonical(stored))
        return tree.size

    def _resume(self, project: str, key: tuple[int, int]) -> tuple[verifier.Tree, str, int]:
        heads = list(self.objects.list(self.bucket, f"heads/{project}/"))
        newest = heads[-1] if heads else None
        if newest is None:
            return verifier.Tree(), verifier.genesis(project), 0
        stored = json.loads(self.objects.read(self._uri(newest.key)))
        head, size = stored["head"], int(stored["head"]["size"])
        signature = base64.b64decode(stored["signature"])
        if not verifier.is_signed(verifier.canonical(head), signature, key):
            raise _BrokenLedgerError("unsigned", size, f"the head of {size} is not signed right")
        tree = verifier.Tree.resumed(size, stored["frontier"])
        if tree.root() != head["root"]:
            raise _BrokenLedgerError("rewritten", size, f"the head of {size} has another root")
        if self._digest_of(project, size) != stored["last"]:
            raise _BrokenLedgerError(
                "rewritten", size, f"record {size} is not the one that its head covers"
            )
        return tree, stored["last"], size

    def _checked(self, project: str, before: int, last: str) -> Iterator[str]:
        seq = before
        for kept in self.ledger.records(project, after=before):
            seq += 1
            record = json.loads(kept.text)
            digest = str(record.get("digest"))
            if kept.seq != seq or record.get("seq") != seq:
                raise _BrokenLedgerError("removed", seq, f"record {seq} is missing")
            if verifier.record_digest(record) != digest:
                raise _BrokenLedgerError("changed", seq, f"record {seq} is not what was written")
            if record["previous"] != last:
                raise _BrokenLedgerError("unlinked", seq, f"record {seq} follows another one")
            if not self._is_kept(project, seq, record):
                return
            yield digest
            last = digest

    def _is_kept(self, project: str, seq: int, record: Mapping[str, Any]) -> bool:
        """Return whether the record's object is there; the appender may be about to write it."""
        key, content = record_key(project, seq), verifier.canonical(record)
        if self.objects.describe(self.bucket, key) is None:
            late = self._now() - datetime.fromisoformat(str(record["recorded_at"]))
            if late > _OBJECT_DUE:
                raise _BrokenLedgerError("unkept", seq, f"record {seq} is not in the bucket")
            return False
        if self.objects.sha256(self.bucket, key) != hashlib.sha256(content).hexdigest():
            raise _BrokenLedgerError("differs", seq, f"record {seq} differs in the bucket")
        return True

    def _digest_of(self, project: str, seq: int) -> str | None:
        kept = next(iter(self.ledger.records(project, after=seq - 1)), None)
        return str(json.loads(kept.text)["digest"]) if kept and kept.seq == seq else None

    def _keep_key(self, der: bytes, fingerprint: str) -> None:
        place = key_place(fingerprint)
        if self.objects.describe(self.bucket, place) is not None:
            return
        vectors = [
            {"message": message, "signature": base64.b64encode(
                self.key.sign(message.encode())).decode()}
            for message in _VECTORS
        ]  # fmt: skip
        kept = {"public_key": base64.b64encode(der).decode(), "vectors": vectors}
        self.objects.write_once(self._uri(place), verifier.canonical(kept))

    def _tell(self, project: str, problem: _BrokenLedgerError) -> None:
        """Tell what is broken: in the same words within an hour, and so one event."""
        now = self._now().replace(minute=0, second=0, microsecond=0)
        broken = LedgerBroken(kind=problem.kind, seq=problem.seq, told=problem.told)
        cause = Cause(project, f"ledger-{project}", now.isoformat())
        told = event(broken, cause, self.clock, self.ids).model_copy(
            update={"time": now.isoformat()}
        )
        self.state.commit([], [told])

    def _now(self) -> datetime:
        return self.clock.now()

    def _uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"
