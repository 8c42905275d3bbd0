"""Our own events, version 1: the envelope and each payload by detail-type.

JSON Schemas in ``events/schemas`` are generated from these models; a drifted schema fails
the checks.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from steward.domain.digests import canonical_json
from steward.domain.errors import RejectedError
from steward.domain.integrations import COMMIT_PATTERN

SCHEMA_VERSION = "1"
MAX_EVENT_BYTES = 64 * 1024


_LONGEST_CAUSE = 8_000


def _beginning(text: str) -> str:
    return text if len(text) <= _LONGEST_CAUSE else text[: _LONGEST_CAUSE - 4] + " ..."


Told = Annotated[str, AfterValidator(_beginning)]
"""What a machine says of a failure: Step Functions' causes have up to 32,768 characters."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Meta(_Wire):
    """Who caused what: the same in every event."""

    schema_version: str = SCHEMA_VERSION
    correlation_id: str
    causation_id: str
    project: str
    actor: str


class Payload(_Wire):
    """Base of all payloads; the class name is the detail-type."""

    source: ClassVar[str]


class ProjectConfigured(Payload):
    """A project's configuration or code changed."""

    source: ClassVar[str] = "steward.training"
    config_digest: str
    code_digest: str
    author: str


class TrainingRequested(Payload):
    """Somebody asks for a run without new data.

    Attributes:
        use_cache: False for a run that carries every step out, although it has run before.
    """

    source: ClassVar[str] = "steward.training"
    reason: str
    use_cache: bool = True


class CommitSource(_Wire):
    """Where the files of a commit are.

    Attributes:
        kind: ``codecommit``: the repository named in the event, read by commit id. ``archive``:
            a ``tar.gz`` or ``zip`` behind ``url``, whose host the stack allows. ``s3``: one in
            ``bucket`` under ``key``, such as the artifact of a pipeline's source action.
    """

    kind: Literal["codecommit", "archive", "s3"]
    url: str | None = Field(default=None, max_length=2000)
    bucket: str | None = None
    key: str | None = None
    version_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"codecommit": (), "archive": ("url",), "s3": ("bucket", "key")}[self.kind]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a source of kind {self.kind} needs {', '.join(missing)}")
        return self


class CommitReceived(Payload):
    """Somebody asks to integrate a commit.

    Attributes:
        repository: As its forge names it, such as ``acme/credit``.
        author: Identity of who brought it: ``<forge>:<login>`` unless IAM verified a principal.
        previous: The commit that the branch was at before, where that is known.
        author_arn: The verified principal's ARN, where there is one.
    """

    source: ClassVar[str] = "steward.training"
    repository: str = Field(min_length=1, max_length=300)
    branch: str = Field(min_length=1, max_length=255)
    commit_id: str = Field(pattern=COMMIT_PATTERN)
    files: CommitSource
    author: str = Field(min_length=1, max_length=300)
    origin: Literal["codecommit", "pipeline", "webhook", "cli"]
    previous: str | None = None
    author_arn: str | None = None


class CommitIntegrated(Payload):
    """A commit passed every check; its code and configuration are the project's.

    Attributes:
        integration_id: Key of its record in the table Runs.
        run_id: The training run, empty where none was started.
        outcome: What came of asking for one: started, queued, suppressed, kept or failed.
    """

    source: ClassVar[str] = "steward.training"
    integration_id: str
    repository: str
    branch: str
    commit_id: str
    author: str
    code_digest: str
    config_digest: str
    run_id: str
    outcome: str


class IntegrationFailed(Payload):
    """A commit did not pass; nothing of the project was changed.

    Attributes:
        step: State of the machine that failed.
        failed_tests: Names of the project's tests that failed, the first of them.
    """

    source: ClassVar[str] = "steward.training"
    integration_id: str
    repository: str
    branch: str
    commit_id: str
    author: str
    step: str
    error: str
    cause: Told
    execution_arn: str
    failed_tests: list[str] = Field(default_factory=list, max_length=20)


class IntegrationSuperseded(Payload):
    """A commit was overtaken by a later one of its branch before it could become the project's."""

    source: ClassVar[str] = "steward.training"
    integration_id: str
    branch: str
    commit_id: str
    superseded_by: str


class DeliveryReceived(Payload):
    """A data file arrived."""

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    bucket: str
    key: str
    version_id: str | None = None
    table: str = "data"


class DatasetAccepted(Payload):
    """A delivery kept every rule that may reject it.

    Attributes:
        table: ``data`` for the primary table, else the name of its source.
        rows: Rows that count, those in quarantine left out.
        quarantined_rows: Rows set aside by rules of severity ``quarantine_rows``.
        warnings: Rules of severity ``warn`` that were broken.
    """

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    key: str
    rows: int
    report_uri: str
    table: str = "data"
    quarantined_rows: int = 0
    warnings: int = 0


class RuleViolation(_Wire):
    """One broken rule with examples."""

    rule: str
    column: str | None = None
    count: int
    examples: list[dict[str, Any]] = Field(default_factory=list)
    message: str


class DatasetRejected(Payload):
    """A delivery broke a rule and is in quarantine."""

    source: ClassVar[str] = "steward.data"
    table: str = "data"
    delivery_id: str
    key: str
    quarantine_uri: str
    report_uri: str
    violations: list[RuleViolation]


class DeliveryDeleted(Payload):
    """A delivery was deleted on purpose; its record stays.

    Attributes:
        by: Identity of who asked for it.
        deleted_at: When it was asked for.
        objects: Stored versions that were removed.
        features: Versions of feature groups that were made of it, as ``<group>/v<version>``.
    """

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    bucket: str
    key: str
    version_id: str | None = None
    table: str = "data"
    reason: str
    by: str
    deleted_at: str
    objects: int
    features: list[str] = Field(default_factory=list)


NAMED_DELIVERIES = 500
"""Deliveries that an event names at most: their ids are half of what an event may hold."""


class DatasetBuilt(Payload):
    """A content-addressed dataset was written.

    Attributes:
        manifest_uri: Names every source object, also where the event does not.
        deliveries: The first deliveries of the primary table, in order of receipt.
        more_deliveries: How many more there are, which the manifest alone names.
        run_id: The run that it was built for; None for a rebuild.
        features: Views that were joined, as ``<group>/v<version>``.
        cutoff: Knowledge cutoff: what was known later is not in it.
        labels_unknown: Rows left out because their label was not known at the cutoff.
        rows_with_later_knowledge: Rows that a join by event time alone would have given a value
            that was not known at their prediction time.
        reused_from: The run that built it, where this one found it built.
    """

    source: ClassVar[str] = "steward.data"
    dataset_id: str
    manifest_uri: str
    deliveries: list[str] = Field(max_length=NAMED_DELIVERIES)
    more_deliveries: int = 0
    train_rows: int
    heldout_rows: int
    run_id: str | None = None
    features: list[str] = Field(default_factory=list)
    cutoff: str | None = None
    labels_unknown: int = 0
    rows_with_later_knowledge: int = 0
    reused_from: str | None = None


class FeatureGroupVersioned(Payload):
    """A feature group has a new version: its definition changed."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    definition_digest: str
    physical_name: str
    source_table: str
    is_backfill: bool = False


class FeatureGroupRetired(Payload):
    """A version of a feature group is served no more."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    by: str


class FeaturesMaterialised(Payload):
    """The rows of a delivery are in a feature group version: Parquet first, then online."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    delivery_id: str
    rows: int
    online_rows: int
    files: list[str]
    newest_event_time: str | None = None


class FeatureMaterialisationFailed(Payload):
    """The rows of a delivery could not be brought into a feature group version."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    delivery_id: str
    error: Told
    cause: Told
    execution_arn: str


class FeatureRecordReceived(Payload):
    """One row of a feature group's source, streamed by an event instead of a file.

    Attributes:
        row: Values by column of the source, as JSON.
    """

    source: ClassVar[str] = "steward.data"
    group: str
    row: dict[str, Any]


class TrainingStarted(Payload):
    """A run began.

    Attributes:
        code_uri: The archive of the code, whose SHA-256 is ``code_digest``.
        image: Job image with its digest.
    """

    source: ClassVar[str] = "steward.training"
    run_id: str
    run_key: str
    trigger: str
    execution_arn: str
    author: str | None = None
    config_digest: str | None = None
    code_digest: str | None = None
    code_uri: str | None = None
    image: str | None = None


class StepReused(Payload):
    """A run took a step's outputs from an earlier run instead of carrying it out again.

    Attributes:
        step: ``dataset``, ``training`` or ``evaluation``.
        step_key: SHA-256 of all that the step reads.
        reused_from: The run that carried it out.
        outputs: What is used again; each still has the bytes that it was kept with.
        saved_s: Seconds that the step took then.
        saved_dollars: What it cost then, by the dated table; null where that has no price.
    """

    source: ClassVar[str] = "steward.training"
    run_id: str
    step: Literal["dataset", "training", "evaluation"]
    step_key: str
    reused_from: str
    outputs: list[str] = Field(max_length=20)
    saved_s: float | None = None
    saved_dollars: float | None = None


class TrainingResumed(Payload):
    """A failed run goes on from where it stopped, in the same execution.

    Attributes:
        redrives: How often its execution was redriven, this time among them.
    """

    source: ClassVar[str] = "steward.training"
    run_id: str
    execution_arn: str
    redrives: int


class TrainingQueued(Payload):
    """A run waits for the one in flight; a later one takes its place."""

    source: ClassVar[str] = "steward.training"
    run_id: str
    run_key: str
    behind: str
    superseded: str | None = None


class TrainingSuppressed(Payload):
    """The same work is running or done; nothing was started."""

    source: ClassVar[str] = "steward.training"
    run_key: str
    existing_run_id: str
    existing_status: str
    trigger: str
    reason: str


class CandidateEvaluated(Payload):
    """A candidate was judged on held-out rows."""

    source: ClassVar[str] = "steward.training"
    run_id: str
    evaluation_uri: str
    metrics: dict[str, float]
    champion_version: int | None = None
    verdict: Literal["pass", "worse", "inconclusive", "no_champion", "champion_failed"]


class CandidateHeld(Payload):
    """The gate did not let a candidate into the registry."""

    source: ClassVar[str] = "steward.training"
    run_id: str
    verdict: str
    reasons: list[str]


class TrainingSucceeded(Payload):
    """A run ended with a registered version."""

    source: ClassVar[str] = "steward.training"
    run_id: str
    version: int


class TrainingFailed(Payload):
    """A run ended without a result."""

    source: ClassVar[str] = "steward.training"
    run_id: str
    failed_state: str
    error: Told
    cause: Told
    execution_arn: str


class VersionRegistered(Payload):
    """A model package was registered, pending."""

    source: ClassVar[str] = "steward.registry"
    version: int
    run_id: str
    model_package_arn: str
    artifact_uri: str
    author: str


class ApprovalRequested(Payload):
    """The evidence is frozen; a person decides."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    evidence_uri: str
    expires_at: str
    quorum: int
    summary: dict[str, Any]


class VersionApproved(Payload):
    """The quorum approved exactly this evidence."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    approvers: list[str]


class VersionRejected(Payload):
    """A person said no."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    by: str
    comment: str


class ApprovalReminder(Payload):
    """A request for approval expires soon and not enough people have decided."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    expires_at: str
    missing: int


class ApprovalExpired(Payload):
    """Nobody decided in time, or a newer version made the request void."""

    source: ClassVar[str] = "steward.registry"
    version: int
    expired_at: str
    superseded_by: int | None = None


class ApprovalBypassed(Payload):
    """An approval was made around Steward and has been set back."""

    source: ClassVar[str] = "steward.registry"
    version: int
    model_package_arn: str
    found_status: str
    restored_status: str


class WaiverGranted(Payload):
    """A person lets one rule of a project's gate be broken for a while."""

    source: ClassVar[str] = "steward.governance"
    waiver_id: str
    rule: str
    reason: str
    by: str
    expires_at: str
    digest: str
    run_id: str | None = None
    version: int | None = None


class WaiverRevoked(Payload):
    """A waiver counts no longer."""

    source: ClassVar[str] = "steward.governance"
    waiver_id: str
    rule: str
    reason: str
    by: str


class PolicyDeployed(Payload):
    """The organisation's policy changed; runs that start from now on are judged by it."""

    source: ClassVar[str] = "steward.governance"
    name: str
    digest: str
    previous_digest: str | None = None


class VersionPromoted(Payload):
    """A version is in production."""

    source: ClassVar[str] = "steward.registry"
    version: int
    previous: int | None = None


class VersionStateChanged(Payload):
    """A version came into a state that no other event tells of.

    Attributes:
        previous: The state before.
        reason: Why: the release, the failure, or what the person wrote.
    """

    source: ClassVar[str] = "steward.registry"
    version: int
    previous: str
    state: str
    reason: str = ""


class VersionAliased(Payload):
    """An alias names another version now, or none.

    Attributes:
        alias: Such as ``challenger``; ``champion`` is told by ``VersionPromoted``.
        version: None where the alias was deleted.
        previous: None where it is new.
    """

    source: ClassVar[str] = "steward.registry"
    alias: str
    version: int | None
    previous: int | None
    reason: str = ""


class VersionDescribed(Payload):
    """The tags or the description of a version changed."""

    source: ClassVar[str] = "steward.registry"
    version: int
    tags: dict[str, str]
    description: str


class VersionExported(Payload):
    """A version went to another environment, where it is number ``became``."""

    source: ClassVar[str] = "steward.registry"
    version: int
    environment: str
    account: str
    became: int
    export_digest: str
    approvers: list[str]


class VersionImported(Payload):
    """A version of another environment was brought here; its registration follows.

    Attributes:
        run_id: What `VersionRegistered` calls its run.
        origin: Account, environment, project, version and digests of where it is from.
        approvers: Who approved it there.
    """

    source: ClassVar[str] = "steward.registry"
    run_id: str
    import_digest: str
    export_digest: str
    origin: dict[str, str]
    approvers: list[str]


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


class WindowJudged(Payload):
    """A window of captured traffic was looked at; the record of the look lies in S3.

    Attributes:
        window: Start of the window.
        revision: Above 1 where late rows were looked at again.
        verdict: On this window alone.
        drift: State of the alarm over time.
        alarms: State of each alarm after this look.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    window: str
    window_s: int
    revision: int = 1
    version: int | None = None
    role: Literal["stable", "candidate"] = "stable"
    rows: int
    verdict: str
    drift: str
    alarms: dict[str, str] = Field(default_factory=dict)
    sentence: Told
    digest: str
    uri: str


class DriftDetected(Payload):
    """The traffic of a version is not what it was trained on any more, and has not been for a
    while.

    Attributes:
        window: Start of the window at whose look it was found.
        since: Start of the trailing sum that shows it best.
        columns: Columns that changed, the surest first; at most 20.
        p: Smallest p-value.
        effect: Of that column, corrected for chance.
        horizon: Windows of its trailing sum.
        odds: Probability of a false alarm, and in how many looks.
        action: What the project declares.
        kind: ``drift`` of values, or ``attribution``: the model leans on other features.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: Literal["drift", "attribution"] = "drift"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    columns: list[str]
    p: float
    effect: float
    horizon: int
    rows: int
    odds: str
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class PerformanceDegraded(Payload):
    """Labels show that a version does worse than on held-out rows, by more than the margin.

    Attributes:
        metric: What is compared.
        current: In the labelled predictions of this look.
        baseline: On held-out rows.
        labelled: Labelled predictions.
        coverage: Share of predictions that have a label.
        odds: Probability of a false alarm, and in how many looks.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    metric: str
    current: float | None = None
    baseline: float | None = None
    margin: float
    labelled: int
    coverage: float | None = None
    odds: str
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class BiasDrifted(Payload):
    """A group is treated otherwise than on held-out rows, by more than the margin.

    Attributes:
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    groups: list[str]
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class DataStale(Payload):
    """A version that serves has answered nobody for longer than the project allows.

    Attributes:
        since: End of the last window with rows.
        silent_s: How long nothing came.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int | None = None
    window: str
    since: str
    silent_s: int
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class AlarmCleared(Payload):
    """An alarm of monitoring is over.

    Attributes:
        kind: ``drift``, ``performance``, ``bias``, ``no_data`` or ``attribution``.
        since: When it had begun.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    version: int | None = None
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    sentence: Told
    digest: str
    uri: str


class RetrainingRequested(Payload):
    """An alarm or a schedule asks for a run, and every brake lets it pass.

    Attributes:
        kind: ``drift``, ``performance``, ``bias`` or ``schedule``.
        cause: What it is about; the same for as long as it is the same alarm.
        attempt: Name of the attempt.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    cause: str
    attempt: str
    reason: str
    expected_usd: float = 0.0


class RetrainingSuppressed(Payload):
    """An alarm or a schedule asked for a run and did not get it.

    Attributes:
        code: Which brake, such as ``cool_down`` or ``breaker_open``.
        waits: It is asked again when that may have changed.
        not_before: When time alone changes it.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    cause: str
    code: str
    reason: str
    waits: bool
    not_before: str | None = None


class WatchFailed(Payload):
    """A project, or none at all, could not be looked at; the next watch tries again."""

    source: ClassVar[str] = "steward.monitoring"
    run: str
    error: Told
    cause: Told
    execution_arn: str


class RunCostRecorded(Payload):
    """What something cost, from the dated price table."""

    source: ClassVar[str] = "steward.governance"
    entry: str
    kind: str
    dollars: float
    detail: dict[str, Any] = Field(default_factory=dict)


class LineageEventWritten(Payload):
    """An OpenLineage run event lies in S3, checked against its schema.

    Attributes:
        run_uuid: OpenLineage's ``runId``.
        event_type: START, COMPLETE, FAIL or ABORT.
        sha256: Digest of the object's bytes.
    """

    source: ClassVar[str] = "steward.governance"
    uri: str
    sha256: str
    job: str
    run_uuid: str
    event_type: str


class LedgerTampered(Payload):
    """An item of the ledger was changed or removed: each is written once and stays.

    Attributes:
        item: Its sort key, such as ``record#000000000007``.
        change: MODIFY or REMOVE, as the table's stream says.
        by: Principal that the stream names, such as DynamoDB for an expiry; empty for none.
        before: SHA-256 of the item as it was.
        after: SHA-256 of the item as it is; None where it is gone.
    """

    source: ClassVar[str] = "steward.audit"
    item: str
    change: Literal["MODIFY", "REMOVE"]
    by: str = ""
    before: str
    after: str | None = None


class LedgerBroken(Payload):
    """A ledger is not signed further, since what was to be signed is not right.

    Attributes:
        kind: As the verifier names it, or ``unkept`` and ``differs`` for a record's object.
        seq: Number of the first record that is not right.
    """

    source: ClassVar[str] = "steward.audit"
    kind: str
    seq: int
    told: str


class ChangeUnmatched(Payload):
    """CloudTrail recorded a change that no record of Steward explains.

    Attributes:
        call: Name of the API call, such as ``UpdateModelPackage``.
        resource: What was changed.
        principal: ARN of who did it.
        at: When, as CloudTrail says.
        call_id: CloudTrail's ``eventID``.
        reason: Why nothing explains it.
        source_ip: Where the call came from.
    """

    source: ClassVar[str] = "steward.audit"
    call: str
    resource: str
    principal: str
    at: str
    call_id: str
    reason: str
    source_ip: str = ""


class ReviewDue(Payload):
    """A model has not been reviewed for as long as its tier allows.

    Attributes:
        production: The version that serves.
        last_review: Of a person; None where there was none.
        due: When the interval ended.
    """

    source: ClassVar[str] = "steward.registry"
    tier: str
    owner: str
    production: int | None
    last_review: str | None
    due: str


class ReviewRecorded(Payload):
    """A verified person reviewed a model."""

    source: ClassVar[str] = "steward.registry"
    by: str
    note: str
    at: str


PAYLOADS: dict[str, type[Payload]] = {model.__name__: model for model in Payload.__subclasses__()}


class Event(_Wire):
    """One event of ours: what ``PutEvents`` carries, typed."""

    event_id: str
    time: str
    meta: Meta
    data: Payload

    @property
    def detail_type(self) -> str:
        """The class name of the payload."""
        return type(self.data).__name__

    @property
    def source(self) -> str:
        """The emitting domain."""
        return self.data.source

    def detail(self) -> dict[str, Any]:
        """Return the ``detail`` object; its meta carries no event id, AWS's ``id`` is another."""
        return {
            "meta": {**self.meta.model_dump(mode="json")},
            "data": self.data.model_dump(mode="json"),
        }

    def detail_json(self) -> str:
        """Return ``detail`` as canonical JSON.

        Raises:
            RejectedError: It is above ``MAX_EVENT_BYTES`` or holds a number that JSON has not.
                What is large lies in S3, and an event carries its URI.
        """
        try:
            text = canonical_json(self.detail())
        except ValueError as error:
            raise RejectedError(
                f"{self.detail_type} is not JSON: {error}", field="detail.data", allowed="JSON"
            ) from None
        if len(text) > MAX_EVENT_BYTES:
            raise RejectedError(
                f"{self.detail_type} has {len(text)} bytes of detail; what is large goes to S3",
                field="detail", value=len(text), allowed=f"at most {MAX_EVENT_BYTES} bytes",
            )  # fmt: skip
        return text.decode()


def parse_payload(detail_type: str, data: object) -> Payload:
    """Return the typed payload of a detail-type.

    Raises:
        KeyError: The detail-type is none of ours.
        pydantic.ValidationError: ``data`` does not fit it.
    """
    return PAYLOADS[detail_type].model_validate(data)
