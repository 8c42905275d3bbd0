"""How long it takes to freeze a million exposures with 300,000 outcomes, and in what memory.

One run catches up with six hours: it reads all captures, finds the units of each hour, and freezes
four metrics of two windows. The time is that of one function with two cores, without the way to
S3; memory is the peak of the whole process with the bounds of a function of 3 GB.
"""

# ruff: noqa: ARG002 - arguments of the port

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from results import Result, finish
from steward.contracts.steps.serving import FreezeCohorts
from steward.domain.experiments.cohorts import cohorts_of, experiment_item
from steward.domain.exposures import hashed_entity
from steward.domain.workspace import ENGINE_SHARE, Limits
from steward.ports import Item, ObjectInfo, Put, Table
from steward.service.serving.freezing import freeze_cohorts

EXPOSURES, OUTCOMES, ENTITIES = 1_000_000, 300_000, 400_000
HOURS, FILES = 6, 300
FUNCTION_MB = 3008
BAR_S, BAR_MB = 60.0, 2048.0
BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)
PROJECT, RELEASE = "vitals", "00000003-1"


class Folder:
    """Objects as files, so that the memory measured is that of freezing alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, uri: str) -> Path:
        """Return where an object lies."""
        return self.root / uri.removeprefix("s3://")

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix that ends with a slash."""
        for path in sorted((self.root / bucket / prefix).glob("**/*")):
            key = path.relative_to(self.root / bucket).as_posix()
            yield ObjectInfo(bucket, key, path.stat().st_size, None, None)

    def download(self, bucket: str, key: str, path: str, version_id: str | None = None) -> None:
        """Copy an object."""
        shutil.copyfile(self.root / bucket / key, path)

    def upload(self, path: str, uri: str, content_type: str = "") -> str:
        """Keep a file."""
        return self.write(uri, Path(path).read_bytes())

    def read(self, uri: str) -> bytes:
        """Return an object."""
        return self.path(uri).read_bytes()

    def write(self, uri: str, content: bytes, content_type: str = "") -> str:
        """Keep bytes."""
        self.path(uri).parent.mkdir(parents=True, exist_ok=True)
        self.path(uri).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def write_once(self, uri: str, content: bytes, content_type: str = "") -> bool:
        """Keep bytes where nothing is."""
        if self.path(uri).exists():
            return False
        self.write(uri, content)
        return True


class Items:
    """Items of one partition; nobody else writes."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    def get(self, table: Table, key: dict[str, str]) -> Item | None:
        """Return an item."""
        return self.items.get(key["item"])

    def query(self, table: Table, partition: str, *, prefix: str = "") -> list[Item]:
        """Return items in order of their keys."""
        return [item for key, item in sorted(self.items.items()) if key.startswith(prefix)]

    def commit(self, changes: list[Put]) -> None:
        """Write items."""
        for change in changes:
            self.items[change.item["item"]] = dict(change.item)


class After:
    """The time when all has matured."""

    def now(self) -> datetime:
        """Return it."""
        return BEGAN + timedelta(hours=HOURS + 2)


def iso(seconds: float) -> str:
    """Return a time after the begin."""
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def write_lines(folder: Folder) -> None:
    """Write what the gateway captured and what became of it."""
    draw = random.Random(7)
    entities = [hashed_entity(PROJECT, str(n)) for n in range(ENTITIES)]
    captured: list[tuple[str, float]] = []
    for number in range(FILES):
        begin = number * HOURS * 3600 / FILES
        lines = []
        for _ in range(EXPOSURES // FILES):
            entity = draw.choice(entities)
            candidate = int(entity[:2], 16) < 128
            seconds = begin + draw.random() * HOURS * 3600 / FILES
            inference_id = f"{draw.getrandbits(128):032x}"
            captured.append((inference_id, seconds))
            lines.append(json.dumps({"capture": {
                "project": PROJECT, "route_version": 4, "step_id": "ab_test",
                "assignment_probability": 0.5, "assigned_version": 2 + candidate,
                "assigned_role": "candidate" if candidate else "stable",
                "answering_version": 2 + candidate, "fallback": False, "entity": entity,
                "first_exposure": False, "shadow_pair_id": None, "inference_id": inference_id,
                "time": iso(seconds), "release_id": RELEASE, "failed": False,
                "features": {f"feature_{n}": draw.random() for n in range(8)},
                "prediction": {"probability": draw.random(), "label": "no"},
                "online": None, "latency_ms": draw.expovariate(0.01),
            }}, separators=(",", ":")) + "\n")  # fmt: skip
        key = f"exposures/2026/03/02/exposures-{number:04d}"
        folder.write(f"s3://capture/{key}", "".join(lines).encode())
    told = draw.sample(captured, OUTCOMES)
    for n in range(30):
        content = "".join(
            json.dumps({
                "project": PROJECT, "inference_id": inference_id, "entity": None,
                "outcome": draw.random() < 0.3, "observed_at": iso(seconds + draw.random() * 4000),
                "recorded_at": iso(seconds + 4000),
            }) + "\n"
            for inference_id, seconds in told[n::30]
        )  # fmt: skip
        folder.write(f"s3://capture/outcomes/{PROJECT}/2026/03/02/{n}.jsonl", content.encode())


def head() -> dict[str, Any]:
    """Return the experiment's head item, as far as freezing reads it."""
    common = {"goal": {}, "window_s": 3600}
    metrics = [
        {"name": "converted", "kind": "binary", "value": "outcome", "no_outcome": "zero", **common},
        {"name": "value", "kind": "mean", "value": "CASE WHEN outcome THEN feature_1 END",
         "aggregate": "sum", "standard_deviation": 1.0, **common},
        {"name": "per_request", "kind": "ratio", "value": "outcome", "denominator": "1",
         "aggregate": "sum", "no_outcome": "zero", "standard_deviation": 1.0, **common},
    ]  # fmt: skip
    return {
        "project": PROJECT, "item": experiment_item(RELEASE), "metrics": metrics,
        "started_at": iso(0), "cohort_s": 3600, "lateness_s": 300, "slow_ms": 1000,
        "captured": True,
        "steps": [{
            "step_id": "ab_test", "phase": "ab_test", "index": 0, "at": iso(0),
            "propensities": {"candidate": 0.5, "stable": 0.5},
        }],
    }  # fmt: skip


def freeze(root: str) -> None:
    """Freeze all in this process and print seconds, peak megabytes and units as JSON."""
    state = Items()
    state.commit([Put(Table.EXPERIMENTS, head())])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = freeze_cohorts(
            FreezeCohorts(project=PROJECT, version=3, release_id=RELEASE, correlation_id="c"),
            state=state, objects=Folder(Path(root)), clock=After(),  # type: ignore[arg-type]
            limits=Limits(Path(folder), int(FUNCTION_MB * ENGINE_SHARE)),
            capture_bucket="capture", artifacts_bucket="artifacts",
        )  # fmt: skip
        seconds = time.perf_counter() - began
    pointers = state.query(Table.EXPERIMENTS, PROJECT, prefix=cohorts_of(RELEASE))
    assert found.frozen == len(pointers) == 2 * HOURS, found
    units = sum(sum(p["exposures"].values()) for p in pointers if p["window_s"] == 0)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, peak_mb, units]))


def main() -> None:
    """Measure, print and judge."""
    with tempfile.TemporaryDirectory() as root:
        write_lines(Folder(Path(root)))
        size_mb = sum(p.stat().st_size for p in Path(root).glob("**/*")) / 2**20
        command = [sys.executable, __file__, root]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak_mb, units = json.loads(printed)
    print(f"{EXPOSURES:,} exposures and {OUTCOMES:,} outcomes, {size_mb:.0f} MB of lines")
    print(f"{units:,} units in {2 * HOURS} cohorts: {seconds:.1f} s, {peak_mb:.0f} MB at most")
    finish(
        [
            Result("freezing", "seconds", seconds, "s", BAR_S),
            Result("freezing", "peak_memory", peak_mb, "MB", BAR_MB),
        ]
    )


if __name__ == "__main__":
    freeze(sys.argv[1]) if len(sys.argv) > 1 else main()
