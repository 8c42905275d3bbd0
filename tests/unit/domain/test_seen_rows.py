"""Which of the rows that judge a champion trained on, by the manifests of both."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.seen_rows import seen_rows
from steward.domain.splits import part_of

CUTOFF = "2026-05-31T10:00:00.000+00:00"
ENTITIES = [f"e{number}" for number in range(200)]
SHARES = {"salt": "steward", "traffic": 0.3, "heldout": 0.3}


def by_time(border: str, **changes: Any) -> dict[str, Any]:
    at = f"{border}T00:00:00.000+00:00"
    split = {"by": "time", "horizon_days": 28, "border": at, "salt": "steward", "traffic": 0.1}
    return {"cutoff": CUTOFF, "split": {**split, **changes}}


def by_entity(cutoff: str = CUTOFF, **changes: Any) -> dict[str, Any]:
    return {"cutoff": cutoff, "split": {"by": "entity", **SHARES, **changes}}


def of_part(split: dict[str, Any], part: str, entities: list[str] = ENTITIES) -> list[str]:
    shares = {name: split[name] for name in SHARES}
    return [one for one in entities if part_of(one, **shares) == part]


@pytest.mark.parametrize(
    ("champion", "candidate"),
    [
        (by_time("2026-04-01"), by_time("2026-05-01")),
        (by_time("2026-05-01"), by_time("2026-05-01")),
        (by_entity(), by_entity()),
        (by_entity("2026-04-30T10:00:00.000+00:00"), by_time("2026-05-01")),
        ({"cutoff": "2026-04-30T10:00:00.000+00:00"}, by_time("2026-05-01")),
        # Brought as an artifact alone: it trained on no dataset of here.
        ({"dataset": "unproven"}, by_entity()),
        ({"dataset": "unproven"}, by_time("2026-05-01")),
        # Fewer are held out, and others who were traffic.
        (by_entity(), by_entity(heldout=0.2)),
        (by_entity(), by_entity(traffic=0.1)),
    ],
)
def test_rows_that_judge_were_not_seen(champion: dict[str, Any], candidate: dict[str, Any]) -> None:
    entities = ENTITIES
    if candidate["split"]["by"] == "entity":
        entities = of_part(candidate["split"], "heldout")
    assert seen_rows(champion, candidate, entities) is None


@pytest.mark.parametrize(
    ("champion", "candidate", "why"),
    [
        (by_time("2026-05-02"), by_time("2026-05-01"), "its own reach until 2026-05-02"),
        (by_entity(), by_time("2026-05-01"), "its own reach until 2026-05-31T10"),
        ({"cutoff": CUTOFF}, by_time("2026-05-01"), "its own reach until 2026-05-31T10"),
        (by_time("2026-05-01"), by_entity(), "given entities to train on that are held out since"),
        (by_entity(salt="a"), by_entity(), "split.salt was a and is steward"),
        (by_entity(heldout=0.2), by_entity(), "split.heldout was 0.2 and is 0.3"),
        (
            by_entity(traffic=0.1), by_entity(),
            "since split.traffic was 0.1 and is 0.3",
        ),
    ],
)  # fmt: skip
def test_a_champion_that_may_have_seen_them_is_told_why(
    champion: dict[str, Any], candidate: dict[str, Any], why: str
) -> None:
    found = seen_rows(champion, candidate, ENTITIES)
    assert found is not None
    assert why in found.reason
    assert f"{found.rows} of 200 rows" in found.reason


UNTOLD_SPLIT = "its manifest does not tell its split"
UNTOLD_REACH = "its manifest does not tell how far its own reach"


@pytest.mark.parametrize(
    ("champion", "candidate", "why"),
    [
        ({}, by_entity(), UNTOLD_SPLIT),
        ({"cutoff": CUTOFF}, by_entity(), UNTOLD_SPLIT),
        ({"cutoff": CUTOFF, "split": {"salt": "steward"}}, by_entity(), UNTOLD_SPLIT),
        ({"split": {**SHARES, "salt": None}}, by_entity(), UNTOLD_SPLIT),
        ({}, by_time("2026-05-01"), UNTOLD_REACH),
        ({"split": {"by": "entity", **SHARES}}, by_time("2026-05-01"), UNTOLD_REACH),
        ({"split": {"by": "time", "salt": "steward"}}, by_time("2026-05-01"), UNTOLD_REACH),
        (
            by_time("2026-05-01"), {"split": {"by": "time"}},
            "the manifest of these rows does not tell their border",
        ),
    ],
)  # fmt: skip
def test_what_is_not_told_may_be_any_row(
    champion: dict[str, Any], candidate: dict[str, Any], why: str
) -> None:
    found = seen_rows(champion, candidate, ENTITIES)
    assert found is not None
    assert (found.rows, found.reason) == (200, f"200 of 200 rows: {why}")


def test_entities_of_another_column_cannot_be_looked_up() -> None:
    def of(column: str) -> dict[str, Any]:
        return {**by_entity(), "declaration": {"data": {"entity_id": column}}}

    found = seen_rows(of("visit"), of("patient"), ENTITIES)
    assert found is not None
    assert found.reason.startswith("200 of 200 rows: its split was of visit and not of patient")
    assert seen_rows(of("patient"), of("patient"), ENTITIES) is None


def test_of_a_border_that_moved_back_the_days_before_the_old_one_count() -> None:
    days = [date(2026, 5, 2) + timedelta(days=n % 20) for n in range(200)]
    candidate = by_time("2026-05-01", traffic=0.0)
    found = seen_rows(by_time("2026-05-11", traffic=0.0), candidate, ENTITIES, days)
    assert found is not None
    assert found.rows == 100  # from the 2nd to the 11th, of twenty days


shares = st.tuples(st.sampled_from(["steward", "other"]), st.integers(0, 4), st.integers(1, 4)).map(
    lambda drawn: {"salt": drawn[0], "traffic": drawn[1] / 10, "heldout": drawn[2] / 10}
)


@given(shares, shares)
def test_exactly_the_rows_whose_entity_trained_count(
    before: dict[str, Any], now: dict[str, Any]
) -> None:
    """Against the split itself: who is held out now and trained then."""
    heldout = of_part(now, "heldout") * 2
    trained = set(of_part(before, "train"))
    found = seen_rows(by_entity(**before), by_entity(**now), heldout)
    assert (found.rows if found else 0) == sum(one in trained for one in heldout)


@given(shares, st.integers(-5, 5))
def test_after_a_split_by_time_all_but_its_traffic_count(now: dict[str, Any], moved: int) -> None:
    heldout = of_part(now, "heldout")
    champion = by_time("2026-05-01", traffic=0.4)
    served = set(of_part({**SHARES, "traffic": 0.4}, "traffic"))
    found = seen_rows(champion, by_entity(**now), heldout)
    assert (found.rows if found else 0) == sum(one not in served for one in heldout)
    later = by_time(str(date(2026, 5, 1) + timedelta(days=moved)))
    assert (seen_rows(champion, later, ENTITIES) is None) is (moved >= 0)
