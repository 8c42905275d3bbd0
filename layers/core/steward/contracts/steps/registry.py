"""Tasks of the domain ``registry``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class GateResult(_Strict):
    """What the gate said of the candidate."""

    verdict: str
    reasons: list[str] = Field(default_factory=list)
    inputs_digest: str | None = None
    rules: list[dict[str, Any]] = Field(default_factory=list)
    quorum: int = 1
    policy: dict[str, str] = Field(default_factory=dict)
    inputs_uri: str | None = None
    waivers: list[str] = Field(default_factory=list)


class BaselineReference(_Strict):
    """What the evaluation wrote beside its report: the baseline, the bias or the explanation.

    Attributes:
        digest: SHA-256 of its bytes.
    """

    uri: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")


class ImportedFrom(_Strict):
    """Where a version came from that no run here has trained.

    Attributes:
        import_digest: Of the files that were brought.
        export_digest: Of the archive's manifest, None for a single artifact.
        source: Account, project, version and digests of where it was exported.
        unproven: What nothing here or there shows.
        promoted_by: Who brought it from the environment before, None for any other import.
        approvers: Who approved it there.
    """

    import_digest: str
    export_digest: str | None = None
    source: dict[str, str] = Field(default_factory=dict)
    unproven: list[str] = Field(default_factory=list)
    promoted_by: str | None = None
    approvers: list[str] = Field(default_factory=list)


class RegisterVersion(_Strict):
    """Register the candidate of a run, pending.

    Attributes:
        author: Verified identity of whoever brought code and configuration, or ``unknown``.
        champion_version: The version that it was compared with, None for the first.
        baseline: What monitoring compares its traffic with.
        bias: ``bias.json`` of the evaluation, where the project declares ``bias``.
        explanation: What moves its answers; None where they could not be explained.
        imported: Where it came from, None for a candidate of a run.
    """

    project: str
    run_id: str
    correlation_id: str
    author: str
    config_digest: str
    code_digest: str
    artifact_uri: str
    job_image: str
    dataset_id: str
    manifest_uri: str
    evaluation_uri: str
    comparison_uri: str | None = None
    champion_version: int | None = None
    baseline: BaselineReference | None = None
    bias: BaselineReference | None = None
    explanation: BaselineReference | None = None
    gate: GateResult
    imported: ImportedFrom | None = None


class RegisteredVersion(_Strict):
    """The version's number and its package in SageMaker Model Registry."""

    version: int
    model_package_arn: str
