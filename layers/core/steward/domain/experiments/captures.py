"""Captured lines as slim columns: what the analysis of one release needs of them, as Parquet.

Exposures are JSON lines of all projects, each with everything that a model was given; freezing
reads them again and again, so that each object is read once and what matters is kept. Repeated
captures are kept too: they are told apart by inference id where they are used.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steward.domain.workspace import Connection, identifier, literal

ROLES = ("stable", "candidate", "shadow")

CAPTURES = {
    "inference_id": "VARCHAR", "entity": "VARCHAR", "asked_at": "BIGINT", "step": "VARCHAR",
    "role": "VARCHAR", "pair_id": "VARCHAR", "prediction": "DOUBLE", "label": "VARCHAR",
    "latency_ms": "DOUBLE", "failed": "BOOLEAN",
}  # fmt: skip
"""Columns of captures with their types; ``asked_at`` in milliseconds, ``label`` as JSON.

The features of the metrics' expressions follow as ``f0``, ``f1``, ..., as JSON.
"""

OUTCOMES = {
    "inference_id": "VARCHAR", "entity": "VARCHAR", "outcome": "VARCHAR", "observed": "BIGINT",
    "recorded": "BIGINT",
}  # fmt: skip
"""Columns of outcomes with their types; times in milliseconds, ``outcome`` as JSON."""


@dataclass(frozen=True)
class Kept:
    """What was kept of some objects.

    Attributes:
        rows: None of them: no file was written.
        first: Earliest time, in milliseconds.
        last: Latest time.
    """

    rows: int
    first: int
    last: int


def keep_captures(
    connection: Connection,
    lines: Sequence[Path],
    target: Path,
    *,
    project: str,
    release_id: str,
    features: Sequence[str],
) -> Kept:
    """Write the exposures of one release among captured lines; other and broken lines are left.

    Args:
        connection: The engine.
        lines: Files of JSON Lines, each an object with ``capture`` (``exposures.Exposure``).
        target: Parquet file to write.
        project: Only its exposures.
        release_id: Only those of its route.
        features: Names of the features that are kept.
    """
    fields = ", ".join(
        f"{identifier(name)} {'JSON' if name in ('features', 'prediction') else 'VARCHAR'}"
        for name in (
            "project", "release_id", "step_id", "assigned_role", "entity", "inference_id",
            "shadow_pair_id", "time", "features", "prediction", "failed", "latency_ms",
        )
    )  # fmt: skip
    listed = "".join(
        f", json_extract(c.features, {literal(_pointer(name))})::VARCHAR AS f{n}"
        for n, name in enumerate(features)
    )
    sql = f"""
        SELECT c.inference_id AS inference_id, c.entity AS entity,
            {_milliseconds("c.time")} AS asked_at,
            c.step_id AS step, c.assigned_role AS role, c.shadow_pair_id AS pair_id,
            {_finite(_ANSWER)} AS prediction,
            json_extract(c.prediction, '/label')::VARCHAR AS label,
            {_finite("c.latency_ms")} AS latency_ms,
            coalesce(TRY_CAST(c.failed AS BOOLEAN), false) AS failed{listed}
        FROM (SELECT capture AS c FROM {_read(lines, f"'capture': 'STRUCT({fields})'")})
        WHERE c.project = {literal(project)} AND c.release_id = {literal(release_id)}
            AND c.assigned_role IN ({", ".join(map(literal, ROLES))})
            AND c.inference_id IS NOT NULL AND c.entity IS NOT NULL AND c.step_id IS NOT NULL
            AND asked_at IS NOT NULL
    """
    return _keep(connection, sql, target, "asked_at")


def keep_outcomes(
    connection: Connection,
    lines: Sequence[Path],
    target: Path,
    *,
    project: str,
    attributes: bool = False,
) -> Kept:
    """Write the outcomes of a project; a line without time of record counts as recorded when
    it was observed.

    Args:
        connection: The engine.
        lines: Files of JSON Lines as ``outcomes/<project>/`` holds them.
        target: Parquet file to write.
        project: Only its outcomes.
        attributes: Whether to keep what is told beside them, too.
    """
    columns = (
        "'project': 'VARCHAR', 'inference_id': 'VARCHAR', 'entity': 'VARCHAR', 'outcome': 'JSON',"
        " 'observed_at': 'VARCHAR', 'recorded_at': 'VARCHAR', 'attributes': 'JSON'"
    )
    beside = ", attributes::VARCHAR AS attributes" if attributes else ""
    sql = f"""
        SELECT inference_id, entity, outcome::VARCHAR AS outcome,
            {_milliseconds("observed_at")} AS observed,
            coalesce({_milliseconds("recorded_at")}, observed) AS recorded{beside}
        FROM {_read(lines, columns)}
        WHERE project = {literal(project)} AND observed IS NOT NULL AND outcome IS NOT NULL
            AND (inference_id IS NOT NULL OR entity IS NOT NULL)
    """
    return _keep(connection, sql, target, "observed")


_ANSWER = (
    "coalesce(json_extract_string(c.prediction, '/probability'),"
    " json_extract_string(c.prediction, '/value'))"
)
"""SQL for the number that a version answered: a probability, or the value of a regression."""


def parquet(files: Sequence[Path], columns: dict[str, str]) -> str:
    """Return the relation of some files of these columns; an empty one where there are none."""
    if not files:
        nothing = ", ".join(f"NULL::{type_} AS {name}" for name, type_ in columns.items())
        return f"(SELECT {nothing} WHERE false)"
    return f"read_parquet([{', '.join(literal(str(path)) for path in files)}])"


def captured_columns(features: int) -> dict[str, str]:
    """Return the columns of captures with so many features."""
    return {**CAPTURES, **{f"f{n}": "VARCHAR" for n in range(features)}}


def _read(lines: Sequence[Path], columns: str) -> str:
    listed = ", ".join(literal(str(path)) for path in lines)
    return (
        f"read_json([{listed}], format = 'newline_delimited', records = true, ignore_errors = true,"
        f" columns = {{{columns}}})"
    )


def _keep(connection: Connection, sql: str, target: Path, time: str) -> Kept:
    connection.execute(f"COPY ({sql}) TO {literal(str(target))} (FORMAT parquet)")
    rows, first, last = connection.execute(
        f"SELECT count(*), coalesce(min({time}), 0), coalesce(max({time}), 0)"
        f" FROM read_parquet({literal(str(target))})"
    ).fetchall()[0]
    if not rows:
        target.unlink()
    return Kept(rows, first, last)


def _milliseconds(text: str) -> str:
    """Return SQL for the time of ISO 8601 in UTC, as our writers give it; null for any other."""
    return (
        f"CASE WHEN ends_with({text}, '+00:00') OR ends_with({text}, 'Z')"
        f" THEN epoch_ms(TRY_CAST({text} AS TIMESTAMP)) END"
    )


def _finite(text: str) -> str:
    number = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _pointer(name: str) -> str:
    """Return the JSON pointer of a member."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
