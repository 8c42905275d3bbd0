"""A delivered file against the declaration of its table: every broken rule is reported.

Values are compared as they are written: no trimming, no guessing. An empty CSV field is null,
quoted or not. See :mod:`steward.domain.column_types` for what each type may look like.

The file is read once into typed columns; one aggregate counts all rules of rows, and the profile
is counted over the rows that count: those that no rule of severity ``quarantine_rows`` sets aside.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from pydantic import BaseModel, ConfigDict, Field

from steward.domain import delivery_structure
from steward.domain.column_rules import Broken, Circumstances, broken_rules, check_table
from steward.domain.delivery_drift import Against, DriftReport, compare
from steward.domain.delivery_files import Reading, load, plain_file
from steward.domain.delivery_structure import Structure, structure_of
from steward.domain.errors import UnreadableFileError
from steward.domain.findings import Violation
from steward.domain.profiles import TableProfile, profile
from steward.domain.rows_set_aside import SetAside, write_both
from steward.domain.tables import Column, Data, Table
from steward.domain.workspace import Connection, Limits, identifier, literal, workspace

RELATION = "delivery"
_ASIDE = "set_aside"


@dataclass(frozen=True)
class Reference:
    """A profile that a delivery is compared with; see :class:`DriftReport` for its parts."""

    against: Against
    deliveries: list[str]
    profile: TableProfile


@dataclass(frozen=True)
class Context:
    """What judging a file needs beside it.

    Attributes:
        received_at: When it arrived, aware; without it nothing is judged that needs a clock.
        event_times: Columns that are the event time of a feature group.
        references: Profiles to compare with.
        bins_of: Gives the profile its bins, so that profiles of deliveries merge.
        told: Is told of each stage.
    """

    received_at: datetime | None = None
    event_times: frozenset[str] = frozenset()
    references: tuple[Reference, ...] = ()
    bins_of: TableProfile | None = None
    told: Callable[[str], None] = field(default=lambda _stage: None)


class FileReport(BaseModel):
    """What came of one delivery.

    Attributes:
        rows: Rows of the file, sound or not.
        quarantined_rows: Rows that are set aside; the others count.
        violations: Broken rules, in the order of the columns.
        profile: Of the rows that count; None where the file is no table.
        drift: Comparisons with earlier deliveries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    rows: int
    size: int
    columns: list[str]
    violations: list[Violation]
    quarantined_rows: int = 0
    profile: TableProfile | None = None
    drift: list[DriftReport] = Field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether every rule was kept that may reject the delivery."""
        return not any(found.severity == "reject" for found in self.violations)

    @property
    def warnings(self) -> int:
        """Broken rules of severity ``warn``."""
        return sum(found.severity == "warn" for found in self.violations)


@dataclass(frozen=True)
class Validated:
    """A judged file.

    Attributes:
        aside: The written parts where rows are set aside and the file is accepted.
    """

    report: FileReport
    aside: SetAside | None = None


def validate_file(
    path: Path, table: Table, limits: Limits, context: Context | None = None
) -> Validated:
    """Check a file against the declaration of its table.

    Structure first (bytes, header, fields per row), then every rule of every column that is
    there. Rows with a wrong structure are left out of the column rules; where the parsers do not
    agree on which rows those are, the column rules are not judged.

    Args:
        path: The file, in a folder where others may be written.
        table: Its declaration.
        limits: Of the engine.
        context: What it is judged beside.

    Raises:
        InvalidProjectError: A declared pattern or expression is none that the engine can use.
    """
    circumstances = context or Context()
    size = path.stat().st_size
    if size == 0:
        return _no_table(size, [], [_whole("empty", "the file has 0 bytes")])
    circumstances.told("reading")
    with workspace(limits) as connection:
        check_table(connection, table)
        try:
            plain = plain_file(path, table.format)
        except UnreadableFileError as error:
            return _no_table(size, [], [_whole(error.field or "format", error.message)])
        try:
            structure = structure_of(connection, plain, table)
            if structure.reading is None:
                return _no_table(size, structure.names, structure.violations)
            return _judge(connection, structure, structure.reading, table, size, circumstances)
        finally:
            for made in {plain, plain.with_name(f"{plain.name}.sound")} - {path}:
                made.unlink(missing_ok=True)


def _judge(
    connection: Connection,
    structure: Structure,
    reading: Reading,
    table: Table,
    size: int,
    context: Context,
) -> Validated:
    try:
        present = load(connection, reading, table, RELATION, judged=True)
    except duckdb.Error as error:
        said = _whole("format", f"not readable as {table.format}: {_first_line(error)}")
        return _no_table(size, structure.names, [*structure.violations, said])
    context.told("checking rules")
    sound = _count(connection, RELATION)
    structure = delivery_structure.with_rejects(connection, structure, reading, sound)
    rows = sound + len(structure.faults)
    violations = list(structure.violations)
    if rows == 0:
        violations.append(_whole("rows", "the file has columns but no rows"))
    broken: list[Broken] = []
    if structure.numbers is not None:
        seen = Circumstances(context.received_at, context.event_times)
        broken = broken_rules(connection, RELATION, table, present, seen)
    aside = _set_aside(connection, broken)
    counting = rows - aside
    violations += structure.located([found.violation for found in broken])
    if aside and aside / rows > table.max_quarantined_share:
        violations.append(_too_many(aside, rows, table))
    if rows and (counting < table.row_count.min or (table.row_count.max or counting) < counting):
        violations.append(_row_count(counting, table))
    relation = _counting_relation(connection, aside)
    violations += _freshness(connection, relation, table, present, context)
    context.told("counting values")
    found = profile(connection, relation, present, context.bins_of) if present else None
    drift = _drift(found, table, context)
    violations += [violation for report in drift for violation in _drifted(report, table)]
    report = FileReport(
        rows=rows, size=size, columns=structure.names, violations=violations,
        quarantined_rows=aside, profile=found, drift=drift,
    )  # fmt: skip
    written = None
    if aside and report.accepted:
        context.told("setting rows aside")
        written = write_both(connection, reading, _ASIDE)
    return Validated(report, written)


def _set_aside(connection: Connection, broken: list[Broken]) -> int:
    """Collect the rows that rules of severity ``quarantine_rows`` set aside, with the rule."""
    connection.execute(f"CREATE TABLE {_ASIDE} (row_ BIGINT, rule VARCHAR, column_ VARCHAR)")
    for found in broken:
        violation = found.violation
        if violation.severity == "quarantine_rows" and found.condition is not None:
            column = "NULL" if violation.column is None else literal(violation.column)
            connection.execute(
                f"INSERT INTO {_ASIDE} SELECT row_, {literal(violation.rule)}, {column}"
                f" FROM {RELATION} WHERE {found.condition}"
            )
    counted = connection.execute(f"SELECT count(DISTINCT row_) FROM {_ASIDE}").fetchone()
    return int(counted[0]) if counted else 0


def _counting_relation(connection: Connection, aside: int) -> str:
    if not aside:
        return RELATION
    connection.execute(
        f"CREATE VIEW counting AS SELECT * FROM {RELATION}"
        f" WHERE row_ NOT IN (SELECT row_ FROM {_ASIDE})"
    )
    return "counting"


def _too_many(aside: int, rows: int, table: Table) -> Violation:
    return Violation(
        rule="max_quarantined_share", count=aside, share=aside / rows,
        message=f"{aside / rows:.1%} of the rows would be set aside; "
        f"allowed: {table.max_quarantined_share:.1%}",
    )  # fmt: skip


def _row_count(rows: int, table: Table) -> Violation:
    bounds = table.row_count
    most = "" if bounds.max is None else f" and at most {bounds.max}"
    return Violation(
        rule="row_count", count=1, severity=bounds.severity,
        message=f"{rows} rows count; allowed: at least {bounds.min}{most}",
    )  # fmt: skip


def _freshness(
    connection: Connection, relation: str, table: Table, present: list[Column], context: Context
) -> list[Violation]:
    declared = table.freshness
    names = {column.name for column in present}
    if declared is None or context.received_at is None or declared.column not in names:
        return []
    newest = connection.execute(
        f"SELECT max({identifier(declared.column)}) FROM {relation}"
    ).fetchone()
    at = newest[0].replace(tzinfo=UTC) if newest and newest[0] else None
    oldest = context.received_at - timedelta(seconds=declared.max_age_s)
    if at is not None and at >= oldest:
        return []
    age = "there is none" if at is None else f"it is {at.isoformat(timespec='milliseconds')}"
    return [
        Violation(
            rule="freshness", column=declared.column, count=1, severity=declared.severity,
            message=f"the newest {declared.column} may be {declared.max_age_s} s old at receipt; "
            f"{age}, received {context.received_at.isoformat(timespec='milliseconds')}",
        )
    ]  # fmt: skip


def _drift(found: TableProfile | None, table: Table, context: Context) -> list[DriftReport]:
    declared = table.distribution
    if declared is None or found is None:
        return []
    columns = declared.columns or _compared_columns(table)
    return [
        compare(
            found, reference.profile, columns, against=reference.against,
            deliveries=reference.deliveries, fdr=declared.fdr, min_effect=declared.min_effect,
        )
        for reference in context.references
    ]  # fmt: skip


def _compared_columns(table: Table) -> list[str]:
    """Return all columns but keys and timestamps."""
    keys = {table.entity_id} if isinstance(table, Data) else set()
    return [
        column.name
        for column in table.columns
        if column.type != "timestamp" and not column.unique and column.name not in keys
    ]


_AGAINST: dict[Against, str] = {
    "last_accepted": "the last accepted delivery", "training_baseline": "the training baseline",
}  # fmt: skip


def _drifted(report: DriftReport, table: Table) -> list[Violation]:
    assert table.distribution is not None
    return [
        Violation(
            rule="distribution", column=column.column, count=1,
            severity=table.distribution.severity,
            message=column.told(_AGAINST[report.against]),
        )
        for column in report.changed
    ]  # fmt: skip


def _no_table(size: int, names: list[str], violations: list[Violation]) -> Validated:
    return Validated(FileReport(rows=0, size=size, columns=names, violations=violations))


def _whole(rule: str, message: str) -> Violation:
    return Violation(rule=rule, count=1, message=message)


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {identifier(table)}").fetchone()
    return int(row[0]) if row else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
