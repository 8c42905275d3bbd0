"""Training sets: deliveries merged, split by entity, written byte for byte reproducibly."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward.domain.column_types import scalar
from steward.domain.delivery_files import drop, load_typed
from steward.domain.errors import DatasetTooSmallError
from steward.domain.project import Project, Split
from steward.domain.tables import Data
from steward.domain.workspace import Connection, identifier, literal

MERGED = "merged"
_DELIVERY = "delivery"
_LIMBS = 8


@dataclass(frozen=True)
class PartFile:
    """One written part.

    Attributes:
        rows: Rows.
        positives: Rows with the positive label.
        sha256: Digest of the bytes.
        logical_digest: Digest of the rows as a multiset, whatever their order.
    """

    path: Path
    rows: int
    positives: int
    sha256: str
    logical_digest: str


def add_delivery(connection: Connection, path: Path, data: Data, order: int) -> None:
    """Append an accepted delivery to :data:`MERGED`: typed values, and its place in the order.

    The entity id stays as it is written, since the split hashes its bytes.
    """
    load_typed(connection, path, data, _DELIVERY, as_written=(data.entity_id,))
    names = ", ".join(identifier(column.name) for column in data.columns)
    select = f"SELECT {order} AS order_, row_, {names} FROM {_DELIVERY}"
    exists = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [MERGED]
    ).fetchone()
    into = f"INSERT INTO {MERGED} {select}" if exists and exists[0] else None
    connection.execute(into or f"CREATE TABLE {MERGED} AS {select}")
    drop(connection, _DELIVERY)


def assign_parts(connection: Connection, data: Data, split: Split) -> dict[str, int]:
    """Keep the latest row of each entity and give it its part.

    Latest is by order of receipt, and within a delivery the later row; rows without a label
    are left out. The position on the unit interval is the one of
    :func:`steward.domain.splits.position_of`, in SQL.

    Returns:
        Counts: ``rows``, ``superseded``, ``without_label``, ``traffic``, ``heldout``, ``train``.
    """
    entity, label = identifier(data.entity_id), identifier(data.label.name)
    position = (
        f"(('0x' || substr(sha256({literal(split.salt)} || ':' || {entity}), 1, 16))::UBIGINT"
        " >> 11)::DOUBLE / 9007199254740992.0"
    )
    connection.execute(
        f"""CREATE TABLE assigned AS
            SELECT * EXCLUDE (order_, row_, position_),
                   CASE WHEN position_ < {split.traffic!r} THEN 'traffic'
                        WHEN position_ < {split.traffic + split.heldout!r} THEN 'heldout'
                        ELSE 'train' END AS part_
            FROM (SELECT *, {position} AS position_ FROM {MERGED}
                  QUALIFY row_number() OVER (
                      PARTITION BY {entity} ORDER BY order_ DESC, row_ DESC) = 1)
            WHERE {label} IS NOT NULL"""
    )
    counts = {"rows": 0, "superseded": 0, "without_label": 0}
    for name, query in (
        ("rows", f"SELECT count(*) FROM {MERGED}"),
        ("superseded", f"SELECT count(*) - count(DISTINCT {entity}) FROM {MERGED}"),
        ("assigned", "SELECT count(*) FROM assigned"),
    ):
        row = connection.execute(query).fetchone()
        counts[name] = int(row[0]) if row else 0
    counts["without_label"] = counts["rows"] - counts["superseded"] - counts.pop("assigned")
    for part in ("traffic", "heldout", "train"):
        row = connection.execute("SELECT count(*) FROM assigned WHERE part_ = ?", [part]).fetchone()
        counts[part] = int(row[0]) if row else 0
    return counts


def write_part(connection: Connection, data: Data, part: str, path: Path) -> PartFile:
    """Write the rows of a part as CSV, ordered by entity id, columns as declared.

    Raises:
        DatasetTooSmallError: The part has no row, or only one of the two labels.
    """
    columns = ", ".join(identifier(column.name) for column in data.columns)
    label = next(column for column in data.columns if column.name == data.label.name)
    positive = f"{identifier(label.name)} = {scalar(label, data.label.positive)}"
    found = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {positive}) FROM assigned WHERE part_ = ?",
        [part],
    ).fetchone()
    rows, positives = found or (0, 0)
    if not 0 < positives < rows:
        raise DatasetTooSmallError(
            f"the {part} part has {rows} rows, {positives} of them positive; "
            "it needs rows of both labels",
            field=f"split.{part}", value=rows, allowed="at least one row of each label",
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT {columns} FROM assigned WHERE part_ = {literal(part)}"
        f' ORDER BY {identifier(data.entity_id)} COLLATE "binary")'
        f" TO {literal(str(path))} (FORMAT csv, HEADER true, DELIMITER ',')"
    )
    return PartFile(
        path, int(rows), int(positives), file_digest(path), _logical(connection, data, part)
    )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_row(values: Iterable[str | float | bool | None]) -> str:
    """Return the one text of a row that its digest is taken of.

    Each value as a letter for its kind, the length of its text in UTF-8 bytes, a colon and the
    text: ``n0:`` null, ``s`` string, ``i`` integer, ``f`` float as C's ``%.17g`` with no negative
    zero, ``b`` boolean.
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


_CANONICAL = {"string": "s", "integer": "i", "float": "f", "boolean": "b"}


def _logical(connection: Connection, data: Data, part: str) -> str:
    """Return :func:`multiset_digest` of the part's canonical rows, summed in 32-bit limbs."""
    pieces = []
    for column in data.columns:
        kind = "s" if column.name == data.entity_id else _CANONICAL[column.type]
        name = identifier(column.name)
        text = f"format('{{:.17g}}', {name} + 0.0)" if kind == "f" else f"{name}::VARCHAR"
        pieces.append(
            f"CASE WHEN {name} IS NULL THEN 'n0:'"
            f" ELSE '{kind}' || strlen({text}) || ':' || {text} END"
        )
    limbs = ", ".join(
        f"sum(('0x' || substr(digest_, {8 * limb + 1}, 8))::UBIGINT::HUGEINT)"
        for limb in range(_LIMBS)
    )
    sums = connection.execute(
        f"SELECT {limbs} FROM (SELECT sha256({' || '.join(pieces)}) AS digest_"
        " FROM assigned WHERE part_ = ?)",
        [part],
    ).fetchone()
    assert sums is not None
    total = sum(int(value) << (32 * (_LIMBS - 1 - limb)) for limb, value in enumerate(sums))
    return f"{total % (1 << 256):064x}"


def training_rows(connection: Connection, data: Data, limit: int) -> list[dict[str, Any]]:
    """Return the features of up to ``limit`` training rows, spread over the part by a hash."""
    names = [column.name for column in data.features]
    entity = identifier(data.entity_id)
    found = connection.execute(
        f"SELECT {', '.join(identifier(name) for name in names)} FROM assigned"
        f" WHERE part_ = 'train' ORDER BY sha256({entity}), {entity} LIMIT ?",
        [limit],
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


def job_description(project: Project, run_id: str) -> dict[str, Any]:
    """Return ``job.json``: what the training and the evaluation job read of the project."""
    data, evaluation = project.data, project.evaluation.model_dump(mode="json")
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
            for column in data.features
        ],
        "evaluation": evaluation,
    }  # fmt: skip
