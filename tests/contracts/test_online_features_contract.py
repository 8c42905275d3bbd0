"""The online store's contract, kept by the fake here and by SageMaker's adapter on the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from steward.domain.errors import DependencyError
from steward.ports import OnlineFeatures, RecordKey
from support.fakes import FakeOnlineFeatures

AT, LATER = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"


@dataclass
class OnlineSubject:
    """A port with two groups of the features ``age`` and ``ward``, and ways to fill them."""

    online: OnlineFeatures
    groups: tuple[str, str]
    put: Callable[[RecordKey, Mapping[str, str]], object]

    def record(self, key: RecordKey, at: str = AT, **values: str) -> dict[str, str]:
        """Store a record and return what is to be read of it."""
        whole = {"entity": key.entity, "event_time": at, **values}
        self.put(key, whole)
        return whole


@pytest.fixture
def online() -> OnlineSubject:
    fake = FakeOnlineFeatures("patients", "visits")
    return OnlineSubject(fake, ("patients", "visits"), fake.put)


def test_a_record_is_read_back_as_texts_and_null_is_left_out(online: OnlineSubject) -> None:
    key = RecordKey(online.groups[0], "p/1 ü")
    written = online.record(key, age="41")
    assert online.online.read([key]) == {key: written}


def test_a_composite_identifier_is_a_text_like_any_other(online: OnlineSubject) -> None:
    key = RecordKey(online.groups[0], '["p1","7"]')
    written = online.record(key, age="41")
    assert online.online.read([key])[key] == written


def test_an_unknown_entity_is_left_out(online: OnlineSubject) -> None:
    known = RecordKey(online.groups[0], "known")
    written = online.record(known, ward="A")
    nobody = RecordKey(online.groups[0], "nobody")
    assert online.online.read([nobody, known]) == {known: written}
    assert online.online.read([nobody]) == {}


def test_the_same_entity_of_two_groups_is_two_records(online: OnlineSubject) -> None:
    first, second = (RecordKey(group, "both") for group in online.groups)
    written = {first: online.record(first, age="1"), second: online.record(second, age="2")}
    assert online.online.read([second, first]) == written


def test_a_key_that_is_asked_for_twice_is_read_once(online: OnlineSubject) -> None:
    key = RecordKey(online.groups[0], "twice")
    written = online.record(key, age="3")
    assert online.online.read([key, key]) == {key: written}


def test_more_records_than_a_batch_holds_are_all_read(online: OnlineSubject) -> None:
    keys = [RecordKey(online.groups[n % 2], f"many-{n}") for n in range(230)]
    written = {key: online.record(key, age=str(n)) for n, key in enumerate(keys)}
    assert online.online.read(keys) == written


def test_nothing_is_read_of_nothing(online: OnlineSubject) -> None:
    assert online.online.read([]) == {}


def test_a_group_that_is_not_there_is_no_unknown_entity(online: OnlineSubject) -> None:
    known = RecordKey(online.groups[0], "known")
    online.record(known, ward="A")
    with pytest.raises(DependencyError, match="no-such-group"):
        online.online.read([known, RecordKey("no-such-group", "p1")])
