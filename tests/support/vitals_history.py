"""Rows of ``vitals`` on both paths: Steward's Parquet, and the online store, by the one SQL."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from steward.domain.exposures import hashed_entity
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import (
    HistoryRow,
    entity_text,
    from_record,
    merge,
    milliseconds,
    to_record,
)
from steward.domain.feature_transforms import parquet_columns, rows_sql
from steward.domain.tables import Table as SourceTable
from steward.ports import RecordKey
from support.online_scene import MEASUREMENTS, PROJECT, VITALS, OnlineScene

DATA = "data"
TYPES = {
    "string": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


def measured(
    patient: str, measured_at: str, received_at: str = "", **values: Any
) -> dict[str, Any]:
    """Return a row of the source; times are ISO 8601 in UTC."""
    return {
        "patient_id": patient, "measured_at": measured_at,
        "received_at": received_at or measured_at, "pulse": 70, "glucose": 5.5,
        "posture": "sitting", "fasting": False, "withdrawn": False, **values,
    }  # fmt: skip


@dataclass
class VitalsHistory:
    """Materialises deliveries of a version of ``vitals`` into files and an online store.

    Attributes:
        write: Takes key and bytes of a Parquet file in the data bucket.
        read_online: Returns a record by entity, or None.
        put_online: Takes entity and record.
    """

    write: Any
    read_online: Any
    put_online: Any
    version: int = 1
    group: FeatureGroup = field(default_factory=lambda: FeatureGroup.model_validate(VITALS))
    table: SourceTable = field(default_factory=lambda: SourceTable.model_validate(MEASUREMENTS))
    deliveries: int = 0
    project: str = PROJECT

    @classmethod
    def of(cls, scene: OnlineScene, objects: Any, version: int = 1) -> VitalsHistory:
        """Return a history on the fakes of a scene."""
        name = scene.physical(version)
        return cls(
            write=lambda key, content: objects.write(f"s3://{DATA}/{key}", content),
            read_online=lambda entity: scene.online.records.get(RecordKey(name, entity)),
            put_online=lambda entity, record: scene.online.put(RecordKey(name, entity), record),
            version=version,
        )

    def deliver(
        self, rows: Sequence[Mapping[str, Any]], received_at: str, *, online: bool = True
    ) -> None:
        """Materialise rows that were received at a time; ``online=False`` forgets the second half.

        Args:
            rows: Of :func:`measured`.
        """
        received = datetime.fromisoformat(received_at).astimezone(UTC)
        self.deliveries += 1
        key = (
            f"features/{self.project}/vitals/v{self.version}/delivery-{self.deliveries:04d}/"
            "00000.parquet"
        )
        columns = ", ".join(f'"{c.name}" {TYPES[c.type]}' for c in self.table.columns)
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
            connection.execute(f"CREATE TABLE source ({columns})")
            names = [column.name for column in self.table.columns]
            marks = ", ".join("?" for _ in names)
            connection.executemany(
                f"INSERT INTO source VALUES ({marks})",
                [[row[name] for name in names] for row in rows],
            )
            select = rows_sql(self.group, "source", received_at=received)
            connection.execute(f"CREATE TABLE made AS {select}")
            path = Path(folder) / "rows.parquet"
            connection.execute(f"COPY made TO '{path}' (FORMAT parquet)")
            self.write(key, path.read_bytes())
            listed = ", ".join(f'"{name}"' for name, _ in parquet_columns(self.group, self.table))
            found = connection.execute(f"SELECT {listed} FROM made").fetchall()
        if online:
            self._put(found, milliseconds(received.isoformat()))

    def _put(self, found: list[tuple[Any, ...]], now_ms: int) -> None:
        keys = len(self.group.keys)
        by_entity: dict[str, list[HistoryRow]] = {}
        for row in found:
            event, known, deleted, digest = row[keys : keys + 4]
            values = row[keys + 4 : keys + 4 + len(self.group.features)]
            added = row[keys + 4 + len(self.group.features) :]
            by_entity.setdefault(entity_text(row[:keys]), []).append(
                HistoryRow(
                    _ms(event), _ms(known), deleted, digest,
                    tuple(_ms(v) if isinstance(v, datetime) else v for v in values),
                    tuple(None if v is None else str(v) for v in added),
                )
            )  # fmt: skip
        for entity, rows in by_entity.items():
            texts = self.read_online(entity)
            known_row = from_record(self.group, texts) if texts else None
            merged = merge(self.group, entity, known_row, rows, now_ms=now_ms)
            assert merged is not None
            self.put_online(entity, to_record(self.group, merged, now_ms=now_ms))


def _ms(at: datetime) -> int:
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def capture_of(scene: OnlineScene, number: int, entity: str, **given: Any) -> dict[str, Any]:
    """Read one entity as model version 1 sees it and return what the gateway would capture."""
    found = scene.read(1, entity, **given)
    at = scene.clock.now().isoformat(timespec="milliseconds")
    own = {"age": 59, **given}
    return {
        "capture": {
            "project": PROJECT,
            "answering_version": 1,
            "inference_id": f"inference-{number}",
            "time": at,
            "features": {**found.values, **own},
            "online": {
                "read_at": at,
                "served": found.served,
                "records": [
                    {
                        "group": record.group,
                        "version": record.version,
                        "entity": hashed_entity(PROJECT, record.entity) if record.entity else None,
                        "event_time": record.event_time,
                        "known_at": record.known_at,
                        "expired": record.expired,
                    }
                    for record in found.records
                ],
            },
        }
    }
