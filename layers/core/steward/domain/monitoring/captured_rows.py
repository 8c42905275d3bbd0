"""Captured lines as rows: which version answered whom in which window, and what cannot be used.

Objects are JSON Lines of all projects, as Firehose concatenates them. Every line is either a row,
a repeated row, a copy for a shadow version, or unusable for a reason that is counted; none is
passed over in silence.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.expressions import Parsed
from steward.domain.monitoring.arrow_columns import arrow_columns
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.binning import Column
from steward.domain.monitoring.counts import ColumnBaseline, NumericBins
from steward.domain.workspace import Connection, identifier, literal

AHEAD_S = 300
"""How far ahead of ours the gateway's clock may be."""

BEHIND_S = 14 * 86_400
"""Rows that are older than this belong to windows that nobody looks at any more."""

MAX_NAMES = 50
"""Features beyond the baseline's that are named."""

_FIELDS = ("project", "answering_version", "inference_id", "entity", "time", "features")


@dataclass(frozen=True)
class Place:
    """What a chunk is of: one version's answers within one window of its project."""

    project: str
    version: int
    window: int


@dataclass
class Contents:
    """What was found in one object.

    Attributes:
        lines: Lines that are not empty.
        rows: Rows by place, repeated ones left out.
        repeated: Rows whose inference id came before in the object, by project.
        shadow: Answers that nobody saw.
        unusable: Lines by reason.
        places: Line numbers of unusable lines, the first of each reason.
    """

    lines: int = 0
    rows: dict[Place, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    shadow: int = 0
    unusable: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """The rows of one place.

    Attributes:
        ids: Inference ids.
        entities: Pseudonyms.
        times: Milliseconds since the epoch.
        columns: Values by name, as the baseline's profile takes them.
    """

    ids: NDArray[Any]
    entities: NDArray[Any]
    times: NDArray[np.int64]
    columns: dict[str, Column]


def read_object(
    connection: Connection, path: Path, windows_s: Mapping[str, int], now_ms: int
) -> Contents:
    """Read one captured object into the table ``captured``, and say what is in it.

    Args:
        connection: The engine.
        path: The object's bytes.
        windows_s: Length of a window by known project; lines of others are unusable.
        now_ms: When the object is read.
    """
    _readable(path)
    lengths = ", ".join(f"({literal(name)}, {int(size)})" for name, size in windows_s.items())
    known = lengths or "(NULL, NULL)"
    connection.execute("DROP TABLE IF EXISTS captured")
    connection.execute(f"""
        CREATE TEMP TABLE captured AS
        WITH known(project, window_s) AS (VALUES {known}),
        texts AS (
            SELECT row_number() OVER () AS n, raw FROM read_csv(
                {literal(str(path))}, columns = {{'raw': 'VARCHAR'}}, header = false,
                delim = '\x01', quote = '', escape = '', auto_detect = false,
                max_line_size = 10000000, strict_mode = false, comment = ''
            ) WHERE trim(raw) <> ''
        ),
        parsed AS (
            SELECT n, json_valid(raw) AS valid,
                CASE WHEN json_valid(raw) THEN json_extract(raw, '$.capture') END AS c
            FROM texts
        ),
        fields AS (
            SELECT n, valid, c,
                json_extract_string(c, '$.project') AS project,
                TRY_CAST(json_extract_string(c, '$.answering_version') AS BIGINT) AS version,
                json_extract_string(c, '$.inference_id') AS id,
                json_extract_string(c, '$.entity') AS entity,
                json_extract_string(c, '$.assigned_role') AS role,
                epoch_ms(TRY_CAST(json_extract_string(c, '$.time') AS TIMESTAMP)) AS asked_at,
                json_extract(c, '$.features') AS features,
                json_extract(c, '$.prediction') AS prediction
            FROM parsed
        )
        SELECT f.*, k.window_s, asked_at // (k.window_s * 1000) AS span,
            CASE
                WHEN NOT valid THEN 'no JSON: the line is broken or cut off'
                WHEN c IS NULL OR json_type(c) <> 'OBJECT' THEN 'no capture'
                WHEN f.project IS NULL OR id IS NULL OR entity IS NULL OR version IS NULL
                    OR version < 1 OR asked_at IS NULL OR json_type(features) <> 'OBJECT'
                    OR features IS NULL
                    THEN 'another schema: a field of {", ".join(_FIELDS)} is missing or no such'
                WHEN k.project IS NULL THEN 'no such project'
                WHEN asked_at > {now_ms + AHEAD_S * 1000} THEN 'its time lies ahead of now'
                WHEN asked_at < {now_ms - BEHIND_S * 1000} THEN 'it came more than 14 days late'
            END AS reason,
            coalesce(role = 'shadow', false) AS is_shadow,
            row_number() OVER (
                PARTITION BY f.project, id, role = 'shadow' ORDER BY asked_at, n
            ) AS nth
        FROM fields AS f LEFT JOIN known AS k USING (project)
    """)
    return _contents(connection)


def _readable(path: Path) -> None:
    """Replace what is no UTF-8, so that one broken byte does not cost the whole object."""
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        path.write_bytes(content.decode(errors="replace").encode())


def _contents(connection: Connection) -> Contents:
    found = Contents()
    found.lines = int(connection.execute("SELECT count(*) FROM captured").fetchall()[0][0])
    for reason, count, places in connection.execute(
        "SELECT reason, count(*), list(n ORDER BY n)[:10] FROM captured"
        " WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
    ).fetchall():
        found.unusable[reason] = int(count)
        found.places[reason] = [int(place) for place in places]
    found.shadow = int(
        connection.execute(
            "SELECT count(*) FROM captured WHERE reason IS NULL AND is_shadow"
        ).fetchall()[0][0]
    )
    for project, count in connection.execute(
        "SELECT project, count(*) FROM captured WHERE reason IS NULL AND NOT is_shadow AND nth > 1"
        " GROUP BY project ORDER BY project"
    ).fetchall():
        found.repeated[project] = int(count)
    for project, version, window, count in connection.execute(
        "SELECT project, version, span, count(*) FROM captured WHERE reason IS NULL"
        " AND NOT is_shadow AND nth = 1 GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        found.rows[Place(project, int(version), int(window))] = int(count)
    return found


def rows_of(
    connection: Connection,
    place: Place,
    baseline: Baseline | None,
    *,
    without: Sequence[str] = (),
    segment: Parsed | None = None,
) -> Rows:
    """Return the rows of a place of the object that was read last.

    Args:
        connection: The engine.
        place: What is asked for.
        baseline: Names and kinds of the columns; without one no column is read.
        without: Inference ids that another chunk has already.
        segment: A condition over features: only rows for which it holds.
    """
    chosen = f"(SELECT * FROM captured WHERE {_of(place)})"
    if without:
        connection.execute("CREATE OR REPLACE TEMP TABLE excluded(id VARCHAR)")
        connection.executemany("INSERT INTO excluded VALUES (?)", [[one] for one in without])
        chosen = f"(SELECT * FROM captured WHERE {_of(place)} AND id NOT IN (FROM excluded))"
    if segment is not None:
        chosen = f"(SELECT * FROM {chosen} WHERE n IN ({_segment(segment, baseline, chosen)}))"
    ordered = f"{chosen} ORDER BY n"
    fixed = connection.execute(f"SELECT id, entity, asked_at FROM {ordered}").fetchnumpy()
    columns: dict[str, Column] = {}
    if baseline is not None and len(fixed["id"]):
        present = _names(connection, chosen)
        columns = _values(connection, baseline, present, ordered, len(fixed["id"]))
    return Rows(
        ids=np.asarray(fixed["id"]), entities=np.asarray(fixed["entity"]),
        times=np.asarray(fixed["asked_at"], dtype=np.int64), columns=columns,
    )  # fmt: skip


def _segment(segment: Parsed, baseline: Baseline | None, chosen: str) -> str:
    """Return the query of the places of rows for which a condition over features holds."""
    listed = ""
    for name in segment.columns:
        column = baseline.column(name) if baseline is not None else None
        text = f"json_extract_string(features, {_pointer(name)})"
        typed = _typed(column, text) if column is not None else text
        listed += f", {typed} AS {identifier(name)}"
    condition = segment.sql("rows_")
    return (
        f'SELECT "n " FROM (SELECT n AS "n "{listed} FROM {chosen}) AS rows_'
        f" WHERE coalesce({condition}, false)"
    )


def _pointer(name: str) -> str:
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _of(place: Place) -> str:
    return (
        f"reason IS NULL AND NOT is_shadow AND nth = 1 AND project = {literal(place.project)}"
        f" AND version = {place.version} AND span = {place.window}"
    )


def _names(connection: Connection, chosen: str) -> set[str]:
    found = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(features)) AS name FROM {chosen} ORDER BY name"
    ).fetchall()
    return {str(name) for (name,) in found}


def _values(
    connection: Connection, baseline: Baseline, present: set[str], ordered: str, rows: int
) -> dict[str, Column]:
    asked: dict[str, str] = {}
    predicted = {column.name for column in baseline.predictions}
    for column in baseline.columns:
        if column.name in predicted:
            asked[column.name] = _typed(column, prediction_sql(column.name))
        elif column.name in present:
            text = f"json_extract_string(features, {_pointer(column.name)})"
            asked[column.name] = _typed(column, text)
    listed = ", ".join(f"{sql} AS c{n}" for n, sql in enumerate(asked.values()))
    columns: dict[str, Column] = {}
    if asked:
        fetched = arrow_columns(connection.sql(f"SELECT {listed} FROM {ordered}"))
        columns = {name: fetched[f"c{n}"] for n, name in enumerate(asked)}
    beyond = sorted(present - {column.name for column in baseline.features})[:MAX_NAMES]
    nothing = np.ma.masked_all(rows, dtype=np.float64)  # type: ignore[no-untyped-call]
    return {**columns, **dict.fromkeys(beyond, nothing)}


def _typed(column: ColumnBaseline, text: str) -> str:
    return f"TRY_CAST({text} AS DOUBLE)" if isinstance(column.cells, NumericBins) else text


def features_of(
    connection: Connection, place: Place, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the features of some rows of a place as they were asked, by inference id."""
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted(id VARCHAR)")
    connection.executemany("INSERT INTO wanted VALUES (?)", [[one] for one in ids])
    found = connection.execute(
        f"SELECT id, features::VARCHAR FROM captured WHERE {_of(place)} AND id IN (FROM wanted)"
    ).fetchall()
    return {str(one): json.loads(features) for one, features in found}


def prediction_sql(name: str) -> str:
    """Return SQL for a column of the prediction: ``prediction`` is the probability or the value."""
    parts: tuple[str, ...] = ("/label",)
    if name == "prediction":
        parts = ("/probability", "/value", "/prediction")
    elif name not in ("label", "predicted_label"):
        return f"json_extract_string(prediction, {_pointer(name)})"
    extracted = ", ".join(f"json_extract_string(prediction, {literal(part)})" for part in parts)
    return f"coalesce({extracted})" if len(parts) > 1 else extracted


def keep_predictions(
    connection: Connection, place: Place, target: Path, features: Sequence[str]
) -> int:
    """Write the predictions of a place as Parquet, for labels that come later; return the rows.

    Args:
        connection: The engine.
        place: Whose.
        target: The file.
        features: Features that segments and groups need, kept as text.
    """
    kept = "".join(
        f", json_extract_string(features, {_pointer(name)}) AS {identifier('f_' + name)}"
        for name in features
    )
    connection.execute(f"""
        COPY (
            SELECT id, entity, asked_at,
                TRY_CAST({prediction_sql("prediction")} AS DOUBLE) AS prediction,
                {prediction_sql("label")} AS label{kept}
            FROM captured WHERE {_of(place)} ORDER BY id
        ) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)
    """)
    return int(
        connection.execute(f"SELECT count(*) FROM captured WHERE {_of(place)}").fetchall()[0][0]
    )
