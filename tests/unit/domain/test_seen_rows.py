"""Whether a champion trained on rows that judge its successor, by the manifests of both."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.seen_rows import seen_rows

CUTOFF = "2026-05-31T10:00:00.000+00:00"


def by_time(border: str) -> dict[str, Any]:
    at = f"{border}T00:00:00.000+00:00"
    return {"cutoff": CUTOFF, "split": {"by": "time", "horizon_days": 28, "border": at}}


def by_entity(cutoff: str = CUTOFF) -> dict[str, Any]:
    return {"cutoff": cutoff, "split": {"by": "entity", "salt": "steward"}}


@pytest.mark.parametrize(
    ("champion", "candidate"),
    [
        (by_time("2026-04-01"), by_time("2026-05-01")),
        (by_time("2026-05-01"), by_time("2026-05-01")),
        (by_entity(), by_entity()),
        ({"cutoff": CUTOFF, "split": {"salt": "steward"}}, by_entity()),
        (by_entity("2026-04-30T10:00:00.000+00:00"), by_time("2026-05-01")),
        ({}, by_time("2026-05-01")),
    ],
)
def test_rows_that_judge_were_not_seen(champion: dict[str, Any], candidate: dict[str, Any]) -> None:
    assert seen_rows(champion, candidate) is None


@pytest.mark.parametrize(
    ("champion", "candidate", "why"),
    [
        (by_time("2026-05-02"), by_time("2026-05-01"), "reach until 2026-05-02"),
        (by_entity(), by_time("2026-05-01"), "reach until 2026-05-31T10"),
        ({"cutoff": CUTOFF}, by_time("2026-05-01"), "reach until 2026-05-31T10"),
        (by_time("2026-05-01"), by_entity(), "trained on the entities that are held out"),
    ],
)
def test_a_champion_that_may_have_seen_them_is_told_why(
    champion: dict[str, Any], candidate: dict[str, Any], why: str
) -> None:
    assert why in (seen_rows(champion, candidate) or "")
