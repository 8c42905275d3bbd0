"""What reading features online costs: BatchGetRecord, DynamoDB beside it, and our function.

The same values lie in SageMaker Feature Store and in a plain DynamoDB table of the embedded AWS:
100 entities of 20 features, 6 of them windows of 10 rows. Three ways read them in turn, one
request at a time, each warm:

* ``BatchGetRecord`` of N keys by boto3, every feature of each;
* ``BatchGetItem`` of the same N keys by boto3, what a store without Feature Store would do;
* ``data/read_features`` by direct call, as the gateway asks: views, typed values, windows as of
  now, an on-demand feature.

The embedded AWS is no yardstick of AWS's own latency: the ratio of the two stores says what the
API of records adds, and the overhead what the function adds, both here. The price is that of the
function alone, from the price table. Run: ``make bench NAME=online_store``.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.console import Console

from results import Result, finish
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import Contribution, OnlineRow, to_record
from steward.domain.feature_versions import group_item
from steward.domain.names import feature_group_name
from steward.domain.prices import US_EAST_1, function_dollars
from steward.domain.project import Project, parse_project
from steward.ports import Put, Table
from steward_cli.commands.local import start_and_deploy
from steward_cli.commands.project import deploy_project_stack
from steward_cli.console import table
from steward_cli.state import StackState
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_PROJECT, _TABLE = "bench", "bench-online-store"
_ENTITIES, _ROWS, _WINDOWS, _WINDOW_ROWS = 100, 14, 6, 10
_KEYS = (1, 10, 100)
_WARM_UP, _ROUNDS = 10, 60
_MEMORY_MB = 1769
_OVERHEAD_BAR_MS = 60.0
"""What the gateway waits for one entity beyond the store itself, on this machine."""


def _project() -> Project:
    features = [{"name": f"f{n}", "type": "float"} for n in range(_ROWS - 1)]
    windows = [
        {"name": f"w{n}", "function": "mean", "of": f"f{n}", "window_s": 86_400}
        for n in range(_WINDOWS)
    ]
    group = {
        "feature_group": "vitals", "owner": "bench", "source": "measurements",
        "keys": ["patient"], "event_time": "at", "features": features, "aggregates": windows,
        "on_demand": [
            {"name": "by_age", "type": "float", "expression": "f0 / age", "inputs": ["age"]}
        ],
    }  # fmt: skip
    source = [{"name": "patient", "type": "string"}, {"name": "at", "type": "timestamp"}]
    source += [{"name": feature["name"], "type": "float"} for feature in features]
    columns = [
        {"name": "patient", "type": "string"}, {"name": "asked_at", "type": "timestamp"},
        {"name": "age", "type": "integer"}, {"name": "outcome", "type": "integer"},
    ]  # fmt: skip
    return parse_project(
        {
            "project": _PROJECT, "owner": "bench", "feature_groups": [group],
            "features": [{"group": "vitals"}],
            "data": {
                "entity_id": "patient", "label": {"name": "outcome"},
                "prediction_time": "asked_at", "columns": columns,
                "sources": {"measurements": {"columns": source}},
            },
        }
    )  # fmt: skip


def _record(group: FeatureGroup, number: int, now: datetime) -> dict[str, str]:
    def ms(ago_s: int) -> int:
        return int((now - timedelta(seconds=ago_s)).timestamp() * 1000)

    window = tuple(
        Contribution(ms(60 * row + 60), ms(60 * row + 60), f"{row:016x}", f"{number + row}.125")
        for row in reversed(range(_WINDOW_ROWS))
    )
    row = OnlineRow(
        entity=f"p{number}", event_ms=ms(60), known_ms=ms(60), deleted=False, digest="0" * 64,
        values={feature.name: number + 1 / 3 for feature in group.features},
        windows={aggregate.name: window for aggregate in group.aggregates},
    )  # fmt: skip
    return to_record(group, row, now_ms=ms(0))


def _plant(target: Target) -> str:
    """Put the same values into both stores; return SageMaker's name of the group."""
    project = _project()
    (group,) = project.feature_groups
    deploy_project_stack(target, project)
    name = feature_group_name(target.environment_name, _PROJECT, "vitals", 1)
    config = {"project": _PROJECT, "config": project.model_dump(mode="json")}
    view = [{"group": "vitals", "version": 1}]
    registered = {
        "project": _PROJECT, "item": group_item("vitals", 1), "group": "vitals", "version": 1,
        "status": "active", "definition": group.model_dump(mode="json"),
        "definition_digest": group.definition_digest,
    }  # fmt: skip
    model = {"project": _PROJECT, "item": "version#00000001", "version": 1, "run_id": "bench-1"}
    StackState(target).store.commit(
        [
            Put(Table.PROJECTS, config),
            Put(Table.RUNS, {**config, "run_id": "bench-1"}),
            Put(Table.FEATURES, registered),
            Put(Table.VERSIONS, {**model, "feature_views": view}),
        ]
    )
    dynamodb, runtime = target.client("dynamodb"), target.client("sagemaker-featurestore-runtime")
    dynamodb.create_table(
        TableName=_TABLE, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "entity", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "entity", "AttributeType": "S"}],
    )  # fmt: skip
    now = datetime.now(UTC)
    for number in range(_ENTITIES):
        record = _record(group, number, now)
        runtime.put_record(
            FeatureGroupName=name,
            Record=[{"FeatureName": n, "ValueAsString": v} for n, v in record.items()],
        )
        dynamodb.put_item(TableName=_TABLE, Item={n: {"S": v} for n, v in record.items()})
    return name


def _ways(target: Target, group: str) -> dict[str, Callable[[list[str]], int]]:
    """Return the three ways; each takes entities and returns how many it has read."""
    dynamodb, runtime = target.client("dynamodb"), target.client("sagemaker-featurestore-runtime")
    functions = target.client("lambda").get_paginator("list_functions").paginate()
    reader = next(
        function["FunctionName"]
        for page in functions
        for function in page["Functions"]
        if "ReadFeatures" in function["FunctionName"]
    )

    def records(entities: list[str]) -> int:
        wanted = {"FeatureGroupName": group, "RecordIdentifiersValueAsString": entities}
        return len(runtime.batch_get_record(Identifiers=[wanted])["Records"])

    def items(entities: list[str]) -> int:
        keys = [{"entity": {"S": entity}} for entity in entities]
        answer = dynamodb.batch_get_item(RequestItems={_TABLE: {"Keys": keys}})
        return len(answer["Responses"][_TABLE])

    def features(entities: list[str]) -> int:
        rows = [{"patient": entity, "age": 50} for entity in entities]
        command = {"project": _PROJECT, "version": 1, "entities": rows}
        answer = target.client("lambda").invoke(
            FunctionName=reader, Payload=json.dumps(command).encode()
        )
        told = json.loads(answer["Payload"].read())
        return sum(entity["records"][0]["found"] for entity in told["entities"])

    return {"BatchGetRecord": records, "BatchGetItem": items, "read_features": features}


def _measure(ways: dict[str, Callable[[list[str]], int]], keys: int) -> dict[str, list[float]]:
    """Return milliseconds of each way, asked in turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(_WARM_UP + _ROUNDS):
        entities = [f"p{(number * 7 + n) % _ENTITIES}" for n in range(keys)]
        for name, way in ways.items():
            begun = time.perf_counter()
            found = way(entities)
            if number >= _WARM_UP:
                taken[name].append((time.perf_counter() - begun) * 1000)
            if found != keys:
                raise SystemExit(f"{name} has read {found} of {keys} entities")
    return taken


def _p99(taken: list[float]) -> float:
    return quantiles(taken, n=100)[-1]


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        choice = Choice("local", state_dir=Path(folder))
        engine, _ = start_and_deploy(choice, None, 1.0)
        try:
            target = local_target(engine, choice)
            ways = _ways(target, _plant(target))
            taken = {keys: _measure(ways, keys) for keys in _KEYS}
        finally:
            engines.stop(choice.state_dir)
    rows: list[tuple[Any, ...]] = []
    results: list[Result] = []
    for keys, by_way in taken.items():
        for name, found in by_way.items():
            rows.append((keys, name, f"{median(found):.1f} ms", f"{_p99(found):.1f} ms"))
            results.append(Result("online_store", f"{name}_{keys}_p50", median(found), "ms"))
            results.append(Result("online_store", f"{name}_{keys}_p99", _p99(found), "ms"))
        store, plain, function = (median(by_way[name]) for name in ways)
        results.append(Result("online_store", f"store_ratio_{keys}", store / plain, "ratio"))
        results.append(
            Result(
                "online_store", f"function_overhead_{keys}_p50", function - store, "ms",
                _OVERHEAD_BAR_MS if keys == 1 else None,
            )
        )  # fmt: skip
    seconds = median(taken[1]["read_features"]) / 1000
    dollars = function_dollars(_MEMORY_MB, 1_000_000, seconds * 1_000_000)
    results.append(Result("online_store", "function_per_million_reads", dollars, "dollars"))
    title = f"{_ROWS + _WINDOWS} features, {_ROUNDS} requests each"
    Console().print(table((title, "way", "p50", "p99"), rows))
    Console().print(f"A million reads of one entity: {dollars:.2f} $ of Lambda, "
                    f"{US_EAST_1.label()}; SageMaker's own price comes on top.")  # fmt: skip
    finish(results)


if __name__ == "__main__":
    main()
