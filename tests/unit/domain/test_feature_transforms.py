"""One definition for a batch and for one record: equal values, exact sums, and the stated rules."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from steward.domain.datasets import canonical_row
from steward.domain.errors import InvalidProjectError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_transforms import (
    SHARDS,
    aggregate_sql,
    check_expressions,
    left_out_sql,
    on_demand_sql,
    parquet_columns,
    rows_sql,
    shard_sql,
)
from steward.domain.tables import Table
from steward.domain.workspace import Connection
from support.feature_scene import labs, project_of

RECEIVED = datetime(2026, 2, 1, tzinfo=UTC)
START = datetime(2026, 1, 1)  # noqa: DTZ001 - the engine's times are naive and UTC
SOURCE = (
    "patient BIGINT, taken_at TIMESTAMP, reported_at TIMESTAMP, withdrawn BOOLEAN,"
    " glucose DOUBLE, visits BIGINT, ward VARCHAR"
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with duckdb.connect(config={"threads": 4}) as opened:
        opened.execute(f"CREATE TABLE lab ({SOURCE})")
        yield opened


def group_and_table(**changes: Any) -> tuple[FeatureGroup, Table]:
    project = project_of(labs(**changes))
    return project.feature_groups[0], project.data.sources["lab"]


def random_rows(count: int, seed: int = 7) -> list[tuple[Any, ...]]:
    chance = random.Random(seed)
    odd = [None, 0.0, -0.0, -3.5, float("nan"), float("inf"), 1e308, 5e-324, 126.0, 0.1, 1e25]
    words = [None, "", " icu ", "Süd", "'; DROP TABLE lab; --", "\U0001f600", "a\nb"]
    rows = []
    for _ in range(count):
        taken = START + timedelta(seconds=chance.randrange(20 * 86_400), microseconds=123_456)
        rows.append(
            (
                chance.randrange(200),
                taken,
                taken + timedelta(seconds=chance.randrange(86_400)),
                chance.choice([None, False, False, False, True]),
                chance.choice(odd) if chance.random() < 0.3 else chance.uniform(40, 400),
                chance.choice([None, 0, 1, 2**62, -5]),
                chance.choice(words),
            )
        )
    return rows


def fill(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    connection.execute("DELETE FROM lab")
    for first in range(0, len(rows), 500):
        some = rows[first : first + 500]
        values = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
        connection.execute(f"INSERT INTO lab VALUES {values}", [v for row in some for v in row])


def rows_of(connection: Connection, group: FeatureGroup) -> list[tuple[Any, ...]]:
    found = connection.execute(rows_sql(group, "lab", received_at=RECEIVED))
    return list(found.fetchall())


Made = dict[tuple[Any, ...], tuple[Any, ...]]


def by_row(made: list[tuple[Any, ...]]) -> Made:
    """Return made rows by key, event time, known-at and digest."""
    return {(row[0], row[1], row[2], row[4]): row for row in made}


def each_by_itself(connection: Connection, group: FeatureGroup) -> Made:
    """Run the SQL for each row's own relation, which no other row is part of, in one query."""
    one = rows_sql(group, "(SELECT * FROM lab WHERE rowid = n.number)", received_at=RECEIVED)
    found = connection.execute(
        f"SELECT r.* FROM (SELECT rowid AS number FROM lab) AS n, LATERAL ({one}) AS r"
    )
    return by_row(found.fetchall())


def alone(connection: Connection, group: FeatureGroup, every: int) -> Made:
    """Run the SQL once for each n-th row, with nothing else in the engine's vectors."""
    connection.execute(
        f"CREATE TABLE few AS SELECT rowid AS number, * FROM lab WHERE rowid % {every} = 0"
    )
    numbers = connection.execute("SELECT number FROM few").fetchall()
    columns = "(SELECT * EXCLUDE (number) FROM few WHERE number = $1)"
    # Prepared, for planning it a thousand times takes longer than running it.
    connection.execute(f"PREPARE one AS {rows_sql(group, columns, received_at=RECEIVED)}")
    found = [connection.execute(f"EXECUTE one({n})").fetchall() for (n,) in numbers]
    return by_row([row for rows in found for row in rows])


def test_ten_thousand_rows_have_equal_values_in_a_batch_and_one_by_one(
    connection: Connection,
) -> None:
    group, _ = group_and_table()
    given = random_rows(10_000)
    fill(connection, given)
    batch = by_row(rows_of(connection, group))
    connection.execute("SET threads = 1")
    singles = each_by_itself(connection, group)
    assert len(batch) > 9_900
    assert set(batch) <= set(singles)
    # repr tells -0.0 from 0.0 and every bit of a float.
    assert all(repr(singles[key]) == repr(row) for key, row in batch.items())
    really_alone = alone(connection, group, every=10)
    assert len(really_alone) > 990
    assert all(repr(singles[key]) == repr(row) for key, row in really_alone.items())
    best: dict[tuple[Any, ...], tuple[bool, str]] = {}
    for patient, taken, known, digest in singles:
        rank = (singles[(patient, taken, known, digest)][3], digest)
        best[(patient, taken, known)] = max(best.get((patient, taken, known), rank), rank)
    assert {(*key, digest) for key, (_, digest) in best.items()} == set(batch)


def test_the_columns_are_those_of_the_parquet(connection: Connection) -> None:
    group, table = group_and_table()
    fill(connection, random_rows(10))
    made = connection.execute(rows_sql(group, "lab", received_at=RECEIVED))
    assert [(name, str(type_)) for name, type_, *_ in made.description] == parquet_columns(
        group, table
    )


def test_the_digest_is_that_of_the_canonical_row(connection: Connection) -> None:
    group, _ = group_and_table()
    fill(connection, random_rows(50))
    for row in rows_of(connection, group):
        key, event, _, deleted, digest, *values = row
        features, contributions = values[:7], values[7:]

        def plain(value: Any) -> Any:
            if isinstance(value, datetime):
                return int(value.replace(tzinfo=UTC).timestamp() * 1000)
            return value

        parts = [str(key), plain(event), deleted, *map(plain, features)]
        parts += [None if value is None else str(value) for value in contributions]
        parts = [p if p is None or p != "0E-9" else "0.000000000" for p in parts]
        assert hashlib.sha256(canonical_row(parts).encode()).hexdigest() == digest


def at(day: int, hour: int = 0, ms: int = 0) -> datetime:
    return START + timedelta(days=day, hours=hour, milliseconds=ms)


def test_what_fails_or_does_not_fit_is_null_for_its_row_alone(connection: Connection) -> None:
    group, _ = group_and_table(
        aggregates=[],
        on_demand=[],
        features=[
            {"name": "logged", "type": "float", "expression": "ln(glucose)"},
            {"name": "big", "type": "integer", "expression": "visits * 10"},
            {"name": "parsed", "type": "integer", "expression": "CAST(ward AS BIGINT)"},
            {"name": "zero", "type": "float", "expression": "glucose * 0"},
        ],
    )
    fill(
        connection,
        [
            (1, at(1), at(1), False, -1.0, 2**62, "x"),
            (2, at(1), at(1), False, 1.0, 4, "17"),
        ],
    )
    first, second = sorted(rows_of(connection, group))
    assert first[5:] == (None, None, None, 0.0)
    assert repr(first[8]) == "0.0"
    assert second[5:] == (0.0, 40, 17, 0.0)


def test_a_tombstone_carries_no_values_and_wins_a_tie(connection: Connection) -> None:
    group, _ = group_and_table()
    fill(
        connection,
        [(1, at(1), at(2), False, 90.0, 1, "a"), (1, at(1), at(2), True, 91.0, 1, "b")],
    )
    [row] = rows_of(connection, group)
    assert row[3] is True
    assert set(row[5:]) == {None}


def test_rows_said_twice_are_one_and_of_others_the_greatest_digest_is_kept(
    connection: Connection,
) -> None:
    group, _ = group_and_table()
    twice = (1, at(1), at(2), False, 90.0, 1, "a")
    fill(connection, [twice, twice, (1, at(1), at(2), False, 91.0, 1, "a")])
    [row] = rows_of(connection, group)
    fill(connection, [twice])
    [one] = rows_of(connection, group)
    fill(connection, [(1, at(1), at(2), False, 91.0, 1, "a")])
    [other] = rows_of(connection, group)
    assert row == max(one, other, key=lambda found: found[4])


def test_what_is_left_out_is_counted(connection: Connection) -> None:
    group, _ = group_and_table(where="ward = 'icu'")
    future = RECEIVED.replace(tzinfo=None)
    fill(
        connection,
        [
            (1, at(1), at(1), False, 90.0, 1, "icu"),
            (None, at(1), at(1), False, 90.0, 1, "icu"),
            (1, None, at(1), False, 90.0, 1, "icu"),
            (1, at(2), None, False, 90.0, 1, "icu"),
            (1, future + timedelta(seconds=301), future, False, 90.0, 1, "icu"),
            (1, future + timedelta(seconds=299), future, False, 90.0, 1, "icu"),
            (1, at(3), at(3), False, 90.0, 1, "ward"),
            (1, at(3), at(3), False, 90.0, 1, None),
        ],
    )
    assert len(rows_of(connection, group)) == 2
    counted = connection.execute(left_out_sql(group, "lab", received_at=RECEIVED)).fetchone()
    assert counted == (8, 3, 1, 2)


def test_known_at_is_declared_or_delayed_and_never_after_receipt(connection: Connection) -> None:
    row = (1, at(1), at(3), False, 90.0, 1, "a")
    for changes, expected in (
        ({}, at(3)),
        ({"known_at": None}, at(1)),
        ({"known_at": {"backfill_delay_s": 3600}}, at(1, 1)),
        ({"known_at": {"backfill_delay_s": 90 * 86_400}}, RECEIVED.replace(tzinfo=None)),
    ):
        group, _ = group_and_table(**changes)
        fill(connection, [row])
        [made] = rows_of(connection, group)
        assert made[2] == expected


def windows(
    connection: Connection, group: FeatureGroup, moments: list[tuple[int, datetime, datetime]]
) -> dict[int, tuple[Any, ...]]:
    connection.execute(
        f"CREATE OR REPLACE TABLE made AS {rows_sql(group, 'lab', received_at=RECEIVED)}"
    )
    connection.execute(
        "CREATE OR REPLACE TABLE moments (row_ BIGINT, at_ TIMESTAMP, known_by_ TIMESTAMP)"
    )
    connection.executemany("INSERT INTO moments VALUES (?, ?, ?)", moments)
    contributions = "(SELECT m.row_, r.* FROM moments AS m CROSS JOIN made AS r)"
    found = connection.execute(aggregate_sql(group, "moments", contributions)).fetchall()
    return {row: tuple(values) for row, *values in found}


def test_a_window_is_open_at_its_start_and_closed_at_its_end(connection: Connection) -> None:
    group, _ = group_and_table()
    fill(
        connection,
        [
            (1, at(1), at(1), False, 10.0, 1, "a"),
            (1, at(1, ms=1), at(1, ms=1), False, 20.0, 2, "a"),
            (1, at(8), at(8), False, 40.0, 3, "a"),
            (1, at(8, ms=1), at(8, ms=1), False, 80.0, 4, "a"),
        ],
    )
    found = windows(connection, group, [(5, at(8), at(8)), (6, at(0), at(0)), (7, at(9), at(9))])
    assert found == {
        5: (2, 60.0, 40.0, 3),
        6: (0, None, None, None),
        7: (2, 120.0, 80.0, 4),
    }


def test_the_latest_known_row_of_an_event_time_counts_once_it_is_known(
    connection: Connection,
) -> None:
    group, _ = group_and_table()
    fill(
        connection,
        [
            (1, at(1), at(1), False, 10.0, 1, "a"),
            (1, at(1), at(3), False, 30.0, 5, "corrected"),
            (1, at(2), at(2), False, 1.0, 1, "a"),
        ],
    )
    found = windows(connection, group, [(1, at(2), at(2)), (2, at(4), at(4)), (3, at(4), at(2, 1))])
    assert found == {1: (2, 11.0, 1.0, 1), 2: (2, 31.0, None, 5), 3: (2, 11.0, None, 1)}


def test_a_tombstone_ends_what_lies_before_it(connection: Connection) -> None:
    group, _ = group_and_table()
    fill(
        connection,
        [
            (1, at(1), at(1), False, 10.0, 1, "a"),
            (1, at(2), at(2), True, None, None, None),
            (1, at(3), at(3), False, 5.0, 2, "a"),
        ],
    )
    found = windows(connection, group, [(1, at(1, 1), at(1, 1)), (2, at(4), at(4))])
    assert found == {1: (1, 10.0, 10.0, 1), 2: (1, 5.0, None, 2)}


def test_sums_are_exact_whatever_the_order_and_the_threads(connection: Connection) -> None:
    group, _ = group_and_table()
    chance = random.Random(3)
    rows = [
        (1, at(1, ms=n), at(1, ms=n), False, chance.choice([0.1, 0.2, 1e15, -1e15]), 1, "a")
        for n in range(400)
    ]
    fill(connection, rows)
    first = windows(connection, group, [(1, at(2), at(2))])
    for _ in range(5):
        chance.shuffle(rows)
        fill(connection, rows)
        assert windows(connection, group, [(1, at(2), at(2))]) == first
    assert len(first) == 1


def test_on_demand_features_read_features_and_the_request(connection: Connection) -> None:
    group, _ = group_and_table()
    relation = (
        "(SELECT * FROM (VALUES (1, 90.0::DOUBLE, 45::BIGINT), (2, 90.0::DOUBLE, 0::BIGINT),"
        " (3, NULL, 4)) AS v(row_, glucose, age))"
    )
    found = connection.execute(on_demand_sql(group, relation)).fetchall()
    assert sorted(found) == [(1, 2.0), (2, None), (3, None)]


def test_shards_are_the_same_for_good_and_all_in_use(connection: Connection) -> None:
    group, _ = group_and_table()
    found = connection.execute(
        f"SELECT patient, {shard_sql(group)} FROM range(2000) AS t(patient)"
    ).fetchall()
    shards = dict(found)
    assert set(shards.values()) == set(range(SHARDS))
    for patient in (0, 7, 1999):
        text = f"{len(str(patient))}:{patient}"
        assert shards[patient] == int(hashlib.sha256(text.encode()).hexdigest()[:4], 16) % SHARDS


def test_an_expression_that_does_not_fit_its_columns_is_refused_with_its_path(
    connection: Connection,
) -> None:
    check_expressions(connection, project_of())
    for changes, path in (
        ({"where": "upper(glucose)"}, "where"),
        ({"features": [{"name": "f", "type": "float", "expression": "year(ward)"}],
          "on_demand": []}, "features[0].expression"),
        ({"on_demand": [{"name": "o", "type": "float", "expression": "ln(ward + age)",
                         "inputs": ["age"]}]}, "on_demand[0].expression"),
    ):  # fmt: skip
        with pytest.raises(InvalidProjectError) as caught:
            check_expressions(connection, project_of(labs(**changes)))
        assert caught.value.field == f"feature_groups[0].{path}"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"where": "read_text('/etc/passwd') = 'x'"}, "where"),
        ({"where": "other.x = 1"}, "where"),
        ({"features": [{"name": "a", "type": "float", "expression": "(SELECT max(x) FROM y)"}],
          "on_demand": []}, "features[0].expression"),
        ({"features": [{"name": "nothing", "type": "float"}], "on_demand": []},
         "features[0].expression"),
        ({"aggregates": [{"name": "n", "function": "sum", "of": "sum(glucose)", "window_s": 9}]},
         "aggregates[0].of"),
        ({"on_demand": [{"name": "o", "type": "float", "expression": "ward || returned",
                         "inputs": ["returned"]}]}, "on_demand[0].inputs[0]"),
        ({"on_demand": [{"name": "o", "type": "float", "expression": "age"}]},
         "on_demand[0].expression"),
    ],
)  # fmt: skip
def test_an_expression_that_is_none_is_refused_when_the_project_is_read(
    changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidProjectError) as caught:
        project_of(labs(**changes))
    assert caught.value.field == f"feature_groups[0].{path}"


@pytest.mark.parametrize("name", ["entity", "Event_Time", "_x", "x_", "PATIENT", "of_measurements"])
def test_a_feature_may_not_be_named_like_what_a_record_holds_besides(name: str) -> None:
    feature = {"name": name, "type": "float", "expression": "glucose"}
    with pytest.raises(InvalidProjectError, match="named"):
        project_of(labs(features=[feature], on_demand=[]))
