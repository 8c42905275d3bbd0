"""Athena's SQL: what kind of statement it is, and the same query for DuckDB.

A query is parsed in Athena's dialect (Trino's for queries) and rendered in DuckDB's; what the
rendering cannot prove about Athena stands in docs/parity.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from steward_local.athena.errors import MalformedQueryError

_TO = re.compile(
    r"\s*\)\s*TO\s+'(?P<target>(?:[^']|'')+)'\s+WITH\s*\((?P<options>.*)\)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_OPTION = re.compile(r"\s*(\w+)\s*=\s*('(?:[^']|'')*'|[^,]+?)\s*(?:,|$)", re.DOTALL)
_COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|[()]", re.DOTALL)
COMPRESSIONS = {"GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd", "LZ4": "lz4", "NONE": "none"}


@dataclass(frozen=True)
class TableName:
    """A table as a query names it, in lower case."""

    database: str
    name: str


@dataclass(frozen=True)
class Unload:
    """Where an UNLOAD writes, and how it compresses."""

    target: str
    compression: str


@dataclass(frozen=True)
class Statement:
    """A query, and where its result goes if it is unloaded."""

    query: exp.Query
    unload: Unload | None = None

    def tables(self, database: str) -> list[TableName]:
        """The tables that the query reads; common table expressions are none."""
        return list(dict.fromkeys(_name(table, database) for table in self._sources()))

    def _sources(self) -> list[exp.Table]:
        return [
            source
            for scope in traverse_scope(self.query)
            for source in scope.sources.values()
            if isinstance(source, exp.Table)
        ]

    def for_duckdb(self, database: str, relation: Callable[[TableName], str]) -> str:
        """The query for DuckDB, each table being the relation of that name there."""
        query = self.query.copy()
        for table in Statement(query)._sources():
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            name = relation(_name(table, database))
            table.set("this", exp.to_identifier(name, quoted=True))
            table.set("db", None)
            table.set("catalog", None)
        for column in query.find_all(exp.Column):
            column.set("db", None)
            column.set("catalog", None)
        return str(query.sql(dialect="duckdb"))


def _name(table: exp.Table, database: str) -> TableName:
    return TableName((table.db or database).lower(), table.name.lower())


def parse(text: str) -> Statement:
    """The one query or UNLOAD of a text.

    Raises:
        MalformedQueryError: It is neither, or not Athena's SQL.
    """
    start = _COMMENTS.match(text)
    bare = text[start.end() if start else 0 :]
    found = re.match(r"UNLOAD\s*\(", bare, re.IGNORECASE)
    if found is None:
        return Statement(_query(text))
    end = _closing(bare, found.end())
    rest = _TO.fullmatch(bare[end:])
    if rest is None:
        raise MalformedQueryError(
            "mismatched input: UNLOAD needs (SELECT ...) TO 's3://...' WITH (format = '...')"
        )
    return Statement(_query(bare[found.end() : end]), _unload(rest))


def _closing(text: str, start: int) -> int:
    """The position of the parenthesis that closes the one before `start`."""
    depth, position = 1, start
    while position < len(text):
        token = _TOKEN.search(text, position)
        if token is None:
            break
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
        position = token.end()
    raise MalformedQueryError("mismatched input '<EOF>'. Expecting: ')'")


def _unload(rest: re.Match[str]) -> Unload:
    given: dict[str, Any] = {
        name.lower(): value.strip("'").replace("''", "'")
        for name, value in _OPTION.findall(rest["options"])
    }
    kind, compression = given.pop("format", None), given.pop("compression", "GZIP").upper()
    if kind is None:
        raise MalformedQueryError("UNLOAD needs the property format")
    if kind.upper() != "PARQUET":
        raise MalformedQueryError(f"The embedded Athena unloads to PARQUET, not to {kind}")
    if compression not in COMPRESSIONS:
        raise MalformedQueryError(
            f"compression must be one of {sorted(COMPRESSIONS)}, not {compression}"
        )
    if given:
        raise MalformedQueryError(
            f"The embedded Athena does not know the UNLOAD properties {sorted(given)}"
        )
    target = rest["target"].replace("''", "'")
    if not target.startswith("s3://"):
        raise MalformedQueryError(f"UNLOAD writes to s3://, not to {target}")
    return Unload(target if target.endswith("/") else f"{target}/", compression)


def _query(text: str) -> exp.Query:
    try:
        parsed = [found for found in sqlglot.parse(text, dialect="athena") if found is not None]
    except SqlglotError as error:
        raise MalformedQueryError(re.sub(r"\x1b\[\d*m", "", str(error))) from error
    if len(parsed) != 1:
        raise MalformedQueryError("Only one sql statement is allowed.")
    query = parsed[0]
    if not isinstance(query, exp.Query):
        raise MalformedQueryError("Queries of this type are not supported")
    if isinstance(query, exp.Select) and not query.expressions:
        raise MalformedQueryError("mismatched input '<EOF>'. Expecting: an expression")
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise MalformedQueryError(f"Table function '{table.this.name}' not registered")
    return query
