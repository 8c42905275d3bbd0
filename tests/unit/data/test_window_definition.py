"""A window in a dataset is what the group's own transformation makes of the same records."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.feature_transforms import aggregate_sql, contribution_type
from steward.domain.feature_views import FeatureView, Selected, Spine, window_of
from steward.domain.point_in_time import point_in_time_join
from support.feature_scene import labs, project_of

AGGREGATES = [
    {"name": f"a{number}", "function": function, "window_s": window, "of_type": of_type,
     **({} if function == "count" else {"of": "glucose"})}
    for number, (function, window, of_type) in enumerate(
        (f, w, t)
        for f in ("count", "sum", "mean", "min", "max")
        for w in (3, 50)
        for t in ("integer", "float")
    )
]  # fmt: skip
GROUP = project_of(labs(aggregates=AGGREGATES, on_demand=[])).feature_groups[0]
START = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), records=st.integers(0, 60), cutoff=st.integers(0, 14))
def test_datasets_and_transformations_read_windows_alike(
    seed: int, records: int, cutoff: int
) -> None:
    draw = random.Random(seed)

    def moment() -> datetime:
        return START + timedelta(seconds=draw.randrange(13))

    columns = ", ".join(f"of_{a.name} {contribution_type(a)}" for a in GROUP.aggregates)
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.execute(
            "CREATE TABLE records (patient BIGINT, event_time_ TIMESTAMP, known_at_ TIMESTAMP,"
            f" deleted_ BOOLEAN, digest_ VARCHAR, v BIGINT, {columns})"
        )
        for number in range(records):
            deleted = draw.random() < 0.2
            values = [
                None if deleted else 1 if a.function == "count"
                else draw.choice([None, draw.randrange(-50, 50)])
                for a in GROUP.aggregates
            ]  # fmt: skip
            row = [draw.randrange(3), moment(), moment(), deleted, f"{number:04x}", 1, *values]
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO records VALUES ({marks})", row)
        connection.execute("CREATE TABLE spine (row_ BIGINT, patient BIGINT, asked TIMESTAMP)")
        for number in range(8):
            connection.execute(
                "INSERT INTO spine VALUES (?, ?, ?)", [number, draw.randrange(4), moment()]
            )
        known_until = START + timedelta(seconds=cutoff)
        view = FeatureView(
            "labs/v1", "records", (("patient", "patient"),), (Selected("v", "v"),),
            tuple(window_of(a, a.name) for a in GROUP.aggregates),
        )  # fmt: skip
        point_in_time_join(
            connection, Spine("spine", "row_", "asked"), [view], known_until.replace(tzinfo=UTC)
        )
        connection.execute(
            "CREATE TABLE moments AS SELECT row_, asked AS at_,"
            f" least(asked, TIMESTAMP '{known_until}') AS known_by_ FROM spine"
        )
        connection.execute(
            "CREATE TABLE contributions AS SELECT s.row_, r.* FROM spine s JOIN records r"
            " USING (patient)"
        )
        names = ", ".join(a.name for a in GROUP.aggregates)
        query = aggregate_sql(GROUP, "moments", "contributions")
        of_group = ", ".join(f"a.{aggregate.name}" for aggregate in GROUP.aggregates)
        expected = connection.execute(
            f"SELECT a.row_, {of_group} FROM ({query}) a JOIN joined j USING (row_)"
            " WHERE j.v IS NOT NULL ORDER BY a.row_"
        ).fetchall()
        got = connection.execute(
            f"SELECT row_, {names} FROM joined WHERE v IS NOT NULL ORDER BY row_"
        ).fetchall()
    assert got == expected
