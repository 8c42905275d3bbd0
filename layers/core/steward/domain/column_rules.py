"""The rules of a project's columns as SQL over a table of text."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from steward.domain.declaration import Scalar
from steward.domain.errors import InvalidProjectError
from steward.domain.findings import EXAMPLES, Example, Violation, shown
from steward.domain.tables import Column, Data, Table
from steward.domain.workspace import Connection, identifier, literal

_INTEGER = r"[+-]?[0-9]+"
_FLOAT = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_DATE, _TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2})", r"([0-9]{2}:[0-9]{2})"
_SECOND, _OFFSET = r"(:[0-9]{2}(?:\.[0-9]{1,9})?)", r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIMESTAMP = f"{_DATE}(?:[T ]{_TIME}{_SECOND}?{_OFFSET}?)?"
SQL_TYPES = {
    "string": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A rule that each row keeps or breaks by itself.

    Attributes:
        condition: SQL that is true for a row that breaks it.
    """

    name: str
    column: str
    condition: str
    message: str


def instant(timestamp: str) -> str:
    """Return SQL for a TIMESTAMP as Steward keeps it: finer than milliseconds is cut."""
    return f"date_trunc('millisecond', {timestamp})"


def typed(column: Column, text: str | None = None) -> str:
    """Return SQL for a column's typed value; null where the text is none of its type.

    Args:
        column: The declaration.
        text: SQL of the text; by default the column of that name.
    """
    text = text or identifier(column.name)
    if column.type == "integer":
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(_INTEGER)})"
            f" THEN TRY_CAST({text} AS BIGINT) END"
        )
    if column.type == "float":
        number = f"TRY_CAST({text} AS DOUBLE)"
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(_FLOAT)}) AND isfinite({number})"
            f" THEN {number} + 0.0 END"
        )
    if column.type == "boolean":
        return (
            f"CASE lower({text}) WHEN 'true' THEN true WHEN '1' THEN true"
            " WHEN 'false' THEN false WHEN '0' THEN false END"
        )
    if column.type == "timestamp":
        # ISO 8601. An offset is converted to UTC, none is UTC; finer than milliseconds is cut. A
        # cast to TIMESTAMP would drop the offset in silence, so the parts are put together.
        parts = (
            f"coalesce(nullif(regexp_extract({text}, {literal(_TIMESTAMP)}, {group}), ''),"
            f" '{plain}')"
            for group, plain in ((1, ""), (2, "00:00"), (3, ":00"), (4, "Z"))
        )
        date, time, second, offset = parts
        zoned = f"{date} || 'T' || {time} || {second} || {offset}"
        moment = f"make_timestamp(epoch_us(TRY_CAST({zoned} AS TIMESTAMPTZ)))"
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(_TIMESTAMP)}) THEN {instant(moment)} END"
        )
    return text


def scalar(column: Column, value: Scalar) -> str:
    """Return SQL for a declared value, of the column's type; null where it is none."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"TRY_CAST({literal(text)} AS {SQL_TYPES[column.type]})"


def rules_of(column: Column, table: Table) -> list[Rule]:
    """Return the rules that concern single rows of a column."""
    text, value, name = identifier(column.name), typed(column), column.name
    rules = []
    if not column.nullable or (isinstance(table, Data) and name == table.entity_id):
        rules.append(Rule("null", name, f"{text} IS NULL", f"{name} may not be empty"))
    if column.type != "string":
        rules.append(
            Rule(
                "type",
                name,
                f"{text} IS NOT NULL AND ({value}) IS NULL",
                f"{name} must be {'an' if column.type == 'integer' else 'a'} {column.type}",
            )
        )
    if column.min is not None:
        rules.append(
            Rule("min", name, f"({value}) < {column.min!r}", f"{name} must be >= {column.min:g}")
        )
    if column.max is not None:
        rules.append(
            Rule("max", name, f"({value}) > {column.max!r}", f"{name} must be <= {column.max:g}")
        )
    if column.allowed is not None:
        values = ", ".join(scalar(column, allowed) for allowed in column.allowed)
        listed = ", ".join(str(allowed) for allowed in column.allowed)
        rules.append(
            Rule(
                "allowed",
                name,
                f"({value}) IS NOT NULL AND ({value}) NOT IN ({values})",
                f"{name} must be one of {listed}",
            )
        )
    if column.pattern is not None:
        rules.append(
            Rule(
                "pattern",
                name,
                f"NOT regexp_full_match({text}, {literal(column.pattern)})",
                f"{name} must match {column.pattern}",
            )
        )
    return rules


def check_patterns(connection: Connection, declared: Table) -> None:
    """Raise when a declared pattern is none that RE2 can read.

    Raises:
        InvalidProjectError: With the path of the pattern.
    """
    for index, column in enumerate(declared.columns):
        if column.pattern is None:
            continue
        try:
            connection.execute("SELECT regexp_full_match('', ?)", [column.pattern])
        except duckdb.Error as error:
            raise InvalidProjectError(
                f"pattern {column.pattern!r} of column {column.name} is not readable: {error}",
                field=f"data.columns[{index}].pattern",
                value=column.pattern,
                allowed="RE2 syntax, matched against the whole value",
            ) from None


def broken_rules(
    connection: Connection, table: str, declared: Table, present: set[str]
) -> list[Violation]:
    """Return every rule that rows of the table break, in the order of the columns.

    Examples carry the table's ``row_`` as their row.

    Args:
        connection: Holds the table: ``row_`` and the columns as text.
        table: Its name.
        declared: Its declaration.
        present: Columns that the table has; rules of others are not judged.
    """
    columns = [column for column in declared.columns if column.name in present]
    rules = [rule for column in columns for rule in rules_of(column, declared)]
    violations = _by_row(connection, table, rules)
    for column in columns:
        if column.unique:
            violations += _duplicates(connection, table, column)
        if isinstance(declared, Data) and column.name == declared.label.name:
            violations += _label(connection, table, column, declared.label.positive)
    order = {column.name: place for place, column in enumerate(columns)}
    return sorted(violations, key=lambda violation: order[violation.column or ""])


def _by_row(connection: Connection, table: str, rules: list[Rule]) -> list[Violation]:
    if not rules:
        return []
    counts = ", ".join(f"count(*) FILTER (WHERE {rule.condition})" for rule in rules)
    counted = connection.execute(f"SELECT {counts} FROM {table}").fetchone()
    assert counted is not None
    violations = []
    for rule, count in zip(rules, counted, strict=True):
        if count:
            found = connection.execute(
                f"SELECT row_, {identifier(rule.column)} FROM {table} WHERE {rule.condition}"
                f" ORDER BY row_ LIMIT {EXAMPLES}"
            ).fetchall()
            examples = [
                Example(row=row, column=rule.column, value=shown(value), rule=rule.name)
                for row, value in found
            ]
            violations.append(
                Violation(
                    rule=rule.name,
                    column=rule.column,
                    count=count,
                    message=rule.message,
                    examples=examples,
                )
            )
    return violations


def _duplicates(connection: Connection, table: str, column: Column) -> list[Violation]:
    """Find values that are there again; compared as typed, the entity id as written."""
    text, value = identifier(column.name), typed(column)
    repeated = (
        f"SELECT {value} AS value_, min(row_) AS first_, count(*) - 1 AS more_ FROM {table}"
        f" WHERE ({value}) IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    )
    total = connection.execute(f"SELECT coalesce(sum(more_), 0) FROM ({repeated})").fetchone()
    if total is None or not total[0]:
        return []
    found = connection.execute(
        f"SELECT row_, {text}, first_ FROM {table} JOIN ({repeated}) ON ({value}) = value_"
        f" WHERE row_ > first_ ORDER BY row_ LIMIT {EXAMPLES}"
    ).fetchall()
    examples = [
        Example(row=row, column=column.name, value=shown(again), rule="unique", first_row=first)
        for row, again, first in found
    ]
    message = f"{column.name} must be unique within a delivery"
    return [
        Violation(
            rule="unique",
            column=column.name,
            count=int(total[0]),
            message=message,
            examples=examples,
        )
    ]


def _label(connection: Connection, table: str, column: Column, positive: Scalar) -> list[Violation]:
    """Find labels that are neither the positive value nor the one other value."""
    text, value = identifier(column.name), typed(column)
    is_positive = f"coalesce(({value}) = {scalar(column, positive)}, false)"
    groups = connection.execute(
        f"SELECT {value} AS value_, bool_or({is_positive}), count(*) FROM {table}"
        f" WHERE ({value}) IS NOT NULL GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 1000"
    ).fetchall()
    others = [(found, count) for found, matches, count in groups if not matches]
    if len(others) <= 1:
        return []
    negative = others[0][0]
    condition = f"NOT {is_positive} AND ({value}) <> ?"
    count = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}", [negative])
    broken = count.fetchone()
    rows = connection.execute(
        f"SELECT row_, {text} FROM {table} WHERE {condition} ORDER BY row_ LIMIT {EXAMPLES}",
        [negative],
    ).fetchall()
    message = (
        f"{column.name} must be binary: {positive!r} or one other value, "
        f"not {len(others)} others beside it"
    )
    examples = [
        Example(row=row, column=column.name, value=shown(found), rule="binary")
        for row, found in rows
    ]
    return [
        Violation(
            rule="binary",
            column=column.name,
            count=broken[0] if broken else 0,
            message=message,
            examples=examples,
        )
    ]
