"""Tasks of the domain ``serving``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Failure(_Strict):
    """Where a machine failed, as its Catch saw it; ``cause`` may be Lambda's JSON."""

    state: str
    error: str
    cause: str = ""


class PlanStaging(_Strict):
    """Prepare the staging endpoint of a version."""

    project: str
    version: int
    attempt: int
    correlation_id: str


class EndpointPlan(_Strict):
    """What SageMaker is asked to create; ``create`` is false where it serves already.

    Attributes:
        router: ``endpoint_variants``: the endpoint is that of all versions of the project.
        update: The endpoint is there and gets the new configuration.
        model: Request of ``CreateModel``.
        config: Request of ``CreateEndpointConfig``.
        request: Request of ``CreateEndpoint``.
    """

    endpoint: str
    create: bool
    router: str = "gateway"
    update: bool = False
    model: dict[str, Any]
    config: dict[str, Any]
    request: dict[str, Any]


class RunSmokeTest(_Strict):
    """Ask a staged version the recorded examples of its dataset."""

    project: str
    version: int
    endpoint: str
    correlation_id: str


class SmokeCheck(_Strict):
    """One check with what was seen and what was allowed."""

    name: str
    passed: bool
    detail: str


class SmokeResult(_Strict):
    """What the smoke test found; it is evidence as it stands."""

    project: str
    version: int
    endpoint: str
    passed: bool
    checks: list[SmokeCheck]
    requests: int
    latency_ms_p50: float
    latency_ms_p95: float
    ended_at: str


class ConcludeStaging(_Strict):
    """Record how a staging ended; ``failure`` is absent where it succeeded."""

    project: str
    version: int
    correlation_id: str
    causation_id: str
    execution_arn: str
    endpoint: str | None = None
    smoke: SmokeResult | None = None
    failure: Failure | None = None


class StagingConclusion(_Strict):
    """How a staging ended."""

    status: Literal["succeeded", "failed"]
    smoke_uri: str | None = None


class PlanRelease(_Strict):
    """Verify the approval once more and fix the steps of a release."""

    project: str
    version: int
    release_id: str
    correlation_id: str


class ReleasePlan(_Strict):
    """The endpoint of the candidate and how many steps lie ahead.

    Attributes:
        ticked: Whether the scheduler looks at it once the first traffic is shifted.
        tick_s: How often.
    """

    strategy: str
    steps: int = Field(ge=1)
    ticked: bool = False
    tick_s: int = 3600
    endpoint: EndpointPlan


class WarmEndpoint(_Strict):
    """Call an endpoint until its workers are up; nobody counts these calls."""

    project: str
    version: int
    endpoint: str
    correlation_id: str


class WarmedEndpoint(_Strict):
    """How the warm-up went."""

    calls: int
    last_ms: float


class ShiftTraffic(_Strict):
    """Move the traffic of one step."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str
    step_index: int = Field(ge=0)


class TrafficShift(_Strict):
    """The route as it is now, and how long to watch it."""

    step_id: str
    route_version: int
    bake_s: int
    router: str = "gateway"


class ApplyRoute(_Strict):
    """Look once whether traffic flows as the project's route says, and do what is missing.

    Attributes:
        release_id: Whose record gets the time from which the present step is true.
    """

    project: str
    release_id: str


class RouteApplied(_Strict):
    """Whether it does, and what is waited for."""

    applied: bool
    route_version: int
    detail: str = ""


class JudgeStep(_Strict):
    """Judge the present step: after its bake, or at a tick.

    Attributes:
        step_index: Left out at a tick: the experiment's head item knows it.
        holds: Likewise.
    """

    project: str
    version: int
    release_id: str
    correlation_id: str
    step_index: int | None = Field(default=None, ge=0)
    holds: int | None = Field(default=None, ge=0)


class FreezeCohorts(_Strict):
    """Freeze the cohorts of a release that have matured.

    Attributes:
        tick: Of the look that asks for it; left out in a ramp.
    """

    project: str
    version: int
    release_id: str
    correlation_id: str
    tick: int | None = Field(default=None, ge=1)


class CohortsFrozen(_Strict):
    """How many cohorts were frozen now, and how many are known that have not matured."""

    frozen: int
    waiting: int


class RollbackStart(_Strict):
    """Name and input of the execution that rolls back."""

    name: str
    input: dict[str, Any]


class StepVerdict(_Strict):
    """What follows a judgement.

    Attributes:
        next: ``shift`` to the step ``step_index`` (or a bandit's next batch), ``complete``,
            ``hold`` for another bake, ``wait`` for the next tick, ``roll_back``, ``withdraw`` a
            first version that has nothing to go back to, or ``end`` without promotion.
        verdict: What the statistics say.
        statistics_uri: The frozen numbers, so that the judgement can be made again.
    """

    next: Literal["shift", "complete", "hold", "wait", "roll_back", "withdraw", "end"]
    step_index: int
    holds: int
    bake_s: int
    verdict: str
    reason: str
    statistics_uri: str
    digest: str
    rollback: RollbackStart


class CompleteRelease(_Strict):
    """Make the candidate the stable version."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str


class CompletedRelease(_Strict):
    """What serves now, and what was removed."""

    version: int
    previous_version: int | None
    removed: list[str]


class ConcludeExperiment(_Strict):
    """End a release without promotion: nothing was proved for its version."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str
    verdict: str
    reason: str


class ScheduleTicks(_Strict):
    """Let the scheduler look at a release from now on."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str


class TicksScheduled(_Strict):
    """The schedule, and how often it fires."""

    schedule: str
    tick_s: int


class ConcludeTick(_Strict):
    """End a look at an experiment; ``failure`` is absent where it went well."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str
    execution_arn: str
    tick: int = Field(ge=1)
    failure: Failure | None = None


class TickConclusion(_Strict):
    """Where an experiment is after a tick.

    Attributes:
        concluded: Whether this call freed the lease.
        status: Of the release.
    """

    concluded: bool
    status: str
    failed_in_a_row: int = 0


class ConcludeRelease(_Strict):
    """Record that a release ended in a failure."""

    project: str
    version: int
    release_id: str
    correlation_id: str
    causation_id: str
    execution_arn: str
    failure: Failure


class ReleaseConclusion(_Strict):
    """Status of a release after it was concluded, whoever did it."""

    status: str


class RestoreRoute(_Strict):
    """Take the traffic from a version, by one conditional write."""

    project: str
    version: int
    release_id: str
    cause: str
    triggered_at: str
    correlation_id: str
    causation_id: str
    actor: str


class RestoredRoute(_Strict):
    """What serves now; ``endpoint`` is that of the version taken out of traffic.

    Attributes:
        router: ``endpoint_variants``: the weights have still to follow the route.
    """

    stable_version: int
    restored_at: str
    route_version: int
    moved: bool
    endpoint: str
    router: str = "gateway"


class ConcludeRollback(_Strict):
    """Record how a rollback ended; ``failure`` is absent where the route was restored."""

    project: str
    version: int
    release_id: str
    cause: str
    triggered_at: str
    correlation_id: str
    causation_id: str
    actor: str
    execution_arn: str
    restored: RestoredRoute | None = None
    failure: Failure | None = None


class RemoveEndpoint(_Strict):
    """Delete an endpoint unless a route needs it."""

    project: str
    endpoint: str


class RemovedEndpoint(_Strict):
    """Whether it is gone."""

    removed: bool
