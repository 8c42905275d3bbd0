"""The declared column types: what their text looks like, and their typed value in SQL.

Values are compared as they are written: no trimming, no guessing. Integers are digits with an
optional sign, floats decimal numbers with an optional exponent (never NaN or infinity), booleans
true, false, 1 or 0 in any case, timestamps ISO 8601.
"""

from __future__ import annotations

from steward.domain.declaration import Scalar
from steward.domain.tables import Column
from steward.domain.workspace import identifier, literal

_INTEGER = r"[+-]?[0-9]+"
_FLOAT = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_DATE, _TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2})", r"([0-9]{2}:[0-9]{2})"
_SECOND, _OFFSET = r"(:[0-9]{2}(?:\.[0-9]{1,9})?)", r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIMESTAMP = f"{_DATE}(?:[T ]{_TIME}{_SECOND}?{_OFFSET}?)?"
_IN_UTC = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?"
SQL_TYPES = {
    "string": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


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
        # A number that is written as the engine writes it needs no expression to be matched.
        number = f"TRY_CAST({text} AS BIGINT)"
        return (
            f"CASE WHEN {number}::VARCHAR = {text} THEN {number}"
            f" WHEN regexp_full_match({text}, {literal(_INTEGER)}) THEN {number} END"
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
        # cast to TIMESTAMP would drop the offset in silence, so the parts are put together, which
        # takes twenty times as long: not for what is written in UTC.
        parts = (
            f"coalesce(nullif(regexp_extract({text}, {literal(_TIMESTAMP)}, {group}), ''),"
            f" '{plain}')"
            for group, plain in ((1, ""), (2, "00:00"), (3, ":00"), (4, "Z"))
        )
        date, time, second, offset = parts
        zoned = f"{date} || 'T' || {time} || {second} || {offset}"
        moment = f"make_timestamp(epoch_us(TRY_CAST({zoned} AS TIMESTAMPTZ)))"
        plain = instant(f"TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP)")
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(_IN_UTC)}) THEN {plain}"
            f" WHEN regexp_full_match({text}, {literal(_TIMESTAMP)}) THEN {instant(moment)} END"
        )
    return text


def scalar(column: Column, value: Scalar) -> str:
    """Return SQL for a declared value, of the column's type; null where it is none."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"TRY_CAST({literal(text)} AS {SQL_TYPES[column.type]})"


def is_zoned(text: str) -> str:
    """Return SQL that is true for a timestamp's text with an offset, null for no text."""
    return f"regexp_matches({text}, {literal(':[0-9.]+' + _OFFSET + '$')})"


def wrong_of(column: Column) -> str:
    """Return the name of the relation's column that holds what is none of the declared type."""
    return f"!{column.name}"


def zone_of(column: Column) -> str:
    """Return the name of the relation's column that tells whether a timestamp has an offset."""
    return f"@{column.name}"
