"""The contract of feature records, kept by the fake, and on the embedded AWS by its adapter."""

from __future__ import annotations

import pytest

from steward.domain.errors import FeatureGroupNotFoundError, RejectedError
from steward.ports import FeatureRecords
from support.fakes import FakeFeatureRecords

GROUP = "steward-local-clinic-labs-v1"


@pytest.fixture
def records() -> FeatureRecords:
    """Records with one group: ``entity``, ``written_at`` and the text ``value``."""
    fake = FakeFeatureRecords()
    fake.create(GROUP)
    return fake


def record(entity: str, second: int, value: str | None = None) -> dict[str, str]:
    given = {"entity": entity, "written_at": f"2026-01-05T09:00:{second:02d}.000Z"}
    return given if value is None else {**given, "value": value}


def test_what_is_written_is_read_and_what_is_not_there_is_left_out(records: FeatureRecords) -> None:
    records.write(GROUP, [record("a", 1, "x"), record("b", 1)])
    assert records.read(GROUP, ["a", "b", "missing"]) == {
        "a": record("a", 1, "x"), "b": record("b", 1),
    }  # fmt: skip
    assert records.read(GROUP, []) == {}


def test_only_a_later_event_time_replaces_a_record(records: FeatureRecords) -> None:
    records.write(GROUP, [record("c", 5, "first")])
    records.write(GROUP, [record("c", 4, "older")])
    records.write(GROUP, [record("c", 5, "equal")])
    assert records.read(GROUP, ["c"])["c"]["value"] == "first"
    records.write(GROUP, [record("c", 6)])
    assert records.read(GROUP, ["c"]) == {"c": record("c", 6)}


def test_more_than_a_batch_is_written_and_read(records: FeatureRecords) -> None:
    names = [f"n{number}" for number in range(230)]
    records.write(GROUP, [record(name, 1, name) for name in names])
    found = records.read(GROUP, names)
    assert {name: known["value"] for name, known in found.items()} == {n: n for n in names}


def test_identifiers_and_values_may_be_any_text(records: FeatureRecords) -> None:
    entity = '["Süd","a/b","x y"]'
    records.write(GROUP, [record(entity, 1, '[[1,2,"0.5"]] \U0001f600')])
    assert records.read(GROUP, [entity])[entity]["value"] == '[[1,2,"0.5"]] \U0001f600'


def test_a_group_that_sagemaker_does_not_have_is_said_so(records: FeatureRecords) -> None:
    with pytest.raises(FeatureGroupNotFoundError):
        records.read("steward-local-clinic-none-v1", ["a"])
    with pytest.raises(FeatureGroupNotFoundError):
        records.write("steward-local-clinic-none-v1", [record("a", 1)])


def test_a_record_without_identifier_or_time_is_refused(records: FeatureRecords) -> None:
    with pytest.raises(RejectedError):
        records.write(GROUP, [{"entity": "a", "value": "x"}])
