"""Training sets: deliveries merged, features joined in time, split by entity, written for good."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward.domain.bias.declaration import Bias
from steward.domain.column_types import scalar
from steward.domain.declaration import ColumnType
from steward.domain.delivery_files import drop, load_typed
from steward.domain.errors import DatasetTooSmallError
from steward.domain.feature_transforms import TYPES
from steward.domain.project import Project, Split
from steward.domain.tables import Column, Data
from steward.domain.workspace import Connection, identifier, literal

MERGED = "merged"
"""Rows of all deliveries: ``order_``, ``source_row_`` and the typed columns."""

EXAMPLES = "examples"
"""The rows that are examples: ``row_``, ``part_`` and the typed columns; the spine."""

DATASET = "dataset"
"""Examples with their features: ``row_``, ``part_`` and everything that is written."""

ORDER = "entity id by bytes, then order of receipt"
_DELIVERY = "delivery"
_LIMBS = 8
_ROW_GROUP = 65_536


@dataclass(frozen=True)
class PartFile:
    """One written part.

    Attributes:
        path: The Parquet file.
        csv_path: The same rows as CSV, which script mode's channel reads.
        rows: Rows.
        positives: Rows with the positive label; None of a regression.
        sha256: Digest of the Parquet's bytes.
        csv_sha256: Digest of the CSV's bytes.
        logical_digest: Digest of the rows as a multiset, whatever their order.
    """

    path: Path
    csv_path: Path
    rows: int
    positives: int | None
    sha256: str
    csv_sha256: str
    logical_digest: str


def add_delivery(connection: Connection, path: Path, data: Data, order: int) -> None:
    """Append an accepted delivery to :data:`MERGED`: typed values, and its place in the order.

    The entity id is its typed value's text, so that 7 and 007 are one entity where it is an
    integer.
    """
    load_typed(connection, path, data, _DELIVERY)
    columns = ", ".join(identifier(column.name) for column in data.columns)
    select = f"SELECT {order} AS order_, row_ AS source_row_, {columns} FROM {_DELIVERY}"
    exists = _count(
        connection, f"SELECT count(*) FROM duckdb_tables() WHERE table_name = {literal(MERGED)}"
    )
    into = f"INSERT INTO {MERGED} {select}" if exists else f"CREATE TABLE {MERGED} AS {select}"
    connection.execute(into)
    drop(connection, _DELIVERY)


def choose_examples(
    connection: Connection, data: Data, split: Split, cutoff: datetime
) -> dict[str, int]:
    """Create :data:`EXAMPLES`: rows whose label was known at the cutoff, each with its part.

    A row whose ``label_known_at`` is after the cutoff, or empty, is no example yet. Of what is
    left ``keep`` decides: latest is by order of receipt, and within a delivery the later row.
    Rows without a label are left out after that. The position on the unit interval is the one of
    :func:`steward.domain.splits.position_of`, in SQL, of the entity id's text.

    A split by time draws a border: the newest prediction time of a row that is no traffic, less the
    horizon. What was asked for after the border is held out. What was asked for and known up to the
    border trains. What was asked for before it and known after it would teach what the held-out
    rows ask, and does neither; nor does a row without a prediction time.

    Returns:
        Counts: ``rows``, ``labels_unknown``, ``superseded``, ``without_label``, ``traffic``,
        ``heldout``, ``train``; of a split by time ``across_the_border`` too.
    """
    entity, label = identifier(data.entity_id), identifier(data.label.name)
    position = (
        f"(('0x' || substr(sha256({literal(split.salt)} || ':' || {entity}::VARCHAR), 1, 16))"
        "::UBIGINT >> 11)::DOUBLE / 9007199254740992.0"
    )
    known = "true"
    if data.label_known_at is not None:
        moment = cutoff.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        column = identifier(data.label_known_at)
        known = f"coalesce({column} <= TIMESTAMP {literal(moment)}, false)"
    kept = ""
    if data.keep == "latest_per_entity":
        kept = (
            f"QUALIFY row_number() OVER (PARTITION BY {entity}"
            " ORDER BY order_ DESC, source_row_ DESC) = 1"
        )
    columns = ", ".join(identifier(column.name) for column in data.columns)
    connection.execute(
        f"""CREATE TABLE {EXAMPLES} AS
            SELECT row_number() OVER (ORDER BY order_, source_row_) - 1 AS row_, part_, {columns}
            FROM (
                SELECT *, {_part(data, split)} AS part_
                FROM (SELECT *, {position} AS position_ FROM {MERGED} WHERE {known} {kept})
                WHERE {label} IS NOT NULL
            ) WHERE part_ IS NOT NULL"""
    )
    rows = _count(connection, f"SELECT count(*) FROM {MERGED}")
    usable = _count(connection, f"SELECT count(*) FROM {MERGED} WHERE {known}")
    chosen = usable
    if data.keep == "latest_per_entity":
        chosen = _count(connection, f"SELECT count(DISTINCT {entity}) FROM {MERGED} WHERE {known}")
    assigned = _count(connection, f"SELECT count(*) FROM {EXAMPLES}")
    labelled = assigned
    if split.by == "time":
        labelled = _count(
            connection,
            f"SELECT count(*) FROM (SELECT * FROM {MERGED} WHERE {known} {kept})"
            f" WHERE {label} IS NOT NULL",
        )
    counts = {
        "rows": rows, "labels_unknown": rows - usable, "superseded": usable - chosen,
        "without_label": chosen - labelled,
    }  # fmt: skip
    if split.by == "time":
        counts["across_the_border"] = labelled - assigned
    for part in ("traffic", "heldout", "train"):
        counts[part] = _count(
            connection, f"SELECT count(*) FROM {EXAMPLES} WHERE part_ = {literal(part)}"
        )
    return counts


def _part(data: Data, split: Split) -> str:
    """Return the expression for a row's part; null where it belongs to none."""
    if split.by == "entity":
        return (
            f"CASE WHEN position_ < {split.traffic!r} THEN 'traffic'"
            f" WHEN position_ < {split.traffic + split.heldout!r} THEN 'heldout' ELSE 'train' END"
        )
    assert data.prediction_time is not None
    assert data.label_known_at is not None
    asked, known = identifier(data.prediction_time), identifier(data.label_known_at)
    border = (
        f"max({asked}) FILTER (position_ >= {split.traffic!r}) OVER ()"
        f" - INTERVAL {split.horizon_days} DAY"
    )
    return (
        f"CASE WHEN position_ < {split.traffic!r} THEN 'traffic'"
        f" WHEN {asked} > {border} THEN 'heldout'"
        f" WHEN {asked} <= {border} AND {known} <= {border} THEN 'train' END"
    )


def border_of(connection: Connection, data: Data, split: Split) -> str | None:
    """Return the time that a split by time draws its border at, of chosen examples, as UTC."""
    if split.by == "entity" or data.prediction_time is None:
        return None
    found = connection.execute(
        f"SELECT max({identifier(data.prediction_time)}) - INTERVAL {split.horizon_days} DAY"
        f" FROM {EXAMPLES} WHERE part_ = 'heldout'"
    ).fetchone()
    border = found[0] if found else None
    return border.isoformat(timespec="milliseconds") + "+00:00" if border is not None else None


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def written_columns(project: Project) -> list[tuple[str, ColumnType]]:
    """Return what a dataset's row holds, in order: the declared columns, then those of views."""
    own = [(column.name, column.type) for column in project.data.columns]
    return [*own, *((column.name, column.type) for column in project.feature_columns)]


def write_part(connection: Connection, project: Project, part: str, folder: Path) -> PartFile:
    """Write the rows of a part as Parquet and as CSV, the same bytes for the same rows.

    Raises:
        DatasetTooSmallError: The part has no row, or only one of the two labels, or of
            a regression only one value.
    """
    data = project.data
    columns = written_columns(project)
    label = data.column(data.label.name)
    assert label is not None
    binary = data.label.task == "binary"
    name = identifier(label.name)
    positive = f"{name} = {scalar(label, data.label.positive_value)}" if binary else "false"
    found = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {positive}), count(DISTINCT {name})"
        f" FROM {DATASET} WHERE part_ = ?",
        [part],
    ).fetchone()
    rows, positives, values = found or (0, 0, 0)
    if not binary and values < 2:
        raise DatasetTooSmallError(
            f"the {part} part has {rows} rows and {values} different values of {label.name}; "
            "a regression needs rows of more than one",
            field=f"split.{part}", value=rows, allowed="at least two different labels",
        )  # fmt: skip
    if binary and not 0 < positives < rows:
        raise DatasetTooSmallError(
            f"the {part} part has {rows} rows, {positives} of them positive; "
            "it needs rows of both labels",
            field=f"split.{part}", value=rows, allowed="at least one row of each label",
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    parquet, csv = folder / f"{part}.parquet", folder / f"{part}.csv"
    ordered = (
        f"FROM {DATASET} WHERE part_ = {literal(part)}"
        f' ORDER BY {identifier(data.entity_id)}::VARCHAR COLLATE "binary", row_'
    )
    plain = ", ".join(
        f"{identifier(name)}::{TYPES[type_]} AS {identifier(name)}" for name, type_ in columns
    )
    connection.execute(
        f"COPY (SELECT {plain} {ordered}) TO {literal(str(parquet))}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
    )
    texts = ", ".join(f"{_shown(name, type_)} AS {identifier(name)}" for name, type_ in columns)
    connection.execute(
        f"COPY (SELECT {texts} {ordered}) TO {literal(str(csv))}"
        " (FORMAT csv, HEADER true, DELIMITER ',')"
    )
    return PartFile(
        parquet, csv, int(rows), int(positives) if binary else None,
        file_digest(parquet), file_digest(csv),
        logical_digest(connection, columns, f"{DATASET} WHERE part_ = {literal(part)}"),
    )  # fmt: skip


def _shown(name: str, type_: ColumnType) -> str:
    """Return SQL for a value as jobs and requests write it: times as ISO 8601 in UTC."""
    if type_ == "timestamp":
        return f"strftime({identifier(name)}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    return identifier(name)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_row(values: Iterable[str | float | bool | None]) -> str:
    """Return the one text of a row that its digest is taken of.

    Each value as a letter for its kind, the length of its text in UTF-8 bytes, a colon and the
    text: ``n0:`` null, ``s`` string, ``i`` integer, ``f`` float as C's ``%.17g`` with no negative
    zero, ``b`` boolean. A timestamp is the integer of its milliseconds since the epoch.
    """
    parts = []
    for value in values:
        if value is None:
            kind, text = "n", ""
        elif isinstance(value, bool):
            kind, text = "b", "true" if value else "false"
        elif isinstance(value, int):
            kind, text = "i", str(value)
        elif isinstance(value, float):
            kind, text = "f", format(value + 0.0, ".17g")
        else:
            kind, text = "s", value
        parts.append(f"{kind}{len(text.encode())}:{text}")
    return "".join(parts)


def multiset_digest(rows: Iterable[str]) -> str:
    """Return the sum of the rows' SHA-256 modulo 2**256: order does not matter, count does."""
    total = sum(int(hashlib.sha256(row.encode()).hexdigest(), 16) for row in rows)
    return f"{total % (1 << 256):064x}"


_CANONICAL = {"string": "s", "integer": "i", "float": "f", "boolean": "b", "timestamp": "i"}


def logical_digest(
    connection: Connection, columns: list[tuple[str, ColumnType]], relation: str
) -> str:
    """Return :func:`multiset_digest` of a relation's canonical rows, summed in 32-bit limbs."""
    pieces = []
    for plain, type_ in columns:
        kind, name = _CANONICAL[type_], identifier(plain)
        text = f"{name}::VARCHAR"
        if type_ == "float":
            text = f"format('{{:.17g}}', {name} + 0.0)"
        if type_ == "timestamp":
            text = f"epoch_ms({name})::VARCHAR"
        pieces.append(
            f"CASE WHEN {name} IS NULL THEN 'n0:'"
            f" ELSE '{kind}' || strlen({text}) || ':' || {text} END"
        )
    limbs = ", ".join(
        f"sum(('0x' || substr(digest_, {8 * limb + 1}, 8))::UBIGINT::HUGEINT)"
        for limb in range(_LIMBS)
    )
    sums = connection.execute(
        f"SELECT {limbs} FROM (SELECT sha256({' || '.join(pieces)}) AS digest_ FROM {relation})"
    ).fetchone()
    assert sums is not None
    total = sum(int(value or 0) << (32 * (_LIMBS - 1 - limb)) for limb, value in enumerate(sums))
    return f"{total % (1 << 256):064x}"


def training_rows(connection: Connection, project: Project, limit: int) -> list[dict[str, Any]]:
    """Return the features of up to ``limit`` training rows, spread over the part by a hash."""
    names = [column.name for column in project.model_features]
    values = ", ".join(_shown(column.name, column.type) for column in project.model_features)
    entity = f"{identifier(project.data.entity_id)}::VARCHAR"
    found = connection.execute(
        f"SELECT {values} FROM {DATASET} WHERE part_ = 'train'"
        f" ORDER BY sha256({entity}), {entity}, row_ LIMIT ?",
        [limit],
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


def request_columns(project: Project) -> list[Column]:
    """Return the model's features as a request gives them: a time is a string, ISO 8601."""
    return [
        column.model_copy(update={"type": "string"}) if column.type == "timestamp" else column
        for column in project.model_features
    ]


def job_description(project: Project, run_id: str) -> dict[str, Any]:
    """Return ``job.json``: what the training and the evaluation job read of the project."""
    data, evaluation = project.data, project.evaluation.model_dump(mode="json")
    bias = {} if project.bias is None else {"bias": _bias_described(project, project.bias)}
    return {
        "project": project.project,
        "run_id": run_id,
        "entity_id": data.entity_id,
        "label": data.label.model_dump(mode="json"),
        "features": [
            {
                "name": column.name, "type": column.type, "nullable": column.nullable,
                "min": column.min, "max": column.max, "allowed": column.allowed,
                "pattern": column.pattern,
            }
            for column in request_columns(project)
        ],
        "evaluation": evaluation,
        "monitoring": {"unit": project.monitoring.unit},
        **({} if data.prediction_time is None else {"prediction_time": data.prediction_time}),
        **(
            {"split_by": "time", "label_known_at": data.label_known_at}
            if project.split.by == "time" else {}
        ),
        **bias,
    }  # fmt: skip


def _bias_described(project: Project, bias: Bias) -> dict[str, Any]:
    """Return what the evaluation job reads of ``bias``, with the types of the columns."""
    types: dict[str, ColumnType] = dict(written_columns(project))
    return {
        "declared": bias.model_dump(mode="json"),
        "types": {name: types[name] for name in bias.columns},
        "withheld": bias.withheld,
    }
