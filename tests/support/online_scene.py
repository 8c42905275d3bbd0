"""A project whose model sees features of a group, for tests of reading online."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from steward.contracts.steps.features import EntityRead, ReadFeatures
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import Contribution, OnlineRow, to_record
from steward.domain.feature_versions import group_item
from steward.domain.names import feature_group_name
from steward.domain.online_engine import OnlineEngine
from steward.domain.project import Project, parse_project
from steward.domain.versions import version_item
from steward.ports import RecordKey, Table
from steward.service.data.online_features import FeatureService
from support.fakes import FakeClock, FakeOnlineFeatures, FakeState
from support.training_scene import declaration

PROJECT = "diabetes"

VITALS: dict[str, Any] = {
    "feature_group": "vitals",
    "owner": "ward-12",
    "source": "measurements",
    "keys": ["patient_id"],
    "event_time": "measured_at",
    "known_at": "received_at",
    "deleted": "withdrawn",
    "ttl_s": 86_400,
    "features": [
        {"name": "pulse", "type": "integer"},
        {"name": "glucose", "type": "float"},
        {"name": "posture", "type": "string"},
        {"name": "fasting", "type": "boolean"},
        {"name": "seen_at", "type": "timestamp", "expression": '"measured_at"'},
    ],
    "aggregates": [
        {"name": "measured_1d", "function": "count", "window_s": 86_400},
        {"name": "glucose_1d", "function": "mean", "of": "glucose", "window_s": 86_400},
        {
            "name": "pulse_max_1d", "function": "max", "of": "pulse", "of_type": "integer",
            "window_s": 86_400,
        },
    ],
    "on_demand": [
        {
            "name": "pulse_by_age", "type": "float", "expression": "pulse / (220.0 - age)",
            "inputs": ["age"],
        },
    ],
}  # fmt: skip
MEASUREMENTS: dict[str, Any] = {
    "columns": [
        {"name": "patient_id", "type": "string"},
        {"name": "measured_at", "type": "timestamp"},
        {"name": "received_at", "type": "timestamp"},
        {"name": "pulse", "type": "integer", "nullable": True},
        {"name": "glucose", "type": "float", "nullable": True},
        {"name": "posture", "type": "string", "nullable": True},
        {"name": "fasting", "type": "boolean", "nullable": True},
        {"name": "withdrawn", "type": "boolean"},
    ],
}


def feature_declaration(**changes: Any) -> dict[str, Any]:
    """Return a valid declaration of a project that uses the group ``vitals`` whole."""
    whole = declaration()
    data = whole["data"]
    data["columns"].append({"name": "asked_at", "type": "timestamp"})
    data |= {
        "prediction_time": "asked_at", "keep": "all", "sources": {"measurements": MEASUREMENTS}
    }  # fmt: skip
    return {**whole, "feature_groups": [VITALS], "features": [{"group": "vitals"}], **changes}


def feature_project(**changes: Any) -> Project:
    """Return the project of :func:`feature_declaration`."""
    return parse_project(feature_declaration(**changes))


def epoch_ms(text: str) -> int:
    """Return epoch milliseconds of an ISO time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def vitals_record(
    entity: str = "p1", event_time: str = "2026-01-05T08:00:00.000Z", **values: str
) -> dict[str, str]:
    """Return a record of ``vitals`` as SageMaker holds it: texts, null left out."""
    at = epoch_ms(event_time)
    group = FeatureGroup.model_validate(VITALS)

    def window(earlier: str, newest: str) -> tuple[Contribution, ...]:
        hour = 3_600_000
        return (
            Contribution(at - hour, at - hour, "ab" * 8, earlier),
            Contribution(at, at, "ab" * 8, newest),
        )

    row = OnlineRow(
        entity=entity, event_ms=at, known_ms=at, deleted=False, digest="ab" * 32,
        values={"pulse": 71, "glucose": 5.5, "fasting": True, "seen_at": event_time},
        windows={
            "measured_1d": window("1", "1"), "glucose_1d": window("6.5", "5.5"),
            "pulse_max_1d": window("71", "71"),
        },
    )  # fmt: skip
    return {**to_record(group, row, now_ms=at), **values}


@dataclass
class OnlineScene:
    """A project with the group ``vitals``, versions 1 and 2 of it, on fakes.

    Model version 1 pins the first version of the group, model version 2 the second.
    """

    project: Project = field(default_factory=feature_project)
    state: FakeState = field(default_factory=FakeState)
    online: FakeOnlineFeatures = field(default_factory=FakeOnlineFeatures)
    clock: FakeClock = field(default_factory=FakeClock)
    environment: str = "local"

    def __post_init__(self) -> None:
        config = self.project.model_dump(mode="json")
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
        self.service = FeatureService(
            self.state, self.online, OnlineEngine(), self.clock, self.environment
        )
        for version in (1, 2):
            self.online.groups.add(self.physical(version))
            self.register_group(VITALS, version)
            self.register_model(version, [{"group": "vitals", "version": version}])

    def register_group(
        self, definition: dict[str, Any], version: int, status: str = "active"
    ) -> None:
        """Write the features table's item of a group version."""
        group = FeatureGroup.model_validate(definition)
        self.state.put(
            Table.FEATURES,
            {
                "project": PROJECT, "item": group_item(group.feature_group, version),
                "group": group.feature_group, "version": version, "status": status,
                "definition": group.model_dump(mode="json"),
                "definition_digest": group.definition_digest,
            },
        )  # fmt: skip

    def register_model(self, version: int, views: list[dict[str, Any]]) -> None:
        """Write a model version and its run."""
        run = f"{version:012x}-1"
        self.state.put(
            Table.RUNS,
            {
                "project": PROJECT, "run_id": run,
                "config": self.project.model_dump(mode="json"), "feature_views": views,
            },
        )  # fmt: skip
        self.state.put(
            Table.VERSIONS,
            {
                "project": PROJECT, "item": version_item(version), "version": version,
                "run_id": run, "feature_views": views,
            },
        )  # fmt: skip

    def physical(self, version: int) -> str:
        """Return SageMaker's name of a version of ``vitals``."""
        return feature_group_name(self.environment, PROJECT, "vitals", version)

    def put(self, version: int = 1, **record: str) -> None:
        """Store a record of a version of ``vitals``."""
        texts = vitals_record(**record)
        self.online.put(RecordKey(self.physical(version), texts["entity"]), texts)

    def read(self, version: int = 1, entity: str = "p1", **given: Any) -> EntityRead:
        """Read one entity as a model version sees it."""
        row = {"patient_id": entity, "age": 59, **given}
        command = ReadFeatures(project=PROJECT, version=version, entities=[row])
        (found,) = self.service.read(command).entities
        return found
