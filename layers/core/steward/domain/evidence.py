"""What an approval is about: one document that names everything by digest, and its own digest."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import canonical_json

Sha256 = str

UNPROVEN = "unproven"
"""What stands where an imported version has nothing to show."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Reference(_Part):
    """A stored object and the SHA-256 of its bytes when the evidence was frozen."""

    uri: str
    sha256: Sha256 = Field(pattern="^[0-9a-f]{64}$")


class Gate(_Part):
    """The verdict that let the candidate in."""

    verdict: str
    reasons: list[str]
    inputs_digest: str | None = None


class Dataset(_Part):
    """What it was trained and judged on."""

    dataset_id: str
    manifest: Reference


class Staging(_Part):
    """How the staged version answered recorded examples."""

    endpoint: str
    smoke: Reference
    summary: dict[str, Any]


class Evidence(_Part):
    """The evidence of one version. Nothing in it depends on when it was written down.

    Attributes:
        dataset: None where a version was imported and nothing shows what trained it.
        imported: Where an imported version came from, and what of it is unproven.
    """

    schema_version: str = "1"
    project: str
    version: int
    run_id: str
    author: str
    model_package_arn: str
    code_digest: str
    config_digest: str
    job_image: str
    artifact: Reference
    dataset: Dataset | None
    evaluation: Reference
    baseline: Reference | None = None
    bias: Reference | None = None
    card: Reference | None = None
    explanation: Reference | None = None
    metrics: list[dict[str, Any]]
    champion_version: int | None
    comparison: Reference | None
    comparison_result: dict[str, Any] | None
    gate: Gate
    imported: dict[str, Any] | None = None
    staging: Staging

    def content(self) -> bytes:
        """Return the bytes that are stored; their SHA-256 is the evidence digest."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> Sha256:
        """The digest that an approval names: ``sha256sum evidence.json``."""
        return hashlib.sha256(self.content()).hexdigest()


def evidence_uri(bucket: str, project: str, version: int) -> str:
    """Return where the evidence of a version lies."""
    return f"s3://{bucket}/evidence/{project}/{version}/evidence.json"
