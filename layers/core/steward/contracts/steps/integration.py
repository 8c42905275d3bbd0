"""Tasks of the machine ``integrate_commit``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FetchSource(_Strict):
    """Bring the files of a commit; the execution's input."""

    project: str
    integration_id: str
    correlation_id: str
    causation_id: str
    actor: str


class FetchedSource(_Strict):
    """Where the files lie, packed the canonical way.

    Attributes:
        prefix: Of everything that belongs to this integration; ends without a slash.
        name: What the integration is called in names of jobs.
    """

    project: str
    integration_id: str
    commit_id: str
    name: str
    prefix: str
    source_uri: str
    files: int


class CheckProject(_Strict):
    """Check declaration, features and policy, and prepare what the jobs read."""

    project: str
    integration_id: str
    correlation_id: str
    prefix: str
    name: str
    source_uri: str


class CheckedProject(_Strict):
    """What the machine's jobs need to know.

    Attributes:
        has_tests: Whether the project brings tests.
        sample: Where the rows of the rehearsal come from: a dataset's id, or ``declared``.
    """

    code_digest: str
    config_digest: str
    image: str
    instance_type: str
    has_tests: bool
    tests_job: str
    tests_input_uri: str
    tests_output_uri: str
    tests_timeout_s: int
    rehearsal_job: str
    rehearsal_input_uri: str
    rehearsal_output_uri: str
    rehearsal_timeout_s: int
    sample: str


class JudgeIntegration(_Strict):
    """Read what a job found; a finding against the commit is an error."""

    project: str
    integration_id: str
    correlation_id: str
    stage: Literal["tests", "rehearsal"]
    output_uri: str


class JudgedIntegration(_Strict):
    """What was found, in words."""

    stage: str
    summary: str


class ActivateSource(_Strict):
    """Make code and configuration of a commit the project's."""

    project: str
    integration_id: str
    correlation_id: str
    prefix: str
    code_digest: str
    config_digest: str


class ActivatedSource(_Strict):
    """Whether anything changed, and who is the author of what is in force."""

    changed: bool
    author: str


class StartTraining(_Strict):
    """Ask for a run because of a commit."""

    project: str
    integration_id: str
    correlation_id: str


class StartedTraining(_Strict):
    """What came of it; ``run_id`` is the run that does the work, empty where there is none."""

    outcome: str
    run_id: str = ""
    reason: str = ""


class RecordIntegration(_Strict):
    """Write down how an integration ended.

    Attributes:
        failed_state: Name of the machine's state that failed.
        training: What came of asking for a run.
    """

    project: str
    integration_id: str
    correlation_id: str
    outcome: Literal["succeeded", "failed", "superseded"]
    execution_arn: str
    code_digest: str | None = None
    config_digest: str | None = None
    training: StartedTraining | None = None
    failed_state: str | None = None
    error: str | None = None
    cause: str | None = None
    found: list[JudgedIntegration] = Field(default_factory=list)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "succeeded": ("code_digest", "config_digest", "training"),
            "failed": ("failed_state", "error"), "superseded": (),
        }[self.outcome]  # fmt: skip
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"outcome {self.outcome} needs {', '.join(missing)}")
        return self


class RecordedIntegration(_Strict):
    """The machine's output."""

    outcome: str
    run_id: str = ""
