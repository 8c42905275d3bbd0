"""Freezing the evidence of a version once it has proved itself in staging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from steward.contracts.events import ApprovalRequested, StagingFailed, VersionStaged
from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.evidence import Dataset, Evidence, Gate, Reference, Staging, evidence_uri
from steward.domain.model_summary import ModelSummary, summarize
from steward.domain.versions import VersionState
from steward.ports import Clock, Equals, Ids, Item, ObjectStore, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run
from steward.service.policy_in_force import pinned_policy_of
from steward.service.registry.records import need_version, version_key

if TYPE_CHECKING:
    from steward.domain.project import Project


def record_staging_evidence(
    project: str,
    staged: VersionStaged,
    *,
    causation_id: str,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    artifacts_bucket: str,
) -> str:
    """Write ``evidence.json``, freeze its digest and ask for approval, in one commit.

    The same event again changes nothing: only a version in state ``registered`` is frozen.

    Returns:
        The state of the version afterwards.

    Raises:
        EvidenceIncompleteError: Something that the evidence names is missing or has changed.
        VersionNotFoundError: The project has no such version.
    """
    item = need_version(state, project, staged.version)
    if item["state"] != VersionState.REGISTERED:
        return str(item["state"])
    configured = pinned_run(state, project, str(item["run_id"])).project
    evidence, summary = _assemble(item, staged, objects)
    uri = evidence_uri(artifacts_bucket, project, staged.version)
    objects.write(uri, evidence.content())
    policy = pinned_policy_of(item, configured).requirements
    lifetime_s = configured.approval.lifetime_s
    if policy.approval_lifetime_s is not None:
        lifetime_s = min(lifetime_s, policy.approval_lifetime_s)
    expires_at = clock.now() + timedelta(seconds=lifetime_s)
    remind_at = expires_at - timedelta(
        seconds=min(policy.remind_before_s or lifetime_s, lifetime_s // 2)
    )
    told = _told(item, configured, summary, staged)
    request = ApprovalRequested(
        version=staged.version,
        evidence_digest=evidence.digest,
        evidence_uri=uri,
        expires_at=expires_at.isoformat(timespec="seconds"),
        quorum=item["quorum"],
        summary=told,
    )
    change = Update(
        Table.VERSIONS,
        version_key(project, staged.version),
        set={
            "state": VersionState.PENDING.value,
            "evidence_digest": evidence.digest,
            "evidence_uri": uri,
            "expires_at": request.expires_at,
            "remind_at": remind_at.isoformat(timespec="seconds"),
            "summary": told,
            "staging_endpoint": staged.endpoint,
        },
        expect=(Equals("state", VersionState.REGISTERED.value),),
    )
    cause = Cause(project, str(item["correlation_id"]), causation_id)
    state.commit([change], [event(request, cause, clock, ids)])
    return VersionState.PENDING.value


def record_staging_failure(project: str, failed: StagingFailed, *, state: StateStore) -> str:
    """Mark a version whose staging failed; a version that got further stays as it is."""
    item = need_version(state, project, failed.version)
    if item["state"] != VersionState.REGISTERED:
        return str(item["state"])
    change = Update(
        Table.VERSIONS,
        version_key(project, failed.version),
        set={
            "state": VersionState.STAGING_FAILED.value,
            "staging_error": f"{failed.failed_state}: {failed.error}: {failed.cause}"[:1000],
        },
        expect=(Equals("state", VersionState.REGISTERED.value),),
    )
    try:
        state.commit([change])
    except ConflictError:
        return str(need_version(state, project, failed.version)["state"])
    return VersionState.STAGING_FAILED.value


def _assemble(
    item: Item, staged: VersionStaged, objects: ObjectStore
) -> tuple[Evidence, ModelSummary]:
    smoke = _reference(objects, staged.smoke_uri)
    if smoke.sha256 != staged.smoke_digest:
        raise EvidenceIncompleteError(
            f"{staged.smoke_uri} has digest {smoke.sha256}, but staging said {staged.smoke_digest}",
            field="smoke_digest", value=smoke.sha256, allowed=staged.smoke_digest,
        )  # fmt: skip
    evaluation = _reference(objects, item["evaluation_uri"])
    comparison: Mapping[str, Any] | None = None
    if item.get("comparison_uri"):
        comparison = _document(objects, item["comparison_uri"])
        if comparison.get("evaluation_sha256") != evaluation.sha256:
            raise EvidenceIncompleteError(
                "the comparison was made from another evaluation",
                field="evaluation_sha256", value=comparison.get("evaluation_sha256"),
                allowed=evaluation.sha256,
            )  # fmt: skip
    summary = summarize(
        _document(objects, item["evaluation_uri"]), comparison, item.get("champion_version")
    )
    evidence = Evidence(
        project=item["project"],
        version=item["version"],
        run_id=item["run_id"],
        author=item["author"],
        model_package_arn=item["model_package_arn"],
        code_digest=item["code_digest"],
        config_digest=item["config_digest"],
        job_image=item["job_image"],
        artifact=_reference(objects, item["artifact_uri"]),
        dataset=Dataset(
            dataset_id=item["dataset_id"], manifest=_reference(objects, item["manifest_uri"])
        ),
        evaluation=evaluation,
        baseline=_baseline(objects, item),
        metrics=[metric.model_dump(mode="json") for metric in summary.metrics],
        champion_version=item.get("champion_version"),
        comparison=(
            _reference(objects, item["comparison_uri"]) if item.get("comparison_uri") else None
        ),
        comparison_result=(
            summary.comparison.model_dump(mode="json") if summary.comparison else None
        ),
        gate=Gate.model_validate(item["gate"]),
        staging=Staging(endpoint=staged.endpoint, smoke=smoke, summary=staged.summary),
    )
    return evidence, summary


def _baseline(objects: ObjectStore, item: Item) -> Reference | None:
    named = item.get("baseline")
    if not named:
        return None
    found = _reference(objects, named["uri"])
    if found.sha256 != named["digest"]:
        raise EvidenceIncompleteError(
            "the baseline changed after the version was registered", field="baseline",
            value=found.sha256, allowed=named["digest"],
        )  # fmt: skip
    return found


def _reference(objects: ObjectStore, uri: str) -> Reference:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return Reference(uri=uri, sha256=objects.sha256(bucket, key))


def _document(objects: ObjectStore, uri: str) -> Mapping[str, Any]:
    try:
        document = json.loads(objects.read(uri))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise EvidenceIncompleteError(f"{uri} is not a JSON object", field="evidence", value=uri)
    return document


def _told(
    item: Item, project: Project, summary: ModelSummary, staged: VersionStaged
) -> dict[str, Any]:
    return {
        "description": project.description,
        "owner": project.owner,
        "risk_tier": project.risk_tier,
        "author": item["author"],
        "run_id": item["run_id"],
        "gate": item["gate"]["reasons"],
        **_told_of_policy(item["gate"]),
        "staging": staged.summary,
        **summary.model_dump(mode="json"),
    }


def _told_of_policy(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a decision must not miss: rules in doubt, waivers, the policy."""
    rules, policy = gate.get("rules") or [], gate.get("policy") or {}
    return {
        "escalated": [rule["rule"] for rule in rules if rule["effect"] == "quorum"],
        "waivers": [
            f"{rule['waived_by']} of {rule['rule']}" for rule in rules if rule.get("waived_by")
        ],
        "policy": f"{policy['name']}, tier {policy['tier']}" if policy else None,
    }
