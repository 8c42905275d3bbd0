"""Use case: read features of entities online, as of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.contracts.steps.features import EntityRead, FeaturesRead, ReadFeatures, RecordRead
from steward.domain.errors import RejectedError
from steward.domain.feature_records import iso as record_time
from steward.domain.online_engine import OnlineEngine
from steward.domain.online_values import (
    Reading,
    Value,
    entity_of,
    given_value,
    iso,
    milliseconds_of,
    reading_of,
    shown,
)
from steward.ports import Clock, OnlineFeatures, RecordKey, StateStore
from steward.service.data.online_views import (
    OnlineView,
    OnlineViews,
    views_of_groups,
    views_of_version,
)

Row = dict[str, Any]


@dataclass
class FeatureService:
    """Reads features; keeps what a model version's views are, which never changes.

    Attributes:
        environment: Part of SageMaker's names.
    """

    state: StateStore
    online: OnlineFeatures
    engine: OnlineEngine
    clock: Clock
    environment: str
    _views: dict[tuple[str, int], OnlineViews] = field(default_factory=dict)

    def read(self, command: ReadFeatures) -> FeaturesRead:
        """Return the features of each entity at one moment for all.

        A value that is given wins over the stored one, also null, and on-demand features are
        computed from what has won. Values of an expired record are null, and so are those of an
        entity that has none; windows end now. Nothing is answered where a record cannot be read.

        Raises:
            RejectedError: A group, feature, key or given value is wrong; ``field`` names it.
            DependencyError: The online store does not answer.
            EvidenceIncompleteError: A record is none that Steward has written.
        """
        views = self._views_of(command)
        rows = [{**command.request, **entity} for entity in command.entities]
        entities = [[entity_of(v.group.keys, row, v.keys) for v in views.views] for row in rows]
        now = self.clock.now()
        keys = [
            RecordKey(view.physical_name, name)
            for named in entities
            for view, name in zip(views.views, named, strict=True)
            if name is not None
        ]
        records = self.online.read(keys) if keys else {}
        values: list[dict[str, Value]] = [{} for _ in rows]
        read: list[list[RecordRead]] = [[] for _ in rows]
        for place, view in enumerate(views.views):
            names = [named[place] for named in entities]
            readings = self._readings(view, names, records, now)
            for row, name, reading in zip(read, names, readings, strict=True):
                row.append(_told(view, name, reading, now))
            for merged, more in zip(
                values, self._values(view, views, rows, readings, now), strict=True
            ):
                merged.update(more)
        return FeaturesRead(
            read_at=iso(now),
            entities=[
                EntityRead(
                    values={name: shown(value) for name, value in found.items()},
                    served=[name for name in found if name not in row],
                    records=told,
                )
                for found, row, told in zip(values, rows, read, strict=True)
            ],
        )

    def answer(self, command: ReadFeatures) -> FeaturesRead:
        """Return :meth:`read`, or what is wrong with the request as an answer of its own."""
        try:
            return self.read(command)
        except RejectedError as error:
            return FeaturesRead(read_at=iso(self.clock.now()), entities=[], refused=error.as_dict())

    def _views_of(self, command: ReadFeatures) -> OnlineViews:
        if command.version is None:
            return views_of_groups(self.state, command.project, command.groups, self.environment)
        key = (command.project, command.version)
        if key not in self._views:
            self._views[key] = views_of_version(self.state, *key, self.environment)
        return self._views[key]

    def _readings(
        self,
        view: OnlineView,
        names: Sequence[str | None],
        records: Mapping[RecordKey, Mapping[str, str]],
        now: datetime,
    ) -> list[Reading]:
        found: list[Reading] = []
        for name in names:
            texts = records.get(RecordKey(view.physical_name, name)) if name is not None else None
            found.append(reading_of(view.group, texts, now))
        counting = [n for n, reading in enumerate(found) if reading.counts]
        if view.windows is None or not counting:
            return found
        rows = [row for n in counting if (row := found[n].row) is not None]
        windows = self.engine.windows(view.windows, now, rows)
        for n, aggregates in zip(counting, windows, strict=True):
            found[n] = Reading(found[n].row, aggregates=aggregates)
        return found

    def _values(
        self,
        view: OnlineView,
        views: OnlineViews,
        rows: Sequence[Row],
        readings: Sequence[Reading],
        now: datetime,
    ) -> list[dict[str, Value]]:
        stored = [reading.stored(view.group) for reading in readings]
        for column in view.columns:
            for row, values in zip(rows, stored, strict=True):
                if column.name in row and column.kind != "on_demand":
                    values[column.feature] = given_value(column.name, row[column.name], column.type)
        computed: list[dict[str, Value]] = [{} for _ in rows]
        if view.on_demand is not None:
            known = [
                {**values, **_inputs_of(view, views, row, now)}
                for row, values in zip(rows, stored, strict=True)
            ]
            computed = self.engine.on_demand(view.on_demand, known)
        found = []
        for row, values, more in zip(rows, stored, computed, strict=True):
            merged = {**values, **more}
            for column in view.columns:
                if column.name in row and column.kind == "on_demand":
                    merged[column.feature] = given_value(column.name, row[column.name], column.type)
            found.append({column.name: merged[column.feature] for column in view.columns})
        return found


def _inputs_of(view: OnlineView, views: OnlineViews, row: Row, now: datetime) -> dict[str, Value]:
    stored = {f.name for f in view.group.features} | {a.name for a in view.group.aggregates}
    found: dict[str, Value] = {}
    for name, _ in view.on_demand.columns if view.on_demand else ():
        if name in stored:
            continue
        if name in row:
            found[name] = given_value(name, row[name], views.inputs[name])
        elif name == views.prediction_time:
            found[name] = now
        else:
            raise RejectedError(
                f"{name} is needed to compute features of {view.group.feature_group}",
                field=name, allowed=f"a value of type {views.inputs[name]}, or null",
            )  # fmt: skip
    return found


def _told(view: OnlineView, name: str | None, reading: Reading, now: datetime) -> RecordRead:
    row = reading.row
    return RecordRead(
        group=view.group.feature_group,
        version=view.version,
        entity=name,
        found=row is not None and not row.deleted,
        event_time=record_time(row.event_ms) if row else None,
        known_at=record_time(row.known_ms) if row else None,
        freshness_s=(milliseconds_of(now) - row.event_ms) / 1000 if row else None,
        expired=reading.expired,
    )
