"""The step cache: a run that finds every step done beside one that carries every step out.

Plays both on the embedded AWS, in turns: a request with ``--no-cache``, which builds, trains and
evaluates, and a run of the same project under another description, which is other work with the
same steps. Timed is the execution of the training machine, from its start to its end. What is
left of a cached run is orchestration: validation, the checks of all outputs, the comparison, the
gate and the registration, so the ratio here is an upper limit: jobs on AWS take minutes, of which
their instances' start alone is more than all the rest. Run: ``make bench NAME=cache``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from results import Result, finish
from steward.domain.run_comparison import saved_dollars, steps_of
from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.console import table
from steward_cli.demo import data as diabetes
from steward_cli.demo.people import acting_as, hire
from steward_cli.function_urls import call
from steward_cli.sources import read_source
from steward_cli.state import StackState
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_PROJECT = "cachebench"
_TIME_SCALE = 10.0
_BAR_RATIO = 0.6
_LONGEST_S = 300.0


class Player:
    """A project on a deployed stack, run again and again."""

    def __init__(self, target: Target, choice: Choice, folder: Path) -> None:
        self._target, self._state = target, StackState(target)
        self._theo = acting_as(choice, "theo")
        self._home = folder / _PROJECT
        shutil.copytree(repository_root() / "projects" / "diabetes", self._home)
        declaration = self._home / "project.yaml"
        text = declaration.read_text(encoding="utf-8")
        text = text.replace("project: diabetes", f"project: {_PROJECT}")
        text = text.replace("features:\n  - group: labs\n", "features: []\n")
        text = re.sub(r"(?m)^bias:\n(?:[ ].*\n)+", "", text)
        self._text = re.sub(r"(?m)^description: .*\n", "", text)
        shutil.rmtree(self._home / "features")
        self.describe("at first")
        deploy_project_stack(target, read_source(self._home).project)

    def describe(self, description: str) -> None:
        """Push the project under another description."""
        content = f"description: {description}\n{self._text}"
        (self._home / "project.yaml").write_text(content, encoding="utf-8")
        push(self._theo, read_source(self._home))

    def start(self, *, use_cache: bool) -> None:
        """Ask for a run."""
        body = {"action": "start", "project": _PROJECT, "reason": "bench", "use_cache": use_cache}
        answer = call(self._target, self._target.output("RunUrl"), "POST", body)
        if answer.raise_for_status().body["outcome"] != "started":
            raise SystemExit(f"no run was started: {answer.body}")

    def ended(self, count: int) -> tuple[dict[str, Any], float]:
        """Wait for the end of the run with this number; return it and its execution's seconds."""
        deadline = time.monotonic() + _LONGEST_S
        while time.monotonic() < deadline:
            runs = self._state.runs(_PROJECT)
            if len(runs) >= count and runs[-1]["status"] not in ("running", "waiting"):
                return runs[-1], self._seconds(runs[-1]["execution_arn"])
            time.sleep(0.1)
        raise SystemExit(f"run {count} did not end within {_LONGEST_S:g} s")

    def _seconds(self, arn: str) -> float:
        client = self._target.client("stepfunctions")
        while True:
            found = client.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                taken: float = (found["stopDate"] - found["startDate"]).total_seconds()
                return taken
            time.sleep(0.05)


def measure(player: Player, repeats: int) -> tuple[list[float], list[float], list[float]]:
    """Return seconds of full and of cached runs, and the dollars that each of those saved."""
    full, cached, saved = [], [], []
    number = 1
    for turn in range(repeats):
        number += 1
        player.start(use_cache=False)
        run, seconds = player.ended(number)
        _expect(run, "ran")
        full.append(seconds)
        number += 1
        player.describe(f"turn {turn}")
        player.start(use_cache=True)
        run, seconds = player.ended(number)
        _expect(run, "reused")
        cached.append(seconds)
        saved.append(saved_dollars(run))
    return full, cached, saved


def _expect(run: dict[str, Any], status: str) -> None:
    found = {name: step["status"] for name, step in steps_of(run).items()}
    if run["status"] not in ("succeeded", "held") or set(found.values()) != {status}:
        raise SystemExit(f"run {run['run_id']} is {run['status']} with {found}, not {status}")


def main() -> None:
    """Measure, print, and exit by the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        choice = Choice("local", state_dir=Path(folder))
        engine, _ = start_and_deploy(choice, None, _TIME_SCALE)
        try:
            target = local_target(engine, choice)
            hire(target, choice.state_dir)
            player = Player(target, choice, Path(folder))
            first = diabetes.write_deliveries(Path(folder))[0]
            key = f"deliveries/{_PROJECT}/{first.name}"
            bucket = target.output("DataBucketName")
            target.client("s3").upload_file(str(first), bucket, key)
            player.ended(1)
            full, cached, saved = measure(player, given.repeats)
        finally:
            engines.stop(choice.state_dir)
    ratio = statistics.median(cached) / statistics.median(full)
    rows = [
        ("full run", f"{statistics.median(full):.2f} s", f"{min(full):.2f} to {max(full):.2f} s"),
        ("cached run", f"{statistics.median(cached):.2f} s",
         f"{min(cached):.2f} to {max(cached):.2f} s"),
        ("ratio", f"{ratio:.2f}", ""),
        ("saved by a cached run", f"${statistics.median(saved):.5f}", "jobs, list prices"),
    ]  # fmt: skip
    Console().print(table(("what", "median", "range"), rows, "Step cache"))
    finish(
        [
            Result("cache", "full_s", statistics.median(full), "s"),
            Result("cache", "cached_s", statistics.median(cached), "s"),
            Result("cache", "cached_to_full", ratio, "ratio", _BAR_RATIO),
        ]
    )


if __name__ == "__main__":
    main()
