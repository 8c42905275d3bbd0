"""Events of projects, commits and runs."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from steward.contracts.events.envelope import Payload, Told, _Wire
from steward.domain.integrations import COMMIT_PATTERN


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
