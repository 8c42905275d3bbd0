"""The join of a dataset outside this process: what Athena is given, and what it gave."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from steward.domain.athena_sql import join_query, table_ddl, unload
from steward.domain.dataset_features import JOINED, PinnedView, described_view
from steward.domain.datasets import EXAMPLES
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.feature_transforms import TYPES, parquet_columns
from steward.domain.feature_views import Spine
from steward.domain.point_in_time import JoinReport, ViewReport
from steward.domain.project import Project
from steward.domain.workspace import Connection, identifier, literal

SPINE = "spine"
ATTEMPT = "{attempt}"
"""In the place where a query's result goes: an unload needs a prefix without objects."""

_MOMENT = "prediction_time_"


@dataclass(frozen=True)
class Statements:
    """A join as Athena runs it: tables to make, the query that writes it, tables to drop.

    Attributes:
        tables: Names of the spine's and of each view's table, in this order.
    """

    tables: tuple[str, ...]
    create: tuple[str, ...]
    drop: tuple[str, ...]
    unload: str


def places(base: str, views: int) -> list[str]:
    """Return the prefixes of the tables' files below a join's own: the spine's, each view's."""
    return [f"{base}{SPINE}/", *(f"{base}view-{number}/" for number in range(views))]


def result_place(base: str) -> str:
    """Return the prefix of what the query writes; it holds :data:`ATTEMPT`."""
    return f"{base}joined-{ATTEMPT}/"


def write_spine(
    connection: Connection, project: Project, views: Sequence[PinnedView], path: Path
) -> None:
    """Write row, moment and keys of :data:`~.datasets.EXAMPLES` as Parquet."""
    assert project.data.prediction_time is not None
    keys = "".join(
        f", {identifier(column)} AS {identifier(name)}"
        for column, name in _spine_keys(views).items()
    )
    connection.execute(
        f"COPY (SELECT row_::BIGINT AS row_,"
        f" {identifier(project.data.prediction_time)}::TIMESTAMP AS {_MOMENT}{keys}"
        f" FROM {EXAMPLES} ORDER BY row_) TO {literal(str(path))}"
        " (FORMAT parquet, COMPRESSION zstd)"
    )


def planned_statements(
    project: Project, views: Sequence[PinnedView], cutoff: datetime, name: str, base: str
) -> Statements:
    """Return what Athena has to run, in the database that the caller chooses.

    Args:
        name: Of the join, in lower-case letters, digits and underscores; no other has it.
        base: ``s3://bucket/prefix/`` that is the join's own, see :func:`places`.
    """
    names = _spine_keys(views)
    tables = [f"{name}_{SPINE}", *(f"{name}_view_{number}" for number in range(len(views)))]
    types = {column.name: TYPES[column.type] for column in project.data.columns}
    keys = [(alias, types[column]) for column, alias in names.items()]
    columns = [[("row_", "BIGINT"), (_MOMENT, "TIMESTAMP"), *keys]]
    described = []
    for number, view in enumerate(views):
        columns.append(parquet_columns(view.group, view.table))
        found = described_view(view, number, tables[1 + number])
        aliased = tuple((own, names[column]) for own, column in found.keys)
        described.append(replace(found, keys=aliased))
    query = join_query(Spine(tables[0], "row_", _MOMENT), described, cutoff, with_report=True)
    located = zip(tables, columns, places(base, len(views)), strict=True)
    return Statements(
        tables=tuple(tables),
        create=tuple(table_ddl(table, listed, place) for table, listed, place in located),
        drop=tuple(f"DROP TABLE IF EXISTS {table}" for table in tables),
        unload=unload(query, result_place(base)),
    )


def load_joined(
    connection: Connection, views: Sequence[PinnedView], paths: Sequence[str]
) -> JoinReport:
    """Create :data:`~.dataset_features.JOINED` of what Athena wrote, and the join's report.

    Raises:
        EvidenceIncompleteError: The files do not hold exactly one row of each example.
    """
    types = _joined_types(views)
    told = [f"state_{n}, exists_{n}, leaks_{n}" for n in range(len(views))]
    if paths:
        columns = ", ".join(f"{identifier(n)}::{t} AS {identifier(n)}" for n, t in types.items())
        listed = ", ".join(literal(path) for path in paths)
        source = f"SELECT {', '.join([columns, *told])} FROM read_parquet([{listed}])"
    else:
        nothing = ", ".join(f"NULL::{t} AS {identifier(n)}" for n, t in types.items())
        texts = "".join(
            f", '' AS state_{n}, false AS exists_{n}, false AS leaks_{n}" for n in range(len(views))
        )
        source = f"SELECT {nothing}{texts} WHERE false"
    connection.execute(f"CREATE TEMP TABLE {JOINED} AS {source}")
    rows, distinct, examples = _row(
        connection,
        f"SELECT count(*), count(DISTINCT row_) FILTER (WHERE row_ IN (SELECT row_ FROM"
        f" {EXAMPLES})), (SELECT count(*) FROM {EXAMPLES}) FROM {JOINED}",
    )
    if not rows == distinct == examples:
        raise EvidenceIncompleteError(
            f"the join has {rows} rows, {distinct} of them of different examples",
            field="joined_uri", value=rows, allowed=f"one row of each of {examples} examples",
        )  # fmt: skip
    return _report(connection, views, rows)


def _report(connection: Connection, views: Sequence[PinnedView], rows: int) -> JoinReport:
    found = []
    for n, view in enumerate(views):
        counts = ", ".join(
            f"count(*) FILTER (WHERE {condition})"
            for condition in (
                f"state_{n} = 'found'", f"state_{n} = 'missing'", f"state_{n} = 'deleted'",
                f"state_{n} = 'expired'", f"leaks_{n}", f"exists_{n} AND state_{n} = 'missing'",
            )
        )  # fmt: skip
        found.append(ViewReport(view.label, *_row(connection, f"SELECT {counts} FROM {JOINED}")))
    leaking = " OR ".join(f"leaks_{n}" for n in range(len(views)))
    [leaked] = _row(connection, f"SELECT count(*) FILTER (WHERE {leaking}) FROM {JOINED}")
    return JoinReport(rows, tuple(found), leaked)


def _spine_keys(views: Sequence[PinnedView]) -> dict[str, str]:
    """Return the spine's key columns with the names that they have for Athena."""
    used = dict.fromkeys(
        column for view in views for _, column in described_view(view, 0, SPINE).keys
    )
    return {column: f"key_{number}" for number, column in enumerate(used)}


def _joined_types(views: Sequence[PinnedView]) -> dict[str, str]:
    types = {"row_": "BIGINT"}
    for number, view in enumerate(views):
        stored = dict(parquet_columns(view.group, view.table))
        described = described_view(view, number, SPINE)
        types |= {feature.name: stored[feature.column] for feature in described.features}
        for window in described.aggregates:
            whole = window.function == "count" or (
                window.function != "mean" and window.of_type == "integer"
            )
            types[window.name] = "BIGINT" if whole else "DOUBLE"
    return types


def _row(connection: Connection, query: str) -> list[int]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return [int(value) for value in row]
