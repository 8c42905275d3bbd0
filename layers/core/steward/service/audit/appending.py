"""The ledger's one writer: facts become records behind the last one, and objects under lock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from steward.domain.audit import verifier
from steward.domain.audit.ledger import Fact, next_records, without_details
from steward.domain.errors import (
    ConflictError,
    RejectedError,
    RetryableError,
    StewardError,
    ThrottledError,
)

if TYPE_CHECKING:
    from steward.ports import Clock, Ledger, ObjectStore

_MOST_RECORDS = 32
_ATTEMPTS = 5
_WRITERS = 8


class LedgerContradictedError(StewardError):
    """The bucket holds another record under a number: somebody wrote beside the appender."""


def record_key(project: str, seq: int) -> str:
    """Return where a record lies in the bucket."""
    return f"records/{project}/{seq:012d}.json"


@dataclass(frozen=True)
class Appender:
    """Appends facts of one project at a time.

    A record is in the table first and in the bucket then. Whoever is stopped in between is
    called again with the same facts: what is in the table is recognised by its event id, and
    its object is written where it is not yet. So there is no gap and nothing is there twice.
    """

    ledger: Ledger
    objects: ObjectStore
    clock: Clock
    bucket: str

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Record facts of one project in their order; return the records' numbers.

        Raises:
            ConflictError: Another writer kept being first.
            LedgerContradictedError: The bucket holds other content under a number.
        """
        once = list({fact.event_id: fact for fact in facts}.values())
        numbers: list[int] = []
        for start in range(0, len(once), _MOST_RECORDS):
            numbers += self._chunk(once[start : start + _MOST_RECORDS])
        return numbers

    def _chunk(self, facts: list[Fact]) -> list[int]:
        project, recorded_at = facts[0].project, self._now()
        facts = [self._fitting(fact, recorded_at) for fact in facts]
        known: dict[str, int] = {}
        for _ in range(_ATTEMPTS):
            new = [fact for fact in facts if fact.event_id not in known]
            try:
                made = self._append_new(project, new, recorded_at)
                break
            except ConflictError:
                known = self.ledger.known(project, [fact.event_id for fact in facts])
        else:
            raise ThrottledError(f"the ledger of {project}: others were first {_ATTEMPTS} times")
        if known:  # an attempt before this one was stopped: its objects may be missing
            self._restore(project, set(known.values()))
        return sorted([*known.values(), *made])

    def _append_new(self, project: str, facts: list[Fact], recorded_at: str) -> list[int]:
        if not facts:
            return []
        last = self.ledger.last(project)
        before: Mapping[str, Any] | None = json.loads(last.text) if last else None
        records = next_records(facts, before, recorded_at=recorded_at)
        self.ledger.append(project, records)
        self._keep(records)
        return [int(record["seq"]) for record in records]

    def _restore(self, project: str, numbers: set[int]) -> None:
        first = min(numbers)
        for kept in self.ledger.records(project, after=first - 1):
            if kept.seq in numbers:
                self._keep([json.loads(kept.text)])
            if kept.seq >= max(numbers):
                return

    def _keep(self, records: Sequence[Mapping[str, Any]]) -> None:
        if len(records) == 1:
            self._keep_one(records[0])
            return
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(self._keep_one, records))

    def _keep_one(self, record: Mapping[str, Any]) -> None:
        content = verifier.canonical(record)
        key = record_key(str(record["project"]), int(record["seq"]))
        uri = f"s3://{self.bucket}/{key}"
        if self.objects.write_once(uri, content):
            return
        if self.objects.sha256(self.bucket, key) != hashlib.sha256(content).hexdigest():
            raise LedgerContradictedError(f"{uri} is not record {record['seq']} of the table")

    def _fitting(self, fact: Fact, recorded_at: str) -> Fact:
        shorter = without_details(fact, f"details/{fact.project}", recorded_at=recorded_at)
        if shorter is None:
            return fact
        short, content = shorter
        self.objects.write_once(f"s3://{self.bucket}/{short.details['elsewhere']['key']}", content)
        return short

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append_messages(messages: Sequence[Mapping[str, Any]], appender: Appender) -> list[str]:
    """Append a batch of the queue's messages; return the ids of those to deliver again.

    Where a project's facts cannot be appended now, all of them are delivered again, so that
    their order is kept. A message that is no fact, or that can never be a record, comes again
    alone until it lies in the dead-letter queue, and holds up nobody.
    """
    again: list[str] = []
    of_project: dict[str, dict[str, Fact]] = {}
    for message in messages:
        try:
            fact = Fact.model_validate_json(str(message["body"]))
        except ValidationError:
            again.append(str(message["messageId"]))
        else:
            of_project.setdefault(fact.project, {})[str(message["messageId"])] = fact
    for facts in of_project.values():
        again += _append_group(facts, appender)
    return again


def _append_group(facts: Mapping[str, Fact], appender: Appender) -> list[str]:
    try:
        appender.append(list(facts.values()))
    except RejectedError:
        if len(facts) == 1:
            return list(facts)
        return [
            failed
            for name, fact in facts.items()
            for failed in _append_group({name: fact}, appender)
        ]
    except (RetryableError, ConflictError, LedgerContradictedError):
        return list(facts)
    return []
