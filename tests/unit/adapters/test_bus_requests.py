"""PutEvents' two limits and its partial failures."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from steward.adapters.bus import MAX_BYTES, MAX_ENTRIES, EventBridgeBus, chunks, size_of
from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    RejectedError,
    RetryableError,
    ThrottledError,
)
from steward.ports import Entry
from support.builders import event_of

entries = st.builds(
    Entry,
    source=st.just("steward.data"),
    detail_type=st.just("DatasetBuilt"),
    detail=st.integers(1, 70_000).map(lambda n: "x" * n) | st.text(max_size=50),
    time=st.just("2026-01-05T09:00:00+00:00"),
)


@given(st.lists(entries, max_size=40))
def test_chunks_keep_order_and_both_limits(given_entries: list[Entry]) -> None:
    found = list(chunks(given_entries))

    assert [entry for chunk in found for entry in chunk] == given_entries
    for chunk in found:
        assert 0 < len(chunk) <= MAX_ENTRIES
        assert sum(map(size_of, chunk)) <= MAX_BYTES


@given(st.lists(entries, max_size=40))
def test_no_two_neighbouring_chunks_would_have_fit_together(given_entries: list[Entry]) -> None:
    found = list(chunks(given_entries))

    for chunk, following in itertools.pairwise(found):
        size = sum(map(size_of, chunk)) + size_of(following[0])
        assert len(chunk) == MAX_ENTRIES or size > MAX_BYTES


class ScriptedEvents:
    """An EventBridge client whose requests answer what a script says, entry by entry."""

    def __init__(self, script: Callable[[int, str], str | Exception | None]) -> None:
        self.script = script
        self.requests: list[list[str]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.requests.append([entry["Detail"] for entry in Entries])
        results: list[dict[str, str]] = []
        for entry in Entries:
            said = self.script(len(self.requests), entry["Detail"])
            if isinstance(said, Exception):
                raise said
            told = {"EventId": "e"}
            results.append({"ErrorCode": said, "ErrorMessage": "told so"} if said else told)
        return {"Entries": results}


def numbered(count: int) -> list[Entry]:
    return [Entry("steward.data", "DatasetBuilt", str(i), "2026-01-05T09:00:00Z")
            for i in range(count)]  # fmt: skip


def bus_of(
    script: Callable[[int, str], str | Exception | None],
) -> tuple[EventBridgeBus, ScriptedEvents]:
    client = ScriptedEvents(script)
    return EventBridgeBus(client, "steward", sleep=lambda _: None), client


def test_only_the_entries_that_failed_are_put_again() -> None:
    failing = {"3", "7"}
    bus, client = bus_of(
        lambda request, detail: "InternalFailure" if request == 1 and detail in failing else None
    )

    assert bus.put(numbered(9)) == {}

    assert client.requests == [[str(i) for i in range(9)], ["3", "7"]]


def test_what_keeps_failing_is_told_and_nothing_after_it_is_tried() -> None:
    bus, client = bus_of(lambda _, detail: "ThrottlingException" if detail == "4" else None)

    failed = bus.put(numbered(25))

    assert list(failed) == [4, *range(10, 25)]
    assert isinstance(failed[4], ThrottledError)
    assert all(isinstance(error, RetryableError) for error in failed.values())
    assert client.requests[0] == [str(i) for i in range(10)]
    assert all(request == ["4"] for request in client.requests[1:])


def test_what_can_never_be_taken_does_not_hold_up_the_rest() -> None:
    bus, client = bus_of(lambda _, detail: "MalformedDetail" if detail == "4" else None)

    failed = bus.put(numbered(25))

    assert list(failed) == [4]
    assert isinstance(failed[4], RejectedError)
    assert len(client.requests) == 3


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NotAuthorizedForSourceException", AccessDeniedError),
        ("AccessDeniedException", AccessDeniedError),
        ("MalformedDetail", RejectedError),
        ("InternalException", DependencyError),
    ],
)
def test_publishing_raises_what_the_first_failure_means(code: str, kind: type[Exception]) -> None:
    bus, _ = bus_of(lambda *_: code)

    with pytest.raises(kind, match="told so"):
        bus.publish([event_of()])


def test_a_request_that_fails_as_a_whole_fails_its_entries() -> None:
    bus, client = bus_of(
        lambda request, _: EndpointConnectionError(endpoint_url="x") if request == 2 else None
    )

    failed = bus.put(numbered(25))

    assert list(failed) == list(range(10, 25))
    assert len(client.requests) == 2
