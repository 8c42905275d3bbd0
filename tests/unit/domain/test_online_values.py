"""What an online record says: typed values, age to the TTL's edge, entities, given values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.online_values import (
    Reading,
    entity_of,
    given_value,
    iso,
    moment,
    reading_of,
    shown,
)
from support.online_scene import VITALS, vitals_record

AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
TEXTS = vitals_record("p1", "2026-01-05T08:00:00.000Z")


@pytest.fixture
def group() -> FeatureGroup:
    return FeatureGroup.model_validate(VITALS)


def test_stored_values_have_their_types_and_what_is_left_out_is_null(group: FeatureGroup) -> None:
    stored = reading_of(group, TEXTS, AT).stored(group)
    assert stored == {
        "pulse": 71, "glucose": 5.5, "posture": None, "fasting": True, "seen_at": AT,
        "measured_1d": None, "glucose_1d": None, "pulse_max_1d": None,
    }  # fmt: skip
    assert stored["fasting"] is True


@pytest.mark.parametrize(
    "broken",
    [
        {"pulse": "fast"}, {"event_time": "yesterday"}, {"glucose_1d": "{"}, {"seen_at": "noon"},
        {"glucose_1d": "[[1]]"},
    ],
)  # fmt: skip
def test_a_record_of_another_shape_is_an_error_and_no_null(
    group: FeatureGroup, broken: dict[str, str]
) -> None:
    with pytest.raises(EvidenceIncompleteError, match="vitals"):
        reading_of(group, {**TEXTS, **broken}, AT)


def test_a_record_without_times_is_none_of_ours(group: FeatureGroup) -> None:
    with pytest.raises(EvidenceIncompleteError, match="known_at"):
        reading_of(group, {name: text for name, text in TEXTS.items() if name != "known_at"}, AT)


@pytest.mark.parametrize(("late_ms", "expired"), [(0, False), (1, True), (-1, False)])
def test_the_ttl_is_inclusive(group: FeatureGroup, late_ms: int, expired: bool) -> None:
    now = AT + timedelta(seconds=group.ttl_s, milliseconds=late_ms)
    reading = reading_of(group, TEXTS, now)
    assert (reading.expired, reading.counts) == (expired, not expired)


def test_a_ttl_of_zero_never_ends(group: FeatureGroup) -> None:
    endless = group.model_copy(update={"ttl_s": 0})
    assert reading_of(endless, TEXTS, AT + timedelta(days=10_000)).counts


def test_nothing_of_what_does_not_count_is_shown(group: FeatureGroup) -> None:
    nothing = dict.fromkeys(
        [*(f.name for f in group.features), *(a.name for a in group.aggregates)]
    )
    row = reading_of(group, TEXTS, AT).row
    assert Reading(row, expired=True, aggregates={"measured_1d": 4}).stored(group) == nothing
    assert reading_of(group, None, AT).stored(group) == nothing
    assert reading_of(group, {**TEXTS, "deleted": "1"}, AT).stored(group) == nothing
    counted = Reading(row, aggregates={"measured_1d": 4}).stored(group)
    assert (counted["pulse"], counted["measured_1d"], counted["pulse_max_1d"]) == (71, 4, None)


@pytest.mark.parametrize(
    ("keys", "columns", "given", "entity"),
    [
        (["patient_id"], ["patient_id"], {"patient_id": "p/1 ü"}, "p/1 ü"),
        (["ward"], ["ward_no"], {"ward_no": 7}, "7"),
        (["a", "b"], ["x", "y"], {"x": "ü", "y": 7}, '["ü","7"]'),
        (["a", "b"], ["x", "y"], {"x": "p1", "y": None}, None),
        (["a"], ["a"], {"a": None}, None),
    ],
)
def test_an_entity_is_its_keys_text(
    keys: list[str], columns: list[str], given: dict[str, Any], entity: str | None
) -> None:
    assert entity_of(keys, given, columns) == entity


@pytest.mark.parametrize("given", [{}, {"x": 1.5}, {"x": True}, {"x": ""}, {"x": ["p1"]}])
def test_a_key_that_is_missing_or_no_key_names_its_column(given: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as refused:
        entity_of(["patient"], given, ["x"])
    assert refused.value.field == "x"


@pytest.mark.parametrize(
    ("value", "type_", "typed"),
    [
        (7, "integer", 7), (7, "float", 7.0), (7.5, "float", 7.5), ("x", "string", "x"),
        (False, "boolean", False), (None, "float", None),
        ("2026-01-05T09:00:00.1239+01:00", "timestamp", AT.replace(microsecond=123_000)),
        ("2026-01-05 08:00:00", "timestamp", AT), (AT, "timestamp", AT),
    ],
)  # fmt: skip
def test_a_given_value_is_taken_as_its_declared_type(value: Any, type_: Any, typed: Any) -> None:
    found = given_value("x", value, type_)
    assert (found, type(found)) == (typed, type(typed))


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("7", "integer"), (7.0, "integer"), (True, "integer"), (2**63, "integer"),
        ("7.5", "float"), (True, "float"), (float("inf"), "float"), (7, "string"),
        (1, "boolean"), ("soon", "timestamp"), (5, "timestamp"), ([1], "float"),
    ],
)  # fmt: skip
def test_a_given_value_of_another_type_names_its_column(value: Any, type_: Any) -> None:
    with pytest.raises(RejectedError) as refused:
        given_value("pulse", value, type_)
    assert refused.value.field == "pulse"
    assert refused.value.allowed


def test_no_negative_zero_comes_in() -> None:
    assert str(given_value("x", -0.0, "float")) == "0.0"


def test_times_are_shown_in_one_form() -> None:
    assert iso(moment("2026-01-05T08:00:00+00:00")) == "2026-01-05T08:00:00.000Z"
    assert shown(AT) == "2026-01-05T08:00:00.000Z"
    assert shown(None) is None
