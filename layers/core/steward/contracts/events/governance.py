"""Events of lineage, cost and policy."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from steward.contracts.events.envelope import Payload


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
