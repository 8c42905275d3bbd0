"""Looking for versions."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import RejectedError
from steward.domain.version_filter import Sought, parse_bound, parse_since, parse_state, parse_tag

ITEM: dict[str, Any] = {
    "state": "production",
    "tags": {"cohort": "2026-01"},
    "description": "With labs of January",
    "created_at": "2026-01-05T09:00:00.000+00:00",
    "summary": {
        "metrics": [{"metric": "roc_auc", "value": 0.8}, {"metric": "brier", "value": None}]
    },
}


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (Sought(), True),
        (Sought(states=(parse_state("production"), parse_state("retained"))), True),
        (Sought(states=(parse_state("retained"),)), False),
        (Sought(tags=(parse_tag("cohort"),)), True),
        (Sought(tags=(parse_tag("cohort=2026-01"),)), True),
        (Sought(tags=(parse_tag("cohort=2026"),)), False),
        (Sought(aliases=("champion", "x")), True),
        (Sought(aliases=("x",)), False),
        (Sought(bounds=(parse_bound("roc_auc>=0.8"),)), True),
        (Sought(bounds=(parse_bound("roc_auc > 0.8"),)), False),
        (Sought(bounds=(parse_bound("brier<1"),)), False),
        (Sought(bounds=(parse_bound("recall<1"),)), False),
        (Sought(since=parse_since("2026-01-05")), True),
        (Sought(since=parse_since("2026-01-05T10:30:00+01:00")), False),
        (Sought(text="LABS"), True),
        (Sought(text="cohort=2026"), True),
        (Sought(text="champ"), True),
        (Sought(text="february"), False),
    ],
)
def test_all_that_is_asked_must_hold(sought: Sought, found: bool) -> None:
    assert sought.matches(ITEM, ("champion",)) is found


def test_what_cannot_be_asked_is_refused_with_what_can() -> None:
    for text in ("roc_auc=0.8", ">=0.8", "roc_auc>=x", "roc_auc>=1.2.3", ""):
        with pytest.raises(RejectedError):
            parse_bound(text)
    with pytest.raises(RejectedError, match="no state"):
        parse_state("staging")
    with pytest.raises(RejectedError, match="no time"):
        parse_since("yesterday")
