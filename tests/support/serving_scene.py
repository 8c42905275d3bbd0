"""A project that serves, on fakes, and the machines of the domain played state by state."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steward.adapters.traffic_routers import EndpointVariantsRouter, RouterOfRoute
from steward.contracts.events import Event, Payload, VersionApproved, VersionRegistered
from steward.contracts.incoming import AlarmStateChange, ExecutionStatusChange, Received
from steward.contracts.steps.serving import (
    CompletedRelease,
    CompleteRelease,
    ConcludeExperiment,
    ConcludeRelease,
    ConcludeRollback,
    ConcludeStaging,
    EndpointPlan,
    Failure,
    JudgeStep,
    PlanRelease,
    PlanStaging,
    ReleaseConclusion,
    ReleasePlan,
    RestoredRoute,
    RestoreRoute,
    RunSmokeTest,
    ShiftTraffic,
    SmokeResult,
    StagingConclusion,
    StepVerdict,
    TrafficShift,
)
from steward.domain.errors import DependencyError, RejectedError
from steward.domain.examples import recorded_examples
from steward.domain.project import Project, parse_project
from steward.domain.routes import Route
from steward.domain.versions import version_item
from steward.ports import Item, RoleCounts, Table, TrafficRouter
from steward.service.serving import judging, release_end, release_steps, rollback, smoke, staging
from steward.service.serving.experiments import head_of
from steward.service.serving.not_promoted import conclude_experiment
from steward.service.serving.start_release import start_release
from support.builders import event_of
from support.fake_sagemaker import FakeSageMaker
from support.fakes import (
    FakeAlarms,
    FakeClock,
    FakeEndpoints,
    FakeIds,
    FakeObjects,
    FakeState,
    FakeTrafficMetrics,
    FakeWorkflows,
)
from support.training_scene import declaration

PROJECT, ENVIRONMENT = "diabetes", "dev"
ARTIFACTS, DATA, CAPTURE = "artifacts", "data", "capture"
ROLE = "arn:aws:iam::000000000000:role/endpoints"
_MACHINES = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-"
STAGING, RELEASE, ROLLBACK = (
    f"{_MACHINES}stage-version", f"{_MACHINES}release-version", f"{_MACHINES}roll-back",
)  # fmt: skip
ERRORS = f"steward-{ENVIRONMENT}-{PROJECT}-candidate-errors"
DIGEST = "d" * 64
ROWS: list[dict[str, Any]] = [
    {"age": 59, "bmi": 32.1, "sex": "F"},
    {"age": 48, "bmi": 21.6, "sex": "M"},
]


def container(
    project: Project, *, of: Callable[[dict[str, Any]], float] = lambda row: row["age"] / 200
) -> Callable[[bytes, str], bytes]:
    """Return what an honest container answers: the contract of ``steward_jobs serve``."""
    columns = project.model_features

    def refuse(name: str, message: str) -> None:
        raise RejectedError(message, field=name, value="?", allowed="what is declared")

    def check(row: dict[str, Any]) -> float:
        for name in row:
            if name not in [column.name for column in columns]:
                refuse(name, "unknown field")
        for column in columns:
            value = row.get(column.name)
            if column.name not in row or (value is None and not column.nullable):
                refuse(column.name, "missing field")
            if column.type in ("integer", "float") and isinstance(value, str):
                refuse(column.name, "wrong type")
            if isinstance(value, int | float):
                low = column.min is not None and value < column.min
                if low or (column.max is not None and value > column.max):
                    refuse(column.name, "out of range")
            if column.allowed is not None and value not in column.allowed:
                refuse(column.name, "not allowed")
        return of(row)

    def reply(body: bytes, content_type: str) -> bytes:
        if content_type == "text/csv":
            kinds: dict[str, Callable[[str], Any]] = {"integer": int, "float": float, "string": str}
            lines = list(csv.reader(body.decode().splitlines()))
            rows = [
                {c.name: kinds[c.type](v) for c, v in zip(columns, line, strict=True)}
                for line in lines
            ]
            return "".join(f"{check(row)}\n" for row in rows).encode()
        rows = json.loads(body)["instances"]
        if project.data.label.task == "regression":
            return json.dumps({"predictions": [{"value": check(row)} for row in rows]}).encode()
        answers = [{"probability": (p := check(row)), "label": int(p >= 0.5)} for row in rows]
        return json.dumps({"predictions": answers}).encode()

    return reply


def failing(_body: bytes, _content_type: str) -> bytes:
    """Answer like a container that raises."""
    raise DependencyError("the container answered 500")


@dataclass
class Scene:
    """The world of one test."""

    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    endpoints: FakeEndpoints = field(default_factory=FakeEndpoints)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    alarms: FakeAlarms = field(default_factory=FakeAlarms)
    metrics: FakeTrafficMetrics = field(default_factory=FakeTrafficMetrics)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)
    sagemaker: FakeSageMaker = field(default_factory=FakeSageMaker)
    project: Project = field(default_factory=lambda: parse_project(declaration()))
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        config = self.project.model_dump(mode="json")
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
        columns = self.project.model_features
        rows = [dict.fromkeys(column.name for column in columns) | row for row in ROWS]
        examples = recorded_examples(columns, rows, self.project.data.label.task)
        self.objects.write(
            f"s3://{DATA}/datasets/{PROJECT}/abc/examples.json", json.dumps(examples).encode()
        )

    @property
    def variants(self) -> EndpointVariantsRouter:
        return EndpointVariantsRouter(self.sagemaker, self.state, "dev")

    @property
    def router(self) -> TrafficRouter:
        return RouterOfRoute(self.state, lambda: self.variants)

    # Records

    def register(self, version: int, **changes: Any) -> None:
        """Write the registry's record of a version."""
        record = {
            "project": PROJECT,
            "item": version_item(version),
            "version": version,
            "state": "registered",
            "author": "000000000000/tess",
            "artifact_uri": f"s3://{ARTIFACTS}/models/{PROJECT}/{version}/model.tar.gz",
            "job_image": "local/steward-jobs@sha256:" + "0" * 64,
            "manifest_uri": f"s3://{DATA}/datasets/{PROJECT}/abc/manifest.json",
            "quorum": 1,
            "approvals": [],
        }
        joined = [column.name for column in self.project.feature_columns]
        if joined:
            entity_id = self.project.data.entity_id
            record["served_features"] = {"entity_id": entity_id, "columns": joined}
        self.state.put(Table.VERSIONS, record | changes)

    def approve(self, version: int, **changes: Any) -> None:
        """Write the record of a version that one person approved."""
        vote = {
            "identity": "000000000000/ada", "principal_arn": "arn", "decision": "approve",
            "at": "2026-01-05T09:00:00+00:00",
        }  # fmt: skip
        about = {"state": "approved", "evidence_digest": DIGEST, "approvals": [vote]}
        self.register(version, **(about | changes))

    def staging_record(self, version: int = 1) -> Item:
        key = {"project": PROJECT, "item": f"staging#{version:08d}"}
        found = self.state.get(Table.VERSIONS, key)
        assert found is not None
        return found

    def release(self, release_id: str) -> Item:
        found = self.state.get(Table.RELEASES, {"project": PROJECT, "release_id": release_id})
        assert found is not None
        return found

    def route(self) -> Route | None:
        item = self.state.get(Table.ROUTES, {"project": PROJECT})
        return Route.model_validate(item) if item else None

    def shares(self) -> dict[int, float]:
        route = self.route()
        return {arm.version: arm.share for arm in route.arms} if route else {}

    def lock(self) -> Item | None:
        return self.state.get(Table.LOCKS, {"lock": f"{PROJECT}/release"})

    def told(self, detail_type: str) -> list[Any]:
        """Return the payloads of the committed events of one kind."""
        return [event.data for event in self.state.named(detail_type)]

    # Events

    def received(self, payload: Payload) -> Received:
        event: Event = event_of(payload, project=PROJECT)
        return Received(
            id=f"event-{next(self.numbers)}", time=event.time, source=event.source,
            detail_type=event.detail_type, resources=[], replayed=False, meta=event.meta,
            detail=payload,
        )  # fmt: skip

    def from_aws(self, detail: AlarmStateChange | ExecutionStatusChange) -> Received:
        return Received(
            id=f"event-{next(self.numbers)}", time="2026-01-05T09:00:00Z", source="aws",
            detail_type="x", resources=[], replayed=False, meta=None, detail=detail,
        )  # fmt: skip

    def alarm(self, name: str = ERRORS, value: str = "ALARM") -> Received:
        now = self.clock.now().isoformat(timespec="milliseconds")
        state = {"value": value, "reason": "Threshold Crossed", "timestamp": now}
        return self.from_aws(AlarmStateChange.model_validate({"alarmName": name, "state": state}))

    def ended(self, execution_arn: str, status: str = "TIMED_OUT") -> Received:
        return self.from_aws(
            ExecutionStatusChange.model_validate(
                {
                    "executionArn": execution_arn, "stateMachineArn": "x", "status": status,
                    "name": execution_arn.rsplit(":", 1)[1],
                }
            )
        )  # fmt: skip

    # Staging

    def start_staging(self, version: int = 1) -> dict[str, Any]:
        payload = VersionRegistered(
            version=version, run_id="3f9a1c0b7d2e-1", model_package_arn="arn",
            artifact_uri="s3://a/b", author="tess",
        )  # fmt: skip
        return staging.start_staging(
            self.received(payload), state=self.state, workflows=self.workflows, clock=self.clock,
            machine=STAGING,
        )  # fmt: skip

    def plan_staging(self, version: int = 1, attempt: int = 1) -> EndpointPlan:
        command = PlanStaging(
            project=PROJECT, version=version, attempt=attempt, correlation_id="run"
        )
        return staging.plan_staging(
            command, environment="dev", state=self.state, endpoints=self.endpoints, role_arn=ROLE
        )

    def smoke(self, version: int = 1, seconds: float = 0.01) -> SmokeResult:
        ticks = itertools.count()
        return smoke.run_smoke_test(
            RunSmokeTest(
                project=PROJECT, version=version, endpoint=f"dev-{PROJECT}-v{version}-staging",
                correlation_id="run",
            ),
            state=self.state, objects=self.objects, endpoints=self.endpoints, clock=self.clock,
            timer=lambda: next(ticks) * seconds,
        )  # fmt: skip

    def conclude_staging(
        self,
        version: int = 1,
        result: SmokeResult | None = None,
        failure: Failure | None = None,
    ) -> StagingConclusion:
        return self.conclude_staging_as(
            ConcludeStaging(
                project=PROJECT, version=version, correlation_id="run", causation_id="x",
                execution_arn=self.staging_record(version)["execution_arn"],
                endpoint=f"dev-{PROJECT}-v{version}-staging", smoke=result, failure=failure,
            )
        )  # fmt: skip

    def conclude_staging_as(self, command: ConcludeStaging) -> StagingConclusion:
        return staging.conclude_staging(
            command, environment="dev",
            state=self.state, objects=self.objects, endpoints=self.endpoints,
            clock=self.clock, ids=self.ids, artifacts_bucket=ARTIFACTS,
        )  # fmt: skip

    # Release

    def start_release(self, version: int, digest: str = DIGEST) -> dict[str, Any]:
        payload = VersionApproved(
            version=version, evidence_digest=digest, approvers=["000000000000/ada"]
        )
        return start_release(
            self.received(payload), state=self.state, workflows=self.workflows, clock=self.clock,
            ids=self.ids, machine=RELEASE,
        )  # fmt: skip

    def about(self, release_id: str) -> dict[str, Any]:
        return {
            "project": PROJECT, "version": int(release_id[:8]), "release_id": release_id,
            "correlation_id": "run",
        }  # fmt: skip

    def plan(self, release_id: str) -> ReleasePlan:
        return release_steps.plan_release(
            PlanRelease(**self.about(release_id)), state=self.state, endpoints=self.endpoints,
            alarms=self.alarms, metrics=self.metrics, clock=self.clock, ids=self.ids,
            role_arn=ROLE, environment=ENVIRONMENT, fleets=self.variants,
            alarm_settings=self.alarms, capture_bucket=CAPTURE,
        )  # fmt: skip

    def shift(self, release_id: str, index: int = 0) -> TrafficShift:
        command = ShiftTraffic(**self.about(release_id), causation_id="x", step_index=index)
        return release_steps.shift_traffic(
            command, state=self.state, clock=self.clock, ids=self.ids
        )

    def count(
        self,
        requests: int,
        errors: int = 0,
        slow: int = 0,
        role: str = "candidate",
        units: int | None = None,
    ) -> None:
        """Let the gateway have counted this; each request is of another entity by default."""
        of = requests if units is None else units
        counted = RoleCounts(requests, errors, slow, of, min(errors, of), min(slow, of))
        self.metrics.by_role[PROJECT, role] = counted

    def judge(
        self, release_id: str, index: int | None = None, holds: int | None = None
    ) -> StepVerdict:
        """Judge the present step; as at a tick where index and holds are left out."""
        command = JudgeStep(**self.about(release_id), step_index=index, holds=holds)
        return judging.judge_release(
            command, state=self.state, objects=self.objects, alarms=self.alarms,
            metrics=self.metrics, clock=self.clock, ids=self.ids, artifacts_bucket=ARTIFACTS,
            environment=ENVIRONMENT,
        )  # fmt: skip

    def head(self, release_id: str) -> Item:
        return head_of(self.state, PROJECT, release_id)

    def tick(self, release_id: str, number: int) -> None:
        """Let the scheduler have looked so often."""
        self.state.put(Table.EXPERIMENTS, {**self.head(release_id), "tick": number})

    def declare(self, **release: Any) -> None:
        """Change what the project declares of a release."""
        told = declaration()
        told["release"] = {**told.get("release", {}), **release}
        self.project = parse_project(told)
        config = self.project.model_dump(mode="json")
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})

    def not_promoted(self, release_id: str, verdict: str = "inconclusive") -> ReleaseConclusion:
        return self.not_promoted_as(
            ConcludeExperiment(
                **self.about(release_id), causation_id="x", verdict=verdict, reason="nothing proved"
            )
        )

    def not_promoted_as(self, command: ConcludeExperiment) -> ReleaseConclusion:
        return conclude_experiment(
            command, state=self.state, environment="dev", endpoints=self.endpoints,
            workflows=self.workflows, clock=self.clock, ids=self.ids, machine=RELEASE,
        )  # fmt: skip

    def complete(self, release_id: str) -> CompletedRelease:
        return release_end.complete_release(
            CompleteRelease(**self.about(release_id), causation_id="x"), environment="dev",
            state=self.state,
            endpoints=self.endpoints, workflows=self.workflows, clock=self.clock, ids=self.ids,
            machine=RELEASE,
        )  # fmt: skip

    def conclude(self, release_id: str, error: str = "States.TaskFailed") -> ReleaseConclusion:
        return self.conclude_as(
            ConcludeRelease(
                **self.about(release_id), causation_id="x",
                execution_arn=self.release(release_id)["execution_arn"],
                failure=Failure(state="WarmEndpoint", error=error, cause="it broke"),
            )
        )  # fmt: skip

    def conclude_as(self, command: ConcludeRelease) -> ReleaseConclusion:
        return release_end.conclude_release(
            command, environment="dev",
            state=self.state, endpoints=self.endpoints, workflows=self.workflows,
            clock=self.clock, ids=self.ids, machine=RELEASE,
        )  # fmt: skip

    def play(self, version: int) -> str:
        """Approve a version and play its release to the end; return the release's id."""
        self.approve(version)
        release_id = str(self.start_release(version)["release_id"])
        plan = self.plan(release_id)
        self.endpoints.add(plan.endpoint.endpoint, container(self.project))
        self.count(500)
        self.count(500, role="stable")
        for index in range(plan.steps):
            self.shift(release_id, index)
            self.clock.advance(300)
            self.judge(release_id, index)
        self.complete(release_id)
        self.workflows.end(self.release(release_id)["execution_arn"])
        return release_id

    def begin(self, version: int, step: int = 0) -> str:
        """Approve a version and play its release up to the traffic shift of a step."""
        self.approve(version)
        release_id = str(self.start_release(version)["release_id"])
        plan = self.plan(release_id)
        self.endpoints.add(plan.endpoint.endpoint, container(self.project))
        self.count(500)
        self.count(500, role="stable")
        for index in range(step + 1):
            self.shift(release_id, index)
        return release_id

    # Rollback

    def start_rollback(self, received: Received) -> dict[str, Any]:
        return rollback.start_rollback(
            received, state=self.state, workflows=self.workflows, machine=ROLLBACK,
            environment=ENVIRONMENT,
        )  # fmt: skip

    def rollback_command(self, started: dict[str, Any]) -> RestoreRoute:
        payload = self.workflows.executions[started["started"]].payload
        return RestoreRoute.model_validate(payload)

    def restore(self, command: RestoreRoute) -> RestoredRoute:
        return rollback.restore_route(
            command,
            environment="dev",
            state=self.state,
            router=self.router,
            clock=self.clock,
            ids=self.ids,
        )

    def conclude_rollback(
        self,
        command: RestoreRoute,
        execution_arn: str,
        result: RestoredRoute | None = None,
        failure: Failure | None = None,
    ) -> ReleaseConclusion:
        return self.conclude_rollback_as(
            ConcludeRollback(
                **command.model_dump(), execution_arn=execution_arn, restored=result,
                failure=failure,
            )
        )  # fmt: skip

    def conclude_rollback_as(self, command: ConcludeRollback) -> ReleaseConclusion:
        return rollback.conclude_rollback(
            command, environment="dev",
            state=self.state, endpoints=self.endpoints, workflows=self.workflows,
            clock=self.clock, ids=self.ids, release_machine=RELEASE,
        )  # fmt: skip
