"""The rules of a table as SQL over its typed relation."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from steward.domain.column_types import SQL_TYPES, scalar, wrong_of, zone_of
from steward.domain.declaration import Scalar, Severity
from steward.domain.errors import InvalidProjectError
from steward.domain.findings import EXAMPLES, Example, Violation, shown
from steward.domain.tables import Column, Data, RowRule, Table
from steward.domain.workspace import Connection, identifier, literal

CLOCK_SLACK_S = 300
"""How far an event time may lie after the receipt of its file: clocks differ."""


@dataclass(frozen=True)
class Circumstances:
    """What rules need beside the file.

    Attributes:
        received_at: When the file arrived, aware.
        event_times: Columns that are the event time of a feature group.
    """

    received_at: datetime | None = None
    event_times: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A rule that each row keeps or breaks by itself.

    Attributes:
        condition: SQL over the typed relation that is true for a row that breaks it.
        columns: Columns whose values show why.
    """

    name: str
    column: str | None
    condition: str
    message: str
    severity: Severity
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Broken:
    """A broken rule, and SQL that is true for the rows that break it; None for the whole file."""

    violation: Violation
    condition: str | None


def rules_of(column: Column, table: Table, circumstances: Circumstances) -> list[Rule]:
    """Return the rules that concern single rows of a column."""
    value, name = identifier(column.name), column.name
    wrong = identifier(wrong_of(column))
    found: list[tuple[str, str, str]] = []
    if not column.nullable or (isinstance(table, Data) and name == table.entity_id):
        found.append(("null", f"{value} IS NULL AND {wrong} IS NULL", f"{name} may not be empty"))
    kind = "an integer" if column.type == "integer" else f"a {column.type}"
    found.append(("type", f"{wrong} IS NOT NULL", f"{name} must be {kind}"))
    if column.min is not None:
        found.append(("min", f"{value} < {column.min!r}", f"{name} must be >= {column.min:g}"))
    if column.max is not None:
        found.append(("max", f"{value} > {column.max!r}", f"{name} must be <= {column.max:g}"))
    if column.allowed is not None:
        values = ", ".join(scalar(column, allowed) for allowed in column.allowed)
        listed = ", ".join(str(allowed) for allowed in column.allowed)
        found.append(("allowed", f"{value} NOT IN ({values})", f"{name} must be one of {listed}"))
    if column.pattern is not None:
        unmatched = f"NOT regexp_full_match({value}, {literal(column.pattern)})"
        found.append(("pattern", unmatched, f"{name} must match {column.pattern}"))
    if name in circumstances.event_times and circumstances.received_at is not None:
        latest = circumstances.received_at + timedelta(seconds=CLOCK_SLACK_S)
        bound = latest.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
        said = (
            f"{name} is in the future: a feature's event time may be at most {CLOCK_SLACK_S} s"
            f" after its file came, {bound.replace(' ', 'T')}Z"
        )
        found.append(("future", f"{value} > TIMESTAMP {literal(bound)}", said))
    return [
        Rule(rule, name, condition, said, column.severity, (name,))
        for rule, condition, said in found
    ]


def row_rule(rule: RowRule, table: Table) -> Rule:
    """Return a declared rule over several columns; a row where it is null keeps it."""
    parsed = rule.parsed([column.name for column in table.columns])
    said = rule.message or f"{rule.name}: {rule.expression}"
    return Rule(rule.name, None, f"NOT ({parsed.sql()})", said, rule.severity, parsed.columns)


def check_table(connection: Connection, table: Table, path: str = "data") -> None:
    """Raise when a pattern cannot be read, or a rule's expression does not fit its columns.

    Raises:
        InvalidProjectError: With the path of the pattern or expression.
    """
    for index, column in enumerate(table.columns):
        if column.pattern is None:
            continue
        try:
            connection.execute("SELECT regexp_full_match('', ?)", [column.pattern])
        except duckdb.Error as error:
            raise InvalidProjectError(
                f"pattern {column.pattern!r} of column {column.name} is not readable: {error}",
                field=f"{path}.columns[{index}].pattern", value=column.pattern,
                allowed="RE2 syntax, matched against the whole value",
            ) from None  # fmt: skip
    nulls = ", ".join(
        f"NULL::{SQL_TYPES[column.type]} AS {identifier(column.name)}" for column in table.columns
    )
    for index, rule in enumerate(table.rules):
        condition = row_rule(rule, table).condition
        try:
            connection.execute(f"SELECT CAST({condition} AS BOOLEAN) FROM (SELECT {nulls})")
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise InvalidProjectError(
                f"rule {rule.name} does not fit its columns: {reason}",
                field=f"{path}.rules[{index}].expression", value=rule.expression,
                allowed="an expression that is true, false or null",
            ) from None  # fmt: skip


def broken_rules(
    connection: Connection,
    relation: str,
    table: Table,
    present: list[Column],
    circumstances: Circumstances,
) -> list[Broken]:
    """Return every rule that rows break, in the order of the columns, then the declared ones.

    Examples carry the relation's ``row_`` as their row.

    Args:
        connection: Holds the relation that :func:`steward.domain.delivery_files.load` makes.
        relation: Its name.
        table: Its declaration.
        present: Columns that the file has; rules that need another are not judged.
        circumstances: What the rules need beside the file.
    """
    rules = _rules_of_rows(table, present, circumstances)
    total, broken = _by_row(connection, relation, rules, {c.name: c for c in present})
    for column in present:
        if column.unique:
            broken += _duplicates(connection, relation, column, total)
        label = table.label if isinstance(table, Data) else None
        if label is not None and column.name == label.name and label.task == "binary":
            broken += _label(connection, relation, column, label.positive_value, total)
        if column.max_null_share is not None:
            broken += _nulls(connection, relation, column, total)
        if column.type == "timestamp":
            broken += _mixed_zones(connection, relation, column)
    order: dict[str | None, int] = {column.name: place for place, column in enumerate(present)}
    return sorted(broken, key=lambda found: order.get(found.violation.column, len(order)))


def _rules_of_rows(table: Table, present: list[Column], circumstances: Circumstances) -> list[Rule]:
    """Return what each row keeps or breaks by itself, in the order of the columns."""
    names = {column.name for column in present}
    rules = [rule for column in present for rule in rules_of(column, table, circumstances)]
    declared = [row_rule(rule, table) for rule in table.rules]
    return rules + [rule for rule in declared if names.issuperset(rule.columns)]


def broken_by_rows(
    connection: Connection,
    relation: str,
    table: Table,
    present: list[Column],
    circumstances: Circumstances,
) -> list[Violation]:
    """Return the rules that rows break by themselves, whatever the other rows are.

    Left out is what only a whole delivery keeps or breaks: ``unique``, ``binary``,
    ``max_null_share`` and ``mixed_time_zones``. Arguments are those of :func:`broken_rules`.
    """
    rules = _rules_of_rows(table, present, circumstances)
    _, broken = _by_row(connection, relation, rules, {c.name: c for c in present})
    return [found.violation for found in broken]


def _by_row(
    connection: Connection, relation: str, rules: list[Rule], columns: dict[str, Column]
) -> tuple[int, list[Broken]]:
    counts = "".join(f", count(*) FILTER (WHERE {rule.condition})" for rule in rules)
    counted = connection.execute(f"SELECT count(*){counts} FROM {relation}").fetchone()
    assert counted is not None
    total, broken = int(counted[0]), []
    for rule, count in zip(rules, counted[1:], strict=True):
        if not count:
            continue
        texts = ", ".join(text_of(columns[name]) for name in rule.columns)
        found = connection.execute(
            f"SELECT row_{', ' if texts else ''}{texts} FROM {relation} WHERE {rule.condition}"
            f" ORDER BY row_ LIMIT {EXAMPLES}"
        ).fetchall()
        examples = [
            Example(
                row=row, column=rule.column, rule=rule.name,
                value=shown(values[0] if rule.column else _several(rule.columns, values)),
            )
            for row, *values in found
        ]  # fmt: skip
        violation = Violation(
            rule=rule.name, column=rule.column, count=count, share=count / total,
            severity=rule.severity, message=rule.message, examples=examples,
        )  # fmt: skip
        broken.append(Broken(violation, rule.condition))
    return total, broken


def _several(names: tuple[str, ...], values: list[str | None]) -> str:
    return ", ".join(
        f"{name}={'null' if value is None else value}"
        for name, value in zip(names, values, strict=True)
    )


def text_of(column: Column) -> str:
    """Return SQL for a value as it is shown: as written where it is wrong, else in plain form."""
    value = identifier(column.name)
    text = f"{value}::VARCHAR"
    if column.type == "float":
        text = f"regexp_replace({text}, '\\.0$', '')"
    return f"coalesce({identifier(wrong_of(column))}, {text})"


def _duplicates(connection: Connection, relation: str, column: Column, total: int) -> list[Broken]:
    """Find values that are there again, compared as typed; the first one is kept."""
    value = identifier(column.name)
    repeated = (
        f"SELECT {value} AS value_, min(row_) AS first_, count(*) - 1 AS more_ FROM {relation}"
        f" WHERE {value} IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE repeated_ AS {repeated}")
    found = connection.execute("SELECT coalesce(sum(more_), 0) FROM repeated_").fetchone()
    if found is None or not found[0]:
        return []
    again = f"SELECT row_ FROM {relation} JOIN repeated_ ON {value} = value_ WHERE row_ > first_"
    rows = connection.execute(
        f"SELECT row_, {text_of(column)}, first_ FROM {relation} JOIN repeated_"
        f" ON {value} = value_ WHERE row_ > first_ ORDER BY row_ LIMIT {EXAMPLES}"
    ).fetchall()
    examples = [
        Example(row=row, column=column.name, value=shown(text), rule="unique", first_row=first)
        for row, text, first in rows
    ]
    violation = Violation(
        rule="unique", column=column.name, count=int(found[0]), share=int(found[0]) / total,
        severity=column.severity, message=f"{column.name} must be unique within a delivery",
        examples=examples,
    )  # fmt: skip
    return [Broken(violation, f"row_ IN ({again})")]


def _label(
    connection: Connection, relation: str, column: Column, positive: Scalar, total: int
) -> list[Broken]:
    """Find labels that are neither the positive value nor the one other value."""
    value = identifier(column.name)
    is_positive = f"coalesce({value} = {scalar(column, positive)}, false)"
    groups = connection.execute(
        f"SELECT {value}::VARCHAR, bool_or({is_positive}), count(*) FROM {relation}"
        f" WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY 3 DESC, 1 LIMIT 1000"
    ).fetchall()
    others = [(found, count) for found, matches, count in groups if not matches]
    if len(others) <= 1:
        return []
    negative = scalar(column, others[0][0])
    condition = f"NOT {is_positive} AND {value} <> {negative}"
    counted = connection.execute(f"SELECT count(*) FROM {relation} WHERE {condition}").fetchone()
    count = counted[0] if counted else 0
    rows = connection.execute(
        f"SELECT row_, {text_of(column)} FROM {relation} WHERE {condition}"
        f" ORDER BY row_ LIMIT {EXAMPLES}"
    ).fetchall()
    message = (
        f"{column.name} must be binary: {positive!r} or one other value, "
        f"not {len(others)} others beside it"
    )
    examples = [
        Example(row=row, column=column.name, value=shown(found), rule="binary")
        for row, found in rows
    ]
    violation = Violation(
        rule="binary", column=column.name, count=count, share=count / total,
        severity=column.severity, message=message, examples=examples,
    )  # fmt: skip
    return [Broken(violation, condition)]


def _nulls(connection: Connection, relation: str, column: Column, total: int) -> list[Broken]:
    empty = f"{identifier(column.name)} IS NULL AND {identifier(wrong_of(column))} IS NULL"
    found = connection.execute(f"SELECT count(*) FROM {relation} WHERE {empty}").fetchone()
    count = int(found[0]) if found else 0
    assert column.max_null_share is not None
    if not total or count / total <= column.max_null_share:
        return []
    violation = Violation(
        rule="max_null_share", column=column.name, count=count, share=count / total,
        severity="warn" if column.severity == "warn" else "reject",
        message=f"{column.name} is empty in {count / total:.1%} of the rows; "
        f"allowed: {column.max_null_share:.1%}",
    )  # fmt: skip
    return [Broken(violation, None)]


def _mixed_zones(connection: Connection, relation: str, column: Column) -> list[Broken]:
    """Find a column of which only some values say their offset: the others count as UTC."""
    zone = identifier(zone_of(column))
    found = connection.execute(
        f"SELECT count(*) FILTER (WHERE {zone}), count(*) FILTER (WHERE NOT {zone}),"
        f" arg_min({{'row': row_, 'text': {text_of(column)}}}, row_) FILTER (WHERE NOT {zone})"
        f" FROM {relation}"
    ).fetchone()
    if found is None or not found[0] or not found[1]:
        return []
    zoned, plain, first = found
    example = Example(
        row=first["row"], column=column.name, value=shown(first["text"]), rule="mixed_time_zones"
    )
    violation = Violation(
        rule="mixed_time_zones", column=column.name, count=plain, share=plain / (zoned + plain),
        severity="warn",
        message=f"{column.name} has an offset in {zoned} rows and none in {plain}; "
        "values without one are taken as UTC",
        examples=[example],
    )  # fmt: skip
    return [Broken(violation, None)]
