"""One bounded DuckDB for one delivery: its file, its memory and its temporary space are given."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import duckdb

from steward.domain import duckdb_imports

Connection: TypeAlias = duckdb.DuckDBPyConnection


@dataclass(frozen=True)
class Limits:
    """What the engine may use.

    Attributes:
        folder: A writable folder; Lambda has only /tmp.
        memory_mb: Bound of DuckDB's buffers; beyond it spills to ``folder``.
        threads: Threads of the engine.
    """

    folder: Path
    memory_mb: int
    threads: int = 2


ENGINE_SHARE = 0.6
"""Part of a function's memory that the engine's buffers may take; the rest is Python's."""


@contextmanager
def scratch(memory_mb: int) -> Iterator[Limits]:
    """Give a task a folder of its own under the temporary directory, and its share of memory."""
    with tempfile.TemporaryDirectory(prefix="steward-") as folder:
        yield Limits(Path(folder), int(memory_mb * ENGINE_SHARE))


@contextmanager
def workspace(limits: Limits, name: str = "rows") -> Iterator[Connection]:
    """Open a database in a file of its own and remove it afterwards.

    Extensions are neither installed nor loaded, and no home directory is looked for.
    """
    duckdb_imports.answer_at_once()
    database = limits.folder / f"{name}.duckdb"
    database.unlink(missing_ok=True)
    connection = duckdb.connect(
        str(database),
        config={
            "memory_limit": f"{limits.memory_mb}MB",
            "threads": limits.threads,
            "temp_directory": str(limits.folder / "spill"),
            "home_directory": str(limits.folder),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        yield connection
    finally:
        connection.close()
        database.unlink(missing_ok=True)
        Path(f"{database}.wal").unlink(missing_ok=True)


def lock(connection: Connection, limits: Limits) -> None:
    """Leave the engine the files below the folder and nothing else, for good.

    A second wall behind :mod:`steward.domain.expressions`: what a declaration says can neither
    reach another file or the network nor undo this.
    """
    connection.execute(f"SET allowed_directories = [{literal(f'{limits.folder}/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def identifier(name: str) -> str:
    """Return ``name`` quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return ``value`` quoted as an SQL string."""
    return "'" + value.replace("'", "''") + "'"


def engine_version() -> str:
    """Return the version of the engine, for manifests."""
    return str(duckdb.__version__)
