"""Five million rows in one file: time and peak memory of the functions that read it.

The file is delivered to the stack on the embedded AWS, which ends a function whose resident memory
passes its `MemorySize` and whose duration passes its `Timeout`. It is followed until the dataset
is built; training is not part of it. Time and memory are what each function's own log reports.
Run: ``make bench NAME=large_delivery``.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from results import Result, finish
from steward_cli.commands.data import deliver
from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.console import table
from steward_cli.demo import data as diabetes
from steward_cli.demo.feed import Feed
from steward_cli.demo.people import acting_as, hire
from steward_cli.sources import read_source
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_ROWS = 5_000_000
_PROJECT = "hospitals"
_READERS = (
    ("Training", "StartTraining"),
    ("Data", "ValidateDeliveries"),
    ("Data", "BuildDataset"),
)
_ENDS_BADLY = ("DatasetRejected", "TrainingFailed")


def _write(path: Path, rows: int) -> None:
    """Write a delivery of patients like the demo's, each with an id of its own."""
    chance = random.Random(20)
    columns = (diabetes.ENTITY_ID, *diabetes.FEATURES, diabetes.LABEL)
    tails = [",".join(str(row[name]) for name in columns[1:]) + "\n" for row in diabetes.patients()]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(columns) + "\n")
        for start in range(0, rows, 10_000):
            file.writelines(
                f"p{number:07d},{chance.choice(tails)}"
                for number in range(start, min(start + 10_000, rows))
            )


def _add_project(target: Target, choice: Choice, home: Path) -> None:
    shutil.copytree(repository_root() / "projects" / "diabetes", home)
    declaration = home / "project.yaml"
    text = declaration.read_text(encoding="utf-8")
    for old, new in (("project: diabetes", f"project: {_PROJECT}"), ("{3,6}", "{3,9}")):
        if text.count(old) != 1:
            raise ValueError(f"project.yaml of the demo: {old!r} is not there once")
        text = text.replace(old, new)
    declaration.write_text(text, encoding="utf-8")
    source = read_source(home)
    deploy_project_stack(target, source.project)
    push(acting_as(choice, "theo"), source)


def _resources(target: Target, domain: str) -> dict[str, str]:
    """Return physical by logical id of a domain's stack."""
    cloudformation = target.client("cloudformation")

    def of(stack: str) -> dict[str, str]:
        found = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in found}

    return of(of(target.stack)[domain])


def _largest_report(target: Target, log_group: str) -> dict[str, float]:
    """Return the metrics of the invocation that used most memory, from its REPORT line."""
    reports: list[dict[str, Any]] = []
    pages = target.client("logs").get_paginator("filter_log_events").paginate(
        logGroupName=log_group
    )  # fmt: skip
    for page in pages:
        for event in page["events"]:
            if '"platform.report"' in event["message"]:
                reports.append(json.loads(event["message"])["record"]["metrics"])
    return max(reports, key=lambda metrics: metrics["maxMemoryUsedMB"])


def main() -> None:
    """Deliver once, wait for the dataset and print what each function used."""
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        home = Path(folder)
        choice = Choice("local", state_dir=home / "state")
        engine, _ = start_and_deploy(choice, None, 1.0)
        try:
            target = local_target(engine, choice)
            hire(target, choice.state_dir)
            _add_project(target, choice, home / _PROJECT)
            file = home / "delivery.csv"
            _write(file, _ROWS)
            feed = Feed(target, lambda _event: None).open()
            began = time.monotonic()
            deliver(target, _PROJECT, file)
            accepted = feed.wait_for("DatasetAccepted", unless=_ENDS_BADLY, timeout_s=900)
            built = feed.wait_for("DatasetBuilt", unless=_ENDS_BADLY, timeout_s=900)
            total = time.monotonic() - began
            feed.close()
            assert accepted.data["rows"] == _ROWS
            reported, allowed = {}, {}
            for domain, name in _READERS:
                resources = _resources(target, domain)
                allowed[name] = target.client("lambda").get_function_configuration(
                    FunctionName=resources[f"{name}Function"]
                )
                reported[name] = _largest_report(target, resources[f"{name}LogGroup"])
        finally:
            engines.stop(choice.state_dir)
        size = file.stat().st_size / 1e6
    rows = [
        (name, f"{found['durationMs'] / 1000:.1f} s", f"{found['maxMemoryUsedMB']:.0f} MB",
         f"{allowed[name]['Timeout']} s", f"{allowed[name]['MemorySize']} MB")
        for name, found in reported.items()
    ]  # fmt: skip
    console = Console()
    console.print(f"{_ROWS:,} rows, {size:.0f} MB, delivery to dataset {total:.0f} s")
    console.print(
        f"{built.data['train_rows']:,} rows train, {built.data['heldout_rows']:,} are held out"
    )
    console.print(table(("function", "took", "peak memory", "timeout", "memory"), rows))
    results = []
    for name, found in reported.items():
        seconds, megabytes = found["durationMs"] / 1000, found["maxMemoryUsedMB"]
        limit = allowed[name]
        results += [
            Result("large_delivery", f"{name}.seconds", seconds, "s", limit["Timeout"]),
            Result("large_delivery", f"{name}.memory", megabytes, "MB", limit["MemorySize"]),
        ]
    finish(results)


if __name__ == "__main__":
    main()
