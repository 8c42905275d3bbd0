"""Events of endpoints, releases, experiments and outcomes."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from steward.contracts.events.envelope import Payload, Told


class VersionStaged(Payload):
    """The staged version passed its smoke test."""

    source: ClassVar[str] = "steward.serving"
    version: int
    endpoint: str
    smoke_uri: str
    smoke_digest: str
    summary: dict[str, Any]


class StagingFailed(Payload):
    """The staged version did not come up or failed its smoke test."""

    source: ClassVar[str] = "steward.serving"
    version: int
    failed_state: str
    error: Told
    cause: Told
    execution_arn: str


class ReleaseStarted(Payload):
    """A release began to move traffic."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    stable_version: int | None = None
    strategy: str
    steps: list[int]
    execution_arn: str


class ReleaseQueued(Payload):
    """A release waits for the one in flight; a newer approval takes its place."""

    source: ClassVar[str] = "steward.serving"
    version: int
    behind: str
    superseded: int | None = None


class TrafficShifted(Payload):
    """The route changed."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    step_id: str
    route_version: int
    shares: dict[str, float]
    shifted_at: str


class ReleaseCompleted(Payload):
    """A version answers everyone."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    previous_version: int | None = None
    previous_until: str | None = None


class ReleaseRolledBack(Payload):
    """All traffic is back on the stable version."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    stable_version: int
    cause: Told
    triggered_at: str
    restored_at: str
    execution_arn: str | None = None


class ReleaseFailed(Payload):
    """A release ended before it moved all traffic, for a technical reason."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    failed_state: str
    error: Told
    cause: Told
    execution_arn: str


class ReleaseNotPromoted(Payload):
    """A release ended with nothing proved for its version: the stable one keeps answering."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    stable_version: int
    verdict: str
    reason: Told


class ReleaseRequested(Payload):
    """A person or a pipeline asks to release an approved version.

    Attributes:
        release_id: The one release that may begin by it. A pipeline names the first of the
            version, which the approval begins as well: whichever comes first. None for whichever
            is next, as a person asks again after a try that did not promote.
    """

    source: ClassVar[str] = "steward.serving"
    version: int
    reason: str = ""
    release_id: str | None = None


class ExperimentStarted(Payload):
    """A version is to be compared with the one that serves, by a plan that is fixed.

    Attributes:
        phases: What is played, in order, such as ``shadow``, ``ab_test``.
        tick_s: How often it is looked at.
        planned_s: Time until its planned end.
    """

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    stable_version: int
    strategy: str
    phases: list[str]
    tick_s: int
    planned_s: int
    plan_digests: dict[str, str]


class VerdictReached(Payload):
    """A release was judged.

    Attributes:
        previous: Verdict of the judgement before in the same phase.
    """

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    number: int
    step_id: str
    phase: str
    verdict: str
    previous: str | None = None
    reason: Told
    next: str
    digest: str
    uri: str


class ExperimentEnded(Payload):
    """A comparison is over; ``outcome`` is the status of its release."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    strategy: str
    outcome: str
    verdicts: int


class RollbackRequested(Payload):
    """A person, or an alarm of monitoring, asks to go back to the version before.

    Attributes:
        version: What is to be taken back; None for whatever release that is.
    """

    source: ClassVar[str] = "steward.serving"
    reason: str
    version: int | None = None


class RollbackFailed(Payload):
    """A rollback could not restore the route: somebody must act now."""

    source: ClassVar[str] = "steward.serving"
    release_id: str | None = None
    error: Told
    cause: Told
    execution_arn: str


class TickFailed(Payload):
    """A look at an experiment failed; the next one goes on.

    Attributes:
        in_a_row: Ticks that failed since the last that did not.
        allowed: Failed ticks in a row that end the release.
    """

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    tick: int
    in_a_row: int
    allowed: int
    failed_state: str
    error: Told
    cause: Told
    execution_arn: str


class ScheduleRepaired(Payload):
    """The schedule of a running experiment was gone and was made anew."""

    source: ClassVar[str] = "steward.serving"
    release_id: str
    version: int
    schedule: str
    ticks: int


class RouteDrifted(Payload):
    """An endpoint that a route names is not as Steward made it: changed or ended from outside.

    Attributes:
        role: ``stable``, ``candidate``, ``mirror`` or ``previous``.
        kind: What differs, such as ``missing`` or ``other_config``.
        since: When SageMaker says it changed; None where it does not tell.
        last_in_order_at: When it was last found as wanted.
        action: ``repair``, ``hold`` or ``roll_back``.
    """

    source: ClassVar[str] = "steward.serving"
    endpoint: str
    version: int
    role: str
    kind: str
    wanted: Told
    found: Told
    since: str | None = None
    last_in_order_at: str | None = None
    action: str
    digest: str


class RouteRepaired(Payload):
    """An endpoint that had drifted is as wanted again, as SageMaker describes it.

    Attributes:
        by: ``steward``, or ``others`` where somebody else put it right.
    """

    source: ClassVar[str] = "steward.serving"
    endpoint: str
    version: int
    kind: str
    by: str
    drifted_at: str
    repaired_at: str


class RouteRepairFailed(Payload):
    """A repair of an endpoint failed.

    Attributes:
        given_up: Whether no further one is tried, so that somebody must act.
    """

    source: ClassVar[str] = "steward.serving"
    endpoint: str
    version: int
    kind: str
    attempt: int
    error: Told
    cause: Told
    given_up: bool


class IdleEndpoint(BaseModel):
    """One endpoint that could go, or cost less.

    Attributes:
        kind: ``orphan``, which nothing names, or ``idle``, the stable version's without requests.
        action: ``delete`` or ``scale_to_zero``; ``none`` where SageMaker has no way but deletion
            of what a route names.
        dollars_month: What that saves a month; None where no price is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    endpoint: str
    kind: str
    since: str
    reason: Told
    action: str
    dollars_month: float | None = None


class EndpointIdle(Payload):
    """Endpoints of a project were found to cost and do nothing; each is told once.

    Attributes:
        performed: Whether the project's policy does it; else a person has to.
        prices: Region and date of the prices.
    """

    source: ClassVar[str] = "steward.serving"
    endpoints: list[IdleEndpoint]
    dollars_month: float
    performed: bool
    prices: str


class ReapingRequested(Payload):
    """A person asks to have endpoints that do nothing deleted, or scaled to zero.

    Attributes:
        endpoints: As they were shown; what has come into use since then stays.
    """

    source: ClassVar[str] = "steward.serving"
    endpoints: list[str]


class EndpointReaped(Payload):
    """An endpoint that did nothing was deleted, or costs nothing until requests come again.

    Attributes:
        action: ``deleted``, ``scaled_to_zero`` or ``scaled_back``, once requests came again.
        dollars_month: What it saves a month; below zero where it costs again.
    """

    source: ClassVar[str] = "steward.serving"
    endpoint: str
    action: str
    reason: Told
    dollars_month: float | None = None
    prices: str


class ProjectRemoved(Payload):
    """A person had a project removed: it is declared and routed no more, and its endpoints go.

    Attributes:
        found: How many endpoints, configurations, models and schedules go, by kind. What turned
            up later, as of a run that had just begun, is told by one more event.
        config_digest: Of the declaration that it had; none where that went before.
        code_digest: Of the code that it had; none where the declaration went before.
    """

    source: ClassVar[str] = "steward.serving"
    found: dict[str, int]
    config_digest: str | None = None
    code_digest: str | None = None


class OutcomesRecorded(Payload):
    """Outcomes of predictions arrived.

    Attributes:
        count: Outcomes that were kept.
        uri: Where they lie; of a file, the file that they came from.
        refused: Rows that were not kept.
        report_uri: Why not, where a file had such rows.
    """

    source: ClassVar[str] = "steward.serving"
    count: int
    uri: str
    refused: int = 0
    report_uri: str | None = None


class OutcomeObserved(Payload):
    """One outcome, reported by an event instead of a request or a file.

    Attributes:
        inference_id: Of the prediction; either this or the entity.
        entity_id: As in requests; it is kept by its pseudonym alone.
        outcome: A truth value, a number or a short text.
        observed_at: ISO 8601 with a time zone.
    """

    source: ClassVar[str] = "steward.serving"
    inference_id: str | None = None
    entity_id: str | None = None
    outcome: bool | int | float | str
    observed_at: str


class BatchScoringRequested(Payload):
    """A person asks to score files.

    Attributes:
        request_id: By which who asked finds the batch, or why there is none.
        prefix: Folder below ``batch-input/<project>/`` to score in place of the declared input.
        reason: Why.
    """

    source: ClassVar[str] = "steward.serving"
    request_id: str
    prefix: str | None = None
    reason: Told = ""


class BatchScored(Payload):
    """Scores of a batch passed their checks and were delivered.

    Attributes:
        version: The version that scored, in production when the batch began.
        input: The files that were scored, each with its object version, twenty at most.
        more_input: Further files, which the manifest names.
        least: Smallest score.
        most: Largest score.
        mean: Of all scores.
    """

    source: ClassVar[str] = "steward.serving"
    batch_id: str
    batch_key: str
    version: int
    input: list[dict[str, Any]]
    more_input: int = 0
    rows: int
    refused_rows: int
    scores_uri: str
    scores_sha256: str
    manifest_uri: str
    least: float
    most: float
    mean: float
    transform_job: str
    execution_arn: str


class BatchScoringFailed(Payload):
    """A batch ended without a result that anybody may use.

    Attributes:
        version: None where none was in production.
        quarantine_uri: Where the refused result lies, None where there is none.
    """

    source: ClassVar[str] = "steward.serving"
    batch_id: str
    version: int | None = None
    failed_state: str
    error: Told
    cause: Told
    quarantine_uri: str | None = None
    execution_arn: str
