"""A release under test with captures and outcomes in a bucket, frozen on fakes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from steward.contracts.steps.serving import CohortsFrozen, FreezeCohorts
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohorts_of,
    experiment_item,
    units_of,
)
from steward.domain.experiments.units import Design
from steward.domain.workspace import Limits
from steward.ports import Item, Put, Table
from steward.service.serving.freezing import freeze_cohorts
from support.captures import BEGAN, PROJECT, RELEASE, at, iso
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeObjects

CAPTURE, ARTIFACTS = "capture", "artifacts"
Lines = Sequence[dict[str, Any]]


@dataclass
class FreezingScene:
    """Times are seconds since the release began."""

    design: Design
    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    clock: FakeClock = field(default_factory=lambda: FakeClock(BEGAN))
    threads: int = 2

    def __post_init__(self) -> None:
        plan = self.design.model_dump(mode="json")
        head = {
            "project": PROJECT, "item": experiment_item(RELEASE), "started_at": iso(BEGAN),
            "captured": True,
            **{name: plan[name] for name in ("metrics", "cohort_s", "lateness_s", "slow_ms")},
            **({"answers": plan["answers"]} if self.design.answers != (0, 1) else {}),
            "steps": [{**step, "index": 0, "at": iso(BEGAN)} for step in plan["steps"]],
        }  # fmt: skip
        self.state.commit([Put(Table.EXPERIMENTS, head)])

    def capture(self, exposures: Lines, seconds: float, name: str = "") -> None:
        """Let Firehose deliver exposures at a time."""
        content = b"".join(json.dumps({"capture": e}).encode() + b"\n" for e in exposures)
        name = name or hashlib.sha256(content).hexdigest()
        key = f"exposures/{at(seconds):%Y/%m/%d}/steward-{name}"
        self.objects.write(f"s3://{CAPTURE}/{key}", content)

    def tell(self, outcomes: Lines, seconds: float) -> None:
        """Let outcomes be recorded at a time."""
        content = b"".join(json.dumps(o).encode() + b"\n" for o in outcomes)
        digest = hashlib.sha256(content).hexdigest()
        key = f"outcomes/{PROJECT}/{at(seconds):%Y/%m/%d}/{digest}.jsonl"
        self.objects.write(f"s3://{CAPTURE}/{key}", content)

    def run(self, seconds: float) -> CohortsFrozen:
        """Freeze at a time."""
        self.clock.time = BEGAN + timedelta(seconds=seconds)
        command = FreezeCohorts(
            project=PROJECT, version=3, release_id=RELEASE, correlation_id="c", tick=1
        )
        with tempfile.TemporaryDirectory() as folder:
            return freeze_cohorts(
                command, state=self.state, objects=self.objects, clock=self.clock,
                limits=Limits(Path(folder), 512, self.threads), capture_bucket=CAPTURE,
                artifacts_bucket=ARTIFACTS,
            )  # fmt: skip

    def play(self, seconds: float) -> None:
        """Freeze at a time, as another execution that nobody listens to."""
        self.run(seconds)

    def pointers(self) -> list[Item]:
        """Return the pointers of all frozen cohorts."""
        return self.state.query(Table.EXPERIMENTS, PROJECT, prefix=cohorts_of(RELEASE))

    def digests(self) -> dict[str, str]:
        """Return the digests of all frozen cohorts by id."""
        return {c.cohort_id: c.digest for c in self.cohorts()}

    def cohorts(self) -> list[FrozenCohort]:
        """Return all frozen cohorts, each checked against its pointer."""
        found = []
        for pointer in self.pointers():
            cohort = FrozenCohort.model_validate(json.loads(self.objects.read(pointer["uri"])))
            assert cohort.digest == pointer["digest"]
            found.append(cohort)
        return found

    def cohort(self, window_s: int) -> FrozenCohort:
        """Return the one cohort of a window."""
        [found] = [c for c in self.cohorts() if c.window_s == window_s]
        return found

    def units(self) -> list[Item]:
        """Return what is known of units."""
        return self.state.query(Table.EXPERIMENTS, PROJECT, prefix=units_of(RELEASE))
