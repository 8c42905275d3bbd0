"""Profiles of a table: what its columns hold, as counts that merge.

Numbers are counted on bins, the values of other columns by level. Profiles on the same bins merge
by adding integers, exactly. Bins and levels are those of a reference where one is given; else the
fiftieths of a sample of the rows, and the most frequent levels. Means and deviations are to
1e-12: their sums are compensated, but the engine's threads add in no fixed order.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.tables import Column
from steward.domain.workspace import Connection, identifier, literal

BINS = 50
LEVELS = 100
FEW = 20
"""Integers with at most so many values are shown by value."""
_SAMPLE = 100_000
EXACT = 200_000
"""Rows up to which different values are counted, not estimated."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ColumnProfile(_Frozen):
    """What one column holds.

    Attributes:
        count: Rows with a value.
        distinct: Different values: exact up to 200,000 rows, beyond them HyperLogLog's estimate,
            which was off by up to 30 % in trials.
        min: Smallest value as text; timestamps as ISO 8601.
        bin_edges: Upper edges, inclusive, ascending; one more bin is above the last.
        bins: Rows in each bin; empty where the column is no number.
        levels: Rows by value, most frequent first; empty where there are too many.
        other: Rows with another value than those levels.
    """

    name: str
    type: str
    count: int
    nulls: int
    distinct: int
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    deviation: float | None = None
    bin_edges: list[float] = Field(default_factory=list)
    bins: list[int] = Field(default_factory=list)
    levels: dict[str, int] = Field(default_factory=dict)
    other: int = 0


class TableProfile(_Frozen):
    """What the rows of one or more files hold."""

    rows: int
    columns: list[ColumnProfile]

    def column(self, name: str) -> ColumnProfile | None:
        """Return a column's profile by its name."""
        return next((column for column in self.columns if column.name == name), None)


def profile(
    connection: Connection,
    relation: str,
    columns: list[Column],
    reference: TableProfile | None = None,
) -> TableProfile:
    """Count a relation of typed columns: two passes, and one for each column with few levels.

    Args:
        connection: Holds the relation, with ``row_``.
        relation: Its name.
        columns: Its columns.
        reference: Gives bins and levels, where it has the column with the same type.
    """
    counted = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    rows = int(counted[0]) if counted else 0
    pieces = [piece for column in columns for piece in _moments(column, exact=rows <= EXACT)]
    found = connection.execute(f"SELECT {', '.join(pieces)} FROM {relation}").fetchone()
    assert found is not None
    width = len(pieces) // len(columns)
    facts = {
        column.name: found[place * width : (place + 1) * width]
        for place, column in enumerate(columns)
    }
    known = {
        column.name: before
        for column in columns
        if reference is not None
        and (before := reference.column(column.name)) is not None
        and before.type == column.type
    }
    edges = _edges(connection, relation, columns, rows, known)
    bins = _bins(connection, relation, edges)
    profiles = []
    for column in columns:
        count, distinct, low, high, mean, deviation = facts[column.name]
        levels, other = _levels(connection, relation, column, int(distinct), known, int(count))
        profiles.append(
            ColumnProfile(
                name=column.name, type=column.type, count=count, nulls=rows - count,
                distinct=min(int(distinct), int(count)), min=low, max=high,
                mean=_rounded(mean), deviation=_rounded(deviation),
                bin_edges=edges.get(column.name, []), bins=bins.get(column.name, []),
                levels=levels, other=other,
            )
        )  # fmt: skip
    return TableProfile(rows=rows, columns=profiles)


def merge(first: TableProfile, second: TableProfile) -> TableProfile:
    """Return the profile of the rows of both; columns on different bins are left out.

    ``distinct`` becomes the larger of both, a lower bound.
    """
    columns = []
    for one in first.columns:
        other = second.column(one.name)
        if other is None or other.type != one.type or other.bin_edges != one.bin_edges:
            continue
        columns.append(_merged(one, other))
    return TableProfile(rows=first.rows + second.rows, columns=columns)


def _merged(one: ColumnProfile, two: ColumnProfile) -> ColumnProfile:
    count = one.count + two.count
    levels, other = dict(one.levels), one.other + two.other
    for level, rows in two.levels.items():
        if level in levels or len(levels) < LEVELS:
            levels[level] = levels.get(level, 0) + rows
        else:
            other += rows
    if not one.levels or not two.levels:
        # One of the two had too many levels to count.
        levels, other = {}, 0
    mean = deviation = None
    if one.mean is not None and two.mean is not None and count:
        mean = (one.mean * one.count + two.mean * two.count) / count
        squares = sum(
            part.count * ((part.deviation or 0.0) ** 2 + ((part.mean or 0.0) - mean) ** 2)
            for part in (one, two)
        )
        deviation = (squares / count) ** 0.5
    low, high = _extremes(one, two)
    return ColumnProfile(
        name=one.name, type=one.type, count=count, nulls=one.nulls + two.nulls,
        distinct=max(one.distinct, two.distinct), min=low, max=high,
        mean=_rounded(mean if mean is not None else one.mean or two.mean),
        deviation=_rounded(deviation),
        bin_edges=one.bin_edges, bins=[a + b for a, b in zip(one.bins, two.bins, strict=True)],
        levels=levels, other=other,
    )  # fmt: skip


def _extremes(one: ColumnProfile, two: ColumnProfile) -> tuple[str | None, str | None]:
    def key(text: str) -> Any:
        return float(text) if one.type in ("integer", "float") else text

    lows = [text for text in (one.min, two.min) if text is not None]
    highs = [text for text in (one.max, two.max) if text is not None]
    return min(lows, key=key, default=None), max(highs, key=key, default=None)


def number(column: Column) -> str:
    """Return SQL for a column as a number: itself, or a timestamp's seconds since the epoch."""
    name = identifier(column.name)
    return f"epoch({name})" if column.type == "timestamp" else f"{name}::DOUBLE"


def _is_counted_on_bins(column: Column) -> bool:
    return column.type in ("integer", "float", "timestamp")


def _moments(column: Column, *, exact: bool) -> list[str]:
    name = identifier(column.name)
    text = "strftime({}, '%Y-%m-%dT%H:%M:%S.%gZ')" if column.type == "timestamp" else "{}::VARCHAR"
    if column.type == "string":
        text = "left({}, 120)"
    numeric = column.type in ("integer", "float")
    mean = f"favg({name}::DOUBLE)" if numeric else "NULL::DOUBLE"
    different = f"count(DISTINCT {name})" if exact else f"approx_count_distinct({name})"
    spread = f"stddev_pop({name}::DOUBLE)" if numeric else "NULL::DOUBLE"
    return [
        f"count({name})", different, text.format(f"min({name})"),
        text.format(f"max({name})"), mean, spread,
    ]  # fmt: skip


def _edges(
    connection: Connection,
    relation: str,
    columns: list[Column],
    rows: int,
    known: Mapping[str, ColumnProfile],
) -> dict[str, list[float]]:
    """Return the bins' upper edges: the reference's, else the quantiles of every n-th row."""
    edges = {name: list(before.bin_edges) for name, before in known.items() if before.bin_edges}
    wanted = [c for c in columns if _is_counted_on_bins(c) and c.name not in edges]
    if not wanted:
        return edges
    step = max(1, rows // _SAMPLE)
    points = ", ".join(f"{place / BINS!r}" for place in range(1, BINS))
    quantiles = ", ".join(f"quantile_disc({number(column)}, [{points}])" for column in wanted)
    found = connection.execute(
        f"SELECT {quantiles} FROM {relation} WHERE row_ % {step} = 0"
    ).fetchone()
    assert found is not None
    for column, values in zip(wanted, found, strict=True):
        edges[column.name] = sorted({float(value) + 0.0 for value in values or ()})
    return edges


def _bins(
    connection: Connection, relation: str, edges: Mapping[str, list[float]]
) -> dict[str, list[int]]:
    wanted = {name: values for name, values in edges.items() if values}
    if not wanted:
        return {}
    types = dict(
        connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {relation})").fetchall()
    )
    pieces = []
    for name, values in wanted.items():
        quoted = identifier(name)
        value = f"epoch({quoted})" if types[name] == "TIMESTAMP" else f"{quoted}::DOUBLE"
        bounds = ", ".join(f"{edge!r}::DOUBLE" for edge in values)
        pieces.append(f"histogram({value}, [{bounds}])")
    found = connection.execute(f"SELECT {', '.join(pieces)} FROM {relation}").fetchone()
    assert found is not None
    counted = {}
    for (name, values), histogram in zip(wanted.items(), found, strict=True):
        counts = histogram or {}
        above = sum(rows for edge, rows in counts.items() if edge > values[-1])
        counted[name] = [*(int(counts.get(edge, 0)) for edge in values), int(above)]
    return counted


def _levels(
    connection: Connection,
    relation: str,
    column: Column,
    distinct: int,
    known: Mapping[str, ColumnProfile],
    count: int,
) -> tuple[dict[str, int], int]:
    """Count by value where there are few: of strings and booleans, and of some integers."""
    few = FEW if column.type == "integer" else 10 * LEVELS
    if column.type in ("float", "timestamp") or distinct > few or not count:
        return {}, 0
    name = identifier(column.name)
    before = known.get(column.name)
    given = list(before.levels) if before is not None and before.levels else None
    text = f"left({name}::VARCHAR, 120)"
    chosen = f"WHERE {name} IS NOT NULL"
    order = "ORDER BY 2 DESC, 1"
    if given is not None:
        listed = ", ".join(literal(level) for level in given)
        order = f"ORDER BY {text} IN ({listed}) DESC, 2 DESC, 1"
    found = connection.execute(
        f"SELECT {text}, count(*) FROM {relation} {chosen} GROUP BY 1 {order} LIMIT {LEVELS}"
    ).fetchall()
    levels = {str(level): int(rows) for level, rows in found}
    return levels, count - sum(levels.values())


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.12g}")
