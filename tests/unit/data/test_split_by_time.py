"""A split by time: the latest rows judge, and nothing that trains was known after they begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steward.domain.datasets import EXAMPLES, MERGED, border_of, choose_examples
from steward.domain.errors import InvalidProjectError
from steward.domain.project import Project, parse_project
from steward.domain.splits import part_of

START = datetime(2026, 1, 1)  # noqa: DTZ001 - as DuckDB gives it back
HORIZON, TRAFFIC = 5, 0.3
DATA: dict[str, Any] = {
    "entity_id": "shop", "keep": "all", "label": {"name": "sold", "task": "regression"},
    "prediction_time": "asked_at", "label_known_at": "known_at",
    "columns": [
        {"name": "shop", "type": "string"}, {"name": "weekday", "type": "integer"},
        {"name": "asked_at", "type": "timestamp", "nullable": True},
        {"name": "known_at", "type": "timestamp", "nullable": True},
        {"name": "sold", "type": "float", "nullable": True},
    ],
}  # fmt: skip
Row = tuple[str, float | None, float | None, float | None]
"""Series, days until it was asked for, further days until it was known, and the label."""


def project(data: dict[str, Any] | None = None, **split: Any) -> Project:
    declared = {"by": "time", "horizon_days": HORIZON, "traffic": TRAFFIC, **split}
    return parse_project(
        {"project": "sales", "owner": "ward", "data": {**DATA, **(data or {})}, "split": declared}
    )


def days(count: float) -> timedelta:
    return timedelta(hours=round(count * 24))


def quarters(most: int) -> st.SearchStrategy[float]:
    """Return days in steps of six hours, so that times often fall together."""
    return st.integers(0, most * 4).map(lambda quarter: quarter / 4)


rows = st.lists(
    st.tuples(
        st.sampled_from([f"shop-{n}" for n in range(6)]),
        st.one_of(quarters(14), quarters(14), quarters(14), st.none()),
        st.one_of(quarters(7), quarters(7), quarters(7), st.none()),
        st.one_of(st.just(2.5), st.just(2.5), st.none()),
    ),
    min_size=6,
    max_size=30,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def split_of(
    engine: duckdb.DuckDBPyConnection, given: Sequence[Row], cutoff: float = 1000
) -> tuple[list[dict[str, Any]], dict[str, int], str | None]:
    """Return the chosen rows, their counts and the border."""
    for table in (MERGED, EXAMPLES):
        engine.execute(f"DROP TABLE IF EXISTS {table}")
    engine.execute(
        f"CREATE TABLE {MERGED} (order_ INT, source_row_ INT, shop VARCHAR, weekday BIGINT,"
        " asked_at TIMESTAMP, known_at TIMESTAMP, sold DOUBLE)"
    )
    for number, (shop, asked, later, sold) in enumerate(given):
        asked_at = None if asked is None else START + days(asked)
        known_at = None if later is None else (asked_at or START) + days(later)
        engine.execute(
            f"INSERT INTO {MERGED} VALUES (0, ?, ?, 1, ?, ?, ?)",
            [number, shop, asked_at, known_at, sold],
        )
    declared = project()
    counts = choose_examples(
        engine, declared.data, declared.split, START.replace(tzinfo=UTC) + days(cutoff)
    )
    found = engine.execute(
        f"SELECT part_, shop, asked_at, known_at FROM {EXAMPLES} ORDER BY row_"
    ).fetchall()
    chosen = [dict(zip(("part", "shop", "asked", "known"), row, strict=True)) for row in found]
    return chosen, counts, border_of(engine, declared.data, declared.split)


def of_part(chosen: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [row for row in chosen if row["part"] == part]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_rows=rows, cutoff=st.integers(10, 25))
def test_nothing_that_trains_was_asked_for_or_known_after_what_judges(
    engine: duckdb.DuckDBPyConnection, given_rows: list[Row], cutoff: int
) -> None:
    chosen, counts, border = split_of(engine, given_rows, cutoff)
    train, heldout = of_part(chosen, "train"), of_part(chosen, "heldout")
    for row in chosen:
        position = part_of(row["shop"], salt="steward", traffic=TRAFFIC, heldout=0.0)
        assert (position == "traffic") == (row["part"] == "traffic")
    if heldout:
        first = min(row["asked"] for row in heldout)
        newest = max(row["asked"] for row in heldout)
        assert (
            border
            == (newest - timedelta(days=HORIZON)).isoformat(timespec="milliseconds") + "+00:00"
        )
        assert all(row["asked"] < first for row in train)
        assert all(row["known"] <= newest - timedelta(days=HORIZON) for row in train)
        assert all(row["known"] < first for row in train)
        assert newest - first < timedelta(days=HORIZON)
    else:
        assert train == []  # the newest row always judges
    known = [
        row for row in given_rows
        if row[2] is not None and days(row[1] or 0) + days(row[2]) <= days(cutoff)
    ]  # fmt: skip
    parts = ("train", "heldout", "traffic", "across_the_border", "without_label")
    assert sum(counts[name] for name in parts) == len(known)
    assert counts["rows"] == len(given_rows)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(earlier=rows, later=rows)
def test_what_has_trained_never_judges_after_more_has_come(
    engine: duckdb.DuckDBPyConnection, earlier: list[Row], later: list[Row]
) -> None:
    before, _, first = split_of(engine, earlier)
    after, _, second = split_of(engine, [*earlier, *later])
    if first is None:
        return
    assert second is not None
    assert second >= first
    trained = {(row["shop"], row["asked"]) for row in of_part(before, "train")}
    assert not trained & {(row["shop"], row["asked"]) for row in of_part(after, "heldout")}


def test_every_series_is_on_both_sides_of_the_border(engine: duckdb.DuckDBPyConnection) -> None:
    given_rows: list[Row] = [
        (f"shop-{shop}", float(day), 1.0, 2.0) for shop in range(6) for day in range(20)
    ]
    chosen, counts, border = split_of(engine, given_rows)
    train, heldout = ({row["shop"] for row in of_part(chosen, p)} for p in ("train", "heldout"))
    assert train == heldout
    assert border == "2026-01-15T00:00:00.000+00:00"  # the newest day is the 20th
    # Of the border's day, which is known a day later, no row trains.
    assert counts["across_the_border"] == len(train)
    assert max(row["asked"] for row in of_part(chosen, "train")) == START + days(13)


@pytest.mark.parametrize("role", ["prediction_time", "label_known_at"])
def test_a_split_by_time_needs_both_times(role: str) -> None:
    with pytest.raises(InvalidProjectError, match=rf"time needs data\.{role}"):
        project({role: None})


@pytest.mark.parametrize("split", [{"by": "time", "horizon_days": None}, {"by": "entity"}])
def test_a_horizon_goes_with_a_split_by_time(split: dict[str, Any]) -> None:
    with pytest.raises(InvalidProjectError, match="horizon_days"):
        project(None, **split)
