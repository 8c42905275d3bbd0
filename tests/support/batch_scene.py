"""A project whose files are scored, with fakes of all ports and a transform job that is played."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steward.contracts.events import BatchScoringRequested, DatasetAccepted, Event
from steward.contracts.incoming import BatchDue, Received
from steward.contracts.steps.batch import (
    BatchConclusion,
    BatchFailure,
    ConcludeBatch,
    DeliverScores,
    PrepareBatch,
    PreparedBatch,
)
from steward.domain.errors import StewardError
from steward.domain.project import Project, parse_project
from steward.ports import Item, Table
from steward.service.serving.batch.delivering import deliver_scores
from steward.service.serving.batch.preparing import prepare_batch
from steward.service.serving.batch.recording import conclude_batch
from steward.service.serving.batch.starting import Ports, asked_by, start_batch
from support.builders import event_of
from support.fake_hosting import FakeHosting
from support.serving_scene import ARTIFACTS, DATA, PROJECT, ROLE
from support.serving_scene import Scene as ServingScene
from support.training_scene import declaration

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-score-batch"
ROWS = "patient_id,age,bmi,sex,note\np1,61,22.5,F,x\np2,48,,M,y\np3,70,31.25,F,z\n"
INPUT = f"batch-input/{PROJECT}/daily/ward.csv"


def batched(**changes: Any) -> Project:
    """Return a project that scores what lies below ``daily``."""
    return parse_project(declaration(batch={"input": {"prefix": "daily"}, **changes}))


def by_age(line: str) -> str:
    """Return what the model answers to a row of the job: age / 200."""
    return str(float(next(csv.reader([line]))[1]) / 200)


@dataclass
class Batches(ServingScene):
    """The world of one test; version 2 is in production."""

    project: Project = field(default_factory=batched)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hosting = FakeHosting(self.clock)
        self.register(2)
        arm = {"version": 2, "endpoint": f"dev-{PROJECT}-v2-prod", "role": "stable", "share": 100.0}
        route = {
            "project": PROJECT, "route_version": 1, "step_id": "s", "salt": "s", "arms": [arm],
        }  # fmt: skip
        self.state.put(Table.ROUTES, route)
        self.put(ROWS)

    @property
    def ports(self) -> Ports:
        return Ports(
            self.state, self.objects, self.workflows, self.clock, self.ids, MACHINE, DATA,
            self.conclude_batch,
        )  # fmt: skip

    def register(self, version: int, **changes: Any) -> None:
        """Write the records of a version and of the run that made it, as it is declared now."""
        run = {"project": PROJECT, "run_id": f"made{version}-1"}
        self.state.put(Table.RUNS, {**run, "config": self.project.model_dump(mode="json")})
        super().register(version, run_id=run["run_id"], **changes)

    def put(self, content: str, key: str = INPUT) -> None:
        self.objects.write(f"s3://{DATA}/{key}", content.encode(), "text/csv")

    # What asks for a batch

    def due(self, event_id: str = "tick-1") -> dict[str, Any]:
        return self.start(Received(
            id=event_id, time="2026-01-05T10:00:00Z", source="aws.scheduler",
            detail_type="Batch Scoring Due", resources=[], replayed=False, meta=None,
            detail=BatchDue(project=PROJECT),
        ))  # fmt: skip

    def ask(self, **about: Any) -> dict[str, Any]:
        asked = event_of(BatchScoringRequested(request_id="r-1", **about))
        return self.start(self.delivered(asked))

    def accepted(self, delivery_id: str, table: str = "data") -> dict[str, Any]:
        told = DatasetAccepted(
            delivery_id=delivery_id, key="march.csv", rows=3, report_uri="s3://a/r", table=table
        )  # fmt: skip
        return self.start(self.delivered(event_of(told)))

    def delivered(self, asked: Event) -> Received:
        return Received(
            id=asked.event_id, time=asked.time, source=asked.source,
            detail_type=asked.detail_type, resources=[], replayed=False, meta=asked.meta,
            detail=asked.data,
        )  # fmt: skip

    def start(self, received: Received) -> dict[str, Any]:
        return start_batch(asked_by(received), self.ports)

    # The machine's tasks

    def record(self, batch_id: str) -> Item:
        found = [i for i in self.batches() if i["batch_id"] == batch_id]
        assert len(found) == 1
        return found[0]

    def said(self, detail_type: str) -> dict[str, Any]:
        """What the one event of a type says."""
        [event] = self.state.named(detail_type)
        return event.data.model_dump()

    def batches(self) -> list[Item]:
        return self.state.query(Table.RUNS, PROJECT, prefix="batch#")

    def prepare(self, batch_id: str) -> PreparedBatch:
        command = PrepareBatch(
            project=PROJECT, batch_id=batch_id, correlation_id=batch_id, causation_id="e",
            actor="schedule",
        )  # fmt: skip
        return prepare_batch(
            command, state=self.state, objects=self.objects, environment="dev",
            artifacts_bucket=ARTIFACTS, role_arn=ROLE,
        )  # fmt: skip

    def transform(self, prepared: PreparedBatch, answer: Callable[[str], str] = by_age) -> None:
        """Play the transform job: each object of the input gets its ``.out``."""
        bucket, _, prefix = prepared.input_uri.removeprefix("s3://").partition("/")
        for info in list(self.objects.list(bucket, prefix)):
            out = io.StringIO()
            for line in self.objects.read(f"s3://{bucket}/{info.key}").decode().splitlines():
                out.write(f"{next(csv.reader([line]))[0]},{answer(line)}\n")
            name = info.key.rpartition("/")[2]
            self.objects.write(f"{prepared.output_uri}/{name}.out", out.getvalue().encode())

    def deliver(self, batch_id: str) -> str:
        command = DeliverScores(
            project=PROJECT, batch_id=batch_id, correlation_id=batch_id, job=f"{batch_id}-batch"
        )
        return deliver_scores(
            command, state=self.state, objects=self.objects, clock=self.clock, data_bucket=DATA,
            artifacts_bucket=ARTIFACTS,
        ).manifest_uri  # fmt: skip

    def finish(self, batch_id: str, manifest_uri: str | None = None, **failure: str) -> str:
        command = ConcludeBatch(
            project=PROJECT, batch_id=batch_id, correlation_id=batch_id,
            outcome="failed" if failure else "succeeded", execution_arn=f"{MACHINE}:x",
            manifest_uri=manifest_uri, failure=BatchFailure(**failure) if failure else None,
        )  # fmt: skip
        status = self.conclude_batch(command).status
        execution = self.workflows.executions.get(self.record(batch_id)["batch_arn"])
        if execution is not None and execution.status == "RUNNING":
            execution.status = "FAILED" if failure else "SUCCEEDED"
        return status

    def conclude_batch(self, command: ConcludeBatch) -> BatchConclusion:
        return conclude_batch(
            command, state=self.state, objects=self.objects, hosting=self.hosting,
            clock=self.clock, ids=self.ids, environment="dev", data_bucket=DATA,
            artifacts_bucket=ARTIFACTS,
        )  # fmt: skip

    def run(self, batch_id: str, answer: Callable[[str], str] = by_age) -> str:
        """Play the machine; return the batch's status."""
        state = "PrepareBatch"
        try:
            prepared = self.prepare(batch_id)
            state = "ScoreRows"
            self.transform(prepared, answer)
            state = "DeliverScores"
            return self.finish(batch_id, self.deliver(batch_id))
        except StewardError as error:
            return self.finish(batch_id, state=state, error=type(error).__name__, cause=str(error))
