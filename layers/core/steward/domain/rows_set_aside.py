"""The two files that a delivery becomes when rows are set aside: what counts, and what does not.

Both have the delivery's own format and columns, unpacked, so that the rows set aside can be
mended and delivered again; why each was set aside lies in a third file.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steward.domain.delivery_files import REJECTS, Reading
from steward.domain.workspace import Connection, identifier, literal


@dataclass(frozen=True)
class SetAside:
    """Local files.

    Attributes:
        accepted: The rows that count.
        rows: The others.
        reasons: ``row, rule, column``: rows of the delivered file, in order.
    """

    accepted: Path
    rows: Path
    reasons: Path


def write_both(connection: Connection, reading: Reading, aside: str) -> SetAside:
    """Write the rows of a readable file apart.

    Args:
        connection: Holds ``aside``: ``row_``, ``rule``, ``column_``.
        reading: The file, of which every record is a sound row.
        aside: Name of that table.
    """
    folder = reading.path.parent
    suffix = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}[reading.format]
    paths = SetAside(
        folder / f"accepted.{suffix}", folder / f"rows.{suffix}", folder / "reasons.csv"
    )
    connection.execute(
        f"COPY (SELECT row_ AS row, rule, column_ AS column FROM {aside}"
        f" ORDER BY row_, rule, column_) TO {literal(str(paths.reasons))} (FORMAT csv, HEADER true)"
    )
    if reading.format == "jsonl":
        _split_lines(connection, reading.path, aside, paths)
        return paths
    for chosen, path in (("NOT IN", paths.accepted), ("IN", paths.rows)):
        _copy(connection, reading, aside, chosen, path)
    return paths


def _copy(connection: Connection, reading: Reading, aside: str, chosen: str, path: Path) -> None:
    condition = f"row_ {chosen} (SELECT row_ FROM {aside})"
    if reading.format == "parquet":
        numbered = f"read_parquet({literal(str(reading.path))}, file_row_number = true)"
        connection.execute(
            f"COPY (SELECT * EXCLUDE (file_row_number, row_) FROM"
            f" (SELECT *, file_row_number + 1 AS row_ FROM {numbered}) WHERE {condition}"
            f" ORDER BY row_) TO {literal(str(path))} (FORMAT parquet)"
        )
        return
    columns = ", ".join(f"{raw} AS {identifier(name)}" for name, raw in reading.raw.items())
    for table in (REJECTS, f"{REJECTS}_scans"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(
        f"COPY (SELECT {columns} FROM"
        f" (SELECT *, row_number() OVER () AS row_ FROM {reading.relation})"
        f" WHERE {condition} ORDER BY row_) TO {literal(str(path))} (FORMAT csv, HEADER true)"
    )


def _split_lines(connection: Connection, source: Path, aside: str, paths: SetAside) -> None:
    found = connection.execute(f"SELECT DISTINCT row_ FROM {aside} ORDER BY row_").fetchall()
    wanted = iter([int(row[0]) for row in found])
    following, row = next(wanted, 0), 0
    with (
        source.open("rb") as lines,
        paths.accepted.open("wb") as accepted,
        paths.rows.open("wb") as others,
    ):
        for content in lines:
            if not content.strip():
                continue
            row += 1
            line = content if content.endswith(b"\n") else content + b"\n"
            if row == following:
                others.write(line)
                following = next(wanted, 0)
            else:
                accepted.write(line)
