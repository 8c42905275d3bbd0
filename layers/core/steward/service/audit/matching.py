"""CloudTrail's management events against Steward's own records: what none explains is a finding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from steward.contracts.events import ChangeUnmatched
from steward.domain.audit.changes import CALLS, Place, call_of, subject_of, unexplained
from steward.domain.errors import MalformedEventError
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.ports import ApiCalls, Clock, Ids, Ledger, StateStore

_MOST_RECORDS = 500
_OVERLAP = timedelta(minutes=20)


@dataclass(frozen=True)
class Matcher:
    """Judges calls, and tells those that nothing explains.

    The event that tells one has its time and id from the call, so that a call which arrives by
    event and by look-up is recorded and mailed once.
    """

    ledger: Ledger
    state: StateStore
    clock: Clock
    ids: Ids
    place: Place

    def match(self, detail: Mapping[str, Any]) -> str:
        """Return what became of a call: ``foreign``, ``denied``, ``explained`` or ``unmatched``.

        Raises:
            MalformedEventError: It is no record of CloudTrail.
        """
        call = call_of(detail)
        touched = subject_of(call, self.place)
        if touched is None:
            return "foreign"
        if call.denied:
            return "denied"
        project, version = touched
        reason = unexplained(call, version, self._records(project), self.place)
        if reason is None:
            return "explained"
        unmatched = ChangeUnmatched(
            call=call.name, resource=call.resource, principal=call.principal,
            at=call.at.isoformat(), call_id=call.call_id, reason=reason, source_ip=call.source_ip,
        )  # fmt: skip
        cause = Cause(project, call.call_id, call.call_id, call.principal)
        told = event(unmatched, cause, self.clock, self.ids)
        stable = {"time": call.at.isoformat(), "event_id": call.call_id}
        self.state.commit([], [told.model_copy(update=stable)])
        return "unmatched"

    def _records(self, project: str) -> Iterator[dict[str, Any]]:
        kept = self.ledger.records(project, newest_first=True)
        for record in islice(kept, _MOST_RECORDS):
            yield json.loads(record.text)


def match_messages(messages: Sequence[Mapping[str, Any]], matcher: Matcher) -> list[str]:
    """Judge the calls in a batch of the queue; return the ids of messages that are none.

    They come again until they lie in the dead-letter queue.
    """
    again: list[str] = []
    for message in messages:
        try:
            received = json.loads(str(message["body"]))
            matcher.match(received["detail"])
        except (ValueError, KeyError, TypeError, MalformedEventError):
            again.append(str(message["messageId"]))
    return again


def reconcile(matcher: Matcher, calls: ApiCalls, *, lookback: timedelta) -> dict[str, int]:
    """Judge the calls of a time that CloudTrail has in its history; return counts by outcome.

    Calls so young that Steward's own record may still be under way are left for the next time,
    which overlaps this one.
    """
    until = matcher.clock.now() - timedelta(minutes=2)
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for detail in calls.lookup(CALLS, until - lookback - _OVERLAP, until):
        if detail.get("eventID") in seen:
            continue
        seen.add(str(detail.get("eventID")))
        outcome = matcher.match(detail)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
