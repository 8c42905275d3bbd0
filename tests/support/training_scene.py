"""A configured project with fakes of all ports, for tests of data and training."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any

from steward.contracts.incoming import ExecutionStatusChange
from steward.domain.delivery_lists import list_of
from steward.domain.project import Project, parse_project
from steward.domain.runs import training_digest
from steward.ports import Item, Table
from steward.service.delivery_lists import read_list
from steward.service.training.conclude import conclude_execution
from steward.service.training.start import Ports, start_training
from steward.service.training.triggers import DeliveredObject, Trigger
from support.fakes import FakeClock, FakeIds, FakeJobImage, FakeObjects, FakeState, FakeWorkflows

DATA, ARTIFACTS = "data-bucket", "artifacts-bucket"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-train-candidate"
CODE = b"the code archive"
HEADER = "patient_id,age,bmi,sex,outcome\n"


def declaration(**changes: Any) -> dict[str, Any]:
    """Return a valid ``project.yaml``, parsed."""
    return {
        "project": "diabetes",
        "owner": "ward-12",
        "data": {
            "entity_id": "patient_id",
            "label": {"name": "outcome", "positive": 1},
            "columns": [
                {"name": "patient_id", "type": "string", "unique": True, "pattern": "p[0-9]+"},
                {"name": "age", "type": "integer", "min": 0, "max": 120},
                {"name": "bmi", "type": "float", "nullable": True, "min": 5},
                {"name": "sex", "type": "string", "allowed": ["F", "M"]},
                {"name": "outcome", "type": "integer"},
            ],
            "minimum_rows": 20,
        },
        **changes,
    }


def csv_of(first: int, last: int, seed: int = 7) -> bytes:
    """Return a valid delivery of patients ``first`` to ``last``."""
    draw = random.Random(seed)
    rows = [
        f"p{n},{draw.randint(20, 90)},{draw.choice(['', '22.50', '31.1'])},"
        f"{draw.choice('FM')},{draw.randint(0, 1)}\n"
        for n in range(first, last + 1)
    ]
    return (HEADER + "".join(rows)).encode()


def configured(project: Project, code: bytes = CODE, author: str = "000000000000/tess") -> Item:
    """Return the project's item as push_source writes it."""
    digest = hashlib.sha256(code).hexdigest()
    return {
        "project": project.project,
        "config": project.model_dump(mode="json"),
        "config_digest": project.digest,
        "code_digest": digest,
        "code_uri": f"s3://{ARTIFACTS}/code/{project.project}/{digest}.tar.gz",
        "author": author,
        "updated_at": "2026-01-05T08:00:00.000+00:00",
    }


@dataclass
class Scene:
    """The world of one test."""

    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    job_image: FakeJobImage = field(default_factory=FakeJobImage)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)
    project: Project = field(default_factory=lambda: parse_project(declaration()))
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.configure(self.project)

    @property
    def ports(self) -> Ports:
        return Ports(
            self.state, self.objects, self.workflows, self.job_image, self.clock, self.ids,
            MACHINE, ARTIFACTS, "dev",
        )  # fmt: skip

    def configure(self, project: Project, code: bytes = CODE) -> None:
        """Make configuration and code the project's current ones."""
        self.project = project
        item = configured(project, code)
        self.state.put(Table.PROJECTS, item)
        self.objects.write(item["code_uri"], code)

    def delivery(self, content: bytes, name: str = "") -> Trigger:
        """Upload a file and return what its event asks for."""
        number = next(self.numbers)
        key = f"deliveries/{self.project.project}/{name or f'{number}.csv'}"
        self.objects.write(f"s3://{DATA}/{key}", content)
        info = self.objects.describe(DATA, key)
        assert info is not None
        delivered = DeliveredObject(DATA, key, info.version_id, len(content))
        return Trigger(
            "delivery", self.project.project, f"event-{number}", "000000000000", key, delivered
        )

    def request(self) -> Trigger:
        """Return what a person's TrainingRequested asks for."""
        number = next(self.numbers)
        return Trigger("request", self.project.project, f"event-{number}", "tess", "please")

    def start(self, trigger: Trigger) -> dict[str, Any]:
        """Handle a trigger, a second later than what was before."""
        self.clock.advance(1)
        return start_training(trigger, self.ports)

    def deliver(self, content: bytes) -> dict[str, Any]:
        """Upload a file and handle its event."""
        return self.start(self.delivery(content))

    def run(self, run_id: str) -> Item:
        """Return a run's item."""
        item = self.state.get(
            Table.RUNS, {"project": self.project.project, "run_id": run_id}
        )  # fmt: skip
        assert item is not None
        return item

    def deliveries(self, run_id: str) -> list[str]:
        """Return the deliveries that a run was started for."""
        return read_list(self.objects, list_of(self.run(run_id)["deliveries"]))

    def lock(self) -> Item | None:
        """Return the training lock."""
        return self.state.get(Table.LOCKS, {"lock": f"{self.project.project}/training"})

    def mark(self, status: str, *contents: bytes) -> None:
        """Give deliveries a verdict without validating them."""
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            key = {"project": self.project.project, "delivery_id": digest}
            item = self.state.get(Table.DELIVERIES, key)
            assert item is not None
            rules = training_digest(self.project.model_dump(mode="json"))
            judged = {"judged_under": rules, "judged_by": "earlier-1", "rows": 10}
            self.state.put(Table.DELIVERIES, {**item, "status": status, **judged})

    def end(
        self, run_id: str, status: str = "SUCCEEDED", event: str = "status-1"
    ) -> dict[str, Any]:
        """End a run's execution and handle its status event."""
        run = self.run(run_id)
        self.clock.advance(60)
        if run["execution_arn"] in self.workflows.executions:
            self.workflows.end(run["execution_arn"], status)
        return conclude_execution(self.status_change(run_id, status), event, self.ports)

    def status_change(self, run_id: str, status: str, **detail: Any) -> ExecutionStatusChange:
        """Return the detail of an execution status event."""
        run = self.run(run_id)
        return ExecutionStatusChange(
            execution_arn=run["execution_arn"],
            state_machine_arn=MACHINE,
            name=run_id,
            status=status,
            input=json.dumps({"project": run["project"], "run_id": run_id}),
            **detail,
        )
