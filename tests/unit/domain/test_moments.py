"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.errors import RejectedError
from steward.domain.moments import moment_of

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("now", NOW),
        ("2h ago", NOW - timedelta(hours=2)),
        ("2 hours ago", NOW - timedelta(hours=2)),
        ("90s ago", NOW - timedelta(seconds=90)),
        ("1d12h ago", NOW - timedelta(hours=36)),
        ("1 day 12 hours ago", NOW - timedelta(hours=36)),
        ("2h30m ago", NOW - timedelta(minutes=150)),
        ("1W ago", NOW - timedelta(days=7)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2026-02-28T10:00:00", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("2026-02-28 10:00Z", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("2026-02-28T10:00:00.250+05:30", datetime(2026, 2, 28, 4, 30, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, wanted: datetime) -> None:
    assert moment_of(text, NOW) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2h", "ago", "2x ago", "in 2h", "-2h ago", "2026-13-01", "2026-02-30",
     "999999999w ago", "0001-01-01T00:00:00+23:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(RejectedError, match="is no time; allowed: ISO 8601") as refused:
        moment_of(text, NOW)
    assert refused.value.value == text


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),  # noqa: DTZ001 - zones are drawn
    st.integers(-14 * 60, 14 * 60),
)
def test_any_written_time_means_the_same_moment_in_utc(at: datetime, minutes: int) -> None:
    zoned = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = moment_of(zoned.isoformat(), NOW)
    assert read == zoned
    assert read.tzinfo is UTC


def test_a_present_in_another_zone_counts_back_the_same() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert moment_of("2h ago", east) == NOW - timedelta(hours=2)
