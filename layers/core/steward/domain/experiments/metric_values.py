"""What the expressions of metrics give for one request: their types, and what is unusable.

What is captured is JSON, so that the type of an outcome, a label or a feature is not known before.
A name is a number (true is 1) wherever the expression allows that, else true or false, else a
text: ``outcome`` is a number, in ``outcome = 'churned'`` it is a text. This follows from the
expression alone and never from data.
"""

# ruff: noqa: S608 - expressions are rendered anew, names and values go through identifier()

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from steward.domain.expressions import Parsed, parse
from steward.domain.strategies.metrics import CAPTURED_COLUMNS
from steward.domain.workspace import Connection, identifier

LARGEST = 1e100
"""Beyond it a value is unusable: the squares of sums must stay finite."""

_ANY = ("DOUBLE", "BOOLEAN", "VARCHAR")
_TYPES = {"prediction": ("DOUBLE",), "latency_ms": ("DOUBLE",), "failed": ("BOOLEAN", "DOUBLE")}
_MOST_TRIED = 243


@dataclass(frozen=True)
class Typed:
    """An expression with the types of what it reads; None where it has no meaning for any."""

    parsed: Parsed
    types: Mapping[str, str] | None


def typed(connection: Connection, text: str, features: Sequence[str]) -> Typed:
    """Return an expression with the first types that it can be computed with.

    Args:
        connection: The engine, which knows which operations there are.
        text: As it was declared.
        features: Names beside the captured ones.

    Raises:
        ExpressionError: It is no expression over these names.
    """
    parsed = parse(text, (*CAPTURED_COLUMNS, *features))
    fallback = None
    for types in _candidates(parsed.columns):
        outcome = _works(connection, parsed, types)
        if outcome == "yes":
            return Typed(parsed, types)
        if outcome == "binds":
            fallback = types
    return Typed(parsed, fallback)


def _candidates(columns: Sequence[str]) -> Iterator[dict[str, str]]:
    choices = [_TYPES.get(name, _ANY) for name in columns]
    size = 1
    for choice in choices:
        size *= len(choice)
    if size > _MOST_TRIED:
        places: list[tuple[int, ...]] = [(n,) * len(columns) for n in range(len(_ANY))]
    else:
        ranges = [range(len(choice)) for choice in choices]
        places = sorted(itertools.product(*ranges), key=lambda place: (sum(place), place))
    for place in places:
        yield {
            name: choice[min(n, len(choice) - 1)]
            for name, choice, n in zip(columns, choices, place, strict=True)
        }


def _works(connection: Connection, parsed: Parsed, types: Mapping[str, str]) -> str:
    """Return ``yes``, ``binds`` where a constant or a probe cannot be converted, or ``no``."""
    rows = " UNION ALL ".join(
        "SELECT " + ", ".join(f"CAST({value} AS {types[n]}) AS {identifier(n)}" for n in types)
        for value in ("NULL", "'1'")
    )
    source = f"(SELECT 1 AS _) AS t, ({rows}) AS r" if types else "(SELECT 1 AS _) AS r"
    try:
        connection.execute(f"SELECT CAST({parsed.sql('r')} AS DOUBLE) FROM {source}").fetchall()
    except duckdb.BinderException:
        return "no"
    except duckdb.ConversionException:
        return "binds"
    except duckdb.Error:
        return "yes"  # a value that has no logarithm, say: rows fail, and not the expression
    return "yes"


def inputs(expression: Typed, sources: Mapping[str, str]) -> tuple[str, str]:
    """Return SQL for what an expression reads, as one struct, and for whether it is untyped.

    Args:
        expression: What reads it.
        sources: SQL of each name as it is captured: JSON, but for ``prediction``, ``latency_ms``
            and ``failed``.
    """
    members, wrong = ['"$" := 0'], ["false"]
    for name, type_ in (expression.types or {}).items():
        source = sources[name]
        if name in _TYPES:
            given = f"CAST({source} AS {type_})"
        else:
            given = _of_json(source, type_)
            wrong.append(f"({source} <> 'null' AND ({given}) IS NULL)")
        members.append(f"{identifier(name)} := {given}")
    return f"struct_pack({', '.join(members)})", f"coalesce({' OR '.join(wrong)}, false)"


def _of_json(source: str, type_: str) -> str:
    text = f"json_extract_string({source}, '$')"
    if type_ == "VARCHAR":
        return f"CASE WHEN {source} <> 'null' THEN {text} END"
    if type_ == "BOOLEAN":
        return f"TRY_CAST({text} AS BOOLEAN)"
    number = f"TRY_CAST({text} AS DOUBLE)"
    return (
        f"CASE {source} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0"
        f" ELSE CASE WHEN isfinite({number}) THEN {number} END END"
    )


def value(expression: Typed, struct: str) -> str:
    """Return SQL for ``{'v': number or null}``; null where it fails for a row.

    Args:
        expression: What is computed.
        struct: Column that holds its :func:`inputs`.
    """
    if expression.types is None:
        return "NULL::STRUCT(v DOUBLE)"
    return f"TRY({{'v': CAST({expression.parsed.sql(struct)} AS DOUBLE)}})"


def usable(value_: str, *, kind: str) -> str:
    """Return SQL for whether a value can be counted: finite, and what its kind allows.

    Args:
        value_: SQL of a number that is not null.
        kind: ``binary`` is 0 or 1, ``denominator`` not negative.
    """
    finite = f"isfinite({value_}) AND abs({value_}) <= {LARGEST!r}"
    allowed = {"binary": f"{value_} IN (0, 1)", "denominator": f"{value_} >= 0"}.get(kind)
    return f"({finite} AND {allowed})" if allowed else f"({finite})"
