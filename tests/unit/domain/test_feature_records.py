"""The online record: the same whatever the order, older never over newer, windows as sets."""

from __future__ import annotations

import hashlib
import random

import pytest

from steward.domain.errors import FeatureWindowError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import (
    HistoryRow,
    OnlineRow,
    contributions_of,
    entity_text,
    feature_definitions,
    from_record,
    iso,
    merge,
    milliseconds,
    same,
    to_record,
)
from support.feature_scene import labs

DAY = 86_400_000
NOW = 20 * DAY


def group(**changes: object) -> FeatureGroup:
    return FeatureGroup.model_validate(labs(**changes))


def row(event: int, known: int | None = None, *, deleted: bool = False, value: float = 1.0,
        digest: str = "") -> HistoryRow:  # fmt: skip
    known = event if known is None else known
    label = digest or hashlib.sha256(f"{event} {known} {value} {deleted}".encode()).hexdigest()
    values = (value, value / 18, None, 3, "ICU", True, event)
    text = (None,) * 4 if deleted else ("1", f"{value:.9f}", f"{value:.9f}", "3")
    return HistoryRow(event, known, deleted, label, (None,) * 7 if deleted else values, text)


def merged(*rows: HistoryRow, known: OnlineRow | None = None, now: int = NOW) -> OnlineRow:
    found = merge(group(), "7", known, rows, now_ms=now)
    assert found is not None
    return found


def test_an_older_row_never_replaces_a_newer_one_and_a_correction_does() -> None:
    newest = merged(row(19 * DAY, value=5))
    assert merged(row(18 * DAY, value=9), known=newest).values["glucose"] == 5
    assert merged(row(19 * DAY, 19 * DAY - 1, value=9), known=newest).values["glucose"] == 5
    assert merged(row(19 * DAY, 20 * DAY, value=9), known=newest).values["glucose"] == 9
    assert merged(row(20 * DAY, value=9), known=newest).values["glucose"] == 9


def test_a_late_row_moves_the_window_though_it_is_not_the_newest() -> None:
    newest = merged(row(19 * DAY, value=5))
    late = merged(row(18 * DAY, 20 * DAY, value=9), known=newest)
    assert late.values["glucose"] == 5
    assert [given.value for given in late.windows["glucose_sum"]] == ["9.000000000", "5.000000000"]


def test_a_tombstone_takes_the_values_and_what_is_older_stays_away() -> None:
    gone = merged(row(19 * DAY, deleted=True), known=merged(row(18 * DAY)))
    assert (gone.deleted, gone.values, gone.windows) == (True, {}, {})
    later = merged(row(17 * DAY, 20 * DAY), known=gone)
    assert same(gone, later)
    back = merged(row(19 * DAY + 1, value=2), known=gone)
    assert (back.deleted, back.values["glucose"]) == (False, 2)
    assert [given.event_ms for given in back.windows["measurements"]] == [19 * DAY + 1]


def test_what_left_the_longest_window_is_dropped_and_too_much_is_an_error() -> None:
    found = merged(*(row(NOW - day * DAY) for day in range(10)))
    assert len(found.windows["measurements"]) == 7
    assert len(found.windows["glucose_mean"]) == 1
    small = group(
        aggregates=[{"name": "n", "function": "count", "window_s": 999_999, "max_rows": 3}]
    )
    four = [
        HistoryRow(NOW - n, NOW, False, f"{n}", (1.0, 1.0, None, 1, "", True, 1), ("1",))
        for n in range(4)
    ]
    merge(small, "7", None, four[:3], now_ms=NOW)
    with pytest.raises(FeatureWindowError, match="has 4 rows"):
        merge(small, "7", None, four, now_ms=NOW)


def test_order_and_repetition_of_rows_do_not_matter() -> None:
    chance = random.Random(5)
    for _ in range(200):
        rows = [
            row(
                NOW - chance.randrange(9) * DAY,
                NOW - chance.randrange(3),
                deleted=chance.random() < 0.15,
                value=chance.randrange(3),
            )
            for _ in range(chance.randrange(1, 9))
        ]
        whole = merged(*rows)
        again = rows + chance.choices(rows, k=3)
        chance.shuffle(again)
        found: OnlineRow | None = None
        for one in again:
            found = merge(group(), "7", found, [one], now_ms=NOW)
        assert found == whole


def test_a_record_is_read_back_and_each_write_is_later() -> None:
    found = merged(row(18 * DAY, value=0.1), row(19 * DAY, value=1e-7), row(12 * DAY, deleted=True))
    record = to_record(group(), found, now_ms=NOW)
    back = from_record(group(), record)
    assert same(back, found)
    assert back.values["day_of"] == iso(19 * DAY)
    assert to_record(group(), back, now_ms=5)["written_at"] == iso(NOW + 1)
    assert set(record) <= {d["FeatureName"] for d in feature_definitions(group())}
    tombstone = merged(row(18 * DAY, deleted=True))
    assert from_record(group(), to_record(group(), tombstone, now_ms=NOW)).deleted


def test_windows_become_one_relation() -> None:
    found = merged(row(19 * DAY, value=5), row(20 * DAY, value=7))
    assert [(event, values) for event, _, _, values in contributions_of(found)] == [
        (19 * DAY, {"measurements": "1", "glucose_sum": "5.000000000", "most_visits": "3"}),
        (20 * DAY, {"measurements": "1", "glucose_sum": "7.000000000",
                    "glucose_mean": "7.000000000", "most_visits": "3"}),
    ]  # fmt: skip


def test_identifiers_and_times_have_one_text() -> None:
    assert entity_text([7]) == "7"
    assert entity_text(["a", 'b"c', "Süd"]) == '["a","b\\"c","Süd"]'
    assert milliseconds(iso(1_767_225_600_123)) == 1_767_225_600_123
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
