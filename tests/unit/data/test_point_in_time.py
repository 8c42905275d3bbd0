"""Point-in-time joins: nothing from the future, nothing lost, nothing wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.errors import InvalidProjectError
from steward.domain.feature_views import FeatureView, Selected, Spine, Window
from steward.domain.point_in_time import JoinReport, parquet_view, point_in_time_join
from steward.domain.workspace import Connection
from support.point_in_time_oracle import Answer, Definition, Record, answer

# The engine holds UTC without a zone.
START = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
PLAIN = Definition()
WINDOWS = (("count", 3), ("sum", 3), ("mean", 5), ("min", 2), ("max", 100))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with duckdb.connect(":memory:", config={"threads": 2}) as opened:
        yield opened


def load_view(connection: Connection, name: str, records: list[Record]) -> None:
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} (k VARCHAR, n BIGINT, event_time_ TIMESTAMP,"
        " known_at_ TIMESTAMP, deleted_ BOOLEAN, digest_ VARCHAR, v DOUBLE,"
        " of_amount DECIMAL(38, 9))"
    )
    rows = [
        (*r.key, r.event, r.known, r.deleted, r.digest, r.value, r.amount) for r in records
    ]  # fmt: skip
    if rows:
        connection.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def load_spine(connection: Connection, rows: Sequence[tuple[Any, Any, datetime | None]]) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE spine (row_ BIGINT, k VARCHAR, n BIGINT,"
        " prediction_time TIMESTAMP)"
    )
    numbered = [(number, *row) for number, row in enumerate(rows)]
    if numbered:
        connection.executemany("INSERT INTO spine VALUES (?, ?, ?, ?)", numbered)


def view_of(name: str, definition: Definition = PLAIN) -> FeatureView:
    windows = tuple(
        Window(function, "of_amount", "float", s, f"{name}_{i}")  # type: ignore[arg-type]
        for i, (function, s) in enumerate(definition.windows)
    )
    return FeatureView(
        name, name, (("k", "k"), ("n", "n")), (Selected("v", f"{name}_v"),), windows,
        definition.ttl_s,
    )  # fmt: skip


def join(
    connection: Connection, views: list[FeatureView], cutoff: datetime = FAR, **options: Any
) -> tuple[list[dict[str, Any]], JoinReport]:
    connection.execute("DROP TABLE IF EXISTS joined")
    report = point_in_time_join(connection, Spine("spine"), views, cutoff, **options)
    cursor = connection.execute("SELECT * FROM joined ORDER BY row_")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()], report


def record(
    event: float, known: float, value: float | None, *, deleted: bool = False, digest: str = "00"
) -> Record:
    return Record(("a", 1), at(event), at(known), deleted, digest, value, Decimal(1))


def value_at(
    connection: Connection, records: list[Record], seconds: float, ttl_s: int = 0, **options: Any
) -> Any:
    load_view(connection, "one", records)
    load_spine(connection, [("a", 1, at(seconds))])
    rows, _ = join(connection, [view_of("one", Definition(ttl_s))], **options)
    return rows[0]["one_v"]


# ------------------------------------------------------------------- stated rules, one by one


def test_the_newest_known_event_answers_and_equal_times_count(connection: Connection) -> None:
    records = [record(1, 1, 10.0), record(5, 5, 50.0), record(9, 9, 90.0)]
    assert value_at(connection, records, 8) == 50.0
    assert value_at(connection, records, 9) == 90.0
    assert value_at(connection, records, 0) is None


def test_a_correction_is_not_served_before_it_was_known(connection: Connection) -> None:
    records = [record(1, 1, 10.0), record(1, 6, 11.0)]
    assert value_at(connection, records, 5) == 10.0
    assert value_at(connection, records, 6) == 11.0
    assert value_at(connection, records, 5, event_time_only=True) == 11.0


def test_the_cutoff_bounds_knowledge_too(connection: Connection) -> None:
    records = [record(1, 1, 10.0), record(1, 6, 11.0)]
    assert value_at(connection, records, 8, cutoff=at(5).replace(tzinfo=UTC)) == 10.0
    zoned = at(5).replace(tzinfo=UTC).astimezone()
    assert value_at(connection, records, 8, cutoff=zoned) == 10.0


def test_the_ttl_is_inclusive_and_applies_after_the_selection(connection: Connection) -> None:
    records = [record(1, 1, 10.0), record(5, 5, 50.0)]
    assert value_at(connection, records, 15, ttl_s=10) == 50.0
    assert value_at(connection, records, 15.001, ttl_s=10) is None
    # The older record lies within no TTL either, and a late one is no second choice.
    late = [record(14, 14, 1.0), record(2, 14, 2.0)]
    assert value_at(connection, late, 16, ttl_s=3) == 1.0
    assert value_at(connection, records, 15, ttl_s=0) == 50.0


def test_a_tombstone_wins_and_a_later_record_revives(connection: Connection) -> None:
    records = [record(1, 1, 10.0), record(5, 5, None, deleted=True), record(5, 5, 50.0)]
    assert value_at(connection, records, 6) is None
    assert value_at(connection, records, 4) == 10.0
    assert value_at(connection, [*records, record(5, 7, 51.0)], 7) == 51.0


def test_equal_times_are_decided_by_the_digest(connection: Connection) -> None:
    for records in (
        [record(1, 1, 10.0, digest="aa"), record(1, 1, 20.0, digest="bb")],
        [record(1, 1, 20.0, digest="bb"), record(1, 1, 10.0, digest="aa")],
    ):
        assert value_at(connection, records, 3) == 20.0


def test_duplicates_of_the_spine_are_kept_and_unknown_keys_are_null(
    connection: Connection,
) -> None:
    load_view(connection, "one", [record(1, 1, 10.0)])
    load_spine(
        connection,
        [("a", 1, at(2)), ("a", 1, at(2)), ("b", 1, at(2)), (None, 1, at(2)), ("a", 1, None)],
    )
    rows, report = join(connection, [view_of("one")])
    assert [row["one_v"] for row in rows] == [10.0, 10.0, None, None, None]
    assert (report.views[0].found, report.views[0].missing) == (2, 3)


def test_a_row_without_a_moment_gets_nothing_in_a_long_history_either(
    connection: Connection,
) -> None:
    load_view(connection, "one", [record(n, n, float(n), digest=f"{n:04x}") for n in range(2000)])
    load_spine(connection, [("a", 1, None if n % 10 == 0 else at(n)) for n in range(500)])
    rows, report = join(connection, [view_of("one")])
    assert [row["one_v"] for row in rows if row["row_"] % 10 == 0] == [None] * 50
    assert (report.views[0].found, report.views[0].missing) == (450, 50)


def test_views_with_other_keys_stand_side_by_side(connection: Connection) -> None:
    load_view(connection, "one", [record(1, 1, 10.0)])
    connection.execute("CREATE TABLE site AS SELECT * EXCLUDE (k) FROM one")
    load_spine(connection, [("zzz", 1, at(2)), ("a", 1, at(2))])
    by_number = FeatureView("site", "site", (("n", "n"),), (Selected("v", "site__v"),))
    rows, _ = join(connection, [view_of("one"), by_number])
    assert [(row["one_v"], row["site__v"]) for row in rows] == [(None, 10.0), (10.0, 10.0)]


def test_a_view_without_records_gives_nulls(connection: Connection) -> None:
    load_view(connection, "one", [])
    load_spine(connection, [("a", 1, at(2))])
    rows, report = join(connection, [view_of("one", Definition(0, WINDOWS))])
    assert set(rows[0].values()) == {0, None}
    assert report.rows == 1


def test_an_empty_spine_gives_no_row(connection: Connection) -> None:
    load_view(connection, "one", [record(1, 1, 10.0)])
    load_spine(connection, [])
    assert join(connection, [view_of("one")])[0] == []
    assert join(connection, [])[0] == []


def test_a_key_of_another_type_is_refused_by_name(connection: Connection) -> None:
    load_view(connection, "one", [record(1, 1, 10.0)])
    load_spine(connection, [("a", 1, at(2))])
    crossed = FeatureView("one/v1", "one", (("n", "k"),), (Selected("v", "v"),))
    with pytest.raises(InvalidProjectError) as refused:
        join(connection, [crossed])
    assert "'n' as BIGINT" in refused.value.message
    assert "'k' as VARCHAR" in refused.value.message
    missing = FeatureView("one/v1", "one", (("k", "k"),), (Selected("gone", "v"),))
    with pytest.raises(InvalidProjectError, match="no column 'gone'"):
        join(connection, [missing])


def test_the_report_counts_what_event_time_alone_would_have_leaked(
    connection: Connection,
) -> None:
    load_view(connection, "one", [record(1, 1, 10.0), record(1, 6, 11.0), record(20, 30, 12.0)])
    load_view(connection, "two", [record(2, 9, 1.0)])
    load_spine(connection, [("a", 1, at(s)) for s in (3, 7, 25)])
    views = [view_of("one"), view_of("two")]
    _, report = join(connection, views)
    assert [v.later_knowledge for v in report.views] == [2, 2]
    assert [v.null_by_known_at for v in report.views] == [0, 2]
    assert report.rows_with_later_knowledge == 3
    leaking, same = join(connection, views, event_time_only=True)
    assert [row["one_v"] for row in leaking] == [11.0, 11.0, 12.0]
    assert same.rows_with_later_knowledge == 3


# ------------------------------------------------------------ random histories and an oracle


def _records(keys: list[tuple[str, int]]) -> st.SearchStrategy[list[Record]]:
    step = st.integers(0, 12)
    one = st.builds(
        lambda key, event, known, deleted, digest, value, amount: Record(
            key,
            None if event == 12 else at(event),
            None if known == 12 else at(known),
            deleted, digest, float(value), amount,
        ),
        st.sampled_from(keys), step, step,
        st.sampled_from([False, False, False, True]),
        st.sampled_from(["aa", "bb", "cc", "dd"]),
        st.integers(0, 10**6),
        st.none() | st.decimals(-100, 100, places=3),
    )  # fmt: skip
    # Two records that are equal in all that decides are the same record.
    return st.lists(one, max_size=25, unique_by=lambda r: (r.key, r.event, r.known, r.digest))


KEYS = [("a", 1), ("a", 2), ("b", 1)]
SPINES = st.lists(
    st.tuples(
        st.sampled_from([*KEYS, ("c", 9), (None, 1)]), st.none() | st.integers(0, 13).map(at)
    ).map(lambda pair: (*pair[0], pair[1])),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(
    one=_records(KEYS), two=_records(KEYS), spine=SPINES, cutoff=st.integers(0, 14),
    ttl=st.integers(0, 6), event_time_only=st.booleans(),
)  # fmt: skip
def test_every_engine_row_is_what_the_definition_says(
    one: list[Record],
    two: list[Record],
    spine: list[tuple[Any, Any, datetime | None]],
    cutoff: int,
    ttl: int,
    event_time_only: bool,
) -> None:
    definitions = {"one": Definition(ttl, WINDOWS), "two": Definition(0, WINDOWS[:2])}
    knows = {"one": one, "two": two}
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        for name, records in knows.items():
            load_view(connection, name, records)
        load_spine(connection, spine)
        rows, report = join(
            connection, [view_of(name, d) for name, d in definitions.items()],
            at(cutoff).replace(tzinfo=UTC), event_time_only=event_time_only,
        )  # fmt: skip
    assert [row["row_"] for row in rows] == list(range(len(spine)))
    leaks = set()
    for name, definition in definitions.items():
        states = []
        for row, (k, n, moment) in zip(rows, spine, strict=True):
            case = (knows[name], (k, n), moment, at(cutoff), definition)
            expected = answer(*case, event_time_only=event_time_only)
            got = [row[f"{name}_{i}"] for i in range(len(definition.windows))]
            assert Answer(expected.state, row[f"{name}_v"], got) == expected
            states.append(expected.state)
            if _leaks(*case):
                leaks.add(row["row_"])
        counts = next(v for v in report.views if v.view == name)
        assert [counts.found, counts.missing, counts.deleted, counts.expired] == [
            states.count(s) for s in ("found", "missing", "deleted", "expired")
        ]
    assert report.rows_with_later_knowledge == len(leaks)


def _leaks(
    records: list[Record],
    key: tuple[Any, ...],
    moment: datetime | None,
    cutoff: datetime,
    definition: Definition,
) -> bool:
    """Return whether event time alone gives a value of which a part was known later."""
    blind = answer(records, key, moment, cutoff, definition, event_time_only=True)
    if blind.state != "found" or moment is None:
        return False
    limit = min(moment, cutoff)
    longest = max(seconds for _, seconds in definition.windows)
    usable = [
        r for r in records
        if r.key == key and r.event is not None and r.known is not None and r.event <= moment
    ]  # fmt: skip
    best = max(usable, key=lambda r: (r.event, r.known, r.deleted, r.digest))
    inside = [r for r in usable if r.event > moment - timedelta(seconds=longest)]  # type: ignore[operator]
    assert best.known is not None
    return best.known > limit or any(not r.deleted and r.known > limit for r in inside)  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(records=_records(KEYS[:1]), moment=st.integers(0, 13), cutoff=st.integers(0, 14))
def test_no_value_comes_from_the_future(records: list[Record], moment: int, cutoff: int) -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        load_view(connection, "one", records)
        load_spine(connection, [("a", 1, at(moment))])
        rows, _ = join(connection, [view_of("one")], at(cutoff).replace(tzinfo=UTC))
    if rows[0]["one_v"] is not None:
        sources = [r for r in records if r.value == rows[0]["one_v"] and r.event and r.known]
        limit = min(at(moment), at(cutoff))
        assert any(r.event <= at(moment) and r.known <= limit for r in sources)  # type: ignore[operator]


def test_a_history_in_many_parquet_files_joins_like_a_table(
    connection: Connection, tmp_path: Path
) -> None:
    draw = random.Random(3)
    records = [
        Record(
            (f"k{draw.randrange(40)}", draw.randrange(3)), at(draw.randrange(5000)),
            at(draw.randrange(6000)), draw.random() < 0.05, f"{number:08x}", float(number),
            Decimal(draw.randrange(1000)) / 8,
        )
        for number in range(6000)
    ]  # fmt: skip
    load_view(connection, "one", records)
    spine = [(f"k{draw.randrange(44)}", draw.randrange(3), at(draw.randrange(7000)))
             for _ in range(500)]  # fmt: skip
    load_spine(connection, spine)
    paths = []
    for part in range(5):
        paths.append(str(tmp_path / f"{part}.parquet"))
        connection.execute(
            f"COPY (SELECT * FROM one WHERE hash(digest_) % 5 = {part}) TO '{paths[-1]}'"
            " (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    definition = Definition(900, (("count", 800), ("sum", 800), ("mean", 4000)))
    relation, row_id = parquet_view(paths)
    plain = view_of("one", definition)
    filed = FeatureView(
        plain.name, relation, plain.keys, plain.features, plain.aggregates, plain.ttl_s,
        row_id=row_id,
    )  # fmt: skip
    cutoff = at(5500).replace(tzinfo=UTC)
    of_table, _ = join(connection, [plain], cutoff)
    of_files, _ = join(connection, [filed], cutoff)
    assert of_table == of_files
    for row, (k, n, moment) in zip(of_files, spine, strict=True):
        expected = answer(records, (k, n), moment, at(5500), definition)
        got = [row[f"one_{i}"] for i in range(3)]
        assert Answer(expected.state, row["one_v"], got) == expected
