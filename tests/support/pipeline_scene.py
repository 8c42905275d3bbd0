"""A pipeline's actions against records in memory; CodePipeline answers late jobs as it does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steward.contracts.events import Payload
from steward.contracts.incoming import PipelineActionChange, Received
from steward.contracts.pipeline import PipelineJob
from steward.domain.names import alarm_name
from steward.domain.pipelines import WATCHED, binding_item
from steward.domain.releases import staging_item
from steward.domain.versions import version_item
from steward.ports import Item, Table, WaitingApproval
from steward.service.training.pipeline_approvals import answer_approvals
from steward.service.training.pipelines import Ports, drive
from support.builders import event_of
from support.fakes import FakeAlarms, FakeClock, FakeIds, FakeState

PROJECT, ENVIRONMENT, PIPELINE = "diabetes", "dev", "steward-dev-diabetes"
COMMIT = "1f0c9a7b2d3e4f5061728394a5b6c7d8e9f00112"
DIGEST = "9b1d8f5c" * 8
RUN = "3f9a1c0b7d2e-1"
_numbers = itertools.count(1)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


FIRST, SECOND = uuid(901), uuid(902)


@dataclass
class FakePipelines:
    """Keeps what was answered; a job takes one answer, an approval too."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: dict[str, WaitingApproval] = field(default_factory=dict)
    answers: dict[str, tuple[bool, str]] = field(default_factory=dict)
    error: Exception | None = None

    def succeed(self, job_id: str, variables: Mapping[str, str], summary: str) -> bool:
        return self._put(job_id, {"done": summary, "variables": dict(variables)})

    def go_on(self, job_id: str, token: str, summary: str) -> bool:
        return self._put(job_id, {"token": token, "summary": summary})

    def fail(self, job_id: str, kind: str, message: str) -> bool:
        return self._put(job_id, {"type": str(kind), "message": message})

    def _put(self, job_id: str, answer: dict[str, Any]) -> bool:
        if self.error is not None:
            raise self.error
        return self.jobs.setdefault(job_id, answer) is answer

    def wait(self, execution_id: str, pipeline: str = PIPELINE) -> None:
        """Let an execution's approval action begin."""
        token = uuid(next(_numbers))
        self.open[execution_id] = WaitingApproval(pipeline, "Approve", "Decide", token)

    def waiting(self, pipeline: str, execution_id: str) -> WaitingApproval | None:
        found = self.open.get(execution_id)
        return found if found is not None and found.pipeline == pipeline else None

    def answer(self, approval: WaitingApproval, approved: bool, summary: str) -> bool:
        if approval.token in self.answers:
            return False
        self.answers[approval.token] = (approved, summary)
        for execution_id, waiting in list(self.open.items()):
            if waiting == approval:
                del self.open[execution_id]
        return True


@dataclass
class Scene:
    """One project's pipeline."""

    state: FakeState = field(default_factory=FakeState)
    pipelines: FakePipelines = field(default_factory=FakePipelines)
    alarms: FakeAlarms = field(default_factory=FakeAlarms)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)

    # Jobs

    def job(
        self, action: str, execution: str = FIRST, *, token: str | None = None,
        job_id: str | None = None, **parameters: Any,
    ) -> PipelineJob:  # fmt: skip
        """Return CodePipeline's event, with the credentials that it carries."""
        asked = {
            "action": action, "project": PROJECT, "pipeline": PIPELINE,
            "execution_id": execution, **parameters,
        }  # fmt: skip
        if action == "integrate":
            source = {"commit_id": COMMIT, "branch": "main", "repository": "credit"}
            asked = {**source, **asked}
        configuration = {"FunctionName": "drive", "UserParameters": json.dumps(asked)}
        where = {"bucketName": "artifacts", "objectKey": "steward-dev-diabetes/Built/aBcD.zip"}
        data: dict[str, Any] = {
            "actionConfiguration": {"configuration": configuration},
            "inputArtifacts": [
                {"name": "Built", "revision": None, "location": {"type": "S3", "s3Location": where}}
            ],
            "outputArtifacts": [],
            "artifactCredentials": {"accessKeyId": "AKIA", "secretAccessKey": "never-logged"},
        }
        if token:
            data["continuationToken"] = token
        job = {"id": job_id or uuid(next(_numbers)), "accountId": "000000000000", "data": data}
        return PipelineJob.model_validate({"CodePipeline.job": job})

    def play(self, action: str, execution: str = FIRST, **about: Any) -> dict[str, Any]:
        """Play a job; return what CodePipeline was answered."""
        job = self.job(action, execution, **about)
        self.drive(job)
        return self.pipelines.jobs[job.job.id]

    def drive(self, job: PipelineJob) -> dict[str, Any]:
        ports = Ports(
            self.state, self.pipelines, self.alarms, self.clock, self.ids, ENVIRONMENT
        )  # fmt: skip
        return drive(job, ports)

    # Records, by the contracts of their owners

    def integration(
        self, status: str, attempt: int = 1, commit: str = COMMIT, **facts: Any
    ) -> None:
        item = {
            "project": PROJECT, "run_id": f"commit#{commit}#{attempt}", "attempt": attempt,
            "commit_id": commit, "status": status, "step": "RunTests",
        }  # fmt: skip
        passed = {"training_run_id": RUN} if status == "succeeded" else {}
        self.state.put(Table.RUNS, item | passed | facts)

    def run(self, status: str, **facts: Any) -> None:
        key = {"project": PROJECT, "run_id": RUN}
        self.state.put(Table.RUNS, key | {"status": status} | facts)

    def staging(self, status: str, version: int = 2) -> None:
        key = {"project": PROJECT, "item": staging_item(version)}
        self.state.put(Table.VERSIONS, key | {"status": status, "smoke_uri": "s3://a/smoke.json"})

    def version(self, state: str, version: int = 2, **facts: Any) -> None:
        item = {
            "project": PROJECT, "item": version_item(version), "version": version, "state": state,
            "author": "000000000000/tess", "evidence_digest": DIGEST, "quorum": 1, "approvals": [],
            "baseline": {"uri": "s3://a/baseline.json", "digest": DIGEST},
        }  # fmt: skip
        if state in ("approved", "production"):
            item["approvals"] = [vote("000000000000/ada")]
        self.state.put(Table.VERSIONS, item | facts)

    def release(self, status: str, version: int = 2, attempt: int = 1, **facts: Any) -> None:
        key = {"project": PROJECT, "release_id": f"{version:08d}-{attempt}"}
        self.state.put(Table.RELEASES, key | {"status": status} | facts)

    def watched(self) -> None:
        """All alarms are there."""
        names = [alarm_name(ENVIRONMENT, PROJECT, signal) for signal in WATCHED]
        self.alarms.by_name = dict.fromkeys(names, "OK")

    def binding(self, execution: str = FIRST) -> Item:
        found = self.state.get(Table.RUNS, {"project": PROJECT, "run_id": binding_item(execution)})
        assert found is not None
        return found

    def bound(self, execution: str = FIRST, version: int = 2, **facts: Any) -> None:
        """Play an execution up to its approval action."""
        self.integration("succeeded")
        self.run("succeeded", version=version)
        self.staging("succeeded", version)
        self.version("pending", version)
        for action in ("integrate", "integrate", "gate", "stage"):
            answer = self.play(action, execution, token=None, **facts)
        assert "done" in answer, answer
        self.pipelines.wait(execution)

    # What the registry and CodePipeline tell

    def tell(self, payload: Payload) -> dict[str, Any]:
        told = event_of(payload, project=PROJECT)
        return self._answer(payload, payload.source, told.meta)

    def begun(self, execution: str = FIRST, pipeline: str = PIPELINE) -> dict[str, Any]:
        """CodePipeline tells that an approval action began."""
        detail = PipelineActionChange.model_validate({
            "pipeline": pipeline, "execution-id": execution, "stage": "Approve",
            "action": "Decide", "state": "STARTED",
        })  # fmt: skip
        return self._answer(detail, "aws.codepipeline", None)

    def _answer(self, detail: Any, source: str, meta: Any) -> dict[str, Any]:
        received = Received(
            id=self.ids.new(), time="2026-01-05T09:00:00Z", source=source,
            detail_type=type(detail).__name__, resources=[], replayed=False, meta=meta,
            detail=detail,
        )  # fmt: skip
        return answer_approvals(
            received, state=self.state, pipelines=self.pipelines, environment=ENVIRONMENT
        )


def vote(who: str, decision: str = "approve") -> dict[str, Any]:
    """Return a person's decision as the registry keeps it."""
    return {
        "identity": who, "principal_arn": f"arn:aws:iam::{who}", "decision": decision,
        "comment": "", "at": "2026-01-05T09:00:00+00:00",
    }  # fmt: skip
