"""Segments: declared parts of the traffic that are judged apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from steward.domain.expressions import ExpressionError, Parsed, parse

MOST = 50
"""Segments of one project: each is a family of tests of its own."""

Literal = bool | int | float | str


@dataclass(frozen=True)
class Segment:
    """A part of the rows: those for which a condition over known columns holds.

    Attributes:
        name: Shown in reports and metrics.
        condition: Parsed; its SQL holds nothing that was not parsed.
    """

    name: str
    condition: Parsed

    def sql(self, relation: str = "") -> str:
        """Return the condition for the engine; a condition that is null does not hold."""
        return f"coalesce({self.condition.sql(relation)}, false)"


def declared(
    segments: Iterable[tuple[str, str | Mapping[str, Literal]]], columns: Sequence[str]
) -> list[Segment]:
    """Return the declared segments.

    Args:
        segments: Name with an expression over the columns, or with values that columns must
            equal, all of them.
        columns: What may be named.

    Raises:
        ExpressionError: A condition is no such expression, names an unknown column, is empty, or
            there are two of one name or more than ``MOST``.
    """
    found: dict[str, Segment] = {}
    for name, condition in segments:
        if name in found:
            raise ExpressionError(f"segment {name!r} is declared twice")
        if len(found) == MOST:
            raise ExpressionError(f"at most {MOST} segments, each is tested apart")
        text = condition if isinstance(condition, str) else _equalities(name, condition)
        found[name] = Segment(name, parse(text, columns))
    return list(found.values())


def _equalities(name: str, values: Mapping[str, Literal]) -> str:
    if not values:
        raise ExpressionError(f"segment {name!r} has no condition")
    parts = []
    for column, value in values.items():
        quoted = '"' + column.replace('"', '""') + '"'
        parts.append(f"{quoted} = {_literal(value)}")
    return " AND ".join(parts)


def _literal(value: Literal) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
