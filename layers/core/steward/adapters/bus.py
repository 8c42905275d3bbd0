"""Our event bus on EventBridge, within both of PutEvents' limits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from steward.adapters.errors import DENIED, THROTTLED, translated
from steward.contracts.events import Event
from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    RejectedError,
    RetryableError,
    StewardError,
    ThrottledError,
)
from steward.ports import Entry

MAX_ENTRIES = 10
MAX_BYTES = 256 * 1024
_ATTEMPTS = 4


_PASSING = frozenset({"InternalFailure", "InternalException", "ServiceUnavailable"})


def error_of(code: str, message: str) -> StewardError:
    """Return what the error of one entry means."""
    text = f"{code}: {message}"
    if code in THROTTLED:
        return ThrottledError(text)
    if code in _PASSING:
        return DependencyError(text)
    if code in DENIED or code.startswith("NotAuthorized"):
        return AccessDeniedError(text)
    return RejectedError(text, field="event", value=code)


def size_of(entry: Entry) -> int:
    """Return the bytes of an entry as EventBridge counts them.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
    """
    return 14 + sum(len(part.encode()) for part in (entry.source, entry.detail_type, entry.detail))


def chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield entries in order, as many a request as PutEvents takes."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        more = size_of(entry)
        if chunk and (len(chunk) == MAX_ENTRIES or size + more > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += more
    if chunk:
        yield chunk


class EventBridgeBus:
    """Puts events on one bus.

    Args:
        client: A boto3 EventBridge client.
        bus_name: Name or ARN of the bus.
        sleep: Waits between the attempts of entries that failed.
    """

    def __init__(
        self, client: Any, bus_name: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._bus_name = bus_name
        self._sleep = sleep

    def publish(self, events: Sequence[Event]) -> None:
        """Put events on the bus, chunked by both limits, failed entries retried."""
        entries = [Entry(e.source, e.detail_type, e.detail_json(), e.time) for e in events]
        failed = self.put(entries)
        final = [error for error in failed.values() if not isinstance(error, RetryableError)]
        if final:
            raise final[0]
        if failed:
            index, error = next(iter(failed.items()))
            raise DependencyError(
                f"{len(failed)} of {len(entries)} events were not taken, the first of them "
                f"{entries[index].detail_type}: {error}"
            ) from error

    def put(self, entries: Sequence[Entry]) -> dict[int, StewardError]:
        """Put entries on the bus in order; return the error by index of those not taken."""
        failed: dict[int, StewardError] = {}
        position = 0
        for chunk in chunks(entries):
            pending = dict(enumerate(chunk, position))
            position += len(chunk)
            failed |= self._put_chunk(pending)
            if any(isinstance(error, RetryableError) for error in failed.values()):
                waiting = DependencyError("not tried: an earlier event was not taken")
                return failed | dict.fromkeys(range(position, len(entries)), waiting)
        return failed

    def _put_chunk(self, pending: dict[int, Entry]) -> dict[int, StewardError]:
        final: dict[int, StewardError] = {}
        passing: dict[int, StewardError] = {}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with translated(f"put {len(pending)} events on {self._bus_name}"):
                    answer = self._client.put_events(Entries=[*map(self._wire, pending.values())])
            except StewardError as error:
                return final | dict.fromkeys(pending, error)
            errors = {
                index: error_of(result["ErrorCode"], result.get("ErrorMessage", ""))
                for index, result in zip(pending, answer["Entries"], strict=True)
                if result.get("ErrorCode")
            }
            passing = {i: error for i, error in errors.items() if isinstance(error, RetryableError)}
            final |= {i: error for i, error in errors.items() if i not in passing}
            if not passing or attempt == _ATTEMPTS:
                break
            pending = {index: pending[index] for index in passing}
            self._sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311  # jitter, no secret
        return dict(sorted((final | passing).items()))

    def _wire(self, entry: Entry) -> dict[str, Any]:
        return {
            "EventBusName": self._bus_name,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Detail": entry.detail,
            "Time": entry.time,
        }
