"""Streamed rows under the rules of their source: the same verdicts as for a delivered file."""

from __future__ import annotations

import csv
import json
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import FeatureRecordReceived
from steward.domain.errors import FeatureRecordRefusedError, MalformedEventError
from steward.domain.feature_versions import materialisation_item
from steward.domain.tables import Table as Declared
from steward.domain.validation import Context, validate_file
from steward.domain.workspace import Limits
from steward.ports import Put, Table
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_ingest import ingest_record
from steward.service.data.feature_row_rules import judge_row
from steward.service.metric_lines import MetricLog
from support.materialisation_scene import DATA, FeatureWorld, received

RECEIVED = datetime(2026, 2, 1, tzinfo=UTC)
ROW = {
    "patient": 1, "taken_at": "2026-01-20T10:00:00Z", "reported_at": "2026-01-20T11:00:00Z",
    "glucose": 126.5, "visits": 2, "ward": "icu",
}  # fmt: skip
RULES: dict[str, dict[str, Any]] = {
    "glucose": {"min": 20, "max": 600},
    "visits": {"allowed": [0, 1, 2, 3], "severity": "quarantine_rows"},
    "ward": {"pattern": "[a-z]{2,5}", "severity": "warn"},
    "patient": {"unique": True},
}
LATER = {
    "name": "reported_after_taken", "expression": "reported_at >= taken_at",
    "message": "a value is reported after it was taken",
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> FeatureWorld:
    made = FeatureWorld(tmp_path)
    declare(made, RULES, [LATER])
    return made


def declare(
    world: FeatureWorld, changes: dict[str, dict[str, Any]], rules: list[dict[str, Any]]
) -> None:
    """Give the source of the group rules, without making a new version of the group."""
    item = world.state.get(Table.PROJECTS, {"project": "clinic"})
    assert item is not None
    config = json.loads(json.dumps(item["config"]))
    source = config["data"]["sources"]["lab"]
    source["columns"] = [
        {**column, **changes.get(column["name"], {})} for column in source["columns"]
    ]
    source["rules"] = rules
    world.state.commit([Put(Table.PROJECTS, {**item, "config": config})])


def ingest(world: FeatureWorld, **changes: Any) -> Any:
    event = received(FeatureRecordReceived(group="labs", row={**ROW, **changes}), "e-1")
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        bench = Workbench(
            world.state, world.objects, world.records, world.clock, world.ids,
            Limits(Path(folder), 400), DATA, lambda: 60.0,
            MetricLog("dev", world.lines.append),
        )  # fmt: skip
        return ingest_record(event, bench)


def quarantine(world: FeatureWorld) -> dict[str, Any]:
    """Return what lies in quarantine by the last part of its key."""
    found = {}
    for info in world.objects.list(DATA, "quarantine/"):
        content = world.objects.read(f"s3://{info.bucket}/{info.key}")
        found[info.key.rsplit("/", 1)[-1]] = json.loads(content)
    return found


def counted(world: FeatureWorld, metric: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, world.lines) if metric in line]


def test_a_row_that_keeps_the_rules_is_written_and_nothing_is_kept_aside(
    world: FeatureWorld,
) -> None:
    assert ingest(world) == {"labs/v1": "written"}
    assert quarantine(world) == {}


@pytest.mark.parametrize(
    ("changes", "field", "value", "allowed"),
    [
        ({"glucose": 601.5}, ".glucose", "601.5", "<= 600"),
        ({"glucose": 19}, ".glucose", "19", ">= 20"),
        ({"visits": 4}, ".visits", "4", "one of 0, 1, 2, 3"),
        ({"reported_at": None}, ".reported_at", None, "a value"),
        ({"glucose": "126"}, ".glucose", "126", "a float"),
        (
            {"reported_at": "2026-01-20T09:00:00Z"}, "",
            "reported_at=2026-01-20 09:00:00, taken_at=2026-01-20 10:00:00",
            "a value is reported after it was taken",
        ),
    ],
)  # fmt: skip
def test_a_refused_row_is_kept_with_its_report_and_the_reason_names_the_value(
    world: FeatureWorld, changes: dict[str, Any], field: str, value: str | None, allowed: str
) -> None:
    with pytest.raises(FeatureRecordRefusedError) as refused:
        ingest(world, **changes)
    assert refused.value.field == f"detail.data.row{field}"
    assert (refused.value.value, refused.value.allowed) == (value, allowed)
    kept = quarantine(world)
    assert kept["row.json"]["row"] == {**ROW, **changes}
    [violation] = kept["report.json"]["violations"]
    assert violation["examples"][0]["value"] == value
    assert kept["report.json"]["quarantine_uri"].endswith("row.json")
    [line] = counted(world, "FeatureRecordsRefused")
    assert line["FeatureRecordsRefused"] == 1
    assert world.records.puts == []
    assert not world.state.query(Table.FEATURES, "clinic", prefix="materialisation#")


def test_every_broken_rule_is_in_the_report(world: FeatureWorld) -> None:
    with pytest.raises(FeatureRecordRefusedError, match="and 1 more"):
        ingest(world, glucose=0, visits=9, ward="ICU")
    report = quarantine(world)["report.json"]
    found = [(v["rule"], v["severity"]) for v in report["violations"]]
    assert found == [("min", "reject"), ("allowed", "quarantine_rows"), ("pattern", "warn")]


def test_the_same_refused_event_again_keeps_one_copy(world: FeatureWorld) -> None:
    for _ in range(2):
        with pytest.raises(FeatureRecordRefusedError):
            ingest(world, glucose=0)
    assert len(list(world.objects.list(DATA, "quarantine/"))) == 2


def test_a_warning_is_taken_counted_and_told(world: FeatureWorld) -> None:
    assert ingest(world, ward="ICU") == {"labs/v1": "written"}
    [line] = counted(world, "FeatureRecordWarnings")
    assert line["violations"] == [
        {"rule": "pattern", "column": "ward", "message": "ward must match [a-z]{2,5}"}
    ]
    [item] = world.state.query(Table.FEATURES, "clinic", prefix=materialisation_item("labs", 1, ""))
    assert item["warnings"] == 1
    assert quarantine(world) == {}


def test_a_type_that_is_only_warned_of_counts_as_null_as_in_a_file(world: FeatureWorld) -> None:
    declare(world, {"glucose": {"severity": "warn"}}, [])
    assert ingest(world, glucose="much") == {"labs/v1": "written"}
    assert world.online(1).values.get("glucose") is None


def test_rules_of_a_whole_delivery_are_not_judged_on_a_row(world: FeatureWorld) -> None:
    declare(world, {"visits": {"max_null_share": 0.1}, "patient": {"unique": True}}, [])
    assert ingest(world, visits=None) == {"labs/v1": "written"}
    world.clock.advance(1)
    assert ingest(world, reported_at="2026-01-20T11:30:00Z") == {"labs/v1": "written"}


def test_what_the_registered_version_cannot_take_is_kept_too(world: FeatureWorld) -> None:
    declare(world, {"taken_at": {"severity": "warn"}}, [])
    with pytest.raises(FeatureRecordRefusedError, match="has no taken_at"):
        ingest(world, taken_at=None)
    assert quarantine(world)["report.json"]["refused_by"] == "labs/v1"


def test_text_that_is_no_unicode_is_refused_and_not_retried(
    world: FeatureWorld, tmp_path: Path
) -> None:
    with pytest.raises(MalformedEventError, match="Unicode"):
        ingest(world, ward="\ud800")
    with pytest.raises(FeatureRecordRefusedError, match="not readable"):
        judge_row({"s": "\ud800", "n": 1}, TABLE, Limits(tmp_path, 400), RECEIVED)


TABLE = Declared.model_validate(
    {
        "format": "jsonl", "max_quarantined_share": 1, "row_count": {"min": 0},
        "columns": [
            {"name": "n", "type": "integer", "min": -3, "max": 5, "severity": "quarantine_rows"},
            {"name": "x", "type": "float", "nullable": True, "min": -1.5, "max": 2.25,
             "severity": "quarantine_rows"},
            {"name": "s", "type": "string", "nullable": True, "severity": "quarantine_rows",
             "pattern": r"(?i)\p{L}[\w\p{L}-]*é?$|"},
            {"name": "c", "type": "string", "nullable": True, "allowed": ["a", "b", "ä"],
             "severity": "quarantine_rows"},
            {"name": "b", "type": "boolean", "nullable": True, "severity": "quarantine_rows"},
            {"name": "t", "type": "timestamp", "nullable": True, "severity": "quarantine_rows"},
        ],
        "rules": [
            {"name": "n_below_x", "expression": "n < x + 4 or b", "severity": "quarantine_rows"},
            {"name": "short", "severity": "quarantine_rows",
             "expression": "length(s) + n % 3 <> 4 and coalesce(c, 'a') <> s or t is null"},
            {"name": "year", "expression": "extract(year from t) between 2020 and 2026",
             "severity": "quarantine_rows"},
        ],
    }
)  # fmt: skip
ODD: list[Any] = [
    None, "", " ", "a", "b", "ä", "é", "Zoë-1", "line\nbreak", "a\n", "x" * 30, '"', "\\", "1",
    "1.5", "-0", "true", True, False, 0, 1, -1, -0.0, 1.5, 2.25, 2.2500000001, 6, 1e300, 2**63,
    -(2**63), 2**53 + 1, "2026-01-20", "2026-01-20T10:00:00Z", "2026-01-20T10:00:00+02:00",
    "2026-13-01",
    "1999-12-31T23:59:59.999Z", [1], {"a": 1}, "٣", "\u2028",
]  # fmt: skip


def _value(chance: random.Random, kind: str) -> Any:
    if chance.random() < 0.15:
        return chance.choice(ODD)
    if kind == "string" and chance.random() < 0.5:
        return chance.choice("abä")
    return {
        "integer": chance.randint(-5, 8),
        "float": chance.choice([chance.uniform(-3, 4), chance.randint(-2, 3)]),
        "string": "".join(chance.choice("abäéZ-1") for _ in range(chance.randint(0, 4))),
        "boolean": chance.random() < 0.5,
        "timestamp": f"20{chance.randint(18, 28)}-0{chance.randint(1, 9)}-15T10:00:00"
        + chance.choice(["", "Z", "+05:30", ".123456"]),
    }.get(kind)


@pytest.mark.parametrize("seed", range(2))
def test_a_row_has_the_verdict_of_the_same_row_in_a_file(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    rows = [
        {c.name: _value(chance, c.type) for c in TABLE.columns if chance.random() < 0.97}
        for _ in range(120)
    ]
    event_times = frozenset({"t"})
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    limits = Limits(tmp_path, 400)
    validated = validate_file(file, TABLE, limits, Context(RECEIVED, event_times))
    assert validated.aside is not None
    delivered: dict[int, set[tuple[str, str]]] = {number: set() for number in range(len(rows))}
    with validated.aside.reasons.open(encoding="utf-8") as lines:
        for found in csv.DictReader(lines):
            delivered[int(found["row"]) - 1].add((found["rule"], found["column"]))
    streamed = {
        number: {
            (found.rule, found.column or "")
            for found in judge_row(row, TABLE, limits, RECEIVED, event_times).violations
        }
        for number, row in enumerate(rows)
    }
    assert streamed == delivered
    broken = {rule for rules in streamed.values() for rule, _ in rules}
    assert broken == {
        "null", "type", "min", "max", "pattern", "allowed", "future", "n_below_x", "short", "year",
    }  # fmt: skip
    assert any(not rules for rules in streamed.values())
